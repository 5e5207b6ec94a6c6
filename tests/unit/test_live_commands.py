"""Commands of a live device, and plans in other dtypes: converted, or refused with the place and the rule."""

# N = 1 env, E end effectors

import math
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.attempts import AttemptWatch
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.live import LiveRecording
from isaaclab_mimic_ext.run.live_state import LiveMonitor
from isaaclab_mimic_ext.run.teleoperation import record_demos
from isaaclab_mimic_ext.task.definition import load_task

RULES = DataGenConfig(generation_num_trials=1, max_num_failures=1)


class Device:
    """Returns the same command in each step; the person discards the attempt after 20 steps."""

    def __init__(self, command: Tensor):
        self._command, self.num_commands = command, 0

    def command(self) -> Tensor:
        self.num_commands += 1
        return self._command

    def wants_reset(self) -> bool:
        return self.num_commands == 20

    def reset(self) -> None:
        pass


def reset_env(task: str = "desktop_organizer", num_envs: int = 1) -> MimicEnv:
    env = make_env(load_task(task), "kinematic", num_envs=num_envs)
    env.reset(torch.arange(num_envs), Draws(1, torch.arange(num_envs)))
    return env


def record_by_hand(env: MimicEnv, command: Tensor) -> TrialLedger:
    ledger = TrialLedger(RULES)
    LiveRecording(env, Device(command), MagicMock(), ledger, {}, 1, MagicMock(spec=LiveMonitor)).run(1)
    return ledger


@pytest.fixture(autouse=True)
def no_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isaaclab_mimic_ext.run.live.time.sleep", lambda seconds: None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(7,), (1, 7)])
def test_command_of_one_hand_has_one_or_two_axes_and_any_dtype(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    assert record_by_hand(reset_env(), torch.zeros(shape, dtype=dtype)).num_ended == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (torch.tensor(0.0), "command() must return (1, 7) or (7,), one row for each of franka (got ())"),
        (torch.zeros(1, 6), "command() must return (1, 7) or (7,), one row for each of franka (got (1, 6))"),
        (torch.full((7,), math.nan), "command() must return finite values (got NaN or infinity)"),
    ],
)
def test_command_that_cannot_be_executed_is_refused(command: Tensor, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        record_by_hand(reset_env(), command)
    assert str(raised.value) == f"teleop_device: {message}"


def test_scalar_command_is_refused_for_two_hands() -> None:
    with pytest.raises(ConfigError, match=r"must return \(2, 7\), one row for each of left, right \(got \(\)\)"):
        record_by_hand(reset_env("two_arm_lift_tray"), torch.tensor(0.0))


def test_live_device_is_refused_for_several_scenes() -> None:
    with pytest.raises(ConfigError) as raised:
        record_by_hand(reset_env(num_envs=2), torch.zeros(7))
    assert str(raised.value) == "num_envs: must be 1 for a live device (got 2); use make_env(..., num_envs=1)"


def test_plan_may_have_int32_lengths() -> None:
    def stand_still(object_poses: Any, eef_pose: Tensor, draws: Draws) -> Any:
        poses, length = eef_pose[:, None].repeat(1, 3, 1, 1), torch.full((len(eef_pose),), 3, dtype=torch.int32)
        return SimpleNamespace(target_eef_pose=poses, gripper_action=torch.ones(len(eef_pose), 3, 1), length=length)

    env, ledger = reset_env(num_envs=2), TrialLedger(DataGenConfig(max_num_failures=2))
    episodes = MagicMock(first_nonfinite_step=lambda: np.full(2, -1))
    record_demos(env, stand_still, AttemptWatch(env), MagicMock(take=lambda *_: episodes), ledger, 1, 1)
    assert ledger.num_ended == 2
