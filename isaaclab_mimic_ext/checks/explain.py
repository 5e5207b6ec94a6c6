"""Reasons of the demo doctor for demos that an annotation rejects."""

from collections.abc import Sequence
from pathlib import Path

from isaaclab_mimic_ext.checks.examine import examine
from isaaclab_mimic_ext.checks.findings import DemoFinding
from isaaclab_mimic_ext.config.compose import load_task_config
from isaaclab_mimic_ext.datasets.findings import ERROR, WARNING
from isaaclab_mimic_ext.errors import MimicError
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.task.folders import task_dirs

_NUM_DRAWS = 1
_REPLAYED = ("unreadable", "unused", "similar", "outside range")
"""Checks whose findings do not explain why a replay fails."""


def explain(preset: str, task: Task, path: str | Path, names: Sequence[str]) -> dict[str, str]:
    """Return the most serious finding of each demo that a replay can fail for, with its remedy; empty if there are none.

    Args:
        preset: name of the file with the configuration of the task.
        names: recorded demos of the file.
    """
    try:
        _, cfg = load_task_config(preset, task_dirs()[1:])
        findings = examine(path, task, cfg, _NUM_DRAWS, demos=names).report.findings
    except MimicError:  # The annotation has reported what is wrong with the file.
        return {}
    reasons: dict[str, str] = {}
    for level in (ERROR, WARNING):
        for finding in findings:
            if finding.level == level and finding.demo is not None and finding.check not in _REPLAYED:
                reasons.setdefault(finding.demo, _sentence(finding))
    return reasons


def _sentence(finding: DemoFinding) -> str:
    where = "" if finding.frame is None else f" at step {finding.frame}"
    return f"{finding.check}{where}: {finding.found}; expected {finding.expected}; {finding.remedy}"
