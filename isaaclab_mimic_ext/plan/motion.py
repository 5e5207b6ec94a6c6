"""Motion planning for the stretches between skills: what a planner is asked, what it answers, and one that is built in.

SkillGen (arXiv 2410.18907) replays only the skills of a demonstration; how the end effector gets from the end of one to the
start of the next is planned anew in the scene as it is. All rows (an env and one of its end effectors each) are planned at
once, in batched tensor operations; what is planned for a row depends on that row alone.
"""

# R rows, O objects, K candidate ways, V = 6 vertices of a way, L steps of the longest path, E end effectors

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Protocol

import torch
from torch import Tensor

from isaaclab_mimic_ext.plan.motion_geometry import Boxes, Mover, Speed, reach_below, smooth_paths, top_of, touches


class MotionFailure(IntEnum):
    """Why a row has no path."""

    NONE = 0
    OBSTRUCTED = 1
    OUT_OF_REACH = 2
    TOO_LONG = 3


MOTION_FAILURES = ("", "no clear way", "the only clear way is out of reach", "the only clear way takes too many steps")
"""What a user reads, by `MotionFailure`."""


@dataclass(frozen=True)
class MotionQuery:
    """R problems. Poses are in the env frame [m].

    Attributes:
        env_ids, eef_ids: (R,) int64, for planners that know the envs themselves.
        start: (R, 4, 4), the end effector's last target; the path leads on from there.
        goal: (R, 4, 4), the first pose of the skill.
        eef_pose: (R, 4, 4), where the end effector is.
        object_pose: (R, O, 4, 4).
        attached: (R,) int64, the object in the gripper, -1 for none.
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
    """Answers to R problems.

    Attributes:
        path: (R, L, 4, 4), a pose for each step, the last of them the goal, which is repeated to the end of the row.
        length: (R,) int64, steps of the path, 1 or more.
        failure: (R,) int64, values of `MotionFailure`; where it is not `NONE`, the path is one step at the start.
    """

    path: Tensor
    length: Tensor
    failure: Tensor

    @property
    def success(self) -> Tensor:
        """(R,) bool."""
        return self.failure == MotionFailure.NONE


class MotionPlanner(Protocol):
    """Plans paths for end effectors."""

    @property
    def max_length(self) -> int:
        """L, the most steps that a path can take."""

    def plan(self, query: MotionQuery) -> MotionPlan:
        """Paths from start to goal that touch nothing, as far as there are any."""


@dataclass(frozen=True)
class Workspace:
    """Where the arms can be.

    Attributes:
        shoulder: (E, 3), env frame [m].
        wrist: the wrist's place in the end effector's frame [m].
        max_reach: of the wrist from the shoulder [m].
        max_height: of the end effector, env frame [m].
    """

    shoulder: Tensor
    wrist: tuple[float, float, float]
    max_reach: float
    max_height: float


class BoxPlanner:
    """Goes straight, over, or around: of these ways the one with the fewest steps that touches no object's bounding box.

    Ways over lift the hand straight up, go across and come straight down. One is tried at the height of start or goal, and
    one just above each object; ways around follow the line from start to goal at some distance to either side. Every pose of
    every way is checked, rounded corners included. What is touched at the start or the goal already (the thing that was let
    go, or is to be grasped) may be touched straight above there: it is left and come to from above.

    Args:
        objects: the O objects' bounding boxes, in their own frames.
        hand: the boxes of the hand, in the end effector's frame; the same for every end effector.
        workspace: beyond it no path goes.
        clearance: between boxes [m].
        speed: what a path may do in a step.
        max_length: L.
    """

    around = (-0.24, -0.13, 0.13, 0.24)
    """To the side of the line from start to goal, for the middle part of it [m]."""
    bends = (0.2, 0.8)
    """Where on the line the middle part begins and ends, as a share of its length."""
    column = 0.015
    """So near to the vertical up from start or goal, what is touched there does not count, nor others' clearance [m]."""
    rounding = 0.03
    """What a way over an object adds to its height, because corners are rounded [m]."""
    rows_at_once = 128
    """Memory for that many rows; the answers do not depend on it."""

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
        self._sides = torch.tensor(self.around, device=objects.centre.device)
        self._wrist = torch.tensor(workspace.wrist, device=objects.centre.device)
        self._clearance = torch.tensor(clearance, device=objects.centre.device)

    @property
    def max_length(self) -> int:
        return self._max_length

    def plan(self, query: MotionQuery) -> MotionPlan:
        rows = torch.arange(len(query.start), device=query.start.device).split(self.rows_at_once)
        plans = [self._plan(_take(query, ids)) for ids in rows]
        return MotionPlan(*(torch.cat([getattr(plan, field.name) for plan in plans]) for field in fields(MotionPlan)))

    def _plan(self, query: MotionQuery) -> MotionPlan:
        mover = Mover.of(self.hand, self.objects, query.eef_pose, query.object_pose, query.attached)
        vertices = self._ways(query, mover)
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

    def _ways(self, query: MotionQuery, mover: Mover) -> Tensor:
        """The corners of every way, (R, K, V, 3): start, above it, two on the way, above the goal, goal."""
        start, goal = query.start[:, :3, 3], query.goal[:, :3, 3]
        level = torch.maximum(start[:, 2], goal[:, 2])
        below = torch.maximum(reach_below(mover, query.start), reach_below(mover, query.goal))
        tops = top_of(self.objects, query.object_pose) + (below + self.clearance + self.rounding)[:, None]
        over = torch.maximum(tops, level[:, None])
        num_around = len(self._sides)
        height = torch.cat((level[:, None], level[:, None], over, level[:, None].expand(-1, num_around)), dim=1)
        num_ways = height.shape[1]
        side = torch.zeros(num_ways, device=start.device)
        side[-num_around:] = self._sides
        across = goal - start
        norm = (across[:, 0] * across[:, 0] + across[:, 1] * across[:, 1]).sqrt().clamp(min=1e-6)
        aside = torch.stack((-across[:, 1] / norm, across[:, 0] / norm), dim=-1)

        def corner(pos: Tensor) -> Tensor:
            return torch.cat((pos[:, None, :2].expand(-1, num_ways, -1), height[..., None]), dim=-1)

        bends = [corner(start + share * across) for share in self.bends]
        for bend in bends:
            bend[..., :2] = bend[..., :2] + side[:, None] * aside[:, None]
        ends = [pos[:, None].expand(-1, num_ways, -1) for pos in (start, goal)]
        vertices = torch.stack((ends[0], corner(start), *bends, corner(goal), ends[1]), dim=2)
        straight = torch.stack((start, start, *(start + share * across for share in self.bends), goal, goal), dim=1)
        return torch.cat((straight[:, None], vertices[:, 1:]), dim=1)

    def _is_out_of_reach(self, query: MotionQuery, paths: Tensor) -> Tensor:
        """Which ways (R, K) leave the workspace. What start or goal do is not the way's fault."""
        shoulder = self.workspace.shoulder[query.eef_ids][:, None, None]

        def excess(pose: Tensor) -> Tensor:
            offset = pose[..., :3, 3] + (pose[..., :3, :3] * self._wrist).sum(-1) - shoulder
            too_far = (offset * offset).sum(-1).sqrt() - self.workspace.max_reach
            return torch.maximum(too_far, pose[..., 2, 3] - self.workspace.max_height)

        ends = excess(torch.stack((query.start, query.goal), dim=1)[:, None]).amax((-1, -2)).clamp(min=0.0)
        return excess(paths).amax(-1) > ends[:, None] + 1e-3

    def _is_obstructed(self, query: MotionQuery, mover: Mover, paths: Tensor) -> Tensor:
        """Which ways (R, K) touch an object where they must not."""
        is_obstacle = torch.arange(query.object_pose.shape[1], device=paths.device) != query.attached[:, None]

        def touching(poses: Tensor, clearance: Tensor) -> Tensor:
            """Which box of the mover touches which object, (R, ..., boxes, O)."""
            return touches(mover, poses, self.objects, query.object_pose, clearance)

        near_start, near_goal = (self._is_near(paths, end) for end in (query.start, query.goal))
        clearance = self._clearance.expand(near_start.shape).masked_fill(near_start | near_goal, 0.0)
        at_ends = (touching(end[:, None, None], self._clearance) for end in (query.start, query.goal))
        at_start, at_goal = at_ends
        excused = (at_start & near_start[..., None, None]) | (at_goal & near_goal[..., None, None])
        collides = touching(paths, clearance) & ~excused & is_obstacle[:, None, None, None]
        return collides.flatten(2).any(-1)

    def _is_near(self, paths: Tensor, end: Tensor) -> Tensor:
        """Which poses (R, K, L) are at an end (R, 4, 4) of the way, or straight above it."""
        offset = paths[..., :3, 3] - end[:, None, None, :3, 3]
        aside = offset[..., 0] * offset[..., 0] + offset[..., 1] * offset[..., 1]
        return (aside < self.column**2) & (offset[..., 2] > -self.column)


def _take(query: MotionQuery, ids: Tensor) -> MotionQuery:
    return MotionQuery(*(getattr(query, field.name)[ids] for field in fields(query)))


def hand_boxes(device: torch.device, boxes: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Boxes:
    """Boxes from (centre, half size) of each, in the end effector's frame [m]."""
    centre, half_size = (torch.tensor([box[i] for box in boxes], device=device) for i in (0, 1))
    return Boxes(centre, half_size)
