"""MuJoCo engine: N scenes in one `mujoco.batch.Batch`, stepped by its threads on the CPU."""

# N envs, n of them addressed, E arms (one end effector each), O objects, F of them free, A joints of an arm, J = A + 2
# entries of its joint state (fingers last), G joints and K actuators of its gripper, B bodies

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.envs.embedded import STEP_DT, EmbeddedEnv
from isaaclab_mimic_ext.envs.memory import check_memory
from isaaclab_mimic_ext.envs.mujoco_layout import SceneLayout
from isaaclab_mimic_ext.envs.mujoco_model import build_model, import_mujoco
from isaaclab_mimic_ext.envs.object_meshes import BatchMeshes
from isaaclab_mimic_ext.envs.object_sizes import BatchSizes
from isaaclab_mimic_ext.envs.panda.kinematics import joint_step, point_jacobian
from isaaclab_mimic_ext.envs.robots.robot import finger_positions
from isaaclab_mimic_ext.envs.scene_buffer import SceneBuffer
from isaaclab_mimic_ext.errors import ConfigError, SimulationError
from isaaclab_mimic_ext.kernels import RepeatedLaunch, arguments_of
from isaaclab_mimic_ext.kernels.batch_scenes import read_scene_kernel
from isaaclab_mimic_ext.kernels.pose_errors import PoseErrors
from isaaclab_mimic_ext.math import matrix_from_quat_xyzw, pose_from_pos_rot
from isaaclab_mimic_ext.task.definition import SceneState, Task

_MAX_SIZES = 8
"""Largest number of sizes of batches whose buffers are kept: at the end of a run, each size occurs for a few steps."""


class MujocoEnv(EmbeddedEnv):
    """`EmbeddedEnv` with the physics of MuJoCo, on the CPU in float64. Tensors are float32 on `device`.

    A control step computes joint targets by one step of differential inverse kinematics. The position controllers of the
    arm follow these targets during the substeps. Scene `i` depends neither on the number of scenes nor on the number of
    threads.
    """

    engine = "mujoco"
    has_scales = True
    has_mesh_lists = True

    def __init__(
        self,
        task: Task,
        events: Mapping[str, EventCfg],
        num_envs: int,
        device: str | torch.device = "cpu",
        num_threads: int = 0,
    ):
        super().__init__(task, events, num_envs, device)
        if num_threads < 0:
            raise ConfigError(f"sim.num_threads: must be >= 0 (got {num_threads}); 0 uses one thread per core")
        mujoco = import_mujoco(with_batches=True)
        self.model = build_model(task)
        check_memory(num_envs, mujoco.MjData(self.model).nbuffer, "the simulation's state")
        self._num_substeps = round(STEP_DT / self.model.opt.timestep)
        num_threads = 1 if num_envs == 1 else num_threads  # A second thread would only be woken and wait.
        self._batch = mujoco.batch.Batch(self.model, num_envs, num_threads, persistent=True)
        self._failure = mujoco.batch.SimulationError
        self._stage_none, self._stage_pos = mujoco.mjtStage.mjSTAGE_NONE, mujoco.mjtStage.mjSTAGE_POS
        self._layout = SceneLayout.from_model(self.model, task)
        self._state = _BatchTensors.from_batch(self._batch)
        self._sizes: BatchSizes | None = None
        self._meshes = None if self.object_mesh is None else BatchMeshes(self._batch, self.model, task.objects)
        self._buffer = SceneBuffer(task, num_envs, torch.device("cpu"))
        # Fingers and objects on joints have torch operations.
        reads_by_kernel = not self.robots.has_finger_sites and not len(self._layout.bound)
        self._errors_of_size: dict[int, PoseErrors] = {}
        self._read = self._recorded_read() if reads_by_kernel else None
        self._num_joints = self.robots.num_joints
        self._joint_low, self._joint_high = self.robots.limits.unbind(-1)
        self._posture = self._home[:, : self._num_joints].to("cpu", torch.float64)
        self._processed = torch.zeros(num_envs, self.num_arms, self._num_joints + 1)
        self._call(self._batch.forward, stage=self._stage_pos)
        self.scene = self._read_scene()

    def processed_actions(self) -> Tensor:
        return self.robots.own_commands(self._processed).to(self.device)

    def body_poses(self) -> NDArray[np.float32]:
        """Poses of all bodies but the world, (N, B, 7): position [m] and quaternion xyzw."""
        pos, quat = self._state.xpos.numpy()[:, 1:], self._state.xquat.numpy()[:, 1:]
        return np.concatenate((pos, quat[..., 1:], quat[..., :1]), axis=-1, dtype=np.float32)

    def env_args(self) -> dict[str, Any]:
        args = super().env_args()
        args["sim_args"].update(
            dt=self.model.opt.timestep, decimation=self._num_substeps, render_interval=self._num_substeps
        )
        return args

    def _write_scales(self, env_ids: Tensor, scales: Tensor) -> None:
        if self._sizes is None:
            self._sizes = BatchSizes(self._batch, self.model, self.object_names)
        self._sizes.write(env_ids.cpu().numpy(), scales.cpu().numpy())

    def _write_meshes(self, env_ids: Tensor, numbers: Tensor) -> None:
        assert self._meshes is not None
        self._meshes.write(env_ids.cpu().numpy(), numbers.cpu().numpy())

    def _write_state(
        self,
        env_ids: Tensor,
        joint_pos: Tensor,
        joint_vel: Tensor,
        root_pose: Tensor,
        root_velocity: Tensor,
        object_joint_pos: Tensor,
        object_joint_vel: Tensor,
    ) -> None:
        ids = env_ids.cpu()
        sorted_ids = ids.sort().values.numpy()
        layout, state = self._layout, self._state
        # Also clears time, controls and the solver's warm start: a trial must not depend on earlier trials in its env.
        self._call(self._batch.reset, ids=sorted_ids, stage=self._stage_none)
        rows = ids[:, None, None]
        joint_pos, joint_vel, root_pose, root_velocity = (
            x.to("cpu", torch.float64) for x in (joint_pos, joint_vel, root_pose, root_velocity)
        )
        free_pose, free_velocity = root_pose[:, layout.free], root_velocity[:, layout.free]
        rot = matrix_from_quat_xyzw(free_pose[..., 3:])
        local_angular = (rot * free_velocity[..., 3:, None]).sum(-2)
        state.qpos[rows, layout.joint_qpos] = self.robots.model_joint_pos(joint_pos)
        state.qvel[rows, layout.joint_dof] = self.robots.model_joint_vel(joint_pos, joint_vel)
        state.qpos[rows, layout.root_qpos] = free_pose
        state.qvel[rows, layout.root_dof] = torch.cat((free_velocity[..., :3], local_angular), dim=-1)
        if len(layout.bound):
            fixed_pose = root_pose[:, layout.fixed]
            state.mocap_pos[ids[:, None], layout.mocap] = fixed_pose[..., :3]
            state.mocap_quat[ids[:, None], layout.mocap] = fixed_pose[..., [6, 3, 4, 5]]
            state.qpos[ids[:, None], layout.object_qpos] = object_joint_pos.to("cpu", torch.float64)
            state.qvel[ids[:, None], layout.object_dof] = object_joint_vel.to("cpu", torch.float64)
        command = self.robots.holding_command(joint_pos)
        state.ctrl[rows, layout.ctrl] = command
        self._processed[ids] = command[..., : self._num_joints + 1].float()
        self._call(self._batch.forward, ids=sorted_ids, stage=self._stage_pos)
        self.scene = self._read_scene()

    def _advance(self, target_eef_pose: Tensor, open_gripper: Tensor, env_ids: Tensor | None) -> None:
        rows: slice | Tensor = slice(None)
        batch_ids = None
        if env_ids is not None:
            rows = env_ids.cpu()  # sync: the physics runs on the CPU
            batch_ids = rows.numpy()  # sync: the physics runs on the CPU
        target_eef_pose, open_gripper = target_eef_pose.cpu(), open_gripper.cpu()  # sync: the physics runs on the CPU
        target_pos = self._joint_targets(target_eef_pose[rows], rows)
        gripper = torch.where(open_gripper[rows][..., None], self.robots.open_command, self.robots.closed_command)
        targets = torch.cat((target_pos, gripper), dim=-1)
        ctrl = self._state.ctrl.numpy()[rows if batch_ids is None else batch_ids]  # sync: the physics runs on the CPU
        ctrl[:, self._layout.ctrl.numpy()] = targets.numpy()  # sync: the physics runs on the CPU
        if batch_ids is not None:
            self._state.ctrl.numpy()[batch_ids] = ctrl  # sync: the physics runs on the CPU
        self._processed[rows] = targets[..., : self._num_joints + 1].float()
        self._call(self._batch.step, ids=batch_ids, nstep=self._num_substeps, stage=self._stage_pos)
        self.scene = self._read_scene()

    def _joint_targets(self, target_eef_pose: Tensor, rows: slice | Tensor) -> Tensor:
        """Arm joint positions (n, E, A) [rad] for target poses (n, E, 4, 4)."""
        layout, state = self._layout, self._state
        shape = target_eef_pose.shape[:2]
        joint_pos = _selected(state.qpos, rows, layout.joint_qpos[:, : self._num_joints])
        point = _selected(state.site_xpos, rows, layout.eef_site).flatten(0, 1)
        rot = _selected(state.site_xmat, rows, layout.eef_site).view(-1, 3, 3)
        pose = pose_from_pos_rot(point, rot)
        anchor = _selected(state.xanchor, rows, layout.arm_joint).flatten(0, 1)
        axis = _selected(state.xaxis, rows, layout.arm_joint).flatten(0, 1)
        error = self._errors(len(pose))(target_eef_pose.flatten(0, 1), pose)
        if self.robots.is_mixed:
            axis = axis.unflatten(0, shape) * self.robots.mask[..., None]
            jacobian = point_jacobian(point, anchor, axis.flatten(0, 1)).unflatten(0, shape)
            step = self._steps_of_arms(jacobian, error.unflatten(0, shape), joint_pos)
            target = (joint_pos + step).clamp(self._joint_low, self._joint_high)
            return target.take_along_dim(self.robots.source.expand_as(target), dim=-1)
        ik, jacobian = self.robots.robots[0].ik, point_jacobian(point, anchor, axis)
        posture_step = (ik.posture_gain * (self._posture - joint_pos)).flatten(0, 1)
        step = joint_step(jacobian, error, posture_step, ik.damping, ik.rot_weight, ik.max_joint_step)
        return (joint_pos + step.unflatten(0, shape)).clamp(self._joint_low, self._joint_high)

    def _steps_of_arms(self, jacobian: Tensor, error: Tensor, joint_pos: Tensor) -> Tensor:
        """Joint steps (n, E, A) [rad] of arms with different settings, from (n, E, 6, A) and (n, E, 6)."""
        steps = []
        for index, robot in enumerate(self.robots.robots):
            ik = robot.ik
            posture_step = ik.posture_gain * (self._posture[index] - joint_pos[:, index])
            args = ik.damping, ik.rot_weight, ik.max_joint_step
            steps.append(joint_step(jacobian[:, index].contiguous(), error[:, index].contiguous(), posture_step, *args))
        return torch.stack(steps, dim=1)

    def _errors(self, num_pairs: int) -> PoseErrors:
        if num_pairs not in self._errors_of_size:
            if len(self._errors_of_size) == _MAX_SIZES:
                self._errors_of_size.clear()
            self._errors_of_size[num_pairs] = PoseErrors(num_pairs)
        return self._errors_of_size[num_pairs]

    def _recorded_read(self) -> RepeatedLaunch:
        layout = {field.name: getattr(self._layout, field.name).int() for field in fields(self._layout)}
        values = {**vars(self._state), **layout, **self._buffer.views}
        cpu = torch.device("cpu")
        return RepeatedLaunch(read_scene_kernel, self.num_envs, arguments_of(read_scene_kernel, values), [], cpu)

    def _read_scene(self) -> SceneState:
        if self._read is None:
            scene = self.read_scene_torch()
        else:
            self._read()
            scene = self._buffer.scene(self.device)
        if self.object_scale is not None:
            scene.object_scale = self.object_scale
        if self.object_mesh is not None:
            scene.object_mesh = self.object_mesh
        return scene

    def read_scene_torch(self) -> SceneState:
        """Scene in the state of the batch, by torch operations: for objects on joints and fingers, and for tests."""
        layout, state = self._layout, self._state
        object_rot = state.xmat[:, layout.body].unflatten(-1, (3, 3))
        velocity = state.qvel[:, layout.root_dof]
        angular = (object_rot[:, layout.free] * velocity[..., None, 3:]).sum(-1)
        root_pose, root_velocity = state.qpos[:, layout.root_qpos], torch.cat((velocity[..., :3], angular), dim=-1)
        if len(layout.bound):
            root_pose, root_velocity = self._with_bound(root_pose, root_velocity, object_rot)
        eef_rot = state.site_xmat[:, layout.eef_site].unflatten(-1, (3, 3))
        joint_pos, joint_vel = state.qpos[:, layout.joint_qpos], state.qvel[:, layout.joint_dof]
        if self.robots.has_finger_sites:
            joint_pos, joint_vel = self._with_fingers(joint_pos, joint_vel)
        return SceneState(
            joint_pos=self._to_output(joint_pos),
            joint_vel=self._to_output(joint_vel),
            eef_pose=pose_from_pos_rot(self._to_output(state.site_xpos[:, layout.eef_site]), self._to_output(eef_rot)),
            object_pose=pose_from_pos_rot(self._to_output(state.xpos[:, layout.body]), self._to_output(object_rot)),
            root_pose=self._to_output(root_pose),
            root_velocity=self._to_output(root_velocity),
            object_joint_pos=self._to_output(state.qpos[:, layout.object_qpos]),
            object_joint_vel=self._to_output(state.qvel[:, layout.object_dof]),
        )

    def _with_bound(self, free_pose: Tensor, free_velocity: Tensor, object_rot: Tensor) -> tuple[Tensor, Tensor]:
        """Poses (N, O, 7) and velocities (N, O, 6) of all objects, from those of the free ones (N, F, ...)."""
        layout, state = self._layout, self._state
        bodies = layout.body[layout.bound]
        root_pose = free_pose.new_zeros(*object_rot.shape[:2], 7)
        root_pose[:, layout.free] = free_pose
        root_pose[:, layout.bound] = torch.cat((state.xpos[:, bodies], state.xquat[:, bodies][..., [1, 2, 3, 0]]), dim=-1)
        root_velocity = torch.zeros_like(root_pose[..., :6])
        root_velocity[:, layout.free] = free_velocity
        pose = pose_from_pos_rot(state.xpos[:, layout.body], object_rot)
        return root_pose, self._joints.velocities(pose, root_velocity, state.qvel[:, layout.object_dof])

    def _with_fingers(self, joint_pos: Tensor, joint_vel: Tensor) -> tuple[Tensor, Tensor]:
        """Positions and velocities (N, E, J) with those of the fingers instead of the G joints of the gripper."""
        layout, state = self._layout, self._state
        eef_rot = state.site_xmat[:, layout.eef_site].unflatten(-1, (3, 3))
        eef_pose = pose_from_pos_rot(state.site_xpos[:, layout.eef_site], eef_rot)
        fingers = finger_positions(state.site_xpos[:, layout.finger_site], eef_pose)
        arm_vel, gripper_vel = joint_vel.split((self._num_joints, joint_vel.shape[-1] - self._num_joints), dim=-1)
        finger_vel = (gripper_vel[..., None, :] * self.robots.finger_ratio).sum(-1)
        arm_pos = joint_pos[..., : self._num_joints]
        if self.robots.is_mixed:
            arm_pos, arm_vel = arm_pos * self.robots.mask, arm_vel * self.robots.mask
        return torch.cat((arm_pos, fingers), -1), torch.cat((arm_vel, finger_vel), -1)

    def _to_output(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, torch.float32)

    def _call(self, method: Callable[..., None], **arguments: Any) -> None:
        try:
            method(**arguments)
        except self._failure as error:
            raise SimulationError(f"mujoco: simulation stopped: {error}") from error


def _selected(values: Tensor, rows: slice | Tensor, columns: Tensor) -> Tensor:
    """Entries `values[rows][:, columns]`, copied by NumPy: for few envs, torch takes ten times as long.

    NumPy puts the axis of the columns first in memory. The result is contiguous, as that of torch.
    """
    ids = rows if isinstance(rows, slice) else rows.numpy()  # sync: the physics runs on the CPU
    # sync: the physics runs on the CPU
    return torch.from_numpy(np.ascontiguousarray(values.numpy()[ids][:, columns.numpy()]))


@dataclass(frozen=True)
class _BatchTensors:
    """Tensors (N, ...) that share memory with the batch: its state (written by us) and derived quantities (read)."""

    qpos: Tensor
    qvel: Tensor
    ctrl: Tensor
    mocap_pos: Tensor
    mocap_quat: Tensor
    xpos: Tensor
    xquat: Tensor
    xmat: Tensor
    site_xpos: Tensor
    site_xmat: Tensor
    xanchor: Tensor
    xaxis: Tensor

    @classmethod
    def from_batch(cls, batch: Any) -> "_BatchTensors":
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return cls(**{field.name: torch.from_numpy(batch.bind(field.name)) for field in fields(cls)})
