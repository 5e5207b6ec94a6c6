"""Scene of a table-top task in Isaac Lab: spawning arms and objects, reading the state, writing initial states of trials."""

# N envs, n of them addressed, E arms, O objects, J = 9 joints of an arm (7 and two fingers)

import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from isaaclab.sim import SimulationContext
from isaaclab.sim.spawners.from_files import UsdFileCfg, spawn_from_usd
from isaaclab.sim.spawners.spawner_cfg import RigidObjectSpawnerCfg, SpawnerCfg
from isaaclab.sim.utils import clone, get_current_stage
from isaaclab.utils import configclass
from isaaclab_assets.robots.franka import FRANKA_PANDA_HIGH_PD_CFG
from pxr import Usd, UsdGeom, UsdPhysics
from torch import Tensor

from isaaclab_mimic_ext.envs.isaaclab import compat
from isaaclab_mimic_ext.envs.isaaclab.assets import is_readable
from isaaclab_mimic_ext.envs.isaaclab.compat import quat_is_xyzw
from isaaclab_mimic_ext.envs.isaaclab.panda_usd import write_panda_usd
from isaaclab_mimic_ext.envs.isaaclab.scene_objects import SceneObjects
from isaaclab_mimic_ext.envs.isaaclab.usd_articulations import add_articulation
from isaaclab_mimic_ext.envs.isaaclab.usd_bodies import Solid, add_body, add_shapes, set_pose
from isaaclab_mimic_ext.envs.panda.kinematics import EEF_OFFSET, NUM_ARM_JOINTS
from isaaclab_mimic_ext.envs.panda.shape import Part
from isaaclab_mimic_ext.kernels.bodies import BodyPoses
from isaaclab_mimic_ext.task.definition import JointedObject, SceneState, Task, load_task

log = logging.getLogger(__name__)

ARM_JOINTS = tuple(f"panda_joint{index + 1}" for index in range(NUM_ARM_JOINTS))

FINGER_JOINTS = ("panda_finger_joint1", "panda_finger_joint2")

HAND = "panda_hand"

_readers: WeakKeyDictionary[Any, "SceneReader"] = WeakKeyDictionary()


@cache
def cached_task(name: str) -> Task:
    """Task of that name; all callers share one object."""
    return load_task(name)


def scene_reader(env: Any, task_name: str) -> "SceneReader":
    """Reader of an Isaac Lab env's scene; one object per env."""
    if env not in _readers:
        _readers[env] = SceneReader(env, cached_task(task_name))
    return _readers[env]


class SceneReader:
    """Reader of the current state of an Isaac Lab env as a `SceneState`. Its assets have the names of arms and objects."""

    def __init__(self, env: Any, task: Task):
        self.task = task
        self._scene = env.scene
        self._arms = [env.scene[arm.name] for arm in task.arms]
        self.objects = SceneObjects(env.scene, task)
        names = [*ARM_JOINTS, *FINGER_JOINTS]
        self.joint_ids = [arm.find_joints(names, preserve_order=True)[0] for arm in self._arms]
        device = env.scene.env_origins.device
        self._joint_columns = [torch.tensor(ids, device=device) for ids in self.joint_ids]
        self._hands = [arm.find_bodies(HAND)[0][0] for arm in self._arms]
        reach = torch.tensor([EEF_OFFSET] * len(self._arms) + [0.0] * len(task.objects), device=device)
        self._body_poses = BodyPoses(env.num_envs, reach)

    def read(self) -> SceneState:
        """Current state of all envs, in the env frame."""
        arms = [arm.data for arm in self._arms]
        world = [compat.tensor(arm.body_link_pose_w)[:, hand] for arm, hand in zip(arms, self._hands, strict=True)]
        world += self.objects.world_poses()
        local, pose = self._body_poses([compat.pose_from_isaaclab(each) for each in world], self._scene.env_origins)
        object_joint_pos, object_joint_vel = self.objects.joints()
        return SceneState(
            joint_pos=self._joints([arm.joint_pos for arm in arms]),
            joint_vel=self._joints([arm.joint_vel for arm in arms]),
            eef_pose=pose[:, : len(arms)],
            object_pose=pose[:, len(arms) :],
            root_pose=local[:, len(arms) :],
            root_velocity=self.objects.velocities(),
            object_joint_pos=object_joint_pos,
            object_joint_vel=object_joint_vel,
        )

    def _joints(self, values: list[Any]) -> Tensor:
        """Values of the arms' joints, (N, E, J), from those of all joints of each articulation."""
        pairs = zip(values, self._joint_columns, strict=True)
        return torch.stack([compat.tensor(each).index_select(1, columns) for each, columns in pairs], dim=1)

    def write(self, env_ids: Tensor, joint_pos: Tensor, root_pose: Tensor, object_joint_pos: Tensor) -> None:
        """Write an initial state with zero velocities, env frame.

        Args:
            joint_pos: (n, E, J) [rad, m].
            root_pose: (n, O, 7), position [m] and quaternion xyzw of each object.
            object_joint_pos: (n, Q), of the objects on joints [m, rad].
        """
        for index, arm in enumerate(self._arms):
            position = joint_pos[:, index].contiguous()
            compat.write_joints(arm, position, torch.zeros_like(position), self.joint_ids[index], env_ids)
        self.objects.write(env_ids, root_pose, object_joint_pos)


NVIDIA_PANDA_USD: str = FRANKA_PANDA_HIGH_PD_CFG.spawn.usd_path


@clone
def spawn_articulation(prim_path: str, cfg: Any, translation: Any = None, orientation: Any = None, **_: Any) -> Usd.Prim:
    """Spawn an `ArticulationPartsCfg` from primitives, with the interface of Isaac Lab's spawners."""
    jointed = [JointedObject(**values) for values in cfg.jointed]
    solids = {name: _solids(parts) for name, parts in cfg.parts.items()}
    prim = add_articulation(get_current_stage(), prim_path, cfg.root, jointed, solids, cfg.is_fixed)
    _set_pose(prim, translation, orientation)
    return prim


def spawn_parts(prim_path: str, cfg: Any, translation: Any = None, orientation: Any = None, **kwargs: Any) -> Usd.Prim:
    """Spawn a `PartsCfg` from primitives, or from the file `cfg.usd_path`, with the interface of Isaac Lab's spawners."""
    if not cfg.usd_path:
        return _spawn_primitives(prim_path, cfg, translation, orientation, **kwargs)
    file = UsdFileCfg(usd_path=cfg.usd_path, scale=cfg.usd_scale, rigid_props=cfg.rigid_props)
    return spawn_from_usd(prim_path, file, translation, orientation, **kwargs)


@clone
def _spawn_primitives(prim_path: str, cfg: Any, translation: Any = None, orientation: Any = None, **_: Any) -> Usd.Prim:
    stage, solids = get_current_stage(), _solids(cfg.parts)
    if cfg.is_body:
        prim = add_body(stage, prim_path, solids)
        UsdPhysics.RigidBodyAPI(prim).CreateKinematicEnabledAttr(cfg.is_fixed)
    else:
        prim = UsdGeom.Xform.Define(stage, prim_path).GetPrim()
        add_shapes(prim, solids)
    _set_pose(prim, translation, orientation)
    if cfg.rigid_props is not None:
        compat.apply_rigid_body_properties(prim_path, cfg.rigid_props)
    return prim


def _solids(parts: Sequence[Any]) -> list[Solid]:
    # Isaac Lab's command lines convert configurations to plain containers and back, so a part may be a dict.
    return [Solid.from_part(part if isinstance(part, Part) else Part(**part)) for part in parts]


def _set_pose(prim: Usd.Prim, translation: Any, orientation: Any) -> None:
    x, y, z, w = _xyzw(orientation)
    set_pose(prim, tuple(translation or (0.0, 0.0, 0.0)), (w, x, y, z))


def _xyzw(orientation: Any) -> tuple[float, ...]:
    if orientation is None:
        return (0.0, 0.0, 0.0, 1.0)
    quat = tuple(float(value) for value in orientation)
    return quat if quat_is_xyzw() else (*quat[1:], quat[0])


@configclass
class PartsCfg(RigidObjectSpawnerCfg):
    """Spawner of one object made of primitives: a rigid body, or scenery that does not move."""

    func: Any = spawn_parts
    parts: tuple[Any, ...] = ()
    """Primitives, each an `isaaclab_mimic_ext.envs.panda.shape.Part`."""
    is_body: bool = True
    """True: a rigid body; false: scenery that does not move."""
    is_fixed: bool = False
    """Whether the body stays where a reset places it."""
    usd_path: str = ""
    """USD file (Nucleus or local path) used instead of the parts; its frame must be the task's frame of the object."""
    usd_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)


@configclass
class ArticulationPartsCfg(SpawnerCfg):
    """Spawner of an object with parts on joints, all made of primitives."""

    func: Any = spawn_articulation
    root: str = ""
    """Name of the object that carries the joints."""
    jointed: tuple[Any, ...] = ()
    """Objects on joints, each as the arguments of a `JointedObject`."""
    parts: dict[str, Any] = field(default_factory=dict)
    """Primitives, each a `Part`, by the name of the object."""
    is_fixed: bool = False
    """Whether the root stays where a reset places it."""


def spawn_panda(prim_path: str, cfg: Any, translation: Any = None, orientation: Any = None, **kwargs: Any) -> Usd.Prim:
    """Spawn the arm in `cfg.usd_path`. If NVIDIA's arm is not reachable, or without Isaac Sim, use the arm of primitives.

    Newton compensates gravity only for bodies whose USD file sets gravity compensation, and NVIDIA's file does not.
    """
    if cfg.usd_path == NVIDIA_PANDA_USD and (not _runs_in_isaac_sim() or not is_readable(cfg.usd_path)):
        local = write_panda_usd(_cache_folder() / "panda.usda")
        log.info("Using the arm of primitives, %s, instead of %s", local, cfg.usd_path)
        cfg.usd_path = str(local)
    return spawn_from_usd(prim_path, cfg, translation, orientation, **kwargs)


def _runs_in_isaac_sim() -> bool:
    physics = getattr(SimulationContext.instance().cfg, "physics", None)
    return physics is None or type(physics).__name__ == "PhysxCfg"


def _cache_folder() -> Path:
    """Folder for the arm's USD file: in the user's cache folder, or in the temporary folder if that is not writable."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parent = next((folder for folder in (caches, caches.parent) if folder.is_dir()), caches)
    return (caches if os.access(parent, os.W_OK) else Path(tempfile.gettempdir())) / "isaaclab_mimic_ext"
