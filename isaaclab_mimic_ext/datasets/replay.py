"""Replay the recorded actions of demos in the environment that they were recorded in."""

# N demos (one per env), T steps of the longest demo, A action entries, O objects

import logging
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
from isaaclab_mimic_ext.config.recorded_task import find_recorded_task
from isaaclab_mimic_ext.config.task import GYM_ID
from isaaclab_mimic_ext.datasets.replay_progress import ReplayProgress, demo_lengths
from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors
from isaaclab_mimic_ext.envs.external import is_external
from isaaclab_mimic_ext.envs.factory import make_env, make_registered
from isaaclab_mimic_ext.envs.gpu_engine import GPU_ENGINE
from isaaclab_mimic_ext.envs.object_meshes import MESH
from isaaclab_mimic_ext.envs.object_sizes import SCALE
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.attributes import attributes_of, truth_value
from isaaclab_mimic_ext.files.demo import Demo, read_demo
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.files.selection import LEAVE_OUT, LeftOut
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.folders import available_tasks
from isaaclab_mimic_ext.task.meshes import recorded_digests, recorded_objects
from isaaclab_mimic_ext.task.robot import recorded_robot, robot_digest

log = logging.getLogger(__name__)

_OTHER_MESH = "%s: the mesh of '%s' has changed since the recording, so motions may differ; use the file of the recording"

EMBEDDED = ("mujoco", "mujoco_warp", "kinematic")
"""Engines that need only this package and its extras."""


def is_embedded(engine: object) -> bool:
    """Return whether an engine that a file names can run in this process: one of `EMBEDDED`, or an external one."""
    return isinstance(engine, str) and (engine in EMBEDDED or is_external(engine))


BeforeStep = Callable[[Tensor, Tensor], None]
"""Called with the step (N,) and the actions (N, A) before each step. Rows of ended demos have no meaning."""
AfterStep = Callable[[int, Tensor], None]
"""Called after each step with the step and a mask of the envs whose demo is still running, shape (N,) bool."""

_OTHER_ROBOT = (
    "%s: the model of the robot has changed since the recording (digest %s, now %s), so motions may differ; use the MJCF "
    "file and the version of MuJoCo of the recording, or record the demos again"
)
_REPLAYED_GROUPS = ("actions", "initial_state", "states")


def make_recorded_env(
    path: str | Path, env_args: Mapping[str, Any], sim: SimCfg, num_envs: int, device: str | torch.device = "cpu"
) -> MimicEnv:
    """Make an env of the task named in `env_args`, on the engine of `sim`; with `auto`, on that of `recorded_engine`.

    `path` is the file of `env_args`, for messages.

    Tasks of Isaac Lab's registry are identified by their gym id. Their files may also name a task of this package.

    Raises:
        SourceDataError: `env_args` have no task, or have different actions.
        ConfigError: the task or engine is unknown.
        SimulatorUnavailable: the engine is not installed.
    """
    name = env_args.get("env_name")
    if not isinstance(name, str):
        raise SourceDataError(f"{path}: env_args.env_name: must be the name of a task (got {name!r}); create the file again")
    sim, task = replace(sim, engine=recorded_engine(env_args, sim)), str(env_args.get("task", name))
    find_recorded_task(task, env_args, path)
    if sim.engine == "isaaclab" and task not in available_tasks() and GYM_ID.fullmatch(name):
        module = env_args.get("task_module")
        env = make_registered(f"{module}:{name}" if module else name, sim, num_envs, device)
    else:
        env = make_env(load_task(task, recorded_robot(env_args), recorded_objects(env_args)), sim, {}, num_envs, device)
    wanted, found = env.env_args().get("action"), env_args.get("action", env.env_args().get("action"))
    if found != wanted:
        env.close()
        raise SourceDataError(
            f"{path}: env_args.action: the demos have a different action space (got {found}, the env has {wanted}); "
            "replay them in the environment that they were recorded in"
        )
    before, now = robot_digest(env_args), robot_digest(env.env_args())
    if before != now:
        log.warning(_OTHER_ROBOT, path, before[:8] or "panda", now[:8] or "panda")
    meshes = recorded_digests(env_args)
    for name in (name for name, digest in recorded_digests(env.env_args()).items() if digest != meshes.get(name)):
        log.warning(_OTHER_MESH, path, name)
    return env


def with_task(env_args: Mapping[str, Any], task: str | None) -> dict[str, Any]:
    """`env_args` of a file, for another task: the name of an included task, a gym id, or `<module>:<gym id>`."""
    if task is None:
        return dict(env_args)
    module, _, name = task.rpartition(":")
    others = {key: value for key, value in env_args.items() if key not in ("task", "task_module", "engine")}
    engine = {} if GYM_ID.fullmatch(task) or "engine" not in env_args else {"engine": env_args["engine"]}
    return {**others, **engine, "env_name": name, **({"task_module": module} if module else {})}


def recorded_engine(env_args: Mapping[str, Any], sim: SimCfg) -> str:
    """Engine of `sim`. If it is `auto`: the engine named in `env_args`, or Isaac Lab if `env_name` is a gym id.

    Demos of MuJoCo Warp are replayed on MuJoCo, which has the same scene, runs on each machine, and starts faster.
    """
    if sim.engine != "auto":
        return sim.engine
    engine = "mujoco" if env_args.get("engine") == GPU_ENGINE else env_args.get("engine")
    if engine == "isaaclab" or is_embedded(engine):
        return str(engine)
    # Files written by Isaac Lab do not name an engine.
    return "isaaclab" if GYM_ID.fullmatch(str(env_args.get("env_name"))) else "auto"


def read_demos(
    path: str | Path,
    names: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    left_out: LeftOut | None = None,
    is_last: bool = True,
) -> list[Demo]:
    """Read demos of a dataset. Quaternions are in xyzw order for any format of the file.

    Args:
        names: demos to read, in this order; None: all, in natural order. A demo that cannot be read is left out with a
            warning.
        groups: groups or datasets to read (`actions`, `states`, ...); None: all.
        left_out, is_last: demos that earlier calls left out, and whether no call follows, if a file is read in parts.

    Raises:
        SourceDataError: the file is missing or damaged, or all demos lack actions or an initial state.
    """
    with open_hdf5(path) as file:
        wanted = demo_names(file) if names is None else names
        left_out = left_out or LeftOut(str(path))
        return [demo for _, demo in left_out.usable(wanted, lambda name: _read_replayable(file, name, groups), is_last)]


def read_provenance(path: str | Path) -> dict[str, Any]:
    """Attributes of `data` that describe the origin of a dataset: all but those that every dataset has.

    Raises:
        SourceDataError: the file is missing or damaged.
    """
    with open_hdf5(path) as file:
        attributes = attributes_of(file["data"])
    return {name: value for name, value in attributes.items() if name not in ("env_args", "total", "versions")}


def _read_replayable(file: h5py.File, name: str, groups: Sequence[str] | None) -> Demo:
    demo = read_demo(file, name, groups, as_xyzw=True)
    if "actions" not in demo.leaves or demo.leaves["actions"].ndim != 2 or not demo.num_steps:
        demo.refuse(f"requires a dataset 'actions' of shape (T, A); record the demo again, or {LEAVE_OUT}")
    if not demo.below("initial_state"):
        demo.refuse("replay requires a group 'initial_state', which is missing; record the demo again")
    for path, step in demo.nonfinite():
        if path == "actions" or path.startswith("initial_state/"):
            demo.refuse(
                f"{path}: must be finite (got NaN or infinity at step {step}); record the demo again, or {LEAVE_OUT}"
            )
    return demo


@dataclass(frozen=True)
class Replayed:
    """Result of replaying one demo.

    Attributes:
        success: whether the task was solved in each of the last `num_success_steps` steps.
        recorded_success: attribute `success` of the demo; None if it has none.
        object_error: largest distance of an object from its recorded position in any step [m]; None without recorded states.
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
    """Replay demos of a file in batches of N, the number of envs. Only one batch is in memory.

    Args:
        names: demos to replay.
        num_success_steps: the task must be solved in each of this many last steps.
        after_step: see `AfterStep`.

    Raises:
        SourceDataError: the file or all demos cannot be read, or the actions or states of a demo do not fit the env.
        ConfigError: the initial state of a demo lacks an object or arm of the scene.
    """
    progress = ReplayProgress(demo_lengths(path, names), env.num_envs)
    left_out = LeftOut(str(path))
    for start in range(0, len(names), env.num_envs):
        end = start + env.num_envs
        demos = read_demos(path, names[start:end], _REPLAYED_GROUPS, left_out, is_last=end >= len(names))
        if not demos:
            progress.skip()
            continue
        # Unused envs repeat the last demo.
        padded = demos + [demos[-1]] * (env.num_envs - len(demos))
        recorded = _recorded_positions(env, padded)
        error = torch.zeros(env.num_envs, device=env.device)

        def compare(step: int, running: Tensor, recorded: Tensor | None = recorded, error: Tensor = error) -> None:
            after_step(step, running)
            progress.after_step(step, running)
            if recorded is not None:
                distance = (_positions(env) - recorded[:, step]).norm(dim=-1).amax(-1)
                error.copy_(torch.where(running, torch.maximum(error, distance), error))

        solved = replay(env, padded, lambda *_: None, compare).tolist()
        for demo, steps_solved, farthest in zip(demos, solved, error.tolist(), strict=False):
            yield Replayed(
                name=demo.name,
                success=steps_solved >= num_success_steps,
                recorded_success=truth_value(demo.attributes.get("success")),
                object_error=None if recorded is None else farthest,
            )


def summary(results: Sequence[Replayed]) -> dict[str, Any]:
    """Number of demos, successes and success rate, and object errors [m], as JSON types."""
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
    """Reset each env to the initial state of its demo and apply the actions of the demo.

    Args:
        demos: N demos.
        before_step: see `BeforeStep`.
        after_step: see `AfterStep`.

    Returns:
        Number of consecutive steps, up to the last step of the demo, in which the task was solved, shape (N,) int64.

    Raises:
        SourceDataError: the actions of a demo do not fit the env.
        ConfigError: the initial state of a demo lacks an object or arm of the scene.
    """
    actions, lengths = _padded_actions(env, demos)
    env.reset_to(initial_states(demos), torch.arange(len(demos), device=env.device))
    lanes = Lanes(len(demos), env.device)
    lanes.begin(np.arange(len(demos)))
    for step in range(actions.shape[1]):
        before_step(torch.full_like(lengths, step), actions[:, step])
        env.step(actions[:, step], lanes.env_ids)
        after_step(step, lanes.is_active)
        lanes.advance(env.success())
        lanes.end(lanes.active_among(lanes.step >= lengths))
        env.check()
    return lanes.num_success_steps


def initial_states(demos: Sequence[Demo]) -> NestedTensors:
    """Initial states, leaves (N, ...). Objects of which a demo records no size or mesh have their own, or the first."""
    states = [demo.tree("initial_state", 0) for demo in demos]
    objects = [state.get("rigid_object", {}) for state in states]
    for leaf, usual in ((SCALE, torch.ones(1)), (MESH, torch.zeros(1))):
        names = {name for each in objects for name, leaves in each.items() if leaf in leaves}
        for each in objects:
            for name in names & each.keys():
                each[name].setdefault(leaf, usual)
    return trees.stack(states)


def _padded_actions(env: MimicEnv, demos: Sequence[Demo]) -> tuple[Tensor, Tensor]:
    """Actions, padded with zeros, shape (N, T, A), and number of steps of each demo, shape (N,)."""
    for demo in demos:
        found = demo.leaves["actions"].shape[1]
        if found != env.action_dim:
            raise SourceDataError(
                f"{demo.place}: actions must have {env.action_dim} entries (got {found}); "
                "use the task that the file was recorded with"
            )
    rows = [torch.from_numpy(demo.leaves["actions"]).float().to(env.device) for demo in demos]
    lengths = torch.tensor([len(row) for row in rows], device=env.device)
    return pad_sequence(rows, batch_first=True), lengths


def _positions(env: MimicEnv) -> Tensor:
    """Positions of all objects in the env frame [m], shape (N, O, 3)."""
    return env.object_pose[..., :3, 3]


def _recorded_positions(env: MimicEnv, demos: Sequence[Demo]) -> Tensor | None:
    """Recorded positions of all objects after each step, env frame [m], shape (N, T, O, 3); None if a demo has no states.

    Raises:
        SourceDataError: the number of recorded states of an object differs from the number of actions.
    """
    paths = [f"states/rigid_object/{name}/root_pose" for name in env.object_names]
    if not all(path in demo.leaves for demo in demos for path in paths):
        return None
    for demo in demos:
        for path in paths:
            found, expected = demo.leaves[path].shape, (demo.num_steps, 7)
            if found != expected:
                raise SourceDataError(
                    f"{demo.place}: {path}: must have shape {expected} (got {found}); create the file again"
                )
    poses = [torch.stack([torch.from_numpy(demo.leaves[path][:, :3]) for path in paths], dim=1) for demo in demos]
    return pad_sequence(poses, batch_first=True).float().to(env.device)


class StateHistory:
    """Recorder of the states of the first `num_demos` demos of a replay, for a video. At most one batch is recorded.

    Pass its `after_step` to `replay` or `replay_file`.
    """

    def __init__(self, env: MimicEnv, num_demos: int):
        self._env = env
        self._num_demos = min(num_demos, env.num_envs)
        self._states: list[NestedTensors] = []
        self._running: list[Tensor] = []
        self._is_complete = num_demos == 0

    def after_step(self, step: int, running: Tensor) -> None:
        self._is_complete |= step < len(self._states)
        if not self._is_complete:
            self._states.append(trees.map(lambda leaf: leaf[: self._num_demos].cpu().clone(), self._env.get_state()))
            self._running.append(running[: self._num_demos].cpu().clone())  # The mask changes in place.

    def demos(self) -> list[dict[str, Any]]:
        """Recorded states, one tree per demo with leaves (T, ...) float32."""
        lengths = torch.stack(self._running).sum(0).tolist()
        return [
            trees.map(Tensor.numpy, trees.stack([trees.take(state, index) for state in self._states[:length]]))
            for index, length in enumerate(lengths)
        ]
