"""Random tasks and source demonstrations, for the oracle and for the planner."""

# T steps of a demo, D demos, S subtasks, O objects, N envs

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from isaaclab_mimic_ext.config import DataGenConfig, SubTaskConfig
from isaaclab_mimic_ext.config.constraints import check_constraints
from isaaclab_mimic_ext.demos.pool import SourcePool, build_pool
from isaaclab_mimic_ext.errors import TaskSpecError
from isaaclab_mimic_ext.plan.constraints import build_constraints
from isaaclab_mimic_ext.plan.motion import MotionPlanner
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.plan.subtasks import build_table
from isaaclab_mimic_ext.rng import Draws, Stream
from tests.golden import oracle, oracle_trial
from tests.golden.configs import Subtasks, constraint_configs, source_demo, subtask_configs

EEFS = ("franka", "left", "right", "torso")
OBJECTS = ("mug", "tray", "box")
STRATEGIES = ("random", "nearest_neighbor_object", "nearest_neighbor_robot_distance")
GRIPPER_DIM = 1
ACTION_NOISE_DIM = 6


@dataclass(frozen=True)
class Spec:
    """One random task.

    Attributes:
        rotation: the most that a random pose is turned [rad]; small enough for angles to be exact in float32.
    """

    demos: list[oracle.Demo]
    subtasks: Subtasks
    sequentials: list[oracle.Sequential]
    coordinations: list[oracle.Coordination]
    rules: oracle.Rules
    config: DataGenConfig
    rotation: float

    @property
    def eefs(self) -> list[str]:
        return list(self.subtasks)

    @property
    def configs(self) -> dict[str, list[SubTaskConfig]]:
        return subtask_configs(self.subtasks, self.rules)

    @property
    def problem(self) -> oracle_trial.Problem:
        return oracle_trial.Problem(self.demos, self.subtasks, self.sequentials, self.coordinations, self.rules)

    def pool(self, device: torch.device) -> SourcePool:
        def gripper_of(actions: torch.Tensor) -> torch.Tensor:
            return actions[..., : len(self.eefs), None]

        demos = [source_demo(i, demo) for i, demo in enumerate(self.demos)]
        return build_pool(demos, self.configs, OBJECTS, gripper_of, device, self.rules.skillgen)

    def planner(self, num_envs: int, device: torch.device, motion_planner: MotionPlanner | None = None) -> TrialPlanner:
        table = build_table(self.configs, OBJECTS, [ACTION_NOISE_DIM] * len(self.eefs), device)
        constraints = constraint_configs(self.sequentials, self.coordinations)
        constraint_table = build_constraints(constraints, self.configs, device)
        return TrialPlanner(self.pool(device), table, constraint_table, self.config, num_envs, motion_planner)

    def chance(self, trial: int) -> oracle.Chance:
        """Random numbers of a trial, from the documented streams and steps."""
        draws = Draws(self.config.seed, torch.tensor([trial]))
        num_eefs, num_demos = len(self.eefs), len(self.demos)
        num_subtasks = max(len(items) for items in self.subtasks.values())
        starts = draws.uniform(Stream.BOUNDARY, (num_eefs, num_demos), step=1)[0].double().numpy()
        ends = draws.uniform(Stream.BOUNDARY, (num_eefs, num_demos, num_subtasks), step=0)[0].double().numpy()
        skill_starts = draws.uniform(Stream.BOUNDARY, (num_eefs, num_demos, num_subtasks), step=2)[0].double().numpy()
        selection = [
            [float(draws.uniform(Stream.SELECTION, (1,), step=s * num_eefs + e)[0, 0]) for s in range(num_subtasks)]
            for e in range(num_eefs)
        ]
        num_groups = len(self.coordinations)
        noise = [draws.uniform(Stream.COORDINATION, (6,), step=g)[0].double().numpy() for g in range(num_groups)]
        return oracle.Chance(
            start=dict(zip(self.eefs, starts, strict=True)),
            ends=dict(zip(self.eefs, ends, strict=True)),
            selection=dict(zip(self.eefs, map(np.array, selection), strict=True)),
            coordination=np.array(noise),
            skill_starts=dict(zip(self.eefs, skill_starts, strict=True)),
        )


def random_spec(seed: int, num_eefs: int | None = None) -> Spec:
    """A task of one to three end effectors, a third of the seeds each, or of `num_eefs`."""
    rng = np.random.default_rng(seed)
    eefs = EEFS[: num_eefs or 1 + seed % 3]
    rotation = float(rng.choice([0.0, 0.02, 0.6], p=[0.1, 0.2, 0.7]))
    rules = _random_rules(rng, eefs)
    config = DataGenConfig(
        seed=int(rng.integers(0, 2**63)),
        generation_select_src_per_subtask=rules.select_per_subtask,
        generation_select_src_per_arm=rules.select_per_arm,
        generation_transform_first_robot_pose=rules.transform_first_robot_pose,
        generation_interpolate_from_last_target_pose=rules.interpolate_from_last_target,
        num_final_hold_steps=rules.num_final_hold,
        num_success_steps=rules.num_success_steps,
        success_rule=rules.success_rule,
        compat_select=rules.compat_select,
        legacy_small_rotation=rules.legacy_small_rotation,
    )
    counts = {eef: int(rng.integers(1, 6 if len(eefs) == 1 else 5)) for eef in eefs}
    demos = [_random_demo(rng, counts, rotation) for _ in range(int(rng.integers(1, 9)))]
    subtasks = {eef: [_random_subtask(rng, i == count - 1) for i in range(count)] for eef, count in counts.items()}
    sequentials, coordinations = _random_constraints(rng, subtasks, rules)
    return Spec(demos, subtasks, sequentials, coordinations, rules, config, rotation)


def random_skill_spec(seed: int) -> Spec:
    """A task with start signals of skills (SkillGen); otherwise like `random_spec`."""
    spec = random_spec(seed)
    rng = np.random.default_rng([seed, 2])
    rules = replace(spec.rules, skillgen=True, start_offsets=dict.fromkeys(spec.eefs, (0, 0)))
    counts = {eef: len(items) for eef, items in spec.subtasks.items()}
    demos = [_random_demo(rng, counts, spec.rotation, shortest=6, with_starts=True) for _ in spec.demos]
    subtasks = {
        eef: [replace(subtask, skill_start_offsets=_range(rng, 0, 2)) for subtask in items]
        for eef, items in spec.subtasks.items()
    }
    config = replace(spec.config, use_skillgen=True)
    return replace(spec, demos=demos, subtasks=subtasks, rules=rules, config=config)


def _random_rules(rng: np.random.Generator, eefs: Sequence[str]) -> oracle.Rules:
    return oracle.Rules(
        start_offsets={eef: _range(rng, 0, 2) for eef in eefs},
        select_per_subtask=bool(rng.integers(2)),
        select_per_arm=bool(rng.integers(2)),
        compat_select=str(rng.choice(["mimic", "isaaclab"])),
        transform_first_robot_pose=bool(rng.integers(2)),
        interpolate_from_last_target=bool(rng.integers(2)),
        legacy_small_rotation=bool(rng.integers(2)),
        num_final_hold=int(rng.integers(0, 5)),
        num_success_steps=int(rng.integers(1, 5)),
        success_rule=str(rng.choice(["held", "any_step"])),
    )


def _random_constraints(
    rng: np.random.Generator, subtasks: Subtasks, rules: oracle.Rules
) -> tuple[list[oracle.Sequential], list[oracle.Coordination]]:
    """Up to five constraints between end effectors that can be met together."""
    sequentials: list[oracle.Sequential] = []
    coordinations: list[oracle.Coordination] = []
    configs = subtask_configs(subtasks, rules)
    for _ in range(int(rng.integers(0, 6)) if len(subtasks) > 1 else 0):
        first, second = rng.permutation(list(subtasks))[:2].tolist()
        pair = (first, int(rng.integers(len(subtasks[first])))), (second, int(rng.integers(len(subtasks[second]))))
        more_sequential, more_coordinated = list(sequentials), list(coordinations)
        if rng.integers(2):
            more_sequential.append(oracle.Sequential(*pair, int(rng.choice([-1, -1, 1, 2, 3, 5, 20]))))
        else:
            more_coordinated.append(_random_coordination(rng, pair))
        try:
            check_constraints(constraint_configs(more_sequential, more_coordinated), configs)
        except TaskSpecError:
            continue
        sequentials, coordinations = more_sequential, more_coordinated
    return sequentials, coordinations


def _random_coordination(rng: np.random.Generator, pair: tuple[tuple[str, int], tuple[str, int]]) -> oracle.Coordination:
    noise = bool(rng.integers(2))
    return oracle.Coordination(
        members=pair,
        scheme=str(rng.choice(["replay", "transform", "translate"])),
        pos_noise=0.05 * noise,
        rot_noise=0.1 * noise,
        synchronize_start=bool(rng.integers(2)),
    )


def random_poses(rng: np.random.Generator, shape: tuple[int, ...], rotation: float) -> np.ndarray:
    """Rigid poses (*shape, 4, 4), as float32 has them."""
    poses = np.tile(np.eye(4), (*shape, 1, 1))
    poses[..., :3, 3] = rng.uniform(-0.5, 0.5, (*shape, 3))
    for index in np.ndindex(*shape):
        axis = rng.normal(size=3)
        poses[index][:3, :3] = oracle.rotation(rotation * rng.uniform() * axis / np.linalg.norm(axis))
    return poses.astype(np.float32).astype(np.float64)


def _random_subtask(rng: np.random.Generator, is_last: bool) -> oracle.Subtask:
    object_ref = None if rng.uniform() < 0.2 else str(rng.choice(OBJECTS))
    return oracle.Subtask(
        object_ref=object_ref,
        strategy="random" if object_ref is None else str(rng.choice(STRATEGIES)),
        nn_k=int(rng.integers(1, 6)),
        pos_weight=float(rng.choice([0.5, 1.0, 2.0])),
        rot_weight=float(rng.choice([0.0, 1.0, 3.0])),
        end_offsets=(0, 0) if is_last else _range(rng, -1, 2),
        num_interpolation=int(rng.integers(0, 8)),
        num_fixed=int(rng.integers(0, 5)),
        action_noise=float(rng.choice([0.0, 0.03, 0.1])),
        noise_during_interpolation=bool(rng.integers(2)),
        num_settle=int(rng.choice([0, 0, 1, 4])),
    )


def _random_demo(
    rng: np.random.Generator, num_subtasks: dict[str, int], rotation: float, shortest: int = 4, with_starts: bool = False
) -> oracle.Demo:
    # At least four steps per segment: with the worst offsets of -1 and 2, one step remains.
    ends = {eef: np.cumsum(rng.integers(shortest, shortest + 5, count)).tolist() for eef, count in num_subtasks.items()}
    num_steps = max(of_eef[-1] for of_eef in ends.values())
    signals = {
        eef: [_random_signal(rng, num_steps, last, end) for last, end in zip([0, *of_eef[:-2]], of_eef[:-1], strict=False)]
        for eef, of_eef in ends.items()
    }
    return oracle.Demo(
        eef={eef: random_poses(rng, (num_steps,), rotation) for eef in num_subtasks},
        target={eef: random_poses(rng, (num_steps,), rotation) for eef in num_subtasks},
        gripper={eef: rng.choice([-1.0, 1.0], (num_steps, GRIPPER_DIM), p=[0.3, 0.7]) for eef in num_subtasks},
        objects={name: random_poses(rng, (num_steps,), rotation) for name in OBJECTS},
        signals=signals,
        starts={eef: _random_starts(rng, num_steps, of_eef) for eef, of_eef in ends.items()} if with_starts else {},
    )


def _random_starts(rng: np.random.Generator, num_steps: int, ends: list[int]) -> list[np.ndarray]:
    """Start signals that rise late enough for the end before to be 2 steps later, early enough to start 2 steps later."""
    signals = []
    for number, (previous, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        start = int(rng.integers(previous + 2 if number else 0, end - 3))
        signals.append(_random_signal(rng, num_steps, previous, start + 1))
    return signals


def _random_signal(rng: np.random.Generator, num_steps: int, previous: int, end: int) -> np.ndarray:
    """Rises at `end - 1`; perhaps before the previous end too, which does not count, and perhaps again later."""
    signal = np.zeros(num_steps, dtype=bool)
    signal[end - 1 : end - 1 + int(rng.integers(1, num_steps))] = True
    if previous >= 2 and rng.integers(2):
        rise = int(rng.integers(1, previous))
        signal[rise : int(rng.integers(rise + 1, end - 1))] = True
    if rng.integers(2):
        signal[end:] = rng.integers(0, 2, num_steps - end)
    return signal


def _range(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    bounds = sorted(rng.integers(low, high + 1, 2).tolist())
    return bounds[0], bounds[1]
