"""One trial of one end effector, planned slowly and plainly in float64: what the batched planner must agree with.

Written from the algorithm's description (MimicGen, arXiv 2310.17596, as Isaac Lab Mimic extended it), not from the planner.
It shares no code with it. Chance comes in as numbers on (0, 1); everything else is computed here.
"""

# T steps of a demo, S subtasks, D demos, G gripper entries

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

Pose = np.ndarray
"""(4, 4) float64 [m]."""
SMALL_ROTATION = 0.05
"""What Isaac Lab and MimicGen jump over [rad]."""


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


@dataclass(frozen=True)
class Demo:
    eef: np.ndarray
    """(T, 4, 4), achieved."""
    target: np.ndarray
    """(T, 4, 4), commanded."""
    gripper: np.ndarray
    """(T, G)."""
    objects: dict[str, np.ndarray]
    """Name -> (T, 4, 4)."""
    signals: list[np.ndarray]
    """Of each subtask but the last, (T,) bool."""


@dataclass(frozen=True)
class Rules:
    start_offsets: tuple[int, int]
    select_per_subtask: bool
    select_per_arm: bool
    compat_select: str
    transform_first_robot_pose: bool
    interpolate_from_last_target: bool
    legacy_small_rotation: bool
    num_final_hold: int
    num_success_steps: int
    success_rule: str


@dataclass(frozen=True)
class Waypoint:
    pose: Pose
    gripper: np.ndarray
    noise_std: float
    subtask: int
    demo: int
    is_hold: bool = False


@dataclass(frozen=True)
class Chance:
    """The numbers on (0, 1) that one trial is made of."""

    start: np.ndarray
    """(D,), for the start of each demo's first subtask."""
    ends: np.ndarray
    """(D, S), for the end of each subtask."""
    selection: np.ndarray
    """(S,)."""


Scene = Callable[[], tuple[Pose, dict[str, Pose]]]
"""The end effector's and every object's pose at this moment."""


def run_trial(
    demos: Sequence[Demo], subtasks: Sequence[Subtask], rules: Rules, chance: Chance, scene: Scene
) -> Iterator[Waypoint]:
    """The waypoint of every step of a trial; `scene` is asked whenever a segment begins."""
    spans = [spans_of_demo(demo, subtasks, rules, chance.start[d], chance.ends[d]) for d, demo in enumerate(demos)]
    chosen = 0
    waypoint: Waypoint | None = None
    for index, subtask in enumerate(subtasks):
        eef_now, objects_now = scene()
        starts = [spans[d][index][0] for d in range(len(demos))]
        if index == 0 or selects_again(rules):
            chosen = select_demo(demos, subtask, starts, eef_now, objects_now, float(chance.selection[index]))
        start, end = spans[chosen][index]
        demo = demos[chosen]
        moved = to_now(demo, subtask, start, objects_now)
        path = [moved @ demo.target[t] for t in range(start, end)]
        gripper = [demo.gripper[t] for t in range(start, end)]
        if index == 0 or rules.transform_first_robot_pose:
            path.insert(0, moved @ demo.eef[start])
            gripper.insert(0, gripper[0])
        begin = eef_now
        if waypoint is not None and rules.interpolate_from_last_target:
            begin = waypoint.pose
        for pose, grip, std in segment(begin, path, gripper, subtask, rules):
            waypoint = Waypoint(pose, grip, std, index, chosen)
            yield waypoint
    assert waypoint is not None
    for _ in range(rules.num_final_hold):
        yield replace(waypoint, noise_std=0.0, is_hold=True)


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


def spans_of_demo(
    demo: Demo, subtasks: Sequence[Subtask], rules: Rules, start_chance: float, end_chances: np.ndarray
) -> list[tuple[int, int]]:
    """[start, end) of each subtask of one demo under one trial's offsets."""
    ends = [
        end + integer(*subtask.end_offsets, chance)
        for end, subtask, chance in zip(nominal_ends(demo), subtasks, end_chances, strict=True)
    ]
    starts = [integer(*rules.start_offsets, start_chance), *ends[:-1]]
    return list(zip(starts, ends, strict=True))


def nominal_ends(demo: Demo) -> list[int]:
    """A subtask ends one step after its signal's first rise at or after the previous end; the last with the demo."""
    ends: list[int] = []
    for signal in demo.signals:
        previous = ends[-1] if ends else 0
        for k in range(max(previous, 1), len(signal)):
            if signal[k] and not signal[k - 1]:
                ends.append(k + 1)
                break
    return [*ends, len(demo.target)]


def integer(low: int, high: int, chance: float) -> int:
    """Uniform from `low` to `high`, both included."""
    return low + math.floor(float(chance) * (high - low + 1))


def selects_again(rules: Rules) -> bool:
    """Whether subtasks after the first choose their own demo. Isaac Lab does only with `select_src_per_arm`."""
    if rules.compat_select == "isaaclab":
        return rules.select_per_subtask and rules.select_per_arm
    return rules.select_per_subtask


def select_demo(
    demos: Sequence[Demo],
    subtask: Subtask,
    starts: Sequence[int],
    eef_now: Pose,
    objects_now: dict[str, Pose],
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
            source, present = to_now(demo, subtask, start, objects_now) @ demo.eef[start], eef_now
        distances.append(
            subtask.pos_weight * distance(source, present) + subtask.rot_weight * angle_between(source, present)
        )
    nearest = sorted(range(len(demos)), key=lambda d: distances[d])[: subtask.nn_k]
    return nearest[math.floor(chance * len(nearest))]


def to_now(demo: Demo, subtask: Subtask, start: int, objects_now: dict[str, Pose]) -> Pose:
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
    """Whether a trial counts, from its success at every step."""
    if rules.success_rule == "any_step":
        return any(success)
    return len(success) >= rules.num_success_steps and all(success[-rules.num_success_steps :])
