"""Isaac Lab's devices for recording demos: keyboard and gamepad in Isaac Sim's window, SpaceMouse also without Isaac Sim."""

# E end effectors

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor

from isaaclab_mimic_ext.envs.hand_commands import HandCommands
from isaaclab_mimic_ext.envs.isaaclab.launch import has_window
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable

log = logging.getLogger(__name__)

_SPEED, _TURNING_SPEED = 0.25, 1.0
"""Speeds of the hand at the full motion of a device [m/s, rad/s]; the included demos move at 0.23 to 0.32 m/s."""
_DISCARD_KEY, _NEXT_HAND_KEY = "R", "N"
_NAMES = {"keyboard": "Se3Keyboard", "gamepad": "Se3Gamepad", "spacemouse": "Se3SpaceMouse"}
"""Name of a device -> class in `isaaclab.devices`; the class of its configuration ends in `Cfg`."""
_HELP = {
    "keyboard": """Keys in Isaac Sim's window:
  W/S, A/D, Q/E   move along x, y, z
  Z/X, T/G, C/V   turn about x, y, z
  K               open or close the gripper
  R               discard the attempt""",
    "gamepad": """Gamepad:
  left stick, right stick up and down   move along x, y, z
  D-pad, right stick left and right     turn about x, y, z
  X   open or close the gripper
  B   discard the attempt""",
    "spacemouse": """SpaceMouse:
  left button    open or close the gripper
  right button   discard the attempt; hold it and press the left button to switch between moving and turning""",
}


class IsaacLabDevice(HandCommands):
    """Device of Isaac Lab. It commands one hand at a time; N on the keyboard selects the next hand.

    Args:
        name: `keyboard`, `gamepad` or `spacemouse`.
        sim_device: device of the commands.
        step_dt: duration of a step [s].
        eef_names: names of the E end effectors.

    Raises:
        ConfigError: Isaac Lab was launched without a window, which keyboard and gamepad require, or the device is not
            connected.
        SimulatorUnavailable: a package that the device requires is not installed.
    """

    def __init__(self, name: str, sim_device: str, step_dt: float, eef_names: Sequence[str]):
        if name != "spacemouse" and not has_window():
            raise ConfigError(f"teleop_device: '{name}' requires Isaac Sim's window; remove --headless")
        self._device: Any = _open_device(name, sim_device, step_dt)
        self._device.add_callback(_discard_key(name), self._request_reset)
        if name == "keyboard":
            self._device.add_callback(_NEXT_HAND_KEY, self._select_next_hand)
        self._gripper_key = 1.0
        super().__init__(eef_names, sim_device)
        self._log_help(_HELP[name], has_next_hand=name == "keyboard")

    def command(self) -> Tensor:
        """Motion and gripper of each hand in one step, (E, 7)."""
        keys = self._device.advance()
        self._move(keys[:6])
        if self._gripper_key != float(keys[6]):
            self._gripper_key = float(keys[6])
            self._switch_gripper()
        return self._commands

    def reset(self) -> None:
        """Select the first hand, and open the grippers.

        Pressed keys are not reset: `Se3Keyboard.reset` would forget them, and subtract them when they are released.
        """
        super().reset()

    def _select_next_hand(self) -> None:
        super()._select_next_hand()
        if len(self._eef_names) > 1:
            log.info("  Commanding %s", self._eef_names[self._hand])


class WindowKeys:
    """Keys typed in Isaac Sim's window, one text per read.

    Args:
        env: environment in the window, an `IsaacLabEnv`.
        names: keys that are read.
    """

    is_typed, has_ended = True, False

    def __init__(self, env: Any, names: Sequence[str]):
        self._sim, self._typed = env._env.sim, ""
        self._device = _open_device("keyboard", str(env.device), env.step_dt)
        for name in names:
            self._device.add_callback(name.upper(), partial(self._note, name))

    def _note(self, name: str) -> None:
        self._typed += name

    def read(self) -> str:
        """Return the keys typed since the last call."""
        self._sim.render()  # The window passes keys only while it is drawn.
        typed, self._typed = self._typed, ""
        return typed


def _open_device(name: str, sim_device: str, step_dt: float) -> Any:
    try:
        from isaaclab import devices

        make, configure = getattr(devices, _NAMES[name]), getattr(devices, f"{_NAMES[name]}Cfg")
    except ImportError as error:
        remedy = "; install with `pip install hidapi`" if error.name == "hid" else ""
        raise SimulatorUnavailable(
            f"teleop_device: '{name}' requires a package that is not installed: {error}{remedy}"
        ) from error
    speeds = {"pos_sensitivity": _SPEED * step_dt, "rot_sensitivity": _TURNING_SPEED * step_dt}
    try:
        return make(configure(sim_device=sim_device, **speeds))
    except OSError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"teleop_device: '{name}' cannot be opened: {reason}; connect it, or use another device"
        ) from error


def _discard_key(name: str) -> Any:
    """Key or button that discards the attempt, as the device names it."""
    if name == "gamepad":
        import carb

        return carb.input.GamepadInput.B
    return _DISCARD_KEY
