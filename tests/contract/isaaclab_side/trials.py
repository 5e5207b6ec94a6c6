"""Complete trials of the real `DataGenerator`, in an env that shows a film, with given random numbers."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from isaaclab.envs.mimic_env_cfg import (
    MimicEnvCfg,
    SubTaskConfig,
    SubTaskConstraintConfig,
    SubTaskConstraintCoordinationScheme,
    SubTaskConstraintType,
)
from isaaclab_mimic.datagen.data_generator import DataGenerator
from isaaclab_mimic.datagen.datagen_info_pool import DataGenInfoPool

from tests.contract.isaaclab_side.messages import Film, Problem, RandomNumbers, Trial

MAX_STEPS = 600
"""Limit [steps] above which a trial is considered endless."""


def run(problem: Problem) -> list[Trial]:
    """Run the trials of a problem, one after the other."""
    env = FilmEnv(_configuration(problem), problem.gripper_columns)
    return asyncio.run(_run(env, _pool(env, problem.source), problem.trials))


async def _run(env: "FilmEnv", pool: DataGenInfoPool, trials: Sequence[tuple[Film, RandomNumbers]]) -> list[Trial]:
    generator = _WatchedGenerator(env, pool)
    found = []
    for film, numbers in trials:
        env.start(film)
        generator.demos = {eef: [] for eef in env.cfg.subtask_configs}
        term = SimpleNamespace(func=lambda env: env.success(), params={})
        with _patched_random(numbers, generator):
            result = await generator.generate(0, term, env_reset_queue=_Resets(), env_action_queue=None)
        found.append(env.trial(generator.demos, bool(result["success"])))
    return found


def pool(problem: Problem) -> tuple[dict[str, list[list[tuple[int, int]]]], list[dict[str, dict[str, np.ndarray]]]]:
    """Load a file into the real pool.

    Returns:
        End effector -> demo -> subtask -> (start, end) without offsets.
        Poses and gripper actions of each demo, by kind and name.
    """
    env = FilmEnv(_configuration(problem), problem.gripper_columns)
    found = _pool(env, problem.source)
    arrays = [
        {
            "eef_pose": _numpy(info.eef_pose),
            "target_eef_pose": _numpy(info.target_eef_pose),
            "object_pose": _numpy(info.object_poses),
            "gripper": _numpy(info.gripper_action),
        }
        for info in found.datagen_infos
    ]
    return dict(found.subtask_boundaries), arrays


def drawn_boundaries(question: tuple[Problem, int]) -> dict[str, np.ndarray]:
    """Boundaries drawn repeatedly by the real generator, end effector -> (draws, D, S, 2)."""
    problem, num_draws = question
    env = FilmEnv(_configuration(problem), problem.gripper_columns)
    generator = DataGenerator(env, _pool(env, problem.source))
    np.random.seed(1)
    draws = [generator.randomize_subtask_boundaries() for _ in range(num_draws)]
    return {eef: np.stack([draw[eef] for draw in draws]) for eef in env.cfg.subtask_configs}


def _pool(env: "FilmEnv", source: str) -> DataGenInfoPool:
    pool = DataGenInfoPool(env, env.cfg, env.device, asyncio.Lock())
    pool.load_from_dataset_file(source)
    return pool


def _numpy(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _configuration(problem: Problem) -> MimicEnvCfg:
    cfg = MimicEnvCfg()
    for name, value in problem.datagen_config.items():
        assert hasattr(cfg.datagen_config, name), name
        setattr(cfg.datagen_config, name, value)
    cfg.subtask_configs = {eef: [SubTaskConfig(**c) for c in configs] for eef, configs in problem.subtask_configs.items()}
    cfg.task_constraint_configs = [_constraint(dict(config)) for config in problem.constraint_configs]
    return cfg


def _constraint(config: dict[str, Any]) -> SubTaskConstraintConfig:
    config["constraint_type"] = SubTaskConstraintType[config["constraint_type"].upper()]
    scheme = config.get("coordination_scheme", "replay")
    config["coordination_scheme"] = SubTaskConstraintCoordinationScheme[scheme.upper()]
    config["eef_subtask_constraint_tuple"] = [tuple(member) for member in config["eef_subtask_constraint_tuple"]]
    return SubTaskConstraintConfig(**config)


@contextmanager
def _patched_random(numbers: RandomNumbers, generator: "_WatchedGenerator") -> Iterator[None]:
    """Replace random integers by those that `TrialPlanner` drew, and check Isaac Lab's bounds."""
    integers = iter(numbers.integers)

    def of_numpy(low: int, high: int, size: int) -> np.ndarray:
        values = next(integers)
        assert values.shape == (size,)
        assert ((low <= values) & (values < high)).all(), f"{values} for draws from {low} to {high}, not included"
        return values

    def of_torch(low: int, high: int, size: tuple[int, ...]) -> torch.Tensor:
        eef, subtask = generator.beginning
        return torch.tensor([low + int(np.float32(numbers.uniforms[eef][subtask]) * np.float32(high - low))])

    with mock.patch("numpy.random.randint", of_numpy), mock.patch("torch.randint", of_torch):
        yield


class _WatchedGenerator(DataGenerator):
    """Isaac Lab's generator; records the subtask that begins and the demos that were selected."""

    demos: dict[str, list[int]]
    beginning: tuple[str, int]

    def generate_eef_subtask_trajectory(self, env_id, eef_name, subtask_ind, bounds, constraints, selected):
        self.beginning = eef_name, subtask_ind
        trajectory = super().generate_eef_subtask_trajectory(env_id, eef_name, subtask_ind, bounds, constraints, selected)
        self.demos[eef_name].append(int(selected[eef_name]))
        return trajectory


class _Resets:
    """Queue of resets that does nothing; a film needs no reset."""

    async def put(self, env_id: int) -> None:
        pass

    async def join(self) -> None:
        pass


class FilmEnv:
    """Env with only the members that the generator uses; its poses come from a film."""

    device = "cpu"

    def __init__(self, cfg: MimicEnvCfg, gripper_columns: dict[str, tuple[int, int]]):
        self.cfg, self._gripper_columns = cfg, gripper_columns
        self.obs_buf: dict[str, Any] = {}
        self.scene = SimpleNamespace(get_state=lambda is_relative: {}, articulations={}, rigid_objects={})
        self.recorder_manager = mock.Mock()

    def start(self, film: Film) -> None:
        self._film, self._step = film, 0
        self._targets: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = []

    def trial(self, demos: dict[str, list[int]], success: bool) -> Trial:
        poses, grippers, noises = zip(*self._targets, strict=True)

        def by_eef(steps: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
            return {eef: np.stack([np.asarray(step[eef]) for step in steps]) for eef in self.cfg.subtask_configs}

        return Trial(by_eef(poses), by_eef(grippers), by_eef(noises), demos, success)

    def _frame(self, frames: np.ndarray) -> np.ndarray:
        return frames[self._step % len(frames)]

    def get_robot_eef_pose(self, eef_name: str, env_ids: Sequence[int]) -> torch.Tensor:
        return torch.tensor(self._frame(self._film.eef_pose[eef_name]))[None]

    def get_object_poses(self, env_ids: Sequence[int]) -> dict[str, torch.Tensor]:
        return {name: torch.tensor(self._frame(frames))[None] for name, frames in self._film.object_pose.items()}

    def target_eef_pose_to_action(
        self, target_eef_pose_dict: Any, gripper_action_dict: Any, action_noise_dict: Any, env_id: int
    ) -> torch.Tensor:
        self._targets.append((dict(target_eef_pose_dict), dict(gripper_action_dict), dict(action_noise_dict)))
        return torch.zeros(1)

    def actions_to_gripper_actions(self, actions: torch.Tensor) -> dict[str, torch.Tensor]:
        return {eef: actions[:, first:last] for eef, (first, last) in self._gripper_columns.items()}

    def step(self, action: torch.Tensor) -> tuple[dict[str, Any], None, None, None, None]:
        self._step += 1
        if self._step > MAX_STEPS:
            raise RuntimeError(f"a trial of more than {MAX_STEPS} steps")
        return {}, None, None, None, None

    def success(self) -> np.ndarray:
        return self._frame(self._film.success)[None]
