"""Motion of objects on joints in the kinematic engine: a held one follows the hand, and takes along the objects in it."""

# n envs, E arms, O objects, Q objects on joints

import torch
from torch import Tensor

from isaaclab_mimic_ext.math import invert_pose, quat_xyzw_from_matrix
from isaaclab_mimic_ext.task.definition import SceneState, Task
from isaaclab_mimic_ext.task.joints import ObjectJoints


class BoundMotion:
    """Motion of the objects on joints of a task."""

    def __init__(self, task: Task, joints: ObjectJoints, device: torch.device):
        self._joints = joints
        self._free_ids = [index for index, obj in enumerate(task.objects) if obj.is_free]
        self._center = torch.tensor([obj.box_center for obj in joints.objects], device=device)
        self._half_size = torch.tensor([obj.box_half_size for obj in joints.objects], device=device)

    def move(self, before: SceneState, after: SceneState, held_ids: Tensor, moves: Tensor, eef_to_held: Tensor) -> None:
        """Move the objects on joints of `after`, in place, whose held objects have been moved with their hands.

        Args:
            before: scene (n) before the step.
            held_ids: index of the object in each gripper, (n, E).
            moves: which grippers hold an object, (n, E) bool.
            eef_to_held: pose of the object in the frame of the end effector at the grasp, (n, E, 4, 4).
        """
        joint_pos = after.object_joint_pos
        pose = self._joints.place(after.object_pose, joint_pos)
        for column, object_id in enumerate(self._joints.ids):
            holds = moves & (held_ids == object_id)
            arm = holds.int().argmax(-1)
            rows = torch.arange(len(arm), device=arm.device)
            grip = invert_pose(eef_to_held[rows, arm])[:, :3, 3]
            hand = after.eef_pose[rows, arm, :3, 3]
            goal = self._joints.follow(column, pose, grip, hand, joint_pos[:, column])
            joint_pos[:, column] = torch.where(holds.any(-1), goal, joint_pos[:, column])
            pose = self._joints.place(pose, joint_pos)
        is_held = [(moves & (held_ids == object_id)).any(-1) for object_id in range(pose.shape[1])]
        for column, object_id in enumerate(self._joints.ids):
            self._take_along(column, before, after, pose[:, object_id], is_held)
        self.follow_bases(after)

    def follow_bases(self, scene: SceneState) -> None:
        """Move the objects on joints, in place, to the poses that follow from their bases and joints."""
        scene.object_pose.copy_(self._joints.place(scene.object_pose, scene.object_joint_pos))
        scene.root_pose.copy_(self._joints.place_roots(scene.root_pose, scene.object_pose))

    def _take_along(self, column: int, before: SceneState, after: SceneState, pose: Tensor, is_held: list[Tensor]) -> None:
        """Move the free objects in the box of an object on a joint to its new pose (n, 4, 4), in place."""
        object_id = self._joints.ids[column]
        to_box = invert_pose(before.object_pose[:, object_id])
        moved = before.object_joint_pos[:, column] != after.object_joint_pos[:, column]
        for free_id in self._free_ids:
            inside = to_box @ before.object_pose[:, free_id]
            within = ((inside[:, :3, 3] - self._center[column]).abs() <= self._half_size[column]).all(-1)
            mask = moved & within & ~is_held[free_id]
            carried = torch.where(mask[:, None, None], pose @ inside, after.object_pose[:, free_id])
            root = torch.cat((carried[:, :3, 3], quat_xyzw_from_matrix(carried[:, :3, :3])), dim=-1)
            after.object_pose[:, free_id] = carried
            after.root_pose[:, free_id] = torch.where(mask[:, None], root, after.root_pose[:, free_id])
