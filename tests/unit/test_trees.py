"""Nested dicts as flat ones, and back."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from isaaclab_mimic_ext import trees

TREE = {"b": {"y": torch.arange(3), "x": {"deep": torch.arange(6).reshape(3, 2)}}, "a": torch.tensor([7, 8, 9])}


def test_leaves_are_named_by_their_paths_in_the_order_of_the_dicts() -> None:
    assert list(trees.flatten(TREE)) == ["b/y", "b/x/deep", "a"]
    assert list(trees.flatten(TREE, separator=".")) == ["b.y", "b.x.deep", "a"]


def test_values_of_leaves_have_the_order_of_their_paths() -> None:
    assert all(one is other for one, other in zip(trees.leaf_values(TREE), trees.flatten(TREE).values(), strict=True))
    assert trees.leaf_values({"articulation": {}, "rigid_object": {"cube": TREE["a"]}}) == [TREE["a"]]


def test_unflatten_is_the_inverse_of_flatten() -> None:
    found = trees.unflatten(trees.flatten(TREE))
    assert list(found) == ["b", "a"] and list(found["b"]) == ["y", "x"]
    assert found["b"]["x"]["deep"] is TREE["b"]["x"]["deep"]


def test_empty_branches_have_no_leaves_and_survive_a_map() -> None:
    tree = {"articulation": {}, "rigid_object": {"cube": 1}}
    assert trees.flatten(tree) == {"rigid_object/cube": 1}
    assert trees.map(lambda leaf: leaf + 1, tree) == {"articulation": {}, "rigid_object": {"cube": 2}}


def test_the_caller_decides_what_is_a_branch() -> None:
    config = {"events": [{"range": [0, 1]}, {}], "seed": 3, "notes": {}}
    nonempty = trees.flatten(config, ".", lambda value: isinstance(value, dict | list) and bool(value))
    assert nonempty == {"events.0.range.0": 0, "events.0.range.1": 1, "events.1": {}, "seed": 3, "notes": {}}


def test_hdf5_groups_are_trees_of_datasets(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "file.hdf5", "w") as file:
        file["obs/policy/eef_pos"] = np.zeros((4, 3))
        file["actions"] = np.zeros((4, 7))
        file.create_group("states")
        assert {path: leaf.shape for path, leaf in trees.flatten(file).items()} == {
            "actions": (4, 7),
            "obs/policy/eef_pos": (4, 3),
        }


def test_subtree_keeps_only_the_leaves_of_one_group() -> None:
    leaves = {"states/a": 1, "states_old/b": 2, "states": 3, "states/c/d": 4}
    assert trees.subtree(leaves, "states") == {"a": 1, "c/d": 4}


def test_map_combines_leaves_at_the_same_path() -> None:
    one, other = {"a": {"b": 1}, "c": 2}, {"c": 20, "a": {"b": 10}}
    assert trees.map(lambda x, y: x + y, one, other) == {"a": {"b": 11}, "c": 22}
    with pytest.raises(KeyError):
        trees.map(lambda x, y: x + y, one, {"a": {}, "c": 0})


def test_map_with_path_names_each_leaf() -> None:
    assert trees.map_with_path(lambda path, leaf: f"{path}={leaf}", {"a": {"b": 1}, "c": 2}) == {
        "a": {"b": "a/b=1"},
        "c": "c=2",
    }


def test_take_returns_rows_of_every_leaf() -> None:
    assert trees.take(TREE, 1)["b"]["x"]["deep"].tolist() == [2, 3]
    assert trees.take(TREE, slice(1))["a"].tolist() == [7]
    assert trees.take(TREE, torch.tensor([2, 0]))["a"].tolist() == [9, 7]


def test_stacking_all_rows_restores_the_tree() -> None:
    found = trees.stack([trees.take(TREE, row) for row in range(trees.num_rows(TREE))])
    for path, leaf in trees.flatten(TREE).items():
        assert torch.equal(trees.flatten(found)[path], leaf), path
