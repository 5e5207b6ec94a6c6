"""Isaac Lab's Mimic API for table-top tasks, for one env as in Isaac Lab, and for all envs in one call."""

# N envs, n of them addressed, E end effectors (one per arm), A action entries, G = 1 gripper entry, P = 6 pose entries

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from isaaclab.envs import ManagerBasedRLMimicEnv
from torch import Tensor

from isaaclab_mimic_ext.envs.base import NestedTensors
from isaaclab_mimic_ext.envs.isaaclab.control_steps import SceneAccess, may_skip_physics_steps
from isaaclab_mimic_ext.envs.isaaclab.scene_objects import SceneObjects
from isaaclab_mimic_ext.envs.isaaclab.tabletop_mdp import reset_sampler, scene_observations
from isaaclab_mimic_ext.envs.isaaclab.tabletop_scene import cached_task, scene_reader
from isaaclab_mimic_ext.envs.tabletop import RelativeActions
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import SceneState, Task

_EnvIds = Sequence[int] | Tensor | None


class TabletopMimicEnv(ManagerBasedRLMimicEnv):
    """Mimic env of a table-top task; poses are in the env frame.

    In addition to Isaac Lab's methods, it implements the optional members of `IsaacLabEnv`: `target_eef_poses_to_actions`,
    `mimic_task`, `scene_state`, `recorded_state`, `isaaclab_state`, `action_spec` and `place_trials`.
    """

    def __init__(self, cfg: Any, render_mode: str | None = None, **kwargs: Any):
        super().__init__(cfg, render_mode, **kwargs)
        self._control = RelativeActions(len(self.mimic_task.arms), torch.device(self.device))
        self._trials = reset_sampler(self, self.mimic_task)
        self._scene_access = SceneAccess(self.scene, self.step_dt) if may_skip_physics_steps(self) else None

    def step(self, action: Tensor) -> Any:
        """Run one control step, as in Isaac Lab. The scene is written and read once, not in each physics step."""
        with nullcontext() if self._scene_access is None else self._scene_access.control_step():
            return super().step(action)

    @property
    def mimic_task(self) -> Task:
        return cached_task(self.cfg.mimic_task_name)

    @property
    def action_spec(self) -> dict[str, Any]:
        return self._control.spec

    @property
    def _objects(self) -> SceneObjects:
        return scene_reader(self, self.cfg.mimic_task_name).objects

    def scene_state(self) -> SceneState:
        """State of all envs at the last observations: after the last step or reset."""
        return scene_observations(self, self.cfg.mimic_task_name).scene()

    def recorded_state(self, state: NestedTensors) -> NestedTensors:
        """State in Isaac Lab's layout, extended and ordered as embedded engines record it."""
        return self._objects.recorded(state, self.scene_state()) if self.mimic_task.jointed_names else state

    def isaaclab_state(self, recorded: NestedTensors) -> NestedTensors:
        """Recorded state in the order of joints of Isaac Lab's assets."""
        return self._objects.in_isaaclab_order(recorded) if self.mimic_task.jointed_names else recorded

    def place_trials(self, env_ids: Tensor, draws: Draws) -> None:
        """Write the random initial states of the trials `draws`, (n,), to envs that have just been reset."""
        initial = (*self._trials.sample(draws), self._trials.sample_object_joints(draws))
        scene_reader(self, self.cfg.mimic_task_name).write(env_ids, *initial)
        self.scene.write_data_to_sim()
        self.sim.forward()
        self.obs_buf = self.observation_manager.compute(update_history=True)

    def get_robot_eef_pose(self, eef_name: str, env_ids: _EnvIds = None) -> Tensor:
        """Pose of an end effector, (n, 4, 4)."""
        pose = self.scene_state().eef_pose[:, self.mimic_task.eef_names.index(eef_name)]
        return pose if env_ids is None else pose[env_ids]

    def get_object_poses(self, env_ids: _EnvIds = None) -> dict[str, Tensor]:
        """Poses of all objects, object -> (n, 4, 4)."""
        poses = self.scene_state().object_pose
        selected = poses if env_ids is None else poses[env_ids]
        return dict(zip(self.mimic_task.object_names, selected.unbind(1), strict=True))

    def get_subtask_term_signals(self, env_ids: _EnvIds = None) -> dict[str, Tensor]:
        """Term signals, signal -> (n,) bool."""
        return _select(self.mimic_task.signals(self.scene_state()), env_ids)

    def get_subtask_start_signals(self, env_ids: _EnvIds = None) -> dict[str, Tensor]:
        """Start signals, signal -> (n,) bool."""
        return _select(self.mimic_task.start_signals(self.scene_state()), env_ids)

    def target_eef_poses_to_actions(
        self,
        target_eef_pose_dict: Mapping[str, Tensor],
        gripper_action_dict: Mapping[str, Tensor],
        action_noise_dict: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Actions (N, A) of all envs for targets, eef -> (N, 4, 4), grippers (N, G) and added noise (N, P) by eef."""
        noise = None if action_noise_dict is None else self._stacked(action_noise_dict)
        eef_pose = self.scene_state().eef_pose
        return self._control.from_targets(
            self._stacked(target_eef_pose_dict), eef_pose, self._stacked(gripper_action_dict), noise
        )

    def target_eef_poses_to_noisy_and_clean_actions(
        self,
        target_eef_pose_dict: Mapping[str, Tensor],
        gripper_action_dict: Mapping[str, Tensor],
        action_noise_dict: Mapping[str, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Actions (N, A) with and without noise; arguments as in `target_eef_poses_to_actions`."""
        return self._control.noisy_and_clean(
            self._stacked(target_eef_pose_dict),
            self.scene_state().eef_pose,
            self._stacked(gripper_action_dict),
            self._stacked(action_noise_dict),
        )

    def target_eef_pose_to_action(
        self,
        target_eef_pose_dict: Mapping[str, Tensor],
        gripper_action_dict: Mapping[str, Tensor],
        action_noise_dict: Mapping[str, float] | None = None,
        env_id: int = 0,
    ) -> Tensor:
        """Action (A,) of one env; `action_noise_dict` contains the standard deviation of the noise, per eef."""
        targets = self._stacked({name: pose[None] for name, pose in target_eef_pose_dict.items()})
        grippers = self._stacked({name: action[None] for name, action in gripper_action_dict.items()})
        noise = None
        if action_noise_dict is not None:
            draws = {name: scale * torch.randn(1, 6, device=self.device) for name, scale in action_noise_dict.items()}
            noise = self._stacked(draws)
        return self._control.from_targets(targets, self.scene_state().eef_pose[env_id : env_id + 1], grippers, noise)[0]

    def action_to_target_eef_pose(self, action: Tensor) -> dict[str, Tensor]:
        """Target poses of actions (N, A), eef -> (N, 4, 4)."""
        targets = self._control.to_targets(action, self.scene_state().eef_pose)
        return dict(zip(self.mimic_task.eef_names, targets.unbind(1), strict=True))

    def actions_to_gripper_actions(self, actions: Tensor) -> dict[str, Tensor]:
        """Gripper actions of actions (..., A), eef -> (..., G)."""
        return dict(zip(self.mimic_task.eef_names, self._control.grippers(actions).unbind(-2), strict=True))

    def get_expected_attached_object(self, eef_name: str, subtask_index: int, env_cfg: Any) -> str | None:
        """Object that a gripper should hold when a subtask begins (Isaac Lab's SkillGen).

        A subtask with a signal `*grasp*` grasps its object; a later subtask related to a different object releases it.
        """
        graspable = {item.object_name for item in self.mimic_task.graspable().get(eef_name, ())}
        held = None
        for subtask in env_cfg.subtask_configs[eef_name][:subtask_index]:
            if "grasp" in str(subtask.subtask_term_signal):
                held = subtask.object_ref
            elif subtask.object_ref != held:
                held = None
        return held if held in graspable else None

    def _stacked(self, values: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([values[name] for name in self.mimic_task.eef_names], dim=1)


def _select(signals: dict[str, Tensor], env_ids: _EnvIds) -> dict[str, Tensor]:
    return signals if env_ids is None else {name: values[env_ids] for name, values in signals.items()}
