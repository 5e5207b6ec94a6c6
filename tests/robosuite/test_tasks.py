"""All included tasks of robosuite: their source demos replay, and the compiled control step agrees with robosuite's own."""

from pathlib import Path

import pytest
import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.datasets.replay import read_demos, replay
from isaaclab_mimic_ext.envs.engine_checks import outputs_of
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.folders import available_tasks
from isaaclab_mimic_ext.task.robosuite import ENGINE
from tests.robosuite.conftest import MakeEnv

TASKS = [name for name in available_tasks() if load_task(name).engine == ENGINE]
NUM_STEPS, NUM_SUCCESS_STEPS = 24, 5
TOLERANCE = 1e-6


@pytest.mark.parametrize("name", TASKS)
def test_compiled_control_agrees_with_robosuite(name: str, make: MakeEnv) -> None:
    results = []
    for control in ("own", "compiled"):
        env, trials = make(2, 1, name, control), torch.tensor([3, 8])
        env.reset(torch.arange(2), Draws(1, trials))
        for step in range(NUM_STEPS):
            env.step(torch.sin((trials[:, None] + step * torch.arange(1, env.action_dim + 1)).float()))
        results.append(outputs_of(env))
        env.close()
    own, compiled = results
    for name, value in own.items():
        torch.testing.assert_close(compiled[name], value, atol=TOLERANCE, rtol=TOLERANCE, msg=name)


@pytest.mark.parametrize("name", TASKS)
def test_source_demos_solve_their_task_when_they_are_replayed(name: str, make: MakeEnv) -> None:
    sources = Path(mimic.__file__).parents[1] / "tasks" / name / "data" / "source_demos.hdf5"
    env = make(2, 2, name)
    demos = read_demos(sources, ["demo_0", "demo_9"])
    held = replay(env, demos, before_step=lambda *_: None)
    assert (held >= NUM_SUCCESS_STEPS).all()
