"""Actions in other forms: absolute targets are those that the env computes, and joint positions those that it reached."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.datasets.convert.lerobot_features import (
    ACTION,
    ENVIRONMENT,
    STATE,
    SUCCESS,
    LeRobotOptions,
    choose_columns,
    features,
    rows,
    warn_of_width,
)
from isaaclab_mimic_ext.datasets.convert.robomimic import export_robomimic
from isaaclab_mimic_ext.datasets.convert.targets import absolute_actions, converted_actions
from isaaclab_mimic_ext.envs.tabletop import RelativeActions
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.files.stream import read_facts, stream_demos
from isaaclab_mimic_ext.math import matrix_from_axis_angle, matrix_from_quat_xyzw, pose_from_pos_rot

ONE_ARM = Path(__file__).parents[2] / "tasks/desktop_organizer/data/source_demos.hdf5"
TWO_ARMS = Path(__file__).parents[2] / "tasks/two_arm_lift_tray/data/source_demos.hdf5"


def first_demo(path: Path) -> Demo:
    return next(stream_demos(path, ["demo_0"]))


def targets_of_env(demo: Demo, prefixes: tuple[str, ...]) -> torch.Tensor:
    """Targets (T, E, 4, 4) that the env computes from the actions of a demo."""
    leaves = {path: torch.from_numpy(leaf) for path, leaf in demo.leaves.items() if path.startswith("obs/")}
    poses = [
        pose_from_pos_rot(leaves[f"obs/{prefix}eef_pos"], matrix_from_quat_xyzw(leaves[f"obs/{prefix}eef_quat"]))
        for prefix in prefixes
    ]
    control = RelativeActions(len(prefixes), torch.device("cpu"))
    return control.to_targets(torch.from_numpy(demo.leaves["actions"]), torch.stack(poses, dim=1))


@pytest.mark.parametrize(("path", "prefixes"), [(ONE_ARM, ("",)), (TWO_ARMS, ("robot_left_", "robot_right_"))])
def test_absolute_actions_are_the_targets_of_the_env(path: Path, prefixes: tuple[str, ...]) -> None:
    demo, facts = first_demo(path), read_facts(path)
    targets = targets_of_env(demo, prefixes).numpy()
    found = converted_actions(demo, demo.leaves["actions"], "eef_absolute", facts.env_args, facts.is_xyzw)
    robomimic = absolute_actions(demo, facts.env_args, facts.is_xyzw)
    for index in range(len(prefixes)):
        pos, rot = targets[:, index, :3, 3], targets[:, index, :3, :3]
        arm, arm_abs = found.values[:, 10 * index :][:, :10], robomimic[:, 7 * index :][:, :7]
        assert np.abs(arm[:, :3] - pos).max() < 1e-5 and np.abs(arm_abs[:, :3] - pos).max() < 1e-5
        assert np.abs(arm[:, 3:9] - np.concatenate((rot[:, :, 0], rot[:, :, 1]), axis=1)).max() < 1e-5
        assert np.abs(matrix_from_axis_angle(torch.from_numpy(arm_abs[:, 3:6])).numpy() - rot).max() < 1e-4
        gripper = demo.leaves["actions"][:, 7 * index + 6]
        assert np.array_equal(arm[:, 9], gripper) and np.array_equal(arm_abs[:, 6], gripper)


def test_quaternions_of_old_files_give_the_same_targets() -> None:
    demo, facts = first_demo(ONE_ARM), read_facts(ONE_ARM)
    old = replace(demo, leaves=demo.leaves | {"obs/eef_quat": np.roll(demo.leaves["obs/eef_quat"], 1, axis=1)})
    assert np.array_equal(absolute_actions(demo, facts.env_args, True), absolute_actions(old, facts.env_args, False))


def test_entries_of_actions_have_names() -> None:
    facts, demo = read_facts(TWO_ARMS), first_demo(TWO_ARMS)
    names = [
        converted_actions(demo, demo.leaves["actions"], form, facts.env_args, True).names
        for form in ("delta", "joint", "eef_absolute")
    ]
    assert names[0][:3] == ("left.x", "left.y", "left.z") and names[0][-2:] == ("right.rz", "right.gripper")
    assert names[1][6:9] == ("left.joint_7", "left.gripper", "right.joint_1") and len(names[1]) == 16
    assert names[2][2:4] == ("left.z", "left.rot6d.0") and len(names[2]) == 20


def test_joint_actions_are_the_joint_positions_after_each_step() -> None:
    facts, demo = read_facts(ONE_ARM), first_demo(ONE_ARM)
    found = converted_actions(demo, demo.leaves["actions"], "joint", facts.env_args, True).values
    assert np.array_equal(found[:, :7], demo.leaves["states/articulation/robot/joint_position"][:, :7])
    assert np.array_equal(found[:, 7], demo.leaves["actions"][:, 6])


def test_forms_that_a_demo_has_no_data_for_are_refused() -> None:
    facts, demo = read_facts(ONE_ARM), first_demo(ONE_ARM)
    bare = replace(demo, leaves={"actions": demo.leaves["actions"]})
    for form, message in (("joint", "recorded joint positions of 'franka'"), ("eef_absolute", "observation eef_pos")):
        with pytest.raises(ConfigError, match=rf"actions: '{form}' requires .*{message}.*use delta"):
            converted_actions(bare, bare.leaves["actions"], form, facts.env_args, True)
        with pytest.raises(ConfigError, match=rf"actions: '{form}' requires relative actions"):
            converted_actions(demo, demo.leaves["actions"], form, {}, True)


def test_robomimic_export_contains_absolute_actions(tmp_path: Path) -> None:
    export_robomimic(ONE_ARM, tmp_path / "out.hdf5", demos=["demo_0"])
    facts = read_facts(ONE_ARM)
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert np.array_equal(file["data/demo_0/actions_abs"], absolute_actions(first_demo(ONE_ARM), facts.env_args, True))


def test_objects_are_not_in_the_state_of_the_robot(caplog: pytest.LogCaptureFixture) -> None:
    facts, demo = read_facts(TWO_ARMS), first_demo(TWO_ARMS)
    found = features(demo, choose_columns(demo, facts, LeRobotOptions()), videos=True)
    assert {name.partition("_")[0] for name in found[STATE]["names"]} == {"robot"}
    assert {name.partition("_")[0] for name in found[ENVIRONMENT]["names"]} == {"bin", "part", "stand", "tray"}
    warn_of_width(found)
    assert "observation.state has 54 entries; pi0, SmolVLA and X-VLA accept 32; choose fewer" in caplog.text


def test_task_names_its_observations_of_the_robot() -> None:
    facts, demo = read_facts(ONE_ARM), first_demo(ONE_ARM)
    demo = replace(demo, leaves=demo.leaves | {"obs/contact_force": np.zeros((demo.num_steps, 2), np.float32)})
    assert "contact_force" not in choose_columns(demo, facts, LeRobotOptions()).state_keys
    facts = replace(facts, env_args=facts.env_args | {"robot_observations": ["contact_force"]})
    assert "contact_force" in choose_columns(demo, facts, LeRobotOptions()).state_keys


def test_joints_of_objects_are_not_those_of_the_robot() -> None:
    facts, demo = read_facts(ONE_ARM), first_demo(ONE_ARM)
    joint = np.zeros((demo.num_steps, 1), np.float32)
    added = {"obs/drawer_joint_pos": joint, "states/articulation/drawer/joint_position": joint}
    demo = replace(demo, leaves=demo.leaves | added)
    facts = replace(facts, env_args=facts.env_args | {"object_names": [*facts.env_args["object_names"], "drawer"]})
    columns = choose_columns(demo, facts, LeRobotOptions(actions="joint"))
    assert "drawer_joint_pos" in columns.environment_keys
    assert rows(demo, columns)[ACTION].shape[1] == 8


def test_success_is_true_in_the_last_step_of_a_successful_demo() -> None:
    facts, demo = read_facts(ONE_ARM), first_demo(ONE_ARM)
    columns = choose_columns(demo, facts, LeRobotOptions())
    assert np.flatnonzero(rows(demo, columns)[SUCCESS]).tolist() == [demo.num_steps - 1]
    failed = replace(demo, attributes=demo.attributes | {"success": False})
    assert not rows(failed, columns)[SUCCESS].any()
    unknown = replace(demo, attributes={name: value for name, value in demo.attributes.items() if name != "success"})
    with pytest.raises(SourceDataError, match="demo_0: attribute 'success': not found"):
        rows(unknown, columns)


def test_policies_learn_actions_without_noise_unless_a_key_is_given() -> None:
    facts, demo = read_facts(ONE_ARM), first_demo(ONE_ARM)
    demo = replace(demo, leaves=demo.leaves | {"actions_clean": demo.leaves["actions"] / 2})
    for options, expected in ((LeRobotOptions(), 0.5), (LeRobotOptions(action_key="actions"), 1.0)):
        found = rows(demo, choose_columns(demo, facts, options))[ACTION]
        assert np.array_equal(found, demo.leaves["actions"] * np.float32(expected))
    with pytest.raises(ConfigError, match=r"action_key: 'action' not found .*did you mean 'actions'"):
        choose_columns(demo, facts, LeRobotOptions(action_key="action"))


def test_unknown_observations_are_refused_with_the_choices() -> None:
    facts, demo = read_facts(ONE_ARM), first_demo(ONE_ARM)
    with pytest.raises(ConfigError, match=r"environment_keys: 'ketchop_pos' is not a low-dim.*did you mean 'ketchup_pos'"):
        choose_columns(demo, facts, LeRobotOptions(environment_keys=("ketchop_pos",)))


def test_subtasks_of_two_arms_get_an_index_for_each_pair() -> None:
    facts, demo = read_facts(TWO_ARMS), first_demo(TWO_ARMS)
    names = json.dumps({"left": ["grasp", "lift"], "right": ["grasp", "hand over"]})
    steps = np.array([[5, demo.num_steps - 5], [8, demo.num_steps - 8]])
    demo = replace(demo, attributes=demo.attributes | {"subtask_steps": steps})
    facts = replace(facts, data_attributes=facts.data_attributes | {"subtasks": names})
    columns = choose_columns(demo, facts, LeRobotOptions())
    index = rows(demo, columns)["subtask_index"][:, 0]
    assert index.tolist() == [0] * 5 + [1] * 3 + [2] * (demo.num_steps - 8)
    assert [*columns.subtasks] == ["left: grasp; right: grasp", "left: lift; right: grasp", "left: lift; right: hand over"]
