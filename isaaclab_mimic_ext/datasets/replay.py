"""Recorded actions once more, in as many envs as there are demos."""

# N demos (one an env), T steps of the longest

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from isaaclab_mimic_ext.datasets.demos import RecordedDemo
from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors
from isaaclab_mimic_ext.errors import SourceDataError

BeforeStep = Callable[[Tensor, Tensor], None]
"""Called with the step (N,), and the actions (N, A) that follow; rows of demos that are over mean nothing."""


def replay(env: MimicEnv, demos: Sequence[RecordedDemo], before_step: BeforeStep) -> Tensor:
    """Put each env into its demo's initial state, apply its actions, and say how long it has been successful at the end.

    Returns:
        (N,) int64, how many steps up to the end the task was solved in a row.

    Raises:
        SourceDataError: a demo's actions are not this env's.
        ConfigError: its initial state lacks something of the scene.
    """
    actions, lengths = _padded_actions(env, demos)
    env.reset_to(_stacked([demo.tree("initial_state", 0) for demo in demos]), torch.arange(len(demos), device=env.device))
    steps_successful = torch.zeros_like(lengths)
    for step in range(actions.shape[1]):
        running = step < lengths
        before_step(torch.full_like(lengths, step), actions[:, step])
        env.step(actions[:, step], running.nonzero().squeeze(-1))
        counted = torch.where(env.success(), steps_successful + 1, 0)
        steps_successful = torch.where(running, counted, steps_successful)
    return steps_successful


def _padded_actions(env: MimicEnv, demos: Sequence[RecordedDemo]) -> tuple[Tensor, Tensor]:
    for demo in demos:
        found = demo.leaves["actions"].shape[1]
        if found != env.action_dim:
            raise SourceDataError(
                f"{demo.name}: actions have {found} entries, expected {env.action_dim}: made for another action space; "
                "choose the task that the file was recorded with"
            )
    rows = [torch.from_numpy(demo.leaves["actions"]).float().to(env.device) for demo in demos]
    lengths = torch.tensor([len(row) for row in rows], device=env.device)
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths


def _stacked(trees: list[NestedTensors]) -> NestedTensors:
    first = trees[0]
    return {
        key: _stacked([tree[key] for tree in trees]) if isinstance(value, dict) else torch.stack([t[key] for t in trees])
        for key, value in first.items()
    }
