"""A robot that an MJCF file describes. Requires MuJoCo at import."""

# n envs, E arms, A arm joints, J = A + 2 entries of a joint state, G joints and K actuators of the gripper, M rows of a
# table

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.panda import kinematics
from isaaclab_mimic_ext.envs.panda.mjcf import GRIP_SOLREF, collision_bits
from isaaclab_mimic_ext.envs.robots.arms import FINGER_SITES
from isaaclab_mimic_ext.envs.robots.assembly import chain_of, find_eef_frame, find_gripper, find_joints, read_arm
from isaaclab_mimic_ext.envs.robots.chain import Chain
from isaaclab_mimic_ext.envs.robots.collisions import check_home, is_free_of_collisions
from isaaclab_mimic_ext.envs.robots.grip_force import limit_grip
from isaaclab_mimic_ext.envs.robots.gripper import Gripper, measure_gripper, poses
from isaaclab_mimic_ext.envs.robots.robot import InverseKinematicsCfg, Robot
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.task.definition import Arm
from isaaclab_mimic_ext.task.robot import RobotCfg

_ARMATURE = 0.1
"""Least armature of the arm joints [kg m^2]: that of the Panda."""
_NUM_TRIED = 20
"""Number of start postures that are checked for collisions."""
_SHORTER = (1.0, 0.9, 0.8, 0.7, 0.6)
"""Factors of the Panda's start position that a smaller arm tries in turn."""


@dataclass(frozen=True)
class MjcfArm(Robot):
    """An arm and a gripper of an MJCF file.

    Attributes:
        spec: the robot, prepared to be attached to scenes.
        chain: its kinematics.
        finger_table, joint_table: (M,) ascending and (M, G): positions of the gripper's joints for finger positions.
        finger_ratio: (2, G), velocity of a finger per velocity of a joint.
    """

    spec: Any = None
    chain: Chain = None  # type: ignore[assignment]
    finger_table: Tensor = None  # type: ignore[assignment]
    joint_table: Tensor = None  # type: ignore[assignment]

    def forward_kinematics(self, joint_pos: Tensor) -> Tensor:
        return self.chain.forward(joint_pos)

    def distances(self, eef_pose: Tensor) -> Tensor:
        return self.chain.distances(
            eef_pose, self.home[: self.num_joints], torch.tensor(self.joint_limits), self.ik.rot_weight
        )

    def add_to(self, spec: Any, arm: Arm) -> None:
        own, others = collision_bits(spec)
        copy = self.spec.copy()
        for geom in copy.geoms:
            if geom.contype or geom.conaffinity:
                geom.contype, geom.conaffinity = own, others
        yaw = arm.base_yaw
        frame = spec.worldbody.add_frame(pos=arm.base_pos, quat=(math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)))
        frame.attach_body(copy.body(self.base_body), f"{arm.name}/", "")

    def model_joint_pos(self, joint_pos: Tensor) -> Tensor:
        width = joint_pos[..., -2:].mean(-1)
        table, joints = self.finger_table.to(joint_pos), self.joint_table.to(joint_pos)
        upper = torch.searchsorted(table, width.contiguous()).clamp(1, len(table) - 1)
        low, high = table[upper - 1], table[upper]
        share = ((width - low) / (high - low)).clamp(0.0, 1.0)[..., None]
        return torch.cat((joint_pos[..., :-2], joints[upper - 1] + share * (joints[upper] - joints[upper - 1])), dim=-1)

    def model_joint_vel(self, joint_pos: Tensor, joint_vel: Tensor) -> Tensor:
        at_rest = joint_vel.new_zeros(*joint_vel.shape[:-1], len(self.gripper_joint_names))
        return torch.cat((joint_vel[..., :-2], at_rest), dim=-1)

    def holding_command(self, joint_pos: Tensor) -> Tensor:
        is_open = joint_pos[..., -2:].mean(-1, keepdim=True) > 0.5 * self.finger_open
        commands = (joint_pos.new_tensor(self.open_command), joint_pos.new_tensor(self.closed_command))
        return torch.cat((joint_pos[..., :-2], torch.where(is_open, *commands)), dim=-1)


def load_arm(cfg: RobotCfg) -> MjcfArm:
    """Read, measure and check the robot that a description names.

    Raises:
        ConfigError: the description does not fit its file; the message names the field and the remedy.
        SimulatorUnavailable: a model of MuJoCo Menagerie cannot be had.
    """
    from isaaclab_mimic_ext.envs.tabletop_mjcf import set_options

    options = mujoco.MjSpec()
    set_options(options)
    spec = read_arm(cfg, options)
    frame, motors = find_eef_frame(spec, cfg), find_gripper(spec, cfg)
    hand = frame.parent if isinstance(frame, mujoco.MjsSite) else frame
    chain = chain_of(hand)
    joints = find_joints(chain, cfg)
    names, motor_names = [joint.name for joint in joints], [motor.name for motor in motors]
    _remove_others(spec, names, motor_names, chain)
    limits = _limits(spec, names)
    gripper = measure_gripper(spec, cfg, frame, names, motor_names)
    limit_grip(spec, cfg, motor_names, gripper.leverage)
    _control_arm(spec, cfg, names, limits)
    _add_sites(spec, hand, gripper)
    ik = _ik(cfg, len(names))
    kinematic_chain = _chain(spec.compile(), names, chain, gripper.eef_pose)
    home, is_turned = _home(cfg, spec, kinematic_chain, limits, ik.rot_weight, names)
    if is_turned:
        gripper, kinematic_chain = gripper.turned(), kinematic_chain.turned()
        _turn_eef(spec, gripper)
    model = spec.compile()
    finger = float(gripper.finger_table[-1])
    grippers = [joint.name for joint in spec.joints if joint.name not in names]
    return MjcfArm(
        name=cfg.label,
        joint_names=tuple(names),
        joint_limits=tuple((float(low), float(high)) for low, high in limits),
        home=(*(float(angle) for angle in home), finger, finger),
        gripper_joint_names=tuple(grippers),
        actuator_names=(*(f"{name}_servo" for name in names), *motor_names),
        open_command=gripper.open_command,
        closed_command=gripper.closed_command,
        finger_sites=FINGER_SITES,
        finger_bodies=gripper.finger_bodies,
        digest=_digest(model),
        finger_ratio=tuple(map(tuple, gripper.ratio.tolist())),
        base_body=chain[0].name,
        ik=ik,
        spec=spec,
        chain=kinematic_chain,
        finger_table=torch.from_numpy(gripper.finger_table),
        joint_table=torch.from_numpy(gripper.joint_table),
    )


def _digest(model: Any) -> str:
    content = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, content)
    return hashlib.sha256(content.tobytes()).hexdigest()


def _ik(cfg: RobotCfg, num_joints: int) -> InverseKinematicsCfg:
    from isaaclab_mimic_ext.envs.tabletop import STEP_DT

    gain = (kinematics.POSTURE_GAIN if num_joints > 6 else 0.0) if cfg.posture_gain is None else cfg.posture_gain
    weight = (1.0 if num_joints > 5 else 0.1) if cfg.rot_weight is None else cfg.rot_weight
    max_step = math.inf if cfg.max_joint_speed is None else cfg.max_joint_speed * STEP_DT
    return InverseKinematicsCfg(cfg.ik_damping, gain, weight, max_step)


def _remove_others(spec: Any, joints: Sequence[str], motors: Sequence[str], chain: Sequence[Any]) -> None:
    """Remove sensors, actuators of other parts, and joints that neither the arm nor the gripper has, which fixes them.

    All joints beyond the last arm joint belong to the gripper: the end effector may be a body next to the fingers.
    """
    last = next(body.name for body in reversed(chain) if any(joint.name in joints for joint in body.joints))
    for sensor in list(spec.sensors):
        spec.delete(sensor)
    for actuator in list(spec.actuators):
        if actuator.name not in motors and actuator.target not in joints:
            spec.delete(actuator)
    for joint in list(spec.joints):
        is_beyond = last in [body.name for body in chain_of(joint.parent)[:-1]]
        if joint.name not in joints and not is_beyond:
            spec.delete(joint)


def _limits(spec: Any, names: Sequence[str]) -> np.ndarray:
    """Lower and upper limit of the arm joints, (A, 2) [rad]; +-2 pi if a joint is not limited."""
    try:
        model = spec.compile()
    except ValueError as error:  # Something refers to a joint that was removed.
        reason = f"cannot be used without the joints of other parts: {' '.join(str(error).split())}"
        raise ConfigError(f"robot.mjcf: {reason}; delete this element from the file") from error
    limits = []
    for name in names:
        low, high = spec.joint(name).range
        if low == high != 0.0:  # MuJoCo would not limit the joint.
            raise ConfigError(f"robot.joints: '{name}' has an empty range [{low:g}, {high:g}]; correct the file")
        joint = model.joint(name)
        low, high = joint.range if model.jnt_limited[joint.id] else (-2 * math.pi, 2 * math.pi)
        limits.append((low, high))
    return np.array(limits)


def _control_arm(spec: Any, cfg: RobotCfg, names: Sequence[str], limits: np.ndarray) -> None:
    """Replace the actuators of the arm by position controllers with the torque limits of the old ones."""
    torque = {name: _torque_limit(spec, name) for name in names}
    for actuator in list(spec.actuators):
        if actuator.target in names:
            spec.delete(actuator)
    for name, limit in zip(names, limits, strict=True):
        servo = spec.add_actuator(name=f"{name}_servo", trntype=mujoco.mjtTrn.mjTRN_JOINT, target=name)
        servo.set_to_position(kp=cfg.stiffness, kv=cfg.damping_time * cfg.stiffness)
        servo.ctrlrange = limit
        if math.isfinite(torque[name]):
            servo.forcerange = (-torque[name], torque[name])
        joint = spec.joint(name)
        joint.armature = max(joint.armature, _ARMATURE)
    for body in spec.bodies:
        body.gravcomp = 1.0


def _torque_limit(spec: Any, joint: str) -> float:
    """Largest torque of the actuators of a joint [N m]; infinite without a limit."""
    limits = []
    for actuator in spec.actuators:
        if actuator.target == joint:
            is_motor = actuator.gaintype == mujoco.mjtGain.mjGAIN_FIXED and actuator.biastype == mujoco.mjtBias.mjBIAS_NONE
            given = actuator.forcerange if actuator.forcerange[1] > actuator.forcerange[0] else None
            if given is None and is_motor and actuator.ctrlrange[1] > actuator.ctrlrange[0]:
                given = [actuator.gainprm[0] * value for value in actuator.ctrlrange]
            if given is not None:
                limits.append(abs(actuator.gear[0]) * max(abs(given[0]), abs(given[1])))
    return max(limits, default=math.inf)


def _add_sites(spec: Any, hand: Any, gripper: Gripper) -> None:
    """Add sites of the end effector and of the inner surfaces of the fingers, and let the fingers grip."""
    if (taken := spec.site("eef")) is not None:
        taken.name = "eef_of_file"
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, gripper.eef_pose[:3, :3].ravel())
    hand.add_site(name="eef", pos=gripper.eef_pose[:3, 3], quat=quat, size=(0.003, 0, 0), group=4)
    for site, body, point in zip(FINGER_SITES, gripper.finger_bodies, gripper.finger_points, strict=True):
        spec.body(body).add_site(name=site, pos=point, size=(0.003, 0, 0), group=4)
        for geom in spec.body(body).geoms:
            if geom.contype or geom.conaffinity:
                geom.condim, geom.solref = 4, GRIP_SOLREF
                geom.friction = (1.0, 0.02, 0.0001)


def _turn_eef(spec: Any, gripper: Gripper) -> None:
    """Turn the site of the end effector, and exchange the sites of the fingers."""
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, gripper.eef_pose[:3, :3].ravel())
    spec.site("eef").quat = quat
    first, second = (spec.site(name) for name in FINGER_SITES)
    first.name, second.name = "exchanged", FINGER_SITES[0]
    first.name = FINGER_SITES[1]


def _chain(model: Any, names: Sequence[str], bodies: Sequence[Any], eef_in_hand: np.ndarray) -> Chain:
    """Kinematics of the arm joints `names` along the bodies of a compiled model."""
    fixed: list[Any] = [np.eye(4)]
    axes, zeros = [], []
    for body in bodies:
        index = model.body(body.name).id
        rot = np.zeros(9)
        mujoco.mju_quat2Mat(rot, model.body_quat[index])
        fixed[-1] = fixed[-1] @ poses(model.body_pos[index], rot)
        for joint in range(model.body_jntadr[index], model.body_jntadr[index] + model.body_jntnum[index]):
            if model.joint(joint).name not in names:
                continue
            anchor = np.eye(4)
            anchor[:3, 3] = model.jnt_pos[joint]
            fixed[-1] = fixed[-1] @ anchor
            fixed.append(np.linalg.inv(anchor))
            axes.append(model.jnt_axis[joint].copy())
            zeros.append(model.qpos0[model.jnt_qposadr[joint]])
    fixed[-1] = fixed[-1] @ eef_in_hand
    return Chain(
        torch.from_numpy(np.array(fixed)), torch.from_numpy(np.array(axes)), torch.tensor(zeros, dtype=torch.float64)
    )


def _home(
    cfg: RobotCfg, spec: Any, chain: Chain, limits: np.ndarray, rot_weight: float, names: Sequence[str]
) -> tuple[Sequence[float], bool]:
    """Start posture, and whether the end effector is turned by half a turn.

    The posture is as given, or one in which the hand is at the start pose of the Panda.
    """
    start = kinematics.forward_kinematics(torch.tensor(kinematics.HOME[: kinematics.NUM_ARM_JOINTS], dtype=torch.float64))
    if cfg.home is not None:
        _check_given_home(cfg.home, limits, names)
        check_home(spec, names, cfg.home)
        closing = chain.forward(torch.tensor(cfg.home, dtype=torch.float64))[:3, 1]
        return cfg.home, bool((closing * start[:3, 1]).sum() < 0)
    for factor in _SHORTER:
        target = start.clone()
        target[:3, 3] *= factor
        found = [each.postures(target, torch.from_numpy(limits), rot_weight) for each in (chain, chain.turned())]
        scores = torch.cat([score for _, score in found])
        postures, num_first = torch.cat([posture for posture, _ in found]), len(found[0][0])
        for index in scores.argsort(descending=True)[:_NUM_TRIED].tolist():
            posture = list(map(float, postures[index].tolist()))
            if is_free_of_collisions(spec, names, posture):
                return posture, index >= num_first
    x, _, z = start[:3, 3].tolist()
    raise ConfigError(
        f"robot.home: no posture without collisions holds the hand downwards at x = {x:.2f} m, z = {z:.2f} m, or nearer; "
        f"set it to {len(names)} angles"
    )


def _check_given_home(home: Sequence[float], limits: np.ndarray, names: Sequence[str]) -> None:
    if len(home) != len(names):
        raise ConfigError(f"robot.home: must be {len(names)} angles, one per arm joint (got {len(home)})")
    for name, angle, (low, high) in zip(names, home, limits, strict=True):
        if not low <= angle <= high:
            raise ConfigError(f"robot.home: '{name}' must be from {low:.4g} to {high:.4g} rad (got {angle})")
