"""Live poses of a run: states of up to 100 environments, sent through a unix socket in the folder of the run.

A run without readers compares two times per step, and looks for readers 20 times per second. Sending never waits: a
frame that a reader has no room for is dropped. The states are read only, so the trials of a run do not change.
"""

# N envs, n of them sent, W columns of a frame

import json
import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.files.writing import system_reason
from isaaclab_mimic_ext.run.lanes import Lanes

log = logging.getLogger(__name__)

MAX_ENVS = 100
"""Largest number of environments whose states are sent."""
PERIOD_S = 0.05
"""Shortest time between two frames [s]."""
_MAX_READERS = 8
_VERSION = 1
_LENGTH = struct.Struct("<I")
_MAX_MESSAGE_BYTES = 16 * 2**20
_MAX_PATH_BYTES = 100
"""Longest address of a unix socket on all systems, rounded down [bytes]."""
_LEAVES = ("joint_position", "eef_pose")
"""Leaves of an articulation that determine the poses of its bodies."""


class LivePoses:
    """Socket of a run, from `__enter__` to `__exit__`.

    A socket that cannot be created is a line in the log; the run continues.

    Args:
        path: path of the socket; a socket of a killed run is replaced.
        env: environment of the run.
        lanes: lanes of the run.
        clock: time [s].
    """

    def __init__(self, path: Path, env: MimicEnv, lanes: Lanes, clock: Callable[[], float] = time.monotonic):
        self._path, self._env, self._lanes, self._clock = path, env, lanes, clock
        self._next = -float("inf")
        self._listener: socket.socket | None = None
        self._readers: list[_Reader] = []

    def __enter__(self) -> "LivePoses":
        try:
            self._listener = _listen(self._path)
        except OSError as error:
            log.info(
                "Live poses are not available: %s: %s; `mimic watch` shows figures and ended trials",
                self._path,
                system_reason(error) or error,
            )
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._readers:
            reader.close()
        if self._listener is not None:
            self._listener.close()
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def update(self) -> None:
        """Send a frame if a reader is connected and the last frame is older than `PERIOD_S`. Called after every step."""
        now = self._clock()
        if now < self._next or self._listener is None:
            return
        self._next = now + PERIOD_S
        self._accept(self._listener)
        if self._readers:
            frame = self._frame()
            self._readers = [reader for reader in self._readers if reader.offer(frame)]

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # Nobody waits.
            while len(self._readers) < _MAX_READERS:
                connection, _ = listener.accept()
                connection.setblocking(False)
                reader = _Reader(connection)
                reader.offer(_message(json.dumps(self._head()).encode()))
                self._readers.append(reader)

    def _head(self) -> dict[str, Any]:
        start, fields = 0, []
        for path, leaf in _posed_leaves(self._env).items():
            fields.append([path, start, start + leaf[0].numel()])
            start += leaf[0].numel()
        return {"version": _VERSION, "num_envs": self._env.num_envs, "fields": fields}

    def _frame(self) -> bytes:
        lanes, count = self._lanes, min(self._env.num_envs, MAX_ENVS)
        trials = torch.stack((lanes.trial[:count], lanes.step[:count], lanes.is_active[:count].long())).int()
        leaves = [leaf[:count].reshape(count, -1).float() for leaf in _posed_leaves(self._env).values()]
        state = torch.cat(leaves, dim=1) if leaves else torch.empty(count, 0)
        return _message(trials.cpu().numpy().tobytes() + state.cpu().numpy().tobytes())


class _Reader:
    """Connection to a reader, which holds at most one frame that the socket has no room for."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._rest = memoryview(b"")

    def offer(self, frame: bytes) -> bool:
        """Send a frame, or drop it if an earlier one is not sent yet. Return False after the reader has gone."""
        try:
            self._send()
            if not self._rest:
                self._rest = memoryview(frame)
                self._send()
        except BlockingIOError:
            return True
        except OSError:
            self.close()
            return False
        return True

    def _send(self) -> None:
        while self._rest:
            self._rest = self._rest[self._connection.send(self._rest) :]

    def close(self) -> None:
        self._connection.close()


@dataclass(frozen=True)
class LiveFrame:
    """States of the first n environments of a run at one instant.

    Attributes:
        trials: (n,) int32, number of the trial of each environment; of the last trial if it is idle.
        steps: (n,) int32, number of steps that the trial has made.
        is_active: (n,) bool, environments that run a trial.
        states: leaves (n, ...) in the layout of `get_state`, float32; only joints, end effectors and objects.
    """

    trials: NDArray[np.int32]
    steps: NDArray[np.int32]
    is_active: NDArray[np.bool_]
    states: dict[str, Any]


class LiveStream:
    """Connection of a reader to the socket of a run.

    Args:
        path: path of the socket.
        timeout: time to wait for the run, which answers after its next step [s].

    Attributes:
        num_envs: number of environments of the run, N; frames contain the first `MAX_ENVS` of them.
        has_states: whether the engine reports states of joints and objects.

    Raises:
        OSError: no run answers at the socket.
    """

    def __init__(self, path: Path, timeout: float = 10.0):
        self._socket = _connect(path, timeout)
        try:
            head = json.loads(self._receive())
            self.num_envs = int(head["num_envs"])
            self._fields = [(str(path), int(start), int(stop)) for path, start, stop in head["fields"]]
            if head["version"] != _VERSION:
                raise ConnectionError("a different version of this package runs the generation")
        except (ValueError, LookupError, TypeError) as error:
            self.close()
            raise ConnectionError(f"its messages are damaged ({error})") from error
        except OSError:
            self.close()
            raise
        self.has_states = bool(self._fields)

    def next_frame(self) -> LiveFrame:
        """Wait for the next frame.

        Raises:
            OSError: the run has ended, or has made no step in time; connect again.
        """
        body = self._receive()
        width = self._fields[-1][2] if self._fields else 0
        count = len(body) // (4 * (3 + width))
        heads = np.frombuffer(body, "<i4", 3 * count).reshape(3, count)
        rows = np.frombuffer(body, "<f4", count * width, 12 * count).reshape(count, width)
        leaves = {path: rows[:, start:stop] for path, start, stop in self._fields}
        return LiveFrame(heads[0], heads[1], heads[2] != 0, trees.unflatten(leaves))

    def _receive(self) -> bytearray:
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if length > _MAX_MESSAGE_BYTES:
            raise ConnectionError("its messages are damaged")
        return self._read(length)

    def _read(self, length: int) -> bytearray:
        content = bytearray(length)
        view = memoryview(content)
        while view:
            count = self._socket.recv_into(view)
            if not count:
                raise ConnectionResetError("the run has closed the socket")
            view = view[count:]
        return content

    def close(self) -> None:
        self._socket.close()


def _posed_leaves(env: MimicEnv) -> dict[str, Tensor]:
    """Leaves (N, ...) of the state that determine the poses of all bodies, by path."""
    state = env.get_state()
    arms = {
        f"articulation/{name}/{leaf}": arm[leaf]
        for name, arm in state.get("articulation", {}).items()
        for leaf in _LEAVES
        if leaf in arm
    }
    objects = state.get("rigid_object", {})
    return {**arms, **{f"rigid_object/{name}/root_pose": each["root_pose"] for name, each in objects.items()}}


def _message(body: bytes) -> bytes:
    return _LENGTH.pack(len(body)) + body


def _listen(path: Path) -> socket.socket:
    listener = _unix_socket()
    try:
        path.unlink(missing_ok=True)
        with _address(path) as address:
            listener.bind(address)
            os.chmod(path, 0o600)
        listener.listen(_MAX_READERS)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _connect(path: Path, timeout: float) -> socket.socket:
    connection = _unix_socket()
    try:
        connection.settimeout(timeout)
        with _address(path) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def _unix_socket() -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this system has no unix sockets")
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Address of a socket. The addresses of sockets are short; on Linux, a long path is shortened by an open folder."""
    absolute = path.absolute()
    if len(os.fsencode(absolute)) <= _MAX_PATH_BYTES:
        yield str(absolute)
        return
    folder = os.open(absolute.parent, os.O_RDONLY)
    try:
        if not Path(f"/proc/self/fd/{folder}").exists():
            raise OSError(f"the path of a unix socket must have at most {_MAX_PATH_BYTES} bytes")
        yield f"/proc/self/fd/{folder}/{absolute.name}"
    finally:
        os.close(folder)
