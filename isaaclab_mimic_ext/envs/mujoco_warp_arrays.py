"""Exchange of data between torch and MuJoCo Warp: arms and objects in its arrays, as tensors."""

# N envs, n of them addressed, E arms (one end effector each), O objects, Q of them on joints, A joints of an arm, J = A + 2
# entries of its joint state (fingers last)

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import torch
import warp as wp
from torch import Tensor

from isaaclab_mimic_ext.envs.mujoco_layout import SceneLayout
from isaaclab_mimic_ext.envs.robots import robot_of
from isaaclab_mimic_ext.envs.scene_buffer import SceneBuffer
from isaaclab_mimic_ext.kernels import launch, scenes
from isaaclab_mimic_ext.kernels.arms import joint_target_kernel
from isaaclab_mimic_ext.task.definition import SceneState, Task
from isaaclab_mimic_ext.task.joints import ObjectJoints


class Arrays:
    """Tensors that exchange data with MuJoCo Warp's arrays. Graphs refer to their memory, so they are never replaced.

    Attributes:
        state: tensors (N, ...) that contain all that a world keeps from one step to the next.
    """

    def __init__(self, data: Any, layout: SceneLayout, task: Task, device: torch.device):
        num_envs, num_arms = data.nworld, len(task.arms)
        self._data, self._device, self._wp_device = data, device, wp.device_from_torch(device)
        self._robot = robot = robot_of(task)
        kept = (data.qpos, data.qvel, data.ctrl, data.qacc_warmstart, data.time)
        self.state = [wp.to_torch(array) for array in kept]
        self._ctrl = wp.to_torch(data.ctrl)
        self._ctrl_columns = layout.ctrl[:, : robot.num_joints + 1].to(device)
        self._index = {field.name: wp.from_torch(getattr(layout, field.name).int().to(device)) for field in fields(layout)}
        self._arm_qpos = wp.from_torch(layout.joint_qpos[:, : robot.num_joints].int().contiguous().to(device))
        self._arm_dof = wp.from_torch(layout.joint_dof[:, : robot.num_joints].int().contiguous().to(device))
        self._limits: Any = wp.array(robot.joint_limits, dtype=wp.vec2, device=wp.device_from_torch(device))
        self._posture: Any = wp.array(robot.home[: robot.num_joints], dtype=wp.float32, device=wp.device_from_torch(device))
        self._target_pose = torch.eye(4, device=device).repeat(num_envs, num_arms, 1, 1)
        self._open_gripper = torch.ones(num_envs, num_arms, dtype=torch.bool, device=device)
        self._arm_target = torch.zeros(num_envs, num_arms, robot.num_joints, device=device)
        self._commands: list[Any] = [
            wp.array(command, dtype=wp.float32, device=wp.device_from_torch(device))
            for command in (robot.open_command, robot.closed_command)
        ]
        self._finger_ratio: Any = wp.array(robot.finger_ratio or [[0.0]], dtype=wp.float32, device=self._wp_device)
        self._joints = ObjectJoints(task.objects, device)
        self._buffer = SceneBuffer(task, num_envs, device)
        self._overflow = torch.zeros(1, dtype=torch.int32, device=device)
        self._overflow_on_host = torch.zeros(1, dtype=torch.int32, pin_memory=device.type == "cuda")

    def scene(self) -> SceneState:
        """Copy of the state that the last graph read."""
        scene = self._buffer.scene(self._device)
        if self._joints:
            moving = self._joints.velocities(scene.object_pose, scene.root_velocity, scene.object_joint_vel)
            scene = replace(scene, root_velocity=moving)
        return scene

    def commands(self) -> Tensor:
        """Commanded positions of arm joints and one finger, (N, E * 8) [rad, m]."""
        return self._ctrl[:, self._ctrl_columns].flatten(1)

    def set_targets(self, target_eef_pose: Tensor, open_gripper: Tensor) -> None:
        """Set the inputs of the next step: target poses (N, E, 4, 4), env frame [m]; open grippers (N, E) bool."""
        self._target_pose.copy_(target_eef_pose)
        self._open_gripper.copy_(open_gripper)

    def command(self) -> None:
        """Launch the kernels that turn target poses into joint commands."""
        data, index, ik = self._data, self._index, self._robot.ik
        joints = wp.from_torch(self._arm_target)
        wp.launch(
            joint_target_kernel,
            dim=self._target_pose.shape[:2],
            inputs=[
                wp.from_torch(self._target_pose, dtype=wp.mat44), data.qpos, data.site_xpos, data.site_xmat,
                data.xanchor, data.xaxis, index["eef_site"], index["arm_joint"], self._arm_qpos, self._limits,
                self._posture, ik.posture_gain, ik.damping, ik.rot_weight, ik.max_joint_step,
            ],
            outputs=[joints],
        )  # fmt: skip
        wp.launch(
            scenes.command_kernel,
            dim=(*self._target_pose.shape[:2], index["ctrl"].shape[1]),
            inputs=[joints, wp.from_torch(self._open_gripper), *self._commands, index["ctrl"]],
            outputs=[data.ctrl],
        )

    def read(self) -> None:
        """Launch the kernels that read the scene, and combine the overflow bits of all worlds."""
        data, index, views = self._data, self._index, self._buffer.views
        outputs = {name: wp.from_torch(view, dtype=wp.mat44 if view.ndim == 4 else None) for name, view in views.items()}
        of_arms = [index["joint_qpos"], index["joint_dof"]]
        if self._robot.finger_sites:
            of_arms = [self._arm_qpos, self._arm_dof]
        wp.launch(
            scenes.read_arms_kernel,
            dim=views["eef_pose"].shape[:2],
            inputs=[data.qpos, data.qvel, data.site_xpos, data.site_xmat, *of_arms, index["eef_site"]],
            outputs=[outputs["joint_pos"], outputs["joint_vel"], outputs["eef_pose"]],
        )  # fmt: skip
        if self._robot.finger_sites:
            wp.launch(
                scenes.read_fingers_kernel,
                dim=(*views["eef_pose"].shape[:2], 2),
                inputs=[
                    data.qvel, data.site_xpos, data.site_xmat, index["eef_site"], index["finger_site"], index["joint_dof"],
                    self._finger_ratio,
                ],
                outputs=[outputs["joint_pos"], outputs["joint_vel"]],
            )  # fmt: skip
        wp.launch(
            scenes.read_objects_kernel,
            dim=(data.nworld, index["free"].shape[0]),
            inputs=[
                data.qpos, data.qvel, data.xpos, data.xmat, index["body"], index["free"], index["root_qpos"],
                index["root_dof"],
            ],
            outputs=[outputs["object_pose"], outputs["root_pose"], outputs["root_velocity"]],
        )  # fmt: skip
        if index["bound"].shape[0]:
            self._read_bound(outputs)
        combined = wp.from_torch(self._overflow)
        wp.launch(scenes.overflow_kernel, dim=data.nworld, inputs=[data.overflow], outputs=[combined])

    def _read_bound(self, outputs: Mapping[str, Any]) -> None:
        """Launch the kernels that read the objects that are fixed or on joints."""
        data, index = self._data, self._index
        wp.launch(
            scenes.read_bound_kernel,
            dim=(data.nworld, index["bound"].shape[0]),
            inputs=[data.xpos, data.xquat, data.xmat, index["body"], index["bound"]],
            outputs=[outputs["object_pose"], outputs["root_pose"]],
        )
        for values, address, name in (
            (data.qpos, index["object_qpos"], "object_joint_pos"),
            (data.qvel, index["object_dof"], "object_joint_vel"),
        ):
            dim = (data.nworld, address.shape[0])
            wp.launch(scenes.read_joints_kernel, dim=dim, inputs=[values, address], outputs=[outputs[name]])

    def write(
        self,
        env_ids: Tensor,
        joint_pos: Tensor,
        joint_vel: Tensor,
        root_pose: Tensor,
        root_velocity: Tensor,
        object_joint_pos: Tensor,
        object_joint_vel: Tensor,
    ) -> None:
        """Set the envs `env_ids` (n,) to a state, and clear what they keep of earlier trials."""
        data, index, ids = self._data, self._index, wp.from_torch(env_ids)
        model_pos = self._robot.model_joint_pos(joint_pos)
        arms = [
            wp.from_torch(tensor.contiguous()) for tensor in (model_pos, self._robot.model_joint_vel(joint_pos, joint_vel))
        ]
        command = self._robot.holding_command(joint_pos).contiguous()
        objects = [wp.from_torch(tensor.contiguous()) for tensor in (root_pose, root_velocity)]
        places = [index["joint_qpos"], index["joint_dof"]]
        launch(scenes.write_arms_kernel, tuple(model_pos.shape), [ids, *arms, *places], [data.qpos, data.qvel], self._device)
        inputs = [ids, wp.from_torch(command), index["ctrl"]]
        launch(scenes.write_commands_kernel, tuple(command.shape), inputs, [data.ctrl], self._device)
        places = [index["free"], index["root_qpos"], index["root_dof"]]
        launch(
            scenes.write_objects_kernel, (len(env_ids), index["free"].shape[0]), [ids, *objects, *places],
            [data.qpos, data.qvel], self._device,
        )  # fmt: skip
        self._write_bound(ids, objects[0], object_joint_pos, object_joint_vel)
        launch(scenes.clear_kernel, len(env_ids), [ids], [data.time, data.qacc_warmstart], self._device)
        num_rows = data.efc.J.shape[1]
        launch(scenes.clear_rows_kernel, (len(env_ids), num_rows), [ids], [data.efc.J], self._device)

    def _write_bound(self, ids: Any, root_pose: Any, joint_pos: Tensor, joint_vel: Tensor) -> None:
        """Write the poses of fixed objects and the states of joints of objects to the envs `ids`."""
        data, index, num_envs = self._data, self._index, ids.shape[0]
        if num_fixed := index["fixed"].shape[0]:
            inputs = [ids, root_pose, index["fixed"], index["mocap"]]
            places = [data.mocap_pos, data.mocap_quat]
            launch(scenes.write_fixed_kernel, (num_envs, num_fixed), inputs, places, self._device)
        if num_joints := joint_pos.shape[1]:
            for values, address, of_joints in (
                (data.qpos, index["object_qpos"], joint_pos),
                (data.qvel, index["object_dof"], joint_vel),
            ):
                inputs = [ids, wp.from_torch(of_joints.contiguous()), address]
                launch(scenes.write_joints_kernel, (num_envs, num_joints), inputs, [values], self._device)

    def forget_overflow(self) -> None:
        """Clear all overflow bits."""
        self._data.overflow.zero_()
        self._overflow.zero_()

    def watch_overflow(self) -> None:
        """Start to copy the overflow bits to the host."""
        self._overflow_on_host.copy_(self._overflow, non_blocking=True)

    def overflow_seen(self) -> int:
        """Overflow bits of all steps whose results have reached the host."""
        return int(self._overflow_on_host[0])
