"""Equivariance: plans move with the objects that their subtasks relate to, and do not depend on anything else."""

# T steps of a trial, O objects

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.base import NestedTensors
from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_quat, pose_from_pos_rot, quat_xyzw_from_matrix
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.build import build_generator, load_pool
from isaaclab_mimic_ext.run.session import RunFolder, open_run
from isaaclab_mimic_ext.task.definition import load_task
from tests.golden import oracle
from tests.golden.specs import OBJECTS, Spec, random_poses, random_spec
from tests.kinematic_sources import TASK, generate_cfg, read_tree

CPU = torch.device("cpu")
TOLERANCE = 1e-5
NUM_FRAMES = 300


def _related(seed: int, strategy: str) -> Spec:
    """Random spec in which all subtasks relate to an object and use the same selection strategy."""
    spec = random_spec(seed, num_eefs=1)
    subtasks = {
        eef: [replace(subtask, object_ref=subtask.object_ref or OBJECTS[0], strategy=strategy) for subtask in of_eef]
        for eef, of_eef in spec.subtasks.items()
    }
    return replace(spec, subtasks=subtasks)


def _world(seed: int, spec: Spec) -> tuple[np.ndarray, np.ndarray]:
    """Random poses of the eef (T, 4, 4) and of the objects (T, O, 4, 4)."""
    rng = np.random.default_rng([seed, 5])
    eef = np.resize(random_poses(rng, (17,), spec.rotation), (NUM_FRAMES, 4, 4))
    return eef, np.resize(random_poses(rng, (17, len(OBJECTS)), spec.rotation), (NUM_FRAMES, len(OBJECTS), 4, 4))


def _plan(spec: Spec, eef: np.ndarray, objects: np.ndarray, trial: int = 3) -> np.ndarray:
    """Target poses (T, 4, 4) of one trial in a world with prerecorded poses."""
    planner = spec.planner(1, CPU)
    first = torch.tensor([0])
    planner.begin_trials(first, Draws(spec.config.seed, torch.tensor([trial])), torch.from_numpy(eef[0]).float()[None, None])
    due, ended, targets = True, False, []
    while not ended:
        step = len(targets)
        if due:
            now = torch.from_numpy(eef[step]).float()[None, None], torch.from_numpy(objects[step]).float()[None]
            planner.begin_segments(first, first, *now)
        targets.append(planner.waypoints().target_eef_pose[0, 0].double().numpy().copy())
        due, ended = (bool(flag.any()) for flag in planner.advance())
        due = due and not ended
    return np.stack(targets)


def _motion(seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 9])
    motion = np.eye(4)
    motion[:3, :3] = oracle.rotation(rng.uniform(-3, 3) * np.array([0.0, 0.0, 1.0]))
    motion[:3, 3] = rng.uniform(-1, 1, 3)
    return motion


def _moved_demos(spec: Spec, motion: np.ndarray) -> Spec:
    demos = [
        replace(
            demo,
            eef={eef: motion @ poses for eef, poses in demo.eef.items()},
            target={eef: motion @ poses for eef, poses in demo.target.items()},
            objects={name: motion @ poses for name, poses in demo.objects.items()},
        )
        for demo in spec.demos
    ]
    return replace(spec, demos=demos)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["random", "nearest_neighbor_robot_distance"])
def test_plan_moves_with_the_scene(strategy: str) -> None:
    for seed in range(15):
        spec, motion = _related(2000 + seed, strategy), _motion(seed)
        eef, objects = _world(seed, spec)
        here, there = _plan(spec, eef, objects), _plan(spec, motion @ eef, motion @ objects)
        assert np.abs(motion @ here - there).max() <= TOLERANCE, f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["random", "nearest_neighbor_robot_distance"])
def test_plan_does_not_depend_on_where_the_source_was_recorded(strategy: str) -> None:
    for seed in range(15):
        spec = _related(3000 + seed, strategy)
        world = _world(seed, spec)
        moved = _plan(_moved_demos(spec, _motion(seed)), *world)
        assert np.abs(moved - _plan(spec, *world)).max() <= TOLERANCE, f"seed {seed}"


@pytest.mark.parametrize("strategy", ["random", "nearest_neighbor_object", "nearest_neighbor_robot_distance"])
def test_plan_moves_with_source_and_scene_together(strategy: str) -> None:
    for seed in range(15):
        spec, motion = _related(4000 + seed, strategy), _motion(seed)
        eef, objects = _world(seed, spec)
        here = _plan(spec, eef, objects)
        there = _plan(_moved_demos(spec, motion), motion @ eef, motion @ objects)
        assert np.abs(motion @ here - there).max() <= TOLERANCE, f"seed {seed}"


@pytest.mark.slow
def test_plan_does_not_depend_on_unrelated_objects() -> None:
    for seed in range(15):
        spec = random_spec(5000 + seed, num_eefs=1)
        related = {eef: [replace(s, object_ref=OBJECTS[0]) for s in of_eef] for eef, of_eef in spec.subtasks.items()}
        spec = replace(spec, subtasks=related)
        eef, objects = _world(seed, spec)
        elsewhere = objects.copy()
        elsewhere[:, 1:] = _motion(seed) @ elsewhere[:, 1:]
        assert np.array_equal(_plan(spec, eef, objects), _plan(spec, eef, elsewhere)), f"seed {seed}"


# --- whole runs --------------------------------------------------------------------------------------------------------

Change = Callable[[NestedTensors], None]


class _ChangedEnv(KinematicEnv):
    """Kinematic engine that changes the scene after each reset."""

    change: Change = staticmethod(lambda state: None)

    def reset(self, env_ids: Tensor, draws: Draws) -> None:
        super().reset(env_ids, draws)
        state = trees.take(self.get_state(), env_ids)
        self.change(state)
        self.reset_to(state, env_ids)


def _move_pose(pose: Tensor, motion: Tensor) -> Tensor:
    """Apply a motion (4, 4) to poses (n, 7), position and quaternion xyzw."""
    moved = motion @ pose_from_pos_quat(pose[:, :3].double(), pose[:, 3:].double())
    return torch.cat((moved[:, :3, 3], quat_xyzw_from_matrix(moved[:, :3, :3])), dim=1).float()


def _generate(source: Path, folder: RunFolder, change: Change) -> list[dict[str, np.ndarray]]:
    """HDF5 datasets of each demo of a run, without noise and so slow that no action is clipped."""
    slowly = [
        f"subtask_configs.franka.{index}.{value}"
        for index in range(4)
        for value in ("num_interpolation_steps=20", "action_noise=0.0")
    ]
    cfg = generate_cfg(source, folder.path, "num_envs=4", "datagen_config.generation_num_trials=6", *slowly)
    env = _ChangedEnv(load_task(TASK), cfg.events, cfg.num_envs)
    env.change = change  # type: ignore[method-assign]
    with open_run(folder, {}, resume=False) as session:
        generator = build_generator(cfg, env, load_pool(cfg, env), session)
        generator.run()
        generator.close()
    with h5py.File(folder.demos) as file:
        return [read_tree(file["data"][f"demo_{index}"]) for index in range(len(file["data"]))]


def _poses(demo: dict[str, np.ndarray], name: str) -> Tensor:
    """Recorded poses of an entry of `states`, (T, 4, 4)."""
    pose = torch.from_numpy(demo[f"states/{name}"]).double()
    return pose_from_pos_quat(pose[:, :3], pose[:, 3:])


def _moved_file(source: Path, target: Path, motion: Tensor) -> Path:
    shutil.copy(source, target)
    with h5py.File(target, "r+") as file:
        for demo in file["data"].values():
            for part in ("eef_pose", "target_eef_pose", "object_pose"):
                for dataset in demo[f"obs/datagen_info/{part}"].values():
                    dataset[...] = (motion @ torch.from_numpy(dataset[()]).double()).float().numpy()
    return target


@pytest.fixture(scope="module")
def plain_run(kinematic_source: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, np.ndarray]]:
    return _generate(kinematic_source, RunFolder(tmp_path_factory.mktemp("plain")), lambda state: None)


@pytest.mark.slow
@pytest.mark.parametrize("yaw", [0.4, -2.5])
def test_generated_demos_move_with_source_file_and_scene(
    yaw: float, plain_run: list[dict[str, np.ndarray]], kinematic_source: Path, tmp_path: Path
) -> None:
    pos = torch.tensor([0.3, -0.7, 0.0], dtype=torch.float64)
    motion = pose_from_pos_rot(pos, matrix_from_axis_angle(torch.tensor([0.0, 0.0, yaw], dtype=torch.float64)))

    def move(state: NestedTensors) -> None:
        poses = [*state["rigid_object"].values(), state["articulation"]["robot"]]
        for entry, leaf in zip(poses, ["root_pose"] * (len(poses) - 1) + ["eef_pose"], strict=True):
            entry[leaf] = _move_pose(entry[leaf], motion)

    source = _moved_file(kinematic_source, tmp_path / "moved.hdf5", motion)
    moved_run = _generate(source, RunFolder(tmp_path / "run"), move)
    assert len(moved_run) == len(plain_run) == 6
    for plain, moved in zip(plain_run, moved_run, strict=True):
        assert len(plain["actions"]) == len(moved["actions"])
        for name in ("articulation/robot/eef_pose", "rigid_object/ketchup/root_pose"):
            assert float((motion @ _poses(plain, name) - _poses(moved, name)).abs().max()) <= TOLERANCE, name
        assert np.array_equal(plain["actions"][:, 6], moved["actions"][:, 6])
        assert np.array_equal(plain["rewards"], moved["rewards"])


@pytest.mark.slow
def test_generated_demos_do_not_depend_on_distractors(
    plain_run: list[dict[str, np.ndarray]], kinematic_source: Path, tmp_path: Path
) -> None:
    def scatter(state: NestedTensors) -> None:
        for name in ("orange_juice", "cream_cheese"):
            state["rigid_object"][name]["root_pose"][:, :2] += 0.37

    scattered_run = _generate(kinematic_source, RunFolder(tmp_path / "run"), scatter)
    for plain, scattered in zip(plain_run, scattered_run, strict=True):
        for key in ("actions", "states/articulation/robot/eef_pose", "states/rigid_object/ketchup/root_pose"):
            assert np.array_equal(plain[key], scattered[key]), key
        assert not np.array_equal(plain["obs/orange_juice_pos"], scattered["obs/orange_juice_pos"])
