"""Jobs of a sweep as processes: their folders, their exit codes, and signals."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from isaaclab_mimic_ext.commands.sweep_job import SweepJob
from tests import requires
from tests.forked_scripts import ROOT, run_script
from tests.processes import HANG_S

SWEEP = ("-m", "hydra/launcher=process", "sim=kinematic")


def start(folder: Path, body: str, *arguments: str) -> subprocess.Popen[str]:
    """`generate.py` with a replaced main."""
    program = folder / "probe.py"
    program.write_text(
        "import os, sys, time, types\n"
        "from isaaclab_mimic_ext.commands.main import run_script\n"
        "from isaaclab_mimic_ext.errors import *\n"
        f"def main(cfg):\n    seed = cfg.datagen_config.seed\n    {body}\n"
        "app = types.ModuleType('isaaclab_mimic_ext.commands.generate'); app.main = main\n"
        "sys.modules[app.__name__] = app\n"
        "if __name__ == '__main__': run_script('generate')\n"
    )
    command = [sys.executable, str(program), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder)


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, what was written to stdout after it was read last, stderr."""
    stdout, stderr = process.communicate(timeout=HANG_S)
    return process.returncode, stdout, stderr


def test_jobs_are_separate_processes_with_their_own_folders(tmp_path: Path) -> None:
    body = "print('JOB', os.getpid(), os.getcwd(), seed, cfg.output_dir, sep='|')"
    process = start(tmp_path, body, *SWEEP, "seed=1,2,3", "hydra.sweep.dir='my sweeps/a=b'", "num_envs=4")
    exit_code, stdout, stderr = end(process)
    assert exit_code == 0, stderr
    jobs = [line.split("|")[1:] for line in stdout.splitlines() if line.startswith("JOB")]
    assert len({process for process, *_ in jobs} | {str(process.pid)}) == 4
    assert [job[1:] for job in jobs] == [
        [str(tmp_path), str(seed), str(tmp_path / "my sweeps" / "a=b" / str(seed - 1))] for seed in (1, 2, 3)
    ]
    # Folders of jobs that write nothing to them are removed.
    assert [path.name for path in (tmp_path / "my sweeps" / "a=b").iterdir()] == ["multirun.yaml"]


def test_names_of_folders_may_contain_the_swept_values(tmp_path: Path) -> None:
    name = "hydra.sweep.subdir=${hydra.job.num}-${hydra.job.override_dirname}"
    process = start(tmp_path, "print('JOB', cfg.output_dir)", *SWEEP, "seed=1,2", name)
    exit_code, stdout, stderr = end(process)
    assert exit_code == 0, stderr
    folders = [Path(line).name for line in stdout.splitlines() if line.startswith("JOB")]
    assert folders == [f"{number}-datagen_config.seed={number + 1},sim=kinematic" for number in (0, 1)]


def test_failing_job_does_not_end_the_sweep_and_the_first_failure_is_its_exit_code(tmp_path: Path) -> None:
    fates = {
        1: "print('one')",
        2: "raise BudgetExhausted('25 in a row')",
        3: "1 / 0",
        4: "os.kill(os.getpid(), 9)",
        5: "print('five')",
    }
    body = f"exec({fates!r}[seed])"
    exit_code, stdout, stderr = end(start(tmp_path, body, *SWEEP, "seed=1,2,3,4,5"))
    assert exit_code == 3
    assert "one" in stdout and "five" in stdout
    codes = [line.rpartition("] \t")[2] for line in stdout.splitlines() if "failed: exit code" in line]
    assert codes == [f"#{number} failed: exit code {code}" for number, code in ((1, 3), (2, 1), (3, 137))]
    assert "BudgetExhausted: 25 in a row" in stderr and "ZeroDivisionError" in stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_is_forwarded_to_the_job_and_ends_the_sweep(number: int, tmp_path: Path) -> None:
    body = (
        "from isaaclab_mimic_ext.commands.signals import StopRequest\n"
        "    with StopRequest() as stop:\n"
        "        print('RUNNING', flush=True)\n"
        "        while not stop.requested: time.sleep(0.05)\n"
        "    print('SAVED', flush=True)\n"
        "    stop.raise_interrupted('9 demos')"
    )
    process = start(tmp_path, body, *SWEEP, "seed=1,2,3")
    assert process.stdout is not None
    while "RUNNING" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(number)
    exit_code, stdout, stderr = end(process)
    assert exit_code == 128 + number
    assert stdout.count("SAVED") == 1 and "RUNNING" not in stdout
    assert "Interrupted: 9 demos" in stderr
    assert "Interrupted: job 0 of the sweep was running" in stderr


@pytest.mark.slow
def test_sweep_of_processes_can_be_reported(kinematic_source: Path, tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "scripts" / "generate.py")]
    run = ("num_envs=4", "generation_num_trials=2", "generation_guarantee=false", "video=false", "progress=false")
    place = "hydra.sweep.dir=sweep"
    words = [*SWEEP, f"input_file={kinematic_source}", *run, place, "++all_subtasks.action_noise=0.0,0.01"]
    subprocess.run([*script, *words], cwd=tmp_path, check=True, timeout=HANG_S, capture_output=True)
    done = run_script("sweep_report", "input_dir=sweep", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert [parameter["name"] for parameter in content["parameters"]] == ["action_noise"]
    assert [outcome["values"]["action_noise"] for outcome in content["outcomes"]] == [0.0, 0.01]


def test_sweep_fails_with_a_list_of_its_failed_jobs(tmp_path: Path) -> None:
    process = start(tmp_path, "if seed > 1: raise RecorderError('the disk is full')", *SWEEP, "seed=1,2,3")
    exit_code, stdout, _ = end(process)
    assert exit_code == 1
    listed = stdout.partition("2 jobs of 3 failed:")[2]
    for number in (1, 2):
        assert f"#{number} : sim=kinematic datagen_config.seed={number + 1}: exit code 1" in listed


def test_submitted_jobs_have_the_folders_and_exit_codes_of_processes(tmp_path: Path) -> None:
    requires.module("submitit", "submitit")
    body = "open(f'job_{seed}', 'w').write(cfg.output_dir) if seed != 2 else sys.exit(75)"
    words = ("-m", "hydra/launcher=submitit_local", "sim=kinematic", "seed=1,2,3", "hydra.sweep.dir=sweep")
    exit_code, stdout, stderr = end(start(tmp_path, body, *words))
    assert exit_code == 75, stderr
    assert "1 job of 3 failed:" in stdout and "#1 : sim=kinematic datagen_config.seed=2: exit code 75" in stdout
    folders = {seed: (tmp_path / f"job_{seed}").read_text() for seed in (1, 3)}
    assert folders == {1: str(tmp_path / "sweep/0"), 3: str(tmp_path / "sweep/2")}


def test_job_that_starts_again_resumes() -> None:
    job = SweepJob(("mimic", "generate", "seed=2", "overwrite=true"), can_resume=True)
    assert job.command(is_restarted=False) == job.words
    assert job.command(is_restarted=True) == ("mimic", "generate", "seed=2", "resume=true")
    assert SweepJob(("mimic", "evaluate"), can_resume=False).command(is_restarted=True) == ("mimic", "evaluate")


def test_process_of_a_job_may_resume_in_its_own_folder(tmp_path: Path) -> None:
    """Its folder has no date, unlike that of a run without `output_dir`."""
    process = start(
        tmp_path, "print('JOB', cfg.resume, cfg.output_dir)", *SWEEP, "seed=1", "resume=true", "hydra.sweep.dir=s"
    )
    exit_code, stdout, stderr = end(process)
    assert exit_code == 0, stderr
    assert f"JOB True {tmp_path / 's/0'}" in stdout
