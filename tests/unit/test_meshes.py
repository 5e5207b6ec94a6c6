"""Objects from mesh files: shape, contacts, engines, adapted segments, recorded entry, and files that are refused."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.commands.overrides import translate
from isaaclab_mimic_ext.config import GenerateCfg, SimCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.datasets.replay import make_recorded_env
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.posed_scene import PosedScene, describe_scene
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.files.stream import read_env_args
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.session import identity_of
from isaaclab_mimic_ext.task.definition import graspable_of, load_task
from isaaclab_mimic_ext.task.mesh_objects import mesh_object
from isaaclab_mimic_ext.task.mesh_shape import MeshShape, load_shape
from isaaclab_mimic_ext.task.meshes import ObjectCfg, recorded_digests, recorded_objects
from tests import requires
from tests.mesh_files import BOTTLE, CUP, twice, without_faces, write_obj, write_solid

requires.module("mujoco", "mujoco")
for name in ("trimesh", "scipy", "networkx", "coacd"):
    requires.module(name, "meshes")

SOURCE = Path("tasks/desktop_organizer/data/source_demos.hdf5")
BOTTOM = (0.0, 0.0, -0.05)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bottle(tmp_path: Path) -> Path:
    return write_solid(tmp_path / "bottle.obj", BOTTLE)


def shape_of(path: Path, **fields: Any) -> MeshShape:
    return load_shape("ketchup", ObjectCfg(mesh=str(path), **fields), BOTTOM)


def bottle_task(path: Path, **fields: Any) -> Any:
    return mimic.load_task("desktop_organizer", objects={"ketchup": ObjectCfg(mesh=str(path), **fields)})


def test_mesh_stands_on_the_bottom_of_the_object_that_it_replaces(bottle: Path) -> None:
    task = bottle_task(bottle)
    obj = task.objects[0]
    assert obj.name == "ketchup" and obj.rest_height == pytest.approx(0.05)
    assert obj.footprint_radius == pytest.approx(0.029)
    assert obj.half_size == pytest.approx((0.029, 0.029, 0.06)) and obj.box_center == pytest.approx((0.0, 0.0, 0.01))
    assert task.objects[1:] == load_task("desktop_organizer").objects[1:]


@pytest.mark.parametrize("fields", [{"scale": 0.001}, {"scale": [0.001] * 3}, {"scale": 0.001, "up": "y"}])
def test_units_and_axes_of_a_file_are_converted(tmp_path: Path, fields: dict[str, Any]) -> None:
    path = write_solid(tmp_path / "mm.obj", BOTTLE, scale=1000.0, up=fields.get("up", "z"))
    shape = shape_of(path, **fields)
    assert shape.low.tolist() == pytest.approx([-0.029, -0.029, -0.05], abs=1e-6)
    assert shape.high.tolist() == pytest.approx([0.029, 0.029, 0.07], abs=1e-6)
    # The neck is at the top.
    assert abs(shape.vertices[shape.vertices[:, 2] > 0.06][:, 0]).max() < 0.013


@pytest.mark.parametrize("up", ["x", "y", "z", "-x", "-y", "-z"])
def test_turned_mesh_is_not_mirrored(tmp_path: Path, up: str) -> None:
    corner = write_obj(
        tmp_path / "corner.obj", [(0, 0, 0), (0.1, 0, 0), (0, 0.2, 0), (0, 0, 0.3)],
        [(1, 3, 2), (1, 2, 4), (2, 3, 4), (1, 4, 3)],
    )  # fmt: skip
    shape = shape_of(corner, up=up)
    first, *edges = shape.vertices[[0, 1, 2, 3]]
    assert shape.mass == pytest.approx(500.0 * 0.1 * 0.2 * 0.3 / 6)
    lengths = [float(((edge - first) ** 2).sum() ** 0.5) for edge in edges]
    order = [edges[lengths.index(min(lengths, key=lambda each: abs(each - length)))] - first for length in (0.1, 0.2, 0.3)]
    x, y, z = order
    assert float((torch.linalg.cross(torch.tensor(x), torch.tensor(y)) * torch.tensor(z)).sum()) > 0
    sign = -1.0 if up.startswith("-") else 1.0
    height = order["xyz".index(up[-1])][2]
    assert height == pytest.approx(sign * (0.1, 0.2, 0.3)["xyz".index(up[-1])])


def test_mass_is_given_or_follows_from_density_and_volume(tmp_path: Path) -> None:
    cylinder = write_solid(tmp_path / "rod.obj", ((0.02, 0.0), (0.02, 0.1)))
    volume = 24 / 2 * math.sin(2 * math.pi / 24) * 0.02**2 * 0.1
    assert shape_of(cylinder, density=1000.0).mass == pytest.approx(1000.0 * volume, rel=1e-4)
    assert shape_of(cylinder, mass=0.3).mass == pytest.approx(0.3)


def test_contacts_are_convex_parts_a_hull_or_primitives(tmp_path: Path) -> None:
    cup = write_solid(tmp_path / "cup.obj", CUP)
    parts = shape_of(cup, max_parts=8).parts
    assert 4 <= len(parts) <= 8
    assert {part.kind for part in parts} == {"mesh"}
    # A ball dropped into the cup must not rest on a lid.
    assert not any(all(abs(value) < 0.001 for value in part.center[:2]) and part.center[2] > -0.02 for part in parts)
    assert [part.kind for part in shape_of(cup, collision="hull").parts] == ["mesh"]
    kinds = [part.kind for part in shape_of(cup, collision="primitives", max_parts=8).parts]
    assert len(kinds) == len(parts) and {*kinds} <= {"box", "cylinder"}
    rod = write_solid(tmp_path / "rod.obj", ((0.02, 0.0), (0.02, 0.1)))
    (only,) = shape_of(rod, collision="primitives").parts
    assert only.kind == "cylinder" and only.half_size == pytest.approx((0.02, 0.02, 0.05), rel=1e-3)


def test_convex_parts_are_computed_once_for_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cup = write_solid(tmp_path / "cup.obj", CUP)
    first = load_shape("mug", ObjectCfg(mesh=str(cup), max_parts=6), BOTTOM)
    monkeypatch.setattr("isaaclab_mimic_ext.task.mesh_shape._run_coacd", lambda *_: pytest.fail("computed again"))
    again = load_shape("other", ObjectCfg(mesh=str(cup), max_parts=6), (0.0, 0.0, 0.0))
    for part, own in zip(again.parts, first.parts, strict=True):
        assert part.half_size == pytest.approx(own.half_size)
        assert part.center == pytest.approx((*own.center[:2], own.center[2] + 0.05))
    assert again.center_of_mass[2] == pytest.approx(first.center_of_mass[2] + 0.05)


@pytest.mark.parametrize("engine", ["mujoco", "mujoco_warp"])
def test_mesh_rests_on_the_table_where_it_was_placed(bottle: Path, engine: str) -> None:
    if engine == "mujoco_warp":
        requires.module("mujoco_warp", "mujoco_warp")
    env = make_env(bottle_task(bottle), SimCfg(engine=engine), num_envs=2)
    env.reset(torch.arange(2), Draws(1, torch.arange(2)))
    for _ in range(20):
        env.step(torch.zeros(2, 7))
    height = env.object_pose[:, 0, 2, 3]
    assert height.tolist() == pytest.approx([0.05, 0.05], abs=1e-3)
    assert (env.object_pose[:, 0, 2, 2] > 0.999).all()


def test_page_and_pictures_draw_the_mesh(bottle: Path) -> None:
    scene = PosedScene(bottle_task(bottle, rgba=[0.1, 0.6, 0.3, 1.0]))
    described = describe_scene(scene)
    (drawn,) = [shape for shape in described["shapes"] if shape["kind"] == "mesh"]
    mesh = described["meshes"][drawn["mesh"]]
    assert len(mesh["vertices"]) == 3 * (len(BOTTLE) * 24 + 2)
    assert scene.model.geom_rgba[scene.model.geom_dataid >= 0].tolist()[-1] == pytest.approx([0.1, 0.6, 0.3, 1.0])


def test_trials_adapt_to_the_size_of_the_mesh_and_replay(tmp_path: Path) -> None:
    tall = write_solid(tmp_path / "tall.obj", [(radius, 1.4 * height) for radius, height in BOTTLE])
    task = bottle_task(tall)
    env = mimic.make_env(task, "mujoco", num_envs=5)
    settings = mimic.GenerationCfg(num_trials=5, guarantee=False)
    run = mimic.generate(env, mimic.load_demos(SOURCE, env), settings, output_dir=tmp_path / "run", video=False)
    assert run.num_successes == 5
    played = mimic.replay(run.dataset)
    assert played.success_rate == 1.0


def test_demos_recorded_with_a_mesh_are_annotated_with_it(tmp_path: Path, bottle: Path) -> None:
    raw, annotated = tmp_path / "raw.hdf5", tmp_path / "annotated.hdf5"
    run_command("record", "task=desktop_organizer", f"objects.ketchup.mesh={bottle}", "num_demos=1", f"output_file={raw}")
    run_command("annotate", "task=desktop_organizer", f"input_file={raw}", f"output_file={annotated}")
    assert recorded_objects(read_env_args(annotated)) == {"ketchup": ObjectCfg(mesh=str(bottle))}
    other = tmp_path / "other.hdf5"
    run_command("record", "task=desktop_organizer", "num_demos=1", f"output_file={other}")
    with pytest.raises(SourceDataError, match=r"env_args: object_meshes is missing"):
        mimic.merge([raw, other], tmp_path / "merged.hdf5")
    copy = shutil.copy(bottle, tmp_path / "copy.obj")
    same = tmp_path / "same.hdf5"
    run_command(
        "record", "task=desktop_organizer", f"objects.ketchup.mesh={copy}", "num_demos=1", "seed=3", f"output_file={same}"
    )
    assert mimic.merge([raw, same], tmp_path / "merged.hdf5").num_demos == 2
    write_solid(bottle, [(radius, 1.2 * height) for radius, height in BOTTLE])
    run = f"output_dir={tmp_path / 'run'}"
    with pytest.raises(AssertionError, match="the mesh of 'ketchup' has changed since the recording"):
        run_command("generate", "task=desktop_organizer", f"input_file={annotated}", "num_trials=1", run)


def run_command(verb: str, *words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "isaaclab_mimic_ext", verb, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_dataset_and_run_record_the_mesh(bottle: Path) -> None:
    env = make_env(bottle_task(bottle, scale=0.9), "mujoco", {}, num_envs=1)
    args = json.loads(json.dumps(env.env_args()))
    assert recorded_objects(args) == {"ketchup": ObjectCfg(mesh=str(bottle), scale=0.9)}
    assert recorded_digests(args) == {"ketchup": env.task.objects[0].mesh.digest}
    assert "object_meshes" not in make_env(load_task("desktop_organizer"), "mujoco", {}, num_envs=1).env_args()


def test_replay_uses_the_recorded_mesh_and_warns_if_it_changed(bottle: Path, caplog: pytest.LogCaptureFixture) -> None:
    args = make_env(bottle_task(bottle), "mujoco", {}, num_envs=1).env_args()
    again: Any = make_recorded_env("demo.hdf5", args, SimCfg(engine="mujoco"), 1)
    assert again.task.objects[0].half_size == pytest.approx((0.029, 0.029, 0.06)) and not caplog.messages
    write_solid(bottle, [(0.9 * radius, height) for radius, height in BOTTLE])
    make_recorded_env("demo.hdf5", args, SimCfg(engine="mujoco"), 1)
    assert any("the mesh of 'ketchup' has changed since the recording" in text for text in caplog.messages)
    bottle.unlink()
    with pytest.raises(ConfigError, match=r"objects.ketchup.mesh: .*bottle.obj' cannot be read"):
        make_recorded_env("demo.hdf5", args, SimCfg(engine="mujoco"), 1)


def test_run_is_not_resumed_with_a_changed_mesh(bottle: Path) -> None:
    def settings() -> dict[str, Any]:
        words = translate([f"objects.ketchup.mesh={bottle}", "output_dir=x"], GenerateCfg)
        cfg = load_config("generate", ["task=desktop_organizer", *words])
        return identity_of(asdict(cfg), SOURCE)

    before = settings()
    write_solid(bottle, [(0.9 * radius, height) for radius, height in BOTTLE])
    after = settings()
    assert {name for name in before if before[name] != after[name]} == {"object_meshes"}


def test_fields_of_an_object_are_set_on_the_command_line() -> None:
    words = translate(["objects.ketchup.mesh=a b.obj", "objects.ketchup.scale=[1,1,0.5]", "output_dir=x"], GenerateCfg)
    cfg = load_config("generate", ["task=desktop_organizer", *words])
    assert cfg.objects == {"ketchup": ObjectCfg(mesh="a b.obj", scale=[1, 1, 0.5])}
    swept = translate(["-m", "objects.ketchup.mesh=a.obj,b.obj"], GenerateCfg)
    assert swept[-1] == "++objects={ketchup:{mesh:a.obj}},{ketchup:{mesh:b.obj}}"


def test_mesh_of_a_task_file_is_used(tmp_path: Path, bottle: Path) -> None:
    folder = tmp_path / "own" / "task"
    folder.mkdir(parents=True)
    text = f"# @package _global_\ndefaults: [desktop_organizer]\nobjects:\n  ketchup:\n    mesh: {bottle}\n"
    (folder / "bottles.yaml").write_text(text, encoding="utf-8")
    task = mimic.load_task("bottles", tmp_path / "own")
    assert task.objects[0].mesh is not None and task.preset == "bottles"


def test_object_of_an_own_task_gets_its_size_from_the_mesh(bottle: Path) -> None:
    obj = mesh_object("bottle", ObjectCfg(mesh=str(bottle)), default_pos=(0.4, 0.1))
    assert obj.rest_height == pytest.approx(0.06) and obj.half_size == pytest.approx((0.029, 0.029, 0.06))
    assert obj.box_center == pytest.approx((0.0, 0.0, 0.0)) and obj.default_pos == (0.4, 0.1)


def test_grip_of_a_mesh_has_its_width_at_the_same_relative_height(bottle: Path, tmp_path: Path) -> None:
    grip = graspable_of(bottle_task(bottle))["franka"][0]
    assert grip.half_width == pytest.approx(0.029, abs=3e-4) and grip.grip_pos[2] == pytest.approx(0.01)
    cup = shape_of(write_solid(tmp_path / "cup.obj", CUP), collision="hull")
    assert cup.width_at((0.0, 0.0, 0.0)) == pytest.approx(0.07, abs=1e-3)
    assert cup.width_at((0.033, 0.0, 0.0)) == pytest.approx(0.004, abs=3e-4)
    assert cup.width_at((0.2, 0.0, 0.0)) is None


def test_mesh_wider_than_the_gripper_is_refused(bottle: Path) -> None:
    with pytest.raises(ConfigError, match=r"objects.ketchup.mesh: is 8\d.\d mm wide where .*opens to 80.0 mm"):
        make_env(bottle_task(bottle, scale=[1.5, 1.5, 1.0]), "mujoco", num_envs=1)


def _open(path: Path) -> Path:
    return without_faces(write_solid(path, BOTTLE), 3)


FAULTS: dict[str, tuple[Callable[[Path], Path], dict[str, Any], str]] = {
    "missing": (lambda path: path, {}, r"cannot be read \(No such file or directory\); correct the path"),
    "mm": (lambda path: write_solid(path, BOTTLE, 1000.0), {}, r"is 120 m long.* be mm: set objects.ketchup.scale=0.001"),
    "not watertight": (_open, {}, r"is not watertight \(\d+ edges.*close it, or set objects.ketchup.collision=hull and"),
    "no triangles": (lambda path: write_obj(path, [(0, 0, 0), (1, 0, 0)], []), {}, r"has no triangles; export a surface"),
    "two bodies": (lambda path: twice(write_solid(path, BOTTLE)), {}, r"has 2 separate bodies, an object is one; unite"),
    "no mesh": (lambda path: path.with_suffix(".step"), {}, r"is not a mesh file; choices: .obj, .stl"),
    "scale": (lambda path: write_solid(path, BOTTLE), {"scale": [1, 2]}, r"scale: must be a number > 0, or three"),
    "up": (lambda path: write_solid(path, BOTTLE), {"up": "up"}, r"up: must be one of x, y, z, -x, -y, -z \(got"),
    "collision": (lambda path: write_solid(path, BOTTLE), {"collision": "box"}, r"collision: must be one of parts, hull"),
    "mass": (lambda path: write_solid(path, BOTTLE), {"mass": 0.0}, r"mass: must be > 0 \(got 0.0\)"),
    "color": (lambda path: write_solid(path, BOTTLE), {"rgba": [1, 2, 3]}, r"rgba: must be four numbers from 0 to 1"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_mesh_is_refused_in_one_sentence(tmp_path: Path, fault: str) -> None:
    write, fields, message = FAULTS[fault]
    with pytest.raises(ConfigError, match=message) as found:
        bottle_task(write(tmp_path / "mesh.obj"), **fields)
    assert "objects.ketchup." in str(found.value) and "\n" not in str(found.value)


def test_open_mesh_is_accepted_with_hull_and_mass(tmp_path: Path) -> None:
    shape = shape_of(_open(tmp_path / "open.obj"), collision="hull", mass=0.2)
    assert shape.mass == pytest.approx(0.2) and len(shape.parts) == 1


def test_object_that_cannot_have_a_mesh_is_refused(bottle: Path) -> None:
    cfg = ObjectCfg(mesh=str(bottle))
    with pytest.raises(ConfigError, match=r"objects: 'ketchu' is not in the scene.*did you mean 'ketchup'"):
        load_task("desktop_organizer", objects={"ketchu": cfg})
    with pytest.raises(ConfigError, match=r"objects.drawer.mesh: 'drawer' is on a joint"):
        load_task("mug_cleanup", objects={"drawer": cfg})
    with pytest.raises(ConfigError, match=r"objects.ketchup.scale: has no effect without a mesh"):
        load_task("desktop_organizer", objects={"ketchup": ObjectCfg(scale=2.0)})
    with pytest.raises(ConfigError, match=r"objects.ketchup.mesh: is not supported by sim=isaaclab"):
        make_env(bottle_task(bottle), "isaaclab", {}, num_envs=1)
