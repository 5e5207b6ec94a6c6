"""A recording at a page of the studio, in a thread of the test."""

import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.run.record import record
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.studio.session import opened_page
from isaaclab_mimic_ext.studio.tabs import Tab
from tests.processes import HANG_S


class Recording:
    """A recording at a page, in a thread.

    Attributes:
        url: address of the page, with the token.
        tab: the tab Record.
        other_tabs: the other tabs of the page.
    """

    def __init__(
        self,
        path: Path,
        num_demos: int = 2,
        step_hz: float = 60.0,
        engine: str = "kinematic",
        task: str = "desktop_organizer",
        other_tabs: Sequence[Tab] = (),
    ):
        self.path, self._num_demos, self._step_hz, self.other_tabs = path, num_demos, step_hz, other_tabs
        self._make_env = partial(mimic.make_env, mimic.load_task(task), engine, num_envs=1)
        self.env = self._make_env()
        self.result: RunResult | None = None
        self._is_stopped = False
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        second, tabs = self._make_env, self.other_tabs
        page = opened_page(self.env, self.path, self._num_demos, "127.0.0.1", 0, (), second, other_tabs=tabs)
        with page as (self.tab, self.server):
            self._started.set()
            self.result = record(
                self.env,
                self.path,
                self.tab.device,
                self._num_demos,
                config=DataGenConfig(num_success_steps=5),
                resume=True,
                operator_name="browser",
                monitor=self.tab,
                should_stop=lambda: self._is_stopped or self.tab.device.wants_end(),
                step_hz=self._step_hz,
            )
            self.tab.show_end("mimic annotate", "the recording has ended")

    @property
    def url(self) -> str:
        return self.server.url

    def __enter__(self) -> "Recording":
        self._thread.start()
        assert self._started.wait(HANG_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_stopped = True
        self._thread.join(HANG_S)
        assert not self._thread.is_alive()
