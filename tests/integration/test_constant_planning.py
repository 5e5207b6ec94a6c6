"""Planning for several end effectors under constraints executes the same Python work for any number of envs."""

# N envs, E end effectors

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.rng import Draws
from tests.golden.specs import OBJECTS, Spec, random_poses, random_spec
from tests.integration.test_constant_work import _Count, _differences

CPU = torch.device("cpu")
NARROW, WIDE = 3, 64
SEEDS = [seed for seed in range(2, 60, 3) if random_spec(seed).coordinations and random_spec(seed).sequentials][:4]
"""Tasks of three end effectors with constraints of both kinds."""


def _count_trial(spec: Spec, num_envs: int) -> list[tuple[Counter[Any], Counter[Any]]]:
    """Lines and C calls of every step of a trial that all envs run alike."""
    rng = np.random.default_rng(3)
    eef = torch.from_numpy(random_poses(rng, (len(spec.eefs),), spec.rotation)).float().expand(num_envs, -1, 4, 4)
    objects = torch.from_numpy(random_poses(rng, (len(OBJECTS),), spec.rotation)).float().expand(num_envs, -1, 4, 4)
    planner = spec.planner(num_envs, CPU)
    everywhere = torch.arange(num_envs)
    planner.begin_trials(everywhere, Draws(spec.config.seed, torch.zeros_like(everywhere)), eef)
    due = torch.zeros(num_envs, len(spec.eefs), dtype=torch.bool)
    due[:, list(planner.first_eefs)] = True
    ended = torch.zeros(num_envs, dtype=torch.bool)
    counts = []
    while not ended.all():
        assert (due == due[0]).all()
        with _Count() as count:
            if due.any():
                planner.begin_segments(*torch.nonzero(due, as_tuple=True), eef, objects)
            planner.waypoints()
            due, ended = planner.advance()
        counts.append((count.lines, count.calls))
    return counts


@pytest.mark.parametrize("seed", SEEDS)
def test_python_work_of_planning_does_not_depend_on_the_number_of_envs(seed: int) -> None:
    spec = random_spec(seed)
    _count_trial(spec, 2)  # Work that is done only once, such as loading kernels.
    narrow, wide = (_count_trial(spec, num_envs) for num_envs in (NARROW, WIDE))
    assert len(narrow) == len(wide) > 20
    for step, (few, many) in enumerate(zip(narrow, wide, strict=True)):
        assert sum(few[0].values()) > 20
        assert not _differences(few[0], many[0]), f"step {step}: lines that depend on the number of envs"
        assert not _differences(few[1], many[1]), f"step {step}: calls that depend on the number of envs"
