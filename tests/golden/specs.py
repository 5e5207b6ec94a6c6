"""Random tasks and source demonstrations, as the oracle and as the planner take them."""

# T steps of a demo, D demos, S subtasks, O objects, N envs

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from isaaclab_mimic_ext.config import DataGenConfig, SubTaskConfig, SubTaskConstraintConfig
from isaaclab_mimic_ext.config.constraints import check_constraints
from isaaclab_mimic_ext.demos.pool import SourcePool, build_pool
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.errors import TaskSpecError
from isaaclab_mimic_ext.plan.constraints import build_constraints
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.plan.subtasks import build_table
from isaaclab_mimic_ext.rng import Draws, Stream
from tests.golden import oracle, oracle_trial

EEFS = ("franka", "left", "right")
OBJECTS = ("mug", "tray", "box")
STRATEGIES = ("random", "nearest_neighbor_object", "nearest_neighbor_robot_distance")
GRIPPER_DIM = 1
ACTION_NOISE_DIM = 6
Subtasks = dict[str, list[oracle.Subtask]]


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
        def gripper_of(actions: torch.Tensor) -> dict[str, torch.Tensor]:
            return {eef: actions[..., i : i + 1] for i, eef in enumerate(self.eefs)}

        demos = [_source_demo(i, demo) for i, demo in enumerate(self.demos)]
        return build_pool(demos, self.configs, OBJECTS, gripper_of, device)

    def planner(self, num_envs: int, device: torch.device) -> TrialPlanner:
        table = build_table(self.configs, OBJECTS, ACTION_NOISE_DIM, device)
        constraints = constraint_configs(self.sequentials, self.coordinations)
        constraint_table = build_constraints(constraints, self.configs, device)
        return TrialPlanner(self.pool(device), table, constraint_table, self.config, num_envs)

    def chance(self, trial: int) -> oracle.Chance:
        """A trial's numbers, from the streams and steps that they are documented to come from."""
        draws = Draws(self.config.seed, torch.tensor([trial]))
        num_eefs, num_demos = len(self.eefs), len(self.demos)
        num_subtasks = max(len(items) for items in self.subtasks.values())
        starts = draws.uniform(Stream.BOUNDARY, (num_eefs, num_demos), step=1)[0].double().numpy()
        ends = draws.uniform(Stream.BOUNDARY, (num_eefs, num_demos, num_subtasks), step=0)[0].double().numpy()
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
        )


def random_spec(seed: int, num_eefs: int | None = None) -> Spec:
    """A task of one to three end effectors, a third of the seeds each, or of `num_eefs`."""
    rng = np.random.default_rng(seed)
    eefs = EEFS[: num_eefs or 1 + seed % len(EEFS)]
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


def constraint_configs(
    sequentials: Sequence[oracle.Sequential], coordinations: Sequence[oracle.Coordination]
) -> list[SubTaskConstraintConfig]:
    """The constraints as they are configured."""
    return [
        *(
            SubTaskConstraintConfig(
                eef_subtask_constraint_tuple=[list(c.former), list(c.latter)],
                constraint_type="sequential",
                sequential_min_time_diff=c.min_time_diff,
            )
            for c in sequentials
        ),
        *(
            SubTaskConstraintConfig(
                eef_subtask_constraint_tuple=[list(member) for member in c.members],
                constraint_type="coordination",
                coordination_scheme=c.scheme,
                coordination_scheme_pos_noise_scale=c.pos_noise,
                coordination_scheme_rot_noise_scale=c.rot_noise,
                coordination_synchronize_start=c.synchronize_start,
            )
            for c in coordinations
        ),
    ]


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


def _random_demo(rng: np.random.Generator, num_subtasks: dict[str, int], rotation: float) -> oracle.Demo:
    # Four steps a segment: what is left of it under the worst offsets of -1 and 2 is one step.
    ends = {eef: np.cumsum(rng.integers(4, 9, count)).tolist() for eef, count in num_subtasks.items()}
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
    )


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


def subtask_configs(subtasks: Subtasks, rules: oracle.Rules) -> dict[str, list[SubTaskConfig]]:
    """The subtasks as they are configured."""
    return {
        eef: [
            _subtask_config(f"{eef}_{i}", subtask, rules.start_offsets[eef] if i == 0 else (0, 0), i == len(items) - 1)
            for i, subtask in enumerate(items)
        ]
        for eef, items in subtasks.items()
    }


def _subtask_config(signal: str, subtask: oracle.Subtask, start_offsets: tuple[int, int], is_last: bool) -> SubTaskConfig:
    kwargs = {"nn_k": subtask.nn_k, "pos_weight": subtask.pos_weight, "rot_weight": subtask.rot_weight}
    return SubTaskConfig(
        object_ref=subtask.object_ref,
        subtask_term_signal=None if is_last else signal,
        subtask_term_offset_range=subtask.end_offsets,
        first_subtask_start_offset_range=start_offsets,
        selection_strategy=subtask.strategy,
        selection_strategy_kwargs={} if subtask.strategy == "random" else kwargs,
        action_noise=subtask.action_noise,
        num_interpolation_steps=subtask.num_interpolation,
        num_fixed_steps=subtask.num_fixed,
        num_settle_steps_before_gripper=subtask.num_settle,
        apply_noise_during_interpolation=subtask.noise_during_interpolation,
    )


def _source_demo(index: int, demo: oracle.Demo) -> SourceDemo:
    return SourceDemo(
        name=f"demo_{index}",
        actions=np.concatenate(list(demo.gripper.values()), axis=1).astype(np.float32),
        eef_pose={eef: poses.astype(np.float32) for eef, poses in demo.eef.items()},
        target_eef_pose={eef: poses.astype(np.float32) for eef, poses in demo.target.items()},
        object_pose={name: poses.astype(np.float32) for name, poses in demo.objects.items()},
        subtask_term_signals={f"{eef}_{i}": s for eef, of_eef in demo.signals.items() for i, s in enumerate(of_eef)},
    )
