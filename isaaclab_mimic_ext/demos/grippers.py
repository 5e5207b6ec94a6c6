"""Convention of the gripper commands of a demo, from the objects that its hands lift: such a gripper is closed."""

# T steps of the demo, G gripper entries

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.grippers import CONVENTIONS

MIN_AGREEMENT = 0.8
"""Smallest fraction of steps in which commands agree with fingers or objects; 1.0 in the included demos."""
HOLD_DISTANCE = 0.12
"""Largest distance of a closed gripper from an object that it may be moving [m], in addition to the object's footprint."""
EXPECTED = "a command >= 0 opens, a negative one closes"
IF_RIGHT = "or, if the commands are right, use datagen_config.check_gripper_convention=false"
"""Remedy for a task whose open gripper lifts objects."""
NAMES = {
    "flip": "positive commands close the gripper, as in robosuite",
    "zero_one": "0 closes the gripper and larger commands open it",
    "one_zero": "0 opens the gripper and larger commands close it",
    "zero_closes": "a command of exactly 0 closes the gripper",
}
"""Name of a convention other than Isaac Lab's -> its description."""

_MIN_LIFT = 0.01
"""Height above its first position from which an object is lifted [m]: an open gripper pushes objects, and lifts none."""
_MIN_CARRY_SPEED, _MAX_SLIP = 0.03, 0.3
"""Speed of a carried object [m/s], and its velocity relative to the hand, as a fraction."""
_MIN_CARRY_TIME = 0.25
"""Time for which a hand must carry objects before its commands are judged [s]."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def conversion_command(file: str, **fields: str) -> str:
    """Command that converts a file, for a remedy: `mimic prepare` with these fields."""
    path, (field, value) = Path(file), next(iter(fields.items()))
    return command_line("prepare", input_file=path, output_file=path.with_stem(f"{path.stem}_{value}"), **{field: value})


def conventions(commands: Floats) -> dict[str, Callable[[Floats], Mask]]:
    """Conventions that commands (T,) may follow: commands without a sign follow others than those with a sign."""
    names = ("zero_one", "one_zero") if commands.min() >= 0 else ("flip", "zero_closes")
    return {name: CONVENTIONS[name] for name in ("keep", *names)}


def agreement(opens: Mask, is_open: Mask, is_judged: Mask) -> float | None:
    """Mean fraction of agreeing steps, of open and of closed grippers; None if no step can be judged."""
    parts = [(opens == state)[is_judged & (is_open == state)] for state in (False, True)]
    fractions = [float(part.mean()) for part in parts if len(part)]
    return min(fractions) if fractions else None


def carries(eef_pose: Floats, object_pose: Mapping[str, Floats], radii: Mapping[str, float], step_dt: float) -> Mask:
    """Return whether the hand moves together with a lifted object near it, (T,) bool.

    Args:
        eef_pose: (T, 4, 4), env frame [m].
        object_pose: object -> (T, 4, 4), env frame [m].
        radii: object that the gripper can hold -> radius of its footprint [m]; other objects do not count.
    """
    found = np.zeros(len(eef_pose), dtype=bool)
    if len(eef_pose) < 2:  # A velocity needs two steps.
        return found
    hand = np.gradient(eef_pose[:, :3, 3], step_dt, axis=0)
    for name, radius in radii.items():
        position = object_pose[name][:, :3, 3]
        velocity = np.gradient(position, step_dt, axis=0)
        speed = np.linalg.norm(velocity, axis=1)
        is_near = np.linalg.norm(position - eef_pose[:, :3, 3], axis=1) < HOLD_DISTANCE + radius
        is_lifted = position[:, 2] > position[0, 2] + _MIN_LIFT
        follows = (speed > _MIN_CARRY_SPEED) & (np.linalg.norm(velocity - hand, axis=1) < _MAX_SLIP * speed)
        found |= is_near & is_lifted & follows
    return found


def check_convention(
    demo: SourceDemo,
    commands: Mapping[str, NDArray[np.float32]],
    radii: Mapping[str, Mapping[str, float]],
    step_dt: float,
) -> None:
    """Check that the gripper commands of a demo follow Isaac Lab's convention, as far as lifted objects show it.

    Args:
        commands: end effector -> its gripper commands, (T, G).
        radii: end effector -> object that its gripper can hold -> radius of its footprint [m].

    Raises:
        SourceDataError: the commands follow another convention.
    """
    objects = {name: pose.astype(np.float64) for name, pose in demo.object_pose.items()}
    for eef, values in commands.items():
        if not values.shape[1] or np.ptp(values[:, 0]) == 0:  # Commands of a hand that never closes have no convention.
            continue
        is_carrying = carries(demo.eef_pose[eef].astype(np.float64), objects, radii[eef], step_dt)
        if is_carrying.sum() * step_dt < _MIN_CARRY_TIME:
            continue
        if convention := _other_convention(values[:, 0].astype(np.float64), is_carrying):
            remedy = f"convert the file: `{conversion_command(demo.file, gripper=convention)}`, {IF_RIGHT}"
            raise SourceDataError(f"{demo.place}: gripper of {eef}: {NAMES[convention]}; expected: {EXPECTED}; {remedy}")


def _other_convention(commands: Floats, is_carrying: Mask) -> str | None:
    """Name of the convention that closes the gripper while it carries; None for Isaac Lab's, or an unknown one."""
    closed = np.zeros(len(commands), dtype=bool)
    found = {name: agreement(opens(commands), closed, is_carrying) or 0.0 for name, opens in conventions(commands).items()}
    best = max(found, key=lambda name: found[name])
    return best if found.pop("keep") < MIN_AGREEMENT <= found.get(best, 0.0) else None
