"""Pauses of a demo: steps in which all hands are commanded to rest. A policy without memory cannot count them."""

# T steps of the demo, G gripper entries

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext.math import rotation_angle
from isaaclab_mimic_ext.texts import counted

REST_SPEED = 0.01
"""Speed of the target below which the hand is commanded to rest [m/s]. The scripted operator rests at 0.003 or less, and the
fluent operator, which plain behavior cloning can imitate, has no two steps in a row below 0.02."""
REST_TURNING = 0.05
"""Angular speed of the target below which the hand is commanded to rest [rad/s]."""
MIN_PAUSE = 2
"""Smallest number of steps of a pause. Two steps of settling before each grasp lower the success of plain behavior cloning
from 84 % to 10 % (docs/training.md)."""

AT_START, BETWEEN = "before its first motion", "between two motions"
_GRIPPER = {"before": "before the gripper {}", "after": "after the gripper {}"}
PLACES = (
    AT_START,
    *(_GRIPPER[side].format(verb) for verb in ("closes", "opens") for side in ("before", "after")),
    BETWEEN,
)
"""Places of pauses in a demo. Rest at the end of a demo is not a pause."""


@dataclass(frozen=True)
class Pause:
    """Consecutive steps in which all hands are commanded to rest, and no gripper command changes.

    Attributes:
        place: one of `PLACES`.
        first: first step.
        num_steps: number of steps.
    """

    place: str
    first: int
    num_steps: int


@dataclass(frozen=True)
class PauseSummary:
    """Pauses at one place, in all demos. Of each demo, the longest pause there counts.

    Attributes:
        place: one of `PLACES`.
        num_steps: median number of steps, of the demos with a pause there.
        longest: largest number of steps.
        first: median first step.
        num_demos: number of demos with a pause there.
        num_examined: number of all demos.
    """

    place: str
    num_steps: int
    longest: int
    first: int
    num_demos: int
    num_examined: int

    @property
    def is_common(self) -> bool:
        """Return whether at least half of the demos pause there."""
        return 2 * self.num_demos >= self.num_examined


def pauses_text(pauses: Sequence[PauseSummary], subject: str = "the hand") -> str:
    """Sentence about pauses, with numbers: medians, numbers of demos, and the longest pause.

    Args:
        pauses: at least one place.
        subject: "the hand", or "all hands" of a task with several.
    """
    places = []
    for index, pause in enumerate(pauses):
        steps = counted(pause.num_steps, "step") if index == 0 else str(pause.num_steps)
        only_in = "" if pause.num_demos == pause.num_examined else f", in {pause.num_demos}"
        places.append(f"{pause.place} ({steps}{only_in})")
    verb = "rests" if subject == "the hand" else "rest"
    longest = max(pause.longest for pause in pauses)
    demos = counted(pauses[0].num_examined, "demo")
    return f"{subject} {verb} {', '.join(places)}: medians of {demos}, at most {longest} steps"


def gripper_transitions(gripper_action: NDArray[Any]) -> list[int]:
    """Steps in which the gripper command (T, G) differs from that of the previous step, ascending."""
    low, high = gripper_action.min(0), gripper_action.max(0)
    is_high = gripper_action > 0.5 * (low + high)
    return (np.flatnonzero((is_high[1:] != is_high[:-1]).any(-1)) + 1).tolist()


def find_pauses(
    target_eef_pose: Mapping[str, NDArray[Any]], gripper_action: Mapping[str, NDArray[Any]], step_dt: float
) -> list[Pause]:
    """Pauses of a demo, in the order of their steps.

    Targets are judged rather than the hands, which also move at rest if noise is added to the actions.

    Args:
        target_eef_pose: end effector -> (T, 4, 4), target pose in each step, without noise [m].
        gripper_action: end effector -> (T, G), gripper command; that of the first step counts as open.
        step_dt: duration of a step [s].
    """
    rests = np.logical_and.reduce([_resting(pose, step_dt) for pose in target_eef_pose.values()])
    verbs: dict[int, str] = {}
    for actions in gripper_action.values():
        verbs |= {step: ("closes", "opens")[index % 2] for index, step in enumerate(gripper_transitions(actions))}
    pauses = []
    for first, end in _intervals(rests):
        cuts = [step for step in verbs if first <= step <= end]
        for start, stop in pairwise(sorted({first, *cuts, end})):
            place = _place(start, stop, verbs, len(rests))
            if place is not None and stop - start >= MIN_PAUSE:
                pauses.append(Pause(place, start, stop - start))
    return pauses


def summarize_pauses(pauses: Sequence[Sequence[Pause]]) -> list[PauseSummary]:
    """Summarize the pauses of demos, one sequence per demo, by place."""
    summaries = []
    for place in PLACES:
        there = [[pause for pause in of_demo if pause.place == place] for of_demo in pauses]
        longest = [max(found, key=lambda pause: pause.num_steps) for found in there if found]
        if longest:
            lengths = [pause.num_steps for pause in longest]
            median, first = int(np.median(lengths)), int(np.median([pause.first for pause in longest]))
            summaries.append(PauseSummary(place, median, max(lengths), first, len(longest), len(pauses)))
    return summaries


def _resting(pose: NDArray[Any], step_dt: float) -> NDArray[np.bool_]:
    """Return whether the target of each step is that of the step before, (T,); the first step is like the second."""
    poses = torch.from_numpy(np.ascontiguousarray(pose, dtype=np.float64))
    speed = (poses[1:, :3, 3] - poses[:-1, :3, 3]).norm(dim=-1) / step_dt
    turning = rotation_angle(poses[1:, :3, :3], poses[:-1, :3, :3]) / step_dt
    rests = ((speed < REST_SPEED) & (turning < REST_TURNING)).numpy()
    return np.concatenate((rests[:1], rests))


def _intervals(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First index, and index after the last one, of each interval of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _place(start: int, stop: int, verbs: dict[int, str], num_steps: int) -> str | None:
    """Place of the pause in the steps from `start` to before `stop`; None at the end of the demo."""
    if stop == num_steps:
        return None
    if stop in verbs:
        return _GRIPPER["before"].format(verbs[stop])
    if start in verbs:
        return _GRIPPER["after"].format(verbs[start])
    return AT_START if start == 0 else BETWEEN
