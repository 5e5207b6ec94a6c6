"""Objects with parts on joints (drawers, doors, lids), as USD articulations for PhysX and Newton."""

import math
from collections.abc import Mapping, Sequence

from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics

from isaaclab_mimic_ext.envs.isaaclab.scene_objects import joint_name
from isaaclab_mimic_ext.envs.isaaclab.usd_bodies import Solid, add_body, set_pose
from isaaclab_mimic_ext.envs.panda.shape import Vec3
from isaaclab_mimic_ext.task.objects import SLIDE, JointedObject

_NO_ROTATION = (1.0, 0.0, 0.0, 0.0)


def add_articulation(
    stage: Usd.Stage,
    path: str,
    root: str,
    jointed: Sequence[JointedObject],
    solids: Mapping[str, Sequence[Solid]],
    is_fixed: bool,
) -> Usd.Prim:
    """Define an articulation at a prim path: a body for each object, with its name, and a joint for each object on a joint.

    All joints are at position 0, where all bodies have the axes of the root. A part may overlap its base, as a drawer in its
    rails does: within the articulation, bodies do not collide.

    Args:
        root: name of the object that carries the joints.
        jointed: objects on joints; each follows its base.
        solids: primitives of each object, by name.
        is_fixed: whether the root stays where a reset places it.
    """
    prim = UsdGeom.Xform.Define(stage, path).GetPrim()
    set_pose(prim, (0.0, 0.0, 0.0), _NO_ROTATION)
    UsdPhysics.ArticulationRootAPI.Apply(prim)
    prim.AddAppliedSchema("PhysxArticulationAPI")
    for name in ("physxArticulation:enabledSelfCollisions", "newton:selfCollisionEnabled"):
        prim.CreateAttribute(name, Sdf.ValueTypeNames.Bool, custom=True).Set(False)
    base = add_body(stage, f"{path}/{root}", solids[root])
    if is_fixed:
        anchor = UsdPhysics.FixedJoint.Define(stage, f"{path}/{joint_name(root)}")
        anchor.CreateBody1Rel().SetTargets([base.GetPath()])
    pos: dict[str, Vec3] = {root: (0.0, 0.0, 0.0)}
    for obj in jointed:
        x, y, z = pos[obj.base]
        pos[obj.name] = (x + obj.pos[0], y + obj.pos[1], z + obj.pos[2])
        body = add_body(stage, f"{path}/{obj.name}", solids[obj.name], pos[obj.name])
        _add_joint(stage, f"{path}/{joint_name(obj.name)}", f"{path}/{obj.base}", body, obj)
    return prim


def _add_joint(stage: Usd.Stage, path: str, base: str, body: Usd.Prim, obj: JointedObject) -> None:
    """Define the joint of a body. Its x axis is `obj.axis`: joints of USD move along an axis of their own frame."""
    slides = obj.kind == SLIDE
    joint = (UsdPhysics.PrismaticJoint if slides else UsdPhysics.RevoluteJoint).Define(stage, path)
    joint.CreateBody0Rel().SetTargets([Sdf.Path(base)])
    joint.CreateBody1Rel().SetTargets([body.GetPath()])
    along_axis = Gf.Quatf(Gf.Rotation(Gf.Vec3d.XAxis(), Gf.Vec3d(*obj.axis)).GetQuat())
    joint.CreateLocalPos0Attr(Gf.Vec3f(*obj.pos))
    joint.CreateLocalPos1Attr(Gf.Vec3f(0.0))
    joint.CreateLocalRot0Attr(along_axis)
    joint.CreateLocalRot1Attr(along_axis)
    joint.CreateAxisAttr(UsdGeom.Tokens.x)
    low, high = obj.limits if slides else map(math.degrees, obj.limits)
    joint.CreateLowerLimitAttr(low)
    joint.CreateUpperLimitAttr(high)
    # The actuators of Isaac Lab's configuration set the damping.
    drive = UsdPhysics.DriveAPI.Apply(joint.GetPrim(), "linear" if slides else "angular")
    drive.CreateTypeAttr(UsdPhysics.Tokens.force)
    drive.CreateStiffnessAttr(0.0)
