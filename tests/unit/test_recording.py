"""Datasets that are not continued, because demos or masks would be lost."""

import json
from pathlib import Path

import h5py
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
    path = tmp_path / "demos.hdf5"
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs.update({"env_args": json.dumps({}), "seed": 0, "teleop_device": "scripted", "num_attempts": 2})
        if merged_from:
            data.attrs["merged_from"] = "[]"
        for index, trial in enumerate(trials):
            data.create_group(f"demo_{index}").attrs.update({"trial": trial, "num_samples": 4})
        if mask:
            file.create_group("mask")
    with pytest.raises(OutputError, match=f"demos.hdf5 is {reason}, so it cannot be continued"):
        RecordingFiles(path).opened({}, [], overwrite=False, resume=True).__enter__()
    assert list(tmp_path.iterdir()) == [path]
