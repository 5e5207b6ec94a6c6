"""The subtask of each step of a generated demo. The file contains the number of steps of each subtask."""

# T steps of one demo, E end effectors, S subtasks

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.attributes import attributes_of
from isaaclab_mimic_ext.files.demo import open_demo
from isaaclab_mimic_ext.files.hdf5 import open_hdf5, text_of

NAMES = "subtasks"
"""Attribute of `data`: JSON, end effector -> names of its subtasks in their order."""
NUM_STEPS = "subtask_steps"
"""Attribute of a demo: number of steps of each subtask, (E, S) int64."""

SubtaskNames = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class DemoSubtasks:
    """The subtask of each step of a demo.

    Attributes:
        names: end effector -> names of its subtasks in their order; the end effectors in the order of the axis E.
        index: (T, E) int64, index of the subtask.
        progress: (T, E) float32, fraction of the subtask: 0 in its first step, 1 in its last step.
    """

    names: dict[str, tuple[str, ...]]
    index: np.ndarray
    progress: np.ndarray

    def labels(self) -> list[str]:
        """Name of the subtask of each step, T texts; with several end effectors, `left: <name>; right: <name>`."""
        texts = {row: self._label(row) for row in set(map(tuple, self.index.tolist()))}
        return [texts[row] for row in map(tuple, self.index.tolist())]

    def _label(self, row: tuple[int, ...]) -> str:
        names = [names[index] for names, index in zip(self.names.values(), row, strict=True)]
        if len(names) == 1:
            return names[0]
        return "; ".join(f"{eef}: {name}" for eef, name in zip(self.names, names, strict=True))


def read_subtasks(input_file: str | Path, demo: str) -> DemoSubtasks:
    """Read the subtask of each step of a generated demo.

    Args:
        demo: name of the demo, such as `demo_0`.

    Raises:
        SourceDataError: the file is missing or damaged, or does not contain the demo or its subtasks.
    """
    with open_hdf5(input_file) as file:
        opened = open_demo(file, demo, verify=False)
        names = subtask_names(attributes_of(file["data"]))
        found = demo_subtasks(names, opened.attributes, opened.num_steps, opened.place)
    if found is None:
        rule = f"attributes '{NUM_STEPS}' of the demo and '{NAMES}' of data not found"
        raise SourceDataError(f"{input_file}: {demo}: {rule}; generate the demos again")
    return found


def subtask_names(attributes: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """End effector -> names of its subtasks, from the attributes of `data`; empty if they do not contain the names."""
    try:
        found = json.loads(text_of(attributes.get(NAMES, "{}")))
        return {str(eef): tuple(map(str, names)) for eef, names in found.items()}
    except (ValueError, AttributeError, TypeError):
        return {}


def demo_subtasks(names: SubtaskNames, attributes: Mapping[str, Any], num_steps: int, place: str) -> DemoSubtasks | None:
    """The subtask of each step of a demo; None if its file does not contain the subtasks.

    Args:
        names: see `subtask_names`.
        attributes: attributes of the demo.
        num_steps: number of steps T of the demo.
        place: file and demo, for messages.

    Raises:
        SourceDataError: the steps of the subtasks do not match the demo.
    """
    counts = np.asarray(attributes.get(NUM_STEPS, ()))
    if not names or not counts.size:
        return None
    widest = max(map(len, names.values()))
    is_valid = counts.shape == (len(names), widest) and counts.dtype.kind in "iu" and (counts >= 0).all()
    if not is_valid or (counts.sum(1) != num_steps).any():
        rule = f"must be the numbers of steps of {len(names)} x {widest} subtasks, in total {num_steps} per end effector"
        raise SourceDataError(f"{place}: attribute '{NUM_STEPS}': {rule} (got {counts.tolist()}); generate the demo again")
    index = np.stack([np.repeat(np.arange(widest), row) for row in counts], axis=1)
    step = np.stack([np.concatenate([np.arange(count) for count in row]) for row in counts], axis=1)
    last = np.maximum(np.take_along_axis(counts.T, index, axis=0) - 1, 1)
    return DemoSubtasks({eef: tuple(each) for eef, each in names.items()}, index, (step / last).astype(np.float32))
