"""Damaged files get a clear error or give what was written: no crash, no hang, nothing else for true. In short."""

from pathlib import Path

import pytest

from tests.fuzzing import add_digests, count, fuzz
from tests.jobs import run_generation
from tests.kinematic_sources import generate_cfg, write_source_file

NUM_SOURCES, NUM_DATASETS = 70, 28
DATASET_READERS = ("inspect", "split", "demos", "stream", "playback", "validate", "merge")


def test_damaged_source_files_are_refused_or_read_right(tmp_path: Path) -> None:
    path = write_source_file(tmp_path / "source.hdf5", num_demos=2)
    add_digests(path)
    outcomes, bad = count(fuzz(path, tmp_path, NUM_SOURCES, ("source",), seed=1))
    assert bad == []
    assert outcomes["refused"] + outcomes["fewer"] > NUM_SOURCES / 3


@pytest.mark.slow
def test_damaged_datasets_are_refused_or_read_right(kinematic_source: Path, tmp_path: Path) -> None:
    target = "datagen_config.generation_num_trials=2"
    run_generation(generate_cfg(kinematic_source, tmp_path / "run", "num_envs=2", target))
    outcomes, bad = count(fuzz(tmp_path / "run" / "demo.hdf5", tmp_path, NUM_DATASETS, DATASET_READERS, seed=1))
    assert bad == []
    assert outcomes["refused"] + outcomes["fewer"] > NUM_DATASETS * len(DATASET_READERS) / 3
