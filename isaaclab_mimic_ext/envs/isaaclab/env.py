"""Adapter from any Isaac Lab Mimic env to the `MimicEnv` protocol: each method handles all N envs in one call."""

# N envs, n of them addressed, E end effectors, O objects, A action entries, G gripper entries, P pose entries of an action
# (G and P: of the end effector with the most)

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from isaaclab_mimic_ext.config.recorded_task import own_dirs, own_preset
from isaaclab_mimic_ext.envs.articulations import Articulations
from isaaclab_mimic_ext.envs.base import ExtraRecords, NestedTensors, by_name
from isaaclab_mimic_ext.envs.isaaclab.actions import ActionConverter
from isaaclab_mimic_ext.envs.isaaclab.compat import (
    env_indices,
    refresh_sensors,
    success_rule,
    tree_from_isaaclab,
    tree_to_isaaclab,
)
from isaaclab_mimic_ext.envs.isaaclab.scene_state import SceneStateReader
from isaaclab_mimic_ext.envs.object_meshes import MESH
from isaaclab_mimic_ext.envs.object_sizes import SCALE
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.files.quaternions import Columns, as_entry
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.task.reasons import FailureReason
from isaaclab_mimic_ext.task.robot import observations_entry


class IsaacLabEnv:
    """`MimicEnv` around an Isaac Lab `ManagerBasedRLMimicEnv` without terminations and recorders.

    Isaac Lab's methods take and return dicts by end effector. Only this class converts them to stacked tensors, padded with
    zeros where end effectors differ.

    Args:
        env: the unwrapped env with `num_envs` scenes.
        success_term: the termination term of the task's success, removed from the termination manager.
        task_id: gym id of the env.

    In addition to Isaac Lab's Mimic API, an env may have these optional members:

    - `target_eef_poses_to_actions(targets, grippers, noise)`: see `actions.BATCHED_METHOD`.
    - `target_eef_poses_to_noisy_and_clean_actions(targets, grippers, noise)`: see `actions.PAIR_METHOD`.
    - `mimic_task`, a `Task`, and `scene_state()`, a `SceneState`: source of failure reasons and of the objects in grippers.
    - `recorded_state(state)`, `isaaclab_state(state)`: the recorded state of a state in Isaac Lab's layout, and back.
    - `action_spec`: description of the actions in `env_args`, compared with the description in source files.
    - `place_trials(env_ids, draws)`: writes the random initial state of the trials `draws`, (n,), after `reset(env_ids)`. A
      trial's scene then depends only on its number. For envs without this method, the global random generators are seeded
      from the trial numbers before each reset.
    """

    def __init__(self, env: Any, success_term: Any, task_id: str):
        self._env, self._task_id = env, task_id
        self.task: Task | None = None
        self.task_module = ""
        """Module that registers the task, as in `module:id`; datasets record it, so that they can be replayed."""
        self.extra_records: ExtraRecords | None = None
        """Values of the recorder terms of the task, if it has any of its own."""
        self.num_envs: int = env.num_envs
        self.device = torch.device(env.device)
        self.step_dt: float = env.step_dt
        self.eef_names: tuple[str, ...] = tuple(env.cfg.subtask_configs)
        self.action_dim: int = env.action_manager.total_action_dim
        self._succeeds, self._reset_success = success_rule(success_term, env)
        all_envs = torch.arange(self.num_envs, device=self.device)
        self._violated = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self._success = torch.zeros_like(self._violated)
        self._has_acted = torch.zeros_like(self._violated)
        self._idle_action = _idle_action(env.cfg, self.action_dim, self.device)
        self._state_reader: SceneStateReader | None = None
        env.reset(env_ids=env_indices(all_envs))
        self._begin(all_envs)
        self.object_names: tuple[str, ...] = tuple(env.get_object_poses())
        no_action = torch.zeros(self.num_envs, self.action_dim, device=self.device)
        gripper_dims = {name: rows.shape[-1] for name, rows in self._grippers_by_eef(no_action).items()}
        self.gripper_dims: tuple[int, ...] = tuple(gripper_dims.values())
        self._last_actions = no_action
        self.converter = ActionConverter(env, self.eef_names, by_name(self.eef_names, self.eef_pose), gripper_dims)
        self.pose_dims: tuple[int, ...] = self.converter.pose_dims

    @property
    def _task(self) -> Task | None:
        return getattr(self._env, "mimic_task", None)

    @property
    def _quaternion_columns(self) -> Columns:
        """Quaternion columns that the task declares; empty for other tasks, whose columns are recognized by name."""
        return {} if self._task is None else self._task.quaternion_columns

    def reset(self, env_ids: Tensor, draws: Draws) -> None:
        if not hasattr(self._env, "place_trials"):
            self._seed_resets(draws)
        self._env.reset(env_ids=env_indices(env_ids))
        if hasattr(self._env, "place_trials"):
            self._env.place_trials(env_ids, draws)
            self._env.recorder_manager.record_post_reset(env_ids)
        self._begin(env_ids)

    def reset_to(self, state: NestedTensors, env_ids: Tensor) -> None:
        for name, leaves in state.get("rigid_object", {}).items():
            if SCALE in leaves and bool((leaves[SCALE] != 1.0).any()):
                raise ConfigError(f"state.rigid_object.{name}.{SCALE}: another size requires sim=mujoco (got isaaclab)")
            if MESH in leaves:
                rule = "one of several meshes requires sim=mujoco or kinematic (got isaaclab)"
                raise ConfigError(f"state.rigid_object.{name}.{MESH}: {rule}")
        current = self._env.scene.get_state(is_relative=True)
        merged: dict[str, Any] = {}
        for group, assets in current.items():
            given = state.get(group, {})
            missing = [name for name in assets if name not in given]
            if missing:
                raise ConfigError(f"state.{group}: '{missing[0]}' not found; {choices(missing[0], given)}")
            merged[group] = {name: given[name] for name in assets}
        if hasattr(self._env, "isaaclab_state"):
            merged = self._env.isaaclab_state(merged)
        self._env.reset_to(tree_to_isaaclab(merged), env_indices(env_ids), is_relative=True)
        self._begin(env_ids)

    def _seed_resets(self, draws: Draws) -> None:
        """Seed the global generators, from which Isaac Lab's events draw, with the numbers of the trials that start."""
        entropy = [draws.seed, int(draws.domain), *draws.trials.tolist()]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)

    def _begin(self, env_ids: Tensor) -> None:
        refresh_sensors(self._env)
        self._violated.index_fill_(0, env_ids, False)
        # Success is not evaluated here: a success term with a state counts evaluations as steps, also for the other envs.
        self._reset_success(env_ids)
        self._success.index_fill_(0, env_ids, False)
        self._has_acted.index_fill_(0, env_ids, False)
        if self._state_reader is not None:
            self._state_reader.forget_fixed_roots()
        self._refresh()

    def _refresh(self) -> None:
        """Cache the poses that the generator reads several times per step."""
        self.eef_pose = torch.stack([self._env.get_robot_eef_pose(name) for name in self.eef_names], dim=1)
        self.object_pose = torch.stack(list(self._env.get_object_poses().values()), dim=1)
        self._state: NestedTensors | None = None
        task = self._task
        violates = None if task is None else task.violates(self._env.scene_state())
        if violates is not None:
            self._violated |= violates

    def step(self, actions: Tensor, env_ids: Tensor | None = None) -> None:
        if env_ids is not None:
            actions = self._hold_idle_envs(actions, env_ids)
        self._last_actions = actions.clone()
        self._has_acted.fill_(True)
        self._env.step(actions)
        self._success = self._succeeds()
        self._refresh()

    def check(self) -> None:
        pass

    def _hold_idle_envs(self, actions: Tensor, env_ids: Tensor) -> Tensor:
        """Actions (N, A) in which envs without a trial hold still: Isaac Lab steps all envs.

        Such an env repeats the `idle_action` of its configuration. Without one, an absolute action repeats the last one,
        because the commanded pose may differ from the measured one by a constant offset: commanding the measured pose would
        move the hand by the offset in each step. Other actions hold the measured pose.
        """
        held = self._held_actions()
        held[env_ids] = actions[env_ids]
        return held

    def _held_actions(self) -> Tensor:
        if self._idle_action is not None:
            return self._idle_action.repeat(self.num_envs, 1)
        gripper = self.actions_to_gripper_actions(self._last_actions)
        form, present = self.converter.form, self.target_eef_pose_to_action(self.eef_pose, gripper)
        if form is None or form.is_relative:
            return present
        return torch.where(self._has_acted[:, None], self._last_actions, present)

    def get_subtask_term_signals(self) -> dict[str, Tensor]:
        return _bools(self._env.get_subtask_term_signals)

    def get_subtask_start_signals(self) -> dict[str, Tensor]:
        return _bools(self._env.get_subtask_start_signals)

    def get_attached_objects(self) -> Tensor:
        task = self._task
        if task is None:
            raise ConfigError(
                "datagen_config.use_skillgen: requires a task that reports the objects in its grippers (got "
                f"'{self._task_id}'); set it to false"
            )
        return task.attached_objects(self._env.scene_state())

    def get_navigation_state(self) -> dict[str, Tensor] | None:
        return _bools(self._env.get_navigation_state) or None

    def success(self) -> Tensor:
        return self._success & ~self._violated

    @property
    def failure_reasons(self) -> tuple[FailureReason, ...]:
        return () if self._task is None else self._task.failure_reasons

    def failure_conditions(self) -> dict[str, Tensor]:
        return self.get_subtask_term_signals() if self._task is None else self._task.conditions(self._env.scene_state())

    def hopeless(self, over: Mapping[str, Tensor]) -> Tensor | None:
        hopeless = None if self._task is None else self._task.hopeless(self._env.scene_state(), over)
        return hopeless if hopeless is None else hopeless | self._violated

    def target_eef_pose_to_action(
        self, target_eef_pose: Tensor, gripper_action: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        return self.converter.actions(
            by_name(self.eef_names, target_eef_pose),
            by_name(self.eef_names, self.eef_pose),
            self._unpadded(gripper_action, self.gripper_dims),
            None if noise is None else self._unpadded(noise, self.pose_dims),
        )

    def noisy_and_clean_actions(
        self, target_eef_pose: Tensor, gripper_action: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self.converter.noisy_and_clean(
            by_name(self.eef_names, target_eef_pose),
            by_name(self.eef_names, self.eef_pose),
            self._unpadded(gripper_action, self.gripper_dims),
            self._unpadded(noise, self.pose_dims),
        )

    def action_to_target_eef_pose(self, actions: Tensor) -> Tensor:
        targets = self._env.action_to_target_eef_pose(actions)
        return torch.stack([targets[name] for name in self.eef_names], dim=1)

    def actions_to_gripper_actions(self, actions: Tensor) -> Tensor:
        parts, widest = self._grippers_by_eef(actions), max(self.gripper_dims)
        return torch.stack([pad(part, (0, widest - part.shape[-1])) for part in parts.values()], dim=-2)

    def _unpadded(self, stacked: Tensor, dims: tuple[int, ...]) -> dict[str, Tensor]:
        """Entries of (N, E, K) without padding, eef -> (N, K of that eef)."""
        return {name: stacked[:, eef, :dim] for eef, (name, dim) in enumerate(zip(self.eef_names, dims, strict=True))}

    def _grippers_by_eef(self, actions: Tensor) -> dict[str, Tensor]:
        """Gripper actions, eef -> (..., G of that eef), of actions (..., A)."""
        # Isaac Lab's method takes (num_envs, num_steps, A); some tasks accept only that shape, others only (rows, A).
        # Rows are accepted by all.
        rows = self._env.actions_to_gripper_actions(actions.reshape(-1, actions.shape[-1]))
        return {name: rows[name].reshape(*actions.shape[:-1], -1) for name in self.eef_names}

    def observations(self) -> NestedTensors:
        return tree_from_isaaclab(self._env.obs_buf["policy"], self._quaternion_columns)

    def get_state(self) -> NestedTensors:
        if self._state is None:
            if self._state_reader is None:
                only_resets_act = {*self._env.event_manager.available_modes} <= {"prestartup", "startup", "reset"}
                self._state_reader = SceneStateReader(self._env.scene, fixed_roots_stay=only_resets_act)
            state = self._state_reader.read()
            self._state = self._env.recorded_state(state) if hasattr(self._env, "recorded_state") else state
        return self._state

    def processed_actions(self) -> Tensor | None:
        manager = self._env.action_manager
        return torch.cat([manager.get_term(name).processed_actions for name in manager.active_terms], dim=-1)

    def env_args(self) -> dict[str, Any]:
        sim, spec = self._env.cfg.sim, getattr(self._env, "action_spec", None)
        return {
            "env_name": self._task_id,
            "type": 2,
            "engine": "isaaclab",
            **({"task_module": self.task_module} if self.task_module else {}),
            "sim_args": {
                "dt": sim.dt,
                "decimation": self._env.cfg.decimation,
                "render_interval": sim.render_interval,
                "num_envs": self.num_envs,
            },
            **({} if spec is None else {"action": spec}),
            **({} if self._task is None else {"task": self._task.name, **own_preset(self._task.name, self._task.preset)}),
            "eef_names": list(self.eef_names),
            "object_names": list(self.object_names),
            **({} if self._task is None else Articulations(self._task).entry),
            **as_entry(self._quaternion_columns),
            **({} if self._task is None else observations_entry(self._task.robot_observations)),
            **own_dirs(self._task_id if self._task is None else self._task.name),
        }

    def close(self) -> None:
        self._env.close()


def _idle_action(cfg: Any, action_dim: int, device: torch.device) -> Tensor | None:
    """Action (A,) that an env's configuration defines for a robot that rests; None if it has none of this size."""
    values = getattr(cfg, "idle_action", None)
    action = None if values is None else torch.as_tensor(values, dtype=torch.float32, device=device).reshape(-1)
    return action if action is not None and len(action) == action_dim else None


def _bools(method: Any) -> dict[str, Tensor]:
    """Result of an optional method of the Mimic API, name -> (N,) bool; empty if the env does not implement it."""
    try:
        values = method()
    except NotImplementedError:
        return {}
    return {name: value.reshape(len(value), -1)[:, 0].bool() for name, value in (values or {}).items()}
