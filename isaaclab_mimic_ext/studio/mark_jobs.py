"""Work of the tab Mark that takes time: read and replay demos, examine them, and write the annotated file."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.checks.explain import explain
from isaaclab_mimic_ext.checks.recorded import with_info
from isaaclab_mimic_ext.config import AnnotateDemosCfg, FileCfg, MimicEnvCfg
from isaaclab_mimic_ext.config.compose import load_task_config
from isaaclab_mimic_ext.datasets.annotate import INFO, Annotation, ReplayedDemo, SignalSource, replay_with_info
from isaaclab_mimic_ext.datasets.annotate_file import annotate_file, no_reasons
from isaaclab_mimic_ext.datasets.marks import DemoMarks
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.errors import MimicError, SimulatorUnavailable
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.files.selection import Chosen
from isaaclab_mimic_ext.studio.demo_views import DemoView, gripper_spans, view_demo
from isaaclab_mimic_ext.studio.doctor import ReplayStopped, examine_annotation
from isaaclab_mimic_ext.studio.recorded_demos import RecordedDemos
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.task.folders import task_dirs

log = logging.getLogger(__name__)

_WAIT_S = 0.3
"""Time between two looks for new demos [s]."""


@dataclass(frozen=True)
class MarkSettings:
    """Settings of an annotation at the page; the fields are those of `annotate`.

    Attributes:
        config: subtasks and `num_success_steps`.
        demos: demos to annotate.
    """

    input_file: Path
    output_file: Path
    marks_file: Path
    config: MimicEnvCfg | AnnotateDemosCfg
    auto: bool = True
    with_starts: bool = False
    recorder: FileCfg = field(default_factory=FileCfg)
    demos: Chosen = None

    def source(self, marks: Mapping[str, DemoMarks]) -> SignalSource:
        """Source of the signals of an annotation."""
        return SignalSource(self.auto, self.with_starts, marks)


@dataclass(frozen=True)
class AnnotateJob:
    """Request to write the annotated file."""

    marks: dict[str, DemoMarks]
    overwrite: bool


class Jobs:
    """Requests of the pages. A newer request for the same work replaces an older one; the last demo comes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._opened: list[str] = []
        self._examined: Annotation | None = None
        self._annotate: AnnotateJob | None = None

    def open(self, name: str) -> None:
        """Request a demo."""
        with self._changed:
            self._opened = [*(each for each in self._opened if each != name), name]
            self._changed.notify_all()

    def examine(self, annotation: Annotation) -> None:
        """Request the findings of a demo with its marks."""
        with self._changed:
            self._examined = annotation
            self._changed.notify_all()

    def annotate(self, job: AnnotateJob) -> None:
        """Request the annotated file."""
        with self._changed:
            self._annotate = job
            self._changed.notify_all()

    def next(self) -> str | Annotation | AnnotateJob | None:
        """Remove the most urgent request: a demo, the annotated file, findings. None if there is none for some time."""
        with self._changed:
            if not (self._opened or self._examined or self._annotate):
                self._changed.wait(_WAIT_S)
            if self._opened:
                return self._opened.pop()
            job, self._annotate = self._annotate, None
            if job is None and self._examined is not None:
                job, self._examined = self._examined, None  # type: ignore[assignment]
            return job


class JobReports:
    """Receives the results of the jobs, in their thread. `MarkTab` shows them."""

    def found_demos(self) -> None:
        """The list of demos has changed."""

    def list_failed(self, reason: str) -> None:
        """The list of demos cannot be read."""

    def opened(self, name: str, view: DemoView, gripper: dict[str, list[list[int]]]) -> None:
        """A demo has been read."""

    def open_failed(self, name: str, reason: str) -> None:
        """A demo cannot be read."""

    def replayed(self, name: str, replayed: ReplayedDemo | None, note: str) -> None:
        """A demo has been replayed; `note` is the reason if that is not possible."""

    def examined(self, annotation: Annotation, findings: list[dict[str, Any]]) -> None:
        """A demo has been examined."""

    def annotated(self, annotations: list[Annotation]) -> None:
        """The annotated file has been written."""

    def annotation_failed(self, reason: str) -> None:
        """The annotated file was not written."""


class MarkWorker:
    """Carries out the jobs, in one thread: the one that calls `run`.

    Args:
        make_env: makes an environment with one scene, in which demos are replayed; None: demos are not replayed, and signals
            are computed from their states.
        task: task of the demos; None: a task that is registered with Isaac Lab.
    """

    def __init__(
        self,
        settings: MarkSettings,
        demos: RecordedDemos,
        jobs: Jobs,
        reports: JobReports,
        make_env: Callable[[], MimicEnv] | None,
        task: Task | None,
    ):
        self._settings, self._demos, self._jobs, self._reports = settings, demos, jobs, reports
        self._make_env, self._task = make_env, task
        self._env: MimicEnv | None = None
        self._config = _task_config(task)
        self._should_stop: Callable[[], bool] = lambda: False

    @cached_property
    def scene(self) -> PosedScene | None:
        """Scene of the task; None if it cannot be drawn."""
        try:
            return None if self._task is None else PosedScene(self._task)
        except SimulatorUnavailable:
            return None

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Carry out jobs until `should_stop`, which also ends a replay after its present step."""
        self._should_stop = should_stop
        while not should_stop():
            job = self._jobs.next()
            try:
                self._carry_out(job)
            except ReplayStopped:
                return
            except Exception as error:
                log.exception("The tab Mark could not carry out a request")
                self._report_failure(job, f"{str(error) or type(error).__name__}; see the terminal")

    def close(self) -> None:
        """Close the environment."""
        if self._env is not None:
            self._env.close()

    def _carry_out(self, job: str | Annotation | AnnotateJob | None) -> None:
        if job is None:
            self._look()
        elif isinstance(job, str):
            self._open(job)
        elif isinstance(job, AnnotateJob):
            self._annotate(job)
        else:
            self._examine(job)

    def _report_failure(self, job: str | Annotation | AnnotateJob | None, reason: str) -> None:
        """Report an unexpected error: the page must not wait for a result that does not follow."""
        if isinstance(job, str):
            self._reports.open_failed(job, reason)
        elif isinstance(job, AnnotateJob):
            self._reports.annotation_failed(reason)
        elif job is not None:
            self._reports.examined(job, [])

    def _look(self) -> None:
        try:
            if self._demos.update():
                self._reports.found_demos()
        except MimicError as error:
            self._reports.list_failed(str(error))

    def _environment(self) -> MimicEnv | None:
        if self._env is None and self._make_env is not None:
            self._env = self._make_env()
        return self._env

    def _open(self, name: str) -> None:
        try:
            demo = self._demos.read(name)
            view = view_demo(demo, self.scene)
            env = self._environment()
            self._reports.opened(name, view, {} if env is None else gripper_spans(env, demo))
        except MimicError as error:
            self._reports.open_failed(name, str(error))
            return
        try:
            self._reports.replayed(name, self._replay(demo, env), "")
        except MimicError as error:
            self._reports.replayed(name, self._annotated_before(demo), str(error))

    def _replay(self, demo: Demo, env: MimicEnv | None) -> ReplayedDemo:
        """Replay a demo with the signals of the task, or read its signals from its states.

        Raises:
            MimicError: neither is possible.
        """
        if env is not None:
            if not demo.below("initial_state"):
                demo.refuse("replay requires a group 'initial_state', which is missing; record the demo again")
            source = SignalSource(auto=True, starts=self._settings.with_starts)
            num_success_steps = self._settings.config.datagen_config.num_success_steps
            (replayed,) = replay_with_info(env, [demo], num_success_steps, source, self._check_not_stopped)
            return replayed
        if self._task is None or self._config is None:
            demo.refuse("cannot be replayed here; run `mimic annotate`")
        complete = with_info(demo, self._task, self._config, self._settings.with_starts)
        info = {path: leaf for path, leaf in complete.leaves.items() if path.startswith(f"{INFO}/")}
        return ReplayedDemo(demo, info, None)

    def _check_not_stopped(self, *_: object) -> None:
        if self._should_stop():
            raise ReplayStopped

    def _annotated_before(self, demo: Demo) -> ReplayedDemo | None:
        """Poses and signals of a demo that cannot be replayed, but is annotated; otherwise None."""
        info = {path: leaf for path, leaf in demo.leaves.items() if path.startswith(f"{INFO}/")}
        return ReplayedDemo(demo, info, None) if info else None

    def _examine(self, annotation: Annotation) -> None:
        env = self._environment()
        findings: list[dict[str, Any]] = []
        if env is None or self._task is None or self._config is None:
            self._reports.examined(annotation, findings)
            return
        try:
            findings = examine_annotation(annotation, env, self._task, self._config, self._check_not_stopped)
        except MimicError as error:
            log.debug("A demo could not be examined: %s", error)
        self._reports.examined(annotation, findings)

    def _annotate(self, job: AnnotateJob) -> None:
        settings, task = self._settings, self._task
        try:
            env = self._environment()
            assert env is not None, "the tab refuses the request without an environment"
            annotations = annotate_file(
                settings.input_file,
                settings.output_file,
                env,
                settings.config,
                auto=settings.auto,
                start_signals=settings.with_starts,
                marks_file=settings.marks_file,
                marks=job.marks,
                recorder=settings.recorder,
                overwrite=job.overwrite,
                demos=settings.demos,
                explain=no_reasons if task is None else partial(explain, task.preset or task.name, task),
                after_step=self._check_not_stopped,
            )
        except MimicError as error:
            self._reports.annotation_failed(str(error))
        else:
            self._reports.annotated(annotations)


def _task_config(task: Task | None) -> MimicEnvCfg | None:
    """Configuration with which demos are examined; None without one."""
    if task is None:
        return None
    try:
        return load_task_config(task.preset or task.name, task_dirs()[1:])[1]
    except MimicError:
        return None
