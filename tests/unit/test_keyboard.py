"""Isaac Lab's devices, on a stand-in for the part of Isaac Lab that receives the keys."""

# E end effectors

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.datasets.marking import MARKING_KEYS
from isaaclab_mimic_ext.envs.isaaclab import devices as isaaclab_devices
from isaaclab_mimic_ext.envs.isaaclab.devices import IsaacLabDevice, WindowKeys
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable


@dataclass
class KeyboardCfg:
    sim_device: str
    pos_sensitivity: float
    rot_sensitivity: float


class HeldKeys:
    """Isaac Lab's `Se3Keyboard` with two of its keys."""

    def __init__(self, cfg: KeyboardCfg):
        self.cfg, self.callbacks = cfg, dict[str, Callable[[], None]]()
        self._motion, self._is_closed = torch.zeros(6), False

    def add_callback(self, key: str, function: Callable[[], None]) -> None:
        self.callbacks[key] = function

    def press(self, key: str) -> None:
        self._motion[0] += self.cfg.pos_sensitivity * (key == "W")
        self._is_closed ^= key == "K"
        self.callbacks.get(key, lambda: None)()

    def release(self) -> None:
        self._motion[0] -= self.cfg.pos_sensitivity

    def advance(self) -> Tensor:
        return torch.cat((self._motion, torch.tensor([-1.0 if self._is_closed else 1.0])))


class Unplugged:
    """Isaac Lab's `Se3SpaceMouse` on a computer without one."""

    def __init__(self, cfg: KeyboardCfg):
        raise OSError("No device found by SpaceMouse. Is the device connected?")


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = SimpleNamespace(
        Se3Keyboard=HeldKeys, Se3KeyboardCfg=KeyboardCfg, Se3SpaceMouse=Unplugged, Se3SpaceMouseCfg=KeyboardCfg
    )
    monkeypatch.setitem(sys.modules, "isaaclab", SimpleNamespace(devices=devices))
    monkeypatch.setitem(sys.modules, "isaaclab.devices", devices)
    monkeypatch.setattr(isaaclab_devices, "has_window", lambda: True)


def opened(*eef_names: str, name: str = "keyboard") -> tuple[IsaacLabDevice, HeldKeys]:
    device = IsaacLabDevice(name, "cpu", 0.05, eef_names)
    return device, device._device


def test_pressed_key_moves_the_hand_at_a_quarter_of_a_meter_per_second(window: None) -> None:
    device, keys = opened("franka")
    keys.press("W")
    assert device.command().tolist() == [pytest.approx([0.0125, 0, 0, 0, 0, 0, 1.0])]
    keys.release()
    assert device.command().tolist() == [[0, 0, 0, 0, 0, 0, 1.0]]


def test_keys_command_one_hand_at_a_time_and_each_gripper_keeps_its_state(window: None) -> None:
    device, keys = opened("left", "right")
    keys.press("K")
    assert device.command()[:, 6].tolist() == [-1.0, 1.0]
    keys.press("N")
    keys.press("W")
    assert device.command()[:, 0].tolist() == pytest.approx([0.0, 0.0125])
    keys.press("K")
    assert device.command()[:, 6].tolist() == [-1.0, -1.0]
    keys.press("K")
    assert device.command()[:, 6].tolist() == [-1.0, 1.0]
    keys.press("N")
    assert device.command()[:, 0].tolist() == pytest.approx([0.0125, 0.0])


def test_new_attempt_begins_with_the_first_hand_open_grippers_and_no_request(window: None) -> None:
    device, keys = opened("left", "right")
    for key in ("K", "N", "W", "R"):
        keys.press(key)
    device.command()
    device.reset()
    assert not device.wants_reset()
    keys.release()
    assert device.command().tolist() == [[0, 0, 0, 0, 0, 0, 1.0]] * 2, "a key that was pressed at the reset is released"


def test_reset_key_discards_the_attempt_once(window: None) -> None:
    device, keys = opened("franka")
    keys.press("R")
    assert (device.wants_reset(), device.wants_reset()) == (True, False)


def test_keyboard_without_a_window_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isaaclab_devices, "has_window", lambda: False)
    with pytest.raises(ConfigError, match="requires Isaac Sim's window"):
        IsaacLabDevice("keyboard", "cpu", 0.05, ("franka",))


def test_device_that_is_not_connected_is_refused_in_one_sentence(window: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isaaclab_devices, "has_window", lambda: False)
    with pytest.raises(ConfigError, match=r"^teleop_device: 'spacemouse' cannot be opened: No device found .*; connect it"):
        opened("franka", name="spacemouse")


def test_missing_driver_is_reported_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutDriver:
        def __getattr__(self, name: str) -> None:
            raise ModuleNotFoundError("No module named 'hid'", name="hid")

    monkeypatch.setitem(sys.modules, "isaaclab", SimpleNamespace(devices=WithoutDriver()))
    with pytest.raises(
        SimulatorUnavailable, match=r"not installed: No module named 'hid'; install with `pip install hidapi`$"
    ):
        IsaacLabDevice("spacemouse", "cpu", 0.05, ("franka",))


def test_window_passes_the_keys_that_mark_signals_once(window: None) -> None:
    drawn: list[None] = []
    env = SimpleNamespace(
        _env=SimpleNamespace(sim=SimpleNamespace(render=lambda: drawn.append(None))), device="cpu", step_dt=0.05
    )
    keys = WindowKeys(env, MARKING_KEYS)
    assert keys.read() == ""
    for key in "NSWB":
        keys._device.press(key)
    assert (keys.read(), keys.read()) == ("nsb", "")
    assert len(drawn) == 3, "the window passes keys only while it is drawn"
