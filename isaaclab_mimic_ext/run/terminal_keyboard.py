"""Keyboard in the terminal, a device for recording demos on all engines, without a window."""

# E end effectors, O objects

import os
import re
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.hand_commands import HandCommands

_MOTION, _TURN = 0.01, 0.05
"""Motion of the target per key, at most once per step [m, rad]; a key that is held moves it at 0.2 m/s at 20 Hz."""
_FINE = 0.2
"""Factor of the motion while Shift is held."""
_AXES = {
    **{"w": (0, 1.0), "s": (0, -1.0), "a": (1, 1.0), "d": (1, -1.0), "q": (2, 1.0), "e": (2, -1.0)},
    **{"z": (3, 1.0), "x": (3, -1.0), "t": (4, 1.0), "g": (4, -1.0), "c": (5, 1.0), "v": (5, -1.0)},
}
"""Key -> index in the motion (translation, rotation vector), and sign. The keys are those of Isaac Lab's `Se3Keyboard`."""
_GRIPPER_KEYS, _DISCARD_KEY, _NEXT_HAND_KEY, _END_KEY = " k", "r", "n", "\x1b"
_HELP = """Keys in this terminal:
  W/S, A/D, Q/E   move along x, y, z (with Shift: 2 mm instead of 1 cm)
  Z/X, T/G, C/V   turn about x, y, z
  Space or K      open or close the gripper
  R               discard the attempt
  Esc             end the recording and keep its demos"""
_STEPS_PER_LINE = 5
"""Steps between two updates of the line with the distances to the objects."""


class Keys:
    """Keys typed since the last call. A terminal passes all of them; a pipe or a file passes one per step.

    Args:
        source: standard input, or another open file.
    """

    def __init__(self, source: TextIO):
        self._file = source.fileno()
        self.is_typed = os.isatty(self._file)
        self.has_ended = False

    @contextmanager
    def opened(self) -> Iterator["Keys"]:
        """Context in which the terminal passes each key at once and does not show it. Ctrl-C keeps its effect."""
        if not self.is_typed:
            yield self
            return
        before = termios.tcgetattr(self._file)
        tty.setcbreak(self._file)
        try:
            yield self
        finally:
            termios.tcsetattr(self._file, termios.TCSADRAIN, before)

    def read(self) -> str:
        """Return the keys of one step; empty if none was typed."""
        if self.has_ended or (self.is_typed and not select.select([self._file], [], [], 0)[0]):
            return ""
        typed = os.read(self._file, 64 if self.is_typed else 1)
        self.has_ended = not typed
        return typed.decode(errors="ignore")


class ObjectLine:
    """Line in a terminal that reports the position of the objects relative to a hand, the nearest first, as far as they fit.

    Args:
        env: environment of the hands and objects.
        line: file to which the line is written; None, or a file that is not a terminal: it is not written.
    """

    def __init__(self, env: MimicEnv, line: TextIO | None = sys.stderr):
        self._env = env
        self._line = line if line is not None and line.isatty() else None
        self._num_calls = 0

    def show(self, hand: int, prefix: str = "") -> None:
        """Update the line, at most every few steps. Call in each step.

        Args:
            hand: index of the end effector.
            prefix: text before the positions, which ends with "; ".
        """
        self._num_calls += 1
        if self._line is None or self._num_calls % _STEPS_PER_LINE:
            return
        width = os.get_terminal_size(self._line.fileno()).columns - 1
        text = prefix.removesuffix("; ")
        line = f"{prefix}x y z from {self._env.eef_names[hand]} [cm]:"
        for position in self._positions(hand):
            line = f"{line}{position}"
            if len(line) > width:
                break
            text, line = line, f"{line},"
        self._line.write(f"\r\x1b[K{text[:width]}\r")
        self._line.flush()

    def _positions(self, hand: int) -> list[str]:
        """Position of each object relative to the hand, as text, the nearest first."""
        offsets = 100.0 * (self._env.object_pose[0, :, :3, 3] - self._env.eef_pose[0, hand, :3, 3])
        rows = zip(offsets.norm(dim=-1).tolist(), self._env.object_names, offsets.tolist(), strict=True)
        return [f" {name} {x:+.1f} {y:+.1f} {z:+.1f}" for _, name, (x, y, z) in sorted(rows)]

    def clear(self) -> None:
        """Remove the line, before other text is written."""
        if self._line is not None:
            self._line.write("\r\x1b[K")
            self._line.flush()


class TerminalKeyboard(HandCommands):
    """Device for the keys in a terminal, or in a file: one key per step, any other character is a step without a key.

    The keys command one hand at a time. While the terminal is shown, a line reports the position of each object relative to
    the hand.

    Args:
        env: environment whose hands are commanded.
        keys: source of the keys, opened.
        line: file to which the line is written; None: it is not written.

    Attributes:
        is_typed: whether a person types the keys.
    """

    def __init__(self, env: MimicEnv, keys: Keys, line: TextIO | None = sys.stderr):
        super().__init__(env.eef_names, env.device)
        self._keys = keys
        self.is_typed = keys.is_typed
        self._line = ObjectLine(env, line)
        self._end_requested = False
        self._log_help(_HELP)

    def command(self) -> Tensor:
        """Motion and gripper of each hand in one step, (E, 7)."""
        motion = [0.0] * 6
        keys = self._keys.read()
        # The terminal sends an arrow key as Esc, '[' and a letter.
        for key in re.sub(r"\x1b\[.", "", keys):
            if key == _END_KEY:
                self._end_requested = True
            elif (axis := _AXES.get(key.lower())) is not None:
                index, sign = axis
                motion[index] = sign * (_FINE if key.isupper() else 1.0)
            elif key.lower() in _GRIPPER_KEYS:
                self._switch_gripper()
            elif key.lower() == _DISCARD_KEY:
                self._request_reset()
            elif key.lower() == _NEXT_HAND_KEY:
                self._select_next_hand()
        self._move(torch.cat((_MOTION * torch.tensor(motion[:3]), _TURN * torch.tensor(motion[3:]))))
        self._line.show(self._hand)
        return self._commands

    def wants_end(self) -> bool:
        """Return whether the person has ended the recording, or the file with the keys has ended."""
        return self._end_requested or self._keys.has_ended
