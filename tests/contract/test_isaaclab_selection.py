"""Selection strategies compared with those of Isaac Lab 2.3: the same demos, in the same order."""

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.config import SubTaskConfig
from tests.contract.isaaclab_side.messages import Selection
from tests.golden import oracle
from tests.golden.specs import random_poses
from tests.planners import make_planner, selected_demos

pytestmark = pytest.mark.isaaclab

NUM_SCENES = 150
ACOS_ERROR = 2e-3
"""Tolerance [rad]: Isaac Lab computes angles by `acos` in single precision, with errors up to 5e-4 rad near 0 and pi, here
multiplied by a weight of up to 3."""


def random_selections(strategy: str, rotation: float) -> list[Selection]:
    rng = np.random.default_rng([int(100 * rotation), len(strategy)])
    selections = []
    for _ in range(NUM_SCENES):
        num_demos = int(rng.integers(1, 12))
        kwargs = {
            "nn_k": int(rng.integers(1, 14)),
            "pos_weight": float(rng.choice([0.5, 1.0, 2.0])),
            "rot_weight": float(rng.choice([0.0, 1.0, 3.0])),
        }
        poses = random_poses(rng, (2, num_demos + 1), rotation).astype(np.float32)
        now, demos = poses[:, 0], poses[:, 1:]
        selections.append(Selection(strategy, {} if strategy == "random" else kwargs, *now, *demos))
    return selections


def our_order(selection: Selection) -> list[int]:
    """Demos in the order of the random number: element i is selected by numbers in the i-th of equal intervals."""
    eef_now, object_now = (torch.from_numpy(pose) for pose in (selection.eef_pose, selection.object_pose))
    demo_eef, demo_object = torch.from_numpy(selection.demo_eef_pose), torch.from_numpy(selection.demo_object_pose)
    subtask = SubTaskConfig("object", selection_strategy=selection.strategy, selection_strategy_kwargs=selection.kwargs)
    num_demos = len(demo_eef)
    most = num_demos if selection.strategy == "random" else min(selection.kwargs["nn_k"], num_demos)
    planner = make_planner({"franka": [subtask]}, demo_eef, demo_object, most)
    rows = torch.arange(most), torch.zeros(most, dtype=torch.int64)
    return selected_demos(planner, rows, (torch.arange(most) + 0.5) / most, (eef_now, object_now))


def distances(selection: Selection) -> list[float]:
    """Distance of each demo in double precision, computed by the oracle."""
    found = []
    for eef, pose in zip(selection.demo_eef_pose.astype(float), selection.demo_object_pose.astype(float), strict=True):
        pair = pose, selection.object_pose.astype(float)
        if selection.strategy == "nearest_neighbor_robot_distance":
            pair = selection.object_pose.astype(float) @ np.linalg.inv(pose) @ eef, selection.eef_pose.astype(float)
        weights = selection.kwargs["pos_weight"], selection.kwargs["rot_weight"]
        found.append(weights[0] * oracle.distance(*pair) + weights[1] * oracle.angle_between(*pair))
    return found


@pytest.mark.parametrize("rotation", [0.0, 0.6, 3.1])
@pytest.mark.parametrize("strategy", ["nearest_neighbor_object", "nearest_neighbor_robot_distance"])
def test_nearest_demos_and_their_order_equal_those_of_isaac_lab(strategy, rotation, isaaclab_process):
    selections = random_selections(strategy, rotation)
    theirs = isaaclab_process.call("selections", "orders", selections)
    num_ties = 0
    for selection, order in zip(selections, theirs, strict=True):
        ours = our_order(selection)
        assert len(ours) == len(order) == min(selection.kwargs["nn_k"], len(selection.demo_eef_pose))
        exact = distances(selection)
        for mine, other in zip(ours, order, strict=True):
            assert mine == other or abs(exact[mine] - exact[other]) < ACOS_ERROR
        num_ties += ours != order
    assert num_ties <= 0.03 * NUM_SCENES


def test_random_strategy_selects_among_all_demos_as_in_isaac_lab(isaaclab_process):
    selections = random_selections("random", 0.6)
    assert [our_order(selection) for selection in selections] == isaaclab_process.call("selections", "orders", selections)
    assert {len(our_order(selection)) for selection in selections} == set(range(1, 12))
