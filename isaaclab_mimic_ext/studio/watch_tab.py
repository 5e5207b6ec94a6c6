"""The tab Watch: figures of a run, its environments in motion, and ended trials again."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.errors import MimicError
from isaaclab_mimic_ext.run.session import RunFolder
from isaaclab_mimic_ext.studio.doctor import ReplayStopped
from isaaclab_mimic_ext.studio.live_grid import POS_UNIT, QUAT_UNIT, LiveGrid
from isaaclab_mimic_ext.studio.protocol import Refusal, check_fields, choice, integer
from isaaclab_mimic_ext.studio.tabs import Client, Resource, Tab
from isaaclab_mimic_ext.studio.trial_motion import poses_of, read_motion
from isaaclab_mimic_ext.studio.watched_run import RunFigures, find_runs, places_of, read_figures
from isaaclab_mimic_ext.task.definition import Task

log = logging.getLogger(__name__)

_PERIOD_S = 1.0
_REST = 20.0
"""Shortest time between two readings of the figures, in parts of the time that one takes."""
_MAX_MOTIONS = 16
"""Number of motions of trials that are kept for the pages."""
_LAST_TRIAL = 2**31 - 1


class WatchTab(Tab):
    """Figures, live poses and motions of the runs in a folder. While no page shows the tab, nothing is read.

    Args:
        root: folder of a run, or folder that contains runs.
        task: task whose scene the page draws; None: the page shows figures only.
        no_scene: reason why the scene cannot be drawn; empty if it can.
    """

    name: ClassVar[str] = "watch"
    title: ClassVar[str] = "Watch"

    def __init__(self, root: Path, task: Task | None, no_scene: str = ""):
        self._root, self._task, self._no_scene = root, task, no_scene
        self._ended = threading.Event()
        self._wanted: Path | None = None
        self._run: RunFolder | None = None
        self._figures: RunFigures | None = None
        self._has_failed = True
        self._state: dict[str, Any] = {}
        self._live: dict[str, Any] = {"is_live": False, "text": ""}
        self._motions: OrderedDict[str, bytes] = OrderedDict()
        self._orders: dict[Client, int] = {}
        self._ordered = threading.Condition()
        self._grid = LiveGrid(self._socket, self._make_scene, self.publish_frame, self._show_live)
        self._threads = [
            threading.Thread(target=self._read_figures, name="figures", daemon=True),
            threading.Thread(target=self._read_motions, name="motions", daemon=True),
        ]

    def __enter__(self) -> "WatchTab":
        for thread in self._threads:
            thread.start()
        self._grid.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with self._ordered:
            self._ordered.notify_all()
        self._grid.close()
        self._threads[0].join(timeout=5.0)
        self._threads[1].join()  # A process must not end while the thread simulates; a trial ends after its present step.

    @property
    def _is_shown(self) -> bool:
        return any(client.shown == self.name for client in list(self._clients))

    # Threads of the tab

    def _read_figures(self) -> None:
        rest = 0.0
        while not self._ended.wait(0.2 if not self._is_shown else rest):
            rest = _PERIOD_S
            if not self._is_shown:
                continue
            began = time.monotonic()
            try:
                self._refresh()
            except Exception:
                log.exception("The figures of the run could not be read")
            rest = max(_PERIOD_S, _REST * (time.monotonic() - began))

    def _refresh(self) -> None:
        runs = find_runs(self._root)
        self._run = next((run for run in runs if run.path == self._wanted), runs[0] if runs else None)
        self._figures = None if self._run is None else self._without_glitch(read_figures(self._run))
        state = self._state_of(runs)
        if state != self._state:
            self._state = state
            self.publish(state)

    def _without_glitch(self, figures: RunFigures) -> RunFigures:
        """Figures of the last reading, if this one failed for the first time: a run that starts creates its store."""
        before, self._has_failed = self._has_failed, figures.records is None
        return self._figures if self._has_failed and not before and self._figures is not None else figures

    def _state_of(self, runs: list[RunFolder]) -> dict[str, Any]:
        event = {
            "event": "run",
            "folder": str(self._root if self._run is None else self._run.path),
            "runs": [run.path.name for run in runs],
            "chosen": next((index for index, run in enumerate(runs) if run == self._run), 0),
            "no_scene": self._fault_of_scene(),
            "units": [POS_UNIT, QUAT_UNIT],
        }
        if self._figures is None:
            command = command_line("generate", input_file="<annotated.hdf5>", output_dir=self._root / "generation")
            return {**event, "state": "none", "text": "No run is in this folder yet.", "command": command}
        return {**event, **self._figures.state}

    def _fault_of_scene(self) -> str:
        """Reason for which the page cannot draw the run; empty if it can."""
        task = "" if self._figures is None else str(self._figures.state.get("task", ""))
        if self._task is not None and task not in ("", self._task.name):
            watch = command_line("watch", input_dir=self._run.path) if self._run else ""
            return f"this page draws the scene of {self._task.name}, and the run is of {task}; watch it with: {watch}"
        return self._no_scene

    def _socket(self) -> Path | None:
        is_drawn = self._is_shown and self._figures is not None and not self._fault_of_scene()
        return self._run.socket if is_drawn and self._run and self._figures and self._figures.is_running else None

    def _make_scene(self) -> PosedScene:
        assert self._task is not None
        return PosedScene(self._task)

    def _show_live(self, is_live: bool, text: str) -> None:
        live = {"is_live": is_live, "text": text}
        if live != self._live:
            self._live = live
            self.publish({"event": "live", **live})

    def _read_motions(self) -> None:
        scene: PosedScene | None = None
        while (order := self._next_order()) is not None:
            client, trial = order
            try:
                scene = scene or self._make_scene()
                answer = self._motion(scene, trial)
            except ReplayStopped:
                return
            except MimicError as error:
                answer = {"fault": str(error)}
            except Exception as error:
                log.exception("Trial %d could not be read", trial)
                answer = {"fault": f"trial {trial} cannot be read ({error}); see the terminal"}
            event = {"tab": self.name, "event": "motion", "trial": trial, **answer}
            self._post(partial(client.send, event))

    def _next_order(self) -> tuple[Client, int] | None:
        """Wait for a page that wants a trial, and return both; None at the end. The newest order of a page counts."""
        with self._ordered:
            self._ordered.wait_for(lambda: self._orders or self._ended.is_set())
            return None if self._ended.is_set() else self._orders.popitem()

    def _motion(self, scene: PosedScene, trial: int) -> dict[str, Any]:
        run, figures = self._run, self._figures
        if run is None or figures is None or figures.records is None or self._task is None:
            return {"fault": "the trials of the run cannot be read now; try again"}
        states, origin = read_motion(run, figures.records, trial, self._task, self._check_open)
        poses = poses_of(scene, states)
        name = f"{run.path.name}-{trial}"
        self._motions[name] = poses.astype("<f4").tobytes()
        while len(self._motions) > _MAX_MOTIONS:
            self._motions.popitem(last=False)
        row = int((figures.records.trials == trial).argmax())
        failure = {"reason": str(figures.records.reason[row]), "failed_step": int(figures.records.step[row])}
        places = places_of(figures.records, row)
        return {"name": name, "num_steps": len(poses), "origin": origin, "places": places, **failure}

    def _check_open(self) -> None:
        if self._ended.is_set():
            raise ReplayStopped

    # Network thread

    def connected(self, client: Client) -> None:
        if self._state:
            client.send({"tab": self.name, **self._state})
            client.send({"tab": self.name, "event": "live", **self._live})

    def disconnected(self, client: Client) -> None:
        with self._ordered:
            self._orders.pop(client, None)

    def receive(self, client: Client, message: Mapping[str, Any]) -> Any:
        check_fields("message", message, ["do"], ["trial", "run"])
        if choice("do", message["do"], ("play", "choose")) == "play":
            if fault := self._fault_of_scene():
                raise Refusal(f"play: {fault}")
            with self._ordered:
                self._orders[client] = integer("trial", message.get("trial"), 0, _LAST_TRIAL)
                self._ordered.notify_all()
        elif not client.has_control:
            raise Refusal("run: all pages show the run that is chosen, and another page has control; take control first")
        else:
            names = self._state.get("runs", [])
            name = choice("run", message.get("run"), names)
            self._wanted = next((run.path for run in find_runs(self._root) if run.path.name == name), None)

    def resource(self, path: tuple[str, ...]) -> Resource | None:
        motion = self._motions.get(path[1]) if len(path) == 2 and path[0] == "motion" else None
        return None if motion is None else Resource(motion)
