"""Calls of Isaac Lab's selection strategies with the arguments that `DataGenerator` passes."""

from typing import Any
from unittest import mock

import torch
from isaaclab_mimic.datagen.datagen_info import DatagenInfo
from isaaclab_mimic.datagen.selection_strategy import make_selection_strategy

from tests.contract.isaaclab_side.messages import Selection


def orders(selections: list[Selection]) -> list[list[int]]:
    """Demos that each selection can return, in the order of the random integer."""
    return [_order(selection) for selection in selections]


def _order(selection: Selection) -> list[int]:
    order: list[int] = []
    num_choices = 1
    while len(order) < num_choices:

        def choose(low: int, high: int, size: tuple[int, ...]) -> torch.Tensor:
            nonlocal num_choices
            num_choices = high
            return torch.tensor([len(order)])

        with mock.patch("torch.randint", choose):
            order.append(int(_select(selection)))
    return order


def _select(selection: Selection) -> Any:
    pairs = zip(selection.demo_eef_pose, selection.demo_object_pose, strict=True)
    infos = [
        DatagenInfo(eef_pose=torch.tensor(eef)[None], object_poses={"object": torch.tensor(pose)[None]})
        for eef, pose in pairs
    ]
    return make_selection_strategy(selection.strategy).select_source_demo(
        eef_pose=torch.tensor(selection.eef_pose),
        object_pose=torch.tensor(selection.object_pose),
        src_subtask_datagen_infos=infos,
        **selection.kwargs,
    )
