"""`mimic annotate`: replay recorded demos and add subtask signals."""

import logging
import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from isaaclab_mimic_ext.checks.explain import explain
from isaaclab_mimic_ext.config import AnnotateDemosCfg
from isaaclab_mimic_ext.config.next_step import next_command
from isaaclab_mimic_ext.datasets.annotate import Annotation
from isaaclab_mimic_ext.datasets.annotate_file import annotate_file, no_reasons
from isaaclab_mimic_ext.datasets.marking import KEYS_MISSING, MARKING_KEYS, Marker, MarkingKeys
from isaaclab_mimic_ext.datasets.marks import DemoMarks, write_marks
from isaaclab_mimic_ext.datasets.replay import read_demos
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_scene
from isaaclab_mimic_ext.errors import ConfigError, MimicError
from isaaclab_mimic_ext.files.stream import read_env_args, read_facts
from isaaclab_mimic_ext.files.writing import check_output
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.task.meshes import recorded_objects
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)


def main(cfg: AnnotateDemosCfg) -> list[Annotation]:
    """Annotate a file as configured; with `gui=true`, serve a page on which a person marks, and annotates.

    Raises:
        UsageError: the configuration is wrong; no file is written.
        MimicError: all demos were rejected, or the file cannot be written; no partial file remains.
    """
    check_output(Path(cfg.output_file), cfg.overwrite or cfg.gui)
    cfg = cfg if cfg.objects else replace(cfg, objects=recorded_objects(read_env_args(cfg.input_file)))
    if cfg.gui:
        _serve_page(cfg)
        return []
    num_demos = len(read_facts(cfg.input_file, cfg.demos).demo_names)
    reads_keys = not cfg.auto and cfg.marks_file is None
    env = make_scene(cfg, 1 if reads_keys else num_demos)
    task: Task | None = getattr(env, "task", None)  # None: a task of Isaac Lab's registry.
    marks, demos = None, cfg.demos
    try:
        if reads_keys:
            marks = _mark(cfg, env)
            demos = [name for name, of_demo in marks.items() if not of_demo.leave_out]
        annotations = annotate_file(
            cfg.input_file,
            cfg.output_file,
            env,
            cfg,
            auto=cfg.auto,
            start_signals=cfg.annotate_subtask_start_signals,
            marks_file=cfg.marks_file,
            marks=marks,
            recorder=cfg.recorder,
            overwrite=cfg.overwrite,
            demos=demos,
            explain=partial(explain, cfg.task.preset or cfg.task.name, task) if task is not None else no_reasons,
        )
    finally:
        env.close()
    log.info("Next, check the demos: %s", next_command("check", input_file=Path(cfg.output_file)))
    return annotations


def _serve_page(cfg: AnnotateDemosCfg) -> None:
    from isaaclab_mimic_ext.commands.annotate_page import mark_on_page

    env = make_scene(cfg, 1)
    try:
        mark_on_page(cfg, env)
    finally:
        env.close()


def _mark(cfg: AnnotateDemosCfg, env: MimicEnv) -> dict[str, DemoMarks]:
    """Mark the signals of all demos with keys. The marks are also written to a file, after each demo.

    Raises:
        ConfigError: the keys ended before all signals were marked.
        MimicError: the person left out all demos.
    """
    path = Path(cfg.output_file).with_suffix(".marks.yaml")
    check_output(path, cfg.overwrite)
    marks: dict[str, DemoMarks] = {}
    with ExitStack() as stack:
        marker = Marker(
            env,
            _keys(env, stack),
            cfg.subtask_configs,
            with_starts=cfg.annotate_subtask_start_signals,
            pauses_at_marks=cfg.pause_subtask,
            step_hz=cfg.step_hz,
        )
        recorded = read_demos(cfg.input_file, read_facts(cfg.input_file, cfg.demos).demo_names)
        for name, of_demo in marker.mark(recorded):
            marks[name] = of_demo
            write_marks(path, marks)
    left_out = [name for name, of_demo in marks.items() if of_demo.leave_out]
    num_marked = len(marks) - len(left_out)
    if not num_marked:
        raise MimicError(
            f"{cfg.input_file}: {counted(len(left_out), 'demo was', 'demos were')} left out; no file was written"
        )
    log.info("Saved the marks of %s; to use them again: marks_file=%s", counted(num_marked, "demo"), path)
    if left_out:
        log.info("Left out with Q, also when the marks are used again: %s", ", ".join(left_out))
    return marks


def _keys(env: MimicEnv, stack: ExitStack) -> MarkingKeys:
    """Open the keys of Isaac Sim's window if there is one, otherwise those of the terminal."""
    if env.env_args().get("engine") == "isaaclab":
        from isaaclab_mimic_ext.envs.isaaclab.devices import WindowKeys
        from isaaclab_mimic_ext.envs.isaaclab.launch import has_window

        if has_window():
            return WindowKeys(env, MARKING_KEYS)
    from isaaclab_mimic_ext.run.terminal_keyboard import Keys

    try:
        return stack.enter_context(Keys(sys.stdin).opened())
    except (AttributeError, OSError, ValueError) as error:  # The standard input is closed or missing.
        raise ConfigError(f"{KEYS_MISSING} (standard input: {error})") from error
