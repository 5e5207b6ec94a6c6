"""Picture of objects from meshes, and of their convex parts."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import imageio.v3 as iio
import mujoco
import numpy as np
from themes import OUT

from isaaclab_mimic_ext.config.compose import load_task
from isaaclab_mimic_ext.envs.mujoco_model import build_model
from isaaclab_mimic_ext.task.meshes import ObjectCfg
from tests.mesh_files import BOTTLE, CUP, write_solid

_PLACES = {"orange_juice": (0.48, 0.02), "ketchup": (0.48, 0.16)}
_HIDDEN = (0.0, 0.0, 0.0, 0.0)
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


def _drawn(model: Any, data: Any, option: Any) -> Any:
    camera = mujoco.MjvCamera()
    camera.lookat, camera.distance, camera.azimuth, camera.elevation = (0.48, 0.09, 0.05), 0.42, 200.0, -35.0
    with mujoco.Renderer(model, 360, 480) as renderer:
        renderer.update_scene(data, camera, option)
        return renderer.render().copy()
