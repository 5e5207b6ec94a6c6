"""The engine that a dataset was made with."""

# N demos (one per env), T steps of the longest, O objects

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.config.task import GYM_ID
from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors
from isaaclab_mimic_ext.envs.factory import make_env, make_registered
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.demo import Demo, read_demo
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.task.definition import available_tasks, load_task

EMBEDDED = ("mujoco", "kinematic")

"""Engines that need nothing but this package and its extras."""


def make_recorded_env(
    env_args: Mapping[str, Any], sim: SimCfg, num_envs: int, device: str | torch.device = "cpu"
) -> MimicEnv:
    """An env of the task that env_args name; where `sim` leaves the engine open, on theirs.

    A task of Isaac Lab's registry goes by its gym id. Files of such a one that is ours too name both.

    Raises:
        SourceDataError: env_args name no task, or describe other actions.
        ConfigError: there is no such task or engine.
        SimulatorUnavailable: the engine's simulator is not installed.
    """
    name = env_args.get("env_name")
    if not isinstance(name, str):
        raise SourceDataError(f"env_args: env_name is {name!r}, expected the name of a task; make the file again")
    sim, task = replace(sim, engine=recorded_engine(env_args, sim)), str(env_args.get("task", name))
    if sim.engine == "isaaclab" and task not in available_tasks() and GYM_ID.fullmatch(name):
        env = make_registered(name, sim, num_envs, device)
    else:
        env = make_env(load_task(task), sim, {}, num_envs, device)
    wanted, found = env.env_args().get("action"), env_args.get("action", env.env_args().get("action"))
    if found != wanted:
        env.close()
        raise SourceDataError(
            f"env_args: made for another action space: {found}, this env's actions are {wanted}; it cannot be replayed here"
        )
    return env


def recorded_engine(env_args: Mapping[str, Any], sim: SimCfg) -> str:
    """The engine that `sim` asks for; where it leaves that open, the one that env_args name, or whose task they name."""
    if sim.engine != "auto":
        return sim.engine
    engine = env_args.get("engine")
    if engine in (*EMBEDDED, "isaaclab"):
        return str(engine)
    # Isaac Lab's own files name no engine.
    return "isaaclab" if GYM_ID.fullmatch(str(env_args.get("env_name"))) else "auto"


def read_demos(path: str | Path, names: Sequence[str] | None = None, groups: Sequence[str] | None = None) -> list[Demo]:
    """Demos of a dataset, quaternions in xyzw order whatever the file's format.

    Args:
        names: which ones, in this order; None: all, in natural order.
        groups: what to read of them (`actions`, `states`, ...); None: everything.

    Raises:
        SourceDataError: the file is missing or damaged, or a demo has no actions or no initial state.
    """
    with open_hdf5(path) as file:
        return [_read_replayable(file, name, groups) for name in (demo_names(file) if names is None else names)]


def read_provenance(path: str | Path) -> dict[str, Any]:
    """What a dataset says of its own making: the attributes of `data` without those that every dataset has.

    Raises:
        SourceDataError: the file is missing or damaged.
    """
    with open_hdf5(path) as file:
        attributes = dict(file["data"].attrs)
    return {name: value for name, value in attributes.items() if name not in ("env_args", "total", "versions")}


def _read_replayable(file: h5py.File, name: str, groups: Sequence[str] | None) -> Demo:
    demo = read_demo(file, name, groups, as_xyzw=True)
    if "actions" not in demo.leaves or demo.leaves["actions"].ndim != 2 or not demo.num_steps:
        demo.refuse("no dataset 'actions' of shape (T, A); record the demo again, or leave it out")
    if not demo.below("initial_state"):
        demo.refuse("no group 'initial_state', so that it cannot be replayed; record the demo again")
    return demo


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
