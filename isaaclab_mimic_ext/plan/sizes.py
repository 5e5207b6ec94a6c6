"""Adaptation of segments to objects that are smaller or larger than those of the source demos."""

# N envs, E end effectors, D demos, S subtasks, T steps, O objects, R rows (an env and one of its end effectors each),
# V meshes of an object

from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.kernels.waypoints import Segments
from isaaclab_mimic_ext.plan.subtasks import SubtaskTable


@dataclass(frozen=True)
class ObjectBoxes:
    """Bounding boxes of the objects in their frames.

    Attributes:
        center, half_size: (O, 3) [m].
        rest_height: (O,), height of the frame above the table when the object stands upright [m].
        growth: (V, O, 3), relative change of the size along each axis, about the center of the bottom, by number of the
            mesh; None: no change. It is that of objects which have another mesh than in the source demos.
    """

    center: Tensor
    half_size: Tensor
    rest_height: Tensor
    growth: Tensor | None = None


@dataclass(frozen=True)
class Place:
    """Rows: env, end effector and subtask of each, (R,) int64."""

    env_ids: Tensor
    eef_ids: Tensor
    subtask: Tensor


class SizeAdaptation:
    """Moves the waypoints of each segment with the surface of its object, and keeps the path of an object in the gripper.

    A waypoint at `p` in the frame of an object that is `s` times as large moves by `(s - 1) q`. `q` is the point of the
    bounding box nearest to `p`: within the box, waypoints scale with the object, and beyond, they keep their distance to
    its surface. With another mesh, `s` differs along the axes, and `p` and `q` are relative to the center of the bottom,
    which both meshes share. If the gripper holds another object, the keypoint of this object is below its frame, where it
    rests on the table: the keypoint follows the path that it has in the source demo.

    Attributes:
        tensors: `anchor` (N, E, 4, 4), pose of the object; `low`, `high` (N, E, 3), its own box; `growth`
            (N, E, 3), `s - 1`; `shift` (N, E, 3), motion of the waypoint in its own frame [m].
    """

    def __init__(self, pool: SourcePool, table: SubtaskTable, boxes: ObjectBoxes, num_envs: int):
        device, num_eefs = pool.lengths.device, pool.subtask_ends.shape[0]
        self._pool, self._object_id = pool, table.object_id
        # The last object stands for none: it has no size.
        none = torch.zeros(1, 3, device=device)
        growth = torch.zeros_like(boxes.center)[None] if boxes.growth is None else boxes.growth
        is_other = (growth != 0.0).any(-1)
        bottom = torch.cat((boxes.center[:, :2], -boxes.rest_height[:, None]), dim=1)
        fixed = torch.where(is_other.any(0)[:, None], bottom, 0.0)
        self._growth, self._fixed = _with_none(growth), torch.cat((fixed, none))
        self._is_other = _with_none(is_other)
        self._low = torch.cat((boxes.center - boxes.half_size - fixed, none))
        self._high = torch.cat((boxes.center + boxes.half_size - fixed, none))
        self._rest_height = torch.cat((boxes.rest_height, none[:, 0]))

        def zeros(*size: int) -> Tensor:
            return torch.zeros(num_envs, num_eefs, *size, device=device)

        self.tensors = {"anchor": zeros(4, 4), "low": zeros(3), "high": zeros(3), "growth": zeros(3), "shift": zeros(3)}

    def begin(
        self,
        place: Place,
        segments: Segments,
        eef_pose: Tensor,
        object_pose: Tensor,
        scale: Tensor,
        attached: Tensor,
        mesh: Tensor | None = None,
    ) -> None:
        """Adapt the segments that begin now.

        Args:
            segments: with the new segments.
            eef_pose, object_pose: (N, E, 4, 4) and (N, O, 4, 4), present, env frame [m].
            scale: (N, O), factors of the sizes of the objects.
            attached: (N, E) int64, index of the object in each gripper, -1 if empty.
            mesh: (N, O) int64, numbers of the meshes of the objects; None: all have the first one.
        """
        at = place.env_ids, place.eef_ids
        none = len(self._low) - 1
        target = self._object_id[place.eef_ids, place.subtask]
        padded = torch.cat((scale, torch.ones_like(scale[:, :1])), dim=1)
        number = torch.zeros_like(padded, dtype=torch.int64)
        if mesh is not None:
            number[:, :-1] = mesh
        eye = torch.eye(4, device=scale.device).expand(len(scale), 1, 4, 4)
        poses = torch.cat((object_pose, eye), dim=1)
        tensors = self.tensors
        anchor = poses[place.env_ids, target]
        tensors["anchor"][at] = anchor
        tensors["anchor"][(*at, slice(3), 3)] += (anchor[:, :3, :3] * self._fixed[target][:, None]).sum(-1)
        tensors["low"][at], tensors["high"][at] = self._low[target], self._high[target]
        growth = self._growth[number[place.env_ids, target], target]
        tensors["growth"][at] = (padded[place.env_ids, target] - 1.0)[:, None] + growth
        held = attached[at]
        held = torch.where((held < 0) | (held == target), none, held)
        factor = padded[place.env_ids, held]
        present = self._keypoint(eef_pose[at], poses[place.env_ids, held], factor * self._rest_height[held])
        demo, step = segments.demo[at].long(), segments.start[at].long()
        source_object = self._pool.object_pose[held, demo, step]
        source = self._keypoint(self._pool.eef_pose[place.eef_ids, demo, step], source_object, self._rest_height[held])
        is_resized = (held != none) & ((factor != 1.0) | self._is_other[number[place.env_ids, held], held])
        tensors["shift"][at] = torch.where(is_resized[:, None], source - present, 0.0)

    @staticmethod
    def _keypoint(eef_pose: Tensor, object_pose: Tensor, rest_height: Tensor) -> Tensor:
        """Resting point of objects in the frames of the end effectors, (R, 3) [m]."""
        point = object_pose[:, :3, 3] - rest_height[:, None] * object_pose[:, :3, 2]
        return (eef_pose[:, :3, :3] * (point - eef_pose[:, :3, 3])[..., None]).sum(-2)


def _with_none(values: Tensor) -> Tensor:
    """Values (V, O, ...) of the objects, and 0 for the last object, which stands for none."""
    return torch.cat((values, torch.zeros_like(values[:, :1])), dim=1)
