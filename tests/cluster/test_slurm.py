"""The job arrays of docs/clusters.md on a real Slurm."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run.trial_records import read_records
from tests.cluster.slurm import Slurm, running_slurm
from tests.forked_scripts import run_mimic

ROOT = Path(__file__).parents[2]
SETTINGS = ("sim=kinematic", "num_envs=10", "num_trials=30", "all_subtasks.action_noise=0.4", "video=false")
"""With this noise about half of the trials fail."""

BLOCKS = ("+cluster=slurm", *SETTINGS, "block_size=20")

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
        script = ROOT / "conf" / "cluster" / "generate.sbatch"
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


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    folder = tmp_path / "slurm"
    folder.mkdir()
    with running_slurm(folder) as slurm:
        yield slurm


def start(slurm: Slurm, mimic: Path, *words: str, jobs: Path | None = None) -> subprocess.Popen[str]:
    """Start `mimic generate`, whose jobs run the program `jobs`, by default the same one."""
    environment = slurm.environment | {"MIMIC": str(jobs or mimic)}
    command = [str(mimic), "generate", *words]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_one_command_submits_arrays_until_the_target_is_reached_although_it_is_interrupted(
    tmp_path: Path, mimic: Path, slurm: Slurm
) -> None:
    run = tmp_path / "run"
    interrupted = start(slurm, mimic, *BLOCKS, f"output_dir={run}")
    while not _num_saved_trials(run / "blocks/00000/run.sqlite"):
        assert interrupted.poll() is None, interrupted.communicate()
        time.sleep(0.05)
    interrupted.send_signal(signal.SIGINT)
    printed = interrupted.communicate()[1]
    assert interrupted.returncode == 130 and "was canceled; finished trials are kept" in printed
    slurm.wait_until_idle()
    resumed = start(slurm, mimic, "+cluster=slurm", "resume=true", f"output_dir={run}")
    stdout, printed = resumed.communicate()
    assert resumed.returncode == 0, printed
    assert "The target needs further blocks: " in printed and "30 demos of" in stdout
    single = run_mimic("generate", *SETTINGS, "output_dir=single", cwd=tmp_path)
    assert single.returncode == 0, single.stderr
    assert dataset_digest(run / "demo.hdf5") == dataset_digest(tmp_path / "single" / "demo.hdf5")


def test_jobs_of_a_killed_submitter_are_found_and_a_second_submitter_or_other_settings_are_refused(
    tmp_path: Path, mimic: Path, slurm: Slurm
) -> None:
    run = tmp_path / "run"
    held = start(slurm, mimic, *BLOCKS, "cluster.num_blocks=4", "cluster.options=[--hold]", f"output_dir={run}")
    while not (submitted := slurm.run("squeue", "--noheader", "--array", "--format=%i")):
        assert held.poll() is None, held.communicate()
        time.sleep(0.05)
    resume = ("+cluster=slurm", "resume=true", f"output_dir={run}")
    assert "in use by" in refused(start(slurm, mimic, *resume), 75)
    held.kill()
    held.communicate()
    assert "already contains a run" in refused(start(slurm, mimic, *BLOCKS, f"output_dir={run}"), 2)
    assert "action_noise: 0.4, now 0.1" in refused(start(slurm, mimic, *resume, "all_subtasks.action_noise=0.1"), 2)
    assert "was started with a different configuration" in refused(start(slurm, mimic, *resume, "task=stack_cube"), 2)
    resumed = start(slurm, mimic, *resume)
    time.sleep(5)
    assert resumed.poll() is None and slurm.run("squeue", "--noheader", "--array", "--format=%i") == submitted
    slurm.run("scontrol", "release", *{job.partition("_")[0] for job in submitted.split()})
    printed = resumed.communicate()[1]
    assert resumed.returncode == 0, printed
    single = run_mimic("generate", *SETTINGS, "output_dir=single", cwd=tmp_path)
    assert single.returncode == 0, single.stderr
    assert dataset_digest(run / "demo.hdf5") == dataset_digest(tmp_path / "single" / "demo.hdf5")


def refused(process: subprocess.Popen[str], code: int) -> str:
    """Error message of a command that ends with this exit code."""
    printed = process.communicate()[1]
    assert process.returncode == code, printed
    return printed


def test_canceled_jobs_do_not_run_again_and_a_failed_job_requeues_only_itself(tmp_path: Path, slurm: Slurm) -> None:
    """The last job has the number of its array: requeued by this number, all jobs would run again."""
    program, started = tmp_path / "mimic", tmp_path / "started"
    program.write_text(
        f"#!/bin/sh\necho $SLURM_ARRAY_TASK_ID >> {started}\ntrap 'exit 143' TERM\n"
        '[ "$SLURM_ARRAY_TASK_ID" = "$FAILS" ] && exit 1\nsleep 60 & wait $!\n'
    )
    program.chmod(0o755)

    def submit(fails: str) -> str:
        started.write_text("")
        array = ("sbatch", "--parsable", "--array=0-2", ROOT / "conf/cluster/generate.sbatch")
        job = slurm.run(*array, MIMIC=str(program), FAILS=fails).strip()
        while len(started.read_text().split()) < 3:
            time.sleep(0.1)
        return job

    slurm.run("scancel", submit(fails="none"))
    slurm.wait_until_idle()
    assert sorted(started.read_text().split()) == ["0", "1", "2"]
    job = submit(fails="2")
    while "2 1" not in slurm.run("squeue", "--noheader", "--array", "--Format=ArrayTaskID:2,RestartCnt:2"):
        time.sleep(0.1)
    assert slurm.run("squeue", "--noheader", "--array", "--states=RUNNING", "--format=%K").split() == ["0", "1"]
    slurm.run("scancel", job)


def test_jobs_that_fail_and_refused_options_are_reported(tmp_path: Path, mimic: Path, slurm: Slurm) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho the source demos are missing >&2\nexit 2\n")
    broken.chmod(0o755)
    failed = start(slurm, mimic, *BLOCKS, f"output_dir={tmp_path / 'a'}", jobs=broken)
    printed = failed.communicate()[1]
    assert failed.returncode == 1
    assert "the jobs of blocks 0-1 have ended without a complete block; end of" in printed
    assert "the source demos are missing" in printed
    refused = start(slurm, mimic, *BLOCKS, "cluster.options=[--partition=missing]", f"output_dir={tmp_path / 'b'}")
    printed = refused.communicate()[1]
    assert refused.returncode == 2
    assert "ConfigError: cluster.options: sbatch refuses the job array: invalid partition specified: missing" in printed
