"""Motion of a gripper, measured on its MuJoCo model: commands, fingers, end effector. Requires MuJoCo at import."""

# G joints and K actuators of the gripper, B bodies, P points

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.envs.robots.finger_motion import ascending_widths, finger_ratio
from isaaclab_mimic_ext.envs.robots.surface import geom_points
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.task.robot import RobotCfg

Floats = NDArray[np.float64]

TIP_DISTANCE = 0.009
"""Distance from the end effector to the end of the finger tips [m]: that of the Panda."""
_TIP_LENGTH = 0.03
"""Length of the finger tips whose inner surfaces are measured [m]."""
_MOTION_TIME = 1.5
"""Duration in which a gripper opens or closes [s]."""
_LEAST_MOTION = 0.002
"""Least motion of a body that counts [m]."""
_FROZEN = 1e6
"""Armature of arm joints while the gripper moves [kg m^2]."""
_AXES = {"x": 0, "y": 1, "z": 2}


@dataclass(frozen=True)
class Gripper:
    """A measured gripper.

    Attributes:
        open_command, closed_command: commands of the K actuators.
        eef_pose: (4, 4), pose of the end effector in the frame of its body [m].
        finger_bodies: names of the bodies of the finger tips; the first is on the side of +y.
        finger_points: point on the inner surface of each finger, in the frame of its body [m].
        finger_table: (M,), mean position of the fingers while they close, ascending [m].
        joint_table: (M, G), positions of the gripper's joints at these instants [rad, m].
        ratio: (2, G), velocity of a finger per velocity of a joint.
        leverage: force of each actuator per force of each finger [N/N, N m/N].
    """

    open_command: tuple[float, ...]
    closed_command: tuple[float, ...]
    eef_pose: Floats
    finger_bodies: tuple[str, str]
    finger_points: tuple[Floats, Floats]
    finger_table: Floats
    joint_table: Floats
    ratio: Floats
    leverage: float

    def turned(self) -> "Gripper":
        """Gripper whose end effector is turned by half a turn about its z axis, which exchanges the fingers."""
        bodies, points = self.finger_bodies, self.finger_points
        return replace(
            self,
            eef_pose=self.eef_pose @ np.diag([-1.0, -1.0, 1.0, 1.0]),
            finger_bodies=(bodies[1], bodies[0]),
            finger_points=(points[1], points[0]),
            ratio=self.ratio[::-1],
        )


class _Bench:
    """Model of a robot whose arm does not move, without gravity and contacts, in the frame of its hand."""

    def __init__(self, spec: mujoco.MjSpec, frame: Any, arm_joints: Sequence[str], actuators: Sequence[str]):
        self.model = model = spec.compile()
        self.data = mujoco.MjData(model)
        model.opt.gravity[:] = 0.0
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        for name in arm_joints:
            model.dof_armature[model.joint(name).dofadr[0]] = _FROZEN
            model.jnt_limited[model.joint(name).id] = 0  # Zero may be out of range, and a limit moves any mass.
        self._frame, self._is_site = frame.name, isinstance(frame, mujoco.MjsSite)
        self._ctrl = [model.actuator(name).id for name in actuators]
        self.joints = [index for index in range(model.njnt) if model.joint(index).name not in arm_joints]

    def command(self, values: Sequence[float]) -> list[tuple[Floats, Floats]]:
        """Joint positions of the gripper and poses (B, 4, 4) of all bodies in each step of a motion."""
        self.data.ctrl[self._ctrl] = values
        return [self._step() for _ in range(round(_MOTION_TIME / self.model.opt.timestep))]

    def lengths(self) -> Floats:
        """Lengths of the actuators, (K,) [m, rad]."""
        return np.array(self.data.actuator_length[self._ctrl])

    def _step(self) -> tuple[Floats, Floats]:
        mujoco.mj_step(self.model, self.data)
        mujoco.mj_kinematics(self.model, self.data)
        return self.data.qpos[self.model.jnt_qposadr[self.joints]].copy(), self.body_poses()

    def body_poses(self) -> Floats:
        """Poses of all bodies in the frame of the hand, (B, 4, 4)."""
        inverse = np.linalg.inv(self.frame_pose())
        return inverse @ poses(self.data.xpos, self.data.xmat)

    def frame_pose(self) -> Floats:
        """Pose of the frame of the hand, (4, 4), world frame."""
        found = self.data.site(self._frame) if self._is_site else self.data.body(self._frame)
        return poses(found.xpos[None], found.xmat[None])[0]


def poses(pos: Floats, rot: Floats) -> Floats:
    """Poses (..., 4, 4) from positions (..., 3) and rotations (..., 9)."""
    result = np.tile(np.eye(4), (*pos.shape[:-1], 1, 1))
    result[..., :3, :3], result[..., :3, 3] = rot.reshape(*rot.shape[:-1], 3, 3), pos
    return result


def measure_gripper(
    spec: mujoco.MjSpec, cfg: RobotCfg, frame: Any, arm_joints: Sequence[str], actuators: Sequence[str]
) -> Gripper:
    """Open and close the gripper, and measure its fingers.

    Args:
        frame: site or body of the hand.

    Raises:
        ConfigError: the gripper does not move, or its fingers or the axes of its hand are not as described.
    """
    bench = _Bench(spec, frame, arm_joints, actuators)
    approach = _axis(cfg.approach_axis)
    opened, closed = _commands(bench, cfg, actuators, approach)
    bench.command(opened)
    at_open, from_length = bench.command(opened)[-1][1], bench.lengths()
    trace = bench.command(closed)
    travel = float(np.abs(bench.lengths() - from_length).sum())
    hand = _Hand(bench.model, cfg, approach, at_open, trace[-1][1])
    finger = np.array([hand.finger_pos(body_poses) for _, body_poses in trace])
    table, rows = ascending_widths(finger.mean(-1))
    joint_pos = np.array([pos for pos, _ in trace])
    eef_in_body = np.linalg.inv(at_open[bench.model.body(_body_name(frame)).id]) @ hand.eef_pose
    return Gripper(
        tuple(opened), tuple(closed), eef_in_body, hand.bodies, hand.points, table, joint_pos[rows],
        finger_ratio(finger, joint_pos), float(np.abs(finger[-1] - finger[0]).sum()) / travel,
    )  # fmt: skip


def _body_name(frame: Any) -> str:
    return str(frame.parent.name if isinstance(frame, mujoco.MjsSite) else frame.name)


def _axis(name: str) -> Floats:
    if name.removeprefix("-") not in _AXES:
        raise ConfigError(f"robot.approach_axis: must be x, y, z, -x, -y or -z (got '{name}')")
    axis = np.zeros(3)
    axis[_AXES[name.lstrip("-")]] = -1.0 if name.startswith("-") else 1.0
    return axis


def _commands(bench: _Bench, cfg: RobotCfg, actuators: Sequence[str], approach: Floats) -> tuple[list[float], list[float]]:
    """Commands of the open and the closed gripper: as given, or the ends of the control ranges, the wider one open."""
    given = [_given(cfg.gripper_open, "gripper_open", actuators), _given(cfg.gripper_closed, "gripper_closed", actuators)]
    model = bench.model
    ranges = []
    for index, name in enumerate(actuators):
        actuator = model.actuator(name)
        if not actuator.ctrllimited[0] and None in given:
            raise ConfigError(
                f"robot.gripper: actuator '{name}' has no control range; set robot.gripper_open and robot.gripper_closed"
            )
        both = [each[index] for each in given if each is not None]
        ranges.append(both if len(both) == 2 else list(actuator.ctrlrange))
    tried = {values: bench.command(values)[-1][1] for values in product(*ranges)}
    moved = _moved(list(tried.values()))
    if not moved.any():
        values = " and ".join(str([float(value) for value in values]) for values in (*tried,)[:: max(len(tried) - 1, 1)])
        raise ConfigError(
            f"robot.gripper: {', '.join(actuators)} does not move the fingers (commands {values}); name the actuator of the "
            "fingers, or set robot.gripper_open and robot.gripper_closed"
        )

    def width(values: tuple[float, ...]) -> float:
        pos = tried[values][moved, :3, 3]
        across = pos - (pos @ approach)[:, None] * approach
        return float(np.linalg.norm(across - across.mean(0)))

    order = sorted(tried, key=width)
    return given[0] or [float(each) for each in order[-1]], given[1] or [float(each) for each in order[0]]


def _given(values: Any, field: str, actuators: Sequence[str]) -> list[float] | None:
    if values is None:
        return None
    numbers = [float(value) for value in ([values] if isinstance(values, int | float) else values)]
    if len(numbers) != len(actuators):
        raise ConfigError(f"robot.{field}: must be {len(actuators)} numbers, one per actuator (got {len(numbers)})")
    return numbers


def _moved(body_poses: Sequence[Floats]) -> NDArray[np.bool_]:
    """Bodies that are not at the same place in all states, (B,)."""
    pos = np.array(body_poses)
    corners = np.concatenate((pos[..., :3, 3], pos[..., :3, 3] + 0.02 * pos[..., :3, 2]), axis=-1)
    return np.asarray(np.ptp(corners, axis=0).max(-1) > _LEAST_MOTION)


class _Hand:
    """Fingers and end effector in the frame of the hand, from its open and its closed state."""

    def __init__(self, model: Any, cfg: RobotCfg, approach: Floats, at_open: Floats, at_closed: Floats):
        self._model, self._approach = model, approach
        self._open = at_open
        moved = [int(body) for body in np.flatnonzero(_moved([at_open, at_closed]))]
        points = {body: self._points(body) for body in moved}
        moved = [body for body in moved if len(points[body])]
        closing = self._closing_axis(cfg, [at_closed[body] @ np.linalg.inv(at_open[body]) for body in moved],
                                     [points[body].mean(0) for body in moved])  # fmt: skip
        self._axes = np.stack((np.cross(closing, approach), closing, approach), axis=1)
        fingers = self._choose(cfg, moved, points)
        for body in fingers:
            points.setdefault(body, self._points(body))
        self.bodies = (str(model.body(fingers[0]).name), str(model.body(fingers[1]).name))
        self._place(cfg, [points[body] @ self._axes for body in fingers])
        self._ids = fingers

    def _points(self, body: int) -> Floats:
        """Points on the surface of a body, (P, 3), in the frame of the hand; colliding shapes if there are any."""
        model = self._model
        geoms = range(int(model.body_geomadr[body]), int(model.body_geomadr[body] + model.body_geomnum[body]))
        solid = [geom for geom in geoms if model.geom_contype[geom] or model.geom_conaffinity[geom]]
        found = [geom_points(model, geom) for geom in solid]
        if not found:
            return np.zeros((0, 3))
        local = np.concatenate(found)
        return local @ self._open[body, :3, :3].T + self._open[body, :3, 3]

    def _closing_axis(self, cfg: RobotCfg, motions: list[Floats], centers: list[Floats]) -> Floats:
        if not motions:
            raise ConfigError("robot.gripper: the bodies that it moves have no colliding shapes; add geoms to the fingers")
        shifts = [
            np.abs(motion[:3, :3] @ center + motion[:3, 3] - center) for motion, center in zip(motions, centers, strict=True)
        ]
        shift = np.sum(shifts, axis=0)
        across = np.where(np.abs(self._approach) > 0.5, 0.0, shift)
        measured = "xyz"[int(np.argmax(across))]
        if np.argmax(shift) != np.argmax(across) and shift.max() > 2 * across.max():
            raise ConfigError(
                f"robot.approach_axis: the fingers move along '{cfg.approach_axis}' of '{cfg.eef_frame}'; give the axis "
                "that points out of the hand"
            )
        if cfg.closing_axis not in (None, measured):
            raise ConfigError(
                f"robot.closing_axis: the fingers close along {measured} of '{cfg.eef_frame}' (got '{cfg.closing_axis}'); "
                f"use {measured}, or null"
            )
        return _axis(measured)

    def _choose(self, cfg: RobotCfg, moved: list[int], points: dict[int, Floats]) -> tuple[int, int]:
        """Bodies of the two fingers, that on the side of +y first."""
        if cfg.fingers is not None:
            ids = [mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_BODY, name) for name in cfg.fingers]
            if len(ids) != 2 or -1 in ids:
                raise ConfigError(f"robot.fingers: must be the names of two bodies of the robot (got {cfg.fingers})")
            y = [float((self._points(body) @ self._axes)[:, 1].mean()) for body in ids]
            return (ids[0], ids[1]) if y[0] > y[1] else (ids[1], ids[0])
        sides: list[list[int]] = [[], []]
        middle = float(np.mean([(points[body] @ self._axes)[:, 1].mean() for body in moved]))
        for body in moved:
            sides[int((points[body] @ self._axes)[:, 1].mean() < middle)].append(body)
        if not all(sides):
            names = ", ".join(str(self._model.body(body).name) for body in moved)
            raise ConfigError(
                f"robot.fingers: must be given, because the gripper moves only {names}; name the bodies of both finger "
                "tips, e.g. robot.fingers=[moving_jaw,fixed_jaw]"
            )
        outermost = [max(side, key=lambda body: float((points[body] @ self._approach).max())) for side in sides]
        return outermost[0], outermost[1]

    def _place(self, cfg: RobotCfg, points: list[Floats]) -> None:
        """Set the end effector and the points on the inner surfaces; `points` are along the axes of the end effector."""
        tip = min(float(each[:, 2].max()) for each in points)
        near = [each[each[:, 2] > tip - _TIP_LENGTH] for each in points]
        inner = (float(near[0][:, 1].min()), float(near[1][:, 1].max()))
        sideways = float(np.mean([0.5 * (each[:, 0].min() + each[:, 0].max()) for each in near]))
        origin = np.array([sideways, 0.5 * sum(inner), tip - TIP_DISTANCE])
        if cfg.eef_pos is not None:
            origin = np.asarray(cfg.eef_pos, dtype=np.float64) @ self._axes
        self.eef_pose = np.eye(4)
        self.eef_pose[:3, :3], self.eef_pose[:3, 3] = self._axes, self._axes @ origin
        ids = [self._model.body(name).id for name in self.bodies]
        surface = [self._axes @ np.array([origin[0], side, origin[2]]) for side in inner]
        first, second = (
            (np.linalg.inv(self._open[body]) @ np.array([*point, 1.0]))[:3] for body, point in zip(ids, surface, strict=True)
        )
        self.points = (first, second)

    def finger_pos(self, body_poses: Floats) -> Floats:
        """Position of each finger, measured from the middle, (2,) [m]."""
        eef = self.eef_pose
        offsets = [
            float((body_poses[body, :3, :3] @ point + body_poses[body, :3, 3] - eef[:3, 3]) @ eef[:3, 1])
            for body, point in zip(self._ids, self.points, strict=True)
        ]
        return np.array([offsets[0], -offsets[1]])
