"""Requests to the process with Isaac Lab and their results: plain data, in a module that both processes import."""

# T steps of a trial, F frames of a film, D demos, S subtasks, G gripper entries

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Shipped:
    """One configuration class of `isaaclab_mimic.envs`.

    Attributes:
        problem: reason why it cannot be instantiated; None if it can.
        original: its three Mimic parts; enums as their names in lower case, other values unchanged.
        ours: the result of `mimic_fields_of`.
        warnings: warnings logged by `mimic_fields_of`.
    """

    problem: str | None
    original: dict[str, Any]
    ours: dict[str, Any]
    warnings: list[str]


@dataclass
class Film:
    """Poses and success in one trial, independent of the actions: row t modulo F after t steps.

    Attributes:
        eef_pose, object_pose: name -> (F, 4, 4) float32, env frame [m].
        success: (F,) bool.
    """

    eef_pose: dict[str, np.ndarray]
    object_pose: dict[str, np.ndarray]
    success: np.ndarray


@dataclass
class RandomNumbers:
    """Results of Isaac Lab's calls of random generators.

    Attributes:
        integers: results of `numpy.random.randint`, which draws offsets [steps]: for each end effector those of the starts
            (D,), then those of the ends (D,) of each subtask in turn.
        uniforms: end effector -> one number in (0, 1) per subtask, by which `torch.randint` selects the demo.
    """

    integers: list[np.ndarray]
    uniforms: dict[str, list[float]]


@dataclass
class Problem:
    """Trials to run with the real `DataGenerator`.

    Attributes:
        source: path of the annotated file.
        datagen_config: Isaac Lab's fields.
        subtask_configs: end effector -> Isaac Lab's fields of each subtask.
        gripper_columns: end effector -> (first, end) of its gripper entries in an action.
        constraint_configs: Isaac Lab's fields of each constraint; enums as their names.
        trials: film and random numbers of each trial.
    """

    source: str
    datagen_config: dict[str, Any]
    subtask_configs: dict[str, list[dict[str, Any]]]
    gripper_columns: dict[str, tuple[int, int]]
    constraint_configs: list[dict[str, Any]] = field(default_factory=list)
    trials: list[tuple[Film, RandomNumbers]] = field(default_factory=list)


@dataclass
class Trial:
    """Targets that an env received in one trial, and the result of the trial.

    Attributes:
        pose: end effector -> (T, 4, 4).
        gripper: end effector -> (T, G).
        noise: end effector -> standard deviation of the noise on its action, (T,).
        demos: end effector -> index of the source demo of each subtask.
        success: whether the trial counts as a success.
    """

    pose: dict[str, np.ndarray]
    gripper: dict[str, np.ndarray]
    noise: dict[str, np.ndarray]
    demos: dict[str, list[int]]
    success: bool


@dataclass
class Selection:
    """Input of a selection strategy at the begin of a segment; poses in the env frame [m].

    Attributes:
        kwargs: `nn_k`, `pos_weight`, `rot_weight`.
        eef_pose, object_pose: current poses, (4, 4) float32.
        demo_eef_pose, demo_object_pose: poses in each demo, (D, 4, 4) float32.
    """

    strategy: str
    kwargs: dict[str, Any]
    eef_pose: np.ndarray
    object_pose: np.ndarray
    demo_eef_pose: np.ndarray
    demo_object_pose: np.ndarray


@dataclass
class ConversionResult:
    """Actions of `ActionConverter` compared with those of the env.

    Attributes:
        method: `own`, `batched` or `loop`.
        pose_dims: number of pose entries of each end effector.
        error: largest difference from the one-env method of the env.
        moved: change of an action by noise of 0.25 on all pose entries, summed over its entries.
    """

    method: str
    pose_dims: tuple[int, ...]
    error: float
    moved: float
