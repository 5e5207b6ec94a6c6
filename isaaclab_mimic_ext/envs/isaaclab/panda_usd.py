"""USD file of a Franka Panda made of primitives, for PhysX and Newton, with the body and joint names of Isaac Lab's Franka.

Isaac Lab's Franka is stored on NVIDIA's servers. This file is created locally, from the parameters of the MuJoCo model.
"""

# Frames: link i is the Denavit-Hartenberg frame of joint i; hand: z points out of the palm, the left finger slides along y

import math
from pathlib import Path

from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics

from isaaclab_mimic_ext.envs.isaaclab.usd_bodies import Solid, add_body, set_pose
from isaaclab_mimic_ext.envs.panda.kinematics import DH_PARAMETERS, FINGER_OPEN, FLANGE_OFFSET, HAND_YAW, JOINT_LIMITS
from isaaclab_mimic_ext.envs.panda.shape import (
    DAMPING_TIME,
    DISCS,
    FINGER_BASE,
    FINGER_COUPLING_TIME,
    FINGER_DAMPING,
    FINGER_FORCE,
    FINGER_PARTS,
    FINGER_STIFFNESS,
    FIRST_COLLIDING_LINK,
    GREY,
    HAND_PARTS,
    LINK_MASS,
    SHELLS,
    STIFFNESS,
    TORQUE_LIMIT,
    WHITE,
)
from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.writing import replacing

_ROOT = "/panda"
_BASE_MASS = 3.0
"""Mass of the base [kg]. The base does not move, so any value above zero is valid."""
_Quat = tuple[float, float, float, float]


def write_panda_usd(path: str | Path) -> Path:
    """Write the arm to a `.usd`, `.usda` or `.usdc` file and return its path. An existing file is replaced.

    Bodies: `panda_link0` .. `panda_link7`, `panda_hand`, `panda_leftfinger`, `panda_rightfinger`; joints: `panda_joint1` ..
    `panda_joint7`, `panda_finger_joint1` and `2`. The origin of the file is the frame of the base.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, _ROOT).GetPrim()
    stage.SetDefaultPrim(root)
    UsdPhysics.ArticulationRootAPI.Apply(root)
    root.CreateAttribute("newton:selfCollisionEnabled", Sdf.ValueTypeNames.Bool, custom=True).Set(False)
    UsdGeom.Scope.Define(stage, f"{_ROOT}/joints")
    _add_arm(stage)
    _add_hand(stage)
    with replacing(path, kind=OutputError, keep_suffix=True, several_writers=True) as part:
        stage.GetRootLayer().Export(str(part))
    return path


def _add_arm(stage: Usd.Stage) -> None:
    base = add_body(stage, f"{_ROOT}/panda_link0", _link_solids(0), mass=_BASE_MASS)
    fixed = UsdPhysics.FixedJoint.Define(stage, f"{_ROOT}/joints/root_joint")
    fixed.CreateBody1Rel().SetTargets([base.GetPath()])
    pose = Gf.Matrix4d(1.0)
    for index, (a, d, alpha) in enumerate(DH_PARAMETERS):
        pos = (a, -math.sin(alpha) * d, math.cos(alpha) * d)
        quat = (math.cos(alpha / 2), math.sin(alpha / 2), 0.0, 0.0)
        pose = _pose(pos, quat) * pose
        link = _add_link(stage, f"panda_link{index + 1}", _link_solids(index + 1), pose)
        joint = UsdPhysics.RevoluteJoint.Define(stage, f"{_ROOT}/joints/panda_joint{index + 1}")
        _connect(joint, f"{_ROOT}/panda_link{index}", link, pos, quat)
        joint.CreateAxisAttr(UsdGeom.Tokens.z)
        low, high = (math.degrees(limit) for limit in JOINT_LIMITS[index])
        joint.CreateLowerLimitAttr(low)
        joint.CreateUpperLimitAttr(high)
        per_degree = math.radians(STIFFNESS[index])
        _drive(joint, "angular", per_degree, DAMPING_TIME * per_degree, TORQUE_LIMIT[index])


def _link_solids(link: int) -> list[Solid]:
    shells = [shell for shell in SHELLS if shell[0] == link]
    mass = LINK_MASS[link - 1] / len(shells) if link else 0.0
    collides = link >= FIRST_COLLIDING_LINK
    solids = [Solid.between("capsule", start, end, radius, WHITE, mass, collides) for _, start, end, radius in shells]
    for _, center, axis, radius, half_length in (disc for disc in DISCS if disc[0] == link):
        start, end = (
            (center[0] + shift * axis[0], center[1] + shift * axis[1], center[2] + shift * axis[2])
            for shift in (-half_length, half_length)
        )
        solids.append(Solid.between("cylinder", start, end, radius, GREY, 0.0, False))
    return solids


def _add_hand(stage: Usd.Stage) -> None:
    flange = stage.GetPrimAtPath(f"{_ROOT}/panda_link7")
    flange_pose = UsdGeom.Xformable(flange).GetLocalTransformation()
    pos, quat = (0.0, 0.0, FLANGE_OFFSET), (math.cos(HAND_YAW / 2), 0.0, 0.0, math.sin(HAND_YAW / 2))
    hand_pose = _pose(pos, quat) * flange_pose
    hand = _add_link(stage, "panda_hand", [Solid.from_part(part) for part in HAND_PARTS], hand_pose)
    _connect(UsdPhysics.FixedJoint.Define(stage, f"{_ROOT}/joints/panda_hand_joint"), flange.GetPath(), hand, pos, quat)
    joints = []
    for index, side in enumerate(("left", "right")):
        solids = [Solid.from_part(part, mirrored=side == "right") for part in FINGER_PARTS]
        finger = _add_link(stage, f"panda_{side}finger", solids, _pose((0, 0, FINGER_BASE), (1, 0, 0, 0)) * hand_pose)
        joint = UsdPhysics.PrismaticJoint.Define(stage, f"{_ROOT}/joints/panda_finger_joint{index + 1}")
        # The y axis of the right finger points inward, but the finger opens outward: its joint is rotated by pi about z.
        turn: _Quat = (1.0, 0.0, 0.0, 0.0) if side == "left" else (0.0, 0.0, 0.0, 1.0)
        _connect(joint, hand.GetPath(), finger, (0.0, 0.0, FINGER_BASE), turn, turn)
        joint.CreateAxisAttr(UsdGeom.Tokens.y)
        joint.CreateLowerLimitAttr(0.0)
        joint.CreateUpperLimitAttr(FINGER_OPEN)
        _drive(joint, "linear", FINGER_STIFFNESS, FINGER_DAMPING, FINGER_FORCE)
        joints.append(joint.GetPrim())
    _couple_fingers(*joints)


def _add_link(stage: Usd.Stage, name: str, solids: list[Solid], pose: Gf.Matrix4d) -> Usd.Prim:
    """Define the body of a link at `pose`, its pose in the frame of the base when all joints are at zero."""
    prim = add_body(stage, f"{_ROOT}/{name}", solids)
    quat = pose.ExtractRotationQuat()
    set_pose(prim, tuple(pose.ExtractTranslation()), (quat.GetReal(), *quat.GetImaginary()))
    # Attribute of MuJoCo, read by Newton, whose articulations do not support `disable_gravity`.
    prim.CreateAttribute("mjc:gravcomp", Sdf.ValueTypeNames.Float, custom=True).Set(1.0)
    return prim


def _pose(pos: tuple[float, ...], quat_wxyz: tuple[float, ...]) -> Gf.Matrix4d:
    """Pose matrix for row vectors, as in pxr: `child * parent` is the pose of the child in the parent's parent."""
    return Gf.Matrix4d(Gf.Rotation(Gf.Quatd(*quat_wxyz)), Gf.Vec3d(*pos))


def _connect(
    joint: UsdPhysics.Joint,
    parent: object,
    child: Usd.Prim,
    pos: tuple[float, ...],
    quat: _Quat,
    child_quat: _Quat = (1, 0, 0, 0),
) -> None:
    joint.CreateBody0Rel().SetTargets([Sdf.Path(str(parent))])
    joint.CreateBody1Rel().SetTargets([child.GetPath()])
    joint.CreateLocalPos0Attr(Gf.Vec3f(*pos))
    joint.CreateLocalRot0Attr(Gf.Quatf(*quat))
    joint.CreateLocalPos1Attr(Gf.Vec3f(0.0))
    joint.CreateLocalRot1Attr(Gf.Quatf(*child_quat))


def _drive(joint: UsdPhysics.Joint, kind: str, stiffness: float, damping: float, max_force: float) -> None:
    drive = UsdPhysics.DriveAPI.Apply(joint.GetPrim(), kind)
    drive.CreateTypeAttr(UsdPhysics.Tokens.force)
    drive.CreateStiffnessAttr(stiffness)
    drive.CreateDampingAttr(damping)
    drive.CreateMaxForceAttr(max_force)


def _couple_fingers(first: Usd.Prim, second: Usd.Prim) -> None:
    """Couple both fingers, so that they move together as in a Panda. Otherwise held objects slide between them."""
    first.AddAppliedSchema("MjcEqualityJointAPI")
    first.CreateRelationship("mjc:target", custom=True).SetTargets([second.GetPath()])
    for index in range(5):
        first.CreateAttribute(f"mjc:coef{index}", Sdf.ValueTypeNames.Float, custom=True).Set(float(index == 1))
    solref = first.CreateAttribute("mjc:solref", Sdf.ValueTypeNames.Float2, custom=True)
    solref.Set(Gf.Vec2f(FINGER_COUPLING_TIME, 1.0))
    # PhysX: first + gearing * second = 0. Newton ignores it next to MjcEqualityJointAPI.
    first.AddAppliedSchema("PhysxMimicJointAPI:rotX")
    first.CreateRelationship("physxMimicJoint:rotX:referenceJoint", custom=False).SetTargets([second.GetPath()])
    first.CreateAttribute("physxMimicJoint:rotX:gearing", Sdf.ValueTypeNames.Float, custom=False).Set(-1.0)
