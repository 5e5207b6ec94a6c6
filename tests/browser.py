"""Headless Chromium, driven over its DevTools protocol with `websockets` alone."""

import base64
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.processes import HANG_S

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--mute-audio", "--remote-debugging-port=0", "--hide-scrollbars",
    "--disable-features=Translate,MediaRouter,OptimizationHints",
)  # fmt: skip
_KEY_NAMES = {"Space": " ", "Escape": "Escape", "Enter": "Enter", "ShiftLeft": "Shift", "Tab": "Tab"}
_KEY_NUMBERS = {"Space": 32, "Escape": 27, "Enter": 13, "ShiftLeft": 16, "Tab": 9}


class Navigated(Exception):
    """Raised when the page loads another document before it has answered."""


class Page:
    """One page of the browser.

    Attributes:
        requests: addresses that the page has requested.
        problems: errors on its console.
    """

    def __init__(self, socket: ClientConnection, session: str):
        self._socket, self._session, self._number = socket, session, 0
        self.requests: list[str] = []
        self.problems: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        self._number += 1
        message = {"id": self._number, "sessionId": self._session, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=HANG_S))
            if answer.get("id") == self._number and answer.get("sessionId") == self._session:
                if "navigated" in answer.get("error", {}).get("message", ""):
                    raise Navigated(answer["error"]["message"])
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("sessionId") != self._session:
            return
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(event["params"]["request"]["url"])
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(event["params"]["exceptionDetails"])[:500])
            case "Log.entryAdded" if event["params"]["entry"]["level"] == "error":
                self.problems.append(event["params"]["entry"]["text"])

    def open(self, url: str) -> None:
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression; a promise is awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, (expression, result["exceptionDetails"])
        return result["result"].get("value")

    def wait_for(self, expression: str, seconds: float = HANG_S) -> Any:
        """Wait until an expression is true, and return its value. The page may navigate meanwhile."""
        end = time.monotonic() + seconds
        while not (value := self._value_if_loaded(expression)):
            assert time.monotonic() < end, f"never true: {expression}; problems: {self.problems}"
            time.sleep(0.05)
        return value

    def _value_if_loaded(self, expression: str) -> Any:
        try:
            return self.evaluate(expression)
        except Navigated:
            return None

    def key(self, kind: str, code: str) -> None:
        """Press (`down`) or release (`up`) a key by its `event.code`."""
        name = _KEY_NAMES.get(code, code.removeprefix("Key").removeprefix("Digit").lower())
        number = _KEY_NUMBERS.get(code, ord(name[0].upper()))
        pressed = {"type": "keyDown", "text": "\r"} if code == "Enter" else {"type": "rawKeyDown"}  # Enter presses buttons.
        how = {"down": pressed, "up": {"type": "keyUp"}}[kind]
        self.call("Input.dispatchKeyEvent", code=code, key=name, windowsVirtualKeyCode=number, **how)

    def press(self, code: str) -> None:
        self.key("down", code)
        self.key("up", code)

    def click(self, selector: str) -> None:
        """Click the center of an element that the mouse can reach."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()"
        place = self.evaluate(box)
        x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def set_size(self, width: int, height: int, is_phone: bool = False) -> None:
        scale = 1
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=is_phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=is_phone)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


class Browser:
    """A running browser; made by `open_browser`."""

    def __init__(self, socket: ClientConnection):
        self._socket, self._number = socket, 10**6
        self._targets: list[str] = []

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=HANG_S))
            if answer.get("id") == self._number:
                return dict(answer["result"])

    def page(self, url: str, width: int = 640, height: int = 420, is_phone: bool = False) -> Page:
        """Open a page in a new tab."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._targets.append(target)
        page = Page(self._socket, self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        page.set_size(width, height, is_phone)
        page.open(url)
        return page

    def close_pages(self) -> None:
        """Close all tabs. An open one would connect to the next server at the same port, and could get control."""
        while self._targets:
            self._call("Target.closeTarget", targetId=self._targets.pop())


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """Run Chromium with a new profile in `folder`."""
    assert PROGRAM is not None
    command = [PROGRAM, *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"ws://\S+", line):
                    break
            else:
                raise AssertionError("Chromium has not started")
            with connect(found[0], max_size=None, compression=None, ping_interval=None) as socket:
                yield Browser(socket)
        finally:
            process.kill()
