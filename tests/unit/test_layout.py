"""Trees of tensors as rows of numbers, and back."""

# N envs, T steps

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.base import NestedTensors
from isaaclab_mimic_ext.errors import RecorderError
from isaaclab_mimic_ext.run.episodes import Field, unpack
from isaaclab_mimic_ext.run.rows import RowBuffer, RowLayout

NUM_ENVS, NUM_STEPS = 5, 7


def random_tree(seed: int) -> NestedTensors:
    generator = torch.Generator().manual_seed(seed)
    return {
        "obs": {
            "joint_pos": torch.rand(NUM_ENVS, 9, generator=generator),
            "camera": torch.randint(0, 256, (NUM_ENVS, 6, 8, 3), generator=generator, dtype=torch.uint8),
            "depth": torch.rand(NUM_ENVS, 6, 8, generator=generator),
            "contact": torch.rand(NUM_ENVS, 4, generator=generator) > 0.5,
            "policy": {"count": torch.randint(0, 9, (NUM_ENVS, 2), generator=generator)},
        },
        "rewards": torch.rand(NUM_ENVS, generator=generator),
        "flag": torch.rand(NUM_ENVS, generator=generator) > 0.5,
        "precise": torch.rand(NUM_ENVS, 2, generator=generator, dtype=torch.float64),
    }


def assert_same(found: np.ndarray, expected: torch.Tensor) -> None:
    kept = expected.float() if expected.dtype.is_floating_point else expected
    assert found.dtype == kept.numpy().dtype
    assert np.array_equal(found, kept.numpy())


def test_tree_with_images_and_bools_survives_packing() -> None:
    tree = random_tree(0)
    layout = RowLayout("before", tree)
    rows = {name: row.numpy() for name, row in layout.pack(tree).items()}
    assert all(row.shape == (NUM_ENVS, layout.widths[name]) for name, row in rows.items())
    found = unpack(layout.fields, rows)
    assert list(found) == list(trees.flatten(tree))
    for path, leaf in trees.flatten(tree).items():
        assert_same(found[path], leaf)


def test_field_beyond_the_rows_is_refused() -> None:
    fields = (Field("actions", (2,), "low", 3, 5),)
    for rows in ({"low": np.zeros((4, 4))}, {}):
        with pytest.raises(RecorderError, match=r"actions: columns 3 to 4 must be in the rows low .* overwrite=true"):
            unpack(fields, rows)


def test_names_of_rows_contain_the_layout_and_the_dtype() -> None:
    names = set(RowLayout("before", random_tree(0)).widths) | set(RowLayout("after", random_tree(0)).widths)
    assert len(names) == 2 * len({"float32", "uint8", "bool", "int64"})


def test_episode_survives_the_buffer_with_different_steps_per_env() -> None:
    recorded = [random_tree(seed) for seed in range(NUM_STEPS)]
    layout = RowLayout("before", recorded[0])
    buffer = RowBuffer(layout, NUM_ENVS, NUM_STEPS, torch.device("cpu"))
    lag = torch.arange(NUM_ENVS) % 3
    for index, tree in enumerate(recorded):
        buffer.write((torch.tensor(index) + lag) % NUM_STEPS, tree)
    env_ids = torch.tensor([4, 0, 2])
    taken = buffer.take(env_ids, NUM_STEPS)
    for row, env_id in enumerate(env_ids.tolist()):
        found = unpack(layout.fields, {name: rows[row] for name, rows in taken.items()})
        for path, values in found.items():
            order = [(step - int(lag[env_id])) % NUM_STEPS for step in range(NUM_STEPS)]
            assert_same(values, torch.stack([trees.flatten(recorded[index])[path][env_id] for index in order]))


def test_writing_some_envs_does_not_change_the_others() -> None:
    first, second = random_tree(1), random_tree(2)
    layout = RowLayout("initial", first)
    buffer = RowBuffer(layout, NUM_ENVS, 1, torch.device("cpu"))
    buffer.write_envs(torch.arange(NUM_ENVS), 0, first)
    buffer.write_envs(torch.tensor([1, 3]), 0, second)
    taken = unpack(layout.fields, {k: rows[:, 0] for k, rows in buffer.take(torch.arange(NUM_ENVS), 1).items()})
    written = torch.tensor([False, True, False, True, False])
    for path, values in taken.items():
        a, b = trees.flatten(first)[path], trees.flatten(second)[path]
        assert_same(values, torch.where(written.view(-1, *(1,) * (a.dim() - 1)), b, a))


def test_taken_rows_do_not_change_with_the_buffer() -> None:
    tree = random_tree(3)
    layout = RowLayout("before", tree)
    buffer = RowBuffer(layout, NUM_ENVS, NUM_STEPS, torch.device("cpu"))
    buffer.write(torch.zeros(NUM_ENVS, dtype=torch.int64), tree)
    for env_ids in (torch.arange(NUM_ENVS), torch.tensor([2])):
        taken = buffer.take(env_ids, 1)
        before = {name: rows.copy() for name, rows in taken.items()}
        buffer.write(torch.zeros(NUM_ENVS, dtype=torch.int64), random_tree(4))
        assert all(np.array_equal(taken[name], before[name]) for name in taken)
        buffer.write(torch.zeros(NUM_ENVS, dtype=torch.int64), tree)
