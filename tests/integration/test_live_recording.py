"""Demonstrations of a person who acts while the scene runs; the person is a script that sees what a person would see."""

# N = 1 env, T frames of the person's plan

from pathlib import Path

import h5py
import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig, SimCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.math import axis_angle_from_matrix
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run import teleoperation as teleoperate_live
from isaaclab_mimic_ext.run.episodes import Output
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder, episode_format
from isaaclab_mimic_ext.run.teleoperation import OPERATOR_REASONS, record_live_demos
from isaaclab_mimic_ext.run.writer import EpisodeWriter
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.tasks.desktop_organizer.operator import plan_demos
from tests.jobs import command
from tests.kinematic_sources import make_kinematic_env
from tests.named_poses import object_poses

SEED = 5


class Person:
    """Moves the hand along a plan, by what is missing to its next pose; gives up the attempts that are named."""

    def __init__(self, env: MimicEnv, gives_up: tuple[int, ...] = ()):
        self._env, self._gives_up = env, gives_up
        self.attempt, self._frame = -1, 0

    def reset(self) -> None:
        self.attempt, self._frame = self.attempt + 1, 0
        draws = Draws(SEED, torch.tensor([self.attempt]))
        self._plan = plan_demos(object_poses(self._env), self._env.eef_pose[:, 0], draws)

    def command(self) -> Tensor:
        frame = min(self._frame, self._plan.target_eef_pose.shape[1] - 1)
        self._frame += 1
        target, now = self._plan.target_eef_pose[0, frame], self._env.eef_pose[0, 0]
        rotation = axis_angle_from_matrix((target[:3, :3] @ now[:3, :3].T)[None])[0]
        return torch.cat((target[:3, 3] - now[:3, 3], rotation, self._plan.gripper_action[0, frame]))

    def wants_reset(self) -> bool:
        return self.attempt in self._gives_up and self._frame == 3


def record(path: Path, num_demos: int, gives_up: tuple[int, ...] = ()) -> Person:
    env = make_kinematic_env(1)
    env.reset(torch.zeros(1, dtype=torch.int64), Draws(SEED, torch.tensor([0])))
    person, ledger = Person(env, gives_up), TrialLedger(DataGenConfig(generation_num_trials=num_demos))
    writer = EpisodeWriter(Output(path), episode_format(env))
    recorder = EpisodeRecorder(env, teleoperate_live.MAX_STEPS, writer)
    record_live_demos(env, person, recorder, ledger, SEED, num_success_steps=5)
    writer.close(ledger.result(path, OPERATOR_REASONS))
    return person


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Times that the recording would sleep after each step [s]; the test does not sleep."""
    times: list[float] = []
    monkeypatch.setattr(teleoperate_live.time, "sleep", times.append)
    return times


def test_successful_attempt_of_a_person_is_recorded_step_by_step(tmp_path: Path, slept: list[float]) -> None:
    record(tmp_path / "raw.hdf5", 2)
    with h5py.File(tmp_path / "raw.hdf5") as file:
        demos = list(file["data"].values())
        assert len(demos) == 2
        num_steps = 0
        for demo in demos:
            assert demo.attrs["success"]
            assert demo["rewards"][-5:].tolist() == [1.0] * 5
            num_steps += len(demo["actions"])
    assert len(slept) == num_steps - 2, "after every step but a demo's last there is a wait"
    assert min(slept) >= 0.0


def test_aborted_attempt_is_not_recorded(tmp_path: Path) -> None:
    person = record(tmp_path / "raw.hdf5", 1, gives_up=(0, 1))
    assert person.attempt == 2
    with h5py.File(tmp_path / "raw.hdf5") as file:
        (demo,) = file["data"].values()
        assert demo.attrs["trial"] == 2


def test_live_device_is_refused_for_two_arms(tmp_path: Path) -> None:
    env = make_env(load_task("two_arm_lift_tray"), SimCfg(engine="kinematic"), {}, 1)
    env.reset(torch.zeros(1, dtype=torch.int64), Draws(SEED, torch.tensor([0])))
    path = tmp_path / "raw.hdf5"
    writer = EpisodeWriter(Output(path), episode_format(env))
    recorder = EpisodeRecorder(env, 10, writer)
    ledger = TrialLedger(DataGenConfig(generation_num_trials=1))
    with pytest.raises(ConfigError, match=r"requires a task with one end effector \(got 2: left, right\)"):
        record_live_demos(env, Person(env), recorder, ledger, SEED, num_success_steps=5)
    writer.close(ledger.result(path, OPERATOR_REASONS))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["sim=mujoco"],
            "teleop_device: 'keyboard' requires the window of Isaac Lab, but the engine is 'mujoco'; choices: "
            "scripted, scripted_fluent",
        ),
        (["headless=true"], "teleop_device: 'keyboard' requires a window, but headless is true; omit --headless"),
    ],
)
def test_keyboard_is_refused_without_a_window(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        words = ["teleop_device=keyboard", f"output_file={tmp_path / 'raw.hdf5'}", *words]
        command("record", load_config("record_demos", words))
    assert str(raised.value) == message
