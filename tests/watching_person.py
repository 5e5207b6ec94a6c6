"""A person who watches a run at the page, as a websocket client in Python."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from isaaclab_mimic_ext.envs.posed_scene import PosedScene, describe_scene
from isaaclab_mimic_ext.run.session import RunFolder
from isaaclab_mimic_ext.studio.live_grid import HEAD, POS_UNIT
from isaaclab_mimic_ext.studio.server import StudioServer
from isaaclab_mimic_ext.studio.watch_tab import WatchTab
from isaaclab_mimic_ext.task.definition import load_task
from tests.studio_person import StudioPage, get


class WatchPage(StudioPage):
    """A page that shows the tab Watch.

    Attributes:
        run: last state of the run.
        live: last event about the live poses.
        motions: events about motions of trials, by trial.
    """

    def __init__(self, url: str, key: str = "page"):
        self.run: dict[str, Any] = {}
        self.live: dict[str, Any] = {}
        self.motions: dict[int, dict[str, Any]] = {}
        self._url = url
        super().__init__(url, key)
        self.tell({"show": "watch"})

    def _note(self, message: str | bytes) -> None:
        event = {} if isinstance(message, bytes) else json.loads(message)
        if event.get("tab") != "watch":
            super()._note(message)
        elif event["event"] == "motion":
            self.motions[event["trial"]] = event
        else:
            setattr(self, event["event"], event)

    def play(self, trial: int) -> dict[str, Any]:
        """Ask for the motion of a trial, and return the answer."""
        self.motions.pop(trial, None)
        assert self.ask({"tab": "watch", "do": "play", "trial": trial}) is None
        self.wait_for(lambda: trial in self.motions)
        return self.motions[trial]

    def wait_for_end(self) -> None:
        """Wait until the run is finished, and its live poses have ended."""
        self.wait_for(lambda: self.run.get("state") == "finished" and not self.live.get("is_live"))

    def heads(self) -> np.ndarray:
        """Trial, step and whether it runs of each environment in the newest frame, (n, 3)."""
        _, count, _, _ = HEAD.unpack_from(self.raw_frame)
        return np.frombuffer(self.raw_frame, "<i4", 3 * count, HEAD.size).reshape(count, 3)

    def positions(self) -> np.ndarray:
        """Position of each body of each environment in the newest frame, (n, B, 3) [m]."""
        _, count, num_bodies, _ = HEAD.unpack_from(self.raw_frame)
        poses = np.frombuffer(self.raw_frame, "<i2", offset=HEAD.size + 12 * count).reshape(count, num_bodies, 7)
        return poses[..., :3] * POS_UNIT

    def motion(self, event: dict[str, Any]) -> np.ndarray:
        """Poses of all bodies in each step of a trial, (T, B, 7)."""
        answer = get(self._url, f"/watch/motion/{event['name']}", Cookie=self.cookie)
        assert answer.status == 200
        return np.frombuffer(answer.body, "<f4").reshape(event["num_steps"], -1, 7)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Watched:
    """A page that is served: its tab, and its address with the token."""

    tab: WatchTab
    url: str


@contextmanager
def opened_watch(folder: RunFolder, task: str = "desktop_organizer") -> Iterator[Watched]:
    """Serve the page of a run."""
    loaded = load_task(task)
    with WatchTab(folder.path, loaded) as tab, StudioServer([tab], describe_scene(PosedScene(loaded)), port=0) as server:
        yield Watched(tab, server.url)


@contextmanager
def watched(folder: RunFolder, num_pages: int = 1, task: str = "desktop_organizer") -> Iterator[list[WatchPage]]:
    """Serve the page of a run, and open it."""
    with opened_watch(folder, task) as server:
        pages = [WatchPage(server.url, f"page{index}") for index in range(num_pages)]
        try:
            yield pages
        finally:
            for page in pages:
                page.close()
