"""`mimic annotate gui=true`: mark the subtasks of demos on a page in the browser."""

import logging
from pathlib import Path

from isaaclab_mimic_ext.command_lines import same_command_line
from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import AnnotateDemosCfg
from isaaclab_mimic_ext.config.next_step import next_command
from isaaclab_mimic_ext.config.recorded_task import check_recorded_task
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.files.stream import read_env_args
from isaaclab_mimic_ext.studio.mark_jobs import MarkSettings
from isaaclab_mimic_ext.studio.mark_session import make_marking, served_marking
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)


def mark_on_page(cfg: AnnotateDemosCfg, env: MimicEnv) -> None:
    """Serve the page until a person ends it.

    Raises:
        UsageError: the configuration is wrong, or the marks file belongs to a different recording.
        Interrupted: a signal ended the command before the annotated file was written; all marks are in their file.
    """
    output = Path(cfg.output_file)
    marks_file = output.with_suffix(".marks.yaml") if cfg.marks_file is None else Path(cfg.marks_file)
    if (task := getattr(env, "task", None)) is not None:
        check_recorded_task(cfg.input_file, read_env_args(cfg.input_file), task)
    settings = MarkSettings(
        Path(cfg.input_file),
        output,
        marks_file,
        cfg,
        auto=cfg.auto,
        with_starts=cfg.annotate_subtask_start_signals,
        recorder=cfg.recorder,
        demos=cfg.demos,
    )
    marking = make_marking(settings, env, lambda: env, next_command("check", input_file=output), can_end=True)
    with StopRequest() as stop, served_marking(marking, cfg.host, cfg.port):
        marking.run(lambda: stop.requested)
    if marking.tab.is_annotated:
        log.info("Next, check the demos: %s", next_command("check", input_file=output))
        return
    num_marked = len(marking.file.marks)
    marks = f"the marks of {counted(num_marked, 'demo')} are in {marks_file}" if num_marked else "no demo is marked"
    places = {"input_file": Path(cfg.input_file), "output_file": output, "marks_file": marks_file if num_marked else None}
    replaced = {"gui": None, "host": None, "port": None, "overwrite": True if output.exists() else None}
    command = same_command_line("annotate", **places, **replaced)
    if stop.requested:
        stop.raise_interrupted(f"{marks}; continue with the same command, or annotate with: {command}")
    log.info("The annotated file was not written; %s; to write it: %s", marks, command)
