"""Datasets that are not continued, because demos or masks would be lost, or demos would differ."""

import json
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.run.recording import RecordingFiles


@pytest.mark.parametrize(
    ("trials", "merged_from", "mask", "reason"),
    [((0, 1), True, False, "merged"), ((0, 0), False, False, "merged"), ((0, 1), False, True, "split")],
)
def test_merged_and_split_recordings_are_not_continued(
    tmp_path: Path, trials: tuple[int, ...], merged_from: bool, mask: bool, reason: str
) -> None:
    path = write_recording(tmp_path, trials)
    with h5py.File(path, "a") as file:
        if merged_from:
            file["data"].attrs["merged_from"] = "[]"
        if mask:
            file.create_group("mask")
    with pytest.raises(OutputError, match=f"demos.hdf5 is {reason}, so it cannot be continued"):
        resume(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("datasets", "names"),
    [
        ({"actions": (7,)}, "obs/eef_pos"),
        ({"actions": (7,), "obs/eef_pos": (3,), "obs/cubes": (9,)}, "obs/cubes"),
        ({"actions": (8,), "obs/eef_pos": (3,)}, "actions"),
    ],
    ids=["the file has more", "the file has fewer", "another width"],
)
def test_recording_with_different_datasets_is_not_continued(
    tmp_path: Path, datasets: dict[str, tuple[int, ...]], names: str
) -> None:
    path = write_recording(tmp_path, (0, 1))
    with pytest.raises(OutputError, match=f"different datasets than this recording would add \\({names}\\)"):
        resume(path, datasets)
    assert list(tmp_path.iterdir()) == [path]


def test_annotated_recording_is_not_continued(tmp_path: Path) -> None:
    path = write_recording(tmp_path, (0, 1))
    with h5py.File(path, "a") as file:
        del file["data"].attrs["num_attempts"]  # Annotated files have none.
        file.create_group("data/demo_0/obs/datagen_info")
    with pytest.raises(OutputError, match=r"demos\.hdf5 is annotated, so it cannot be continued"):
        resume(path)


@pytest.mark.parametrize("attribute", ["trial", "num_samples"])
def test_file_of_a_different_program_is_not_continued(tmp_path: Path, attribute: str) -> None:
    path = write_recording(tmp_path, (0, 1))
    with h5py.File(path, "a") as file:
        del file["data/demo_1"].attrs[attribute]
    with pytest.raises(OutputError, match="is not a recording of `mimic record`"):
        resume(path)


def write_recording(folder: Path, trials: tuple[int, ...]) -> Path:
    path = folder / "demos.hdf5"
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs.update({"env_args": json.dumps({}), "seed": 0, "teleop_device": "scripted", "num_attempts": 2})
        for index, trial in enumerate(trials):
            demo = data.create_group(f"demo_{index}")
            demo.attrs.update({"trial": trial, "num_samples": 4})
            demo["actions"], demo["obs/eef_pos"] = np.zeros((4, 7)), np.zeros((4, 3))
    return path


def resume(path: Path, datasets: Mapping[str, tuple[int, ...]] | None = None) -> None:
    RecordingFiles(path).opened({}, datasets or {}, [], overwrite=False, resume=True).__enter__()
