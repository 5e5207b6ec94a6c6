"""MuJoCo model of a Panda, built from primitives and the published kinematics. Requires MuJoCo at import."""

# Frames: link i is the Denavit-Hartenberg frame of joint i; hand: z points out of the palm, fingers slide along y

import math

import mujoco
import numpy as np

from isaaclab_mimic_ext.envs.panda.kinematics import (
    DH_PARAMETERS,
    EEF_OFFSET,
    FINGER_OPEN,
    FLANGE_OFFSET,
    HAND_YAW,
    JOINT_LIMITS,
    NUM_ARM_JOINTS,
)
from isaaclab_mimic_ext.envs.panda.shape import (
    ARMATURE,
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
    JOINT_DAMPING,
    LINK_MASS,
    SHELLS,
    STIFFNESS,
    TORQUE_LIMIT,
    WHITE,
    Part,
)
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.task.definition import Arm

GRIP_SOLREF = (0.004, 1.0)
"""Contact time constant [s] and damping ratio of pads and graspable objects. With MuJoCo's default, objects slip out."""
VISUAL_GROUP, COLLISION_GROUP = 2, 3
FINGER_SITES = {"finger1": "finger1_surface", "finger2": "finger2_surface"}
"""Body of a finger -> site of its inner surface."""

_MAX_ARMS = 8
_GEOM_TYPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
}


def add_panda(spec: mujoco.MjSpec, arm: Arm) -> None:
    """Add an arm to a scene: bodies, actuators, camera `wrist` and site `eef`, with names that begin with `<arm.name>/`.

    Raises:
        ConfigError: the scene already has 8 arms.
    """
    bits = collision_bits(spec)
    half_yaw = 0.5 * arm.base_yaw
    body = spec.worldbody.add_body(
        name=f"{arm.name}/link0", pos=arm.base_pos, quat=(math.cos(half_yaw), 0.0, 0.0, math.sin(half_yaw))
    )
    _add_shells(body, 0, bits)
    for index, (a, d, alpha) in enumerate(DH_PARAMETERS):
        body = body.add_body(
            name=f"{arm.name}/link{index + 1}",
            pos=(a, -math.sin(alpha) * d, math.cos(alpha) * d),
            quat=(math.cos(alpha / 2), math.sin(alpha / 2), 0.0, 0.0),
            gravcomp=1.0,
        )
        body.add_joint(
            name=f"{arm.name}/joint{index + 1}",
            axis=(0, 0, 1),
            range=JOINT_LIMITS[index],
            armature=ARMATURE,
            damping=JOINT_DAMPING,
        )
        _add_shells(body, index + 1, bits)
    _add_hand(spec, body, arm.name, bits)
    _add_actuators(spec, arm.name)


def add_finger_sites(spec: mujoco.MjSpec, arm: Arm) -> None:
    """Add sites whose positions are those of the fingers, see `Robot.finger_sites`."""
    for finger, site in FINGER_SITES.items():
        spec.body(f"{arm.name}/{finger}").add_site(name=f"{arm.name}/{site}", size=(0.003, 0, 0), group=4)


def add_part(body: mujoco.MjsBody, part: Part) -> mujoco.MjsGeom:
    """Add the geom of a part to a body, with its shape, color and mass."""
    x, y, z = part.size_along_axis
    size = (x, z, 0.0) if part.kind == "cylinder" else (x, y, z)
    geom = body.add_geom(type=_GEOM_TYPES[part.kind], size=size, pos=part.pos, quat=part.quat_wxyz, mass=part.mass)
    if part.rgba is not None:
        geom.rgba = part.rgba
    return geom


def collision_bits(spec: mujoco.MjSpec) -> tuple[int, int]:
    """MuJoCo's contype and conaffinity of the next arm of a scene.

    An arm collides with objects and the table (contype 1) and with the other arms, but not with itself.

    Raises:
        ConfigError: there are more arms than bits.
    """
    index = sum(site.name.endswith("/eef") for site in spec.sites)
    if index >= _MAX_ARMS:
        raise ConfigError(f"arms: must be <= {_MAX_ARMS} in a MuJoCo scene (got >= {index + 1}); remove arms from the task")
    own = 1 << index if index else 0
    of_later_arms = sum(1 << later for later in range(index + 1, _MAX_ARMS))
    return own, 1 | of_later_arms


def _add_shells(body: mujoco.MjsBody, link: int, bits: tuple[int, int]) -> None:
    shells = [shell for shell in SHELLS if shell[0] == link]
    own_bits = bits if link >= FIRST_COLLIDING_LINK else (0, 0)
    for _, start, end, radius in shells:
        geom = body.add_geom(type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=(*start, *end), size=(radius, 0, 0), rgba=WHITE)
        geom.mass = LINK_MASS[link - 1] / len(shells) if link else 0.0
        _set_collision(geom, own_bits)
    for _, center, axis, radius, half_length in (disc for disc in DISCS if disc[0] == link):
        ends = np.add(center, np.outer((-half_length, half_length), axis))
        geom = body.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, fromto=ends.ravel(), size=(radius, 0, 0), rgba=GREY)
        geom.mass = 0.0
        _set_collision(geom)


def _set_collision(geom: mujoco.MjsGeom, bits: tuple[int, int] = (0, 0)) -> None:
    geom.contype, geom.conaffinity = bits
    geom.group = VISUAL_GROUP


def _add_hand(spec: mujoco.MjSpec, flange: mujoco.MjsBody, prefix: str, bits: tuple[int, int]) -> None:
    hand = flange.add_body(
        name=f"{prefix}/hand",
        pos=(0.0, 0.0, FLANGE_OFFSET),
        quat=(math.cos(HAND_YAW / 2), 0.0, 0.0, math.sin(HAND_YAW / 2)),
        gravcomp=1.0,
    )
    for part in HAND_PARTS:
        _set_collision(add_part(hand, part), bits if part.solid else (0, 0))
    # Next to the palm, low enough that the palm is not in view, tilted towards the finger tips.
    hand.add_camera(name=f"{prefix}/wrist", pos=(0.08, 0.0, 0.055), xyaxes=(0, 1, 0, 0.82, 0, 0.57), fovy=75)
    hand.add_site(name=f"{prefix}/eef", pos=(0.0, 0.0, EEF_OFFSET), size=(0.003, 0, 0), group=4)
    for index, yaw in enumerate((0.0, math.pi)):
        _add_finger(hand, f"{prefix}/finger{index + 1}", yaw, bits)
    # The two fingers of a Panda move together. Without this coupling a held object could shift to one side.
    spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT,
        name=f"{prefix}/fingers",
        name1=f"{prefix}/finger1",
        name2=f"{prefix}/finger2",
        data=[0.0, 1.0, *[0.0] * (mujoco.mjNEQDATA - 2)],
        objtype=mujoco.mjtObj.mjOBJ_JOINT,
        solref=(FINGER_COUPLING_TIME, 1.0),
    )


def _add_finger(hand: mujoco.MjsBody, name: str, yaw: float, bits: tuple[int, int]) -> None:
    quat = (math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))
    finger = hand.add_body(name=name, pos=(0.0, 0.0, FINGER_BASE), quat=quat, gravcomp=1.0)
    finger.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=(0, 1, 0),
        range=(0.0, FINGER_OPEN),
        armature=ARMATURE,
        damping=JOINT_DAMPING,
    )
    for part in FINGER_PARTS:
        geom = add_part(finger, part)
        _set_collision(geom, bits if part.solid else (0, 0))
        if part.grips:
            geom.name = f"{name}_pad"
            geom.condim, geom.solref = 4, GRIP_SOLREF
            geom.friction = (1.0, 0.02, 0.0001)


def _add_actuators(spec: mujoco.MjSpec, prefix: str) -> None:
    joint = mujoco.mjtTrn.mjTRN_JOINT
    for index in range(NUM_ARM_JOINTS):
        name, stiffness, torque = f"{prefix}/joint{index + 1}", STIFFNESS[index], TORQUE_LIMIT[index]
        motor = spec.add_actuator(name=name, trntype=joint, target=name, forcerange=(-torque, torque))
        motor.set_to_position(kp=stiffness, kv=DAMPING_TIME * stiffness)
        motor.ctrlrange = JOINT_LIMITS[index]
    for index in (1, 2):
        name = f"{prefix}/finger{index}"
        motor = spec.add_actuator(name=name, trntype=joint, target=name, forcerange=(-FINGER_FORCE, FINGER_FORCE))
        motor.set_to_position(kp=FINGER_STIFFNESS, kv=FINGER_DAMPING)
        motor.ctrlrange = (0.0, FINGER_OPEN)
