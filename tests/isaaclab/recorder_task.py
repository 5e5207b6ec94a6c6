"""Desktop organizer with recorder terms of its own, as a user would register it in a module of their own."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import torch
from isaaclab.envs.mdp.recorders.recorders_cfg import ActionStateRecorderManagerCfg
from isaaclab.managers import RecorderTerm, RecorderTermCfg
from isaaclab.utils import configclass

from isaaclab_mimic_ext.tasks.desktop_organizer.isaaclab.env_cfg import FrankaDesktopOrganizerIKRelMimicEnvCfg


class Recorder(RecorderTerm):
    """Records in each stage of a step and of a reset."""

    def record_pre_step(self) -> tuple[str, Any]:
        action = self._env.action_manager.action
        return "commands", {"hand": action[:, :3].double(), "opens": action[:, 6] > 0}

    def record_post_step(self) -> tuple[str, torch.Tensor]:
        return "obs/joint_pos_twice", 2 * self._env.obs_buf["policy"]["joint_pos"]

    def record_post_physics_decimation_step(self) -> tuple[str, torch.Tensor]:
        return "finger_pos", self._env.scene["robot"].data.joint_pos.torch[:, -2:]

    def record_post_reset(self, env_ids: Sequence[int]) -> tuple[str, torch.Tensor]:
        return "ketchup_at_start", self._env.scene_state().object_pose[env_ids, 0, :3, 3]


class RecorderOfPolicyActions(RecorderTerm):
    """Records a dataset that demos contain anyway, and a value before resets."""

    def record_pre_step(self) -> tuple[str, torch.Tensor]:
        return "actions", self._env.action_manager.action * 0.0

    def record_pre_reset(self, env_ids: Sequence[int] | None) -> tuple[str, torch.Tensor]:
        return "last", torch.zeros(1)


@configclass
class RecordersCfg(ActionStateRecorderManagerCfg):
    """Isaac Lab's recorder terms, and two of the user."""

    extra = RecorderTermCfg(class_type=Recorder)
    actions_again = RecorderTermCfg(class_type=RecorderOfPolicyActions)


@configclass
class RecorderMimicEnvCfg(FrankaDesktopOrganizerIKRelMimicEnvCfg):
    """Configuration of the organizer with these recorder terms."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.mimic_recorder_config = RecordersCfg()


gymnasium.register(
    id="Test-Desktop-Organizer-Recorder-Mimic-v0",
    entry_point="isaaclab_mimic_ext.envs.isaaclab.tabletop_mimic_env:TabletopMimicEnv",
    kwargs={"env_cfg_entry_point": f"{__name__}:RecorderMimicEnvCfg"},
    disable_env_checker=True,
)
