"""Robots from MJCF files: measured grippers, start postures, faults, and demos of the Panda on another arm."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.checks.findings import DemoFinding, DemoFindings
from isaaclab_mimic_ext.checks.motion import DemoView, EefView
from isaaclab_mimic_ext.checks.robot import check_robot
from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.config.compose import load_config, load_robot_config
from isaaclab_mimic_ext.datasets.replay import make_recorded_env
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.panda.kinematics import HOME, forward_kinematics
from isaaclab_mimic_ext.envs.robots import Robot, load_robot
from isaaclab_mimic_ext.envs.robots.chain import posture_scores
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.robot_reach import reach_stats, report_reach
from isaaclab_mimic_ext.task.definition import Task, load_task
from isaaclab_mimic_ext.task.robot import RobotCfg, recorded_robot
from tests import requires
from tests.own_robot import own_robot

requires.module("mujoco", "mujoco")
HOMES = {
    5: [-0.06, 0.417, 1.779, 0.894, -0.081],
    6: [-0.071, 0.417, 1.779, 0.031, 0.894, -0.112],
    7: [-0.06, 0.417, 0.0, 1.779, 0.0, 0.894, -0.081],
}


def loaded(folder: Path, num_joints: int = 6, **fields: Any) -> Robot:
    return load_robot(own_robot(folder, num_joints, home=HOMES[num_joints], **fields))


def task_with_own_robot(folder: Path) -> Task:
    return load_task("stack_cube", own_robot(folder, home=HOMES[6]))


@pytest.mark.parametrize("num_joints", HOMES)
def test_gripper_and_kinematics_are_read_from_the_file(tmp_path: Path, num_joints: int) -> None:
    robot = loaded(tmp_path, num_joints)
    assert robot.name == "own_arm" and robot.num_joints == num_joints
    assert robot.open_command == (0.04,) and robot.closed_command == (0.0,)
    assert robot.finger_open == pytest.approx(0.04, abs=1e-3)
    pose = robot.forward_kinematics(torch.tensor(robot.home[:-2], dtype=torch.float64))
    # As the Panda: z out of the hand, 9 mm above the finger tips, fingers along y, hand downwards in front of the robot.
    start = forward_kinematics(torch.tensor(HOME[:7], dtype=torch.float64))
    torch.testing.assert_close(pose[:3, 3], start[:3, 3], atol=5e-3, rtol=0)
    assert float((pose[:3, :3] * start[:3, :3]).sum()) > 2.9


def test_start_posture_reaches_the_start_of_the_panda_if_none_is_given(tmp_path: Path) -> None:
    robot = load_robot(own_robot(tmp_path))
    pose = robot.forward_kinematics(torch.tensor(robot.home[:-2], dtype=torch.float64))
    start = forward_kinematics(torch.tensor(HOME[:7], dtype=torch.float64))
    torch.testing.assert_close(pose, start, atol=0.03, rtol=0)


def test_closing_gripper_is_observed_and_its_state_is_restored(tmp_path: Path) -> None:
    env = make_env(task_with_own_robot(tmp_path), "mujoco", {}, num_envs=2)
    env.reset(torch.arange(2), Draws(1, torch.arange(2)))
    opened = env.scene.finger_pos.clone()  # type: ignore[attr-defined]
    close = torch.tensor([[0.0] * 6 + [-1.0]]).expand(2, 7)
    for _ in range(6):
        env.step(close)
    state = trees.map(torch.clone, env.get_state())
    closed, pose = env.scene.finger_pos.clone(), env.eef_pose.clone()  # type: ignore[attr-defined]
    assert (opened > 0.038).all() and (closed < 0.03).all()
    env.reset(torch.arange(2), Draws(2, torch.arange(2)))
    env.reset_to(state, torch.arange(2))
    torch.testing.assert_close(env.scene.finger_pos, closed, atol=2e-4, rtol=0)  # type: ignore[attr-defined]
    torch.testing.assert_close(env.eef_pose, pose, atol=1e-5, rtol=0)
    env.close()


def test_hand_follows_targets_with_the_kinematics_of_the_description(tmp_path: Path) -> None:
    env = make_env(task_with_own_robot(tmp_path), "mujoco", {}, num_envs=1)
    env.reset(torch.arange(1), Draws(1, torch.arange(1)))
    expected = load_robot(env.task.robot).forward_kinematics(env.scene.joint_pos[..., :-2])  # type: ignore[attr-defined]
    torch.testing.assert_close(env.eef_pose, expected, atol=1e-5, rtol=0)
    target = env.eef_pose.clone()
    target[..., :3, 3] += torch.tensor([0.03, 0.04, -0.03])
    for _ in range(20):
        env.step(env.target_eef_pose_to_action(target, torch.ones(1, 1, 1)))
    torch.testing.assert_close(env.eef_pose, target, atol=2e-3, rtol=0)
    env.close()


def test_dataset_states_the_robot_and_the_digest_of_its_model(tmp_path: Path) -> None:
    task = task_with_own_robot(tmp_path)
    env = make_env(task, "kinematic", {})
    entry = env.env_args()["robot"]
    assert entry["name"] == "own_arm" and entry["digest"] == load_robot(task.robot).digest
    robot = recorded_robot(env.env_args())
    assert robot is not None and load_robot(robot).home == load_robot(task.robot).home
    (tmp_path / "heavier").mkdir()
    heavier = load_robot(own_robot(tmp_path / "heavier", replaced={'mass="0.05"': 'mass="0.06"'}, home=HOMES[6]))
    assert heavier.digest != entry["digest"]


def test_changed_file_of_a_robot_is_read_again(tmp_path: Path) -> None:
    first = loaded(tmp_path)
    assert loaded(tmp_path).digest == first.digest
    assert loaded(tmp_path, replaced={'mass="0.05"': 'mass="0.0601"'}).digest != first.digest


def test_replay_reports_that_the_file_of_the_robot_has_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    args = make_env(task_with_own_robot(tmp_path), "kinematic", {}).env_args()
    make_recorded_env("demos.hdf5", args, SimCfg(), 1)
    assert not caplog.messages
    changed = own_robot(tmp_path, replaced={'mass="0.05"': 'mass="0.07"'}, home=HOMES[6])
    make_recorded_env("demos.hdf5", {**args, "robot": {**args["robot"], "ik_damping": 0.06}}, SimCfg(), 1)
    (message,) = caplog.messages
    new = load_robot(replace(changed, ik_damping=0.06)).digest
    assert (
        f"demos.hdf5: the model of the robot has changed since the recording (digest {args['robot']['digest'][:8]}"
        in message
    )
    assert f"now {new[:8]})" in message


def test_panda_is_not_stated() -> None:
    env = make_env(load_task("stack_cube", RobotCfg()), "kinematic", {})
    assert "robot" not in env.env_args()


FAULTS: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "missing frame": ({"eef_frame": "grap"}, {}, r"robot.eef_frame: site or body 'grap' not found; .*did you mean 'grip'"),
    "missing actuator": ({"gripper": "jaw"}, {}, r"robot.gripper: actuator 'jaw' not found; .*did you mean 'jaws'"),
    "no actuator": ({"gripper": None}, {}, r"robot.gripper: must be the actuator of the gripper"),
    "gripper that does not move": (
        {"gripper_open": 0.02, "gripper_closed": 0.02}, {}, r"robot.gripper: jaws does not move the fingers"
    ),
    "home in collision": ({"home": [0.0, 2.6, 0.0, 0.0, 0.0, 0.0]}, {}, r"robot.home: '\w+' collides with the table"),
    "home out of range": ({"home": [0.0, 3.0, 0.0, 0.0, 0.0, 0.0]}, {}, r"robot.home: 'shoulder' must be from -2.9 to 2.9"),
    "home of a different length": ({"home": [0.0]}, {}, r"robot.home: must be 6 angles"),
    "free base": ({}, {'<body name="base">': '<body name="base"><freejoint/>'}, r"robot.mjcf: base 'base' has a free joint"),
    "empty range": (
        {}, {'name="bend" axis': 'name="bend" range="1 1" axis'}, r"robot.joints: 'bend' has an empty range"
    ),
    "sliding joint": ({}, {'name="bend" axis': 'name="bend" type="slide" axis'}, r"robot.joints: 'bend' slides"),
    "unknown joint": ({"joints": ["turn", "sholder"]}, {}, r"robot.joints: 'sholder' does not move 'grip'.*'shoulder'"),
    "too few joints": ({"joints": ["turn", "shoulder"]}, {}, r"robot.joints: must be 5, 6 or 7 joints \(got 2"),
    "wrong axis of the hand": ({"approach_axis": "y"}, {}, r"robot.approach_axis: the fingers move along 'y'"),
    "wrong closing axis": ({"closing_axis": "x"}, {}, r"robot.closing_axis: the fingers close along y"),
    "colliding names": ({"hand": "<file>", "hand_mount": "grip"}, {}, r"robot.hand_prefix: arm and hand both have joints"),
    "constraint of a joint that is removed": (
        {"joints": ["shoulder", "elbow", "lower_roll", "bend", "roll"]},
        {
            "<equality>": '<equality><joint joint1="turn" joint2="left"/>',
            '<motor name="turn" joint="turn"': '<motor joint="bend"',
        },
        r"robot.mjcf: cannot be used without the joints of other parts: .*'turn'.*; delete this element",
    ),
    "gripper that is a number": ({"gripper": 5}, {}, r"robot.gripper: must be the name of an actuator, or a list"),
    "gripper command that is a text": ({"gripper_open": "open"}, {}, r"robot.gripper_open: must be a number, or a list"),
    "place of two numbers": ({"eef_pos": [0.0, 0.1]}, {}, r"robot.eef_pos: must be three numbers"),
    "negative stiffness": ({"stiffness": -1.0}, {}, r"robot.stiffness: must be > 0 \(got -1.0\)"),
    "speed that is not a number": ({"max_joint_speed": float("nan")}, {}, r"robot.max_joint_speed: must be > 0 \(got nan"),
    "axis with two signs": ({"approach_axis": "--z"}, {}, r"robot.approach_axis: must be x, y, z, -x, -y or -z"),
    "missing mount": ({"hand": "<file>", "hand_prefix": "g_"}, {}, r"robot.hand_mount: must be the name"),
    "missing file": ({"mjcf": "nowhere.xml"}, {}, r"robot.mjcf: nowhere.xml not found"),
    "damaged file": ({}, {"<actuator>": "<actuatr>"}, r"robot.mjcf: .* cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_fault_of_a_description_is_reported_with_its_field(tmp_path: Path, name: str) -> None:
    fields, replaced, message = FAULTS[name]
    robot = own_robot(tmp_path, replaced=replaced, **fields)
    if robot.hand == "<file>":
        robot.hand = robot.mjcf
    with pytest.raises(ConfigError, match=message):
        load_robot(robot)


def test_parts_without_names_are_found(tmp_path: Path) -> None:
    unnamed = {
        '<body name="base">': "<body>", '<body name="upper">': "<body>", '<body name="left" pos': "<body pos",
        '<joint name="elbow" axis': "<joint axis",
    }  # fmt: skip
    robot = loaded(tmp_path, replaced=unnamed)
    assert len(set(robot.joint_names)) == robot.num_joints == 6
    assert robot.finger_open == pytest.approx(0.04, abs=1e-3)


def test_frame_in_a_body_next_to_the_fingers_is_the_end_effector(tmp_path: Path) -> None:
    """Grippers of robosuite have a body of their own for the frame: their fingers are not below it."""
    beside = {'<site name="grip" pos="0 0 0.12"/>': '<body name="eef"><site name="grip" pos="0 0 0.12"/></body>'}
    robot = loaded(tmp_path, replaced=beside)
    assert robot.gripper_joint_names == ("left", "right")
    assert robot.finger_open == pytest.approx(0.04, abs=1e-3)


def test_gripper_is_measured_if_zero_is_out_of_the_range_of_an_arm_joint(tmp_path: Path) -> None:
    """The limit pushes the arm while the gripper moves, and the arm then counts as a finger, as with a Panda's joint 4."""
    bent = {'<joint name="elbow" axis': '<joint name="elbow" range="1 2.9" axis'}
    robot = load_robot(own_robot(tmp_path, home=HOMES[6], replaced=bent))
    assert robot.finger_open == pytest.approx(load_robot(own_robot(tmp_path, home=HOMES[6])).finger_open, abs=1e-4)


@pytest.mark.parametrize("limit", ['ctrlrange="-2 2"', 'ctrlrange="-9 9" forcerange="-2 2"'])
def test_torque_limit_of_a_joint_contains_the_gear(tmp_path: Path, limit: str) -> None:
    robot: Any = loaded(tmp_path, replaced={'ctrlrange="-80 80"': f'gear="40" {limit}'})
    assert robot.spec.actuator("turn_servo").forcerange.tolist() == [-80.0, 80.0]


def test_grip_force_limits_the_actuators_of_the_gripper(tmp_path: Path) -> None:
    # One actuator moves both fingers: it needs twice the force of a finger.
    robot: Any = loaded(tmp_path, grip_force=10.0)
    assert robot.spec.actuator("jaws").forcerange == pytest.approx([-20.0, 20.0], rel=0.03)
    weaker: Any = loaded(tmp_path, grip_force=100.0)
    assert weaker.spec.actuator("jaws").forcerange.tolist() == [-30.0, 30.0]


def test_posture_at_a_limit_of_a_joint_has_a_lower_score() -> None:
    """A start posture of iiwa14 was 0.03 rad from a limit: 45 % of its trials failed."""
    at_limit, away = posture_scores(torch.tensor([0.32, 0.27]), torch.zeros(2, 7, 3), torch.tensor([0.0, 0.04]))
    assert away > at_limit


def test_base_of_two_numbers_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"robot.base_pos: must be three numbers, x, y and z in m \(got \[0.5, 0.0\]\)"):
        load_task("stack_cube", RobotCfg(base_pos=[0.5, 0.0]))


def test_field_without_a_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"robot.eef_frame: has no effect without robot.mjcf"):
        load_robot(RobotCfg(eef_frame="grip"))


def test_unknown_robot_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"robot: 'ur5' not found; .*did you mean 'ur5e'"):
        load_robot_config("ur5")


def test_model_of_menagerie_that_cannot_be_had_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MENAGERIE_ROOT", str(tmp_path))
    with pytest.raises(SimulatorUnavailable, match=r"robot.mjcf: .*ur5e.xml not found; MENAGERIE_ROOT must be a checkout"):
        load_robot(load_robot_config("ur5e"))


def test_other_robot_is_refused_in_isaac_lab(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"robot: 'own_arm' requires an engine without Isaac Lab"):
        make_env(task_with_own_robot(tmp_path), "isaaclab", {})


def robot_findings(folder: Path, task_name: str = "stack_cube", **fields: Any) -> list[DemoFinding]:
    task = load_task(task_name, own_robot(folder, home=HOMES[6], **fields))
    straight = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    straight[:, :3, :3] = torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])
    straight[:, :3, 3] = torch.tensor([[0.45, 0.0, 0.2], [0.55, 0.0, 0.05]])
    poses = straight.numpy()
    eef = EefView("franka", poses, poses, np.ones((2, 1)), (), None, 0.05)
    findings = DemoFindings()
    check_robot(findings, task, [DemoView(SimpleNamespace(name="demo_0"), {"franka": eef}, None, 0.05)])  # type: ignore[arg-type]
    return findings.items


def test_robot_that_reaches_the_demos_and_holds_the_objects_has_no_findings(tmp_path: Path) -> None:
    assert robot_findings(tmp_path) == []


def test_poses_out_of_reach_and_objects_too_wide_are_found_before_a_run(tmp_path: Path) -> None:
    (reach,) = robot_findings(tmp_path, base_pos=[-0.5, 0.0, 0.0])
    assert reach.check == "reach" and "does not reach 100 % of the poses of the demos, in 1 of 1 demo" in reach.found
    opening, width, *_ = robot_findings(tmp_path, gripper_open=0.02)
    assert "the task counts it as open above 70.0 mm" in opening.found
    assert width.check == "grasp width" and "cube_1 is 46.8 mm wide" in width.found


def test_run_reports_the_share_of_targets_that_the_robot_does_not_reach(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pose = torch.eye(4).repeat(2, 1, 1)
    pose[:, :3, :3] = torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])
    pose[:, :3, 3] = torch.tensor([[0.45, 0.0, 0.2], [1.55, 0.0, 0.05]])
    targets = {"franka": pose.numpy()}
    demo = SourceDemo("demo_0", np.zeros((2, 7), np.float32), targets, targets, {}, {})
    caplog.set_level("INFO")
    report_reach(task_with_own_robot(tmp_path), [demo])
    report_reach(load_task("stack_cube"), [demo])
    (message,) = caplog.messages
    assert "franka: own_arm does not reach 50.0 % of the targets of the source demos; move the base" in message


def test_run_is_refused_if_the_gripper_never_counts_as_open(tmp_path: Path) -> None:
    """All 300 trials failed with a gripper of 60 mm, although it held each cube."""
    task = load_task("stack_cube", own_robot(tmp_path, home=HOMES[6], gripper_open=0.03))
    with pytest.raises(
        ConfigError, match=r"robot.gripper_open: .* opens to 58.7 mm, the task counts it as open above 70.0 mm"
    ):
        report_reach(task, [])


def test_statistics_contain_the_share_of_targets_out_of_reach(tmp_path: Path) -> None:
    cfg = load_config("generate", ["task=stack_cube", "input_file=tasks/stack_cube/data/source_demos.hdf5", "output_dir=x"])
    assert reach_stats(cfg) == {}
    (share,) = reach_stats(replace(cfg, robot=own_robot(tmp_path, home=HOMES[6])))["unreachable_targets"].values()
    far = own_robot(tmp_path, home=HOMES[6], base_pos=[-1.5, 0.0, 0.0])
    assert share < 0.05 and reach_stats(replace(cfg, robot=far)) == {"unreachable_targets": {"franka": 1.0}}


@pytest.mark.slow
def test_demos_of_the_panda_generate_demos_of_another_arm(tmp_path: Path) -> None:
    task = mimic.load_task("stack_cube", robot=own_robot(tmp_path, home=HOMES[6]))
    env = mimic.make_env(task, engine="mujoco", num_envs=4)
    demos = mimic.load_demos(Path("tasks/stack_cube/data/source_demos.hdf5"), env)
    run = mimic.generate(env, demos, mimic.GenerationCfg(num_trials=4, guarantee=False), output_dir=tmp_path / "run")
    assert np.isclose(run.success_rate, 1.0)
