"""What the end effectors of a trial share: source demos by subtask index, demos and transforms by coordination.

Several may begin in the same step. They then choose in the order of their numbers, each knowing what those before chose;
in batch, every row points to the row that chooses for it, and the pointers are followed.
"""

# N envs, E end effectors, S subtasks, C groups of coordinated subtasks,
# R rows (an env and an end effector), by env and then end effector

from dataclasses import dataclass

import torch
from torch import Tensor

from isaaclab_mimic_ext.plan.constraints import ConstraintTable


@dataclass
class Sharers:
    """Rows that begin a subtask now.

    Attributes:
        env_ids, eef_ids, subtask: (R,) int64.
        group: (R,) int64, of coordinated subtasks; C: none.
        leader: (R,) int64, the first row of the same env and group; the row itself without a group.
        is_known: (R,) bool, the group began in an earlier step.
    """

    env_ids: Tensor
    eef_ids: Tensor
    subtask: Tensor
    group: Tensor
    leader: Tensor
    is_known: Tensor


class SharedChoices:
    """The shared part of N trials.

    Args:
        by_index: whoever begins subtask i first chooses for subtask i of all.
    """

    def __init__(self, table: ConstraintTable, num_envs: int, num_subtasks: int, by_index: bool):
        device = table.group.device
        self.table, self.by_index = table, by_index
        self._num_eefs = len(table.group)
        self._demo_of_index = torch.full((num_envs, num_subtasks), -1, dtype=torch.int64, device=device)
        # The last column is nobody's, and stays at -1.
        self.demo_of_group = torch.full((num_envs, table.num_groups + 1), -1, dtype=torch.int64, device=device)
        """(N, C + 1) int64, -1 before one of the group's subtasks began."""
        num_keys = max(num_subtasks, table.num_groups + 1)
        self._first_row = torch.zeros(num_envs * num_keys, dtype=torch.int64, device=device)
        self._transform_of_group = torch.zeros(num_envs, table.num_groups + 1, 4, 4, device=device)

    def forget(self, env_ids: Tensor) -> None:
        """New trials begin in `env_ids`."""
        self._demo_of_index[env_ids] = -1
        self.demo_of_group[env_ids] = -1

    def sharers(self, env_ids: Tensor, eef_ids: Tensor, subtask: Tensor) -> Sharers:
        """The rows with what they need to know of each other."""
        group = self.table.group[eef_ids, subtask]
        rows = torch.arange(len(env_ids), device=env_ids.device)
        is_grouped = group < self.table.num_groups
        leader = torch.where(is_grouped, self._first_alike(env_ids, group, self.table.num_groups + 1), rows)
        return Sharers(env_ids, eef_ids, subtask, group, leader, self.demo_of_group[env_ids, group] >= 0)

    def choose(self, sharers: Sharers, own: Tensor, chooses_anew: Tensor) -> Tensor:
        """The demo of each row, (R,), given what it would choose alone, and whether it does not keep the one in use."""
        env_ids, group, leader = sharers.env_ids, sharers.group, sharers.leader
        rows = torch.arange(len(env_ids), device=env_ids.device)
        # What has been chosen already: by the group, or for this subtask index (-1: nothing).
        shares = chooses_anew & self.by_index
        of_group = self.demo_of_group[env_ids, group]
        of_index = self._demo_of_index[env_ids, sharers.subtask].masked_fill_(~shares, -1)
        first_of_index = torch.where(shares, self._first_alike(env_ids, sharers.subtask, self._demo_of_index.shape[1]), rows)
        # Point every row to the row that chooses for it.
        is_leader = leader == rows
        demo = torch.where(of_index >= 0, of_index, own)
        chooser = torch.where(is_leader, torch.where(of_index >= 0, rows, first_of_index), leader)
        demo, chooser = torch.where(of_group >= 0, of_group, demo), torch.where(of_group >= 0, rows, chooser)
        # Follow the pointers: each round doubles the distance that they reach.
        for _ in range((self._num_eefs - 1).bit_length()):
            chooser = chooser[chooser]
        demo = demo[chooser]
        self._demo_of_index[env_ids, sharers.subtask] = torch.where(of_index >= 0, of_index, demo[first_of_index])
        self.demo_of_group[env_ids, group] = demo
        self.demo_of_group[:, -1].fill_(-1)
        return demo

    def share_transform(self, sharers: Sharers, of_group: Tensor, own: Tensor) -> Tensor:
        """The transform of each row, (R, 4, 4): its own, or its group's, made by whoever of the group began first.

        Args:
            of_group: (R, 4, 4), what the row would make for its group, were it the first.
            own: (R, 4, 4), of a row without a group.
        """
        env_ids, group = sharers.env_ids, sharers.group
        is_known = sharers.is_known[:, None, None]
        made = torch.where(is_known, self._transform_of_group[env_ids, group], of_group[sharers.leader])
        self._transform_of_group[env_ids, group] = made
        return torch.where((group < self.table.num_groups)[:, None, None], made, own)

    def _first_alike(self, env_ids: Tensor, key: Tensor, num_keys: int) -> Tensor:
        """For each row the first one with the same env and key, (R,)."""
        place = env_ids * num_keys + key
        rows = torch.arange(len(env_ids), device=env_ids.device)
        first = self._first_row[: len(self._demo_of_index) * num_keys].fill_(len(env_ids))
        return first.scatter_reduce_(0, place, rows, "amin")[place]
