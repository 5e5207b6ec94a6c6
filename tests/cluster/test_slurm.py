"""The job array of docs/clusters.md on a real Slurm."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run.trial_records import read_records
from tests.cluster.slurm import running_slurm
from tests.forked_scripts import run_mimic

ROOT = Path(__file__).parents[2]
SETTINGS = ("sim=kinematic", "num_envs=10", "num_trials=30", "all_subtasks.action_noise=0.4", "video=false")
"""With this noise about half of the trials fail."""

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def mimic(tmp_path: Path) -> Path:
    """Program that runs this checkout on a node."""
    program = tmp_path / "mimic"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m isaaclab_mimic_ext "$@"\n')
    program.chmod(0o755)
    return program


def kill_block(folder: Path) -> None:
    """Kill the process of a block as soon as it has saved a trial."""
    while not _num_saved_trials(folder / "run.sqlite"):
        time.sleep(0.05)
    os.kill(int((folder / "run.lock").read_text().split()[1]), signal.SIGKILL)


def _num_saved_trials(store: Path) -> int:
    try:
        return len(read_records(store).trials)
    except SourceDataError:  # The run has not started.
        return 0


def test_array_of_jobs_generates_the_dataset_of_one_process_although_a_job_is_killed(tmp_path: Path, mimic: Path) -> None:
    cluster, run = tmp_path / "slurm", tmp_path / "run"
    cluster.mkdir()
    with running_slurm(cluster) as slurm:
        script = ROOT / "docker" / "generate.sbatch"
        array = ("sbatch", "--array=0-2", script, *SETTINGS, "block_size=20", f"output_dir={run}")
        job = slurm.run(*array, MIMIC=str(mimic)).split()[-1]
        kill_block(run / "blocks" / "00001")
        slurm.wait_until_idle()
        printed = (cluster / f"slurm-{job}_1.out").read_text()
    assert "Resuming with" in printed
    collected = run_mimic("collect", f"output_dir={run}", cwd=tmp_path)
    assert collected.returncode == 0, collected.stderr
    single = run_mimic("generate", *SETTINGS, "output_dir=single", cwd=tmp_path)
    assert single.returncode == 0, single.stderr
    assert dataset_digest(run / "demo.hdf5") == dataset_digest(tmp_path / "single" / "demo.hdf5")
