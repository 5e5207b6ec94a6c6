"""Every reader takes chosen demos, and one bad demo costs one demo."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.datasets.convert.prepare import PrepareOptions, prepare_dataset
from isaaclab_mimic_ext.datasets.convert.robomimic import export_robomimic
from isaaclab_mimic_ext.datasets.inspect import inspect_dataset
from isaaclab_mimic_ext.datasets.merge import merge_datasets
from isaaclab_mimic_ext.datasets.replay import read_demos
from isaaclab_mimic_ext.datasets.split import split_dataset
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.files.hdf5 import text_of
from isaaclab_mimic_ext.files.selection import LeftOut, choose_demos
from isaaclab_mimic_ext.files.stream import read_facts
from isaaclab_mimic_ext.learn.results import horizon_from_demos
from tests.builders import make_source_file
from tests.left_out import left_out

NAMES = [f"demo_{index}" for index in range(4)]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = make_source_file(tmp_path / "demo.hdf5", num_demos=4)
    with h5py.File(path, "r+") as file:
        file["mask/good"] = np.array(["demo_0", "demo_2"], dtype="S")
    return path


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (None, NAMES),
        ([], NAMES),
        ("demo_2", ["demo_2"]),
        (["demo_3", "demo_0"], ["demo_0", "demo_3"]),
        ("good", ["demo_0", "demo_2"]),
        (["good", "demo_1"], ["demo_0", "demo_1", "demo_2"]),
        (["-demo_1"], ["demo_0", "demo_2", "demo_3"]),
        (["-good"], ["demo_1", "demo_3"]),
        (["good", "-demo_2"], ["demo_0"]),
    ],
)
def test_demos_are_chosen_by_name_and_by_mask(chosen: list[str] | str | None, names: list[str]) -> None:
    assert choose_demos("a.hdf5", NAMES, {"good": ["demo_0", "demo_2"]}, chosen) == names


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (["goot"], r"'goot' is neither a demo nor a mask of .*did you mean 'good'"),
        (["-demo_9"], "'demo_9' is neither a demo nor a mask"),
        (["demo_1", "-demo_1"], "must choose at least one demo"),
    ],
)
def test_wrong_choices_are_refused(dataset: Path, chosen: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=f"demos: {message}"):
        read_facts(dataset, chosen)


def test_every_reader_takes_chosen_demos(dataset: Path, tmp_path: Path) -> None:
    assert inspect_dataset(dataset, demos="good").num_demos == 2
    assert validate_dataset(dataset, demos=["-demo_3"]).num_demos == 3
    split = split_dataset(dataset, 0.5, demos=["-demo_3"])
    assert "demo_3" not in (*split.train, *split.valid)
    assert prepare_dataset(dataset, tmp_path / "prepared.hdf5", PrepareOptions(), demos="good").num_demos == 2
    assert export_robomimic(dataset, tmp_path / "exported.hdf5", demos="demo_1").num_demos == 1


def test_chosen_demos_are_written_to_a_file_with_their_masks(dataset: Path, tmp_path: Path) -> None:
    split_dataset(dataset, 0.5)
    merged = merge_datasets([dataset], tmp_path / "chosen.hdf5", demos=["-demo_1"])
    assert merged.num_demos == 3
    with h5py.File(dataset) as before, h5py.File(tmp_path / "chosen.hdf5") as after:
        origins = [text_of(after[f"data/demo_{index}"].attrs["merged_from"]) for index in range(3)]
        assert [origin.split(": ")[1] for origin in origins] == ["demo_0", "demo_2", "demo_3"]
        assert [text_of(name) for name in after["mask/good"]] == ["demo_0", "demo_1"]
        assert len(after["mask/train"]) + len(after["mask/valid"]) == 3
        assert np.array_equal(after["data/demo_1/actions"], before["data/demo_2/actions"])
        assert {text_of(name) for name in before["mask/good"]} == {"demo_0", "demo_2"}


def test_prepared_masks_name_only_written_demos(dataset: Path, tmp_path: Path) -> None:
    prepare_dataset(dataset, tmp_path / "prepared.hdf5", PrepareOptions(), demos="-demo_2")
    with h5py.File(tmp_path / "prepared.hdf5") as file:
        assert [text_of(name) for name in file["mask/good"]] == ["demo_0"]


def _empty(data: h5py.Group) -> None:
    del data["demo_1"]
    data.create_group("demo_1").attrs["num_samples"] = 0


def _link(data: h5py.Group) -> None:
    del data["demo_1"]
    data["demo_1"] = h5py.ExternalLink("moved_away.hdf5", "data/demo_1")


def _no_steps(data: h5py.Group) -> None:
    num_actions = data["demo_1/actions"].shape[1]
    del data["demo_1/actions"]
    data["demo_1/actions"] = np.zeros((0, num_actions), np.float32)


READERS: dict[str, Callable[[Path, Path], object]] = {
    "split": lambda path, output: split_dataset(path, 0.5),
    "inspect": lambda path, output: inspect_dataset(path),
    "merge": lambda path, output: merge_datasets([path], output, demos=["good", "demo_1"]),
    "prepare": lambda path, output: prepare_dataset(path, output, PrepareOptions()),
    "export": lambda path, output: export_robomimic(path, output),
    "replay": lambda path, output: read_demos(path),
}


@pytest.mark.parametrize("damage", [_empty, _link, _no_steps], ids=["empty", "link", "no-steps"])
@pytest.mark.parametrize("reader", READERS)
def test_one_bad_demo_costs_one_demo(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, reader: str, damage: Callable[[h5py.Group], None]
) -> None:
    with h5py.File(dataset, "r+") as file:
        damage(file["data"])
    _, message = left_out(lambda: READERS[reader](dataset, tmp_path / "out.hdf5"), caplog)
    assert message.startswith(f"{dataset}: demo_1 is left out: ")
    if (tmp_path / "out.hdf5").exists():
        with h5py.File(tmp_path / "out.hdf5") as file:
            assert len(file["data"]) == (2 if reader == "merge" else 3)


@pytest.mark.parametrize("reader", READERS)
def test_file_without_a_good_demo_is_one_error(dataset: Path, tmp_path: Path, reader: str) -> None:
    with h5py.File(dataset, "r+") as file:
        for demo in file["data"].values():
            del demo["actions"]
    with pytest.raises(SourceDataError, match=r"demo_0: .*none of the [34] demos can be used"):
        READERS[reader](dataset, tmp_path / "out.hdf5")
    assert not (tmp_path / "out.hdf5").exists()


def test_groups_that_are_no_demos_are_named(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    with h5py.File(dataset, "r+") as file:
        file["data"].create_group("metadata").attrs["operator"] = "a"
        file["data"]["camera_info"] = np.zeros(3)
    summary, message = left_out(lambda: inspect_dataset(dataset), caplog)
    assert summary.num_demos == 4
    assert "metadata is left out: is not a demo" in message
    assert horizon_from_demos(dataset) > 0


def test_the_demo_that_differs_from_the_others_is_left_out_even_if_it_is_the_first(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with h5py.File(dataset, "r+") as file:
        del file["data/demo_0/obs/eef_pos"]
    _, message = left_out(lambda: prepare_dataset(dataset, tmp_path / "out.hdf5", PrepareOptions()), caplog)
    assert "demo_0 is left out: obs/eef_pos: not found, but demo_1 has this dataset" in message


def test_data_of_other_programs_are_copied(dataset: Path, tmp_path: Path) -> None:
    with h5py.File(dataset, "r+") as file:
        file["calibration/camera"] = np.eye(3)
    prepare_dataset(dataset, tmp_path / "out.hdf5", PrepareOptions())
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert np.array_equal(file["calibration/camera"], np.eye(3))
        assert json.loads(file["data"].attrs["env_args"])


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "I/O error"), OSError(errno.EMFILE, "Too many files")])
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_fault_of_the_machine_is_not_a_fault_of_a_demo(error: Exception, is_wrapped: bool) -> None:
    def read(name: str) -> str:
        if name == "demo_1":
            if is_wrapped:
                raise SourceDataError("demo.hdf5: cannot be read") from error
            raise error
        return name

    with pytest.raises(SourceDataError if is_wrapped else type(error)):
        list(LeftOut("demo.hdf5").usable(NAMES, read))
