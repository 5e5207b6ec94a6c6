"""The keyboard in Isaac Lab's window: its `Se3Keyboard`, as a device to record demonstrations with."""

import logging
from typing import Any

from torch import Tensor

from isaaclab_mimic_ext.envs.isaaclab.launch import has_window
from isaaclab_mimic_ext.errors import ConfigError

log = logging.getLogger(__name__)

_SENSITIVITY = {"pos_sensitivity": 0.2, "rot_sensitivity": 0.5}
"""As Isaac Lab's own script has it: what a pressed key adds to a step's command [m, rad]."""
_RESET_KEY = "R"


class Keyboard:
    """W/S, A/D, Q/E move along x, y, z; Z/X, T/G, C/V turn about them; K opens and closes; R gives an attempt up.

    Raises:
        ConfigError: there is no window in which keys could be pressed.
    """

    def __init__(self, sim_device: str):
        if not has_window():
            raise ConfigError(
                "teleop_device: 'keyboard' takes its keys from Isaac Sim's window, and there is none; leave --headless out"
            )
        from isaaclab.devices import Se3Keyboard, Se3KeyboardCfg

        self._keyboard: Any = Se3Keyboard(Se3KeyboardCfg(sim_device=sim_device, **_SENSITIVITY))
        self._keyboard.add_callback(_RESET_KEY, self._give_up)
        self._given_up = False
        log.info("%s\n\tGive this attempt up: %s", self._keyboard, _RESET_KEY)

    def command(self) -> Tensor:
        return self._keyboard.advance()

    def wants_reset(self) -> bool:
        given_up, self._given_up = self._given_up, False
        return given_up

    def reset(self) -> None:
        self._given_up = False
        self._keyboard.reset()

    def _give_up(self) -> None:
        self._given_up = True
