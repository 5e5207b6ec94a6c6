"""Pauses in the demos of a dataset, with or without annotations."""

# T steps of a demo, E end effectors

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from isaaclab_mimic_ext.demos.pauses import Pause, PauseSummary, find_pauses, summarize_pauses
from isaaclab_mimic_ext.envs.tabletop import STEP_DT, RelativeActions
from isaaclab_mimic_ext.files.demo import Demo, read_demo
from isaaclab_mimic_ext.files.hdf5 import open_hdf5
from isaaclab_mimic_ext.files.stream import read_facts
from isaaclab_mimic_ext.math import pose_from_pos_quat
from isaaclab_mimic_ext.task.definition import Arm

MAX_EXAMINED = 20
"""Largest number of demos that are examined."""
_CLEAN, _EXECUTED = "actions_clean", "actions"


def dataset_pauses(path: str | Path, names: Sequence[str], arms: Sequence[Arm]) -> list[PauseSummary]:
    """Pauses in the first demos of `names`, by place; empty if the file does not contain the targets of the hands.

    Targets are computed from the actions without noise. Without `actions_clean`, noise hides pauses.

    Args:
        arms: arms of the task, in the order of their actions.

    Raises:
        SourceDataError: the file is damaged.
    """
    control = RelativeActions(len(arms), torch.device("cpu"))
    if not arms or read_facts(path).env_args.get("action") != control.spec:
        return []
    pauses = []
    with open_hdf5(path) as file:
        for name in names[:MAX_EXAMINED]:
            prefixes = [_prefix(arm, len(arms)) for arm in arms]
            terms = [f"obs/{prefix}{term}" for prefix in prefixes for term in ("eef_pos", "eef_quat")]
            demo = read_demo(file, name, [_EXECUTED, _CLEAN, *terms], as_xyzw=True, verify=False)
            if any(term not in demo.leaves for term in terms):
                return []
            pauses.append(_pauses(demo, arms, control))
    return summarize_pauses(pauses)


def _pauses(demo: Demo, arms: Sequence[Arm], control: RelativeActions) -> list[Pause]:
    actions = torch.from_numpy(demo.leaves.get(_CLEAN, demo.leaves[_EXECUTED]))
    poses = []
    for arm in arms:
        prefix = _prefix(arm, len(arms))
        pos, quat = (torch.from_numpy(demo.leaves[f"obs/{prefix}{term}"]) for term in ("eef_pos", "eef_quat"))
        poses.append(pose_from_pos_quat(pos, quat))
    targets = control.to_targets(actions, torch.stack(poses, dim=1)).numpy()
    grippers = control.grippers(actions).numpy()
    names = [arm.eef_name for arm in arms]
    return find_pauses(_by_name(names, targets), _by_name(names, grippers), STEP_DT)


def _by_name(names: Sequence[str], values: np.ndarray) -> dict[str, np.ndarray]:
    """Values (T, E, ...) by the name of their end effector."""
    return {name: values[:, index] for index, name in enumerate(names)}


def _prefix(arm: Arm, num_arms: int) -> str:
    """Prefix of the observations of an arm."""
    return "" if num_arms == 1 else f"{arm.name}_"
