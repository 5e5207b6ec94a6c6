"""The doctor: examines a demo in the background, before the person decides whether to keep it."""

import logging
import queue
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.checks.examine import examine
from isaaclab_mimic_ext.checks.findings import NOTE, DemoFinding
from isaaclab_mimic_ext.config import MimicEnvCfg
from isaaclab_mimic_ext.datasets.annotate import Annotation, SignalSource, annotate
from isaaclab_mimic_ext.datasets.findings import ERROR
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.errors import MimicError
from isaaclab_mimic_ext.files.dataset_file import DatasetFile
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.texts import split_remedy

log = logging.getLogger(__name__)

_QUICK_END_S, _LONGEST_EXAMINATION_S = 1.0, 60.0
"""Time in which an examination may end, without and with a note in the log [s]."""
_SLOWER = "record the demo again, more slowly near the objects (Shift)"
_AGAIN = "record the same scene again"
_COMPLETE = f"{_AGAIN}, and complete each subtask before the next one"
_WHILE_RECORDING = {
    **dict.fromkeys(("annotation", "no mark", "same frame", "subtask order", "offsets", "cropped end"), _COMPLETE),
    "short segment": f"{_AGAIN}, and approach more slowly (Shift)",
    "saturated": f"{_AGAIN}, more slowly (Shift)",
    "gripper moving": f"{_AGAIN}, and let the hand rest before the gripper opens or closes",
    "idle": f"keep the demo, or {_AGAIN} without the pause, which all trials repeat",
}
"""Remedy of a finding while its demo can still be recorded again, by check; the marks and the file do not exist yet."""
_OF_ALL_DEMOS = ("unused", "similar")
"""Checks that compare a demo with other demos."""


class ReplayStopped(Exception):
    """Raised in a replay when the studio ends: nobody waits for its result."""


class Doctor:
    """Examines demos in a thread. Only the newest demo matters: an older one that waits is dropped.

    Args:
        make_env: makes a second environment with one scene, in which a demo is replayed.
        task: task of the demos.
        config: its subtasks and randomization.
        report: called in the thread with the findings of a demo, values of JSON, and the number of its review.
    """

    def __init__(
        self,
        make_env: Callable[[], MimicEnv],
        task: Task,
        config: MimicEnvCfg,
        report: Callable[[list[dict[str, Any]], int], None],
    ):
        self._make_env, self._task, self._config, self._report = make_env, task, config, report
        self._demos: queue.Queue[tuple[Mapping[str, np.ndarray], int] | None] = queue.Queue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="doctor", daemon=True)
        self._thread.start()

    def examine(self, demo: Mapping[str, np.ndarray], review: int) -> None:
        """Examine the demo of a review, path -> (T, ...), as soon as possible."""
        self._demos.put((demo, review))

    def close(self) -> None:
        """End the thread, and its replay after the present step: a process must not end while the thread simulates."""
        self._is_closed = True
        self._demos.put(None)
        self._thread.join(_QUICK_END_S)
        if self._thread.is_alive():
            log.info("The check of a demo ends; this takes some seconds")
            self._thread.join(_LONGEST_EXAMINATION_S)

    def _run(self) -> None:
        env: MimicEnv | None = None
        while (newest := self._newest()) is not None:
            demo, review = newest
            try:
                env = env or self._make_env()
                self._check_open()
                findings = self._findings(env, demo)
            except ReplayStopped:
                break
            except MimicError as error:
                findings = [_finding(ERROR, "replay", str(error), _AGAIN)]
            except Exception:
                log.exception("The demo could not be examined")
                findings = [_finding(NOTE, "check", "the demo could not be examined", "see the terminal")]
            self._report(findings, review)
        if env is not None:
            env.close()

    def _newest(self) -> tuple[Mapping[str, np.ndarray], int] | None:
        demo = self._demos.get()
        while demo is not None and not self._demos.empty():
            demo = self._demos.get()
        return demo

    def _findings(self, env: MimicEnv, leaves: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
        demo = Demo("this demo", "demo_0", dict(leaves), {"success": True})
        num_success_steps = self._config.datagen_config.num_success_steps
        subtasks = self._config.subtask_configs
        (annotation,) = annotate(env, [demo], subtasks, num_success_steps, SignalSource(), self._check_open)
        self._check_open()
        return for_recording(examine_annotation(annotation, env, self._task, self._config, self._check_open))

    def _check_open(self, *_: object) -> None:
        if self._is_closed:
            raise ReplayStopped


def examine_annotation(
    annotation: Annotation,
    env: MimicEnv,
    task: Task,
    config: MimicEnvCfg,
    check_open: Callable[..., None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """Find the faults of an annotated demo, as values of JSON. Those that concern all demos together are left out.

    Args:
        env: environment of the replay.
        config: subtasks and randomization of the task.
        check_open: called between two parts of the examination; an exception ends the examination.
    """
    if annotation.rejection is not None:
        reason, remedy = split_remedy(annotation.rejection.removeprefix(f"{annotation.demo.name}: "))
        return [_finding(ERROR, "annotation", reason, remedy or _SLOWER)]
    with tempfile.TemporaryDirectory(prefix="mimic_studio_") as folder:
        path = Path(folder) / "demo.hdf5"
        file = DatasetFile(path, env.env_args())
        file.add_demo(annotation.leaves, {"success": True})
        file.finish({})
        file.publish()
        report = examine(path, task, config, num_draws=1, on_progress=check_open).report
    found = [each for each in report.findings if each.demo == "demo_0" and each.check not in _OF_ALL_DEMOS]
    return [asdict(each) for each in found]


def for_recording(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Findings with the remedies that are possible before the demo is kept: it is recorded again."""
    return [{**each, "remedy": _remedy(each)} for each in findings]


def _remedy(finding: Mapping[str, Any]) -> str:
    return _WHILE_RECORDING.get(finding["check"], _AGAIN if finding["level"] == ERROR else str(finding["remedy"]))


def _finding(level: str, check: str, found: str, remedy: str) -> dict[str, Any]:
    return asdict(DemoFinding(level, check, "demo_0", None, None, None, found, "", remedy))
