"""Generation loop in an env that replays prerecorded trials ("films")."""

# N envs, O objects, A action entries: none

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.episodes import TrialOutcomes
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.watch import TrialWatch
from tests.contract.isaaclab_scenes import Task
from tests.contract.isaaclab_side.messages import Film


def successes_of(task: Task, films: Sequence[Film], num_envs: int = 3, **rules: Any) -> list[bool]:
    """Success of one trial per film, as judged by our generator."""
    count = {"generation_guarantee": False, "generation_num_trials": len(films), "max_num_failures": None}
    task = replace(task, config=replace(task.config, **count, **rules))
    recorder = _Verdicts()
    signals = [[subtask.subtask_term_signal for subtask in configs] for configs in task.subtasks.values()]
    env, planner = _FilmEnv(task, films, num_envs), task.planner(num_envs)
    watch = TrialWatch(env, task.config, signals, planner.failure_messages)
    Generator(env, planner, recorder, TrialLedger(task.config), watch, task.config).run()
    return [recorder.success[trial] for trial in range(len(films))]


class _FilmEnv:
    """Env that shows the film of each trial, in a loop. Its actions have no effect."""

    device = torch.device("cpu")
    failure_reasons = ()

    def __init__(self, task: Task, films: Sequence[Film], num_envs: int):
        self.num_envs, self.films = num_envs, films
        self.eef_names, self.object_names = tuple(task.subtasks), task.object_names
        self.pose_dims = (6,) * len(self.eef_names)
        self.signals = {
            s.subtask_term_signal for configs in task.subtasks.values() for s in configs if s.subtask_term_signal
        }
        self.trials, self.steps = np.zeros(num_envs, dtype=int), np.zeros(num_envs, dtype=int)

    def reset(self, env_ids: Tensor, draws: Draws) -> None:
        self.trials[env_ids.numpy()] = draws.trials.numpy()
        self.steps[env_ids.numpy()] = 0

    def step(self, actions: Tensor, env_ids: Tensor | None = None) -> None:
        self.steps[slice(None) if env_ids is None else env_ids.numpy()] += 1

    def _frames(self, of_film: Any) -> Tensor:
        rows = [of_film(self.films[trial]) for trial in self.trials]
        return torch.from_numpy(np.stack([row[step % len(row)] for row, step in zip(rows, self.steps, strict=True)]))

    @property
    def eef_pose(self) -> Tensor:
        return torch.stack([self._frames(lambda film, eef=eef: film.eef_pose[eef]) for eef in self.eef_names], dim=1)

    @property
    def object_pose(self) -> Tensor:
        return torch.stack(
            [self._frames(lambda film, name=name: film.object_pose[name]) for name in self.object_names], dim=1
        )

    def success(self) -> Tensor:
        return self._frames(lambda film: film.success)

    def failure_conditions(self) -> dict[str, Tensor]:
        return dict.fromkeys(self.signals, self.success())

    def check(self) -> None:
        pass

    def hopeless(self, over: dict[str, Tensor]) -> None:
        return None

    def target_eef_pose_to_action(self, target: Tensor, gripper: Tensor, noise: Tensor | None = None) -> Tensor:
        return torch.zeros(self.num_envs, 0)


class _Verdicts:
    """Replacement of the recorder that stores the success of each trial."""

    def __init__(self) -> None:
        self.success: dict[int, bool] = {}

    def begin(self, env_ids: Tensor) -> None:
        pass

    def before_step(self, step: Tensor) -> None:
        pass

    def after_step(self, step: Tensor, actions: Tensor, success: Tensor, clean_actions: Tensor | None = None) -> None:
        pass

    def take(self, env_ids: Tensor, lengths: np.ndarray) -> "_FiniteEpisodes":
        return _FiniteEpisodes(len(env_ids))

    def put(self, episodes: "_FiniteEpisodes", ended: TrialOutcomes, committed: int) -> None:
        self.success |= {int(trial): bool(ok) for trial, ok in zip(ended.trials, ended.success, strict=True)}


@dataclass
class _FiniteEpisodes:
    count: int

    def first_nonfinite_step(self) -> np.ndarray:
        return np.full(self.count, -1)
