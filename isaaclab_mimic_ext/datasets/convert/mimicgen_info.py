"""Group `datagen_info` of MimicGen, with one or several end effectors, in Isaac Lab's names."""

# T steps of one demo, E end effectors, G gripper action entries of one end effector

from collections.abc import Mapping, Sequence

import numpy as np

from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.files.grippers import find_columns

INFO = "datagen_info"
ANNOTATE_FIRST = "annotate it first: MimicGen's scripts/prepare_src_dataset.py adds datagen_info in the demos' simulator"
POSES = {"eef_pose": "eef_pose", "target_pose": "target_eef_pose"}
"""MimicGen's name -> Isaac Lab's group, which contains one dataset per end effector."""
OBJECTS, GRIPPER = "object_poses", "gripper_action"
SIGNALS = ("subtask_term_signals", "subtask_start_signals")

_REQUIRED_GROUPS = (OBJECTS, SIGNALS[0])


def check_info(demo: Demo) -> None:
    """Check that a demo has the parts of `datagen_info` that generation requires.

    Raises:
        SourceDataError: it is in a different layout, or is not (fully) annotated.
    """
    if demo.below("obs/datagen_info"):
        demo.refuse("obs/datagen_info: the file is already in Isaac Lab's layout; use it without an import")
    if not demo.below(INFO):
        demo.refuse(f"{INFO}: not found; the file is a plain robomimic file without poses and signals; {ANNOTATE_FIRST}")
    for name in (*POSES, GRIPPER):
        if f"{INFO}/{name}" not in demo.leaves and not demo.below(f"{INFO}/{name}"):
            demo.refuse(f"{INFO}/{name}: missing, the demo is not fully annotated; {ANNOTATE_FIRST}")
    for name in _REQUIRED_GROUPS:
        if not demo.below(f"{INFO}/{name}"):
            demo.refuse(f"{INFO}/{name}: missing or empty, the demo is not fully annotated; {ANNOTATE_FIRST}")


def eef_names(demo: Demo, wanted: Sequence[str]) -> tuple[str, ...]:
    """Names of the end effectors of a demo, in the order of its arrays.

    Args:
        wanted: names for the arrays, which have none; the names of groups are kept.

    Raises:
        ConfigError: the number of names is wrong.
    """
    groups = demo.below(f"{INFO}/eef_pose")
    if groups:
        return tuple(sorted(groups))
    num_found = _num_eefs(demo, demo.leaves[f"{INFO}/eef_pose"])
    if len(wanted) != num_found:
        example = ",".join(("left", "right", "torso", "head")[:num_found])
        remedy = f"name them in the order of the arrays: eef_names=[{example}]" if num_found > 1 else "set one eef_name"
        raise ConfigError(
            f"eef_names: {demo.place} has {num_found} end effectors (got {len(wanted)}: {', '.join(wanted)}); {remedy}"
        )
    return tuple(wanted)


def _num_eefs(demo: Demo, poses: np.ndarray) -> int:
    """Number of end effectors of poses (T, 4, 4), (T, E, 4, 4) or (T, 4 E, 4)."""
    if poses.ndim == 4 and poses.shape[2:] == (4, 4):
        return int(poses.shape[1])
    if poses.ndim == 3 and poses.shape[2] == 4 and poses.shape[1] % 4 == 0 and poses.shape[1]:
        return int(poses.shape[1]) // 4
    demo.refuse(
        f"{INFO}/eef_pose: must have shape (T, 4, 4) or, with E arms, (T, E, 4, 4) (got {poses.shape}); {ANNOTATE_FIRST}"
    )


def poses_by_eef(demo: Demo, part: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """End effector -> poses (T, 4, 4) of a part of `datagen_info`, `eef_pose` or `target_pose`."""
    groups = demo.below(f"{INFO}/{part}")
    if groups:
        _check_names(demo, part, groups, names)
        return {name: groups[name] for name in names}
    stacked = demo.leaves[f"{INFO}/{part}"]
    if stacked.size != demo.num_steps * len(names) * 16:
        found = f"must contain a 4 x 4 pose per step and end effector (got shape {stacked.shape})"
        demo.refuse(f"{INFO}/{part}: {found}; {ANNOTATE_FIRST}")
    return dict(zip(names, stacked.reshape(demo.num_steps, len(names), 4, 4).swapaxes(0, 1), strict=True))


def grippers_by_eef(demo: Demo, names: Sequence[str]) -> dict[str, np.ndarray]:
    """End effector -> gripper actions (T, G)."""
    groups = demo.below(f"{INFO}/{GRIPPER}")
    if groups:
        _check_names(demo, GRIPPER, groups, names)
        return {name: groups[name].reshape(demo.num_steps, -1) for name in names}
    stacked = demo.leaves[f"{INFO}/{GRIPPER}"].reshape(demo.num_steps, -1)
    if stacked.shape[1] % len(names):
        demo.refuse(f"{INFO}/{GRIPPER}: must have the same number of entries per end effector (got {stacked.shape[1]})")
    return dict(zip(names, np.split(stacked, len(names), axis=1), strict=True))


def columns_of_grippers(demo: Demo, grippers: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """End effector -> columns of its gripper in the actions.

    Isaac Lab's layout has no separate gripper actions: generation reads them from the actions. Those of a single end
    effector must be the last entries.

    Raises:
        SourceDataError: gripper actions are not a part of the actions.
    """
    actions = demo.leaves["actions"]
    columns: dict[str, tuple[int, ...]] = {}
    # Of equal columns the last one is taken, so the last end effector is the first to choose.
    for name, gripper in reversed([*grippers.items()]):
        found = find_columns(actions, gripper, [column for each in columns.values() for column in each])
        num_entries = gripper.shape[1]
        is_last = found == tuple(range(actions.shape[1] - num_entries, actions.shape[1]))
        if found is None or (len(grippers) == 1 and not is_last):
            where = f"the last {num_entries} entries" if len(grippers) == 1 else f"all entries (end effector '{name}')"
            demo.refuse(
                f"{INFO}/{GRIPPER}: differs from {where} of the actions, which generation reads; "
                "use demos whose actions contain the gripper actions, for one end effector as their last entries"
            )
        columns[name] = found
    return {name: columns[name] for name in grippers}


def _check_names(demo: Demo, part: str, groups: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    for name in names:
        if name not in groups:
            demo.refuse(f"{INFO}/{part}: end effector '{name}' not found; {choices(name, groups)}; {ANNOTATE_FIRST}")
