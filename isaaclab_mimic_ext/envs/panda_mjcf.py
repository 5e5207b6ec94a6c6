"""A Panda of primitives for MuJoCo, from the published kinematics. Imported by scene modules, late."""

# Frames: link i is joint i's Denavit-Hartenberg frame; hand: z out of the palm, fingers slide along y

import math

import mujoco
import numpy as np

from isaaclab_mimic_ext.envs.panda import (
    DH_PARAMETERS,
    EEF_OFFSET,
    FINGER_OPEN,
    FLANGE_OFFSET,
    HAND_YAW,
    JOINT_LIMITS,
    NUM_ARM_JOINTS,
)
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.task import Arm

GRIP_SOLREF = (0.004, 1.0)
"""Contact time constant [s] and damping ratio of pads and what they grip: by default things squirt out."""
VISUAL_GROUP, COLLISION_GROUP = 2, 3

_WHITE = (0.93, 0.93, 0.94, 1.0)
_GREY = (0.28, 0.29, 0.31, 1.0)
_PAD = (0.12, 0.12, 0.13, 1.0)
_LINK_MASS = (4.97, 0.65, 3.23, 3.59, 1.23, 1.67, 0.74)
_HAND_MASS, _FINGER_MASS = 0.73, 0.02
_STIFFNESS = (4500.0, 4500.0, 3500.0, 3500.0, 2000.0, 2000.0, 2000.0)
_DAMPING_TIME = 0.05
"""Damping over stiffness of the arm's position controllers [s]."""
_TORQUE_LIMIT = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)
_FINGER_STIFFNESS, _FINGER_DAMPING, _FINGER_FORCE = 2000.0, 40.0, 20.0
_FINGER_BASE = 0.0584
"""From the hand to the fingers, along z [m]."""

# (link, from, to, radius) [m]; the shells that make it look like a Panda. Link 0 is the base.
_SHELLS = (
    (0, (-0.10, 0.0, 0.05), (0.01, 0.0, 0.05), 0.075),
    (0, (0.0, 0.0, 0.05), (0.0, 0.0, 0.12), 0.075),
    (1, (0.0, 0.0, -0.19), (0.0, 0.0, -0.02), 0.062),
    (1, (0.0, -0.06, 0.0), (0.0, 0.05, 0.0), 0.062),
    (2, (0.0, 0.0, -0.01), (0.0, 0.0, 0.07), 0.060),
    (2, (0.0, -0.17, 0.05), (0.0, -0.03, 0.05), 0.060),
    (3, (0.0, 0.0, -0.14), (0.0, 0.0, -0.05), 0.060),
    (3, (0.0825, -0.05, 0.0), (0.0825, 0.05, 0.0), 0.055),
    (3, (0.0, 0.0, -0.06), (0.0825, 0.0, 0.0), 0.055),
    (4, (0.0, 0.0, -0.06), (0.0, 0.0, 0.06), 0.055),
    (4, (0.0, 0.0, 0.0), (-0.0825, 0.10, 0.0), 0.052),
    (5, (0.0, 0.0, -0.29), (0.0, 0.0, -0.20), 0.055),
    (5, (0.0, 0.075, -0.20), (0.0, 0.08, -0.05), 0.026),
    (5, (0.0, 0.02, -0.22), (0.0, 0.07, -0.16), 0.045),
    (6, (0.0, 0.0, -0.07), (0.0, 0.0, 0.03), 0.050),
    (6, (0.0, 0.0, 0.0), (0.088, 0.0, 0.0), 0.046),
    (7, (0.0, 0.0, -0.02), (0.0, 0.0, 0.07), 0.042),
)
# (link, centre, axis, radius, half length) [m]; the grey discs on the joints.
_DISCS = (
    (1, (0.0, 0.0, 0.0), (0.0, 1.0, 0.0), 0.056, 0.117),
    (3, (0.0825, 0.0, 0.0), (0.0, 1.0, 0.0), 0.046, 0.108),
    (5, (0.0, 0.0, -0.262), (0.0, 0.0, 1.0), 0.050, 0.094),
    (6, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 0.038, 0.094),
    (7, (0.0, 0.0, 0.089), (0.0, 0.0, 1.0), 0.040, 0.018),
)
# Lower links cannot come near anything on the table.
_FIRST_COLLIDING_LINK = 5
_MOST_ARMS = 8


def add_panda(spec: mujoco.MjSpec, arm: Arm) -> None:
    """Add an arm to the world: bodies, actuators and the site `eef`, every name prefixed with `<arm.name>/`."""
    bits = _collision_bits(sum(body.name.endswith("/link0") for body in spec.worldbody.bodies))
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
            name=f"{arm.name}/joint{index + 1}", axis=(0, 0, 1), range=JOINT_LIMITS[index], armature=0.1, damping=1.0
        )
        _add_shells(body, index + 1, bits)
    _add_hand(spec, body, arm.name, bits)
    _add_actuators(spec, arm.name)


def _collision_bits(index: int) -> tuple[int, int]:
    """Contact type and affinity of the arm that is the world's `index`-th.

    An arm touches objects and the table, whose type is 1, and the other arms, but never itself.

    Raises:
        ConfigError: MuJoCo has no more bits.
    """
    if index >= _MOST_ARMS:
        raise ConfigError(f"arms: a scene has room for {_MOST_ARMS} of them; leave some out")
    own = 1 << index if index else 0
    of_later_arms = sum(1 << later for later in range(index + 1, _MOST_ARMS))
    return own, 1 | of_later_arms


def _add_shells(body: mujoco.MjsBody, link: int, bits: tuple[int, int]) -> None:
    shells = [shell for shell in _SHELLS if shell[0] == link]
    own_bits = bits if link >= _FIRST_COLLIDING_LINK else (0, 0)
    for _, start, end, radius in shells:
        geom = body.add_geom(type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=(*start, *end), size=(radius, 0, 0), rgba=_WHITE)
        geom.mass = _LINK_MASS[link - 1] / len(shells) if link else 0.0
        _set_collision(geom, own_bits)
    for _, centre, axis, radius, half_length in (disc for disc in _DISCS if disc[0] == link):
        ends = np.add(centre, np.outer((-half_length, half_length), axis))
        geom = body.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, fromto=ends.ravel(), size=(radius, 0, 0), rgba=_GREY)
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
    box = mujoco.mjtGeom.mjGEOM_BOX
    palm = hand.add_geom(type=box, pos=(0, 0, 0.034), size=(0.022, 0.100, 0.026), rgba=_WHITE, mass=_HAND_MASS)
    rail = hand.add_geom(type=box, pos=(0, 0, 0.0615), size=(0.016, 0.085, 0.0035), rgba=_GREY, mass=0.0)
    _set_collision(palm, bits)
    _set_collision(rail)
    # Beside the palm, low enough not to see it, tilted towards the finger tips.
    hand.add_camera(name=f"{prefix}/wrist", pos=(0.08, 0.0, 0.055), xyaxes=(0, 1, 0, 0.82, 0, 0.57), fovy=75)
    hand.add_site(name=f"{prefix}/eef", pos=(0.0, 0.0, EEF_OFFSET), size=(0.003, 0, 0), group=4)
    for index, yaw in enumerate((0.0, math.pi)):
        _add_finger(hand, f"{prefix}/finger{index + 1}", yaw, bits)
    # The two fingers of a Panda's hand move together; without this what they hold could slide between them.
    spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT,
        name=f"{prefix}/fingers",
        name1=f"{prefix}/finger1",
        name2=f"{prefix}/finger2",
        data=[0.0, 1.0, *[0.0] * 10],
        objtype=mujoco.mjtObj.mjOBJ_JOINT,
        solref=(0.005, 1.0),
    )


def _add_finger(hand: mujoco.MjsBody, name: str, yaw: float, bits: tuple[int, int]) -> None:
    quat = (math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))
    finger = hand.add_body(name=name, pos=(0.0, 0.0, _FINGER_BASE), quat=quat, gravcomp=1.0)
    finger.add_joint(
        name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=(0, 1, 0), range=(0.0, FINGER_OPEN), armature=0.1, damping=1.0
    )
    box = mujoco.mjtGeom.mjGEOM_BOX
    shank = finger.add_geom(
        type=box, pos=(0, 0.0145, 0.018), size=(0.0095, 0.0075, 0.018), rgba=_GREY, mass=_FINGER_MASS / 2
    )
    tip = finger.add_geom(type=box, pos=(0, 0.0100, 0.043), size=(0.0085, 0.0060, 0.0105), rgba=_GREY, mass=_FINGER_MASS / 2)
    pad = finger.add_geom(
        name=f"{name}_pad", type=box, pos=(0, 0.003, 0.0435), size=(0.011, 0.003, 0.0105), rgba=_PAD, mass=0.0
    )
    for geom in (shank, tip):
        _set_collision(geom)
    _set_collision(pad, bits)
    pad.condim, pad.solref = 4, GRIP_SOLREF
    pad.friction = (1.0, 0.02, 0.0001)


def _add_actuators(spec: mujoco.MjSpec, prefix: str) -> None:
    joint = mujoco.mjtTrn.mjTRN_JOINT
    for index in range(NUM_ARM_JOINTS):
        name, stiffness, torque = f"{prefix}/joint{index + 1}", _STIFFNESS[index], _TORQUE_LIMIT[index]
        motor = spec.add_actuator(name=name, trntype=joint, target=name, forcerange=(-torque, torque))
        motor.set_to_position(kp=stiffness, kv=_DAMPING_TIME * stiffness)
        motor.ctrlrange = JOINT_LIMITS[index]
    for index in (1, 2):
        name = f"{prefix}/finger{index}"
        motor = spec.add_actuator(name=name, trntype=joint, target=name, forcerange=(-_FINGER_FORCE, _FINGER_FORCE))
        motor.set_to_position(kp=_FINGER_STIFFNESS, kv=_FINGER_DAMPING)
        motor.ctrlrange = (0.0, FINGER_OPEN)
