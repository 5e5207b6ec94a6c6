"""`mimic check`: find faults of source demos that would make generation fail."""

import logging
from pathlib import Path

from isaaclab_mimic_ext.checks.examine import examine
from isaaclab_mimic_ext.checks.findings import RECORDED, CheckReport
from isaaclab_mimic_ext.checks.generated import GENERATED
from isaaclab_mimic_ext.config import CheckDemosCfg
from isaaclab_mimic_ext.config.next_step import next_command
from isaaclab_mimic_ext.errors import InvalidDataset
from isaaclab_mimic_ext.files.stream import read_env_args
from isaaclab_mimic_ext.files.writing import annotated_path, check_output
from isaaclab_mimic_ext.progress import phase
from isaaclab_mimic_ext.report.timeline import write_timeline
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.meshes import recorded_objects
from isaaclab_mimic_ext.task.robot import recorded_robot

log = logging.getLogger(__name__)


def main(cfg: CheckDemosCfg) -> CheckReport:
    """Check source demos as configured, print the report, and draw the picture if one is configured.

    Raises:
        InvalidDataset: a demo has errors.
        SourceDataError: the file cannot be read.
        OutputError: the picture cannot be written.
    """
    if cfg.output_file is not None:
        check_output(Path(cfg.output_file), cfg.overwrite)
    env_args = read_env_args(cfg.input_file)
    task = load_task(cfg.task.name, recorded_robot(env_args), recorded_objects(env_args))
    other = load_task(cfg.task.name, cfg.robot, cfg.objects) if cfg.robot.changes or cfg.objects else None
    examination = examine(cfg.input_file, task, cfg, cfg.num_draws, phase("examining"), cfg.demos, other)
    report = examination.report
    if cfg.output_file is not None:
        write_timeline(examination, Path(cfg.output_file), cfg.overwrite)
        log.info("Saved the picture to %s", cfg.output_file)
    print(report.as_json() if cfg.json else report.as_text())
    if not report.is_healthy:
        # The text ends with the summary; the JSON object does not contain it.
        fault = report.summary() if cfg.json else "not ready to generate"
        raise InvalidDataset(f"{cfg.input_file}: {fault}; the report contains remedies")
    path, checks = Path(cfg.input_file), {finding.check for finding in report.findings}
    if GENERATED in checks:
        log.info("Next, split the demos for training: %s", next_command("split", input_file=path))
    elif RECORDED in checks:
        log.info("Next, annotate the demos: %s", next_command("annotate", input_file=path, output_file=annotated_path(path)))
    else:
        log.info("Next, generate demos: %s", next_command("generate", input_file=path))
    return report
