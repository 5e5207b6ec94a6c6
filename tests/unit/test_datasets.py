"""Digest, split and summary of dataset files."""

import json
import os
import random
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.config import InspectDatasetCfg, SplitDatasetCfg
from isaaclab_mimic_ext.datasets.inspect import inspect_dataset, summary_as_json, summary_as_text
from isaaclab_mimic_ext.datasets.merge import merge_datasets
from isaaclab_mimic_ext.datasets.split import draw_split, split_dataset
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.files.hdf5 import natural_key
from isaaclab_mimic_ext.files.writing import store_path
from tests import requires
from tests.builders import OBJECT_NAMES, make_source_file
from tests.jobs import command


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_source_file(tmp_path / "demo.hdf5", num_demos=12)


def test_names_are_sorted_by_their_numbers():
    given = ["demo_10", "demo_2", "demo_1", "a", "demo", "demo_01", "1", "10", "9"]
    expected = ["1", "9", "10", "a", "demo", "demo_01", "demo_1", "demo_2", "demo_10"]
    for names in (given, given[::-1]):
        assert sorted(names, key=natural_key) == expected


@pytest.mark.slow
def test_digest_depends_only_on_the_data(tmp_path, dataset):
    digest = dataset_digest(dataset)
    with h5py.File(dataset, "r+") as file:
        file["data"].attrs["note"] = "attributes do not count"
    assert dataset_digest(dataset) == digest
    packed = tmp_path / "packed.hdf5"
    with h5py.File(dataset) as source, h5py.File(packed, "w") as file:
        source.visititems(lambda name, item: _copy_compressed(file, name, item))
    assert dataset_digest(packed) == digest


def _copy_compressed(file: h5py.File, name: str, item: h5py.Group | h5py.Dataset) -> None:
    if isinstance(item, h5py.Dataset):
        file.create_dataset(name, data=item[()], compression="gzip")


@pytest.mark.slow
def test_digest_changes_with_a_value_a_dtype_a_shape_and_a_name(dataset):
    digests = {dataset_digest(dataset)}
    with h5py.File(dataset, "r+") as file:
        file["data/demo_3/actions"][7, 0] += np.float32(1e-6)
    digests.add(dataset_digest(dataset))
    with h5py.File(dataset, "r+") as file:
        file.move("data/demo_3/actions", "data/demo_3/moves")
    digests.add(dataset_digest(dataset))
    for values in (np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32), np.zeros((3, 2), np.int32)):
        with h5py.File(dataset, "r+") as file:
            file.pop("extra", None)
            file["extra"] = values
        digests.add(dataset_digest(dataset))
    assert len(digests) == 6


def test_digest_reads_texts_scalars_and_empty_datasets(tmp_path):
    digests = []
    for text in ("left", "right", "left"):
        with h5py.File(tmp_path / "texts.hdf5", "w") as file:
            file["scalar"] = 3
            file["text"] = text
            file["nothing"] = h5py.Empty("f")
            file["no_rows"] = np.zeros((0, 4))
        digests.append(dataset_digest(tmp_path / "texts.hdf5"))
    assert digests[0] == digests[2] != digests[1]


def test_large_dataset_without_stored_values_is_refused_instead_of_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("data/demo_0/obs/front", shape=(10**6, 300, 300, 3), dtype="u1", chunks=(1, 300, 300, 3))
    with pytest.raises(SourceDataError, match="data/demo_0/obs/front: has 270,000 MB of values, none of which are stored"):
        dataset_digest(tmp_path / "a.hdf5")


def test_digest_does_not_depend_on_the_block_size(dataset, monkeypatch):
    digest = dataset_digest(dataset)
    monkeypatch.setattr("isaaclab_mimic_ext.files.digest._BLOCK_BYTES", 100)
    assert dataset_digest(dataset) == digest


def test_split_is_written_as_byte_strings_with_each_demo_once(dataset):
    split = split_dataset(dataset, 0.75, seed=1)
    with h5py.File(dataset) as file:
        train, valid = file["mask/train"][()], file["mask/valid"][()]
    assert train.dtype.kind == valid.dtype.kind == "S"
    assert tuple(train.astype(str)) == split.train
    assert tuple(valid.astype(str)) == split.valid
    assert (len(train), len(valid)) == (9, 3)
    assert {*split.train, *split.valid} == {f"demo_{index}" for index in range(12)}
    assert list(split.train) == sorted(split.train, key=natural_key)
    assert not split.replaced


def test_split_depends_on_the_seed(dataset):
    first = split_dataset(dataset, 0.5, seed=1)
    other = split_dataset(dataset, 0.5, seed=2)
    again = split_dataset(dataset, 0.5, seed=1)
    assert first.train == again.train != other.train


def test_split_replaces_an_earlier_split_and_keeps_other_masks(dataset):
    with h5py.File(dataset, "r+") as file:
        file["mask/best"] = np.array(["demo_3"], dtype="S")
    assert not split_dataset(dataset, 0.5, seed=1).replaced
    assert split_dataset(dataset, 0.75, seed=1).replaced
    with h5py.File(dataset) as file:
        assert len(file["mask/train"]) == 9
        assert file["mask/best"][()].tolist() == [b"demo_3"]


def test_split_does_not_change_demos(dataset):
    with h5py.File(dataset) as file:
        before = file["data/demo_5/actions"][()]
    split_dataset(dataset, 0.5, seed=1)
    with h5py.File(dataset) as file:
        np.testing.assert_array_equal(file["data/demo_5/actions"], before)


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_ratio_must_be_between_0_and_1(dataset, ratio):
    digest = dataset_digest(dataset)
    with pytest.raises(ConfigError, match="ratio"):
        split_dataset(dataset, ratio, seed=1)
    assert dataset_digest(dataset) == digest


@pytest.mark.parametrize(("ratio", "empty"), [(0.99, "valid"), (0.01, "train")])
def test_ratio_that_leaves_train_or_valid_empty_is_refused(dataset, ratio, empty):
    with pytest.raises(ConfigError, match=rf"'{empty}' empty \(got {ratio}\); with 12 demos, use 0.0833 to 0.917"):
        split_dataset(dataset, ratio, seed=1)


def test_one_demo_cannot_be_split():
    with pytest.raises(ConfigError, match="at least two demos"):
        draw_split(["demo_0"], 0.5, 1)


@requires.mark("unprivileged", os.geteuid() != 0, "root may write to all files")
def test_read_only_file_is_refused(dataset):
    dataset.chmod(0o444)
    with pytest.raises(OutputError, match="cannot be written"):
        split_dataset(dataset, 0.5, seed=1)


def test_summary_counts_demos_steps_successes_and_masks(dataset):
    with h5py.File(dataset, "r+") as file:
        data = file["data"]
        lengths = [len(data[name]["actions"]) for name in data]
        x = [data[name]["initial_state/rigid_object/ketchup/root_pose"][0, 0] for name in data]
        data["demo_3"].attrs["success"] = False
        del data["demo_4"].attrs["success"]
        data["demo_5"].attrs["success"] = [True, False]
        data.attrs["source_demo_names"] = ["demo_0", "demo_1"]
        data["demo_0"].attrs["source_demos"] = np.array([[0, 0, 1]])
        data["demo_1"].attrs["source_demos"] = np.array([[1, 1, 1]])
    split_dataset(dataset, 0.75, seed=1)
    summary = inspect_dataset(dataset, digest=True)
    assert (summary.num_demos, summary.num_steps) == (12, sum(lengths))
    assert summary.lengths == {"min": min(lengths), "mean": pytest.approx(np.mean(lengths)), "max": max(lengths)}
    assert summary.success == {"true": 9, "false": 1, "unknown": 2}
    assert summary.masks == {"train": 9, "valid": 3}
    assert set(summary.start_ranges) == set(OBJECT_NAMES)
    assert summary.start_ranges["ketchup"]["x"] == pytest.approx((min(x), max(x)))
    assert summary.source_demos == {"demo_0": 2, "demo_1": 4}
    assert summary.attributes["env_args"]["env_name"] == "desktop_organizer"
    assert summary.tree["actions"] == f"({lengths[0]}, 7) float32"
    assert summary.digest == dataset_digest(dataset)


def test_start_positions_are_read_from_annotations_without_initial_states(dataset):
    expected = inspect_dataset(dataset).start_ranges
    with h5py.File(dataset, "r+") as file:
        for demo in file["data"].values():
            del demo["initial_state"]
    assert inspect_dataset(dataset).start_ranges == expected


def test_text_summary_lists_each_dataset_once_below_its_group(dataset):
    summary = inspect_dataset(dataset)
    lines = summary_as_text(summary).splitlines()
    assert "12 demos" in lines[0]
    for path in summary.tree:
        indent = "  " * (path.count("/") + 1)
        assert any(line.startswith(f"{indent}{path.split('/')[-1]} ") for line in lines)
    assert sum(line == "  obs/" for line in lines) == 1
    assert sum(line == "    rigid_object/" for line in lines) == 2


def test_json_contains_the_whole_summary(dataset):
    summary = inspect_dataset(dataset)
    read = json.loads(summary_as_json(summary))
    assert read["num_demos"] == 12
    assert read["digest"] == summary.digest
    assert read["tree"] == summary.tree


def test_commands_report_their_results(dataset, capsys):
    command("split", SplitDatasetCfg(input_file=str(dataset), ratio=0.75))
    command("split", SplitDatasetCfg(input_file=str(dataset), ratio=0.75))
    out = capsys.readouterr().out
    assert "9 demos in mask/train, 3 in mask/valid" in out
    assert "Replaced the split" in out
    command("inspect", InspectDatasetCfg(input_file=str(dataset), digest=True))
    assert dataset_digest(dataset) in capsys.readouterr().out
    command("inspect", InspectDatasetCfg(input_file=str(dataset), json=True))
    assert json.loads(capsys.readouterr().out)["masks"] == {"train": 9, "valid": 3}


@pytest.mark.parametrize("read", [dataset_digest, inspect_dataset, lambda path: split_dataset(path, 0.5, 1)])
def test_unreadable_files_are_refused(tmp_path, read):
    for name, content in (("missing.hdf5", None), ("text.hdf5", b"text"), ("zeros.hdf5", bytes(5000))):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceDataError, match=name):
            read(tmp_path / name)


def test_truncated_files_are_refused(tmp_path):
    path = make_source_file(tmp_path / "demo.hdf5", num_demos=2, length=10)
    content, rng = path.read_bytes(), random.Random(0)
    for _ in range(50):
        path.write_bytes(content[: rng.randrange(len(content))])
        with pytest.raises(SourceDataError):
            inspect_dataset(path)


def test_damaged_datatype_that_declares_references_is_refused(tmp_path: Path) -> None:
    path = make_source_file(tmp_path / "source.hdf5", num_demos=2)
    with h5py.File(path) as file:
        signal = file["data/demo_0/obs/datagen_info/subtask_term_signals/grasp"]
        header = h5py.h5o.get_info(signal.id).addr
    content = bytearray(path.read_bytes())
    assert content[header + 48] == 3 and content[header + 56] == 0x18  # Datatype message: an enumeration.
    content[header + 56] = 0x19
    path.write_bytes(content)
    with pytest.raises(SourceDataError, match=r"grasp: values of variable length need \d+ bytes \(got \d+\)"):
        inspect_dataset(path, digest=True)


def test_values_of_variable_length_are_read(tmp_path: Path) -> None:
    path = make_source_file(tmp_path / "source.hdf5", num_demos=2)
    with h5py.File(path, "r+") as file:
        file["mask/best"] = ["demo_0", "demo_1"]
        file["data/demo_0/words"] = ["of", "any", "length"]
        file["data/demo_0/none"] = h5py.Empty(h5py.string_dtype())
        file.create_dataset("data/demo_0/unset", (5,), h5py.vlen_dtype(np.int32))
    inspect_dataset(path, digest=True)


def test_group_that_is_linked_into_itself_is_refused(dataset):
    with h5py.File(dataset, "r+") as file:
        file["data/demo_0/obs/again"] = file["data/demo_0"]
    with pytest.raises(SourceDataError, match="demo_0/obs/again: is a link to a group that contains the link"):
        inspect_dataset(dataset, digest=True)


def test_names_of_demos_beyond_ascii_are_split_and_merged(dataset, tmp_path):
    with h5py.File(dataset, "r+") as file:
        file.move("data/demo_0", "data/démo 0")
    split_dataset(dataset, 0.5)
    assert sum(inspect_dataset(dataset).masks.values()) == 12
    merge_datasets([dataset], tmp_path / "merged.hdf5", demos=["démo 0"])
    assert inspect_dataset(tmp_path / "merged.hdf5").num_demos == 1


def test_dataset_in_place_of_the_masks_is_named_and_kept(dataset):
    with h5py.File(dataset, "r+") as file:
        file["mask"] = [1, 2]
    with pytest.raises(OutputError, match="mask: must be a group of masks"):
        split_dataset(dataset, 0.5)
    findings = validate_dataset(dataset, num_replays=0).findings
    assert ("mask", "a dataset") in [(finding.check, finding.found) for finding in findings]
    with h5py.File(dataset) as file:
        assert file["mask"][:].tolist() == [1, 2]


def test_summary_of_a_recording_that_is_continued_warns_of_demos_that_are_not_in_the_file(dataset, caplog):
    assert inspect_dataset(dataset).num_demos == 12
    assert not caplog.messages
    store_path(dataset).touch()
    inspect_dataset(dataset)
    store = store_path(dataset)
    assert caplog.messages == [f"{dataset}: its recording continues; demos recorded since are in {store} until it ends"]
