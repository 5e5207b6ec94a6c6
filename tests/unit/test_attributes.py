"""Attributes of any size: HDF5 holds 64 kB in an attribute, longer values are datasets next to `data`."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.datasets.annotate_file import read_provenance
from isaaclab_mimic_ext.datasets.convert.mimicgen import ImportOptions, import_mimicgen
from isaaclab_mimic_ext.datasets.inspect import inspect_dataset
from isaaclab_mimic_ext.datasets.merge import merge_datasets
from isaaclab_mimic_ext.datasets.split import split_dataset
from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.attributes import attribute, attributes_of, set_attribute
from isaaclab_mimic_ext.files.dataset_file import DatasetFile, fixed
from isaaclab_mimic_ext.files.hdf5 import text_of
from isaaclab_mimic_ext.files.writing import unwritable
from tests.builders import make_source_file
from tests.interchange_files import make_mimicgen_file

LONG_CONFIG = "datagen_config:\n" + "".join(f"  option_{index}: {index}\n" for index in range(300))


def make_runs(folder: Path, num_runs: int) -> list[Path]:
    """Datasets of runs that differ in their configuration of 6 kB."""
    paths = []
    for seed in range(num_runs):
        paths.append(make_source_file(folder / f"run_{seed}.hdf5", num_demos=1, seed=seed))
        with h5py.File(paths[-1], "r+") as file:
            file["data"].attrs["config"] = fixed(f"{LONG_CONFIG}  seed: {seed}\n")
    return paths


def test_any_number_of_runs_can_be_merged_and_merged_again(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, 14)
    merge_datasets(runs[:13], tmp_path / "once.hdf5")
    merge_datasets([tmp_path / "once.hdf5", runs[13]], tmp_path / "twice.hdf5")
    origins = inspect_dataset(tmp_path / "twice.hdf5").attributes["merged_from"]
    assert len(origins) == 2
    assert [each["config"] for each in origins[0]["merged_from"]] == [f"{LONG_CONFIG}  seed: {n}\n" for n in range(13)]
    with h5py.File(tmp_path / "twice.hdf5") as file:
        assert {*file} == {"data", "attributes"}
        assert len(file["data"]) == 14


def test_any_number_of_source_demos_can_be_named(tmp_path: Path) -> None:
    names = [f"demo_{index}" for index in range(9000)]
    file = DatasetFile(tmp_path / "a.hdf5", {"env_name": "x"}, {"source_demo_names": names, "config": "x" * 100_000})
    actions = np.zeros((3, 7), np.float32)
    for index in range(4):
        demo_attributes = {"source_demos": np.full((1, 2), 8990 + index), "long": np.arange(20_000)}
        file.add_demo({"actions": actions + index}, demo_attributes)
    file.finish({})
    file.publish()
    assert inspect_dataset(tmp_path / "a.hdf5").source_demos["demo_8991"] == 2
    assert len(read_provenance(tmp_path / "a.hdf5")["config"]) == 100_000
    split = split_dataset(tmp_path / "a.hdf5", 0.5, by_source_demo=True)
    assert all(name in names for name in split.held_out)


def test_long_attributes_of_demos_are_merged_with_them(tmp_path: Path) -> None:
    paths = [make_source_file(tmp_path / f"{name}.hdf5", num_demos=2, seed=seed) for seed, name in enumerate("ab")]
    with h5py.File(paths[1], "r+") as file:
        set_attribute(file["data/demo_1"], "points", np.arange(30_000))
    merge_datasets(paths, tmp_path / "merged.hdf5")
    with h5py.File(tmp_path / "merged.hdf5") as file:
        assert np.array_equal(attribute(file["data/demo_3"], "points"), np.arange(30_000))
        assert attribute(file["data/demo_2"], "points") is None


def test_long_data_without_a_row_per_step_are_imported(tmp_path: Path) -> None:
    source = make_mimicgen_file(tmp_path / "source.hdf5")
    with h5py.File(source, "r+") as file:
        for demo in file["data"].values():
            demo["mesh"] = np.arange(50_000.0)
    import_mimicgen(source, tmp_path / "out.hdf5", ImportOptions())
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert np.array_equal(attributes_of(file["data/demo_1"])["mesh"], np.arange(50_000.0))


def test_long_env_args_stay_an_attribute_for_robomimic(tmp_path: Path) -> None:
    env_args = {"env_name": "x", "type": 2, "env_kwargs": {"scene": "y" * 100_000}}
    file = DatasetFile(tmp_path / "a.hdf5", env_args)
    file.add_demo({"actions": np.zeros((3, 7), np.float32)}, {})
    file.finish({})
    file.publish()
    with h5py.File(tmp_path / "a.hdf5") as written:
        assert json.loads(written["data"].attrs["env_args"]) == env_args


def test_replacing_an_attribute_leaves_one_value(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        data = file.create_group("data")
        for value in ("short", fixed("x" * 70_000), "short again"):
            set_attribute(data, "note", value)
            assert text_of(attribute(data, "note")) == text_of(value)
            assert list(attributes_of(data)) == ["note"]


def test_limit_of_hdf5_is_named_and_not_reported_as_a_full_disk(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file, pytest.raises((OSError, RuntimeError)) as raised:
        file.attrs["x"] = np.zeros(20_000)
    message = str(unwritable(Path("a.hdf5"), raised.value, "output_file", kind=OutputError))
    assert "64 kB" in message
    assert "space" not in message
