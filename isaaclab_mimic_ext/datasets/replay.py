"""Replay of recorded actions, one demo per env, and the states that it passes through."""

# N demos (one per env), T steps of the longest, O objects

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.datasets.demos import read_demos
from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.run.lanes import Lanes

BeforeStep = Callable[[Tensor, Tensor], None]
"""Called with the step (N,), and the actions (N, A) that follow; rows of demos that are over mean nothing."""
AfterStep = Callable[[int, Tensor], None]
"""Called with the step, and which envs made it (N,) bool."""

_REPLAYED = ("actions", "initial_state", "states")


@dataclass(frozen=True)
class Replayed:
    """What became of one demo.

    Attributes:
        success: whether the task was solved in each of the last steps.
        recorded_success: what the demo says itself, None where it does not.
        object_error: the farthest that an object was from its recorded place in any step [m]; None without recorded states.
    """

    name: str
    success: bool
    recorded_success: bool | None
    object_error: float | None


def replay_file(
    env: MimicEnv,
    path: str | Path,
    names: Sequence[str],
    num_success_steps: int,
    after_step: AfterStep = lambda *_: None,
) -> Iterator[Replayed]:
    """Replay demos of a file, as many at a time as there are envs; only these are in memory.

    Args:
        num_success_steps: the task must be solved in each of the last so many steps.
        after_step: see `replay`.

    Raises:
        SourceDataError: the file is unreadable, or a demo's actions or states are not this env's.
        ConfigError: its initial state lacks something of the scene.
    """
    for start in range(0, len(names), env.num_envs):
        demos = read_demos(path, names[start : start + env.num_envs], _REPLAYED)
        # The envs that are left over repeat the last demo.
        padded = demos + [demos[-1]] * (env.num_envs - len(demos))
        recorded = _recorded_positions(env, padded)
        error = torch.zeros(env.num_envs, device=env.device)

        def compare(step: int, running: Tensor, recorded: Tensor | None = recorded, error: Tensor = error) -> None:
            after_step(step, running)
            if recorded is not None:
                distance = (_positions(env) - recorded[:, step]).norm(dim=-1).amax(-1)
                error.copy_(torch.where(running, torch.maximum(error, distance), error))

        solved = replay(env, padded, lambda *_: None, compare).tolist()
        for demo, steps_solved, farthest in zip(demos, solved, error.tolist(), strict=False):
            success = demo.attributes.get("success")
            yield Replayed(
                name=demo.name,
                success=steps_solved >= num_success_steps,
                recorded_success=None if success is None else bool(success),
                object_error=None if recorded is None else farthest,
            )


def summary(results: Sequence[Replayed]) -> dict[str, Any]:
    """Counts, rate, and errors [m] of replayed demos, as what JSON knows."""
    errors = [result.object_error for result in results if result.object_error is not None]
    num_successes = sum(result.success for result in results)
    return {
        "num_demos": len(results),
        "num_successes": num_successes,
        "success_rate": num_successes / max(len(results), 1),
        "largest_object_error": max(errors, default=None),
        "mean_object_error": sum(errors) / len(errors) if errors else None,
    }


def replay(env: MimicEnv, demos: Sequence[Demo], before_step: BeforeStep, after_step: AfterStep = lambda *_: None) -> Tensor:
    """Put each env into its demo's initial state, apply its actions, and say how long it has been successful at the end.

    Returns:
        (N,) int64, how many steps up to the end the task was solved in a row.

    Raises:
        SourceDataError: a demo's actions are not this env's.
        ConfigError: its initial state lacks something of the scene.
    """
    actions, lengths = _padded_actions(env, demos)
    env.reset_to(trees.stack([demo.tree("initial_state", 0) for demo in demos]), torch.arange(len(demos), device=env.device))
    lanes = Lanes(len(demos), env.device)
    lanes.begin(np.arange(len(demos)))
    for step in range(actions.shape[1]):
        before_step(torch.full_like(lengths, step), actions[:, step])
        env.step(actions[:, step], lanes.env_ids)
        after_step(step, lanes.is_active)
        lanes.advance(env.success())
        lanes.end(lanes.active_among(lanes.step >= lengths))
    return lanes.num_success_steps


def _padded_actions(env: MimicEnv, demos: Sequence[Demo]) -> tuple[Tensor, Tensor]:
    for demo in demos:
        found = demo.leaves["actions"].shape[1]
        if found != env.action_dim:
            raise SourceDataError(
                f"{demo.name}: actions have {found} entries, expected {env.action_dim}: made for another action space; "
                "choose the task that the file was recorded with"
            )
    rows = [torch.from_numpy(demo.leaves["actions"]).float().to(env.device) for demo in demos]
    lengths = torch.tensor([len(row) for row in rows], device=env.device)
    return pad_sequence(rows, batch_first=True), lengths


def _positions(env: MimicEnv) -> Tensor:
    """Positions of all objects, env frame [m], (N, O, 3)."""
    return env.object_pose[..., :3, 3]


def _recorded_positions(env: MimicEnv, demos: Sequence[Demo]) -> Tensor | None:
    """As `_positions` after each step, (N, T, O, 3); None if a demo has no states.

    Raises:
        SourceDataError: the recorded states of an object have another length than the actions.
    """
    paths = [f"states/rigid_object/{name}/root_pose" for name in env.object_names]
    if not all(path in demo.leaves for demo in demos for path in paths):
        return None
    for demo in demos:
        for path in paths:
            found, expected = demo.leaves[path].shape, (demo.num_steps, 7)
            if found != expected:
                raise SourceDataError(f"{demo.name}: {path}: shape {found}, expected {expected}; make the file again")
    poses = [torch.stack([torch.from_numpy(demo.leaves[path][:, :3]) for path in paths], dim=1) for demo in demos]
    return pad_sequence(poses, batch_first=True).float().to(env.device)


class StateHistory:
    """Keeps the states of the first `num_demos` envs during the first batch of a replay, for a video.

    Pass `after_step` to `replay` or `replay_file`.
    """

    def __init__(self, env: MimicEnv, num_demos: int):
        self._env = env
        self._num_demos = min(num_demos, env.num_envs)
        self._states: list[NestedTensors] = []
        self._running: list[Tensor] = []
        self._is_over = num_demos == 0

    def after_step(self, step: int, running: Tensor) -> None:
        self._is_over |= step < len(self._states)
        if not self._is_over:
            self._states.append(trees.map(lambda leaf: leaf[: self._num_demos].cpu().clone(), self._env.get_state()))
            self._running.append(running[: self._num_demos].cpu())

    def demos(self) -> list[dict[str, Any]]:
        """One tree per demo, leaves (T, ...) float32."""
        lengths = torch.stack(self._running).sum(0).tolist()
        return [
            trees.map(Tensor.numpy, trees.stack([trees.take(state, index) for state in self._states[:length]]))
            for index, length in enumerate(lengths)
        ]
