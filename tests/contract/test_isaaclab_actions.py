"""Batched action forms compared with the one-env methods of the Mimic envs in Isaac Lab 2.3."""

import pytest

from tests.contract.isaaclab_side.messages import ConversionResult
from tests.contract.isaaclab_side.process import IsaacLabProcess

pytestmark = pytest.mark.isaaclab

ONE_ARM, TWO_ARMS = ("franka",), ("left", "right")
# (module:class, end effectors, entries of an action, pose entries of an end effector)
ENVS = (
    ("franka_stack_ik_rel_mimic_env:FrankaCubeStackIKRelMimicEnv", ONE_ARM, 7, 6),
    ("franka_stack_ik_abs_mimic_env:FrankaCubeStackIKAbsMimicEnv", ONE_ARM, 8, 7),
    ("galbot_stack_rmp_rel_mimic_env:RmpFlowGalbotCubeStackRelMimicEnv", ONE_ARM, 7, 6),
    ("galbot_stack_rmp_abs_mimic_env:RmpFlowGalbotCubeStackAbsMimicEnv", ONE_ARM, 8, 7),
    ("pick_place_mimic_env:PickPlaceRelMimicEnv", ONE_ARM, 7, 6),
    ("pick_place_mimic_env:PickPlaceAbsMimicEnv", ONE_ARM, 8, 7),
    ("pinocchio_envs.pickplace_gr1t2_mimic_env:PickPlaceGR1T2MimicEnv", TWO_ARMS, 36, 7),
    ("pinocchio_envs.locomanipulation_g1_mimic_env:LocomanipulationG1MimicEnv", TWO_ARMS, 28, 7),
)


@pytest.mark.parametrize(("place", "eef_names", "action_dim", "pose_dim"), ENVS, ids=lambda value: str(value).split(":")[-1])
def test_batched_actions_equal_those_of_the_envs_one_env_method(
    isaaclab_process: IsaacLabProcess, place: str, eef_names: tuple[str, ...], action_dim: int, pose_dim: int
) -> None:
    found: ConversionResult = isaaclab_process.call("actions", "converted", (place, eef_names, action_dim))
    assert (found.method, found.pose_dims) == ("batched", (pose_dim,) * len(eef_names))
    assert found.error <= 1e-5
    assert found.moved == pytest.approx(0.25 * pose_dim * len(eef_names), abs=1e-4)


@pytest.mark.parametrize(("place", "method"), [("unknown", "loop"), ("wrong_batched", "loop"), ("own_batched", "own")])
def test_unknown_forms_use_the_one_env_method_unless_a_batched_method_agrees_with_it(
    isaaclab_process: IsaacLabProcess, place: str, method: str
) -> None:
    found: ConversionResult = isaaclab_process.call("actions", "converted", (place, ONE_ARM, 7))
    assert (found.method, found.pose_dims) == (method, (6,))
    assert found.error <= 1e-5
    assert found.moved == pytest.approx(1.5, abs=1e-4)
