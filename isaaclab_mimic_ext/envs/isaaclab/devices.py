"""Keyboard in Isaac Sim's window (Isaac Lab's `Se3Keyboard`), a device for recording demos."""

# E end effectors

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.isaaclab.launch import has_window
from isaaclab_mimic_ext.errors import ConfigError

log = logging.getLogger(__name__)

_SPEED, _TURNING_SPEED = 0.25, 1.0
"""Speeds of the hand while a key is pressed [m/s, rad/s]; the included demos move at 0.23 to 0.32 m/s."""
_DISCARD_KEY, _NEXT_HAND_KEY = "R", "N"
_HELP = """Keys in Isaac Sim's window:
  W/S, A/D, Q/E   move along x, y, z
  Z/X, T/G, C/V   turn about x, y, z
  K               open or close the gripper
  R               discard the attempt"""
_NEXT_HAND_HELP = """
  N               command the next hand (first: {})"""


class Keyboard:
    """Keyboard device. The keys command one hand at a time; N selects the next hand.

    Args:
        sim_device: device of the commands.
        step_dt: duration of a step [s].
        eef_names: names of the E end effectors.

    Raises:
        ConfigError: Isaac Lab was launched without a window.
    """

    def __init__(self, sim_device: str, step_dt: float, eef_names: Sequence[str]):
        if not has_window():
            raise ConfigError(
                "teleop_device: 'keyboard' requires Isaac Sim's window, which receives the keys; remove --headless"
            )
        from isaaclab.devices import Se3Keyboard, Se3KeyboardCfg

        speeds = {"pos_sensitivity": _SPEED * step_dt, "rot_sensitivity": _TURNING_SPEED * step_dt}
        self._keyboard: Any = Se3Keyboard(Se3KeyboardCfg(sim_device=sim_device, **speeds))
        self._keyboard.add_callback(_DISCARD_KEY, self._request_reset)
        self._keyboard.add_callback(_NEXT_HAND_KEY, self._select_next_hand)
        self._eef_names = tuple(eef_names)
        self._commands = torch.zeros(len(self._eef_names), 7, device=sim_device)
        self._gripper_key = 1.0
        self._hand, self._reset_requested = 0, False
        self.reset()
        log.info("%s%s", _HELP, _NEXT_HAND_HELP.format(self._eef_names[0]) if len(self._eef_names) > 1 else "")

    def command(self) -> Tensor:
        """Motion and gripper of each hand in one step, (E, 7)."""
        keys = self._keyboard.advance()
        self._commands[:, :6] = 0.0
        self._commands[self._hand, :6] = keys[:6]
        if self._gripper_key != float(keys[6]):
            self._gripper_key = float(keys[6])
            self._commands[self._hand, 6] *= -1.0
        return self._commands

    def wants_reset(self) -> bool:
        """Return whether the person has discarded the attempt since the last call."""
        requested, self._reset_requested = self._reset_requested, False
        return requested

    def reset(self) -> None:
        """Select the first hand, and open the grippers.

        Pressed keys are not reset: `Se3Keyboard.reset` would forget them, and subtract them when they are released.
        """
        self._reset_requested = False
        self._hand = 0
        self._commands[:, 6] = 1.0

    def _request_reset(self) -> None:
        self._reset_requested = True

    def _select_next_hand(self) -> None:
        if len(self._eef_names) > 1:
            self._hand = (self._hand + 1) % len(self._eef_names)
            log.info("  Commanding %s", self._eef_names[self._hand])
