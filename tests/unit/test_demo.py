"""A demo of a file: opened, read completely or partially, and refused with its name."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.demo import Demo, is_stepwise, open_demo, read_demo
from tests.builders import make_source_file

POSE = "states/rigid_object/ketchup/root_pose"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_source_file(tmp_path / "demo.hdf5", num_demos=2)


def demo_with(**leaves: np.ndarray) -> Demo:
    return Demo("file.hdf5", "demo_3", {name.replace("__", "/"): leaf for name, leaf in leaves.items()}, {})


def test_opened_demo_has_shapes_without_reading_data(path: Path) -> None:
    with h5py.File(path) as file:
        demo = open_demo(file, "demo_1")
        assert all(isinstance(leaf, h5py.Dataset) for leaf in demo.leaves.values())
        assert demo.num_steps == len(file["data/demo_1/actions"])
        assert (demo.place, demo.attributes["seed"], demo.success) == (f"{path}: demo_1", 1, True)


def test_read_demo_outlives_its_file(path: Path) -> None:
    with h5py.File(path) as file:
        demo, expected = read_demo(file, "demo_0"), file[f"data/demo_0/{POSE}"][()]
    np.testing.assert_array_equal(demo.leaves[POSE], expected)
    np.testing.assert_array_equal(demo.below("states")[POSE.removeprefix("states/")], expected)


def test_only_requested_leaves_and_groups_are_read(path: Path) -> None:
    with h5py.File(path) as file:
        demo = read_demo(file, "demo_0", ["actions", "obs/eef_pos", "initial_state"])
    assert {name.split("/")[0] for name in demo.leaves} == {"actions", "obs", "initial_state"}
    assert [name for name in demo.leaves if name.startswith("obs/")] == ["obs/eef_pos"]


def test_group_at_a_step_is_a_tree_of_tensors(path: Path) -> None:
    with h5py.File(path) as file:
        demo = read_demo(file, "demo_0")
    pose = demo.tree("states", 5)["rigid_object"]["ketchup"]["root_pose"]
    assert torch.equal(pose, torch.from_numpy(demo.leaves[POSE][5]))


def test_quaternions_are_converted_only_on_request(tmp_path: Path) -> None:
    demos = {}
    for version in (0, 1):
        with h5py.File(make_source_file(tmp_path / f"{version}.hdf5", format_version=version)) as file:
            demos[version] = [read_demo(file, "demo_0", as_xyzw=as_xyzw).leaves[POSE] for as_xyzw in (False, True)]
    np.testing.assert_array_equal(demos[0][1], demos[1][1])
    np.testing.assert_array_equal(demos[1][0], demos[1][1])
    np.testing.assert_array_equal(demos[0][0][:, 3:], np.roll(demos[1][0][:, 3:], 1, axis=-1))


def test_changed_data_is_refused_unless_verification_is_off(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["data/demo_0"].attrs["digest"] = "of other data"
        with pytest.raises(SourceDataError, match="demo_0: the data does not match its digest"):
            read_demo(file, "demo_0")
        assert read_demo(file, "demo_0", ["actions"], verify=False).num_steps


def test_empty_datasets_are_left_out(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["data/demo_0/obs/nothing"] = h5py.Empty("f4")
        assert "obs/nothing" in open_demo(file, "demo_0").leaves
        assert "obs/nothing" not in read_demo(file, "demo_0").leaves


@pytest.mark.parametrize(
    ("leaves", "message"),
    [
        (
            {"actions": np.zeros((4, 7)), "obs__eef_pos": np.zeros((5, 3))},
            r"obs/eef_pos: must have 4 rows, one per action \(got shape \(5, 3\)\)",
        ),
        (
            {"actions": np.zeros((4, 7)), "rewards": np.float32(1)},
            r"rewards: must have 4 rows, one per action \(got shape \(\)\)",
        ),
        ({"actions": np.zeros((0, 7))}, "has no steps"),
    ],
)
def test_leaves_of_different_lengths_are_refused(leaves: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(SourceDataError, match=f"file.hdf5: demo_3: {message}"):
        demo_with(**leaves).check_lengths()


def test_leaves_that_are_not_stepwise_may_have_any_length() -> None:
    demo_with(actions=np.zeros((4, 7)), initial_state__x=np.zeros((1, 2)), note=np.zeros(9)).check_lengths()
    assert [is_stepwise(each) for each in ("obs/x", "rewards", "initial_state/x", "note")] == [True, True, False, False]


@pytest.mark.parametrize("value", ["perhaps", 2, np.ones(2)])
def test_success_that_is_neither_true_nor_false_is_refused(value: object) -> None:
    with pytest.raises(SourceDataError, match="demo_3: attribute 'success': must be"):
        _ = Demo("file.hdf5", "demo_3", {}, {"success": value}).success
    assert Demo("file.hdf5", "demo_3", {}, {}).success is None
