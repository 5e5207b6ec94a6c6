"""Problems for Isaac Lab's generator and for `TrialPlanner`, with the same source file, films, offsets and selections."""

# N trials (and envs), E end effectors, D demos, S subtasks, T steps, F frames of a film, O objects

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig, SubTaskConfig, SubTaskConstraintConfig
from isaaclab_mimic_ext.demos.pool import SourcePool, build_pool
from isaaclab_mimic_ext.demos.source import SourceDemo, load_source_demos
from isaaclab_mimic_ext.files.dataset_file import DatasetFile
from isaaclab_mimic_ext.plan.constraints import build_constraints
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.plan.subtasks import build_table
from isaaclab_mimic_ext.rng import Draws, Stream
from tests.contract.isaaclab_side.messages import Film, Problem, RandomNumbers, Trial
from tests.golden import oracle
from tests.golden.configs import source_demo
from tests.golden.specs import OBJECTS, Spec, random_poses, random_spec

DEVICE = torch.device("cpu")
NUM_FRAMES = 17
FIELDS_ISAACLAB_LACKS = {
    "max_total_failures", "max_trials", "max_time", "min_success_rate", "num_final_hold_steps", "num_success_steps",
    "success_rule", "compat_select", "stop_hopeless_trials", "action_noise_process", "action_noise_correlation_steps",
    "max_navigation_wait_steps", "transit_ramp_steps", "legacy_small_rotation", "num_settle_steps_before_gripper",
    "check_gripper_convention", "adapt_to_scale",
}  # fmt: skip
"""Fields of the configuration that Isaac Lab's configuration does not have."""


@dataclass
class Task:
    """Source file, subtasks and settings of a generation."""

    source: Path
    subtasks: dict[str, list[SubTaskConfig]]
    object_names: tuple[str, ...]
    config: DataGenConfig
    constraints: list[SubTaskConstraintConfig]
    gripper_columns: dict[str, tuple[int, int]]

    def demos(self) -> list[SourceDemo]:
        signals = {str(s.subtask_term_signal) for configs in self.subtasks.values() for s in configs[:-1]}
        all_signals = [str(s.subtask_term_signal) for configs in self.subtasks.values() for s in configs]
        starts = all_signals if self.config.use_skillgen else ()
        num_columns = max(last for _, last in self.gripper_columns.values())
        names = self.subtasks, self.object_names, sorted(signals)
        return load_source_demos(self.source, *names, num_columns, start_signal_names_needed=starts)

    def pool(self) -> SourcePool:
        def gripper_of(actions: Tensor) -> Tensor:
            return torch.stack([actions[:, slice(*self.gripper_columns[eef])] for eef in self.subtasks], dim=1)

        return build_pool(self.demos(), self.subtasks, self.object_names, gripper_of, DEVICE, self.config.use_skillgen)

    def planner(self, num_envs: int) -> TrialPlanner:
        table = build_table(self.subtasks, self.object_names, [6] * len(self.subtasks), DEVICE)
        constraints = build_constraints(self.constraints, self.subtasks, DEVICE)
        return TrialPlanner(self.pool(), table, constraints, self.config, num_envs)

    def problem(self, films: Sequence[Film] = (), planner: TrialPlanner | None = None) -> Problem:
        """Make the same problem for Isaac Lab, with the random numbers that the planner drew for its trials."""
        return Problem(
            source=str(self.source),
            datagen_config=_isaaclab_fields(self.config),
            subtask_configs={eef: [_isaaclab_fields(c) for c in configs] for eef, configs in self.subtasks.items()},
            gripper_columns=self.gripper_columns,
            constraint_configs=[_isaaclab_fields(config) for config in self.constraints],
            trials=[] if planner is None else [(film, self._random_numbers(planner, i)) for i, film in enumerate(films)],
        )

    def _random_numbers(self, planner: TrialPlanner, trial: int) -> RandomNumbers:
        integers = []
        for e, configs in enumerate(self.subtasks.values()):
            integers.append(planner.starts[trial, e, :, 0].numpy())
            offsets = (planner.ends[trial, e] - planner.pool.subtask_ends[e]).numpy()
            integers += [offsets[:, s] for s in range(len(configs))]
        draws, num_eefs = Draws(self.config.seed, torch.tensor([trial])), len(self.subtasks)
        uniforms = {
            eef: [float(draws.uniform(Stream.SELECTION, (1,), step=s * num_eefs + e)[0, 0]) for s in range(len(configs))]
            for e, (eef, configs) in enumerate(self.subtasks.items())
        }
        return RandomNumbers(integers, uniforms)


def _isaaclab_fields(config: Any) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in fields(config) if field.name not in FIELDS_ISAACLAB_LACKS}


def write_source(path: Path, demos: Sequence[SourceDemo]) -> Path:
    """Write an annotated file of demos; return its path."""
    file = DatasetFile(path, {"env_name": "contract", "type": 2})
    for demo in demos:
        info = "obs/datagen_info"
        # Isaac Lab requires the group of signals, also for a single subtask, which needs no signal.
        leaves = {"actions": demo.actions, f"{info}/subtask_term_signals/unused": np.zeros(demo.num_steps, dtype=bool)}
        for part in ("eef_pose", "target_eef_pose", "object_pose", "subtask_term_signals"):
            leaves |= {f"{info}/{part}/{name}": rows for name, rows in getattr(demo, part).items()}
        file.add_demo(leaves, {"success": True})
    file.finish({"complete": True})
    file.publish()
    return path


def random_task(seed: int, folder: Path, num_eefs: int = 1, **rules: Any) -> Task:
    """Make a task of up to 8 demos and 5 subtasks, without constraints, with rules that Isaac Lab also has.

    Args:
        rules: fields of `DataGenConfig` that replace the random ones.
    """
    spec = random_spec(seed, num_eefs)
    config = replace(spec.config, legacy_small_rotation=True, num_final_hold_steps=0, compat_select="isaaclab")
    config = replace(config, **rules)
    subtasks = spec.configs
    for configs in subtasks.values():
        # Isaac Lab always draws the lower bound.
        first = configs[0].first_subtask_start_offset_range[0]
        configs[0] = replace(configs[0], first_subtask_start_offset_range=(first, first))
        configs[:] = [replace(config, num_settle_steps_before_gripper=0) for config in configs]
    demos = [source_demo(i, _with_plain_signals(demo, spec)) for i, demo in enumerate(spec.demos)]
    source = write_source(folder / f"source_{seed}_{num_eefs}.hdf5", demos)
    return Task(source, subtasks, OBJECTS, config, [], {eef: (i, i + 1) for i, eef in enumerate(subtasks)})


def _with_plain_signals(demo: oracle.Demo, spec: Spec) -> oracle.Demo:
    """Replace the signals by signals that rise once, in which Isaac Lab finds the same boundaries."""
    signals = {}
    for eef in spec.eefs:
        ends = oracle.nominal_ends(demo, eef)[:-1]
        signals[eef] = [np.arange(len(demo.target[eef])) >= end - 1 for end in ends]
    return replace(demo, signals=signals)


def random_films(task: Task, num_films: int, seed: int, rotation: float = 0.6) -> list[Film]:
    """Make films with random poses and random success."""
    rng = np.random.default_rng([seed, 3])

    def frames() -> np.ndarray:
        return random_poses(rng, (NUM_FRAMES,), rotation).astype(np.float32)

    return [
        Film(
            {eef: frames() for eef in task.subtasks},
            {name: frames() for name in task.object_names},
            rng.uniform(size=NUM_FRAMES) < rng.choice([0.0, 0.02, 0.3]),
        )
        for _ in range(num_films)
    ]


def run_planner(task: Task, films: Sequence[Film]) -> tuple[TrialPlanner, list[Trial]]:
    """Run trial n in env n until all trials have ended; all begin in the same step. `Trial.success` is not evaluated."""
    planner = task.planner(len(films))
    env_ids = torch.arange(len(films))
    eef, objects = _frame(task, films, 0)
    planner.begin_trials(env_ids, Draws(task.config.seed, env_ids), eef)
    first = torch.tensor(planner.first_eefs)
    planner.begin_segments(env_ids.repeat_interleave(len(first)), first.repeat(len(films)), eef, objects)
    steps: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in films]
    active = np.ones(len(films), dtype=bool)
    for step in range(1, planner.horizon + 2):
        waypoints = planner.waypoints()
        parts = waypoints.target_eef_pose.numpy(), waypoints.gripper_action.numpy(), waypoints.noise_std[..., 0].numpy()
        for n in np.flatnonzero(active):
            steps[n].append((parts[0][n].copy(), parts[1][n].copy(), parts[2][n].copy()))
        due, ended = (flags.numpy() for flags in planner.advance())
        active &= ~ended
        if not active.any():
            return planner, [_trial(task, planner, n, rows) for n, rows in enumerate(steps)]
        places = np.nonzero(due & active[:, None])
        if len(places[0]):
            planner.begin_segments(*map(torch.from_numpy, places), *_frame(task, films, step))
    raise AssertionError("trials did not end within the horizon")


def _frame(task: Task, films: Sequence[Film], step: int) -> tuple[Tensor, Tensor]:
    """Poses of end effectors (N, E, 4, 4) and objects (N, O, 4, 4) after `step` steps."""

    def row(poses: dict[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
        return np.stack([poses[name][step % len(poses[name])] for name in names])

    eef = np.stack([row(film.eef_pose, list(task.subtasks)) for film in films])
    return torch.from_numpy(eef), torch.from_numpy(np.stack([row(film.object_pose, task.object_names) for film in films]))


def _trial(task: Task, planner: TrialPlanner, n: int, rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Trial:
    poses, grippers, noise = (np.stack(part) for part in zip(*rows, strict=True))
    eefs = list(enumerate(task.subtasks.items()))
    return Trial(
        pose={eef: poses[:, e] for e, (eef, _) in eefs},
        gripper={eef: grippers[:, e] for e, (eef, _) in eefs},
        noise={eef: noise[:, e] for e, (eef, _) in eefs},
        demos={eef: planner.chosen_demos[n, e, : len(configs)].tolist() for e, (eef, configs) in eefs},
        success=False,
    )


def every_subtask(task: Task, **changes: Any) -> Task:
    """Copy a task with the same changes in each subtask."""
    subtasks = {eef: [replace(subtask, **changes) for subtask in configs] for eef, configs in task.subtasks.items()}
    return replace(task, subtasks=subtasks)


def differences(poses: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Largest difference of the entries of two poses in each step, (T,), of poses (T, 4, 4)."""
    return np.abs(poses - others).max((1, 2))
