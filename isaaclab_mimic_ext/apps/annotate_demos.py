"""`scripts/annotate_demos.py`: subtask boundaries into recorded demonstrations, by replaying them."""

import logging
from pathlib import Path

import torch

from isaaclab_mimic_ext.config import AnnotateDemosCfg
from isaaclab_mimic_ext.datasets.annotate import Annotation, annotate
from isaaclab_mimic_ext.datasets.demos import read_demos, read_provenance
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import ConfigError, MimicError
from isaaclab_mimic_ext.record.hdf5 import DatasetFile, FileOptions, check_output
from isaaclab_mimic_ext.task import load_task

log = logging.getLogger(__name__)


def main(cfg: AnnotateDemosCfg) -> list[Annotation]:
    """Annotate a file as configured.

    Raises:
        UsageError: something asked for is wrong; nothing was written.
        MimicError: every demo was rejected; nothing was written.
    """
    if not cfg.auto:
        raise ConfigError("auto: false: marking boundaries by hand is not available; use auto=true")
    output = Path(cfg.output_file)
    check_output(output, cfg.overwrite)
    demos = read_demos(cfg.input_file)
    env = make_env(load_task(cfg.task.name), cfg.sim, cfg.events, len(demos), torch.device(cfg.device))
    try:
        annotations = annotate(env, demos, cfg.subtask_configs, cfg.datagen_config.num_success_steps)
        options = FileOptions(
            env.env_args(),
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
    file = DatasetFile(output, options, cfg.overwrite)
    for annotation in accepted:
        file.add_demo(
            annotation.leaves, {**annotation.demo.attributes, "recorded_as": annotation.demo.name, "success": True}
        )
    file.finish({})
    file.publish()
    log.info("Annotated %d of %d demos; saved to %s", len(accepted), len(demos), output)
    return annotations


def _report(annotation: Annotation) -> None:
    name = annotation.demo.name
    if annotation.rejection is not None:
        log.warning("%s: rejected: %s", name, annotation.rejection)
        return
    for eef_name, ends in annotation.ends.items():
        log.info("%s: %s: subtasks end at steps %s", name, eef_name, ", ".join(map(str, ends)))
