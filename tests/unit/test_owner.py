"""Owner of a run with several workers, without processes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.run import owner as owner_module
from isaaclab_mimic_ext.run.episodes import EpisodeBatch, TrialOutcomes
from isaaclab_mimic_ext.run.leases import Ask
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.owner import Limits, Owner
from isaaclab_mimic_ext.run.workers import Worker
from isaaclab_mimic_ext.task.reasons import SUCCEEDED

NUM_ENVS = 4


def ended(trials: list[int]) -> EpisodeBatch:
    number = len(trials)
    outcomes = TrialOutcomes(np.array(trials), np.full(number, SUCCEEDED), np.ones(number, np.int64))
    return EpisodeBatch(outcomes, np.zeros(number, bool), {}, {}, 0)


def test_idle_worker_runs_the_trials_of_all_stalled_workers_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner_module, "send_message", lambda connection, message: None)
    process: Any = SimpleNamespace(connection=None)
    workers = [Worker(index, process, is_ready=True, has_stepped=True) for index in range(3)]
    owner = object.__new__(Owner)
    owner.ledger = TrialLedger(DataGenConfig(generation_num_trials=3 * NUM_ENVS))
    owner.writer = SimpleNamespace(put=lambda batch: None)  # type: ignore[assignment]
    owner._workers = SimpleNamespace(all=workers, limits=Limits(), forgive=lambda: None)  # type: ignore[assignment]
    owner._suspects = []
    idle, *stalled = workers
    for worker in workers:
        owner._answer(worker, Ask(NUM_ENVS, is_idle=True))
    owner._serve_waiting()
    owner._record(idle, ended(sorted(idle.leases)))
    for worker in stalled:
        worker.last_seen -= 2 * Limits().stalled
    for worker in stalled:
        owner._answer(idle, Ask(NUM_ENVS, is_idle=True))
        owner._serve_waiting()
        assert idle.leases == worker.leases
        owner._record(idle, ended(sorted(idle.leases)))
    assert owner.ledger.target_reached
