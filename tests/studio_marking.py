"""The tab Mark on a page of its own, with its jobs in a thread of the test."""

import json
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from isaaclab_mimic_ext.config.compose import load_config, load_task
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import config_of, make_env
from isaaclab_mimic_ext.studio.mark_jobs import MarkSettings
from isaaclab_mimic_ext.studio.mark_session import Marking, make_marking, served_marking
from tests.jobs import command
from tests.processes import HANG_S
from tests.studio_person import StudioPage

TASK = "desktop_organizer"


def record_demos(path: Path, num_demos: int = 2, *overrides: str) -> Path:
    """Record demos of the scripted operator, without physics."""
    words = ["sim=kinematic", f"num_demos={num_demos}", f"output_file={path}", *overrides]
    command("record", load_config("record_demos", words))
    return path


def make_task_env(task: str = TASK) -> MimicEnv:
    """One scene of a task, without physics."""
    return make_env(load_task(task), "kinematic", num_envs=1)


class MarkPage:
    """A page with the tab Mark alone, as `annotate gui=true` serves it. It examines demos, which is slow, with `has_doctor`.

    Attributes:
        marking: the tab and its worker.
        error: error that has ended the page.
    """

    def __init__(
        self,
        recording: Path,
        env: MimicEnv | None = None,
        folder: Path | None = None,
        has_doctor: bool = False,
        **settings: Any,
    ):
        self.env = env or make_task_env()
        folder = folder or recording.parent
        self.settings = MarkSettings(
            recording, folder / "annotated.hdf5", folder / "marks.yaml", config_of(self.env), **settings
        )
        self.marking: Marking = make_marking(self.settings, self.env, lambda: self.env, "mimic check", can_end=True)
        if not has_doctor:
            self.marking.worker._config = None
        self._is_stopped = False
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            with served_marking(self.marking, "127.0.0.1", 0) as server:
                self.url = server.url
                self._started.set()
                self.marking.run(lambda: self._is_stopped)
        except Exception as error:
            self.error = error
            self._started.set()

    def __enter__(self) -> "MarkPage":
        self._started = threading.Event()
        self._thread.start()
        assert self._started.wait(HANG_S)
        if self.error is not None:
            raise self.error
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._is_stopped = True
        self._thread.join(HANG_S)
        assert not self._thread.is_alive()


class MarkPerson(StudioPage):
    """A person at the tab Mark.

    Attributes:
        demos: name -> last event of each demo.
        marks: name -> marks of each demo.
    """

    def __init__(self, url: str, key: str = "page"):
        self.demos: dict[str, dict[str, Any]] = {}
        self.marks: dict[str, dict[str, Any]] = {}
        self.revision = 0
        super().__init__(url, key, tab="mark")
        self.wait_for(lambda: self.state and self.control)

    def _note(self, message: str | bytes) -> None:
        super()._note(message)
        event = json.loads(message)
        match event.get("tab"), event.get("event"):
            case "mark", "state":
                self.revision = event["revision"]
                self.marks = {demo["name"]: demo["marks"] for demo in event["demos"]}
            case "mark", "marks":
                self.revision, self.marks[event["demo"]] = event["revision"], event["marks"]
            case "mark", "demo":
                self.demos[event["demo"]] = event

    def open(self, name: str) -> dict[str, Any]:
        """Open a demo, and wait until it was replayed."""
        assert self.order("open", demo=name) is None
        self.wait_for(lambda: self.demos.get(name, {}).get("replay") in ("done", "failed"))
        return self.demos[name]

    def mark(self, demo: str, leave_out: bool = False, start: Any = None, **term: Any) -> str | None:
        """Set the marks of a demo; return the text of the refusal."""
        marks, revision = {"term": term, "start": start or {}, "leave_out": leave_out}, self.revision
        refusal = self.order("set", demo=demo, revision=revision, marks=marks)
        if refusal is None:
            self.wait_for(lambda: self.revision != revision)
        return refusal

    def poses(self, name: str) -> np.ndarray:
        """Poses of all bodies in all frames of a demo, (T + 1, B, 7)."""
        body = self.get_bytes(f"/mark/poses/{name}")
        return np.frombuffer(body, "<f4").reshape(-1, len(self.scene["bodies"]), 7)

    def annotate(self, overwrite: bool = False) -> dict[str, Any]:
        """Write the annotated file, and return what the page shows about it."""
        self.state = self.state | {"annotation": {"state": "ordered"}}  # The last one may have been done as well.
        assert self.order("annotate", overwrite=overwrite) is None
        self.wait_for(lambda: self.state["annotation"]["state"] in ("done", "failed"))
        return dict(self.state["annotation"])
