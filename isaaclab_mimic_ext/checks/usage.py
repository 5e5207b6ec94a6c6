"""Which demos generation would take, by selecting for many scenes at once, and which demos are nearly the same."""

# R simulated trials, D demos, O objects, P points of a path, T steps of the longest demo

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.checks.findings import NOTE, DemoFindings
from isaaclab_mimic_ext.checks.motion import DemoView, EefView, Floats
from isaaclab_mimic_ext.config import SelectionCfg, SubTaskDemoCfg
from isaaclab_mimic_ext.datasets.findings import WARNING
from isaaclab_mimic_ext.math import invert_pose, pose_from_pos_rot, yaw_matrix
from isaaclab_mimic_ext.plan.segments import choose_nearest, pose_distance
from isaaclab_mimic_ext.rng import Draws, Stream
from isaaclab_mimic_ext.task.definition import Task

MIN_PATH_DISTANCE = 0.005
"""Demos whose hands go the same way within so much, subtask for subtask, are nearly the same [m]; between any two of the
shipped demos it is 24 mm or more."""
FAR_DRAW = 0.10
"""A drawn object that is farther from where it stood in every demo is told of [m]. The shipped demos serve objects 10 cm
beyond theirs (`desktop_organizer_wide`), so it is a note."""

_NUM_POINTS = 20
"""Of a path, for each subtask."""
_MOVED = 0.01
"""An object that a segment moves farther was carried by it [m]."""


@dataclass
class Selection:
    """What the simulated trials chose.

    Attributes:
        used: eef -> for each subtask the part of the trials (D,) that chose each demo.
        distance: eef -> for each subtask how far the object is from the nearest demo's (R,) [m]; None without an object.
    """

    used: dict[str, list[np.ndarray]]
    distance: dict[str, list[np.ndarray | None]]


def simulate(
    views: Sequence[DemoView],
    subtasks: Mapping[str, Sequence[SubTaskDemoCfg]],
    config: SelectionCfg,
    task: Task,
    placements: Tensor,
    draws: Draws,
) -> Selection:
    """Select for R scenes, as if every trial went as its demos do: carried objects end where the segment would put them.

    Boundaries are nominal: offsets of some steps hardly move an object.

    Args:
        placements: (R, O, 3), x, y [m] and yaw [rad] of the objects, as resets put them.
    """
    rest_height = torch.tensor([obj.rest_height for obj in task.objects])
    pos = torch.cat((placements[..., :2], rest_height.expand(len(placements), -1)[..., None]), dim=-1)
    world = _World(views, task.object_names, pose_from_pos_rot(pos, yaw_matrix(placements[..., 2])))
    selection = Selection({name: [] for name in subtasks}, {name: [] for name in subtasks})
    chosen: dict[str, Tensor] = {}
    to_now: dict[str, Tensor] = {}
    anew = config.generation_select_src_per_subtask and (
        config.compat_select != "isaaclab" or config.generation_select_src_per_arm
    )
    for begins, segment in _in_order(views, subtasks):
        name = segment.eef_name
        if not begins:
            world.carry(segment, chosen[name], to_now[name])
            continue
        away, apart = world.distances(segment)
        uniform = draws.uniform(Stream.SELECTION, (1,), step=segment.index * len(subtasks) + segment.eef_id).squeeze(-1)
        if segment.index == 0 or anew:
            chosen[name] = choose_nearest(away, _num_candidates(segment.config, len(views), len(away)), uniform)
        to_now[name] = world.to_now(segment, chosen[name])
        selection.used[name].append((torch.bincount(chosen[name], minlength=len(views)) / len(away)).numpy())
        selection.distance[name].append(None if apart is None else apart.amin(-1).numpy())
    return selection


@dataclass(frozen=True)
class _Segment:
    """A subtask of an end effector, and its first and last step in each demo."""

    eef_id: int
    eef_name: str
    index: int
    config: SubTaskDemoCfg
    spans: list[tuple[int, int]]


def _in_order(
    views: Sequence[DemoView], subtasks: Mapping[str, Sequence[SubTaskDemoCfg]]
) -> Iterator[tuple[bool, _Segment]]:
    """Every segment as it begins (true) and ends (false), in the order that the demos have on average."""
    events = []
    for eef_id, (name, configs) in enumerate(subtasks.items()):
        for index, config in enumerate(configs):
            segment = _Segment(eef_id, name, index, config, [_span(view.eefs[name], index) for view in views])
            first, last = np.mean(segment.spans, axis=0)
            events += [(last + 1, False, index, eef_id, segment), (first, True, index, eef_id, segment)]
    for _, begins, _, _, segment in sorted(events, key=lambda event: event[:4]):
        yield begins, segment


def _span(view: EefView, index: int) -> tuple[int, int]:
    assert view.spans is not None
    start, end = view.spans[index]
    return start, end - 1


def _num_candidates(config: SubTaskDemoCfg, num_demos: int, num_rows: int) -> Tensor:
    count = num_demos if config.selection_strategy == "random" else int(config.selection_strategy_kwargs.get("nn_k", 3))
    return torch.full((num_rows,), count, dtype=torch.int64)


class _World:
    """R scenes in which segments do what they did in their demos, moved with their object."""

    def __init__(self, views: Sequence[DemoView], object_names: Sequence[str], object_pose: Tensor):
        self.views, self.object_names = views, list(object_names)
        self.object_pose = object_pose.clone()
        """(R, O, 4, 4), env frame [m]."""
        self.eef_pose: dict[str, Tensor] = {}
        """(R, 4, 4) of the end effectors that have moved; the others are where the demos began."""

    def distances(self, segment: _Segment) -> tuple[Tensor, Tensor | None]:
        """What each demo's segment is away from the present by the task's measure (R, D), and its object by position [m]."""
        num_rows, config = len(self.object_pose), segment.config
        if config.object_ref is None:
            return torch.zeros(num_rows, len(self.views)), None
        then = self._object_then(config.object_ref, segment.spans)
        now = self.object_pose[:, self.object_names.index(config.object_ref)][:, None]
        apart = (now[..., :3, 3] - then[..., :3, 3]).square().sum(-1).sqrt()
        if config.selection_strategy == "random":
            return torch.zeros(num_rows, len(self.views)), apart
        kwargs = config.selection_strategy_kwargs
        weights = (torch.tensor(float(kwargs.get(name, 1.0))) for name in ("pos_weight", "rot_weight"))
        if config.selection_strategy == "nearest_neighbor_object":
            return pose_distance(then, now, *weights), apart
        eef_then = self._eef_then(segment.eef_name, [first for first, _ in segment.spans])
        eef_now = self.eef_pose.get(segment.eef_name, eef_then[:, 0]).expand(num_rows, 4, 4)
        return pose_distance(now @ invert_pose(then) @ eef_then, eef_now[:, None], *weights), apart

    def to_now(self, segment: _Segment, chosen: Tensor) -> Tensor:
        """From the env frame of the chosen demo (R,) to the present one (R, 4, 4), for a segment that begins."""
        if segment.config.object_ref is None:
            return torch.eye(4).expand(len(chosen), 4, 4)
        then = self._object_then(segment.config.object_ref, segment.spans)[0, chosen]
        return self.object_pose[:, self.object_names.index(segment.config.object_ref)] @ invert_pose(then)

    def carry(self, segment: _Segment, chosen: Tensor, to_now: Tensor) -> None:
        """Put the hand, and what it carried in the chosen demo (R,), where the segment ends."""
        spans, eef_name = segment.spans, segment.eef_name
        self.eef_pose[eef_name] = to_now @ self._eef_then(eef_name, [last for _, last in spans])[0, chosen]
        for index, name in enumerate(self.object_names):
            if _is_carried(self.views, name, segment):
                after = [self._pose(view, name, last) for view, (_, last) in zip(self.views, spans, strict=True)]
                self.object_pose[:, index] = to_now @ torch.stack(after)[chosen]

    def _object_then(self, name: str, spans: Sequence[tuple[int, int]]) -> Tensor:
        """(1, D, 4, 4)"""
        poses = [self._pose(view, name, first) for view, (first, _) in zip(self.views, spans, strict=True)]
        return torch.stack(poses)[None]

    def _eef_then(self, name: str, steps: Sequence[int]) -> Tensor:
        """(1, D, 4, 4)"""
        poses = [torch.from_numpy(view.demo.eef_pose[name][step]) for view, step in zip(self.views, steps, strict=True)]
        return torch.stack(poses)[None]

    @staticmethod
    def _pose(view: DemoView, name: str, step: int) -> Tensor:
        return torch.from_numpy(view.demo.object_pose[name][step])


def _is_carried(views: Sequence[DemoView], name: str, segment: _Segment) -> bool:
    """Whether an object moves in a segment of most demos, and this end effector is the one nearest to it.

    Of two hands that hold one object, one must be taken for all demos, or it would be moved by both in one trial.
    """
    ways, apart = [], dict.fromkeys(views[0].eefs, 0.0)
    for view, (first, last) in zip(views, segment.spans, strict=True):
        place = view.object_pose[name][first : last + 1, :3, 3]
        ways.append(np.linalg.norm(place[-1] - place[0]))
        for other, eef in view.eefs.items():
            apart[other] += np.linalg.norm(eef.eef_pose[first : last + 1, :3, 3] - place, axis=1).mean()
    return np.median(ways) > _MOVED and min(apart, key=lambda other: apart[other]) == segment.eef_name


def tell_unused(findings: Mapping[str, DemoFindings], views: Sequence[DemoView], selection: Selection) -> None:
    """A finding for every demo that no simulated trial chose for some end effector."""
    for eef_name, used in selection.used.items():
        total = np.sum(used, axis=0)
        for view, share in zip(views, total, strict=True):
            if share == 0:
                found = "never selected, for any subtask"
                remedy = (
                    "record it nearer to where objects are randomized, raise nn_k, or leave it out: it costs memory only"
                )
                findings[view.name].add(WARNING, "unused", found, "selected in some trials", remedy, eef=eef_name)


def tell_far(findings: DemoFindings, selection: Selection, subtasks: Mapping[str, Sequence[SubTaskDemoCfg]]) -> None:
    """A finding for every object that is often far from where any demo has it."""
    told = set()
    for eef_name, distances in selection.distance.items():
        for config, distance in zip(subtasks[eef_name], distances, strict=True):
            if distance is None or config.object_ref in told:
                continue
            part = float((distance > FAR_DRAW).mean())
            if part > 0.0:
                told.add(config.object_ref)
                found = f"{config.object_ref} is drawn {distance.max():.2f} m from its place in any demo, {part:.0%} beyond"
                remedy = "record demos with the object there, or narrow its pose_range in events"
                findings.add(NOTE, "far draws", found, f"{FAR_DRAW} m", remedy, eef=eef_name)


def tell_similar(findings: Mapping[str, DemoFindings], views: Sequence[DemoView]) -> None:
    """A finding for every demo that is nearly one before it."""
    if len(views) < 2:
        return
    paths = np.stack([np.concatenate([_path(eef) for eef in view.eefs.values()]) for view in views])
    for index in range(1, len(views)):
        distance = np.linalg.norm(paths[:index] - paths[index], axis=-1).mean(-1)
        nearest = int(distance.argmin())
        if distance[nearest] < MIN_PATH_DISTANCE:
            found = f"nearly {views[nearest].name}: its hand goes the same way within {1000 * distance[nearest]:.1f} mm"
            remedy = "leave one of them out: they add no variety, and count twice among the nearest neighbours"
            findings[views[index].name].add(WARNING, "similar", found, f"{1000 * MIN_PATH_DISTANCE:g} mm or more", remedy)


def _path(view: EefView) -> Floats:
    """A hand's way (P, 3) [m], with the same number of points for each subtask."""
    assert view.spans is not None
    pieces = []
    for first, end in view.spans:
        steps = np.linspace(first, end - 1, _NUM_POINTS)
        pos = view.eef_pose[:, :3, 3]
        pieces.append(np.stack([np.interp(steps, np.arange(len(pos)), pos[:, axis]) for axis in range(3)], axis=-1))
    return np.concatenate(pieces)
