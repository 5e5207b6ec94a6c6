"""Live poses of a run: what readers receive, and that neither readers nor their absence disturb the run."""

# N envs

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.run.live_poses import MAX_ENVS, PERIOD_S, LivePoses, LiveStream
from tests.kinematic_sources import make_kinematic_env


class Clock:
    """Time that the test sets [s]."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self) -> None:
        self.now += PERIOD_S


class CountingEnv:
    """Environment that counts how often its state is read."""

    def __init__(self, env: MimicEnv):
        self._env, self.num_envs, self.num_reads = env, env.num_envs, 0

    def get_state(self) -> dict[str, object]:
        self.num_reads += 1
        return self._env.get_state()


@pytest.fixture(scope="module")
def env() -> MimicEnv:
    return make_kinematic_env(3)


@pytest.fixture
def lanes() -> Lanes:
    lanes = Lanes(3, "cpu")
    lanes.begin(np.array([4, 7]))
    lanes.advance(torch.zeros(3, dtype=torch.bool))
    return lanes


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "watch.sock"


def connected(poses: LivePoses, clock: Clock, path: Path, monkeypatch: pytest.MonkeyPatch) -> LiveStream:
    """Connect without a second thread: the head is sent before the reader waits for it."""
    connect = socket.socket.connect

    def connect_and_answer(self: socket.socket, address: str) -> None:
        connect(self, address)
        clock.advance()
        poses.update()

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_and_answer)
        return LiveStream(path)


def test_reader_receives_trials_steps_and_states(
    env: MimicEnv, lanes: Lanes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LivePoses(path, env, lanes, clock := Clock()) as poses:
        stream = connected(poses, clock, path, monkeypatch)
        frame = stream.next_frame()
    assert (stream.num_envs, stream.has_states) == (3, True)
    assert frame.trials.tolist() == [4, 7, 0]
    assert frame.steps.tolist() == [1, 1, 0]
    assert frame.is_active.tolist() == [True, True, False]
    state = env.get_state()
    arm = frame.states["articulation"]["robot"]
    np.testing.assert_array_equal(arm["joint_position"], state["articulation"]["robot"]["joint_position"].numpy())
    np.testing.assert_array_equal(arm["eef_pose"], state["articulation"]["robot"]["eef_pose"].numpy())
    for name in env.object_names:
        np.testing.assert_array_equal(
            frame.states["rigid_object"][name]["root_pose"], state["rigid_object"][name]["root_pose"].numpy()
        )
    with pytest.raises(OSError, match="closed the socket"):
        stream.next_frame()
    assert not path.exists()


def test_state_is_read_only_for_readers_and_at_most_20_times_per_second(
    env: MimicEnv, lanes: Lanes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = CountingEnv(env)
    with LivePoses(path, counting, lanes, clock := Clock()) as poses:  # type: ignore[arg-type]
        for _ in range(10):
            clock.advance()
            poses.update()
        assert counting.num_reads == 0
        stream = connected(poses, clock, path, monkeypatch)
        before = counting.num_reads
        for _ in range(100):
            poses.update()
        assert counting.num_reads == before
        clock.advance()
        poses.update()
        assert counting.num_reads == before + 1
        stream.close()
        for _ in range(3):
            clock.advance()
            poses.update()
        after = counting.num_reads
        clock.advance()
        poses.update()
        assert counting.num_reads == after, "a reader that has gone costs nothing"


def test_frames_are_dropped_and_never_queued_for_a_reader_that_does_not_read(
    env: MimicEnv, lanes: Lanes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LivePoses(path, env, lanes, clock := Clock()) as poses:
        slow = connected(poses, clock, path, monkeypatch)
        fast = connected(poses, clock, path, monkeypatch)
        fast.next_frame()
        for step in range(1000):
            lanes.step[0] = step
            clock.advance()
            poses.update()
            newest = fast.next_frame()
        assert newest.steps[0] == 999
        slow._socket.setblocking(False)
        received = []
        with pytest.raises(BlockingIOError):
            while True:
                received.append(int(slow.next_frame().steps[0]))
        assert len(received) < 900
        lanes.step[0] = 2000
        for _ in range(2):  # The first call sends the rest of the frame that had no room.
            clock.advance()
            poses.update()
        slow.next_frame()
        assert slow.next_frame().steps[0] == 2000


def test_socket_of_a_killed_run_refuses_readers_and_is_replaced(
    env: MimicEnv, lanes: Lanes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    with pytest.raises(ConnectionRefusedError):
        LiveStream(path)
    with LivePoses(path, env, lanes, clock := Clock()) as poses:
        assert connected(poses, clock, path, monkeypatch).num_envs == 3


def test_socket_in_a_folder_with_a_long_path_is_found(
    env: MimicEnv, lanes: Lanes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ("long" * 40) / "watch.sock"
    path.parent.mkdir()
    with LivePoses(path, env, lanes, clock := Clock()) as poses:
        assert connected(poses, clock, path, monkeypatch).num_envs == 3


def test_run_continues_without_a_socket_where_the_system_has_none(
    env: MimicEnv, lanes: Lanes, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.delattr(socket, "AF_UNIX")
    with LivePoses(path, env, lanes) as poses:
        poses.update()
    assert "watch.sock: this system has no unix sockets; `mimic watch` shows figures and ended trials" in caplog.text


def test_damaged_messages_are_refused(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        client = socket.socket.connect

        def connect_and_send(self: socket.socket, address: str) -> None:
            client(self, address)
            connection, _ = listener.accept()
            connection.sendall(b"\xff\xff\xff\xff")
            connection.close()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket.socket, "connect", connect_and_send)
            with pytest.raises(ConnectionError, match="damaged"):
                LiveStream(path)


def test_at_most_100_environments_are_sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = make_kinematic_env(MAX_ENVS + 1)
    with LivePoses(path, large, Lanes(MAX_ENVS + 1, "cpu"), clock := Clock()) as poses:
        stream = connected(poses, clock, path, monkeypatch)
        assert (stream.num_envs, len(stream.next_frame().trials)) == (MAX_ENVS + 1, MAX_ENVS)
