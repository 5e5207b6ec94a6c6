"""`scripts/annotate_demos.py`: subtask boundaries into recorded demonstrations, by replaying them."""

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.config import AnnotateDemosCfg
from isaaclab_mimic_ext.datasets.annotate import Annotation, SignalSource, annotate
from isaaclab_mimic_ext.datasets.demos import read_demos, read_provenance
from isaaclab_mimic_ext.datasets.hdf5 import format_version, open_hdf5, quaternion_columns
from isaaclab_mimic_ext.datasets.marks import read_marks
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_scene
from isaaclab_mimic_ext.errors import ConfigError, MimicError, RecorderError
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.files.writing import HDF5_ERRORS, check_output, write_errors
from isaaclab_mimic_ext.quaternions import ENTRY, as_entry
from isaaclab_mimic_ext.record.hdf5 import DatasetFile, FileOptions
from isaaclab_mimic_ext.task import load_task

log = logging.getLogger(__name__)


def main(cfg: AnnotateDemosCfg) -> list[Annotation]:
    """Annotate a file as configured.

    Raises:
        UsageError: something asked for is wrong; nothing was written.
        MimicError: every demo was rejected, or the file cannot be written; nothing is left.
    """
    if not cfg.auto and cfg.marks_file is None:
        raise ConfigError("auto: false, and no marks_file that says where subtasks end; give one, or use auto=true")
    output = Path(cfg.output_file)
    check_output(output, cfg.overwrite)
    demos = read_demos(cfg.input_file)
    source = _signal_source(cfg, demos)
    env = make_scene(cfg, len(demos))
    try:
        annotations = annotate(env, demos, cfg.subtask_configs, cfg.datagen_config.num_success_steps, source)
        options = FileOptions(
            _env_args(env, cfg.input_file),
            {**read_provenance(cfg.input_file), "annotated_from": Path(cfg.input_file).name},
            cfg.recorder.compression,
            cfg.recorder.format_version,
        )
    finally:
        env.close()
    for annotation in annotations:
        _report(annotation)
    accepted = [annotation for annotation in annotations if annotation.rejection is None]
    if not accepted:
        raise MimicError(
            f"{cfg.input_file}: all {len(demos)} demos were rejected, for the reasons above; nothing was written"
        )
    _write(accepted, DatasetFile(output, options, cfg.overwrite))
    log.info("Annotated %d of %d demos; saved to %s", len(accepted), len(demos), output)
    return annotations


def _write(accepted: list[Annotation], file: DatasetFile) -> None:
    try:
        with write_errors(file.path, errors=HDF5_ERRORS):
            for annotation in accepted:
                attributes = {**annotation.demo.attributes, "recorded_as": annotation.demo.name, "success": True}
                file.add_demo(annotation.leaves, attributes)
            file.finish({})
            file.publish()
    except RecorderError:
        with suppress(OSError, RuntimeError):
            file.discard()
        file.part_path.unlink(missing_ok=True)
        raise


def _env_args(env: MimicEnv, path: str) -> dict[str, Any]:
    """The env's; but the observations are the file's, and what it does not name stays as it is there."""
    env_args = env.env_args()
    with open_hdf5(path) as file:
        if format_version(file) < 1:
            env_args.pop(ENTRY, None)
            env_args |= as_entry(quaternion_columns(file))
    return env_args


def _signal_source(cfg: AnnotateDemosCfg, demos: list[Demo]) -> SignalSource:
    marks = {}
    if cfg.marks_file is not None:
        marks = read_marks(cfg.marks_file, [demo.name for demo in demos], _signal_names(cfg))
    return SignalSource(cfg.auto, cfg.annotate_subtask_start_signals, marks)


def _signal_names(cfg: AnnotateDemosCfg) -> tuple[str, ...]:
    """All signals of the task; of one of Isaac Lab's registry those that subtasks name."""
    if not cfg.task.is_registered:
        return load_task(cfg.task.name).signal_names
    named = (subtask.subtask_term_signal for subtasks in cfg.subtask_configs.values() for subtask in subtasks)
    return tuple(filter(None, named))


def _report(annotation: Annotation) -> None:
    name = annotation.demo.name
    if annotation.rejection is not None:
        log.warning("%s: rejected: %s", name, annotation.rejection)
        return
    for eef_name, ends in annotation.ends.items():
        log.info("%s: %s: subtasks end at steps %s", name, eef_name, ", ".join(map(str, ends)))
    for eef_name, starts in annotation.starts.items():
        log.info("%s: %s: skills start at steps %s", name, eef_name, ", ".join(map(str, starts)))
