"""Base class of the tabs of the studio, and the pages that are connected."""

import asyncio
import json
import mimetypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from isaaclab_mimic_ext.studio.protocol import Refusal

_KINDS = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".html": "text/html"}


@dataclass(frozen=True)
class Resource:
    """Answer to a GET request."""

    body: bytes
    kind: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers that replace those of all answers."""

    @classmethod
    def of_json(cls, value: Any) -> "Resource":
        """Resource with a value as JSON."""
        return cls(json.dumps(value, allow_nan=False).encode(), "application/json")

    @classmethod
    def of_file(cls, name: str, body: bytes) -> "Resource":
        """Resource with the contents of a file; its name determines its type."""
        suffix = f".{name.rpartition('.')[2]}"
        kind = _KINDS.get(suffix) or mimetypes.types_map.get(suffix, "text/plain")
        return cls(body, f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)


class Client:
    """A page that is connected. Only the network thread uses it.

    Attributes:
        key: secret that the page keeps, so that it is recognized when it connects again.
        number: number of the connection, for display.
        shown: name of the tab that the page shows.
        has_control: whether the page has control.
    """

    def __init__(self, key: str, number: int):
        self.key, self.number = key, number
        self.shown, self.has_control = "", False
        self.events: asyncio.Queue[str] = asyncio.Queue(maxsize=1000)
        self.frame: bytes | None = None
        self.frame_ready, self.acknowledged = asyncio.Event(), asyncio.Event()
        self.acknowledged.set()

    def send(self, event: Mapping[str, Any]) -> None:
        """Queue an event for the page. A page that reads none of 1000 events loses the later ones."""
        if not self.events.full():
            self.events.put_nowait(json.dumps(event, allow_nan=False))

    def offer(self, frame: bytes) -> None:
        """Replace the frame that waits for the page."""
        self.frame = frame
        self.frame_ready.set()


class Tab:
    """A tab of the studio; a subclass overrides what it needs. See the docstring of the package."""

    name: ClassVar[str]
    title: ClassVar[str]
    _post: Callable[[Callable[[], None]], None] = staticmethod(lambda action: None)
    _clients: Sequence[Client] = ()

    def attach(self, clients: Sequence[Client], post: Callable[[Callable[[], None]], None]) -> None:
        """Connect the tab to a server. `clients` changes with the pages; `post` runs a function in the network thread."""
        self._clients, self._post = clients, post

    def connected(self, client: Client) -> None:
        """Welcome a page: send the state that it needs. Also called when the control of a page changes."""

    def shown(self, client: Client) -> None:
        """Note that a page shows the tab from now on: offer the frame that it needs."""

    def disconnected(self, client: Client) -> None:
        """Note that a page has gone."""

    def receive(self, client: Client, message: Mapping[str, Any]) -> Any:
        """Carry out a message, and return the answer, a value of JSON.

        Raises:
            Refusal: the message cannot be carried out.
        """
        raise Refusal(f"{self.name}: takes no messages")

    def resource(self, path: tuple[str, ...]) -> Resource | None:
        """Resource below the address of the tab, by the parts of its path; None if there is none."""
        return None

    def publish(self, event: Mapping[str, Any]) -> None:
        """Send an event to all pages, from any thread."""
        message = {"tab": self.name, **event}

        def send() -> None:
            for client in self._clients:
                client.send(message)

        self._post(send)

    def publish_frame(self, frame: bytes) -> None:
        """Offer a frame to the pages that show the tab, from any thread."""

        def offer() -> None:
            for client in self._clients:
                if client.shown == self.name:
                    client.offer(frame)

        self._post(offer)
