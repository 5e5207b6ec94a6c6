"""Current waypoint of each end effector: gather from the source demos, transform and interpolation in one kernel.

This is MimicGen's generation step (arXiv 2310.17596, section 4.2). The path of a segment consists of the target poses of
the source demo, moved by `transform`. If `prepend` is 1, the achieved pose at the start of the segment comes first. The
waypoints of a segment are, in order:

1. `num_interpolation` poses between the start pose and the first pose of the path;
2. the first pose of the path, `num_fixed` + 1 times;
3. the remaining poses of the path.

With planned transits (SkillGen), the poses of the transit replace the interpolated poses, and the gripper action does not
change. At cursor -1, before the first waypoint, an end effector keeps its previous waypoint.
"""

# N envs, E end effectors, D demos, T steps of the padded pool, G gripper entries, L waypoints of the longest transit

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import warp as wp
from torch import Tensor

from isaaclab_mimic_ext.kernels import RepeatedLaunch, as_array, as_struct
from isaaclab_mimic_ext.kernels.poses import pose_from, position, rotation
from isaaclab_mimic_ext.math import interpolate_poses, rotation_angle

LEGACY_SMALL_ANGLE = 0.05
"""Rotations smaller than this are not interpolated in Isaac Lab and MimicGen: they jump to the goal rotation [rad]."""


@dataclass
class Segments:
    """Segment that each end effector executes.

    Attributes:
        demo: (N, E) int32, index of the source demo.
        start, length: (N, E) int32, range of the segment in the source demo [steps].
        cursor: (N, E) int32, index of the current waypoint; -1 before the first.
        num_interpolation: (N, E) int32, number of interpolated waypoints.
        num_fixed: (N, E) int32, number of repetitions of the first pose.
        prepend: (N, E) int32, 1 if the achieved pose comes first, else 0.
        transform: (N, E, 4, 4), from poses of the source demo to poses of this scene, env frames [m].
        start_pose: (N, E, 4, 4), start of the interpolation, env frame [m].
    """

    demo: Tensor
    start: Tensor
    length: Tensor
    cursor: Tensor
    num_interpolation: Tensor
    num_fixed: Tensor
    prepend: Tensor
    transform: Tensor
    start_pose: Tensor

    @classmethod
    def empty(cls, num_envs: int, num_eefs: int, device: torch.device) -> "Segments":
        """Initial segments: one step of demo 0, identity transform, cursor 0."""

        def integers(value: int) -> Tensor:
            return torch.full((num_envs, num_eefs), value, dtype=torch.int32, device=device)

        eye = torch.eye(4, device=device).expand(num_envs, num_eefs, 4, 4)
        zeros = [integers(0) for _ in range(5)]
        return cls(zeros[0], zeros[1], integers(1), *zeros[2:], integers(0), eye.clone(), eye.clone())

    @property
    def num_waypoints(self) -> Tensor:
        """Number of waypoints of each segment, (N, E) int32."""
        return self.num_interpolation + self.num_fixed + self.length + self.prepend


@wp.struct
class Sizes:
    """Adaptation of segments to the sizes of objects, (N, E): fields of `plan.sizes.SizeAdaptation`."""

    anchor: wp.array(dtype=wp.mat44, ndim=2)
    low: wp.array(dtype=wp.vec3, ndim=2)
    high: wp.array(dtype=wp.vec3, ndim=2)
    growth: wp.array(dtype=wp.vec3, ndim=2)
    shift: wp.array(dtype=wp.vec3, ndim=2)


@wp.kernel(enable_backward=False)
def _waypoint_kernel(
    target_pool: wp.array(dtype=wp.mat44, ndim=3),
    eef_pool: wp.array(dtype=wp.mat44, ndim=3),
    gripper_pool: wp.array(dtype=wp.float32, ndim=4),
    demo: wp.array(dtype=wp.int32, ndim=2),
    start: wp.array(dtype=wp.int32, ndim=2),
    cursor: wp.array(dtype=wp.int32, ndim=2),
    num_interpolation: wp.array(dtype=wp.int32, ndim=2),
    num_fixed: wp.array(dtype=wp.int32, ndim=2),
    prepend: wp.array(dtype=wp.int32, ndim=2),
    transform: wp.array(dtype=wp.mat44, ndim=2),
    start_pose: wp.array(dtype=wp.mat44, ndim=2),
    legacy_angle: wp.float32,
    paths: wp.array(dtype=wp.mat44, ndim=3),
    is_planned: wp.int32,
    sizes: Sizes,
    is_sized: wp.int32,
    target: wp.array(dtype=wp.mat44, ndim=2),
    gripper: wp.array(dtype=wp.float32, ndim=3),
):
    n, e = wp.tid()
    if cursor[n, e] < 0:
        return
    if is_planned != 0 and cursor[n, e] < num_interpolation[n, e]:
        target[n, e] = paths[n, e, cursor[n, e]]
        return
    source = demo[n, e]
    first = start[n, e]
    index = wp.max(cursor[n, e] - num_interpolation[n, e] - num_fixed[n, e], 0)
    step = first + wp.max(index - prepend[n, e], 0)
    pose = target_pool[e, source, step]
    if index < prepend[n, e]:
        pose = eef_pool[e, source, first]
    pose = transform[n, e] * pose
    if is_sized != 0:
        pose = _adapt(pose, sizes.anchor[n, e], sizes.low[n, e], sizes.high[n, e], sizes.growth[n, e], sizes.shift[n, e])
    if cursor[n, e] < num_interpolation[n, e]:
        fraction = float(cursor[n, e] + 1) / float(num_interpolation[n, e] + 1)
        pose = _interpolate(start_pose[n, e], pose, fraction, legacy_angle)
    target[n, e] = pose
    for g in range(gripper_pool.shape[3]):
        gripper[n, e, g] = gripper_pool[e, source, step, g]


@wp.func
def _adapt(pose: wp.mat44, anchor: wp.mat44, low: wp.vec3, high: wp.vec3, growth: wp.vec3, shift: wp.vec3) -> wp.mat44:
    """Move a waypoint with the surface of the object at `anchor`, and by `shift` in its own frame."""
    place = wp.transpose(rotation(anchor)) * (position(pose) - position(anchor))
    nearest = wp.vec3()
    for i in range(3):
        nearest[i] = wp.clamp(place[i], low[i], high[i])
    moved = position(pose) + rotation(anchor) * wp.cw_mul(growth, nearest) + rotation(pose) * shift
    return pose_from(rotation(pose), moved)


@wp.func
def _interpolate(start: wp.mat44, goal: wp.mat44, fraction: wp.float32, legacy_angle: wp.float32) -> wp.mat44:
    start_rot = rotation(start)
    relative = wp.normalize(wp.quat_from_matrix(wp.transpose(start_rot) * rotation(goal)))
    vec = wp.vec3(relative[0], relative[1], relative[2])
    sine = wp.length(vec)
    angle = 2.0 * wp.atan2(sine, wp.abs(relative[3]))
    rot = rotation(goal)
    if angle >= legacy_angle and sine > 1.0e-7:
        axis = vec * (wp.where(relative[3] < 0.0, -1.0, 1.0) / sine)
        rot = start_rot * wp.quat_to_matrix(wp.quat_from_axis_angle(axis, fraction * angle))
    x = start[0, 3] + fraction * (goal[0, 3] - start[0, 3])
    y = start[1, 3] + fraction * (goal[1, 3] - start[1, 3])
    z = start[2, 3] + fraction * (goal[2, 3] - start[2, 3])
    return pose_from(rot, wp.vec3(x, y, z))


class WaypointReader:
    """Computes the current waypoints and stores them in its own buffers.

    Args:
        target_pool, eef_pool: (E, D, T, 4, 4), target and achieved poses of the source demos, env frame [m].
        gripper_pool: (E, D, T, G), gripper actions of the source demos.
        segments: read at each call. Write to its tensors in place; replaced tensors are not seen.
        legacy_small_rotation: do not interpolate rotations smaller than `LEGACY_SMALL_ANGLE`.
        paths: (N, E, L, 4, 4), poses of planned transits, env frame [m]; read at each call. None: interpolate.
        sizes: adaptation to the sizes of objects, `Sizes` -> (N, E, ...); read at each call. None: not adapted.
    """

    def __init__(
        self,
        target_pool: Tensor,
        eef_pool: Tensor,
        gripper_pool: Tensor,
        segments: Segments,
        legacy_small_rotation: bool,
        paths: Tensor | None = None,
        sizes: Mapping[str, Tensor] | None = None,
    ):
        num_envs, num_eefs = segments.demo.shape
        self.device = target_pool.device
        self.target = torch.zeros(num_envs, num_eefs, 4, 4, device=self.device)
        self.gripper = torch.zeros(num_envs, num_eefs, gripper_pool.shape[-1], device=self.device)
        integers = (segments.demo, segments.start, segments.cursor, segments.num_interpolation, segments.num_fixed)
        inputs = [
            *(as_array(pool.contiguous(), dtype=wp.mat44) for pool in (target_pool, eef_pool)),
            as_array(gripper_pool.contiguous()),
            *(as_array(tensor) for tensor in (*integers, segments.prepend)),
            *(as_array(tensor, dtype=wp.mat44) for tensor in (segments.transform, segments.start_pose)),
            LEGACY_SMALL_ANGLE if legacy_small_rotation else 0.0,
            as_array(torch.zeros(1, 1, 1, 4, 4, device=self.device) if paths is None else paths, dtype=wp.mat44),
            int(paths is not None),
            as_struct(Sizes, _no_sizes(self.device) if sizes is None else sizes),
            int(sizes is not None),
        ]
        outputs = [as_array(self.target, dtype=wp.mat44), as_array(self.gripper)]
        self._launch = RepeatedLaunch(_waypoint_kernel, self.target.shape[:2], inputs, outputs, self.device)

    def read(self) -> tuple[Tensor, Tensor]:
        """Target poses (N, E, 4, 4), env frame [m], and gripper actions (N, E, G). The next call overwrites both."""
        self._launch()
        return self.target, self.gripper


def _no_sizes(device: torch.device) -> dict[str, Tensor]:
    shapes = {"anchor": (4, 4), "low": (3,), "high": (3,), "growth": (3,), "shift": (3,)}
    return {name: torch.zeros(1, 1, *shape, device=device) for name, shape in shapes.items()}


def waypoints_torch(
    target_pool: Tensor,
    eef_pool: Tensor,
    gripper_pool: Tensor,
    segments: Segments,
    legacy_small_rotation: bool,
    last: tuple[Tensor, Tensor],
    paths: Tensor | None = None,
    sizes: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Reference implementation of `WaypointReader.read` in torch operations. `last` is the previous result."""
    eef = torch.arange(segments.demo.shape[1], device=target_pool.device)
    demo, start, prepend = segments.demo.long(), segments.start.long(), segments.prepend.long()
    index = (segments.cursor - segments.num_interpolation - segments.num_fixed).clamp(min=0).long()
    step = start + (index - prepend).clamp(min=0)
    at_prepended = (index < prepend)[..., None, None]
    pose = segments.transform @ torch.where(at_prepended, eef_pool[eef, demo, start], target_pool[eef, demo, step])
    if sizes is not None:
        anchor = sizes["anchor"]
        place = (anchor[..., :3, :3] * (pose[..., :3, 3] - anchor[..., :3, 3])[..., None]).sum(-2)
        grown = sizes["growth"] * place.clamp(sizes["low"], sizes["high"])
        shift = (pose[..., :3, :3] * sizes["shift"][..., None, :]).sum(-1)
        pose[..., :3, 3] += (anchor[..., :3, :3] * grown[..., None, :]).sum(-1) + shift
    fraction = (segments.cursor + 1) / (segments.num_interpolation + 1)
    between = interpolate_poses(segments.start_pose, pose, fraction.float())
    if legacy_small_rotation:
        jump = rotation_angle(segments.start_pose[..., :3, :3], pose[..., :3, :3]) < LEGACY_SMALL_ANGLE
        between[..., :3, :3] = torch.where(jump[..., None, None], pose[..., :3, :3], between[..., :3, :3])
    interpolating = (segments.cursor < segments.num_interpolation)[..., None, None]
    waiting = (segments.cursor < 0)[..., None]
    keeps_gripper = waiting
    if paths is not None:
        at = segments.cursor.clamp(min=0, max=paths.shape[2] - 1).long()
        between = paths[torch.arange(len(paths), device=paths.device)[:, None], eef, at]
        keeps_gripper = waiting | interpolating[..., 0]
    target = torch.where(waiting[..., None], last[0], torch.where(interpolating, between, pose))
    return target, torch.where(keeps_gripper, last[1], gripper_pool[eef, demo, step])
