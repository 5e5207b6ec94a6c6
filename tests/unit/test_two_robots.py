"""Two arms of different kinds: one task with a Panda and an arm of an MJCF file, with 5, 6 or 7 joints."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.commands.overrides import translate
from isaaclab_mimic_ext.config import GenerateCfg, SimCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.datasets.replay import make_recorded_env
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.envs.recorded_scene import recorded_scene
from isaaclab_mimic_ext.envs.robots import arms_of, load_robot
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.session import identity_of
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.robot import RobotCfg, recorded_robot
from tests import requires
from tests.own_robot import own_robot

requires.module("mujoco", "mujoco")
STRONG = {'kp="1000" kv="40"': 'kp="4000" kv="80"'}
"""The gripper of the arm must carry a tray."""
SOURCE = Path("tasks/two_arm_lift_tray/data/source_demos.hdf5")


def mixed(folder: Path, num_joints: int, side: str = "right", **fields: Any) -> RobotCfg:
    own = own_robot(folder, num_joints, replaced=STRONG)
    return RobotCfg(arms={side: {"mjcf": own.mjcf, "eef_frame": "grip", "gripper": "jaws", **fields}})


def mixed_env(folder: Path, engine: str = "mujoco", num_joints: int = 6, num_envs: int = 2, side: str = "right") -> Any:
    task = load_task("two_arm_lift_tray", mixed(folder, num_joints, side))
    env = make_env(task, SimCfg(engine=engine), {}, num_envs=num_envs)
    env.reset(torch.arange(num_envs), Draws(1, torch.arange(num_envs)))
    return env


@pytest.mark.parametrize("engine", ["mujoco", "kinematic"])
@pytest.mark.parametrize("num_joints", [5, 6, 7])
def test_each_arm_follows_its_own_targets(tmp_path: Path, engine: str, num_joints: int) -> None:
    env = mixed_env(tmp_path, engine, num_joints)
    target = env.eef_pose.clone()
    target[:, 0, :3, 3] += torch.tensor([0.03, 0.02, -0.03])
    target[:, 1, :3, 3] += torch.tensor([-0.02, 0.03, -0.02])
    for _ in range(20):
        env.step(env.target_eef_pose_to_action(target, torch.ones(2, 2, 1)))
    torch.testing.assert_close(env.eef_pose[..., :3, 3], target[..., :3, 3], atol=3e-3, rtol=0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_states_and_observations_have_the_joints_of_each_arm(tmp_path: Path, side: str) -> None:
    env = mixed_env(tmp_path, num_joints=5, side=side)
    widths = {f"robot_{name}": 7 if name == side else 9 for name in ("left", "right")}
    state, seen = env.get_state(), env.observations()
    for arm, width in widths.items():
        assert state["articulation"][arm]["joint_position"].shape == (2, width)
        assert seen[f"{arm}_joint_pos"].shape == seen[f"{arm}_joint_vel"].shape == (2, width)
    assert env.processed_actions().shape == (2, 8 + 6)
    assert (env.scene.joint_pos[:, ("left", "right").index(side), 5:7] == 0.0).all()


@pytest.mark.parametrize("engine", ["mujoco", "kinematic"])
def test_state_of_both_arms_is_restored(tmp_path: Path, engine: str) -> None:
    env = mixed_env(tmp_path, engine, 5)
    close = torch.tensor([0.3, 0.0, -0.5, 0.0, 0.0, 0.0, -1.0, 0.0, 0.4, -0.3, 0.0, 0.0, 0.0, 1.0]).expand(2, 14)
    for _ in range(5):
        env.step(close)
    state, scene = trees.map(torch.clone, env.get_state()), env.scene
    env.reset(torch.arange(2), Draws(2, torch.arange(2)))
    env.reset_to(state, torch.arange(2))
    torch.testing.assert_close(env.scene.joint_pos[..., :-2], scene.joint_pos[..., :-2], atol=1e-5, rtol=0)
    # A moving gripper is restored by the mean of its fingers.
    torch.testing.assert_close(env.scene.finger_pos, scene.finger_pos, atol=1e-3, rtol=0)
    torch.testing.assert_close(env.eef_pose, scene.eef_pose, atol=5e-4, rtol=0)


def test_recorded_states_are_read_and_drawn_with_both_robots(tmp_path: Path) -> None:
    env = mixed_env(tmp_path, num_joints=5)
    state = trees.map(lambda leaf: leaf.numpy(), env.get_state())
    scene = recorded_scene(env.task, state)
    torch.testing.assert_close(scene.eef_pose, env.eef_pose, atol=1e-5, rtol=0)
    posed = PosedScene(env.task)
    posed.set_state(trees.map(lambda leaf: leaf[0], state))
    for index, arm in enumerate(env.task.arms):
        site = torch.tensor(posed.data.site(f"{arm.name}/eef").xpos, dtype=torch.float32)
        torch.testing.assert_close(site, env.eef_pose[0, index, :3, 3], atol=1e-4, rtol=0)


def test_fingers_of_a_panda_next_to_another_arm_have_their_own_positions(tmp_path: Path) -> None:
    env = mixed_env(tmp_path)
    assert env.scene.finger_pos[:, 0].flatten().tolist() == pytest.approx([0.04] * 4, abs=1e-4)
    for _ in range(10):
        env.step(torch.tensor([0.0] * 6 + [-1.0] + [0.0] * 6 + [1.0]).expand(2, 14))
    assert (env.scene.finger_pos[:, 0] < 0.005).all() and (env.scene.finger_pos[:, 1] > 0.037).all()


def test_demos_of_two_pandas_serve_a_panda_and_another_arm(tmp_path: Path) -> None:
    task = mimic.load_task("two_arm_lift_tray", robot=mixed(tmp_path, 6))
    env = mimic.make_env(task, "mujoco", num_envs=4)
    settings = mimic.GenerationCfg(num_trials=4, guarantee=False)
    run = mimic.generate(env, mimic.load_demos(SOURCE, env), settings, output_dir=tmp_path / "run", video=False)
    assert run.num_successes >= 3
    assert mimic.replay(run.dataset).success_rate == 1.0


def test_dataset_and_run_record_both_robots(tmp_path: Path) -> None:
    env = mixed_env(tmp_path)
    args = json.loads(json.dumps(env.env_args()))
    robot = recorded_robot(args)
    assert robot is not None and robot.of_arm("left") == RobotCfg()
    assert robot.of_arm("right").mjcf == str(tmp_path / "own_arm.xml") and len(args["robot"]["digest"]) == 64
    again: Any = make_recorded_env("demo.hdf5", args, SimCfg(engine="mujoco"), 1)
    assert [each.num_joints for each in again.robots.robots] == [7, 6] and again.robots.digest == env.robots.digest

    words = translate(
        [f"robot.right.mjcf={tmp_path}/own_arm.xml", "robot.right.eef_frame=grip", "robot.right.gripper=jaws"], GenerateCfg
    )

    def identity() -> dict[str, Any]:
        return identity_of(asdict(load_config("generate", ["task=two_arm_lift_tray", "output_dir=x", *words])), SOURCE)

    before = identity()
    own_robot(tmp_path, 6, replaced={**STRONG, 'mass="0.05"': 'mass="0.06"'})
    after = identity()
    assert {name for name in before if before[name] != after[name]} == {"robot"}


def test_robots_and_bases_of_arms_are_set_on_the_command_line() -> None:
    words = translate(["robot.left=panda", "robot.right.base_pos=[0.4,0.6,0]", "robot.right.base_yaw=-1.5"], GenerateCfg)
    robot = load_config("generate", ["task=two_arm_lift_tray", "output_dir=x", *words]).robot
    assert robot.arms == {"left": {"name": "panda"}, "right": {"base_pos": [0.4, 0.6, 0], "base_yaw": -1.5}}
    task = load_task("two_arm_lift_tray", robot)
    assert task.arms[1].base_pos == (0.4, 0.6, 0) and task.arms[1].base_yaw == -1.5
    assert task.arms[0] == load_task("two_arm_lift_tray").arms[0]
    assert not arms_of(task).is_mixed and arms_of(task).robots[0] is load_robot(RobotCfg())


def test_wrong_robot_of_an_arm_is_refused_in_one_sentence(tmp_path: Path) -> None:
    for robot, message in (
        (
            RobotCfg(arms={"midle": {}}),
            r"robot.arms: 'midle' is not an end effector of 'two_arm_lift_tray'; choices: left",
        ),
        (RobotCfg(arms={"left": {"mjfc": "x"}}), r"robot.arms.left: 'mjfc' is not a field of a robot.*did you mean 'mjcf'"),
        (RobotCfg(arms={"left": "ur5e"}), r"robot.arms.left: must be the fields of a robot .*use robot.left=<name>"),
        (mixed(tmp_path, 6, eef_frame="grap"), r"robot.right.eef_frame: .*did you mean 'grip'"),
        (mixed(tmp_path, 6, stiffness=0.0), r"robot.right.stiffness: must be > 0"),
    ):
        with pytest.raises(ConfigError, match=message) as found:
            make_env(load_task("two_arm_lift_tray", robot), "mujoco", {}, num_envs=1)
        assert "\n" not in str(found.value)


def test_gpu_engine_refuses_arms_of_different_kinds(tmp_path: Path) -> None:
    requires.module("mujoco_warp", "mujoco_warp")
    with pytest.raises(SimulatorUnavailable, match=r"same robot for all arms \(got panda\+own_arm\); use sim=mujoco"):
        mixed_env(tmp_path, "mujoco_warp")
