"""`mimic annotate`: replay recorded demos and add subtask signals."""

import logging
from pathlib import Path

from isaaclab_mimic_ext.config import AnnotateDemosCfg
from isaaclab_mimic_ext.config.next_step import next_command
from isaaclab_mimic_ext.datasets.annotate import Annotation
from isaaclab_mimic_ext.datasets.annotate_file import annotate_file
from isaaclab_mimic_ext.envs.factory import make_scene
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.files.writing import check_output

log = logging.getLogger(__name__)


def main(cfg: AnnotateDemosCfg) -> list[Annotation]:
    """Annotate a file as configured.

    Raises:
        UsageError: the configuration is wrong; no file is written.
        MimicError: all demos were rejected, or the file cannot be written; no partial file remains.
    """
    check_output(Path(cfg.output_file), cfg.overwrite)
    with open_hdf5(cfg.input_file) as file:
        num_demos = len(demo_names(file))
    env = make_scene(cfg, num_demos)
    try:
        annotations = annotate_file(
            cfg.input_file,
            cfg.output_file,
            env,
            cfg,
            auto=cfg.auto,
            start_signals=cfg.annotate_subtask_start_signals,
            marks_file=cfg.marks_file,
            recorder=cfg.recorder,
            overwrite=cfg.overwrite,
        )
    finally:
        env.close()
    log.info("Next, check the demos: %s", next_command("check", input_file=Path(cfg.output_file)))
    return annotations
