"""Runs with several worker processes: the dataset of one process, although workers die, stall or hang."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.errors import ConfigError, SimulationError
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run import owner
from isaaclab_mimic_ext.run.generate import generate_run
from isaaclab_mimic_ext.run.owner import Limits
from isaaclab_mimic_ext.run.result import Progress, RunResult
from isaaclab_mimic_ext.run.session import RunFolder
from isaaclab_mimic_ext.run.trial_records import read_records
from isaaclab_mimic_ext.task.reasons import WORKER_DIED
from tests.runs import run_cfg, trials_of
from tests.worker_pids import worker_pids

SMALL = ("num_envs=4",)


@pytest.fixture(scope="module")
def single(kinematic_source: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Run in one process that the others are compared with."""
    folder = RunFolder(tmp_path_factory.mktemp("single") / "run")
    generate_run(run_cfg(kinematic_source, folder))
    return folder


def run(source: Path, folder: RunFolder, *overrides: str, fault: Callable[[Progress], bool] | None = None) -> RunResult:
    """Run with two workers; `fault` is called by the owner, and returns whether to stop."""
    cfg = replace(run_cfg(source, folder, *SMALL, *overrides), num_workers=2)
    return generate_run(cfg, lambda: nullcontext(fault or (lambda progress: False)))


def once(action: Callable[[], None], after: int) -> Callable[[Progress], bool]:
    """Function that acts once, when a number of trials have ended."""
    is_due = [True]

    def act(progress: Progress) -> bool:
        if is_due[0] and progress.num_ended >= after:
            is_due[0] = False
            action()
        return False

    return act


def test_dataset_is_that_of_one_process_although_workers_are_killed(
    kinematic_source: Path, tmp_path: Path, single: RunFolder
) -> None:
    killed: list[int] = []

    def kill() -> None:
        for pid in worker_pids(os.getpid()):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    result = run(kinematic_source, folder := RunFolder(tmp_path / "run"), fault=once(kill, 6))
    assert killed and result.target_reached and result.env_steps > 0
    assert dataset_digest(folder.demos) == dataset_digest(single.demos)
    assert trials_of(folder) == trials_of(single)
    assert not worker_pids(os.getpid())


def test_stopped_worker_does_not_stop_the_run(
    kinematic_source: Path, tmp_path: Path, single: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "Limits", lambda: Limits(stalled=1.0, hung=1e9))
    stopped = once(lambda: os.kill(worker_pids(os.getpid())[0], signal.SIGSTOP), 4)
    run(kinematic_source, folder := RunFolder(tmp_path / "run"), fault=stopped)
    assert dataset_digest(folder.demos) == dataset_digest(single.demos)


def test_hung_worker_is_replaced(
    kinematic_source: Path,
    tmp_path: Path,
    single: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(owner, "Limits", lambda: Limits(stalled=1e9, hung=20.0))
    stopped = once(lambda: os.kill(worker_pids(os.getpid())[0], signal.SIGSTOP), 4)
    run(kinematic_source, folder := RunFolder(tmp_path / "run"), fault=stopped)
    assert dataset_digest(folder.demos) == dataset_digest(single.demos)
    assert "has not responded" in caplog.text


def test_interrupted_run_is_resumed_by_one_process_or_by_workers(
    kinematic_source: Path, tmp_path: Path, single: RunFolder
) -> None:
    folder = RunFolder(tmp_path / "run")
    assert run(kinematic_source, folder, fault=lambda progress: progress.num_ended >= 5).is_interrupted
    assert not worker_pids(os.getpid())
    assert run(kinematic_source, folder, "resume=true", fault=lambda progress: progress.num_ended >= 12).is_interrupted
    assert generate_run(run_cfg(kinematic_source, folder, "resume=true")).target_reached
    assert dataset_digest(folder.demos) == dataset_digest(single.demos)


def test_trial_that_kills_its_worker_runs_alone_and_fails(kinematic_source: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    cfg = replace(
        run_cfg(kinematic_source, folder, *SMALL), num_workers=2, sim=SimCfg(engine="tests.deadly_engine:DeadlyEnv")
    )
    result = generate_run(cfg)
    assert result.failures[WORKER_DIED] == 1 and result.target_reached
    records = read_records(folder.store)
    assert records.reason[5] == WORKER_DIED and records.length[5] == 0
    assert 5 not in trials_of(folder)


@pytest.mark.parametrize("shards", [(), ("recorder.shard_demos=4",)])
def test_kept_failed_demos_lack_the_trial_that_kills_its_worker(
    kinematic_source: Path, tmp_path: Path, shards: tuple[str, ...]
) -> None:
    folder = RunFolder(tmp_path / "run")
    keep = ("datagen_config.generation_keep_failed=true", *shards)
    cfg = replace(
        run_cfg(kinematic_source, folder, *SMALL, *keep), num_workers=2, sim=SimCfg(engine="tests.deadly_engine:DeadlyEnv")
    )
    result = generate_run(cfg)
    assert result.failures[WORKER_DIED] == 1 and result.target_reached
    records = read_records(folder.store)
    failed = records.trials[(records.trials < result.num_attempts) & ~records.success & (records.length > 0)]
    with h5py.File(folder.failed_demos) as file:
        assert sorted(int(demo.attrs["trial"]) for demo in file["data"].values()) == failed.tolist()
    larger = replace(cfg.datagen_config, generation_num_trials=24)
    assert generate_run(replace(cfg, resume=True, datagen_config=larger)).num_demos == 24


def test_errors_of_workers_end_the_run(kinematic_source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sim.engine: class 'Missing' is not in module"):
        generate_run(
            replace(
                run_cfg(kinematic_source, RunFolder(tmp_path / "a")), num_workers=2, sim=SimCfg(engine="tests.runs:Missing")
            )
        )
    assert not (tmp_path / "a").exists()


def test_workers_that_cannot_start_end_the_run(
    kinematic_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    def kill_all() -> None:
        while not stop.is_set():
            for pid in worker_pids(os.getpid()):
                os.kill(pid, signal.SIGKILL)
            stop.wait(0.05)

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        with pytest.raises(SimulationError, match=r"3 worker processes in a row ended before their first trial; .*signal 9"):
            run(kinematic_source, RunFolder(tmp_path / "run"))
    finally:
        stop.set()
        killer.join()
