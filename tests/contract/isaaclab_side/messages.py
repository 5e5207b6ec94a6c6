"""What is asked of the process with Isaac Lab, and what it answers: data, in a module that both sides can import."""

# T steps of a trial, F frames of a film, D demos, S subtasks, G gripper entries

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Shipped:
    """One configuration class of `isaaclab_mimic.envs`.

    Attributes:
        problem: why it cannot be instantiated; None if it can.
        original: its three Mimic parts, enums by their names in lower case, everything else as it is.
        ours: what `mimic_fields_of` makes of them.
        warnings: that it gave.
    """

    problem: str | None
    original: dict[str, Any]
    ours: dict[str, Any]
    warnings: list[str]


@dataclass
class Film:
    """What there is to see in one trial, whatever the actions are: after t steps row t modulo F.

    Attributes:
        eef_pose, object_pose: name -> (F, 4, 4) float32, env frame [m].
        success: (F,) bool.
    """

    eef_pose: dict[str, np.ndarray]
    object_pose: dict[str, np.ndarray]
    success: np.ndarray


@dataclass
class Chance:
    """What Isaac Lab's calls of random generators give.

    Attributes:
        integers: of `numpy.random.randint`, which draws the offsets: of each end effector those of the starts (D,), then
            those of each subtask's ends (D,), one after the other.
        uniforms: end effector -> of each subtask a number on (0, 1), by which `torch.randint` selects its demo.
    """

    integers: list[np.ndarray]
    uniforms: dict[str, list[float]]


@dataclass
class Problem:
    """Trials to run with the real `DataGenerator`.

    Attributes:
        source: the annotated file.
        datagen_config: Isaac Lab's fields.
        subtask_configs: end effector -> of each subtask Isaac Lab's fields.
        constraint_configs: Isaac Lab's fields, enums by their names.
        gripper_columns: end effector -> (first, last) of its entries in an action.
        trials: what is seen in each, and its chance.
    """

    source: str
    datagen_config: dict[str, Any]
    subtask_configs: dict[str, list[dict[str, Any]]]
    gripper_columns: dict[str, tuple[int, int]]
    constraint_configs: list[dict[str, Any]] = field(default_factory=list)
    trials: list[tuple[Film, Chance]] = field(default_factory=list)


@dataclass
class Trial:
    """What an env was told in one trial.

    Attributes:
        pose: end effector -> (T, 4, 4).
        gripper: end effector -> (T, G).
        noise: end effector -> (T,), the deviation of the noise on its action.
        demos: end effector -> of each of its subtasks the source demo.
        success: whether it counts.
    """

    pose: dict[str, np.ndarray]
    gripper: dict[str, np.ndarray]
    noise: dict[str, np.ndarray]
    demos: dict[str, list[int]]
    success: bool


@dataclass
class Selection:
    """What a strategy chooses from, at the begin of a segment; env frames [m].

    Attributes:
        kwargs: `nn_k`, `pos_weight`, `rot_weight`.
        eef_pose, object_pose: (4, 4) float32, now.
        demo_eef_pose, demo_object_pose: (D, 4, 4) float32, in each demo.
    """

    strategy: str
    kwargs: dict[str, Any]
    eef_pose: np.ndarray
    object_pose: np.ndarray
    demo_eef_pose: np.ndarray
    demo_object_pose: np.ndarray


@dataclass
class Converted:
    """How our converter makes an env's actions.

    Attributes:
        method: `own`, `batched` or `loop`.
        pose_dims: pose entries of each end effector's action.
        error: the largest difference to the env's own one-env method.
        moved: by how much noise of 0.25 on every pose entry moves an action, the sum over its entries.
    """

    method: str
    pose_dims: tuple[int, ...]
    error: float
    moved: float
