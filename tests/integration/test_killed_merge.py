"""A killed merge leaves no output file, and the merge can be run again."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isaaclab_mimic_ext.datasets.merge import merge_datasets
from isaaclab_mimic_ext.files.digest import dataset_digest
from tests.builders import make_source_file

NUM_KILLS = 8
PROGRAM = """
import sys
from pathlib import Path
from isaaclab_mimic_ext.datasets.merge import merge_datasets
print("ready", flush=True)
merge_datasets([Path(path) for path in sys.argv[1:-1]], Path(sys.argv[-1]), overwrite=True)
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("inputs")
    paths = [folder / f"{name}.hdf5" for name in ("a", "b")]
    for seed, path in enumerate(paths):
        make_source_file(path, num_demos=150, seed=seed)
    return paths


def test_killed_merge_leaves_no_output_or_the_complete_output(inputs: list[Path], tmp_path: Path) -> None:
    whole, output = tmp_path / "whole.hdf5", tmp_path / "out.hdf5"
    started = time.perf_counter()
    merge_datasets(inputs, whole)
    duration = time.perf_counter() - started
    digest, rng, num_unfinished = dataset_digest(whole), random.Random(1), 0
    for number in range(NUM_KILLS):
        command = [sys.executable, "-c", PROGRAM, *map(str, inputs), str(output)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            # The first kill is immediate, so that at least one is before the end of the merge.
            time.sleep(rng.uniform(0, 1.2 * duration) if number else 0.0)
            process.kill()
        if output.exists():
            assert dataset_digest(output) == digest
            output.unlink()
        else:
            num_unfinished += 1
    assert num_unfinished > 0, "no kill was before the end of the merge"
    merge_datasets(inputs, output, overwrite=True)
    assert dataset_digest(output) == digest
