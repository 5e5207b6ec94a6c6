"""Statistics of trials: counts by reason, subtask and source demo, and over the randomized places of objects."""

# K trials, D source demos, S subtasks, E end effectors, X and Y bins of a place

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, pi
from typing import Any

import numpy as np
import torch

from isaaclab_mimic_ext.envs.events import draw_meshes
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.failures import TRACKING
from isaaclab_mimic_ext.run.trial_records import RunRecords, Subtask
from isaaclab_mimic_ext.task.meshes import lists_of_meshes, recorded_objects

_TRIALS_PER_BIN = 8
_MAX_BINS = 8
_NUM_YAW_BINS = 8
_MIN_EXTENT = 1e-3
"""An object whose initial poses differ by less than this counts as not randomized [m], [rad]."""


@dataclass(frozen=True)
class Bins:
    """Numbers of trials by the initial place (or yaw) of an object.

    Attributes:
        edges: edges of the bins of each axis, (X + 1,) and (Y + 1,) [m], or only (X + 1,) [rad].
        trials: (X, Y) or (X,), number of trials that began with the object in each bin.
        successes: (X, Y) or (X,), number of successful trials among them.
    """

    edges: tuple[np.ndarray, ...]
    trials: np.ndarray
    successes: np.ndarray


@dataclass(frozen=True)
class Stage:
    """Stage of a trial: its start, an attained subtask, or success.

    Attributes:
        title: name of the stage, for tables and charts.
        count: number of trials that reached the stage.
        lost: reason of failure -> number of these trials that did not reach the next stage.
    """

    title: str
    count: int
    lost: dict[str, int]


@dataclass(frozen=True)
class MeshCount:
    """Numbers of trials with one of the meshes of an object.

    Attributes:
        file: file of the mesh.
        reasons: failed trials by reason, most frequent reason first.
    """

    file: str
    trials: int
    successes: int
    reasons: Mapping[str, int]


def mesh_counts(records: RunRecords) -> dict[str, list[MeshCount]]:
    """Trials by mesh, for each object with several meshes."""
    identity = records.facts.get("identity", {})
    lists = lists_of_meshes(recorded_objects(identity))
    if not lists:
        return {}
    draws = Draws(int(identity["datagen_config.seed"]), torch.from_numpy(records.trials))
    numbers = draw_meshes(draws, [len(lists.get(name, ())) for name in records.objects]).numpy()
    columns = {name: numbers[:, records.objects.index(name)] for name in lists}
    return {
        name: [_mesh_count(records.only(columns[name] == number), file) for number, file in enumerate(files)]
        for name, files in lists.items()
    }


def _mesh_count(records: RunRecords, file: str) -> MeshCount:
    return MeshCount(file, len(records), int(records.success.sum()), count_reasons(records))


def stages_of(records: RunRecords, eef: int) -> list[Stage]:
    """Stages of one end effector: all trials, the trials that attained each subtask, and the successful trials."""
    subtasks = records.subtasks[eef]
    masks = [np.ones(len(records), dtype=bool), *(records.attained(subtask) for subtask in subtasks)]
    masks.append(records.success)
    titles = ["trials", *(subtask.title for subtask in subtasks), "success"]
    # A trial may succeed without the signal of a subtask; it counts as having reached every stage.
    reached = [mask | records.success for mask in masks]
    following = [*reached[1:], reached[-1]]
    pairs = zip(titles, reached, following, strict=True)
    return [Stage(title, int(mask.sum()), count_reasons(records.only(mask & ~after))) for title, mask, after in pairs]


def count_reasons(records: RunRecords) -> dict[str, int]:
    """Number of failed trials by reason, most frequent reason first."""
    names, counts = np.unique(records.reason[~records.success], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {str(names[index]): int(counts[index]) for index in order}


def place_bins(records: RunRecords, object_id: int) -> Bins | None:
    """Bins over the area of the initial positions of an object; None if its position was not randomized."""
    records = _with_known_scene(records)
    place = records.scene[:, object_id, :2]
    if len(place) == 0 or (np.ptp(place, axis=0) < _MIN_EXTENT).all():
        return None
    num_bins = int(np.clip(np.sqrt(len(place) / _TRIALS_PER_BIN), 2, _MAX_BINS))
    return _bins(records, place, tuple(_edges(place[:, axis], num_bins) for axis in range(2)))


def yaw_bins(records: RunRecords, object_id: int) -> Bins | None:
    """Bins over the initial yaw of an object; None if its yaw was not randomized."""
    records = _with_known_scene(records)
    yaw = records.scene[:, object_id, 2:]
    if len(yaw) == 0 or np.ptp(yaw) < _MIN_EXTENT:
        return None
    return _bins(records, yaw, (np.linspace(-pi, pi, _NUM_YAW_BINS + 1),))


def _with_known_scene(records: RunRecords) -> RunRecords:
    """Records without trials whose process died before their scene was recorded."""
    return records.only(np.isfinite(records.scene).all(axis=(1, 2)))


def demo_counts(records: RunRecords, subtask: Subtask) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of trials in which each source demo was selected for a subtask, and of the successful ones, (D,) each."""
    selected, num_demos = records.source_demos[:, subtask.eef, subtask.index], len(records.source_names)
    began = selected >= 0
    return (
        np.bincount(selected[began], minlength=num_demos),
        np.bincount(selected[began & records.success], minlength=num_demos),
    )


def tracking_of(records: RunRecords, subtask: Subtask) -> dict[str, float | None]:
    """Tracking errors of a subtask, with the names in `TRACKING`; None without trials.

    A mean is the mean of the means of all trials, a maximum is the maximum over all trials.
    """
    values = records.tracking[:, subtask.eef, subtask.index]
    known = values[np.isfinite(values).all(-1)]
    if not len(known):
        return dict.fromkeys(TRACKING)
    reduced = (known[:, 0].mean(), known[:, 1].max(), known[:, 2].mean(), known[:, 3].max())
    return {name: round(float(value), 6) for name, value in zip(TRACKING, reduced, strict=True)}


def summarize(records: RunRecords) -> dict[str, Any]:
    """Compute the entries of `important_stats.json` by subtask, source demo and place."""
    subtasks = [subtask for row in records.subtasks for subtask in row]
    return {
        "per_subtask": [_subtask(records, subtask) for subtask in subtasks],
        "per_source_demo": {name: _source_demo(records, index, subtasks) for index, name in enumerate(records.source_names)},
        "per_randomization_bin": {
            name: places for index, name in enumerate(records.objects) if (places := _places(records, index))
        },
        **_by_mesh(records),
        "num_stopped_early": int(records.stopped.sum()),
        "successes_by_rule": {"held": int(records.held.sum()), "any_step": int(records.any_step.sum())},
    }


def _subtask(records: RunRecords, subtask: Subtask) -> dict[str, Any]:
    before = records.subtasks[subtask.eef][: subtask.index]
    entered = records.attained(before[-1]) if before else np.ones(len(records), dtype=bool)
    attained = records.attained(subtask)
    return {
        "eef": subtask.eef_name,
        "subtask": subtask.index,
        "term_signal": subtask.signal,
        "description": subtask.description,
        "trials": int(entered.sum()),
        "attained": int(attained.sum()),
        "reasons_of_the_others": count_reasons(records.only(entered & ~attained)),
        "tracking_error": tracking_of(records, subtask),
    }


def _source_demo(records: RunRecords, index: int, subtasks: list[Subtask]) -> dict[str, Any]:
    uses = (records.source_demos == index).any(axis=(1, 2))
    by_subtask = {}
    for subtask in subtasks:
        trials, successes = demo_counts(records, subtask)
        by_subtask[f"{subtask.eef_name}.{subtask.index}"] = [int(trials[index]), int(successes[index])]
    return {
        "trials": int(uses.sum()),
        "successes": int((uses & records.success).sum()),
        "trials_and_successes_by_subtask": by_subtask,
    }


def _by_mesh(records: RunRecords) -> dict[str, Any]:
    counts = mesh_counts(records)
    names = ("trials", "successes", "reasons")
    found = {
        name: {each.file: {key: getattr(each, key) for key in names} for each in meshes} for name, meshes in counts.items()
    }
    return {"per_mesh": found} if found else {}


def _places(records: RunRecords, object_id: int) -> dict[str, Any]:
    place, yaw = place_bins(records, object_id), yaw_bins(records, object_id)
    found: dict[str, Any] = {}
    if place is not None:
        found = {f"{axis}_edges": _rounded(edges) for axis, edges in zip("xy", place.edges, strict=True)}
        found |= {"trials": place.trials.tolist(), "successes": place.successes.tolist()}
    if yaw is not None:
        found["yaw"] = {"edges": _rounded(yaw.edges[0]), "trials": yaw.trials.tolist()}
        found["yaw"]["successes"] = yaw.successes.tolist()
    return found


def _bins(records: RunRecords, points: np.ndarray, edges: tuple[np.ndarray, ...]) -> Bins:
    # Records are rounded, so a yaw of half a turn may be slightly beyond the last edge.
    points = np.clip(points, [edge[0] for edge in edges], [edge[-1] for edge in edges])
    trials, _ = np.histogramdd(points, bins=edges)
    successes, _ = np.histogramdd(points[records.success], bins=edges)
    return Bins(edges, trials.astype(int), successes.astype(int))


def _edges(values: np.ndarray, num_bins: int) -> np.ndarray:
    """Edges of bins over the range of values [m], rounded outwards to whole centimeters at both ends."""
    low, high = floor(100 * values.min()) / 100, ceil(100 * values.max()) / 100
    return np.linspace(low, max(high, low + 0.01), num_bins + 1)


def _rounded(edges: np.ndarray) -> list[float]:
    return [round(float(edge), 4) for edge in edges]
