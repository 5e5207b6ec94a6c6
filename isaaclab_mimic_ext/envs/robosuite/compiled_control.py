"""robosuite's operational space controller as one compiled function, for `sim.robosuite.control=compiled`.

Part of the worker: it runs in the Python of robosuite and imports nothing of this package. The first substep of a control
step is robosuite's own, which sets goals and grippers. In the others, the torques of the arms are computed here with the
equations of `OperationalSpaceController.run_controller` of robosuite 1.5 (fixed impedance, goals in the axes of the world).
"""

# V velocities of the scene, J joints of an arm

from __future__ import annotations

from typing import Any

import mujoco
import numba
import numpy as np

_JOINT_STIFFNESS = 10.0
"""Gain of the posture, `joint_kp` of `nullspace_torques`."""


class UnsupportedControl(Exception):
    """The equations of an environment's controllers are not here."""


class CompiledControl:
    """Control steps of an environment with compiled controllers.

    Args:
        env: environment of robosuite.
        version: version of robosuite.

    Raises:
        UnsupportedControl: this is not robosuite 1.5, or a controller has an option whose equations are not here.
    """

    def __init__(self, env: Any, version: str) -> None:
        if not version.startswith("1.5."):
            raise UnsupportedControl(f"compiled requires robosuite 1.5 (got {version})")
        self._env = env
        self._arms = [_Arm(robot, arm) for robot in env.robots for arm in robot.arms]
        faults = [fault for arm in self._arms for fault in arm.faults()]
        if not env.lite_physics:
            faults.append("lite_physics=False")
        if faults:
            raise UnsupportedControl(f"compiled does not support {', '.join(faults)}")
        self._num_substeps = int(env.control_timestep / env.model_timestep)
        self._mass = np.zeros((env.sim.model.nv, env.sim.model.nv))

    def step(self, action: np.ndarray) -> None:
        """Make one control step, as `env.step` without observations."""
        env = self._env
        model, data = env.sim.model._model, env.sim.data._data
        env.timestep += 1
        for substep in range(self._num_substeps):
            mujoco.mj_step1(model, data)
            if substep == 0:
                env._pre_action(action, True)
            else:
                mujoco.mj_fullM(model, self._mass, data.qM)
                for arm in self._arms:
                    arm.set_torques(model, data, self._mass)
            mujoco.mj_step2(model, data)
        env.cur_time += env.control_timestep
        env._post_action(action)


class _Arm:
    def __init__(self, robot: Any, arm: str) -> None:
        self._robot, self._name = robot, arm
        controller = self._controller
        self._site = controller.sim.model.site_name2id(controller.ref_name)
        self._positions = np.array(controller.qpos_index, dtype=np.int64)
        self._velocities = np.array(controller.qvel_index, dtype=np.int64)
        self._actuators = np.array(robot._ref_actuators_indexes_dict[arm], dtype=np.int64)
        self._limits = np.array(controller.sim.model.actuator_ctrlrange[self._actuators])
        self._jacobian = np.zeros((6, controller.sim.model.nv))

    @property
    def _controller(self) -> Any:
        """Controller since the last reset, which creates controllers."""
        return self._robot.part_controllers[self._name]

    def faults(self) -> list[str]:
        """Options of the controller that are not supported."""
        controller = self._controller
        found = {
            f"controller {controller.name}": controller.name != "OSC_POSE",
            "an interpolator": controller.interpolator_pos is not None or controller.interpolator_ori is not None,
            f"impedance_mode={controller.impedance_mode}": controller.impedance_mode != "fixed",
            f"input_ref_frame={controller.input_ref_frame}": controller.input_ref_frame != "world",
            "uncouple_pos_ori=False": not controller.uncoupling,
        }
        return [name for name, is_fault in found.items() if is_fault]

    def set_torques(self, model: Any, data: Any, mass: np.ndarray) -> None:
        """Write the torques of the current state to `data.ctrl`."""
        controller, jacobian = self._controller, self._jacobian
        mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], self._site)
        data.ctrl[self._actuators] = _torques(
            mass,
            jacobian,
            self._velocities,
            data.site_xpos[self._site],
            data.site_xmat[self._site].reshape(3, 3),
            controller.goal_pos,
            controller.goal_ori,
            controller.kp,
            controller.kd,
            data.qpos[self._positions],
            data.qvel[self._velocities],
            controller.initial_joint,
            data.qfrc_bias[self._velocities],
            self._limits,
        )
        controller.new_update = True


@numba.njit(cache=True)
def _torques(
    scene_mass: np.ndarray,
    scene_jacobian: np.ndarray,
    columns: np.ndarray,
    pos: np.ndarray,
    rot: np.ndarray,
    goal_pos: np.ndarray,
    goal_rot: np.ndarray,
    stiffness: np.ndarray,
    damping: np.ndarray,
    joint_pos: np.ndarray,
    joint_vel: np.ndarray,
    posture: np.ndarray,
    bias: np.ndarray,
    limits: np.ndarray,
) -> np.ndarray:
    """Torques of an arm, (J,) [N m].

    Args:
        scene_mass, scene_jacobian: mass matrix of the scene (V, V), Jacobian of the grip site (6, V).
        columns: indices of the joints of the arm, (J,).
        pos, rot, goal_pos, goal_rot: pose of the grip site and its goal, (3,) and (3, 3) each.
        stiffness, damping: gains, (6,) each.
        posture: joint positions that the null space prefers, (J,) [rad].
        bias: torques of gravity and velocities, (J,).
        limits: smallest and largest torques, (J, 2).
    """
    num_joints = len(columns)
    mass, jacobian = np.empty((num_joints, num_joints)), np.empty((6, num_joints))
    for column in range(num_joints):
        for row in range(num_joints):
            mass[row, column] = scene_mass[columns[row], columns[column]]
        for row in range(6):
            jacobian[row, column] = scene_jacobian[row, columns[column]]
    error = np.empty(6)
    error[:3] = goal_pos - pos
    error[3:] = 0.0
    for axis in range(3):
        now, goal = rot[:, axis], goal_rot[:, axis]
        error[3] += 0.5 * (now[1] * goal[2] - now[2] * goal[1])
        error[4] += 0.5 * (now[2] * goal[0] - now[0] * goal[2])
        error[5] += 0.5 * (now[0] * goal[1] - now[1] * goal[0])
    wrench = stiffness * error - damping * np.dot(jacobian, joint_vel)

    inverse_mass = np.linalg.inv(mass)
    mobility = np.dot(np.dot(jacobian, inverse_mass), jacobian.T)
    force = np.empty(6)
    force[:3] = np.linalg.solve(np.ascontiguousarray(mobility[:3, :3]), wrench[:3])
    force[3:] = np.linalg.solve(np.ascontiguousarray(mobility[3:, 3:]), wrench[3:])
    torques = np.dot(jacobian.T, force) + bias

    to_posture = _JOINT_STIFFNESS * (posture - joint_pos) - 2.0 * np.sqrt(_JOINT_STIFFNESS) * joint_vel
    pose_torques = np.dot(mass, to_posture)
    # (I - Jbar J)^T: without the part that moves the hand.
    hand = np.linalg.solve(mobility, np.dot(jacobian, np.dot(inverse_mass, pose_torques)))
    torques += pose_torques - np.dot(jacobian.T, hand)
    return np.minimum(np.maximum(torques, limits[:, 0]), limits[:, 1])
