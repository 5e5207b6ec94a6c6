"""Actions of envs of Isaac Lab that run no trial, and the check of batched actions at the start."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from isaaclab_mimic_ext.envs.isaaclab import actions
from isaaclab_mimic_ext.envs.isaaclab.actions import ActionConverter, checked_envs
from isaaclab_mimic_ext.envs.isaaclab.env import IsaacLabEnv, _idle_action

IDS = torch.tensor([1])
ACTIONS = torch.full((3, 2), 5.0)


def held(idle: torch.Tensor | None, is_relative: bool, last: torch.Tensor, has_acted: bool = True) -> list[list[float]]:
    """Actions of three envs, of which only the second runs a trial."""
    env: Any = IsaacLabEnv.__new__(IsaacLabEnv)
    env.num_envs, env.eef_pose = 3, None
    env._idle_action, env._last_actions = idle, last
    env._has_acted = torch.tensor([has_acted, has_acted, False])
    env.converter = SimpleNamespace(form=SimpleNamespace(is_relative=is_relative))
    env.actions_to_gripper_actions = lambda actions: actions
    env.target_eef_pose_to_action = lambda pose, gripper: torch.zeros(3, 2)
    return env._hold_idle_envs(ACTIONS, IDS).tolist()


def test_idle_envs_repeat_the_idle_action_of_their_configuration() -> None:
    assert held(torch.tensor([7.0, 8.0]), False, torch.ones(3, 2)) == [[7.0, 8.0], [5.0, 5.0], [7.0, 8.0]]


def test_idle_envs_with_absolute_actions_repeat_their_last_action_since_the_reset() -> None:
    """With an offset between the commanded and the measured pose, commanding the measured pose moves the hand."""
    assert held(None, False, torch.ones(3, 2)) == [[1.0, 1.0], [5.0, 5.0], [0.0, 0.0]]
    assert held(None, False, torch.ones(3, 2), has_acted=False) == [[0.0, 0.0], [5.0, 5.0], [0.0, 0.0]]


def test_idle_envs_with_relative_actions_hold_their_pose() -> None:
    assert held(None, True, torch.ones(3, 2)) == [[0.0, 0.0], [5.0, 5.0], [0.0, 0.0]]


def test_idle_action_of_another_size_is_not_used() -> None:
    cpu = torch.device("cpu")
    assert _idle_action(SimpleNamespace(idle_action=[1.0]), 2, cpu) is None
    assert _idle_action(SimpleNamespace(), 2, cpu) is None
    assert torch.equal(_idle_action(SimpleNamespace(idle_action=[1.0, 2.0]), 2, cpu), torch.tensor([1.0, 2.0]))


class LastEnvDiffers:
    """Env of relative actions that are clamped; `faulty` envs invert the position."""

    device = "cpu"

    def __init__(self, num_envs: int, faulty: tuple[int, ...] = ()):
        self.num_envs, self.faulty, self.num_calls = num_envs, faulty, 0

    def target_eef_pose_to_action(self, target: Any, gripper: Any, noise: float = 0.0, env_id: int = 0) -> torch.Tensor:
        from isaaclab_mimic_ext.math import axis_angle_from_matrix

        self.num_calls += 1
        pose = target["franka"]
        sign = -1.0 if env_id in self.faulty else 1.0
        entries = torch.cat((sign * pose[:3, 3], axis_angle_from_matrix(pose[:3, :3])))
        return torch.cat((entries.clamp(-1.0, 1.0), gripper["franka"]))


def converter(env: LastEnvDiffers) -> ActionConverter:
    poses = {"franka": torch.eye(4).repeat(env.num_envs, 1, 1)}
    return ActionConverter(env, ("franka",), poses, {"franka": 1})


def test_check_of_batched_actions_makes_as_many_calls_for_100_envs_as_for_4() -> None:
    few, many = LastEnvDiffers(4), LastEnvDiffers(100)
    assert converter(few).method == converter(many).method == "batched"
    assert many.num_calls == few.num_calls <= 32 * 4 + 2
    assert checked_envs(100) == [0, 33, 66, 99]
    assert checked_envs(2) == [0, 1]


def test_noise_of_a_known_form_is_added_before_clamping() -> None:
    targets, noise = {"franka": torch.eye(4).repeat(4, 1, 1)}, {"franka": torch.full((4, 6), 0.3)}
    targets["franka"][1:, 0, 3], gripper = 0.9, {"franka": torch.ones(4, 1)}
    noisy, clean = converter(LastEnvDiffers(4)).noisy_and_clean(targets, {"franka": torch.eye(4)}, gripper, noise)
    assert clean[:2, 0].tolist() == pytest.approx([0.0, 0.9])
    assert noisy[:2, 0].tolist() == pytest.approx([0.3, 1.0])


class PairDiffers(LastEnvDiffers):
    """Env with batched methods; the actions of its second one, with and without noise, are wrong by `errors`."""

    num_pairs = 0

    def __init__(self, errors: tuple[float, float]):
        super().__init__(4)
        self._errors = errors

    def target_eef_poses_to_actions(self, targets: Any, grippers: Any, noise: Any) -> torch.Tensor:
        rows = [
            self.target_eef_pose_to_action({"franka": pose}, {"franka": gripper})
            for pose, gripper in zip(targets["franka"], grippers["franka"], strict=True)
        ]
        return torch.stack(rows) if noise is None else torch.stack(rows) + torch.nn.functional.pad(noise["franka"], (0, 1))

    def target_eef_poses_to_noisy_and_clean_actions(self, targets: Any, grippers: Any, noise: Any) -> Any:
        self.num_pairs += 1
        both = (self.target_eef_poses_to_actions(targets, grippers, each) for each in (noise, None))
        return tuple(each + error for each, error in zip(both, self._errors, strict=True))


@pytest.mark.parametrize(
    ("errors", "other"),
    [((0.0, 0.0), ""), ((0.1, 0.0), "target_eef_poses_to_actions"), ((0.0, 0.1), "target_eef_pose_to_action")],
)
def test_method_for_noisy_and_clean_actions_is_used_if_it_agrees(
    errors: tuple[float, float], other: str, caplog: pytest.LogCaptureFixture
) -> None:
    targets, noise = {"franka": torch.eye(4).repeat(4, 1, 1)}, {"franka": torch.full((4, 6), 0.3)}
    env = PairDiffers(errors)
    made = converter(env)
    assert [record.message.split()[-1] for record in caplog.records] == ([other] if other else [])
    before = env.num_pairs
    pair = made.noisy_and_clean(targets, targets, {"franka": torch.ones(4, 1)}, noise)
    assert [actions[0, 0].item() for actions in pair] == pytest.approx([0.3, 0.0])
    assert env.num_pairs - before == (not other)


@pytest.mark.parametrize("env_id", [0, 33, 99])
def test_env_whose_method_differs_is_found(env_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "isaaclab_quat_from_matrix", lambda rot, unique: rot.new_zeros(*rot.shape[:-2], 4))
    assert converter(LastEnvDiffers(100, (env_id,))).method == "loop"
