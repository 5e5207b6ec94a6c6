"""One problem for Isaac Lab's generator and for our planner: the same source file, films, offsets and selections."""

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
from tests.contract.isaaclab_side.messages import Chance, Film, Problem, Trial
from tests.golden import oracle
from tests.golden.configs import source_demo
from tests.golden.specs import OBJECTS, Spec, random_poses, random_spec

DEVICE = torch.device("cpu")
NUM_FRAMES = 17
OURS_ALONE = {
    "max_total_failures", "max_trials", "max_time", "min_success_rate", "num_final_hold_steps", "num_success_steps",
    "success_rule", "compat_select", "stop_hopeless_trials", "action_noise_process", "action_noise_correlation_steps",
    "max_navigation_wait_steps", "transit_ramp_steps", "legacy_small_rotation", "num_settle_steps_before_gripper",
}  # fmt: skip
"""Fields of our configuration that Isaac Lab's has not."""


@dataclass
class Task:
    """What is generated, and from what."""

    source: Path
    subtasks: dict[str, list[SubTaskConfig]]
    object_names: tuple[str, ...]
    config: DataGenConfig
    constraints: list[SubTaskConstraintConfig]
    gripper_columns: dict[str, tuple[int, int]]

    def demos(self) -> list[SourceDemo]:
        signals = {str(s.subtask_term_signal) for of_eef in self.subtasks.values() for s in of_eef[:-1]}
        every = [str(s.subtask_term_signal) for of_eef in self.subtasks.values() for s in of_eef]
        starts = every if self.config.use_skillgen else ()
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
        """The same for Isaac Lab; trials with the numbers that the planner has drawn for them."""
        return Problem(
            source=str(self.source),
            datagen_config=_isaac_labs(self.config),
            subtask_configs={eef: [_isaac_labs(c) for c in configs] for eef, configs in self.subtasks.items()},
            gripper_columns=self.gripper_columns,
            constraint_configs=[_isaac_labs(config) for config in self.constraints],
            trials=[] if planner is None else [(film, self._chance(planner, i)) for i, film in enumerate(films)],
        )

    def _chance(self, planner: TrialPlanner, trial: int) -> Chance:
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
        return Chance(integers, uniforms)


def _isaac_labs(config: Any) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in fields(config) if field.name not in OURS_ALONE}


def write_source(path: Path, demos: Sequence[SourceDemo]) -> Path:
    """An annotated file of those demos."""
    file = DatasetFile(path, {"env_name": "contract", "type": 2})
    for demo in demos:
        info = "obs/datagen_info"
        # Isaac Lab wants the group of the signals to be there, even where one subtask needs none.
        leaves = {"actions": demo.actions, f"{info}/subtask_term_signals/unused": np.zeros(demo.num_steps, dtype=bool)}
        for part in ("eef_pose", "target_eef_pose", "object_pose", "subtask_term_signals"):
            leaves |= {f"{info}/{part}/{name}": rows for name, rows in getattr(demo, part).items()}
        file.add_demo(leaves, {"success": True})
    file.finish({"complete": True})
    file.publish()
    return path


def random_task(seed: int, folder: Path, num_eefs: int = 1, **rules: Any) -> Task:
    """Up to eight demos and five subtasks, with rules that Isaac Lab has too, and no constraints; `rules` win."""
    spec = random_spec(seed, num_eefs)
    config = replace(spec.config, legacy_small_rotation=True, num_final_hold_steps=0, compat_select="isaaclab")
    config = replace(config, **rules)
    subtasks = spec.configs
    for configs in subtasks.values():
        # Isaac Lab never draws anything but the lower bound.
        first = configs[0].first_subtask_start_offset_range[0]
        configs[0] = replace(configs[0], first_subtask_start_offset_range=(first, first))
        configs[:] = [replace(config, num_settle_steps_before_gripper=0) for config in configs]
    demos = [source_demo(i, _with_plain_signals(demo, spec)) for i, demo in enumerate(spec.demos)]
    source = write_source(folder / f"source_{seed}_{num_eefs}.hdf5", demos)
    return Task(source, subtasks, OBJECTS, config, [], {eef: (i, i + 1) for i, eef in enumerate(subtasks)})


def _with_plain_signals(demo: oracle.Demo, spec: Spec) -> oracle.Demo:
    """Signals that rise once, where Isaac Lab and we find the same boundaries."""
    signals = {}
    for eef in spec.eefs:
        ends = oracle.nominal_ends(demo, eef)[:-1]
        signals[eef] = [np.arange(len(demo.target[eef])) >= end - 1 for end in ends]
    return replace(demo, signals=signals)


def random_films(task: Task, num_films: int, seed: int, rotation: float = 0.6) -> list[Film]:
    """End effectors and objects that jump about, and success by chance."""
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
    """Trial n in env n, all begun in the same step, until each has ended; `success` is left open."""
    planner = task.planner(len(films))
    env_ids = torch.arange(len(films))
    eef, objects = _frame(task, films, 0)
    planner.begin_trials(env_ids, Draws(task.config.seed, env_ids), eef)
    first = torch.tensor(planner.first_eefs)
    planner.begin_segments(env_ids.repeat_interleave(len(first)), first.repeat(len(films)), eef, objects)
    steps: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in films]
    active = np.ones(len(films), dtype=bool)
    for step in range(1, planner.horizon + 2):
        told = planner.waypoints()
        parts = told.target_eef_pose.numpy(), told.gripper_action.numpy(), told.noise_std[..., 0].numpy()
        for n in np.flatnonzero(active):
            steps[n].append((parts[0][n].copy(), parts[1][n].copy(), parts[2][n].copy()))
        due, ended = (flags.numpy() for flags in planner.advance())
        active &= ~ended
        if not active.any():
            return planner, [_trial(task, planner, n, rows) for n, rows in enumerate(steps)]
        places = np.nonzero(due & active[:, None])
        if len(places[0]):
            planner.begin_segments(*map(torch.from_numpy, places), *_frame(task, films, step))
    raise AssertionError("trials that do not end within the horizon")


def _frame(task: Task, films: Sequence[Film], step: int) -> tuple[Tensor, Tensor]:
    """(N, E, 4, 4) and (N, O, 4, 4) after so many steps."""

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
    """The task with the same changes to each of its subtasks."""
    subtasks = {eef: [replace(subtask, **changes) for subtask in configs] for eef, configs in task.subtasks.items()}
    return replace(task, subtasks=subtasks)


def differences(poses: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The largest difference of each step's poses (T, 4, 4), (T,)."""
    return np.abs(poses - others).max((1, 2))
