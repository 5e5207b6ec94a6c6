"""The tab Mark with its thread: as a tab of the studio, and as the page of `annotate gui=true`."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from isaaclab_mimic_ext.datasets.annotate_file import signal_names
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.posed_scene import describe_scene
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.studio.mark_jobs import Jobs, MarkSettings, MarkWorker
from isaaclab_mimic_ext.studio.mark_tab import MarkTab
from isaaclab_mimic_ext.studio.marks_file import MarkRules, MarksFile
from isaaclab_mimic_ext.studio.recorded_demos import RecordedDemos
from isaaclab_mimic_ext.studio.server import StudioServer
from isaaclab_mimic_ext.studio.session import log_address
from isaaclab_mimic_ext.task.definition import Task

NO_SCENE: dict[str, Any] = {"bodies": [], "shapes": [], "meshes": [], "cameras": [], "hands": [], "objects": []}
"""Description of a scene that cannot be drawn."""
_LONGEST_JOB_S = 60.0


@dataclass(frozen=True)
class Marking:
    """The tab Mark, and the worker that carries out its jobs."""

    tab: MarkTab
    worker: MarkWorker
    demos: RecordedDemos
    file: MarksFile

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Carry out the jobs in this thread, until a person ends the command at the page or `should_stop`."""
        self.worker.run(lambda: self.tab.is_ended or should_stop())


def make_marking(
    settings: MarkSettings,
    env: MimicEnv,
    make_env: Callable[[], MimicEnv] | None,
    next_command: str = "",
    can_end: bool = False,
) -> Marking:
    """Make the tab.

    Args:
        env: environment of the task, of which only names and times are read.
        make_env: makes the environment in which demos are replayed, see `MarkWorker`.
        next_command: command line that follows the annotation.
        can_end: whether the page may end the command.

    Raises:
        MimicError: the recording is damaged.
    """
    task: Task | None = getattr(env, "task", None)
    config = settings.config
    rules = MarkRules(config.subtask_configs, signal_names(env, config), settings.with_starts)
    demos = RecordedDemos(settings.input_file, settings.demos)
    demos.update()
    file, jobs = MarksFile(settings.marks_file, rules), Jobs()
    file.read(demos.demos)
    tab = MarkTab(settings, demos, file, jobs, env.step_dt, next_command, can_end, make_env is not None)
    return Marking(tab, MarkWorker(settings, demos, jobs, tab, make_env, task), demos, file)


@contextmanager
def in_thread(marking: Marking) -> Iterator[MarkTab]:
    """Carry out the jobs of the tab in a thread during the block."""
    ended = threading.Event()

    def run() -> None:
        marking.worker.run(ended.is_set)
        marking.worker.close()

    thread = threading.Thread(target=run, name="mark", daemon=True)
    thread.start()
    try:
        yield marking.tab
    finally:
        ended.set()
        thread.join(_LONGEST_JOB_S)


@contextmanager
def served_marking(marking: Marking, host: str, port: int) -> Iterator[StudioServer]:
    """Serve a page with the tab alone during the block, which calls `Marking.run`.

    Raises:
        SourceDataError: the marks file is not that of the recording.
        OutputError: the port cannot be used.
    """
    if marking.file.fault:
        raise SourceDataError(f"marks_file: {marking.file.fault}")
    scene = marking.worker.scene
    with StudioServer([marking.tab], NO_SCENE if scene is None else describe_scene(scene), host, port) as server:
        log_address(server, host)
        yield server
