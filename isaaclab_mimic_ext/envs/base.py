"""Protocol of an environment for generator, recorder and annotator: Isaac Lab's Mimic API with a leading env axis."""

# N envs, n of them addressed, E end effectors, O objects, A action entries,
# G gripper entries and P pose entries of the end effector that has the most of them

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, device

from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.reasons import FailureReason

NestedTensors = dict[str, Any]
"""Tree of tensors. Its keys become groups and datasets of the recorded file."""


@runtime_checkable
class MimicEnv(Protocol):
    """N environments that step together. Poses are homogeneous matrices in the frame of each env [m].

    End effectors are stacked in the order of `eef_names`, objects in the order of `object_names`. End effectors may differ.
    Those with fewer gripper or pose entries are padded with zeros at the end; `gripper_dims` and `pose_dims` give the number
    of entries that count. Returned tensors are read-only and valid until the next step or reset: clone them to keep them.
    """

    @property
    def num_envs(self) -> int: ...
    @property
    def device(self) -> device: ...
    @property
    def step_dt(self) -> float:
        """Duration of one control step [s]."""

    @property
    def eef_names(self) -> tuple[str, ...]: ...
    @property
    def object_names(self) -> tuple[str, ...]: ...
    @property
    def action_dim(self) -> int: ...
    @property
    def gripper_dims(self) -> tuple[int, ...]:
        """Number of gripper entries of each end effector's action, E numbers. G is the largest."""

    @property
    def pose_dims(self) -> tuple[int, ...]:
        """Number of pose entries of each end effector's action, E numbers. P is the largest. They also receive noise."""

    def reset(self, env_ids: Tensor, draws: Draws) -> None:
        """Start the n trials of `draws` in the envs `env_ids`, (n,) int64. The other envs stay bitwise the same."""

    def reset_to(self, state: NestedTensors, env_ids: Tensor) -> None:
        """Set the envs `env_ids`, (n,) int64, to a state in the layout of `get_state`, leaves (n, ...)."""

    def step(self, actions: Tensor, env_ids: Tensor | None = None) -> None:
        """Advance all envs, or only `env_ids` (sorted), by one control step. `actions` is (N, A) in both cases."""

    def check(self) -> None:
        """Raise the failure of earlier steps, if the host knows of one. Called before episodes are recorded.

        For engines whose steps end on the device later than the call of `step`. Does not wait for them.

        Raises:
            SimulationError: the states of a step are wrong, for example because a buffer was too small.
        """

    @property
    def eef_pose(self) -> Tensor:
        """Current poses of the end effectors, (N, E, 4, 4), env frame [m]."""

    @property
    def object_pose(self) -> Tensor:
        """Current poses of the objects, (N, O, 4, 4), env frame [m]."""

    def get_subtask_term_signals(self) -> dict[str, Tensor]:
        """Term signals: name -> (N,) bool."""

    def get_subtask_start_signals(self) -> dict[str, Tensor]:
        """Start signals: name -> (N,) bool; empty if the task defines none."""

    def get_attached_objects(self) -> Tensor:
        """Index into `object_names` of the object in each gripper, (N, E) int64; -1 if empty. Read only with SkillGen."""

    def get_navigation_state(self) -> dict[str, Tensor] | None:
        """`is_navigating` and `navigation_goal_reached` of mobile bases, (N,) bool each; None without a mobile base."""

    def target_eef_pose_to_action(
        self, target_eef_pose: Tensor, gripper_action: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """Actions (N, A) that lead from the current poses to target poses (N, E, 4, 4), env frame [m].

        `gripper_action` is (N, E, G). `noise`, (N, E, P) in the units of the action, is added to the pose entries.
        """

    def action_to_target_eef_pose(self, actions: Tensor) -> Tensor:
        """Target poses (N, E, 4, 4), env frame [m], of actions (N, A) relative to the current poses."""

    def actions_to_gripper_actions(self, actions: Tensor) -> Tensor:
        """Gripper entries, (..., E, G), of actions (..., A)."""

    def success(self) -> Tensor:
        """Return whether the task is solved at this instant, (N,) bool."""

    @property
    def failure_reasons(self) -> tuple[FailureReason, ...]:
        """Possible reasons of failure, in the order in which they are checked.

        If empty, a trial's reason is its first term signal that was never true.
        """

    def failure_conditions(self) -> dict[str, Tensor]:
        """Conditions that `failure_reasons` refer to, name -> (N,) bool. Without reasons, at least the term signals."""

    def hopeless(self, over: Mapping[str, Tensor]) -> Tensor | None:
        """Return whether the trial of each env can no longer succeed, (N,) bool; None if the task cannot know this.

        `over` maps the name of each term signal to (N,) bool: whether the subtask that the signal ends is over.
        """

    def observations(self) -> NestedTensors:
        """Current observations, term -> (N, ...)."""

    def get_state(self) -> NestedTensors:
        """State of the scene in the layout of Isaac Lab's `scene.get_state(is_relative=True)`, leaves (N, ...)."""

    def processed_actions(self) -> Tensor | None:
        """Joint commands of the last step, (N, number of commands), or None."""

    def env_args(self) -> dict[str, Any]:
        """Description of the env that is stored in datasets (`data.attrs["env_args"]`, JSON)."""

    def close(self) -> None: ...


METHODS = tuple(name for name, value in vars(MimicEnv).items() if callable(value) and not name.startswith("_"))
"""Names of the methods of `MimicEnv`."""
ATTRIBUTES = tuple(name for name, value in vars(MimicEnv).items() if isinstance(value, property))
"""Names of the attributes of `MimicEnv`, which may be properties."""


class ExtraRecords(Protocol):
    """Quantities that an env records in addition to observations, actions and states."""

    def of_step(self) -> dict[str, Tensor]:
        """Values of the last step, path below the demo -> (N, ...); the same paths in all steps."""

    def of_start(self) -> dict[str, Tensor]:
        """Values at the start of the episode of each env, path below the demo (in `initial_state`) -> (N, ...)."""


def extra_records(env: MimicEnv) -> ExtraRecords | None:
    """Return the additional quantities, the attribute `extra_records` of an env; None for most envs."""
    return getattr(env, "extra_records", None)


def noisy_and_clean_actions(
    env: MimicEnv, target_eef_pose: Tensor, gripper_action: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Actions (N, A) with and without noise; arguments as in `MimicEnv.target_eef_pose_to_action`.

    The method `noisy_and_clean_actions` of an env, if it has one, converts the targets once for both.
    """
    method = getattr(env, "noisy_and_clean_actions", None)
    if method is not None:
        return method(target_eef_pose, gripper_action, noise)
    clean = env.target_eef_pose_to_action(target_eef_pose, gripper_action)
    return env.target_eef_pose_to_action(target_eef_pose, gripper_action, noise), clean


def by_name(names: Sequence[str], stacked: Tensor) -> dict[str, Tensor]:
    """Slices (N, ...) of a stack (N, E, ...) or (N, O, ...) by name, for files and APIs that use names."""
    return dict(zip(names, stacked.unbind(1), strict=True))
