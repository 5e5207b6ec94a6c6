"""The keyboard in the terminal, with keys from a pseudo-terminal and from a file."""

import io
import os
import pty
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

import pytest
import torch

from isaaclab_mimic_ext.datasets.marking import SignalToMark, _Playback
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.run.terminal_keyboard import Keys, ObjectLine, TerminalKeyboard
from tests.kinematic_sources import make_kinematic_env


@pytest.fixture(scope="module")
def env() -> Iterator[MimicEnv]:
    env = make_kinematic_env(1)
    yield env
    env.close()


@contextmanager
def device_for(env: MimicEnv, text: str, folder: Path) -> Iterator[TerminalKeyboard]:
    (folder / "keys.txt").write_text(text)
    with open(folder / "keys.txt") as file, Keys(file).opened() as keys:
        yield TerminalKeyboard(env, keys)


def test_file_passes_one_key_per_step_and_its_end_ends_the_recording(env: MimicEnv, tmp_path: Path) -> None:
    with device_for(env, "wS.eT", tmp_path) as device:
        motions = [device.command()[0, :6].tolist() for _ in range(5)]
        assert motions[0] == pytest.approx([0.01, 0, 0, 0, 0, 0])
        assert motions[1] == pytest.approx([-0.002, 0, 0, 0, 0, 0])
        assert motions[2] == [0.0] * 6
        assert motions[3] == pytest.approx([0, 0, -0.01, 0, 0, 0])
        assert motions[4] == pytest.approx([0, 0, 0, 0, 0.01, 0])
        assert not device.wants_end()
        device.command()
        assert device.wants_end()


def test_keys_close_the_gripper_discard_the_attempt_and_end_the_recording(env: MimicEnv, tmp_path: Path) -> None:
    with device_for(env, " kr\x1b", tmp_path) as device:
        assert [float(device.command()[0, 6]) for _ in range(2)] == [-1.0, 1.0]
        device.command()
        assert (device.wants_reset(), device.wants_reset(), device.wants_end()) == (True, False, False)
        device.command()
        assert device.wants_end()
        device.reset()
        assert torch.equal(device._commands[:, 6], torch.ones(1))


def test_terminal_passes_all_keys_of_a_step_and_gets_its_settings_back(env: MimicEnv) -> None:
    import termios

    ours, theirs = pty.openpty()
    with open(ours, "wb", buffering=0) as person, TextIOWrapper(open(theirs, "rb", buffering=0)) as terminal:  # type: ignore[arg-type]
        before = termios.tcgetattr(theirs)
        with Keys(terminal).opened() as keys:
            device = TerminalKeyboard(env, keys, line=None)
            assert device.command().tolist() == [[0.0] * 6 + [1.0]], "no key is waited for"
            os.write(person.fileno(), b"wa\x1b[B")
            assert device.command()[0].tolist() == pytest.approx([0.01, 0.01, 0, 0, 0, 0, 1.0])
            assert not device.wants_end(), "an arrow key begins with the character of Esc"
            os.write(person.fileno(), b"\x1b")
            device.command()
            assert device.wants_end()
        assert termios.tcgetattr(theirs) == before


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 0


@pytest.mark.parametrize(("columns", "num_objects"), [(200, 4), (100, 1), (60, 0)])
def test_line_reports_the_objects_that_fit_nearest_first(
    env: MimicEnv, monkeypatch: pytest.MonkeyPatch, columns: int, num_objects: int
) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 24)))
    line = ObjectLine(env, terminal := Terminal())
    for _ in range(5):
        line.show(0, "step 5 of 245: S marks term signal 'grasp'; ")
    text = terminal.getvalue().removeprefix("\r\x1b[K").removesuffix("\r")
    assert len(text) < columns and text.startswith("step 5 of 245: S marks term signal 'grasp'")
    distances = (env.object_pose[0, :, :3, 3] - env.eef_pose[0, 0, :3, 3]).norm(dim=-1).tolist()
    nearest = [name for _, name in sorted(zip(distances, env.object_names, strict=True))]
    assert [name for name in nearest if name in text] == nearest[:num_objects]
    assert text.endswith("'") == (num_objects == 0)


def test_prompt_names_the_keys_that_have_an_effect() -> None:
    playback = _Playback(
        "demo_0, franka", (SignalToMark("term", "reach"), SignalToMark("term", "grasp")), pauses_at_marks=True
    )
    assert playback.prompt(0) == "N begins, S marks term signal 'reach'"
    playback.press("n", 0)
    assert playback.prompt(4) == "S marks term signal 'reach'"
    playback.press("s", 4)
    assert playback.prompt(4) == "N continues"  # A step has one mark.
    playback.press("n", 4)
    playback.press("s", 6)
    assert playback.prompt(7) == "N continues, all signals are marked"
