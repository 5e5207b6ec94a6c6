"""Splits that hold out source demos."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.datasets import split
from isaaclab_mimic_ext.datasets.split import hold_out_sources, split_dataset
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError
from tests.builders import make_source_file


def with_sources(path: Path, sources: list[list[int]]) -> Path:
    make_source_file(path, num_demos=len(sources))
    with h5py.File(path, "r+") as file:
        file["data"].attrs["source_demo_names"] = [f"src_{index}" for index in range(1 + max(map(max, sources)))]
        for index, used in enumerate(sources):
            file[f"data/demo_{index}"].attrs["source_demos"] = np.array([used], dtype=np.int32)
    return path


def test_no_training_demo_has_a_segment_of_a_held_out_source_demo(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sources = rng.integers(0, 6, (20, 2)).tolist()
    split = split_dataset(with_sources(tmp_path / "a.hdf5", sources), 0.7, seed=1, by_source_demo=True)
    held_out = {int(name[4:]) for name in split.held_out}
    for index, used in enumerate(sources):
        name = f"demo_{index}"
        assert (name in split.valid) == bool(held_out & {*used})
        assert (name in split.train) != (name in split.valid)


def test_demos_of_disjoint_source_demos_are_separated(tmp_path: Path) -> None:
    sources = [[0, 1], [1, 0], [0, 0], [2, 3], [3, 2], [0, 1], [1, 1], [0, 0]]
    split = split_dataset(with_sources(tmp_path / "a.hdf5", sources), 0.75, seed=1, by_source_demo=True)
    assert split.valid == ("demo_3", "demo_4")
    assert {*split.held_out} <= {"src_2", "src_3"}


def test_size_of_train_is_closest_to_the_ratio() -> None:
    used = np.eye(5, dtype=bool)[np.repeat(np.arange(5), [10, 20, 30, 15, 25])]
    for ratio, expected in ((0.9, 90), (0.55, 55), (0.5, 50)):
        chosen = hold_out_sources(used, ratio, seed=3)
        assert (~used[:, chosen].any(1)).sum() == expected


def test_choice_among_equally_good_sets_depends_on_the_seed() -> None:
    used = np.eye(8, dtype=bool)
    assert hold_out_sources(used, 0.75, 1) == hold_out_sources(used, 0.75, 1)
    assert len({tuple(hold_out_sources(used, 0.75, seed)) for seed in range(20)}) > 3
    assert all(len(hold_out_sources(used, 0.75, seed)) == 2 for seed in range(20))


def test_many_source_demos_are_sampled() -> None:
    used = np.eye(200, dtype=bool)
    chosen = hold_out_sources(used, 0.8, seed=0)
    assert abs(len(chosen) - 40) <= 2


def test_source_demo_of_all_demos_cannot_be_held_out(tmp_path: Path) -> None:
    path = with_sources(tmp_path / "a.hdf5", [[0, 1], [0, 1], [1, 0]])
    with pytest.raises(ConfigError, match="leaves train or valid empty"):
        split_dataset(path, 0.5, seed=1, by_source_demo=True)
    with h5py.File(path) as file:
        assert "mask" not in file


def test_file_on_a_full_disk_is_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_source_file(tmp_path / "demo.hdf5", num_demos=4)
    before = path.read_bytes()
    monkeypatch.setattr(split, "_MIN_FREE_BYTES", 10**18)
    with pytest.raises(OutputError, match=r"the split cannot be written: the disk is full; free .* MB"):
        split_dataset(path, 0.5, seed=1)
    assert path.read_bytes() == before


def test_file_without_source_demos_is_refused(tmp_path: Path) -> None:
    path = make_source_file(tmp_path / "a.hdf5")
    with pytest.raises(SourceDataError, match="demo_0: by_source_demo requires attribute 'source_demos'"):
        split_dataset(path, 0.5, seed=1, by_source_demo=True)
