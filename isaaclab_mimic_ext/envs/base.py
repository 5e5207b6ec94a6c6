"""What the generator, the recorder and the annotator need from an environment: Isaac Lab's Mimic API, batched."""

# N envs, n of them addressed, E end effectors, O objects, A action entries,
# G gripper entries and P pose entries of an action, of the end effector that has most

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, device

from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.reasons import FailureReason

NestedTensors = dict[str, Any]
"""A tree of tensors; the keys become groups and datasets of the recorded file."""


@runtime_checkable
class MimicEnv(Protocol):
    """N environments that step together. Poses are homogeneous matrices in each env's own frame [m].

    End effectors are stacked in the order of `eef_names`, objects in that of `object_names`. End effectors may differ: those
    with fewer gripper or pose entries than others are padded with zeros at the end, and `gripper_dims` and `pose_dims` give
    the number of entries that count. Returned tensors are valid until the next step or reset: clone what must outlive it,
    and write to none.
    """

    @property
    def num_envs(self) -> int: ...
    @property
    def device(self) -> device: ...
    @property
    def step_dt(self) -> float:
        """Time of one control step [s]."""

    @property
    def eef_names(self) -> tuple[str, ...]: ...
    @property
    def object_names(self) -> tuple[str, ...]: ...
    @property
    def action_dim(self) -> int: ...
    @property
    def gripper_dims(self) -> tuple[int, ...]:
        """Gripper entries of each end effector, E numbers; G is the largest."""

    @property
    def pose_dims(self) -> tuple[int, ...]:
        """Entries of each end effector's action that carry its pose, and so its noise, E numbers; P is the largest."""

    def reset(self, env_ids: Tensor, draws: Draws) -> None:
        """Start the trials of `draws`, (n,), in the envs `env_ids`, (n,) int64; the other envs do not change a bit."""

    def reset_to(self, state: NestedTensors, env_ids: Tensor) -> None:
        """Put the envs `env_ids` into a state in `get_state`'s layout, every leaf (n, ...)."""

    def step(self, actions: Tensor, env_ids: Tensor | None = None) -> None:
        """Advance by one control step: all envs, or those of `env_ids` (sorted). `actions` is (N, A) in either case."""

    @property
    def eef_pose(self) -> Tensor:
        """Present poses of the end effectors, (N, E, 4, 4), env frame [m]."""

    @property
    def object_pose(self) -> Tensor:
        """Present poses of the objects, (N, O, 4, 4), env frame [m]."""

    def get_subtask_term_signals(self) -> dict[str, Tensor]:
        """Name -> (N,) bool."""

    def get_subtask_start_signals(self) -> dict[str, Tensor]:
        """Name -> (N,) bool; empty where the task defines none."""

    def get_attached_objects(self) -> Tensor:
        """What each gripper holds, (N, E) int64, an index into `object_names`, -1 for nothing; asked with SkillGen only."""

    def get_navigation_state(self) -> dict[str, Tensor] | None:
        """Of envs whose base drives: `is_navigating` and `navigation_goal_reached`, (N,) bool each; None: there is none."""

    def target_eef_pose_to_action(
        self, target_eef_pose: Tensor, gripper_action: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """Actions (N, A) that lead from the present poses to target poses (N, E, 4, 4), env frame [m].

        `gripper_action` is (N, E, G). `noise`, (N, E, P) in the action's own units, is added to the pose part.
        """

    def action_to_target_eef_pose(self, actions: Tensor) -> Tensor:
        """Target poses (N, E, 4, 4), env frame [m], that actions (N, A) ask for from the present poses."""

    def actions_to_gripper_actions(self, actions: Tensor) -> Tensor:
        """Gripper part, (..., E, G), of actions (..., A)."""

    def success(self) -> Tensor:
        """Whether the task is solved at this instant, (N,) bool."""

    @property
    def failure_reasons(self) -> tuple[FailureReason, ...]:
        """Why trials fail, in the order in which it is looked for; empty: the first term signal that was never true."""

    def failure_conditions(self) -> dict[str, Tensor]:
        """What `failure_reasons` speaks of, name -> (N,) bool; where it is empty, at least the term signals."""

    def hopeless(self, over: Mapping[str, Tensor]) -> Tensor | None:
        """Whether a trial that goes on as planned is sure to fail, (N,) bool; None where that is never known.

        `over` says of term signals, name -> (N,) bool, whether the subtask that the signal ends is over.
        """

    def observations(self) -> NestedTensors:
        """What a policy sees now, term -> (N, ...)."""

    def get_state(self) -> NestedTensors:
        """The scene as Isaac Lab's `scene.get_state(is_relative=True)` gives it, every leaf (N, ...)."""

    def processed_actions(self) -> Tensor | None:
        """What the last step commanded the joints to do, (N, P'), or None."""

    def env_args(self) -> dict[str, Any]:
        """What a dataset says of the env that made it (`data.attrs["env_args"]`, JSON)."""

    def close(self) -> None: ...


def by_name(names: Sequence[str], stacked: Tensor) -> dict[str, Tensor]:
    """Slices (N, ...) of a stack (N, E, ...) or (N, O, ...) by name, for files and for APIs that have names."""
    return dict(zip(names, stacked.unbind(1), strict=True))
