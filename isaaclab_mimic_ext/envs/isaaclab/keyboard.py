"""Keyboard in Isaac Sim's window (Isaac Lab's `Se3Keyboard`), a device for recording demos."""

import logging
from typing import Any

from torch import Tensor

from isaaclab_mimic_ext.envs.isaaclab.launch import has_window
from isaaclab_mimic_ext.errors import ConfigError

log = logging.getLogger(__name__)

_SENSITIVITY = {"pos_sensitivity": 0.2, "rot_sensitivity": 0.5}
"""Translation and rotation per step of a pressed key [m, rad], as in Isaac Lab's `record_demos.py`."""
_RESET_KEY = "R"


class Keyboard:
    """Keyboard device.

    W/S, A/D, Q/E move along x, y, z; Z/X, T/G, C/V rotate about x, y, z; K opens or closes the gripper; R discards an
    attempt.

    Raises:
        ConfigError: Isaac Lab was launched without a window.
    """

    def __init__(self, sim_device: str):
        if not has_window():
            raise ConfigError(
                "teleop_device: 'keyboard' requires Isaac Sim's window, which receives the keys; remove --headless"
            )
        from isaaclab.devices import Se3Keyboard, Se3KeyboardCfg

        self._keyboard: Any = Se3Keyboard(Se3KeyboardCfg(sim_device=sim_device, **_SENSITIVITY))
        self._keyboard.add_callback(_RESET_KEY, self._request_reset)
        self._reset_requested = False
        log.info("%s\n\tDiscard this attempt: %s", self._keyboard, _RESET_KEY)

    def command(self) -> Tensor:
        return self._keyboard.advance()

    def wants_reset(self) -> bool:
        requested, self._reset_requested = self._reset_requested, False
        return requested

    def reset(self) -> None:
        self._reset_requested = False
        self._keyboard.reset()

    def _request_reset(self) -> None:
        self._reset_requested = True
