"""The network thread: serves the page and its tabs on one port, by HTTP and a websocket."""

import asyncio
import errno
import gzip
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from isaaclab_mimic_ext.errors import DependencyMissing, OutputError, choices
from isaaclab_mimic_ext.studio.access import Access, AccessError, headers_of
from isaaclab_mimic_ext.studio.control import Control
from isaaclab_mimic_ext.studio.protocol import MAX_MESSAGE_BYTES, RateLimit, Refusal, check_fields, integer, read_message
from isaaclab_mimic_ext.studio.tabs import Client, Resource, Tab

try:
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.datastructures import Headers
    from websockets.exceptions import ConnectionClosed
    from websockets.http11 import Request, Response
except ImportError as error:
    raise DependencyMissing(
        f"studio: requires websockets ({error}); install with `pip install isaaclab-mimic-ext[studio]`"
    ) from error

log = logging.getLogger(__name__)

NUM_PORTS = 20
"""Number of ports that are tried, from the configured one."""
_ACKNOWLEDGE_TIMEOUT_S = 1.0
"""Time after which a frame counts as lost [s]."""
_MAX_ID = 2**53


class StudioServer:
    """Server of the studio, in a thread of its own from `__enter__` to `__exit__`.

    Args:
        tabs: the tabs, in the order in which the page shows them.
        scene: value of `GET /scene.json` (`envs.posed_scene.describe_scene`).
        host: address to listen to; 127.0.0.1: only this machine can connect.
        port: first port to try; 0: any free port.
    """

    def __init__(self, tabs: Sequence[Tab], scene: Mapping[str, Any], host: str = "127.0.0.1", port: int = 8765):
        self.access = Access(host)
        self._tabs = {tab.name: tab for tab in tabs}
        self._first_port, self.port = port, 0
        self._resources = {
            **_static_files(),
            ("scene.json",): Resource.of_json(scene),
            ("tabs.json",): Resource.of_json([{"name": tab.name, "title": tab.title} for tab in tabs]),
        }
        self._clients: list[Client] = []
        self._control = Control(self._clients, self._control_changed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="studio", daemon=True)
        self._started: threading.Event = threading.Event()
        self._failure: Exception | None = None
        self._num_connections = 0

    @property
    def url(self) -> str:
        """Address of the page, with the token."""
        return self.urls[0]

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses of the page, with the token: on this machine, then from other machines if the address differs."""
        hosts = (f"[{host}]" if ":" in host else host for host in self.access.reachable_hosts)
        return tuple(f"http://{host}:{self.port}/?token={self.access.token}" for host in hosts)

    def __enter__(self) -> "StudioServer":
        for tab in self._tabs.values():
            tab.attach(self._clients, self._post)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._post(lambda: self._ended.set_result(None))
        self._thread.join(timeout=5.0)

    def _post(self, action: Callable[[], None]) -> None:
        """Run a function in the network thread; without effect after its end."""
        try:
            self._loop.call_soon_threadsafe(action)
        except RuntimeError:
            log.debug("The studio has ended; an event is not sent")

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:
            self._failure = error
            self._started.set()
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._ended = self._loop.create_future()
        server = await self._listen()
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._ended
        await asyncio.sleep(0.1)  # Pages receive the last events.
        server.close()
        await server.wait_closed()

    async def _listen(self) -> Any:
        """Listen to the configured port, or to the next free one."""
        for port in range(self._first_port, self._first_port + NUM_PORTS):
            try:
                return await serve(
                    self._talk,
                    self.access.host,
                    port,
                    process_request=self._answer,
                    max_size=MAX_MESSAGE_BYTES,
                    compression=None,
                    server_header=None,
                    ping_interval=5,
                    ping_timeout=20,
                    close_timeout=1,
                    logger=_quiet_logger(),
                )
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise OutputError(f"host, port: {self.access.host}:{port} cannot be used: {error.strerror}") from error
                log.warning("Port %d is in use; the studio tries port %d", port, port + 1)
        last = self._first_port + NUM_PORTS - 1
        raise OutputError(f"port: ports {self._first_port} to {last} are in use; use another port, or port=0 for any")

    # Requests

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request; None accepts a websocket."""
        try:
            return self._checked_answer(request)
        except AccessError as refused:
            return _response(refused.status, Resource(f"{refused}\n".encode(), "text/plain; charset=utf-8"))

    def _checked_answer(self, request: Request) -> Response | None:
        method = getattr(request, "method", "GET")
        if method != "GET":
            raise AccessError(HTTPStatus.METHOD_NOT_ALLOWED, f"method: '{method[:20]}' is not valid; choices: GET")
        host = request.headers.get("Host", "")
        self.access.check_host(host)
        path = urlsplit(request.path).path
        if path == "/" and self.access.has_token(request.path):
            return _response(HTTPStatus.OK, _FORWARD, extra={"Set-Cookie": self.access.cookie(self.port)})
        self.access.check_cookie(request.headers.get("Cookie", ""), self.port)
        if path == "/socket":
            self.access.check_origin(request.headers.get("Origin"), host)
            return None
        resource = self._find(tuple(unquote(part) for part in path.strip("/").split("/")))
        if resource is None:
            raise AccessError(HTTPStatus.NOT_FOUND, f"address: '{path[:100]}' not found; open the page of the studio")
        return _response(HTTPStatus.OK, resource, accepts_gzip="gzip" in request.headers.get("Accept-Encoding", ""))

    def _find(self, parts: tuple[str, ...]) -> Resource | None:
        """Resource of an address, by comparison with known names: no path of a file is built from it."""
        if parts in self._resources:
            return self._resources[parts]
        tab = self._tabs.get(parts[0])
        return None if tab is None else tab.resource(parts[1:])

    # Websockets

    async def _talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        key = parse_qs(urlsplit(connection.request.path).query).get("page", [""])[0][:64]
        self._num_connections += 1
        client = Client(key, self._num_connections)
        self._control.enter(client)
        self._clients.append(client)
        client.send({"event": "control", **self._control.state(client)})
        for tab in self._tabs.values():
            tab.connected(client)
        senders = [asyncio.create_task(send(connection, client)) for send in (_send_events, _send_frames)]
        limit = RateLimit(time.monotonic)
        try:
            async for text in connection:
                self._receive(client, text)
                if pause := limit.pause():
                    await asyncio.sleep(pause)
        except ConnectionClosed:
            pass
        finally:
            for sender in senders:
                sender.cancel()
            self._clients.remove(client)
            self._control.leave(client)
            for tab in self._tabs.values():
                tab.disconnected(client)

    def _receive(self, client: Client, text: str | bytes) -> None:
        number: Any = None
        try:
            message = read_message(text)
            if "ack" in message:
                client.acknowledged.set()
                return
            if "id" in message:
                number = integer("id", message.pop("id"), 0, _MAX_ID)
            answer = self._carry_out(client, message)
            if number is not None:
                client.send({"answer": number, "value": answer})
        except Refusal as refused:
            client.send({"answer": number, "error": str(refused)})

    def _carry_out(self, client: Client, message: dict[str, Any]) -> Any:
        if "show" in message:
            check_fields("message", message, ["show"])
            tab = self._tab("show", message["show"])
            client.shown = tab.name
            return tab.shown(client)
        if "control" in message:
            return self._control.receive(client, message)
        return self._tab("message.tab", message.pop("tab", None)).receive(client, message)

    def _tab(self, place: str, name: Any) -> Tab:
        if not isinstance(name, str) or name not in self._tabs:
            raise Refusal(f"{place}: unknown tab; {choices(str(name)[:40], self._tabs)}")
        return self._tabs[name]

    def _control_changed(self) -> None:
        for client in self._clients:
            client.send({"event": "control", **self._control.state(client)})
            for tab in self._tabs.values():
                tab.connected(client)


async def _send_events(connection: ServerConnection, client: Client) -> None:
    while True:
        try:
            await connection.send(await client.events.get())
        except ConnectionClosed:
            return


async def _send_frames(connection: ServerConnection, client: Client) -> None:
    """Send the newest frame as soon as the page has acknowledged the one before it."""
    while True:
        await client.frame_ready.wait()
        if not client.acknowledged.is_set():
            await _wait_for_acknowledgment(client)
        client.frame_ready.clear()
        client.acknowledged.clear()
        try:
            await connection.send(client.frame or b"")
        except ConnectionClosed:
            return


async def _wait_for_acknowledgment(client: Client) -> None:
    try:
        await asyncio.wait_for(client.acknowledged.wait(), _ACKNOWLEDGE_TIMEOUT_S)
    except TimeoutError:
        log.debug("A page has not acknowledged a frame")


_FORWARD = Resource(
    b'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=/"><link rel="icon" href="data:,">'
    b'<title>Studio</title><a href="/">Open the studio</a>\n',
    "text/html; charset=utf-8",
)
"""Page that sets the cookie. A redirect would lose the cookie if a page of another site links to the studio."""
_MIN_GZIP_BYTES = 1000


def _response(
    status: HTTPStatus, resource: Resource, accepts_gzip: bool = False, extra: Mapping[str, str] | None = None
) -> Response:
    body, extra = resource.body, {**resource.headers, **(extra or {})}
    if (
        accepts_gzip
        and not resource.headers
        and len(body) > _MIN_GZIP_BYTES
        and resource.kind.startswith(("text/", "application/json"))
    ):
        body, extra = _compressed(body), {**extra, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    headers = headers_of(resource.kind, len(body), {**extra, "Connection": "close"})
    return Response(status.value, status.phrase, Headers(headers), body)


@cache
def _compressed(body: bytes) -> bytes:
    return gzip.compress(body, 6, mtime=0)


def _static_files() -> dict[tuple[str, ...], Resource]:
    """All files of `static/`, by the parts of their address; `index.html` also answers `/`."""
    found: dict[tuple[str, ...], Resource] = {}

    def add(folder: Any, parts: tuple[str, ...]) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                add(entry, (*parts, entry.name))
            else:
                found[*parts, entry.name] = Resource.of_file(entry.name, entry.read_bytes())

    add(files("isaaclab_mimic_ext.studio") / "static", ("static",))
    found["",] = found["static", "index.html"]
    return found


def _quiet_logger() -> logging.Logger:
    """Logger for connections: a scan of the port or a reload of the page is not reported on the terminal."""
    logger = logging.getLogger(f"{__name__}.connections")
    logger.setLevel(logging.CRITICAL)
    return logger
