"""N environments of robosuite behind the `MimicEnv` protocol."""

# N envs, n of them addressed, E arms (one end effector each), O objects, A = 7 E action entries

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import EventCfg, SimCfg
from isaaclab_mimic_ext.config.recorded_task import own_dirs, own_preset
from isaaclab_mimic_ext.envs.base import NestedTensors
from isaaclab_mimic_ext.envs.robosuite.installation import check_release, find_python
from isaaclab_mimic_ext.envs.robosuite.workers import RESET, STEP, WRITE, Workers
from isaaclab_mimic_ext.envs.scene_env import SceneEnv
from isaaclab_mimic_ext.envs.tabletop import ACTION_DIM, POSE_ACTION_DIM, RelativeActions
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable, choices
from isaaclab_mimic_ext.files.quaternions import as_entry
from isaaclab_mimic_ext.math import quat_xyzw_from_matrix
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import SceneState, Task
from isaaclab_mimic_ext.task.robosuite import ENGINE, RobosuiteTask

CONTROL_FREQ = 20
"""Number of control steps per second."""
_JOINTS = "scene"
"""Name, among the recorded articulations, of the joints of the whole scene in MuJoCo's order."""


class RobosuiteActions(RelativeActions):
    """Actions of robosuite's operational space controller: motion relative to the current pose, in the axes of the world.

    The entries are those of `RelativeActions` with robosuite's scales. In robosuite a positive gripper entry closes; the
    gripper actions of the protocol have the opposite sign, as in all engines.
    """

    def __init__(self, limits: list[list[float]], device: torch.device):
        super().__init__(len(limits), device)
        if any(len({*each[:3]}) > 1 or len({*each[3:]}) > 1 or each != limits[0] for each in limits):
            raise SimulatorUnavailable(f"sim.engine: scales of robosuite's controllers must be equal (got {limits})")
        pos_scale, rot_scale = limits[0][0], limits[0][3]
        self._scale = torch.tensor([pos_scale] * 3 + [rot_scale] * 3, device=device)
        dim = ACTION_DIM * len(limits)
        self.spec = {"type": "robosuite_osc", "pos_scale": pos_scale, "rot_scale": rot_scale, "dim": dim}

    def from_targets(self, target_pose: Tensor, eef_pose: Tensor, gripper: Tensor, noise: Tensor | None) -> Tensor:
        return super().from_targets(target_pose, eef_pose, -gripper, noise)

    def noisy_and_clean(
        self, target_pose: Tensor, eef_pose: Tensor, gripper: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        return super().noisy_and_clean(target_pose, eef_pose, -gripper, noise)

    def grippers(self, actions: Tensor) -> Tensor:
        return -super().grippers(actions)


class RobosuiteEnv(SceneEnv):
    """N environments of robosuite in worker processes, which run in the Python of `sim.robosuite`.

    Each reset is seeded from the number of the trial, so a trial does not depend on the number of envs or workers.

    Raises:
        ConfigError: the task has no scene of robosuite, or a randomization is configured.
        SimulatorUnavailable: robosuite is missing, or an environment cannot be created.
    """

    engine = ENGINE

    def __init__(
        self,
        task: Task,
        events: Mapping[str, EventCfg],
        num_envs: int,
        device: str | torch.device,
        sim: SimCfg | None = None,
    ):
        if not isinstance(task, RobosuiteTask):
            raise ConfigError(f"sim.engine: task '{task.name}' has no environment in robosuite; use sim=mujoco")
        if events:
            raise ConfigError(
                f"events: must be empty with sim=robosuite, which places its objects itself (got {', '.join(events)})"
            )
        settings = (sim or SimCfg()).robosuite
        self.task: RobosuiteTask = task
        self.num_envs, self.device = num_envs, torch.device(device)
        spec = {
            "environment": task.environment,
            "robots": list(task.robots),
            "objects": dict(task.bodies),
            "placed": list(task.placed),
            "imports": list(task.imports),
            "control": settings.control,
            "control_freq": CONTROL_FREQ,
            "options": dict(task.options),
        }
        self._control_step = settings.control
        num_workers = settings.num_processes or os.cpu_count() or 1
        self._workers = Workers(find_python(settings.python), spec, num_envs, num_workers, settings.max_wait)
        self._facts = self._workers.facts
        try:
            self._check_facts()
            self._control = RobosuiteActions(self._facts["limits"], self.device)
        except SimulatorUnavailable:
            self.close()
            raise
        num_arms = len(task.arms)
        self.step_dt = float(self._facts["step_dt"])
        self.eef_names, self.object_names = task.eef_names, task.object_names
        self.action_dim = ACTION_DIM * num_arms
        self.gripper_dims = (ACTION_DIM - POSE_ACTION_DIM,) * num_arms
        self.pose_dims = (POSE_ACTION_DIM,) * num_arms
        self._still = torch.zeros(num_envs, 6, device=self.device)
        self._origin = torch.tensor([0.0] * 6 + [1.0], device=self.device).expand(num_envs, 7)
        ids = torch.arange(num_envs, device=self.device)
        self.reset(ids, Draws(0, ids))

    def _check_facts(self) -> None:
        check_release(str(self._facts["robosuite"]))
        found, wanted = self._facts["arrays"]["action"][0][0], ACTION_DIM * len(self.task.arms)
        if found != wanted:
            raise SimulatorUnavailable(f"sim.engine: actions of robosuite's robots must have {wanted} entries (got {found})")

    def reset(self, env_ids: Tensor, draws: Draws) -> None:
        rows, trials = env_ids.tolist(), draws.on_host.trials.tolist()
        for row, trial in zip(rows, trials, strict=True):
            entropy = np.random.SeedSequence([draws.seed, int(draws.domain), trial])
            self._workers.arrays["seed"][row] = entropy.generate_state(1, np.uint64)[0]
        self._request(RESET, rows)

    def reset_to(self, state: NestedTensors, env_ids: Tensor) -> None:
        joints = state["articulation"]
        if _JOINTS not in joints:
            raise ConfigError(f"state.articulation: '{_JOINTS}' not found; {choices(_JOINTS, joints)}")
        rows = env_ids.tolist()
        for name, leaf in (("qpos", "joint_position"), ("qvel", "joint_velocity")):
            values = joints[_JOINTS][leaf].cpu().numpy()
            wanted = self._workers.arrays[f"write_{name}"]
            if values.shape[1:] != wanted.shape[1:]:
                raise ConfigError(
                    f"state.articulation.{_JOINTS}.{leaf}: must have {wanted.shape[1]} entries (got {values.shape[1]}); use "
                    "a file that was recorded with this robot"
                )
            wanted[rows] = values
        self._request(WRITE, rows)

    def step(self, actions: Tensor, env_ids: Tensor | None = None) -> None:
        rows = list(range(self.num_envs)) if env_ids is None else env_ids.tolist()
        self._workers.arrays["action"][rows] = actions.cpu().numpy()[rows]
        self._request(STEP, rows)

    def _request(self, letter: str, rows: list[int]) -> None:
        if rows:
            self._workers.request(letter, rows)
        self.scene = self._read_scene()

    def _read_scene(self) -> SceneState:
        joint_pos, joint_vel = self._array("joint_pos"), self._array("joint_vel")
        # The fingers of robosuite's Panda have opposite signs; here both are distances from the middle.
        joint_pos[..., -2:], joint_vel[..., -1] = joint_pos[..., -2:].abs(), -joint_vel[..., -1]
        pose = self._array("object_pose")
        root_pose = torch.cat((pose[..., :3, 3], quat_xyzw_from_matrix(pose[..., :3, :3])), dim=-1)
        return SceneState(joint_pos, joint_vel, self._array("eef_pose"), pose, root_pose, self._array("object_velocity"))

    def _array(self, name: str) -> Tensor:
        """Copy of an output of the workers, (N, ...) float32."""
        return torch.tensor(self._workers.arrays[name], dtype=torch.float32, device=self.device)

    def success(self) -> Tensor:
        return self._array("success")[:, 0] > 0

    def observations(self) -> NestedTensors:
        """Observations with the names of robomimic's `EnvRobosuite`, (N, ...)."""
        names = [name for name in self._workers.arrays if name.startswith("obs/")]
        return {name.removeprefix("obs/"): self._array(name) for name in names}

    def get_state(self) -> NestedTensors:
        scene = self.scene
        rest = {"root_pose": self._origin, "root_velocity": self._still}
        arms = {
            arm.name: {"joint_position": scene.joint_pos[:, index], "joint_velocity": scene.joint_vel[:, index], **rest}
            for index, arm in enumerate(self.task.arms)
        }
        joints = {"joint_position": self._array("qpos"), "joint_velocity": self._array("qvel"), **rest}
        return {"articulation": {**arms, _JOINTS: joints}, "rigid_object": self._object_states()}

    def processed_actions(self) -> Tensor | None:
        return None

    def env_args(self) -> dict[str, Any]:
        return {
            "env_name": self.task.name,
            "type": 2,
            "engine": self.engine,
            "sim_args": {"dt": self.step_dt, "decimation": 1, "render_interval": 1, "num_envs": self.num_envs},
            "action": self._control.spec,
            "eef_names": list(self.eef_names),
            "object_names": list(self.object_names),
            "robosuite": {
                "version": self._facts["robosuite"],
                "environment": self.task.environment,
                "robots": list(self.task.robots),
                "control": self._control_step,
            },
            **as_entry(self.task.quaternion_columns),
            **own_dirs(self.task.name),
            **own_preset(self.task.name, self.task.preset),
        }

    def close(self) -> None:
        """End the worker processes."""
        self._workers.close()
