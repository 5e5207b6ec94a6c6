"""Random edge cases of `specs`: four end effectors, chains of coordination, segments of one step, long waits."""

# T steps of a demo

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from isaaclab_mimic_ext.config.constraints import check_constraints
from isaaclab_mimic_ext.errors import TaskSpecError
from tests.golden import oracle
from tests.golden.configs import constraint_configs, subtask_configs
from tests.golden.specs import GRIPPER_DIM, OBJECTS, Spec, random_poses, random_spec

WAITS = (-1, -1, 1, 1, 2, 3, 5, 20, 100)
SETTLES = (0, 0, 1, 4, 20)

Constraints = tuple[list[oracle.Sequential], list[oracle.Coordination]]


def random_hard_spec(seed: int) -> tuple[Spec, list[Constraints]]:
    """A task of two to four end effectors, and additional constraints that would cause a deadlock."""
    rng = np.random.default_rng([seed, 4])
    spec = random_spec(seed, num_eefs=int(rng.choice([2, 3, 4], p=[0.2, 0.3, 0.5])))
    rules = replace(spec.rules, start_offsets=dict.fromkeys(spec.eefs, (0, 0)))
    counts = {eef: len(items) for eef, items in spec.subtasks.items()}
    rate = float(rng.choice([0.5, 0.9, 1.0]))
    demos = [_random_demo(rng, counts, rate) for _ in range(int(rng.integers(1, 5)))]
    at_once = bool(rng.integers(3) == 0)
    subtasks = {eef: [_hard_subtask(rng, subtask, at_once) for subtask in items] for eef, items in spec.subtasks.items()}
    spec = replace(spec, demos=demos, subtasks=subtasks, rules=rules, rotation=0.6)
    sequentials: list[oracle.Sequential] = []
    coordinations: list[oracle.Coordination] = []
    deadlocks: list[Constraints] = []
    for constraint in _random_constraints(rng, spec):
        is_sequential = isinstance(constraint, oracle.Sequential)
        more = (sequentials + [constraint] * is_sequential, coordinations + [constraint] * (not is_sequential))
        try:
            check_constraints(constraint_configs(*more), subtask_configs(subtasks, rules))
        except TaskSpecError as error:
            deadlocks += [more] * ("deadlock" in str(error))
            continue
        sequentials, coordinations = more
    return replace(spec, sequentials=sequentials, coordinations=coordinations), deadlocks


def _hard_subtask(rng: np.random.Generator, subtask: oracle.Subtask, at_once: bool) -> oracle.Subtask:
    """With one of the rare waits; without interpolation if it is `at_once`, perhaps with very much of it if not."""
    num_interpolation = 25 if rng.integers(4) == 0 else subtask.num_interpolation
    return replace(
        subtask,
        end_offsets=(0, 0),
        num_settle=int(rng.choice(SETTLES)),
        num_interpolation=0 if at_once else num_interpolation,
        num_fixed=0 if at_once else subtask.num_fixed,
    )


def _random_constraints(rng: np.random.Generator, spec: Spec) -> Iterator[oracle.Sequential | oracle.Coordination]:
    """Up to twelve: of either kind, or of one alone. Coordinations are alike, so that chains of them can be."""
    scheme, noise = str(rng.choice(["replay", "transform", "translate"])), bool(rng.integers(2))
    share = float(rng.choice([0.0, 0.5, 1.0]))
    for _ in range(int(rng.integers(1, 13))):
        first, second = rng.permutation(spec.eefs)[:2].tolist()
        pair = tuple((eef, int(rng.integers(len(spec.subtasks[eef])))) for eef in (first, second))
        if rng.uniform() < share:
            yield oracle.Coordination(pair, scheme, 0.05 * noise, 0.1 * noise, bool(rng.integers(2)))
        else:
            yield oracle.Sequential(*pair, int(rng.choice(WAITS)))


def _random_demo(rng: np.random.Generator, counts: dict[str, int], rate: float) -> oracle.Demo:
    """Segments of one to five steps; the gripper closes at a fraction `rate` of the steps."""
    ends = {eef: (rng.integers(1, 6, count).cumsum() + 1).tolist() for eef, count in counts.items()}
    num_steps = max(of_eef[-1] for of_eef in ends.values())
    return oracle.Demo(
        eef={eef: random_poses(rng, (num_steps,), 0.6) for eef in counts},
        target={eef: random_poses(rng, (num_steps,), 0.6) for eef in counts},
        gripper={eef: rng.choice([-1.0, 1.0], (num_steps, GRIPPER_DIM), p=[1.0 - rate, rate]) for eef in counts},
        objects={name: random_poses(rng, (num_steps,), 0.6) for name in OBJECTS},
        # A signal rises in the last step of its subtask; the first step of a demo does not count as a rise.
        signals={eef: [np.arange(num_steps) >= end - 1 for end in of_eef[:-1]] for eef, of_eef in ends.items()},
    )
