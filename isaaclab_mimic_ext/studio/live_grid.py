"""Live poses of all environments of a run, as frames for the page."""

# n environments, B bodies that move

import logging
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.run.live_poses import LiveFrame, LiveStream
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

HEAD = struct.Struct("<4I")
"""Sequence of the frame, n, B, 0. Then int32 (n, 3): trial, step, whether it runs. Then int16 (n, B, 7): positions and
quaternions xyzw, in units of `POS_UNIT` and `QUAT_UNIT`."""
POS_UNIT, QUAT_UNIT = 1 / 8000, 1 / 32767
"""Unit of positions [m], of at most 4 m, and of the entries of quaternions."""
MAX_BYTES_PER_S = 270_000
"""Traffic of the frames to one page [bytes/s]."""
_REST = 4.0
"""Shortest time between two frames, in parts of the time that computing one takes."""
_WAIT_S = 0.3
_RETRY_S = 2.0


def encode_grid(sequence: int, frame: LiveFrame, bodies: NDArray[np.float32]) -> bytes:
    """Encode a frame; `bodies` is (n, B, 7): position [m] and quaternion xyzw of each body."""
    count, num_bodies, _ = bodies.shape
    heads = np.stack((frame.trials, frame.steps, frame.is_active), axis=1).astype("<i4")
    units = np.array([POS_UNIT] * 3 + [QUAT_UNIT] * 4)
    poses = np.nan_to_num(bodies / units, nan=0.0).round().clip(-32767, 32767).astype("<i2")
    return HEAD.pack(sequence, count, num_bodies, 0) + heads.tobytes() + poses.tobytes()


def grid_poses(scene: PosedScene, frame: LiveFrame) -> NDArray[np.float32]:
    """Poses of all bodies in each environment, (n, B, 7)."""
    poses = []
    for env_id in range(len(frame.trials)):
        scene.set_state(trees.take(frame.states, env_id))
        poses.append(scene.body_poses())
    return np.stack(poses)


def num_used(frame: LiveFrame) -> int:
    """Number of environments that run a trial or have run one: trials begin in the first environments that are free."""
    used = np.flatnonzero(frame.is_active | (frame.trials > 0))
    return int(used[-1]) + 1 if len(used) else 1


def used_envs(frame: LiveFrame) -> LiveFrame:
    """The frame without environments that have never run a trial."""
    count = num_used(frame)
    states = trees.map(lambda leaf: leaf[:count], frame.states)
    return LiveFrame(frame.trials[:count], frame.steps[:count], frame.is_active[:count], states)


class LiveGrid:
    """Thread that reads the live poses of a run while a page shows them.

    Args:
        socket_of: returns the socket of the run that is watched; None if nobody watches, or if no run is in progress.
        make_scene: makes the scene of the run's task, for the thread.
        publish: called with each frame for the pages.
        report: called with whether poses arrive, and with a sentence if they do not.
    """

    def __init__(
        self,
        socket_of: Callable[[], Path | None],
        make_scene: Callable[[], PosedScene],
        publish: Callable[[bytes], None],
        report: Callable[[bool, str], None],
    ):
        self._socket_of, self._make_scene, self._publish, self._report = socket_of, make_scene, publish, report
        self._ended = threading.Event()
        self._num_frames = 0
        self._scene: PosedScene | None = None
        self._thread = threading.Thread(target=self._run, name="live poses", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        reported = ""
        while not self._ended.wait(_WAIT_S):
            path = self._socket_of()
            if path is None:
                continue
            try:
                reason = self._watch(path)
            except Exception as error:
                reason = f"the scene of the task cannot be drawn ({error})"
                if reason != reported:
                    log.exception("The live poses cannot be shown")
                reported = reason
            self._report(False, reason)
            self._ended.wait(_RETRY_S if reason else 0.0)

    def _watch(self, path: Path) -> str:
        """Show the poses of a run until it ends, and return the reason if that is not possible."""
        self._scene = self._scene or self._make_scene()
        try:
            stream = LiveStream(path)
        except OSError as error:
            return _why_not(error)
        try:
            return self._read(stream, path, self._scene)
        except OSError as error:  # The run has ended; its state is read from its folder.
            log.debug("The live poses have ended: %s", error)
            return ""
        except (LookupError, ValueError) as error:
            return f"the engine reports other joints or objects than the scene of the task has ({error})"
        finally:
            stream.close()

    def _read(self, stream: LiveStream, path: Path, scene: PosedScene) -> str:
        if not stream.has_states:
            self._report(False, "the engine does not report states of joints and objects, so only figures are shown")
            while self._socket_of() == path and not self._ended.wait(_WAIT_S):
                stream.next_frame()
            return ""
        frame = stream.next_frame()
        count = len(frame.trials)
        of_all = f"the first {count} of {counted(stream.num_envs, 'environment')}"
        self._report(True, of_all if num_used(frame) == count < stream.num_envs else "")
        due = 0.0
        while self._socket_of() == path and not self._ended.is_set():
            frame, now = used_envs(stream.next_frame()), time.monotonic()
            if now < due:
                continue
            self._num_frames += 1
            encoded = encode_grid(self._num_frames, frame, grid_poses(scene, frame))
            took = time.monotonic() - now
            due = now + max(len(encoded) / MAX_BYTES_PER_S, _REST * took)
            self._publish(encoded)
        return ""


def _why_not(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return (
            "the run offers no live poses: it starts, or writes its files, or its system has no unix sockets (see its log)"
        )
    if isinstance(error, ConnectionRefusedError):
        return "the socket of the run is left over from a process that was killed"
    return f"the live poses of the run cannot be read: {error.strerror or error}"
