"""Parts of one trial in plain float64: spans, selection, transform, segments. `oracle_trial` combines them.

Written from the algorithm's description (MimicGen, arXiv 2310.17596, as Isaac Lab Mimic and DexMimicGen, arXiv 2410.24185,
extended it), not from the planner, and without shared code. Random numbers on (0, 1) are inputs; all else is computed
here.
"""

# T steps of a demo, S subtasks, D demos, G gripper entries

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

Pose = np.ndarray
"""(4, 4) float64 [m]."""
SMALL_ROTATION = 0.05
"""Rotation below which Isaac Lab and MimicGen do not interpolate [rad]."""


@dataclass(frozen=True)
class Subtask:
    object_ref: str | None
    strategy: str
    nn_k: int
    pos_weight: float
    rot_weight: float
    end_offsets: tuple[int, int]
    num_interpolation: int
    num_fixed: int
    action_noise: float
    noise_during_interpolation: bool
    num_settle: int = 0
    skill_start_offsets: tuple[int, int] = (0, 0)
    """Under SkillGen."""


@dataclass(frozen=True)
class Demo:
    eef: dict[str, np.ndarray]
    """End effector -> (T, 4, 4), achieved."""
    target: dict[str, np.ndarray]
    """End effector -> (T, 4, 4), commanded."""
    gripper: dict[str, np.ndarray]
    """End effector -> (T, G)."""
    objects: dict[str, np.ndarray]
    """Name -> (T, 4, 4)."""
    signals: dict[str, list[np.ndarray]]
    """End effector -> of each subtask but the last, (T,) bool."""
    starts: dict[str, list[np.ndarray]] = field(default_factory=dict)
    """End effector -> of each subtask, (T,) bool; under SkillGen."""


@dataclass(frozen=True)
class Rules:
    start_offsets: dict[str, tuple[int, int]]
    """End effector -> range of the start offset of its first subtask [steps]."""
    select_per_subtask: bool
    select_per_arm: bool
    compat_select: str
    transform_first_robot_pose: bool
    interpolate_from_last_target: bool
    legacy_small_rotation: bool
    num_final_hold: int
    num_success_steps: int
    success_rule: str
    skillgen: bool = False
    """Skills start at their start signals; the transits to them are planned."""


@dataclass(frozen=True)
class Waypoint:
    """Target of one end effector in one step; `holds`: it waits or has finished, so that `noise_std` does not apply."""

    pose: Pose
    gripper: np.ndarray
    noise_std: float
    subtask: int
    demo: int
    holds: bool


@dataclass(frozen=True)
class Sequential:
    """The latter begins after the end of the former, or waits for it `min_time_diff` steps before its own end."""

    former: tuple[str, int]
    latter: tuple[str, int]
    min_time_diff: int


@dataclass(frozen=True)
class Coordination:
    members: tuple[tuple[str, int], tuple[str, int]]
    scheme: str
    pos_noise: float
    rot_noise: float
    synchronize_start: bool


@dataclass(frozen=True)
class Chance:
    """Random numbers on (0, 1) of one trial."""

    start: dict[str, np.ndarray]
    """End effector -> (D,), for the start of each demo's first subtask."""
    ends: dict[str, np.ndarray]
    """End effector -> (D, S), for the end of each subtask."""
    selection: dict[str, np.ndarray]
    """End effector -> (S,)."""
    coordination: np.ndarray
    """(groups, 6), position and rotation of the noise on each group's transform; groups as they are first mentioned."""
    skill_starts: dict[str, np.ndarray] = field(default_factory=dict)
    """End effector -> (D, S), for the start of each skill."""


Scene = Callable[[], tuple[dict[str, Pose], dict[str, Pose]]]
"""Present poses of all end effectors and all objects."""
Span = tuple[int, int]


def segment(
    begin: Pose, path: list[Pose], gripper: list[np.ndarray], subtask: Subtask, rules: Rules
) -> Iterator[tuple[Pose, np.ndarray, float]]:
    """Interpolated poses, the first pose once and `num_fixed` times more, the rest: (pose, gripper, noise std) of each."""
    quiet = subtask.action_noise if subtask.noise_during_interpolation else 0.0
    for j in range(1, subtask.num_interpolation + 1):
        fraction = j / (subtask.num_interpolation + 1)
        yield interpolate(begin, path[0], fraction, rules.legacy_small_rotation), gripper[0], quiet
    for copy in range(subtask.num_fixed + 1):
        is_last_copy = copy == subtask.num_fixed
        yield path[0], gripper[0], subtask.action_noise if is_last_copy else quiet
    for pose, grip in zip(path[1:], gripper[1:], strict=True):
        yield pose, grip, subtask.action_noise


def spans_of_demo(demo: Demo, eef: str, subtasks: Sequence[Subtask], rules: Rules, chance: Chance, index: int) -> list[Span]:
    """[start, end) of each subtask of an end effector in demo number `index` under one trial's offsets."""
    if rules.skillgen:
        numbers = zip(chance.skill_starts[eef][index], chance.ends[eef][index], strict=True)
        return [
            (start + integer(*subtask.skill_start_offsets, a), end + integer(*subtask.end_offsets, b))
            for (start, end), subtask, (a, b) in zip(nominal_skills(demo, eef), subtasks, numbers, strict=False)
        ]
    ends = [
        end + integer(*subtask.end_offsets, number)
        for end, subtask, number in zip(nominal_ends(demo, eef), subtasks, chance.ends[eef][index], strict=False)
    ]
    starts = [integer(*rules.start_offsets[eef], chance.start[eef][index]), *ends[:-1]]
    return list(zip(starts, ends, strict=True))


def nominal_ends(demo: Demo, eef: str) -> list[int]:
    """A subtask ends one step after its signal's first rise at or after the previous end; the last with the demo."""
    ends: list[int] = []
    for signal in demo.signals[eef]:
        previous = ends[-1] if ends else 0
        for k in range(max(previous, 1), len(signal)):
            if signal[k] and not signal[k - 1]:
                ends.append(k + 1)
                break
    return [*ends, len(demo.target[eef])]


def nominal_skills(demo: Demo, eef: str) -> list[Span]:
    """A skill starts with the first rise of its start signal at or after the end before, or with the demo."""
    spans: list[Span] = []
    for number, signal in enumerate(demo.starts[eef]):
        start = 0 if number == 0 and signal[0] else first_rise(signal, spans[-1][1] if spans else 0)
        is_last = number == len(demo.starts[eef]) - 1
        spans.append((start, len(demo.target[eef]) if is_last else first_rise(demo.signals[eef][number], start) + 1))
    return spans


def first_rise(signal: np.ndarray, begin: int) -> int:
    """The first step from `begin` on at which a signal is true and was not before."""
    return next(k for k in range(max(begin, 1), len(signal)) if signal[k] and not signal[k - 1])


def integer(low: int, high: int, chance: float) -> int:
    """Uniform from `low` to `high`, both included."""
    return low + math.floor(float(chance) * (high - low + 1))


def selects_again(rules: Rules) -> bool:
    """Return whether subtasks after the first select their own demo. Isaac Lab does only with `select_src_per_arm`."""
    if rules.compat_select == "isaaclab":
        return rules.select_per_subtask and rules.select_per_arm
    return rules.select_per_subtask


def select_demo(
    demos: Sequence[Demo],
    eef: str,
    subtask: Subtask,
    starts: Sequence[int],
    eef_now: Pose,
    objects_now: Mapping[str, Pose],
    chance: float,
) -> int:
    if subtask.strategy == "random":
        return math.floor(chance * len(demos))
    distances = []
    for demo, start in zip(demos, starts, strict=True):
        if subtask.strategy == "nearest_neighbor_object":
            assert subtask.object_ref is not None
            source, present = demo.objects[subtask.object_ref][start], objects_now[subtask.object_ref]
        else:
            source, present = to_now(demo, subtask, start, objects_now) @ demo.eef[eef][start], eef_now
        distances.append(
            subtask.pos_weight * distance(source, present) + subtask.rot_weight * angle_between(source, present)
        )
    nearest = sorted(range(len(demos)), key=lambda d: distances[d])[: subtask.nn_k]
    return nearest[math.floor(chance * len(nearest))]


def to_now(demo: Demo, subtask: Subtask, start: int, objects_now: Mapping[str, Pose]) -> Pose:
    """From the source's env frame to the present one: T_now @ inv(T_src)."""
    if subtask.object_ref is None:
        return np.eye(4)
    return objects_now[subtask.object_ref] @ np.linalg.inv(demo.objects[subtask.object_ref][start])


def distance(a: Pose, b: Pose) -> float:
    return float(np.linalg.norm(a[:3, 3] - b[:3, 3]))


def angle_between(a: Pose, b: Pose) -> float:
    return float(np.linalg.norm(rotation_vector(a[:3, :3] @ b[:3, :3].T)))


def interpolate(begin: Pose, goal: Pose, fraction: float, legacy_small_rotation: bool = False) -> Pose:
    """Position linear, rotation along the geodesic."""
    pose = np.eye(4)
    pose[:3, 3] = (1.0 - fraction) * begin[:3, 3] + fraction * goal[:3, 3]
    turn = rotation_vector(goal[:3, :3] @ begin[:3, :3].T)
    if legacy_small_rotation and np.linalg.norm(turn) < SMALL_ROTATION:
        pose[:3, :3] = goal[:3, :3]
    else:
        pose[:3, :3] = rotation(fraction * turn) @ begin[:3, :3]
    return pose


def rotation(vector: np.ndarray) -> np.ndarray:
    """Rodrigues' formula."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * (cross @ cross)


def rotation_vector(rot: np.ndarray) -> np.ndarray:
    """The logarithm of a rotation: axis times angle, of at most pi."""
    twice_sine_axis = np.array([rot[2, 1] - rot[1, 2], rot[0, 2] - rot[2, 0], rot[1, 0] - rot[0, 1]])
    twice_sine = float(np.linalg.norm(twice_sine_axis))
    angle = math.atan2(twice_sine, float(np.trace(rot)) - 1.0)
    if twice_sine > 1e-6:
        return twice_sine_axis / twice_sine * angle
    if angle < 1.0:
        return 0.5 * twice_sine_axis
    # Near a half turn the axis is the eigenvector of (R + R^T) / 2 that belongs to 1.
    values, vectors = np.linalg.eigh(0.5 * (rot + rot.T))
    return vectors[:, int(np.argmax(values))] * angle


def succeeded(success: Sequence[bool], rules: Rules) -> bool:
    """Return whether a trial succeeds, from the success of each of its steps."""
    if rules.success_rule == "any_step":
        return any(success)
    return len(success) >= rules.num_success_steps and all(success[-rules.num_success_steps :])
