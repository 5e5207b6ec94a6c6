"""Randomization at resets, from the random numbers of each trial."""

# n envs to reset, O objects, Q of them on joints, C candidates per attempt

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.config.rules import COORDINATES, check_pose_range
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.rng import Draws, Stream
from isaaclab_mimic_ext.task.definition import JointedObject, Task
from isaaclab_mimic_ext.task.objects import jointed_objects

_NUM_CANDIDATES = 32
_MAX_ATTEMPTS = 64


class PlacementSampler:
    """Draws initial placements of the objects, uniform in their ranges.

    All objects of a trial are drawn again until none overlaps another object or a robot base, and none leaves the table.
    Objects are modeled as circles (`SceneObject.footprint_radius`), robot bases as fixed circles. Objects on joints are not
    placed: they follow their bases.
    """

    base_radius = 0.15
    """Radius of the circle around a robot base [m]."""

    def __init__(self, task: Task, events: Mapping[str, EventCfg], device: torch.device):
        self.task = task
        self.device = device
        ranges = torch.zeros(len(task.objects), len(COORDINATES), 2)
        clearance = torch.zeros(len(task.objects))
        for event_name, event in events.items():
            if event.asset in {arm.name for arm in task.arms}:
                continue
            index = self._object_id(event_name, event.asset)
            ranges[index], clearance[index] = _pose_range(event_name, event), event.min_separation
        defaults = torch.tensor([obj.default_pos for obj in task.objects])
        ranges[:, :2] += defaults[..., None]
        self.low, self.high = ranges.to(device).unbind(-1)
        self._largest = torch.tensor([scale_ranges(events).get(name, [1.0])[-1] for name in task.object_names])
        self._set_distances(clearance)

    def _object_id(self, event_name: str, asset: str) -> int:
        try:
            return self.task.object_id(asset)
        except ConfigError as error:
            names = (*self.task.object_names, *(arm.name for arm in self.task.arms))
            place = f"events.{event_name}.asset"
            raise ConfigError(f"{place}: '{asset}' is not in the scene; {choices(asset, names)}") from error

    def _set_distances(self, clearance: Tensor) -> None:
        radius = torch.tensor([obj.footprint_radius for obj in self.task.objects]) * self._largest
        placed = torch.tensor([not isinstance(obj, JointedObject) for obj in self.task.objects])
        pairs = torch.triu_indices(len(radius), len(radius), offset=1)
        pairs = pairs[:, placed[pairs].all(0)]
        first, second = pairs
        gap = torch.maximum(clearance[first], clearance[second])
        self.pairs = pairs.to(self.device)
        self.min_distance = (radius[first] + radius[second] + gap).to(self.device)
        self.base_pos = torch.tensor([arm.base_pos[:2] for arm in self.task.arms], device=self.device)
        radius = radius.masked_fill(~placed, -torch.inf)  # No place is too near for an object on a joint.
        self.min_base_distance = (radius + self.base_radius).to(self.device)
        bounds = torch.tensor(self.task.table_bounds)
        self.table_low = (bounds[:, 0] + radius[:, None]).to(self.device)
        self.table_high = (bounds[:, 1] - radius[:, None]).to(self.device)

    def sample(self, draws: Draws) -> Tensor:
        """Placements (n, O, 3): x, y [m] and yaw [rad] of each object, env frame.

        Raises:
            ConfigError: no placement without overlap was found for a trial, because the ranges are too narrow.
        """
        num_trials, num_objects = len(draws.trials), len(self.task.objects)
        placed = torch.zeros(num_trials, dtype=torch.bool, device=self.device)
        placements = torch.zeros(num_trials, num_objects, 3, device=self.device)
        for attempt in range(_MAX_ATTEMPTS):
            uniform = draws.uniform(Stream.OBJECT_POSE, (_NUM_CANDIDATES, num_objects, 3), attempt)
            candidates = self.low + uniform * (self.high - self.low)
            free = self._is_free(candidates[..., :2])
            first = free.int().argmax(-1)
            chosen = candidates[torch.arange(num_trials, device=self.device), first]
            placements = torch.where(placed[:, None, None], placements, chosen)
            placed = placed | free.any(-1)
            if bool(placed.all()):  # sync: none, on the host
                return placements
        raise ConfigError(
            f"events: no placement without overlap found for trial {int(draws.trials[~placed][0])} in "
            f"{_MAX_ATTEMPTS * _NUM_CANDIDATES} draws; change pose_range or reduce min_separation of an object"
        )

    def _is_free(self, pos: Tensor) -> Tensor:
        """Return which candidates are free of overlaps and on the table, (n, C) bool; `pos` is (n, C, O, 2) [m]."""
        apart = _distance(pos[..., self.pairs[0], :], pos[..., self.pairs[1], :]) >= self.min_distance
        off_base = _distance(pos[..., None, :], self.base_pos) >= self.min_base_distance[:, None]
        on_table = (pos >= self.table_low) & (pos <= self.table_high)
        return apart.all(-1) & off_base.flatten(-2).all(-1) & on_table.flatten(-2).all(-1)


class ScaleSampler:
    """Draws the factors of the sizes of objects, uniform in their ranges.

    Attributes:
        names: objects with a range.
    """

    def __init__(self, task: Task, events: Mapping[str, EventCfg]):
        given = scale_ranges(events)
        self.names = tuple(name for name in task.object_names if name in given)
        self._ranges = torch.tensor([given.get(name, [1.0, 1.0]) for name in task.object_names])

    def sample(self, draws: Draws) -> Tensor:
        """Factors (n, O); 1 for objects without a range."""
        low, high = self._ranges.unbind(-1)
        return low + draws.uniform(Stream.OBJECT_SCALE, (len(low),)) * (high - low)


class MeshSampler:
    """Draws the meshes of the objects that have several, each with the same probability.

    Attributes:
        names: objects with several meshes.
    """

    def __init__(self, task: Task):
        self.names = tuple(obj.name for obj in task.objects if obj.variants)
        self._num_meshes = [len(obj.variants) for obj in task.objects]

    def sample(self, draws: Draws) -> Tensor:
        """Numbers of the meshes in their lists, (n, O) int64; 0 for other objects."""
        return draw_meshes(draws, self._num_meshes)


def draw_meshes(draws: Draws, num_meshes: Sequence[int]) -> Tensor:
    """Numbers (n, O) int64 of the meshes of O objects with `num_meshes` meshes each."""
    last = torch.tensor(num_meshes).sub(1).clamp(min=0)
    return draws.integers(Stream.OBJECT_MESH, torch.zeros_like(last), last)


def scale_ranges(events: Mapping[str, EventCfg]) -> dict[str, list[float]]:
    """Object -> range of the factor of its size."""
    return {event.asset: event.scale_range for event in events.values() if event.scale_range is not None}


class JointSampler:
    """Draws initial joint positions of the objects on joints, uniform in their ranges."""

    def __init__(self, task: Task, events: Mapping[str, EventCfg]):
        objects = jointed_objects(task.objects)
        given = {event.asset: event.joint_range for event in events.values() if event.joint_range is not None}
        ranges = [given.get(obj.name, [obj.start_joint_pos] * 2) for obj in objects]
        self.ranges = torch.tensor(ranges).reshape(len(objects), 2)
        """Lowest and highest position of each joint, (Q, 2) [m, rad]."""

    def sample(self, draws: Draws) -> Tensor:
        """Joint positions (n, Q) [m, rad]."""
        low, high = self.ranges.unbind(-1)
        if not len(low):
            return torch.zeros(len(draws.trials), 0)
        return low + draws.uniform(Stream.OBJECT_JOINT, (len(low),)) * (high - low)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    difference = a - b
    return (difference[..., 0] * difference[..., 0] + difference[..., 1] * difference[..., 1]).sqrt()


def _pose_range(event_name: str, event: EventCfg) -> Tensor:
    check_pose_range(f"events.{event_name}.pose_range", event.pose_range)
    return torch.tensor([list(event.pose_range.get(coordinate, (0.0, 0.0))) for coordinate in COORDINATES])


def joint_noise_std(task: Task, events: Mapping[str, EventCfg]) -> Tensor:
    """Standard deviation of the joint positions of each arm at a reset, (E,) [rad]."""
    by_asset = {event.asset: event.joint_std for event in events.values()}
    return torch.tensor([by_asset.get(arm.name, 0.0) for arm in task.arms])
