"""Spawners for Isaac Lab: bodies of primitives, and the Panda wherever NVIDIA's servers cannot be reached."""

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from isaaclab.sim import SimulationContext, schemas
from isaaclab.sim.spawners.from_files import UsdFileCfg, spawn_from_usd
from isaaclab.sim.spawners.spawner_cfg import RigidObjectSpawnerCfg
from isaaclab.sim.utils import clone, get_current_stage
from isaaclab.utils import configclass
from isaaclab_assets.robots.franka import FRANKA_PANDA_HIGH_PD_CFG
from pxr import Usd, UsdGeom

from isaaclab_mimic_ext.envs.isaaclab.compat import quat_is_xyzw
from isaaclab_mimic_ext.envs.isaaclab.panda_usd import write_panda_usd
from isaaclab_mimic_ext.envs.isaaclab.usd_bodies import Solid, add_body, add_shapes, set_pose
from isaaclab_mimic_ext.envs.parts import Part

log = logging.getLogger(__name__)

NVIDIAS_PANDA: str = FRANKA_PANDA_HIGH_PD_CFG.spawn.usd_path


def spawn_parts(prim_path: str, cfg: Any, translation: Any = None, orientation: Any = None, **kwargs: Any) -> Usd.Prim:
    """Spawn a `PartsCfg`, of primitives or from the file that it names, as Isaac Lab's own spawners do."""
    if not cfg.usd_path:
        return _spawn_primitives(prim_path, cfg, translation, orientation, **kwargs)
    file = UsdFileCfg(usd_path=cfg.usd_path, scale=cfg.usd_scale, rigid_props=cfg.rigid_props)
    return spawn_from_usd(prim_path, file, translation, orientation, **kwargs)


@clone
def _spawn_primitives(prim_path: str, cfg: Any, translation: Any = None, orientation: Any = None, **_: Any) -> Usd.Prim:
    stage = get_current_stage()
    # Isaac Lab's command lines make plain containers of configurations and back.
    solids = [Solid.of(part if isinstance(part, Part) else Part(**part)) for part in cfg.parts]
    if cfg.is_body:
        prim = add_body(stage, prim_path, solids)
    else:
        prim = UsdGeom.Xform.Define(stage, prim_path).GetPrim()
        add_shapes(prim, solids)
    x, y, z, w = _xyzw(orientation)
    set_pose(prim, tuple(translation or (0.0, 0.0, 0.0)), (w, x, y, z))
    if cfg.rigid_props is not None:
        schemas.modify_rigid_body_properties(prim_path, cfg.rigid_props)
    return prim


def _xyzw(orientation: Any) -> tuple[float, ...]:
    if orientation is None:
        return (0.0, 0.0, 0.0, 1.0)
    quat = tuple(float(value) for value in orientation)
    return quat if quat_is_xyzw() else (*quat[1:], quat[0])


@configclass
class PartsCfg(RigidObjectSpawnerCfg):
    """One rigid body, or scenery that stands still, of primitives."""

    func: Any = spawn_parts
    parts: tuple[Any, ...] = ()
    """`isaaclab_mimic_ext.envs.parts.Part`s."""
    is_body: bool = True
    """Whether it can move."""
    usd_path: str = ""
    """A USD file, from Nucleus or a disk, in place of the parts; its frame must be where the task has the object's."""
    usd_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)


def spawn_panda(prim_path: str, cfg: Any, translation: Any = None, orientation: Any = None, **kwargs: Any) -> Usd.Prim:
    """Spawn the arm that `cfg.usd_path` names; the one of primitives in place of NVIDIA's, where that cannot be had or used.

    Newton cannot use it: it holds an arm up only if its USD file asks for gravity compensation.
    """
    if cfg.usd_path == NVIDIAS_PANDA and (_runs_on_newton() or not _is_reachable(cfg.usd_path)):
        local = write_panda_usd(_cache_folder() / "panda.usda")
        log.info("Using the arm of primitives, %s, in place of %s", local, cfg.usd_path)
        cfg.usd_path = str(local)
    return spawn_from_usd(prim_path, cfg, translation, orientation, **kwargs)


def _runs_on_newton() -> bool:
    physics = getattr(SimulationContext.instance().cfg, "physics", None)
    return type(physics).__name__ == "NewtonCfg"


def _is_reachable(usd_path: str) -> bool:
    from isaaclab.utils.assets import check_file_path

    try:
        return bool(check_file_path(usd_path))
    except (ImportError, OSError):
        return False


def _cache_folder() -> Path:
    """Where the arm's file may lie; the machine's temporary folder where the user's own cannot be written to."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parent = next((folder for folder in (caches, caches.parent) if folder.is_dir()), caches)
    return (caches if os.access(parent, os.W_OK) else Path(tempfile.gettempdir())) / "isaaclab_mimic_ext"
