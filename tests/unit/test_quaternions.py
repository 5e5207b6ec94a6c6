"""Quaternions in columns of observations: declarations of tasks, and files of format 0, which store wxyz."""

# N envs, T steps, O objects, E end effectors, W columns

import json
from pathlib import Path

import h5py
import mujoco
import numpy as np
import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.datasets.merge import merge_datasets
from isaaclab_mimic_ext.datasets.replay import read_demos
from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.envs.tabletop import Observer
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.dataset_file import WXYZ_TO_XYZW, reorder_quaternions
from isaaclab_mimic_ext.files.quaternions import first_columns
from isaaclab_mimic_ext.math import matrix_from_quat_xyzw, pose_from_pos_quat
from isaaclab_mimic_ext.run.episodes import Output, TrialOutcomes
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder, episode_format
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.writer import EpisodeWriter
from isaaclab_mimic_ext.task.definition import SceneState, load_task
from isaaclab_mimic_ext.task.reasons import SUCCEEDED
from tests.jobs import command

FOLDERS = sorted(path.parent.name for path in (Path(__file__).parents[2] / "tasks").glob("*/task.py"))
TASKS = [name for name in FOLDERS if load_task(name).engine is None]
NUM_ENVS, NUM_STEPS = 6, 3


def random_scene(num_arms: int, num_objects: int) -> SceneState:
    """Scene without special values (upright, at rest), so that four columns of norm 1 are always a quaternion."""
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(NUM_ENVS, *shape, generator=generator)

    def quat(count: int) -> Tensor:
        return torch.nn.functional.normalize(normal(count, 4), dim=-1)

    joints, root_pose = normal(num_arms, 9), torch.cat((normal(num_objects, 3), quat(num_objects)), dim=-1)
    eef_pose = pose_from_pos_quat(normal(num_arms, 3), quat(num_arms))
    object_pose = pose_from_pos_quat(root_pose[..., :3], root_pose[..., 3:])
    return SceneState(joints, normal(num_arms, 9), eef_pose, object_pose, root_pose, normal(num_objects, 6))


def find_quaternions(rows: np.ndarray) -> tuple[int, ...]:
    """First column of each group of four columns with norm 1 in all rows (T, W)."""
    width = rows.shape[1] if rows.ndim == 2 and rows.dtype.kind == "f" else 0
    norms = [np.linalg.norm(rows[:, first : first + 4].astype(float), axis=1) for first in range(width - 3)]
    return tuple(first for first, norm in enumerate(norms) if np.allclose(norm, 1.0, atol=1e-5))


@pytest.mark.parametrize("name", TASKS)
def test_each_observed_quaternion_is_known_by_name_or_declared(name: str) -> None:
    task = load_task(name)
    scene = random_scene(len(task.arms), len(task.objects))
    scene.object_joint_pos = torch.rand(NUM_ENVS, len(task.jointed_names))
    shown = Observer(task, torch.device("cpu"))(scene, scene.joint_vel.flatten(1))
    assert task.quaternion_columns.keys() <= shown.keys()
    assert sum(len(find_quaternions(value.numpy())) for value in shown.values()) >= len(task.arms) + len(task.objects)
    for term, value in shown.items():
        known = first_columns(term, value.shape[1:], task.quaternion_columns)
        assert find_quaternions(value.numpy()) == known, f"{term}: declare it in quaternion_columns of {name}"


def record(path: Path, task_name: str, format_version: int = 0) -> Path:
    """Record a few steps of trials with random orientations of all objects, and with actions of all arms."""
    task, env_ids = load_task(task_name), torch.arange(NUM_ENVS)
    env = KinematicEnv(task, {}, NUM_ENVS)
    scene, state = random_scene(len(task.arms), len(task.objects)), env.get_state()
    for index, name in enumerate(task.object_names):
        state["rigid_object"][name]["root_pose"] = scene.root_pose[:, index]
    env.reset_to(state, env_ids)
    writer = EpisodeWriter(Output(path, format_version=format_version), episode_format(env))
    recorder = EpisodeRecorder(env, NUM_STEPS, writer)
    recorder.begin(env_ids)
    for step in range(NUM_STEPS):
        at, actions = torch.full((NUM_ENVS,), step), 0.5 * torch.sin(torch.arange(NUM_ENVS * env.action_dim) + step)
        recorder.before_step(at)
        env.step(actions.reshape(NUM_ENVS, -1))
        recorder.after_step(at, actions.reshape(NUM_ENVS, -1), torch.ones(NUM_ENVS, dtype=torch.bool))
    lengths = np.full(NUM_ENVS, NUM_STEPS)
    outcomes = TrialOutcomes(np.arange(NUM_ENVS), np.full(NUM_ENVS, SUCCEEDED), lengths)
    recorder.put(recorder.take(env_ids, lengths), outcomes, committed=NUM_ENVS)
    writer.close(RunResult(path, NUM_ENVS, NUM_ENVS, "target reached", target_reached=True, target=NUM_ENVS))
    return path


def stored(path: Path) -> dict[str, np.ndarray]:
    """All HDF5 datasets of a file as stored, by path below the demo, concatenated over demos."""
    leaves: dict[str, list[np.ndarray]] = {}
    with h5py.File(path) as file:
        for demo in file["data"].values():
            demo.visititems(lambda p, x: leaves.setdefault(p, []).append(x[()]) if isinstance(x, h5py.Dataset) else None)
    return {name: np.concatenate(rows) for name, rows in leaves.items()}


def matrix_from_quat_wxyz(quat: np.ndarray) -> np.ndarray:
    """Rotation matrices (T, 3, 3) from quaternions (T, 4), by MuJoCo."""
    rot = np.empty((len(quat), 9))
    for row, value in zip(rot, quat.astype(float), strict=True):
        mujoco.mju_quat2Mat(row, value)
    return rot.reshape(-1, 3, 3)


@pytest.mark.slow
@pytest.mark.parametrize("task_name", ["stack_cube", "two_arm_lift_tray"])
def test_format_0_stores_the_same_rotations_as_wxyz(tmp_path: Path, task_name: str) -> None:
    task = load_task(task_name)
    new, old = stored(record(tmp_path / "1.hdf5", task_name, 1)), stored(record(tmp_path / "0.hdf5", task_name))
    assert new.keys() == old.keys()
    num_quaternions = 0
    for path, xyzw in new.items():
        wxyz, is_no_quat = old[path], np.ones(xyzw.shape[1:], bool)
        for first in find_quaternions(xyzw):
            columns = slice(first, first + 4)
            is_no_quat[columns], num_quaternions = False, num_quaternions + 1
            rot = matrix_from_quat_xyzw(torch.from_numpy(xyzw[:, columns]).double())
            np.testing.assert_allclose(matrix_from_quat_wxyz(wxyz[:, columns]), rot, atol=1e-6, err_msg=f"{path} {first}")
        np.testing.assert_array_equal(wxyz[:, is_no_quat], xyzw[:, is_no_quat], err_msg=path)
    # Quaternions in obs: eefs and objects; in states and initial_state each: eefs, arm bases and objects.
    declared = sum(map(len, task.quaternion_columns.values()))
    assert num_quaternions == declared + 5 * len(task.arms) + 3 * len(task.objects)


@pytest.mark.slow
def test_files_of_format_0_and_1_are_read_the_same(tmp_path: Path) -> None:
    new, old = (read_demos(record(tmp_path / f"{version}.hdf5", "stack_cube", version)) for version in (1, 0))
    for new_demo, old_demo in zip(new, old, strict=True):
        assert new_demo.leaves.keys() == old_demo.leaves.keys()
        for path, leaf in new_demo.leaves.items():
            np.testing.assert_array_equal(old_demo.leaves[path], leaf, err_msg=path)


def edit_env_args(path: Path, **entries: object) -> Path:
    """Change entries of a file's env_args; None removes an entry."""
    with h5py.File(path, "r+") as file:
        env_args = {**json.loads(file["data"].attrs["env_args"]), **entries}
        file["data"].attrs["env_args"] = json.dumps({name: value for name, value in env_args.items() if value is not None})
    return path


def test_quaternions_of_format_0_without_declarations_are_found_by_name_only(tmp_path: Path) -> None:
    path = edit_env_args(record(tmp_path / "0.hdf5", "stack_cube"), quaternion_columns=None)
    before, demo = stored(path), read_demos(path, ["demo_0"])[0]
    for name in ("object", "cube_orientations"):
        np.testing.assert_array_equal(demo.leaves[f"obs/{name}"], before[f"obs/{name}"][:NUM_STEPS])
    np.testing.assert_array_equal(demo.leaves["obs/cube_1_quat"], before["obs/cube_1_quat"][:NUM_STEPS, [1, 2, 3, 0]])


def test_env_args_contain_the_declared_quaternions() -> None:
    for name in TASKS:
        task = load_task(name)
        declared = json.loads(json.dumps(KinematicEnv(task, {}, 1).env_args())).get("quaternion_columns")
        assert declared == ({name: list(first) for name, first in task.quaternion_columns.items()} or None)


@pytest.mark.slow
@pytest.mark.parametrize("declared", ["no table", {"object": 3}, {"object": [-1]}, {"object": ["3"]}, {"object": [36]}])
def test_invalid_quaternion_columns_are_refused(tmp_path: Path, declared: object) -> None:
    path = edit_env_args(record(tmp_path / "0.hdf5", "stack_cube"), quaternion_columns=declared)
    with pytest.raises(SourceDataError, match=r"0\.hdf5.*quaternion_columns"):
        read_demos(path)


@pytest.mark.slow
@pytest.mark.parametrize("format_version", [0, 1])
def test_files_are_merged_only_if_their_quaternions_have_the_same_order(tmp_path: Path, format_version: int) -> None:
    first, second = (record(tmp_path / name, "stack_cube", format_version) for name in ("a.hdf5", "b.hdf5"))
    merge_datasets([first, second], tmp_path / "same_order.hdf5", allow_copies=True)
    edit_env_args(second, quaternion_columns=None)
    if format_version:
        merge_datasets([first, second], tmp_path / "merged.hdf5", allow_copies=True)
        return
    with pytest.raises(SourceDataError, match="quaternion_columns is missing"):
        merge_datasets([first, second], tmp_path / "merged.hdf5", allow_copies=True)


@pytest.mark.slow
@pytest.mark.parametrize("is_declared", [True, False])
def test_annotation_copies_declared_quaternions(tmp_path: Path, is_declared: bool) -> None:
    raw, annotated = tmp_path / "raw.hdf5", tmp_path / "annotated.hdf5"
    stack = ["task=stack_cube", "sim=kinematic"]
    recording = ["num_demos=1", "recorder.format_version=0", f"output_file={raw}"]
    command("record", load_config("record_demos", [*stack, *recording]))
    if not is_declared:
        edit_env_args(raw, quaternion_columns=None)
    command("annotate", load_config("annotate_demos", [*stack, f"input_file={raw}", f"output_file={annotated}"]))
    with h5py.File(annotated) as file:
        assert ("quaternion_columns" in json.loads(file["data"].attrs["env_args"])) == is_declared
    before, after = stored(raw)["obs/cube_orientations"], stored(annotated)["obs/cube_orientations"]
    columns = [1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8] if is_declared else list(range(12))
    np.testing.assert_array_equal(after, before[:, columns])


def test_declared_quaternions_of_next_obs_are_reordered_too() -> None:
    leaves = {f"{group}/cubes": np.arange(8.0).reshape(2, 4) for group in ("obs", "next_obs")}
    reordered = reorder_quaternions(leaves, WXYZ_TO_XYZW, {"cubes": (0,)})
    assert np.array_equal(reordered["next_obs/cubes"], reordered["obs/cubes"])
    assert reordered["next_obs/cubes"][0].tolist() == [1, 2, 3, 0]
