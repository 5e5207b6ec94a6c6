"""Pictures of objects from meshes, of their convex parts, and of the meshes of several trials."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import imageio.v3 as iio
import mujoco
import numpy as np
import torch
import trimesh
from themes import OUT

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config.compose import load_task
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.mujoco_model import build_model
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.meshes import ObjectCfg
from tests.mesh_files import BOTTLE, CUP, write_solid

_PLACES = {"orange_juice": (0.48, 0.02), "ketchup": (0.48, 0.16)}
_HIDDEN = (0.0, 0.0, 0.0, 0.0)
_NUM_TRIALS = 20
_PARTS = 3
"""MuJoCo's group of shapes for contacts."""


def draw_meshes() -> None:
    """A cup and a bottle on the table: their surfaces, and their convex parts in random colors."""
    with TemporaryDirectory() as folder:
        bottle = write_solid(Path(folder) / "bottle.obj", [(radius, 1.3 * height) for radius, height in BOTTLE])
        cup = write_solid(Path(folder) / "cup.obj", CUP)
        meshes = {
            "ketchup": ObjectCfg(mesh=str(bottle), rgba=[0.16, 0.50, 0.32, 1.0]),
            "orange_juice": ObjectCfg(mesh=str(cup), rgba=[0.75, 0.35, 0.20, 1.0]),
        }
        model = build_model(load_task("desktop_organizer", objects=meshes))
    data = mujoco.MjData(model)
    for name, place in _PLACES.items():
        address = int(model.joint(name).qposadr[0])
        data.qpos[address : address + 2] = place
    mujoco.mj_step(model, data, 200)
    surface = _drawn(model, data, mujoco.MjvOption())
    rng = np.random.default_rng(3)
    bodies = {model.body(name).id for name in _PLACES}
    for geom in range(model.ngeom):
        is_part = model.geom_group[geom] == _PARTS
        if model.geom_bodyid[geom] in bodies:
            model.geom_rgba[geom] = (*rng.uniform(0.25, 0.95, 3), 1.0) if is_part else _HIDDEN
        elif is_part:
            model.geom_rgba[geom] = _HIDDEN
    option = mujoco.MjvOption()
    option.geomgroup[_PARTS] = 1
    iio.imwrite(OUT / "meshes.png", np.concatenate((surface, _drawn(model, data, option)), axis=1))


def draw_mesh_lists() -> None:
    """Four trials in which the ketchup has another mesh each."""
    with TemporaryDirectory() as folder:
        files = [str(path) for path in _write_containers(Path(folder))]
        cfg = ObjectCfg(mesh=files, rgba=[0.75, 0.25, 0.18, 1.0])
        env = make_env(load_task("desktop_organizer", objects={"ketchup": cfg}), "mujoco", num_envs=_NUM_TRIALS)
    env.reset(torch.arange(_NUM_TRIALS), Draws(1, torch.arange(_NUM_TRIALS)))
    numbers = env.object_mesh[:, 0].tolist()
    scene, drawn = PosedScene(env.task), []
    for env_id in (numbers.index(number) for number in range(len(files))):
        scene.set_state(trees.map(lambda leaf, env_id=env_id: leaf[env_id].numpy(), env.get_state()))
        drawn.append(_drawn(scene.model, scene.data, mujoco.MjvOption(), width=300, distance=0.6))
    iio.imwrite(OUT / "mesh_lists.png", np.concatenate(drawn, axis=1))


def _write_containers(folder: Path) -> Iterator[Path]:
    """Write the meshes of docs/meshes.md: two bottles, a can and a box."""
    meshes = {}
    for name, height in (("tall", 0.156), ("short", 0.1)):
        outline = [(0, 0), (0.027, 0), (0.027, 0.62 * height), (0.014, 0.77 * height), (0.014, height), (0, height)]
        meshes[name] = trimesh.creation.revolve(outline, sections=32)
    meshes["can"] = trimesh.creation.cylinder(radius=0.03, height=0.12, sections=48)
    meshes["box"] = trimesh.creation.box((0.06, 0.06, 0.12))
    for name, mesh in meshes.items():
        mesh.export(folder / f"{name}.obj")
        yield folder / f"{name}.obj"


def _drawn(model: Any, data: Any, option: Any, width: int = 480, distance: float = 0.42) -> Any:
    camera = mujoco.MjvCamera()
    camera.lookat, camera.distance, camera.azimuth, camera.elevation = (0.48, 0.09, 0.05), distance, 200.0, -35.0
    with mujoco.Renderer(model, 360, width) as renderer:
        renderer.update_scene(data, camera, option)
        return renderer.render().copy()
