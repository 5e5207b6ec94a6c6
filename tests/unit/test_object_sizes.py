"""Objects of another size in each env: geometry, recorded state, adapted waypoints, and values that are refused."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.datasets.replay import initial_states
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.envs.recorded_scene import recorded_scene, take_steps
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.files.demo import read_demo
from isaaclab_mimic_ext.kernels.waypoints import Segments, WaypointReader, waypoints_torch
from isaaclab_mimic_ext.math import matrix_from_axis_angle
from isaaclab_mimic_ext.plan.sizes import ObjectBoxes, Place, SizeAdaptation
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires

requires.module("mujoco", "mujoco")
NUM_ENVS = 4
EVENTS = {"randomize_ketchup": EventCfg("ketchup", scale_range=[0.8, 1.2])}


def sized_env(num_envs: int = NUM_ENVS, events: dict[str, EventCfg] | None = None) -> Any:
    return make_env(load_task("desktop_organizer"), "mujoco", EVENTS if events is None else events, num_envs=num_envs)


def reset(env: Any, seed: int = 1) -> None:
    env.reset(torch.arange(env.num_envs), Draws(seed, torch.arange(env.num_envs)))


def rest(env: Any) -> None:
    for _ in range(4):
        env.step(torch.zeros(env.num_envs, 7))


def test_bottle_stands_on_a_geometry_of_its_own_in_each_env() -> None:
    env = sized_env()
    reset(env)
    scale = env.object_scale[:, 0]
    assert len(scale.unique()) == NUM_ENVS and (scale >= 0.8).all() and (scale <= 1.2).all()
    assert (env.object_scale[:, 1:] == 1.0).all()
    rest(env)
    torch.testing.assert_close(env.object_pose[:, 0, 2, 3], 0.05 * scale, atol=5e-4, rtol=0)


def test_sizes_do_not_depend_on_the_number_of_envs() -> None:
    many, one = sized_env(), sized_env(1)
    reset(many)
    one.reset(torch.arange(1), Draws(1, torch.tensor([2])))
    assert torch.equal(one.object_scale[0], many.object_scale[2])


def test_recorded_size_is_restored_in_an_env_without_a_range() -> None:
    env, replay = sized_env(), sized_env(events={})
    reset(env)
    state = trees.map(torch.clone, env.get_state())
    assert state["rigid_object"]["ketchup"]["scale"].shape == (NUM_ENVS, 1)
    assert "scale" not in state["rigid_object"]["basket"]
    assert "scale" not in replay.get_state()["rigid_object"]["ketchup"]
    replay.reset_to(state, torch.arange(NUM_ENVS))
    assert torch.equal(replay.object_scale, env.object_scale)
    for each in (env, replay):
        rest(each)
    assert torch.equal(env.object_pose, replay.object_pose)


def test_picture_of_a_state_has_its_sizes() -> None:
    env = sized_env(1)
    reset(env)
    state = trees.map(lambda leaf: leaf[0].numpy(), env.get_state())
    scene = PosedScene(env.task)
    own = scene.model.geom("ketchup").size.copy()
    scene.set_state(state)
    np.testing.assert_allclose(scene.model.geom("ketchup").size, own * float(env.object_scale[0, 0]), rtol=1e-6)
    del state["rigid_object"]["ketchup"]["scale"]
    scene.set_state(state)
    np.testing.assert_array_equal(scene.model.geom("ketchup").size, own)


def test_signals_of_recorded_states_have_their_sizes() -> None:
    env = sized_env()
    reset(env)
    scene = recorded_scene(env.task, env.get_state())
    assert torch.equal(scene.object_scale, env.object_scale)
    every_second = take_steps(scene, 2)
    assert torch.equal(env.task.scale_of(every_second, "ketchup"), env.object_scale[::2, 0])
    plain = sized_env(events={})
    reset(plain)
    assert take_steps(recorded_scene(plain.task, plain.get_state()), 2).object_scale.shape == (NUM_ENVS // 2, 0)
    assert plain.task.scale_of(plain.scene, "ketchup") == pytest.approx(1.0)


def random_poses(*shape: int) -> torch.Tensor:
    pose = torch.eye(4).repeat(*shape, 1, 1)
    pose[..., :3, :3] = matrix_from_axis_angle(torch.rand(*shape, 3) - 0.5)
    pose[..., :3, 3] = 0.3 * torch.rand(*shape, 3)
    return pose


def adapted(cursor: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Waypoints (N, E, 4, 4) of the kernel, and of its torch twin, with random sizes."""
    torch.manual_seed(cursor)
    num_envs, num_eefs = 3, 2
    pools = random_poses(num_eefs, 1, 5), random_poses(num_eefs, 1, 5), torch.ones(num_eefs, 1, 5, 1)
    segments = Segments.empty(num_envs, num_eefs, torch.device("cpu"))
    segments.length.fill_(5)
    segments.num_interpolation.fill_(2)
    segments.cursor.fill_(cursor)
    segments.transform.copy_(random_poses(num_envs, num_eefs))
    box = 0.1 * torch.rand(num_envs, num_eefs, 3)
    sizes = {
        "anchor": random_poses(num_envs, num_eefs), "low": -box, "high": box,
        "growth": torch.rand(num_envs, num_eefs, 3) - 0.5, "shift": 0.1 * torch.rand(num_envs, num_eefs, 3),
    }  # fmt: skip
    reader = WaypointReader(*pools, segments, False, sizes=sizes)
    last = reader.target.clone(), reader.gripper.clone()
    return reader.read()[0], waypoints_torch(*pools, segments, False, last, sizes=sizes)[0]


@pytest.mark.parametrize("cursor", [0, 1, 2, 5])
def test_kernel_adapts_waypoints_as_its_torch_twin(cursor: int) -> None:
    torch.testing.assert_close(*adapted(cursor), atol=1e-5, rtol=0)


def first_waypoint(place: list[float], growth: float, shift: list[float]) -> list[float]:
    """Position of a waypoint at `place` (3,) of an object with a box of half size 0.1, in the origin."""
    pose = torch.eye(4).repeat(1, 1, 1, 1, 1)
    pose[..., :3, 3] = torch.tensor(place)
    segments = Segments.empty(1, 1, torch.device("cpu"))
    box = torch.full((1, 1, 3), 0.1)
    sizes = {"anchor": torch.eye(4).repeat(1, 1, 1, 1), "low": -box, "high": box}
    sizes |= {"growth": torch.full((1, 1, 3), growth), "shift": torch.tensor([[shift]])}
    reader = WaypointReader(pose, pose, torch.ones(1, 1, 1, 1), segments, False, sizes=sizes)
    position: list[float] = reader.read()[0][0, 0, :3, 3].tolist()
    return position


def test_waypoints_scale_within_the_object_and_keep_their_distance_beyond_it() -> None:
    assert first_waypoint([0.05, 0.0, -0.1], 0.2, [0.0] * 3) == pytest.approx([0.06, 0.0, -0.12])
    assert first_waypoint([0.5, 0.0, -0.4], 0.2, [0.0] * 3) == pytest.approx([0.52, 0.0, -0.42])
    assert first_waypoint([0.5, 0.0, 0.0], 0.0, [0.0, 0.0, 0.03]) == pytest.approx([0.5, 0.0, 0.03])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["events.randomize_ketchup.scale_range=[0.0,1.0]"], r"scale_range: must be > 0"),
        (["events.randomize_ketchup.scale_range=[1.2,0.8]"], r"events.randomize_ketchup.scale_range: "),
        (["events.randomize_robot.scale_range=[0.8,1.2]"], r"scale_range is for free objects .*got 'robot'.*'?basket"),
        (
            ["events.randomize_ketchup.scale_range=[0.8,1.2]", "datagen_config.use_skillgen=true"],
            r"datagen_config.adapt_to_scale: must be false for SkillGen with events.randomize_ketchup.scale_range",
        ),
    ],
)
def test_wrong_range_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("generate", ["task=desktop_organizer", "output_dir=x", *overrides])


def test_source_demo_of_another_size_is_refused(tmp_path: Path) -> None:
    source, copied = Path("tasks/desktop_organizer/data/source_demos.hdf5"), tmp_path / "sized.hdf5"
    copied.write_bytes(source.read_bytes())
    with h5py.File(copied, "r+") as file:
        del file["data/demo_3"].attrs["digest"]
        file["data/demo_3/initial_state/rigid_object/ketchup/scale"] = np.full((1, 1), 0.9, np.float32)
    env = mimic.make_env(mimic.load_task("desktop_organizer"), "mujoco", EVENTS)
    mimic.load_demos(source, env)
    with pytest.raises(SourceDataError, match=r"sized.hdf5: demo_3: was recorded with another size of 'ketchup'"):
        mimic.load_demos(copied, env)
    with pytest.raises(SourceDataError, match="another size of 'ketchup'"):
        mimic.load_demos(copied, mimic.make_env(mimic.load_task("desktop_organizer"), "mujoco", {}))


def test_demos_with_and_without_a_size_replay_in_one_batch(tmp_path: Path) -> None:
    source, copied = Path("tasks/desktop_organizer/data/source_demos.hdf5"), tmp_path / "sized.hdf5"
    copied.write_bytes(source.read_bytes())
    with h5py.File(copied, "r+") as file:
        del file["data/demo_3"].attrs["digest"]
        file["data/demo_3/initial_state/rigid_object/ketchup/scale"] = np.full((1, 1), 0.9, np.float32)
        states = initial_states([read_demo(file, f"demo_{index}") for index in (0, 3)])
    assert states["rigid_object"]["ketchup"]["scale"].tolist() == [[1.0], [pytest.approx(0.9)]]


def test_resting_point_of_a_held_object_follows_the_source_demo() -> None:
    eye, none = torch.eye(4), torch.zeros(1, dtype=torch.int64)
    pool: Any = SimpleNamespace(
        lengths=torch.ones(1),
        subtask_ends=torch.zeros(1, 1, 1),
        eef_pose=eye.repeat(1, 1, 1, 1, 1),
        object_pose=eye.repeat(3, 1, 1, 1, 1),
    )
    table: Any = SimpleNamespace(object_id=torch.tensor([[1]]))
    boxes = ObjectBoxes(torch.zeros(2, 3), torch.full((2, 3), 0.05), torch.full((2,), 0.05))
    sizes = SizeAdaptation(pool, table, boxes, 1)
    segments = Segments.empty(1, 1, torch.device("cpu"))
    scale, held = torch.tensor([[1.2, 1.0]]), torch.tensor([[0]])
    sizes.begin(Place(none, none, none), segments, eye[None, None], eye.repeat(1, 2, 1, 1), scale, held)
    assert sizes.tensors["shift"][0, 0].tolist() == pytest.approx([0.0, 0.0, 0.01])


def test_engine_without_geometry_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"events: scale_range of 'ketchup' requires sim=mujoco \(got kinematic\)"):
        make_env(load_task("desktop_organizer"), "kinematic", EVENTS, num_envs=1)
