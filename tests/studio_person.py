"""A person at the page of the studio, as a websocket client in Python."""

# E end effectors, B bodies that move

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from isaaclab_mimic_ext.studio.frames import HEAD
from tests.processes import HANG_S


def get(url: str, path: str | None = None, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    """Answer to a request, with a body that is read: `answer.body`, `answer.text`."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=HANG_S)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, f"{parts.path}?{parts.query}" if path is None else path, headers=names)
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    answer.text = answer.body.decode(errors="replace")  # type: ignore[attr-defined]
    connection.close()
    return answer


def cookie_of(url: str) -> str:
    """Cookie that the address with the token sets."""
    return (get(url).headers["Set-Cookie"] or "").partition(";")[0]


@dataclass(frozen=True)
class Frame:
    """A decoded frame; attributes as in `studio.frames`."""

    step: int
    num_made: int
    num_solved: int
    signals: int
    epoch: int
    targets: np.ndarray
    bodies: np.ndarray


class StudioPage:
    """A connected page. A thread receives, and acknowledges frames like the page does.

    Args:
        url: address with the token.
        key: secret by which the server recognizes a page that connects again.
        origin, cookie: headers of the websocket; None: those of the page.
        tab: tab that the page shows.

    Attributes:
        state: last state of the tab.
    """

    def __init__(
        self, url: str, key: str = "page", origin: str | None = None, cookie: str | None = None, tab: str = "record"
    ):
        self.tab = tab
        parts = urlsplit(url)
        own = f"{parts.scheme}://{parts.netloc}"
        self.url, self.cookie = url, cookie_of(url)
        self.scene = json.loads(get(url, "/scene.json", Cookie=self.cookie).text)  # type: ignore[attr-defined]
        self._stack = ExitStack()
        connection = connect(
            f"ws://{parts.netloc}/socket?page={key}",
            additional_headers={"Cookie": self.cookie if cookie is None else cookie},
            origin=Origin(own if origin is None else origin),
            compression=None,
        )
        self._socket = self._stack.enter_context(connection)
        self._changed = threading.Condition()
        self._answers: dict[int, dict[str, Any]] = {}
        self._number = self._sequence = 0
        self.state: dict[str, Any] = {}
        self.control: dict[str, Any] = {}
        self.raw_frame = b""
        self.num_bytes = 0
        self.is_closed = False
        self.acknowledges = True
        threading.Thread(target=self._receive, daemon=True).start()
        self.tell({"show": tab})

    def _receive(self) -> None:
        try:
            for message in self._socket:
                with self._changed:
                    self._note(message)
                    self._changed.notify_all()
        except ConnectionClosed:
            pass
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()

    def _note(self, message: str | bytes) -> None:
        self.num_bytes += len(message)
        if isinstance(message, bytes):
            self.raw_frame = message
            if self.acknowledges:
                self.tell({"ack": 1})
            return
        event = json.loads(message)
        if "answer" in event:
            self._answers[event["answer"]] = event
        elif event["event"] == "control":
            self.control = event
        elif event["event"] == "state" and event["tab"] == self.tab:
            self.state = event

    def tell(self, message: Mapping[str, Any] | str) -> None:
        self._socket.send(message if isinstance(message, str) else json.dumps(message))

    def ask(self, message: Mapping[str, Any]) -> str | None:
        """Send a message, and return the text of its refusal; None if it was carried out."""
        self._number += 1
        number = self._number
        self.tell({"id": number, **message})
        self.wait_for(lambda: number in self._answers)
        return self._answers.pop(number).get("error")

    def order(self, name: str, **fields: Any) -> str | None:
        return self.ask({"tab": self.tab, "do": name, **fields})

    def get_bytes(self, path: str) -> bytes:
        """Body of a resource of the page."""
        answer = get(self.url, path, Cookie=self.cookie)
        assert answer.status == HTTPStatus.OK, (path, answer.text)  # type: ignore[attr-defined]
        return bytes(answer.body)  # type: ignore[attr-defined]

    def wait_for(self, is_true: Callable[[], Any], seconds: float = HANG_S) -> None:
        with self._changed:
            assert self._changed.wait_for(is_true, seconds), f"never true; state: {self.state}, control: {self.control}"

    def wait_for_phase(self, *phases: str) -> None:
        self.wait_for(lambda: self.state.get("phase") in phases)

    def command(
        self, v: Any = (0, 0, 0), w: Any = (0, 0, 0), grip: Any = None, hand: int = 0, device: str = "keyboard"
    ) -> None:
        """Send the state of the keys."""
        self._sequence += 1
        fields = {
            "seq": self._sequence,
            "epoch": self.state["epoch"],
            "hand": hand,
            "v": [float(value) for value in v],
            "w": [float(value) for value in w],
            "grip": list(self.state["grippers"] if grip is None else grip),
            "device": device,
        }
        self.tell({"tab": "record", "in": fields})

    @property
    def frame(self) -> Frame:
        """The newest frame."""
        head = HEAD.unpack_from(self.raw_frame)
        poses = np.frombuffer(self.raw_frame, "<f4", offset=HEAD.size).reshape(-1, 7)
        num_hands = len(self.scene["hands"])
        return Frame(head[1], head[2], head[3], head[4], head[6], poses[:num_hands], poses[num_hands:])

    def object_pos(self, name: str) -> np.ndarray:
        """Position of an object [m]."""
        body = next(each["body"] for each in self.scene["objects"] if each["name"] == name)
        return self.frame.bodies[body, :3]

    def hand_pos(self, hand: int = 0) -> np.ndarray:
        """Position of an end effector [m]."""
        place = self.scene["hands"][hand]
        pose = self.frame.bodies[place["body"]]
        return pose[:3] + _rotated(pose[3:], np.array(place["pos"]))

    def close(self) -> None:
        self._stack.close()

    def cut(self) -> None:
        """Break the connection without a word, as a network does."""
        self._socket.socket.close()


def _rotated(quat_xyzw: np.ndarray, vector: np.ndarray) -> np.ndarray:
    axis, w = quat_xyzw[:3], quat_xyzw[3]
    twice = 2.0 * np.cross(axis, vector)
    return vector + w * twice + np.cross(axis, twice)


@dataclass(frozen=True)
class Goal:
    """Place of the hand, gripper and speed of one part of a demo; steps to rest there, and largest distance [m]."""

    pos: np.ndarray
    grip: float
    hold: int = 0
    speed: float = 1.0
    tolerance: float = 0.006


class BottleMover:
    """Puts the ketchup into the basket, by what the page shows: pure feedback, a key presser can do the same."""

    def __init__(self, ketchup: np.ndarray, basket: np.ndarray):
        high, grasp, off, lifted = (ketchup + np.array((0.0, 0.0, height)) for height in (0.12, 0.018, 0.06, 0.20))
        above = np.array((*basket[:2], lifted[2]))
        inside, retreat = (basket + np.array((0.0, 0.0, height)) for height in (0.115, 0.26))
        self.goals = [
            Goal(high, 1),
            Goal(grasp, 1, speed=0.25, tolerance=0.0035),
            Goal(grasp, -1, 12),
            Goal(off, -1, speed=0.25),
            Goal(lifted, -1),
            Goal(above, -1),
            Goal(inside, -1, speed=0.4),
            Goal(inside, 1, 8),
            Goal(retreat, 1, 50),
        ]
        self.index, self.arrived_at = 0, -1

    def next(self, hand: np.ndarray, step: int) -> tuple[np.ndarray, Goal]:
        """Offset to the goal [m], and the goal."""
        goal = self.goals[self.index]
        offset = goal.pos - hand
        if np.abs(offset).max() < goal.tolerance:
            self.arrived_at = step if self.arrived_at < 0 else self.arrived_at
            if step - self.arrived_at >= goal.hold and self.index < len(self.goals) - 1:
                self.index, self.arrived_at = self.index + 1, -1
        return offset, goal


def make_demo(page: StudioPage, seconds: float = HANG_S, is_over: Callable[[], bool] = lambda: False) -> None:
    """Solve the desktop organizer at the page, up to the review."""
    page.wait_for_phase("ready", "still", "recording", "paused")
    page.wait_for(lambda: page.raw_frame and page.frame.epoch == page.state["epoch"])
    mover = BottleMover(page.object_pos("ketchup").copy(), page.object_pos("basket").copy())
    page.command()
    end = time.monotonic() + seconds
    while page.state["phase"] != "review" and not is_over():
        assert time.monotonic() < end, (mover.index, page.state, page.frame.step)
        offset, goal = mover.next(page.hand_pos(), page.frame.step)
        speed = np.clip(offset / 0.04, -1, 1)
        speed = np.where(np.abs(offset) < 0.003, 0.0, goal.speed * speed / max(1.0, float(np.linalg.norm(speed))))
        if page.state["phase"] == "still" and not speed.any():
            speed[2] = 0.02  # Time stands still without a command.
        page.command(speed, grip=[goal.grip])
        time.sleep(0.04)
