"""What an engine of this package answers from its task and the current scene, whatever simulates the scene."""

# N envs, E end effectors, O objects

from collections.abc import Mapping

from torch import Tensor

from isaaclab_mimic_ext.envs.tabletop import RelativeActions
from isaaclab_mimic_ext.task.definition import SceneState, Task
from isaaclab_mimic_ext.task.reasons import FailureReason


class SceneEnv:
    """Members of `MimicEnv` that depend only on the task, the scene, and relative actions."""

    task: Task
    scene: SceneState
    """Current state of all envs, updated by every reset and step."""
    _control: RelativeActions

    def check(self) -> None:
        pass

    @property
    def eef_pose(self) -> Tensor:
        return self.scene.eef_pose

    @property
    def object_pose(self) -> Tensor:
        return self.scene.object_pose

    def get_subtask_term_signals(self) -> dict[str, Tensor]:
        return self.task.signals(self.scene)

    def get_subtask_start_signals(self) -> dict[str, Tensor]:
        return self.task.start_signals(self.scene)

    def get_attached_objects(self) -> Tensor:
        return self.task.attached_objects(self.scene)

    def get_navigation_state(self) -> dict[str, Tensor] | None:
        return None

    @property
    def failure_reasons(self) -> tuple[FailureReason, ...]:
        return self.task.failure_reasons

    def failure_conditions(self) -> dict[str, Tensor]:
        return self.task.conditions(self.scene)

    def hopeless(self, over: Mapping[str, Tensor]) -> Tensor | None:
        return self.task.hopeless(self.scene, over)

    def target_eef_pose_to_action(
        self, target_eef_pose: Tensor, gripper_action: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        return self._control.from_targets(target_eef_pose, self.scene.eef_pose, gripper_action, noise)

    def noisy_and_clean_actions(
        self, target_eef_pose: Tensor, gripper_action: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self._control.noisy_and_clean(target_eef_pose, self.scene.eef_pose, gripper_action, noise)

    def action_to_target_eef_pose(self, actions: Tensor) -> Tensor:
        return self._control.to_targets(actions, self.scene.eef_pose)

    def actions_to_gripper_actions(self, actions: Tensor) -> Tensor:
        return self._control.grippers(actions)

    def _object_states(self) -> dict[str, dict[str, Tensor]]:
        """Recorded state of each object, leaves (N, ...)."""
        scene = self.scene
        return {
            name: {"root_pose": scene.root_pose[:, index], "root_velocity": scene.root_velocity[:, index]}
            for index, name in enumerate(self.task.object_names)
        }
