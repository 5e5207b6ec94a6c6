"""What the generator, the recorder and the annotator need from an environment: Isaac Lab's Mimic API, batched."""

# N envs, n of them addressed, A action entries, G gripper entries, P pose entries of an action

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, device

from isaaclab_mimic_ext.diagnose.reasons import FailureReason
from isaaclab_mimic_ext.rng import Draws

NestedTensors = dict[str, Any]
"""A tree of tensors; the keys become groups and datasets of the recorded file."""


@runtime_checkable
class MimicEnv(Protocol):
    """N environments that step together. Poses are homogeneous matrices in each env's own frame [m]."""

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
    def action_noise_dim(self) -> int:
        """P: how many entries of each eef's action carry its pose, and so its noise."""

    def reset(self, env_ids: Tensor, draws: Draws) -> None:
        """Start the trials of `draws`, (n,), in the envs `env_ids`, (n,) int64; the other envs do not change a bit."""

    def reset_to(self, state: NestedTensors, env_ids: Tensor) -> None:
        """Put the envs `env_ids` into a state in `get_state`'s layout, every leaf (n, ...)."""

    def step(self, actions: Tensor, env_ids: Tensor | None = None) -> None:
        """Advance by one control step: all envs, or those of `env_ids` (sorted). `actions` is (N, A) in either case."""

    def get_robot_eef_pose(self, eef_name: str) -> Tensor:
        """Poses of an end effector, (N, 4, 4)."""

    def get_object_poses(self) -> dict[str, Tensor]:
        """Poses of every object, name -> (N, 4, 4)."""

    def get_subtask_term_signals(self) -> dict[str, Tensor]:
        """Name -> (N,) bool."""

    def get_subtask_start_signals(self) -> dict[str, Tensor]:
        """Name -> (N,) bool; empty where the task defines none."""

    def get_attached_objects(self) -> Tensor:
        """What each gripper holds, (N, E) int64, an index into `object_names`, -1 for nothing; asked with SkillGen only."""

    def get_navigation_state(self) -> dict[str, Tensor] | None:
        """Of envs whose base drives: `is_navigating` and `navigation_goal_reached`, (N,) bool each; None: there is none."""

    def target_eef_pose_to_action(
        self, target_eef_poses: dict[str, Tensor], gripper_actions: dict[str, Tensor], noise: dict[str, Tensor] | None
    ) -> Tensor:
        """The actions, (N, A), that lead to target poses, eef -> (N, 4, 4), from where the envs are now.

        `gripper_actions` are (N, G) an eef; `noise`, (N, P) an eef in the action's own units, is added to its pose part.
        """

    def action_to_target_eef_pose(self, actions: Tensor) -> dict[str, Tensor]:
        """The target poses, eef -> (N, 4, 4), that actions (N, A) ask for from where the envs are now."""

    def actions_to_gripper_actions(self, actions: Tensor) -> dict[str, Tensor]:
        """The gripper part, eef -> (..., G), of actions (..., A)."""

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
