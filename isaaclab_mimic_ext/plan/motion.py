"""Motion planning for transits between skills: the planner's interface, and the built-in planner `BoxPlanner`.

SkillGen (arXiv 2410.18907) replays only the skills of a source demo. The transit from the end of one skill to the start of
the next is planned in the present scene. All rows (an env and one of its end effectors each) are planned together, in
batched tensor operations. The plan of a row depends only on that row.
"""

# R rows, O objects, K candidate routes, V = 6 vertices of a route, L steps of the longest path, E end effectors

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Protocol

import torch
from torch import Tensor

from isaaclab_mimic_ext.plan.motion_geometry import Boxes, Mover, Speed, depth_below, smooth_paths, top_of, touches


class MotionFailure(IntEnum):
    """Reason why a row has no path."""

    NONE = 0
    OBSTRUCTED = 1
    OUT_OF_REACH = 2
    TOO_LONG = 3


MOTION_FAILURES = ("", "no clear path", "the only clear path is out of reach", "the only clear path takes too many steps")
"""Text of each `MotionFailure`, in reports."""


@dataclass(frozen=True)
class MotionQuery:
    """R planning problems. Poses are in the env frame [m].

    Attributes:
        env_ids, eef_ids: (R,) int64, for planners with access to the envs.
        start: (R, 4, 4), last target pose of the end effector, at which the path starts.
        goal: (R, 4, 4), first pose of the skill.
        eef_pose: (R, 4, 4), present pose of the end effector.
        object_pose: (R, O, 4, 4).
        attached: (R,) int64, index of the object in the gripper, -1 if empty.
    """

    env_ids: Tensor
    eef_ids: Tensor
    start: Tensor
    goal: Tensor
    eef_pose: Tensor
    object_pose: Tensor
    attached: Tensor


@dataclass(frozen=True)
class MotionPlan:
    """Solutions of R planning problems.

    Attributes:
        path: (R, L, 4, 4), one pose per step; the last one is the goal, which fills the rest of the row. Env frame [m].
        length: (R,) int64, number of steps of the path, at least 1.
        failure: (R,) int64, value of `MotionFailure`; if it is not `NONE`, the path is one step at the start.
    """

    path: Tensor
    length: Tensor
    failure: Tensor

    @property
    def success(self) -> Tensor:
        """Return whether a path was found, (R,) bool."""
        return self.failure == MotionFailure.NONE


class MotionPlanner(Protocol):
    """Plans paths for end effectors."""

    @property
    def max_length(self) -> int:
        """Largest number of steps of a path, L."""

    def plan(self, query: MotionQuery) -> MotionPlan:
        """Plan collision-free paths from start to goal. Rows without such a path get a `failure`."""


@dataclass(frozen=True)
class Workspace:
    """Positions that the arms can reach.

    Attributes:
        shoulder: (E, 3), position of each arm's shoulder, env frame [m].
        wrist: position of the wrist in the end effector's frame [m].
        max_reach: largest distance of the wrist from the shoulder [m].
        max_height: largest height of the end effector, env frame [m].
    """

    shoulder: Tensor
    wrist: tuple[float, float, float]
    max_reach: float
    max_height: float


class BoxPlanner:
    """Plans collision-free paths with bounding boxes: straight, over, or around the objects.

    Of K candidate routes, the planner takes the one with the fewest steps that touches no object's bounding box.

    - The straight route follows the line from start to goal.
    - Routes over objects lift the hand vertically, cross, and descend vertically. One route crosses at the height of start
      or goal, and one just above each object.
    - Routes around objects follow the line from start to goal at an offset to either side.

    Every pose of the resulting paths is checked, rounded corners included. An object that the hand touches at the start or
    the goal (just released, or about to be grasped) may also be touched in the vertical column above that pose. The hand
    leaves and approaches such objects from above.

    Args:
        objects: bounding boxes of the O objects, in their own frames.
        hand: bounding boxes of the hand in the end effector's frame, equal for all end effectors.
        workspace: limits of all paths.
        clearance: smallest distance between boxes of the hand and of objects [m].
        speed: largest motion per step.
        max_length: largest number of steps of a path, L.
    """

    around = (-0.24, -0.13, 0.13, 0.24)
    """Offsets of the routes around objects, to the side of the line from start to goal [m]."""
    bends = (0.2, 0.8)
    """Fractions of the line from start to goal between which the routes around objects are offset."""
    column = 0.015
    """Horizontal distance from the start or goal pose within which contacts already present are ignored and no clearance is
    required [m]."""
    rounding = 0.03
    """Additional height of routes over an object, to compensate for rounded corners [m]."""
    batch_size = 128
    """Number of rows that are planned together, which limits the memory; results do not depend on it."""

    def __init__(
        self,
        objects: Boxes,
        hand: Boxes,
        workspace: Workspace,
        clearance: float = 0.015,
        speed: Speed | None = None,
        max_length: int = 96,
    ):
        self.objects, self.hand, self.workspace, self.clearance = objects, hand, workspace, clearance
        self.speed = speed or Speed()
        self._max_length = max_length
        self._sides = torch.tensor(self.around, device=objects.center.device)
        self._wrist = torch.tensor(workspace.wrist, device=objects.center.device)
        self._clearance = torch.tensor(clearance, device=objects.center.device)

    @property
    def max_length(self) -> int:
        return self._max_length

    def plan(self, query: MotionQuery) -> MotionPlan:
        rows = torch.arange(len(query.start), device=query.start.device).split(self.batch_size)
        plans = [self._plan(_take(query, ids)) for ids in rows]
        return MotionPlan(*(torch.cat([getattr(plan, field.name) for plan in plans]) for field in fields(MotionPlan)))

    def _plan(self, query: MotionQuery) -> MotionPlan:
        mover = Mover.of(self.hand, self.objects, query.eef_pose, query.object_pose, query.attached)
        vertices = self._routes(query, mover)
        paths, lengths = smooth_paths(vertices, query.start, query.goal, self.speed, self._max_length)
        too_long = lengths > self._max_length
        out = self._is_out_of_reach(query, paths)
        obstructed = self._is_obstructed(query, mover, paths)
        usable = ~(too_long | out | obstructed)
        best = lengths.masked_fill(~usable, torch.iinfo(torch.int64).max).argmin(-1)
        failure = torch.zeros_like(best) + MotionFailure.OUT_OF_REACH
        failure.masked_fill_((~obstructed & ~out).any(-1), MotionFailure.TOO_LONG)
        failure.masked_fill_(obstructed.all(-1), MotionFailure.OBSTRUCTED)
        failure.masked_fill_(usable.any(-1), MotionFailure.NONE)
        rows = torch.arange(len(best), device=best.device)
        failed = failure != MotionFailure.NONE
        path = torch.where(failed[:, None, None, None], query.start[:, None], paths[rows, best])
        return MotionPlan(path, lengths[rows, best].masked_fill(failed, 1), failure)

    def _routes(self, query: MotionQuery, mover: Mover) -> Tensor:
        """Vertices of the candidate routes, (R, K, V, 3): start, above the start, two bends, above the goal, goal [m]."""
        start, goal = query.start[:, :3, 3], query.goal[:, :3, 3]
        level = torch.maximum(start[:, 2], goal[:, 2])
        below = torch.maximum(depth_below(mover, query.start), depth_below(mover, query.goal))
        tops = top_of(self.objects, query.object_pose) + (below + self.clearance + self.rounding)[:, None]
        over = torch.maximum(tops, level[:, None])
        num_around = len(self._sides)
        height = torch.cat((level[:, None], level[:, None], over, level[:, None].expand(-1, num_around)), dim=1)
        num_routes = height.shape[1]
        side = torch.zeros(num_routes, device=start.device)
        side[-num_around:] = self._sides
        across = goal - start
        norm = (across[:, 0] * across[:, 0] + across[:, 1] * across[:, 1]).sqrt().clamp(min=1e-6)
        aside = torch.stack((-across[:, 1] / norm, across[:, 0] / norm), dim=-1)

        def corner(pos: Tensor) -> Tensor:
            return torch.cat((pos[:, None, :2].expand(-1, num_routes, -1), height[..., None]), dim=-1)

        bends = [corner(start + share * across) for share in self.bends]
        for bend in bends:
            bend[..., :2] = bend[..., :2] + side[:, None] * aside[:, None]
        ends = [pos[:, None].expand(-1, num_routes, -1) for pos in (start, goal)]
        vertices = torch.stack((ends[0], corner(start), *bends, corner(goal), ends[1]), dim=2)
        straight = torch.stack((start, start, *(start + share * across for share in self.bends), goal, goal), dim=1)
        return torch.cat((straight[:, None], vertices[:, 1:]), dim=1)

    def _is_out_of_reach(self, query: MotionQuery, paths: Tensor) -> Tensor:
        """Return which paths leave the workspace farther than their start or goal already does, (R, K) bool."""
        shoulder = self.workspace.shoulder[query.eef_ids][:, None, None]

        def excess(pose: Tensor) -> Tensor:
            offset = pose[..., :3, 3] + (pose[..., :3, :3] * self._wrist).sum(-1) - shoulder
            too_far = (offset * offset).sum(-1).sqrt() - self.workspace.max_reach
            return torch.maximum(too_far, pose[..., 2, 3] - self.workspace.max_height)

        ends = excess(torch.stack((query.start, query.goal), dim=1)[:, None]).amax((-1, -2)).clamp(min=0.0)
        return excess(paths).amax(-1) > ends[:, None] + 1e-3

    def _is_obstructed(self, query: MotionQuery, mover: Mover, paths: Tensor) -> Tensor:
        """Return which paths touch an object outside of the columns above start and goal, (R, K) bool."""
        is_obstacle = torch.arange(query.object_pose.shape[1], device=paths.device) != query.attached[:, None]

        def touching(poses: Tensor, clearance: Tensor) -> Tensor:
            """Return which box of the mover touches which object, (R, ..., B, O) bool."""
            return touches(mover, poses, self.objects, query.object_pose, clearance)

        near_start, near_goal = (self._is_near(paths, end) for end in (query.start, query.goal))
        clearance = self._clearance.expand(near_start.shape).masked_fill(near_start | near_goal, 0.0)
        at_ends = (touching(end[:, None, None], self._clearance) for end in (query.start, query.goal))
        at_start, at_goal = at_ends
        allowed = (at_start & near_start[..., None, None]) | (at_goal & near_goal[..., None, None])
        collides = touching(paths, clearance) & ~allowed & is_obstacle[:, None, None, None]
        return collides.flatten(2).any(-1)

    def _is_near(self, paths: Tensor, end: Tensor) -> Tensor:
        """Return which poses are in the vertical column above an end (R, 4, 4) of the path, (R, K, L) bool."""
        offset = paths[..., :3, 3] - end[:, None, None, :3, 3]
        aside = offset[..., 0] * offset[..., 0] + offset[..., 1] * offset[..., 1]
        return (aside < self.column**2) & (offset[..., 2] > -self.column)


def _take(query: MotionQuery, ids: Tensor) -> MotionQuery:
    return MotionQuery(*(getattr(query, field.name)[ids] for field in fields(query)))


def hand_boxes(device: torch.device, boxes: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Boxes:
    """Build the hand's bounding boxes from the (center, half size) of each, in the end effector's frame [m]."""
    center, half_size = (torch.tensor([box[i] for box in boxes], device=device) for i in (0, 1))
    return Boxes(center, half_size)
