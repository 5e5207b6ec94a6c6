"""Lists of meshes, of which each trial draws one: draws, contacts, recorded state, adapted segments, grips, and reports."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.commands.overrides import translate
from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.envs.object_meshes import HIDDEN_GROUP
from isaaclab_mimic_ext.envs.posed_scene import PosedScene, describe_scene, present_body_poses
from isaaclab_mimic_ext.envs.recorded_scene import recorded_scene, take_steps
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.kernels.waypoints import Segments, WaypointReader
from isaaclab_mimic_ext.plan.sizes import ObjectBoxes, Place, SizeAdaptation
from isaaclab_mimic_ext.report.report import report_run
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.object_boxes import source_boxes
from isaaclab_mimic_ext.run.session import RunFolder, identity_of
from isaaclab_mimic_ext.run.summary import mesh_counts
from isaaclab_mimic_ext.run.trial_records import read_records
from isaaclab_mimic_ext.task.mesh_objects import mesh_object
from isaaclab_mimic_ext.task.meshes import ObjectCfg, recorded_digests, recorded_objects
from tests import requires
from tests.mesh_files import BOTTLE, write_solid

requires.module("mujoco", "mujoco")
for name in ("trimesh", "scipy", "networkx", "coacd"):
    requires.module(name, "meshes")

SOURCE = Path("tasks/desktop_organizer/data/source_demos.hdf5")
NUM_ENVS = 8
CAN = ((0.02, 0.0), (0.02, 0.1))
"""Outline of a can, thinner and lighter than the bottle."""
TALL = tuple((radius, 1.4 * height) for radius, height in BOTTLE)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    outlines = {"tall": TALL, "can": CAN}
    return [str(write_solid(tmp_path / f"{name}.obj", outline)) for name, outline in outlines.items()]


def task_with(mesh: Any, **fields: Any) -> Any:
    return mimic.load_task("desktop_organizer", objects={"ketchup": ObjectCfg(mesh=mesh, **fields)})


def env_with(mesh: Any, engine: str = "mujoco", num_envs: int = NUM_ENVS) -> Any:
    return make_env(task_with(mesh), engine, num_envs=num_envs)


def reset(env: Any, seed: int = 1) -> None:
    env.reset(torch.arange(env.num_envs), Draws(seed, torch.arange(env.num_envs)))


def rest(env: Any, num_steps: int = 10) -> None:
    for _ in range(num_steps):
        env.step(torch.zeros(env.num_envs, 7))


@pytest.mark.parametrize("engine", ["mujoco", "kinematic"])
def test_mesh_of_a_trial_does_not_depend_on_the_number_of_envs(files: list[str], engine: str) -> None:
    many, one = env_with(files, engine), env_with(files, engine, 1)
    reset(many)
    assert {*many.object_mesh[:, 0].tolist()} == {0, 1} and not many.object_mesh[:, 1:].any()
    for trial in range(NUM_ENVS):
        one.reset(torch.arange(1), Draws(1, torch.tensor([trial])))
        assert torch.equal(one.object_mesh[0], many.object_mesh[trial])
    assert 80 < int(many._resets.sample_meshes(Draws(1, torch.arange(200)))[:, 0].sum()) < 120


def test_each_env_has_the_physics_of_its_mesh(files: list[str]) -> None:
    env = env_with(files)
    reset(env)
    numbers = env.object_mesh[:, 0]
    body, batch = env.model.body("ketchup").id, env._meshes._fields
    for number, file in enumerate(files):
        single = env_with(file)
        reset(single)
        rows = torch.nonzero(numbers == number)[:, 0]
        assert batch["body_mass"][rows, body] == pytest.approx(float(single.model.body_mass[body]))
        assert batch["body_inertia"][rows[0], body] == pytest.approx(single.model.body_inertia[body], rel=1e-6)
        solid = [int((batch["geom_contype"][row][env.model.geom_bodyid == body] > 0).sum()) for row in rows]
        assert {*solid} == {len(single.task.objects[0].mesh.parts)}
        pushed = push(single, numbers == number)
        torch.testing.assert_close(push(env, numbers == number), pushed, atol=1e-4, rtol=0)


def push(env: Any, chosen: torch.Tensor) -> torch.Tensor:
    """Poses of the object after it has been dropped from 3 cm, turned and moving sideways."""
    reset(env)
    state = trees.map(torch.clone, env.get_state())
    root = state["rigid_object"]["ketchup"]
    root["root_pose"][:, 2] += 0.03
    root["root_pose"][:, 3:] = torch.nn.functional.normalize(torch.tensor([0.1, 0.05, 0.2, 1.0]), dim=0)
    root["root_velocity"][:, 0] = 0.2
    env.reset_to(state, torch.arange(env.num_envs))
    rest(env, 3)
    pose: torch.Tensor = env.object_pose[chosen, 0]
    return pose.clone()


def test_all_meshes_rest_where_the_object_stood(files: list[str]) -> None:
    env = env_with(files)
    reset(env)
    rest(env)
    torch.testing.assert_close(env.object_pose[:, 0, 2, 3], torch.full((NUM_ENVS,), 0.05), atol=1e-3, rtol=0)
    assert (env.object_pose[:, 0, 2, 2] > 0.999).all()
    ketchup = env.task.objects[0]
    assert ketchup.footprint_radius == pytest.approx(0.029) and ketchup.box_half_size[2] == pytest.approx(0.084)


def test_recorded_mesh_is_restored(files: list[str]) -> None:
    env, other = env_with(files), env_with(files)
    reset(env)
    reset(other, seed=7)
    state = trees.map(torch.clone, env.get_state())
    assert state["rigid_object"]["ketchup"]["mesh"].shape == (NUM_ENVS, 1)
    assert "mesh" not in state["rigid_object"]["basket"]
    other.reset_to(state, torch.arange(NUM_ENVS))
    assert torch.equal(other.object_mesh, env.object_mesh)
    env.reset_to(state, torch.arange(NUM_ENVS))
    for each in (env, other):
        rest(each, 4)
    assert torch.equal(env.object_pose, other.object_pose)
    del state["rigid_object"]["ketchup"]["mesh"]
    other.reset_to(state, torch.arange(NUM_ENVS))
    assert not other.object_mesh.any()


def test_state_with_a_mesh_that_the_env_does_not_have_is_refused(files: list[str]) -> None:
    env, single = env_with(files), env_with(files[0])
    reset(env)
    with pytest.raises(
        ConfigError, match=r"state.rigid_object.ketchup.mesh: .*one of the 1 meshes.*set objects.ketchup.mesh"
    ):
        single.reset_to(env.get_state(), torch.arange(NUM_ENVS))
    state = env.get_state()
    state["rigid_object"]["ketchup"]["mesh"] += 1
    with pytest.raises(ConfigError, match=r"one of the 2 meshes of 'ketchup' \(got 2\)"):
        env.reset_to(state, torch.arange(NUM_ENVS))


def test_pictures_and_pages_draw_the_mesh_of_a_state(files: list[str]) -> None:
    env = env_with(files)
    reset(env)
    scene = PosedScene(env.task)
    described = describe_scene(scene)
    names = described["bodies"]
    assert names[-2:] == ["ketchup/mesh_0", "ketchup/mesh_1"] and len([s for s in described["shapes"] if "mesh" in s]) == 2
    assert {shape["body"] for shape in described["shapes"] if "mesh" in shape} == {len(names) - 2, len(names) - 1}
    surface = scene.model.geom("ketchup/mesh_1/surface").id
    for row in range(NUM_ENVS):
        number = int(env.object_mesh[row, 0])
        scene.set_state(trees.map(lambda leaf, row=row: leaf[row].numpy(), env.get_state()))
        assert (int(scene.model.geom_group[surface]) == HIDDEN_GROUP) is (number == 0)
        poses = scene.body_poses()
        assert len(poses) == len(names)
        ketchup = poses[names.index("ketchup")]
        np.testing.assert_array_equal(poses[names.index(f"ketchup/mesh_{number}")], ketchup)
        assert poses[names.index(f"ketchup/mesh_{1 - number}"), 2] < -1.0
    scene.set_state(trees.map(lambda leaf: leaf[0].numpy(), env.get_state()))
    np.testing.assert_allclose(present_body_poses(env, scene), scene.body_poses(), atol=1e-6)


def test_signals_and_grips_are_those_of_the_mesh_of_a_trial(files: list[str]) -> None:
    env = env_with(files)
    reset(env)
    recorded = recorded_scene(env.task, env.get_state())
    assert torch.equal(recorded.object_mesh, env.object_mesh)
    widths = torch.tensor([0.029, 0.02])
    for scene in (env.scene, recorded, take_steps(recorded, 2)):
        found = env.task.half_width_of(scene, "ketchup")
        torch.testing.assert_close(found, widths[scene.object_mesh[:, 0]], atol=3e-4, rtol=0)
    single = env_with(files[1])
    assert float(single.task.half_width_of(single.scene, "ketchup")) == pytest.approx(0.02, abs=3e-4)


def test_hand_above_a_low_mesh_holds_nothing(files: list[str]) -> None:
    env = env_with(files)
    reset(env)
    scene = env.scene
    scene.eef_pose = scene.object_pose[:, :1].clone()
    scene.eef_pose[..., 2, 3] += 0.08  # In the tall bottle, and above the can.
    scene.joint_pos = scene.joint_pos.clone()
    scene.joint_pos[..., -2:] = 0.02
    held = env.task.attached_objects(scene)[:, 0]
    assert torch.equal(held == 0, env.object_mesh[:, 0] == 0)


def test_kinematic_gripper_stops_at_the_width_of_the_mesh(files: list[str]) -> None:
    env = env_with(files, "kinematic")
    reset(env)
    target = env.object_pose[:, :1].clone()
    target[..., :3, :3] = env.eef_pose[..., :3, :3]
    for gripper in [1.0] * 60 + [-1.0] * 10:
        command = torch.full((NUM_ENVS, 1, 1), gripper)
        env.step(env.target_eef_pose_to_action(target, command, torch.zeros(NUM_ENVS, 1, 6)))
    widths = env.task.half_width_of(env.scene, "ketchup")
    torch.testing.assert_close(env.scene.finger_pos[:, 0, 0], widths)
    assert len(widths.unique()) == 2
    some = torch.tensor([1, 2])
    env.step(torch.zeros(NUM_ENVS, 7), some)
    assert env.scene.object_mesh.shape == (NUM_ENVS, 4)


def begun(growth: list[list[float]], mesh: list[int]) -> dict[str, torch.Tensor]:
    """Tensors of the adaptation of one object in N envs with the meshes `mesh`, whose growth is `growth` (V, 3)."""
    eye, num_envs = torch.eye(4), len(mesh)
    pool: Any = type("Pool", (), {})()
    pool.lengths, pool.subtask_ends = torch.ones(1), torch.zeros(1, 1, 1)
    pool.eef_pose, pool.object_pose = eye.repeat(1, 1, 1, 1, 1), eye.repeat(2, 1, 1, 1, 1)
    table: Any = type("Table", (), {"object_id": torch.tensor([[0]])})()
    boxes = ObjectBoxes(torch.zeros(1, 3), torch.full((1, 3), 0.05), torch.full((1,), 0.05), torch.tensor(growth)[:, None])
    sizes = SizeAdaptation(pool, table, boxes, num_envs)
    zero, rows = torch.zeros(num_envs, dtype=torch.int64), torch.arange(num_envs)
    sizes.begin(
        Place(rows, zero, zero),
        Segments.empty(num_envs, 1, torch.device("cpu")),
        eye.repeat(num_envs, 1, 1, 1),
        eye.repeat(num_envs, 1, 1, 1),
        torch.ones(num_envs, 1),
        torch.full((num_envs, 1), -1),
        torch.tensor(mesh)[:, None],
    )
    return sizes.tensors


def test_waypoints_move_separately_along_unequal_axes_of_the_mesh_of_each_trial() -> None:
    tensors = begun([[0.2, -0.1, 0.5], [0.0, 0.0, 0.0]], [0, 1, 0])
    pose = torch.eye(4).repeat(1, 1, 1, 1, 1)
    pose[..., :3, 3] = torch.tensor([0.04, 0.02, 0.03])
    segments = Segments.empty(3, 1, torch.device("cpu"))
    reader = WaypointReader(pose, pose, torch.ones(1, 1, 1, 1), segments, False, sizes=tensors)
    adapted = torch.tensor([0.048, 0.018, 0.07])  # About the center of the bottom, 5 cm below the frame.
    own = torch.tensor([0.04, 0.02, 0.03])
    torch.testing.assert_close(reader.read()[0][:, 0, :3, 3], torch.stack((adapted, own, adapted)), atol=1e-6, rtol=0)


def test_list_of_one_file_is_the_file(files: list[str]) -> None:
    alone, listed = (make_env(task_with(mesh), "mujoco", {}, num_envs=2) for mesh in (files[0], files[:1]))
    for env in (alone, listed):
        reset(env)
    assert json.dumps(alone.env_args()) == json.dumps(listed.env_args())
    assert listed.object_mesh is None and "mesh" not in listed.get_state()["rigid_object"]["ketchup"]


def test_object_of_an_own_task_may_have_several_meshes(files: list[str]) -> None:
    obj = mesh_object("bottle", ObjectCfg(mesh=files), default_pos=(0.4, 0.1))
    assert obj.rest_height == pytest.approx(0.084) and len(obj.variants) == 2
    assert [each.rest_height for each in obj.variants] == pytest.approx([0.084, 0.084])
    assert obj.variants[1].box_half_size == pytest.approx((0.02, 0.02, 0.05))
    assert obj.variants[1].box_center == pytest.approx((0.0, 0.0, -0.034))


def test_list_on_the_command_line_and_in_files(files: list[str]) -> None:
    words = translate([f"objects.ketchup.mesh=[{','.join(files)}]", "output_dir=x"], GenerateCfg)
    cfg = load_config("generate", ["task=desktop_organizer", *words])
    assert cfg.objects == {"ketchup": ObjectCfg(mesh=files)}
    args = json.loads(json.dumps(env_with(files, num_envs=1).env_args()))
    assert recorded_objects(args) == {"ketchup": ObjectCfg(mesh=files)}
    digests = recorded_digests(args)["ketchup"]
    assert isinstance(digests, list) and len({*digests}) == 2
    before = identity_of(asdict(cfg), SOURCE)
    write_solid(Path(files[1]), [(0.9 * radius, height) for radius, height in CAN])
    after = identity_of(asdict(cfg), SOURCE)
    assert {name for name in before if before[name] != after[name]} == {"object_meshes"}


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        ([], r"objects.ketchup.mesh: must be a file, or a list of files \(got \[\]\)"),
        (["{0}", 3], r"objects.ketchup.mesh: must be a file, or a list of files"),
        (["{0}", "{0}"], r"objects.ketchup.mesh: '.*tall.obj' is listed twice; list it once"),
        (["{0}", "missing.obj"], r"objects.ketchup.mesh: 'missing.obj' cannot be read"),
        (["{0}", "{wide}", "{1}"], r"objects.ketchup.mesh: '.*wide.obj' is 9\d.\d mm wide .* remove it from the list"),
    ],
)
def test_wrong_list_is_refused(tmp_path: Path, files: list[str], mesh: list[Any], message: str) -> None:
    wide = write_solid(tmp_path / "wide.obj", [(2.4 * radius, height) for radius, height in CAN])
    given = [each.format(*files, wide=wide) if isinstance(each, str) else each for each in mesh]
    with pytest.raises(ConfigError, match=message) as found:
        env_with(given, num_envs=1)
    assert "\n" not in str(found.value)


def test_engine_with_one_geometry_for_all_envs_refuses_a_list(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KinematicEnv, "has_mesh_lists", False)
    with pytest.raises(
        ConfigError, match=r"objects.ketchup.mesh: a list requires sim=mujoco or kinematic \(got kinematic\)"
    ):
        env_with(files, "kinematic")


def test_list_and_range_of_sizes_of_the_same_object_are_refused(files: list[str]) -> None:
    events = {"randomize_ketchup": mimic.EventCfg("ketchup", scale_range=[0.8, 1.2])}
    with pytest.raises(ConfigError, match=r"events: scale_range of 'ketchup': must be an object without meshes"):
        reset(make_env(task_with(files), "mujoco", events, num_envs=1))
    others = {"randomize_carton": mimic.EventCfg("orange_juice", scale_range=[0.8, 1.2])}
    env = make_env(task_with(files), "mujoco", others, num_envs=NUM_ENVS)
    reset(env)
    body = env.model.body("ketchup").id
    masses = torch.tensor([each.mesh.mass for each in env.task.objects[0].variants])
    found = torch.from_numpy(env._meshes._fields["body_mass"][:, body]).float()
    torch.testing.assert_close(found, masses[env.object_mesh[:, 0]])
    assert len(env.object_scale[:, 2].unique()) == NUM_ENVS


def generated(files: list[str], folder: Path, num_envs: int, **settings: Any) -> Any:
    env = env_with(files, num_envs=num_envs)
    cfg = mimic.GenerationCfg(num_trials=4, guarantee=False, seed=1)
    return mimic.generate(env, mimic.load_demos(SOURCE, env), cfg, output_dir=folder, video=False, **settings)


@pytest.mark.slow
def test_run_with_a_list_has_the_same_bytes_at_any_number_of_envs_and_replays(files: list[str], tmp_path: Path) -> None:
    run, other = (generated(files, tmp_path / f"run_{num_envs}", num_envs) for num_envs in (4, 3))
    assert dataset_digest(run.dataset) == dataset_digest(other.dataset)
    assert run.num_successes == 4
    assert mimic.replay(run.dataset).success_rate == 1.0
    records = read_records(RunFolder(tmp_path / "run_4").store)
    counts = mesh_counts(records)["ketchup"]
    assert [each.file for each in counts] == files and sum(each.trials for each in counts) == 4
    env = env_with(files, num_envs=4)
    reset(env)
    assert [each.trials for each in counts] == torch.bincount(env.object_mesh[:, 0], minlength=2).tolist()
    stats = json.loads((tmp_path / "run_4" / "important_stats.json").read_text(encoding="utf-8"))
    assert stats["per_mesh"]["ketchup"][files[1]]["successes"] == counts[1].successes
    page = report_run(tmp_path / "run_4", pictures=False).path.read_text(encoding="utf-8")
    assert "Success by mesh" in page and f"<td>can.obj</td><td>{counts[1].successes} of {counts[1].trials}" in page


def test_segments_adapt_from_demos_with_one_mesh(files: list[str], tmp_path: Path) -> None:
    env = env_with(files, num_envs=1)
    boxes = source_boxes(GenerateCfg(input_file=str(SOURCE)), env)
    assert boxes is not None and boxes.growth is not None and boxes.growth.shape == (2, 4, 3)
    expected = torch.tensor([[0.16, 0.16, 0.68], [-0.2, -0.2, 0.0]])
    torch.testing.assert_close(boxes.growth[:, 0], expected, atol=1e-3, rtol=0)
    assert not boxes.growth[:, 1:].any()
    copied = tmp_path / "several.hdf5"
    copied.write_bytes(SOURCE.read_bytes())
    with h5py.File(copied, "r+") as file:
        attributes = file["data"].attrs
        attributes["env_args"] = json.dumps(
            {**json.loads(attributes["env_args"]), "object_meshes": env.env_args()["object_meshes"]}
        )
    with pytest.raises(SourceDataError, match=r"several.hdf5: 'ketchup' was recorded with several meshes"):
        source_boxes(GenerateCfg(input_file=str(copied)), env)
