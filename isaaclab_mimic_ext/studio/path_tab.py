"""The path from a recording to a generated dataset: a strip on every tab, which starts the commands of the steps."""

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar

from isaaclab_mimic_ext.errors import MimicError, OutputError
from isaaclab_mimic_ext.studio.path_jobs import StepRunner
from isaaclab_mimic_ext.studio.path_results import last_lines, progress_of
from isaaclab_mimic_ext.studio.path_steps import (
    DEFAULT_COUNT,
    MARK,
    REPORT,
    STARTED,
    PathFiles,
    Recorded,
    State,
    StepState,
)
from isaaclab_mimic_ext.studio.protocol import Refusal, check_fields, choice, integer
from isaaclab_mimic_ext.studio.tabs import Client, Resource, Tab

log = logging.getLogger(__name__)

_PERIOD_S = 0.5
"""Time between two looks at the files [s]."""
_MAX_COUNT = 1_000_000
_REPORT_POLICY = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; "
    "frame-ancestors 'none'"
}
"""The report contains its pictures and styles, and no scripts."""
_UNCONFIRMED = "exists; start the step again, and confirm that it is replaced"


class PathTab(Tab):
    """Strip with the steps. A thread looks at the files, and runs the commands, from `__enter__` to `__exit__`.

    One command runs at a time. Only the report may be written while a generation whose dataset is complete draws its videos.

    Args:
        files: reads the states of the steps.
        runner: runs their commands.

    Attributes:
        recorded: state of the recording; until it is known, no step can be started.
        is_annotating: returns whether the tab Mark writes the annotated file, so that the page cannot mark meanwhile.
    """

    name: ClassVar[str] = "path"
    title: ClassVar[str] = ""
    """Without a title, the page shows the module as a strip on every tab."""

    def __init__(self, files: PathFiles, runner: StepRunner):
        self._files, self._runner = files, runner
        self.recorded: Callable[[], Recorded] = lambda: Recorded((), 0, False)
        self.is_annotating: Callable[[], bool] = lambda: False
        self._orders: queue.Queue[tuple[str, str]] = queue.Queue()
        self._ordered = self._confirmed = ""
        self._count, self._for_policy = files.last_count() or DEFAULT_COUNT, files.is_for_policy()
        self._error = ""
        self._states: list[StepState] = []
        self._seen: Any = None
        self._shown_running: tuple[str, ...] = ()
        self._looking = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="path", daemon=True)

    def __enter__(self) -> "PathTab":
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        self._orders.put(("", ""))
        self._thread.join()

    @property
    def started(self) -> tuple[str, ...]:
        """Steps whose commands run, or start in a moment."""
        return (*self._runner.running, *([self._ordered] if self._ordered else []))

    # Own thread

    def _run(self) -> None:
        while not self._is_closed:
            try:
                order, step = self._orders.get(timeout=_PERIOD_S)
            except queue.Empty:
                order, step = "", ""
            try:
                try:
                    self._carry_out(order, step)
                finally:
                    if order == "start":
                        self._ordered = ""
                self._runner.poll()
                self._look()
            except (MimicError, OSError) as error:
                log.error("%s", error)
                self._error = str(error)
                self.publish(self._event())
        self._runner.close()

    def _carry_out(self, order: str, step: str) -> None:
        if order == "stop":
            self._runner.stop(step=step)
        if order == "start":
            self._error = ""
            self._look()
            state = next(each for each in self._states if each.name == step)
            if state.replaces not in ("", self._confirmed):
                raise OutputError(f"{step}: {state.replaces} {_UNCONFIRMED}")
            self._runner.start(step, state.command, self._files.facts_of(step))

    def _look(self) -> None:
        """Read the states if their files have changed, and send them if they differ."""
        with self._looking:
            stamps, facts = self._files.stamps(), (self.recorded(), self._runner.running, self._count, self._for_policy)
            seen = None if stamps is None else (stamps, facts, dict(self._runner.outcomes))
            if seen is not None and seen == self._seen:
                return
            self._seen = seen
            states = self._files.states(self.recorded(), self._runner.outcomes, self._count, self._for_policy)
            running = self._runner.running
            states = [self._running(each) if each.name in running else each for each in states]
            has_changed = (states, running) != (self._states, self._shown_running)
            self._states, self._shown_running = states, running
        if has_changed:
            self.publish(self._event())

    def _running(self, step: StepState) -> StepState:
        """The step whose command runs: with the last lines of its output."""
        lines = last_lines(self._files.folder.log(step.name))
        if step.state is State.RUNNING:
            return replace(step, reason="", output=lines)
        # The files may still be those of the last run.
        figure, short, share = progress_of(lines) if lines else ("starting", "", None)
        return replace(step, state=State.RUNNING, figure=figure, short=short, share=share, reason="", output=lines)

    # Network thread

    def _event(self) -> dict[str, Any]:
        return {
            "event": "steps",
            "steps": [asdict(step) for step in self._states],
            "running": self._shown_running,
            "elapsed_s": {step: round(seconds, 1) for step, seconds in self._runner.elapsed_s.items()},
            "count": self._count,
            "for_policy": self._for_policy,
            "is_for_policy": self._files.is_for_policy(),
            "error": self._error,
        }

    def connected(self, client: Client) -> None:
        commands = [{"text": text, "command": line} for text, line in self._files.next_commands()]
        client.send({"tab": self.name, "event": "commands", "commands": commands})
        client.send({"tab": self.name, **self._event()})

    def receive(self, client: Client, message: Mapping[str, Any]) -> Any:
        if not client.has_control:
            raise Refusal("path: another page has control; take control first")
        check_fields("message", message, ["do"], ["step", "count", "for_policy", "replaces"])
        order = choice("do", message["do"], ("start", "stop", "count"))
        if order == "count":
            self._count = integer("count", message.get("count"), 1, _MAX_COUNT)
            self._for_policy = message.get("for_policy") is True
            try:
                self._look()
            except (MimicError, OSError) as error:
                raise Refusal(f"count: {error}") from error
            return self._event()
        if order == "stop":
            if not (running := self._runner.running):
                raise Refusal("stop: no command runs")
            self._orders.put(("stop", choice("step", message.get("step", running[0]), running)))
        else:
            self._ordered = self._startable(message)
            self._orders.put(("start", self._ordered))
        return None

    def _startable(self, message: Mapping[str, Any]) -> str:
        """Name of the step that a message starts.

        Raises:
            Refusal: the step cannot be started.
        """
        name = choice("step", message.get("step"), STARTED)
        if running := next((each for each in self.started if not self._leaves_room(each, name)), ""):
            raise Refusal(f"{name}: '{running}' runs; wait until it has ended, or stop it")
        if name == MARK and self.is_annotating():
            raise Refusal(f"{name}: the tab Mark writes the annotated file; wait until it is written")
        step = next(each for each in self._states if each.name == name)
        if step.fault:
            raise Refusal(f"{name}: {step.fault}")
        if step.state is State.RUNNING:
            raise Refusal(f"{name}: a different process runs it")
        if step.replaces and message.get("replaces") != step.replaces:
            raise Refusal(f"{name}: {step.replaces} {_UNCONFIRMED}")
        self._confirmed = step.replaces
        return name

    def _leaves_room(self, running: str, name: str) -> bool:
        """Return whether a step may start while another one runs: the report, if only videos are missing."""
        return name == REPORT and any(each.name == running and each.is_written for each in self._states)

    def resource(self, path: tuple[str, ...]) -> Resource | None:
        """The report, which contains all that it needs; the picture of the check; the video of the generated demos."""
        folder = self._files.folder
        if path == ("report.html",) and folder.report.is_file():
            return Resource(folder.report.read_bytes(), "text/html; charset=utf-8", _REPORT_POLICY)
        for shown in (folder.check_picture, folder.video):
            if path == (shown.name,) and shown.is_file():
                return Resource.of_file(shown.name, shown.read_bytes())
        return None
