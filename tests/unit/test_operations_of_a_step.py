"""Number of torch operations of planning and of actions: on a CPU, each costs microseconds, whatever the number of envs."""

# N envs, D demos

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from isaaclab_mimic_ext.config import SubTaskConfig
from isaaclab_mimic_ext.envs.tabletop import RelativeActions
from isaaclab_mimic_ext.rng import Draws
from tests.planners import CPU, make_planner

NUM_ENVS = 3
POSES = torch.eye(4).expand(NUM_ENVS, 1, 4, 4)


class _Count(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.num_operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.num_operations += 1
        return func(*args, **(kwargs or {}))


def num_operations(call: Callable[[], Any]) -> int:
    call()  # The first call may create buffers.
    with _Count() as count:
        call()
    return count.num_operations


def test_plain_step_of_the_planner_needs_no_torch_operation() -> None:
    subtask = SubTaskConfig("object", selection_strategy="nearest_neighbor_object")
    planner = make_planner({"franka": [subtask]}, *torch.eye(4).repeat(2, 5, 1, 1), NUM_ENVS)
    every_env = torch.arange(NUM_ENVS)
    planner.begin_trials(every_env, Draws(0, every_env), POSES)
    rows = every_env, torch.zeros_like(every_env)
    assert num_operations(lambda: planner.begin_segments(*rows, POSES, POSES)) <= 6
    assert num_operations(planner.waypoints) == num_operations(planner.advance) == 0


def test_actions_of_all_envs_need_few_torch_operations() -> None:
    control = RelativeActions(1, CPU)
    gripper, noise, actions = torch.ones(NUM_ENVS, 1, 1), torch.zeros(NUM_ENVS, 1, 6), torch.zeros(NUM_ENVS, 7)
    assert num_operations(lambda: control.noisy_and_clean(POSES, POSES, gripper, noise)) <= 10
    assert num_operations(lambda: control.to_targets(actions, POSES)) <= 7
