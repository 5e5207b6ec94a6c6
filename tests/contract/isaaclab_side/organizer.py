"""Configuration and USD prims of the desktop organizer in Isaac Lab 2.3."""

# B bodies; quaternions of pxr are (w, x, y, z)

from importlib import import_module
from typing import Any

import numpy as np
import torch
from isaaclab.utils.math import matrix_from_quat
from pxr import Gf, Usd, UsdGeom, UsdPhysics, UsdValidation

from isaaclab_mimic_ext.config.isaaclab import mimic_fields_of
from isaaclab_mimic_ext.envs.isaaclab import compat
from isaaclab_mimic_ext.envs.isaaclab.panda_usd import write_panda_usd
from isaaclab_mimic_ext.envs.isaaclab.usd_bodies import Solid, add_body
from isaaclab_mimic_ext.tasks.desktop_organizer.isaaclab.env_cfg import FrankaDesktopOrganizerIKRelMimicEnvCfg
from isaaclab_mimic_ext.tasks.desktop_organizer.parts import OBJECT_PARTS


def configuration(_: None) -> dict[str, Any]:
    """Compared parts of the env's configuration, as plain data."""
    cfg: Any = FrankaDesktopOrganizerIKRelMimicEnvCfg()
    robot, actions, policy = cfg.scene.robot, cfg.actions, cfg.observations.policy
    return {
        "mimic": mimic_fields_of(cfg),
        "observations": [name for name, term in vars(policy).items() if hasattr(term, "func")],
        "actions": list(vars(actions)),
        "scale": tuple(actions.arm_action.scale),
        "offset": tuple(actions.arm_action.body_offset.pos),
        "body": actions.arm_action.body_name,
        "home": dict(robot.init_state.joint_pos),
        "stiffness": {**robot.actuators["panda_arm"].stiffness},
        "dt": cfg.sim.dt * cfg.decimation,
        "object_pos": {name: tuple(getattr(cfg.scene, name).init_state.pos) for name in OBJECT_PARTS},
        "events": {name: (event.asset, event.pose_range, event.joint_std) for name, event in cfg.trial_events.items()},
    }


def quaternions(quat_xyzw: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Rotations (n, 3, 3) that Isaac Lab reads from converted quaternions (n, 4), and the quaternions converted back."""
    quat = torch.from_numpy(quat_xyzw)
    pose = torch.cat((torch.zeros(len(quat), 3), quat), dim=-1)
    tree = {"eef_quat": quat, "robot": {"root_pose": pose}, "object": torch.cat((pose, pose), dim=-1)}
    declared = {"object": (3, 10)}
    theirs = compat.tree_to_isaaclab(tree, declared)
    back = compat.tree_from_isaaclab(theirs, declared)

    def found(tree: dict[str, Any]) -> dict[str, torch.Tensor]:
        objects = {f"object {first}": tree["object"][:, first : first + 4] for first in declared["object"]}
        return {"eef_quat": tree["eef_quat"], "root_pose": tree["robot"]["root_pose"][:, 3:], **objects}

    return (
        {name: matrix_from_quat(value).numpy() for name, value in found(theirs).items()},
        {name: value.numpy() for name, value in found(back).items()},
    )


def panda(path: str) -> dict[str, Any]:
    """Content of the arm's USD file: errors of USD's validators, bodies and joints by name."""
    stage = Usd.Stage.Open(str(write_panda_usd(path)))
    prims = {prim.GetName(): prim for prim in stage.Traverse()}
    bodies = {name: prim for name, prim in prims.items() if prim.HasAPI(UsdPhysics.RigidBodyAPI)}
    joints = {name: UsdPhysics.Joint(prim) for name, prim in prims.items() if prim.IsA(UsdPhysics.Joint)}
    return {
        "validation_errors": _validation_errors(stage),
        "root_is_articulation": stage.GetDefaultPrim().HasAPI(UsdPhysics.ArticulationRootAPI),
        "bodies": {name: _body(prim) for name, prim in bodies.items()},
        "joints": {name: _joint(joint) for name, joint in joints.items()},
    }


def _validation_errors(stage: Usd.Stage) -> list[str]:
    """Errors reported by USD's validators of geometry and physics."""
    registry = UsdValidation.ValidationRegistry()
    names = [
        data.name for data in registry.GetAllValidatorMetadata() if "physics" in data.name.lower() or "Geom" in data.name
    ]
    assert any("ArticulationChecker" in name for name in names)
    context = UsdValidation.ValidationContext(registry.GetOrLoadValidatorsByName(names))
    return [f"{error.GetName()}: {error.GetMessage()}" for error in context.Validate(stage)]


def objects(task_name: str) -> dict[str, dict[str, Any]]:
    """Mass, inertia and colliders of a task's objects, name -> the same entries as for a body of `panda`."""
    stage = Usd.Stage.CreateInMemory()
    parts_of_objects = import_module(f"isaaclab_mimic_ext.tasks.{task_name}.parts").OBJECT_PARTS
    return {
        name: _body(add_body(stage, f"/{name}", [Solid.from_part(part) for part in parts]))
        for name, parts in parts_of_objects.items()
    }


def _body(prim: Usd.Prim) -> dict[str, Any]:
    api = UsdPhysics.MassAPI(prim)
    rot = _rotation(Gf.Quatd(api.GetPrincipalAxesAttr().Get()))
    moments = np.array(api.GetDiagonalInertiaAttr().Get())
    pose = UsdGeom.Xformable(prim).GetLocalTransformation()
    return {
        "mass": api.GetMassAttr().Get(),
        "center": np.array(api.GetCenterOfMassAttr().Get()),
        "inertia": rot @ np.diag(moments) @ rot.T,
        "pose": np.array(pose).T,
        "num_colliders": sum(child.HasAPI(UsdPhysics.CollisionAPI) for child in prim.GetChildren()),
        "gravcomp": prim.GetAttribute("mjc:gravcomp").Get() if prim.HasAttribute("mjc:gravcomp") else 0.0,
    }


def _joint(joint: UsdPhysics.Joint) -> dict[str, Any]:
    prim = joint.GetPrim()
    kind = "linear" if prim.IsA(UsdPhysics.PrismaticJoint) else "angular"
    drive = UsdPhysics.DriveAPI(prim, kind)
    typed = UsdPhysics.PrismaticJoint(prim) if kind == "linear" else UsdPhysics.RevoluteJoint(prim)
    moves = prim.HasAPI(UsdPhysics.DriveAPI)
    return {
        "parent": [path.name for path in joint.GetBody0Rel().GetTargets()],
        "child": [path.name for path in joint.GetBody1Rel().GetTargets()],
        "frame_in_parent": _frame(joint.GetLocalPos0Attr().Get(), joint.GetLocalRot0Attr().Get()),
        "frame_in_child": _frame(joint.GetLocalPos1Attr().Get(), joint.GetLocalRot1Attr().Get()),
        "kind": kind if moves else "fixed",
        "axis": typed.GetAxisAttr().Get() if moves else None,
        "limits": (typed.GetLowerLimitAttr().Get(), typed.GetUpperLimitAttr().Get()) if moves else None,
        "drive": (drive.GetStiffnessAttr().Get(), drive.GetDampingAttr().Get(), drive.GetMaxForceAttr().Get()),
    }


def _frame(pos: Any, quat: Any) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = _rotation(Gf.Quatd(quat or Gf.Quatf(1.0)))
    pose[:3, 3] = pos or (0.0, 0.0, 0.0)
    return pose


def _rotation(quat: Gf.Quatd) -> np.ndarray:
    return np.array(Gf.Matrix3d(quat)).T
