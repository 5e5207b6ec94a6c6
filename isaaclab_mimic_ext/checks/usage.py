"""Simulated selection of source demos for many scenes, and checks of unused and similar demos."""

# R simulated trials, D demos, O objects, Q of them on joints, P points of a path

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
from isaaclab_mimic_ext.task.joints import ObjectJoints

MIN_PATH_DISTANCE = 0.005
"""Mean distance between the paths of two demos, subtask by subtask, below which they are similar [m]; at least 24 mm between
any two of the included demos."""
MIN_FAR_SHARE = 0.01
"""Smallest share of scenes with a far draw that is reported."""
FAR_DRAW = 0.10
"""Distance of a drawn object from its place in all demos from which it is reported [m]. This is only a note, because the
included demos also work for objects 10 cm away (`desktop_organizer_wide`)."""

_NUM_POINTS = 20
"""Number of points of a path per subtask."""
_MOVED = 0.01
"""Displacement from which an object counts as carried by a segment [m]."""


@dataclass
class Selection:
    """Selections of the simulated trials.

    Attributes:
        used: end effector -> for each subtask, the fraction of trials that select each demo, (D,).
        distance: end effector -> for each subtask, distance of the object from its place in the nearest demo, (R,) [m];
            None if the subtask has no object.
    """

    used: dict[str, list[np.ndarray]]
    distance: dict[str, list[np.ndarray | None]]


def simulate(
    views: Sequence[DemoView],
    subtasks: Mapping[str, Sequence[SubTaskDemoCfg]],
    config: SelectionCfg,
    task: Task,
    placements: Tensor,
    joint_pos: Tensor,
    draws: Draws,
) -> Selection:
    """Select source demos for R scenes, assuming that each trial follows its source demos exactly.

    A carried object ends where the transformed segment puts it. Subtask boundaries are used without offsets, because offsets
    of a few steps change the pose of an object only slightly.

    Args:
        views: D demos with valid spans.
        subtasks: end effector -> its subtasks, in order.
        config: settings of the selection.
        task: task of the demos.
        placements: (R, O, 3), initial x, y [m] and yaw [rad] of the objects.
        joint_pos: (R, Q), initial positions of the objects on joints [m, rad].
        draws: random numbers of the R trials, as in generation.
    """
    rest_height = torch.tensor([obj.rest_height for obj in task.objects])
    pos = torch.cat((placements[..., :2], rest_height.expand(len(placements), -1)[..., None]), dim=-1)
    object_pose = pose_from_pos_rot(pos, yaw_matrix(placements[..., 2]))
    object_pose = ObjectJoints(task.objects, object_pose.device).place(object_pose, joint_pos)
    world = _World(views, task.object_names, object_pose)
    selection = Selection({name: [] for name in subtasks}, {name: [] for name in subtasks})
    chosen: dict[str, Tensor] = {}
    transform: dict[str, Tensor] = {}
    selects_per_subtask = config.generation_select_src_per_subtask and (
        config.compat_select != "isaaclab" or config.generation_select_src_per_arm
    )
    for begins, segment in _in_order(views, subtasks):
        name = segment.eef_name
        if not begins:
            world.carry(segment, chosen[name], transform[name])
            continue
        distance, object_distance = world.distances(segment)
        uniform = draws.uniform(Stream.SELECTION, (1,), step=segment.index * len(subtasks) + segment.eef_id).squeeze(-1)
        if segment.index == 0 or selects_per_subtask:
            chosen[name] = choose_nearest(distance, _num_candidates(segment.config, len(views), len(distance)), uniform)
        transform[name] = world.transform(segment, chosen[name])
        selection.used[name].append((torch.bincount(chosen[name], minlength=len(views)) / len(distance)).numpy())
        selection.distance[name].append(None if object_distance is None else object_distance.amin(-1).numpy())
    return selection


@dataclass(frozen=True)
class _Segment:
    """A subtask of an end effector, with its first and last step (inclusive) in each demo."""

    eef_id: int
    eef_name: str
    index: int
    config: SubTaskDemoCfg
    spans: list[tuple[int, int]]


def _in_order(
    views: Sequence[DemoView], subtasks: Mapping[str, Sequence[SubTaskDemoCfg]]
) -> Iterator[tuple[bool, _Segment]]:
    """Begins (true) and ends (false) of all segments, in the mean order of the demos."""
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
    """Poses in R scenes, in which transformed source segments are executed exactly."""

    def __init__(self, views: Sequence[DemoView], object_names: Sequence[str], object_pose: Tensor):
        self.views, self.object_names = views, list(object_names)
        self.object_pose = object_pose.clone()
        """Pose of each object, (R, O, 4, 4), env frame [m]."""
        self.eef_pose: dict[str, Tensor] = {}
        """Pose of each end effector that has completed a segment, (R, 4, 4), env frame [m]."""

    def distances(self, segment: _Segment) -> tuple[Tensor, Tensor | None]:
        """Distance of each demo's segment from the scenes, by the selection strategy and by the object's position.

        Returns:
            (R, D), by the selection strategy of the subtask; and (R, D) [m], or None if the subtask has no object.
        """
        num_rows, config = len(self.object_pose), segment.config
        if config.object_ref is None:
            return torch.zeros(num_rows, len(self.views)), None
        src_object_pose = self._src_object_pose(config.object_ref, segment.spans)
        object_pose = self.object_pose[:, self.object_names.index(config.object_ref)][:, None]
        object_distance = (object_pose[..., :3, 3] - src_object_pose[..., :3, 3]).square().sum(-1).sqrt()
        if config.selection_strategy == "random":
            return torch.zeros(num_rows, len(self.views)), object_distance
        kwargs = config.selection_strategy_kwargs
        weights = (torch.tensor(float(kwargs.get(name, 1.0))) for name in ("pos_weight", "rot_weight"))
        if config.selection_strategy == "nearest_neighbor_object":
            return pose_distance(src_object_pose, object_pose, *weights), object_distance
        src_eef_pose = self._src_eef_pose(segment.eef_name, [first for first, _ in segment.spans])
        # Before its first segment, an end effector is where the demos begin.
        eef_pose = self.eef_pose.get(segment.eef_name, src_eef_pose[:, 0]).expand(num_rows, 4, 4)
        moved = object_pose @ invert_pose(src_object_pose) @ src_eef_pose
        return pose_distance(moved, eef_pose[:, None], *weights), object_distance

    def transform(self, segment: _Segment, chosen: Tensor) -> Tensor:
        """Transform of the segment of the chosen demos (R,) to the present objects, (R, 4, 4)."""
        if segment.config.object_ref is None:
            return torch.eye(4).expand(len(chosen), 4, 4)
        src_object_pose = self._src_object_pose(segment.config.object_ref, segment.spans)[0, chosen]
        return self.object_pose[:, self.object_names.index(segment.config.object_ref)] @ invert_pose(src_object_pose)

    def carry(self, segment: _Segment, chosen: Tensor, transform: Tensor) -> None:
        """Move the hand, and the objects that it carries in the chosen demos (R,), to the end of the transformed segment."""
        spans, eef_name = segment.spans, segment.eef_name
        self.eef_pose[eef_name] = transform @ self._src_eef_pose(eef_name, [last for _, last in spans])[0, chosen]
        for index, name in enumerate(self.object_names):
            if _is_carried(self.views, name, segment):
                after = [self._pose(view, name, last) for view, (_, last) in zip(self.views, spans, strict=True)]
                self.object_pose[:, index] = transform @ torch.stack(after)[chosen]

    def _src_object_pose(self, name: str, spans: Sequence[tuple[int, int]]) -> Tensor:
        """Pose of an object at the begin of spans, one per demo, (1, D, 4, 4)."""
        poses = [self._pose(view, name, first) for view, (first, _) in zip(self.views, spans, strict=True)]
        return torch.stack(poses)[None]

    def _src_eef_pose(self, name: str, steps: Sequence[int]) -> Tensor:
        """Pose of an end effector at steps, one per demo, (1, D, 4, 4)."""
        poses = [torch.from_numpy(view.demo.eef_pose[name][step]) for view, step in zip(self.views, steps, strict=True)]
        return torch.stack(poses)[None]

    @staticmethod
    def _pose(view: DemoView, name: str, step: int) -> Tensor:
        return torch.from_numpy(view.demo.object_pose[name][step])


def _is_carried(views: Sequence[DemoView], name: str, segment: _Segment) -> bool:
    """Return whether the end effector of a segment carries an object in most demos: it moves, and this hand is the nearest.

    The result is the same for all demos, so that two hands that hold one object do not both move it in one trial.
    """
    displacements, distances = [], dict.fromkeys(views[0].eefs, 0.0)
    for view, (first, last) in zip(views, segment.spans, strict=True):
        object_pos = view.object_pose[name][first : last + 1, :3, 3]
        displacements.append(np.linalg.norm(object_pos[-1] - object_pos[0]))
        for eef_name, eef in view.eefs.items():
            distances[eef_name] += np.linalg.norm(eef.eef_pose[first : last + 1, :3, 3] - object_pos, axis=1).mean()
    return np.median(displacements) > _MOVED and min(distances, key=distances.__getitem__) == segment.eef_name


def find_unused(findings: Mapping[str, DemoFindings], views: Sequence[DemoView], selection: Selection) -> None:
    """Add a finding for each demo that no simulated trial selects for an end effector."""
    remedy = "record the demo nearer to the randomized places, raise nn_k, or leave out the demo (it only uses memory)"
    for eef_name, used in selection.used.items():
        total = np.sum(used, axis=0)
        for view, fraction in zip(views, total, strict=True):
            if fraction == 0:
                found = "not selected for any subtask"
                findings[view.name].add(WARNING, "unused", found, "selected in some trials", remedy, eef=eef_name)


def find_far_draws(findings: DemoFindings, selection: Selection, subtasks: Mapping[str, Sequence[SubTaskDemoCfg]]) -> None:
    """Add a finding for each object that is drawn far from its place in all demos."""
    reported = set()
    for eef_name, distances in selection.distance.items():
        for config, distance in zip(subtasks[eef_name], distances, strict=True):
            if distance is None or config.object_ref in reported:
                continue
            fraction = float((distance > FAR_DRAW).mean())
            if fraction >= MIN_FAR_SHARE:
                reported.add(config.object_ref)
                found = f"{config.object_ref} is drawn up to {distance.max():.2f} m from its place in the nearest demo, "
                found += f"and farther than {FAR_DRAW} m in {fraction:.0%} of the scenes"
                remedy = "record demos with the object there, or narrow its pose_range in events"
                findings.add(NOTE, "far draws", found, f"at most {FAR_DRAW} m", remedy, eef=eef_name)


def find_similar(findings: Mapping[str, DemoFindings], views: Sequence[DemoView]) -> None:
    """Add a finding for each demo that is similar to an earlier one."""
    if len(views) < 2:
        return
    paths = np.stack([np.concatenate([_path(eef) for eef in view.eefs.values()]) for view in views])
    for index in range(1, len(views)):
        distance = np.linalg.norm(paths[:index] - paths[index], axis=-1).mean(-1)
        nearest = int(distance.argmin())
        if distance[nearest] < MIN_PATH_DISTANCE:
            found = f"the path of the hand is within {1000 * distance[nearest]:.1f} mm of that in {views[nearest].name}"
            remedy = "leave out one of the two demos: the copy adds no variety, but counts as one of the nearest neighbors"
            expected = f"at least {1000 * MIN_PATH_DISTANCE:g} mm"
            findings[views[index].name].add(WARNING, "similar", found, expected, remedy)


def _path(view: EefView) -> Floats:
    """Path of a hand with `_NUM_POINTS` points per subtask, (P, 3), env frame [m]."""
    assert view.spans is not None
    pieces = []
    for first, end in view.spans:
        steps = np.linspace(first, end - 1, _NUM_POINTS)
        pos = view.eef_pose[:, :3, 3]
        pieces.append(np.stack([np.interp(steps, np.arange(len(pos)), pos[:, axis]) for axis in range(3)], axis=-1))
    return np.concatenate(pieces)
