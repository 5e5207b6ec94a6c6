"""Owner of a run with several worker processes: it has the ledger and the writer, and leases trials to the workers.

A trial is a function of its number, so it does not matter which worker runs it, when, or how often: the first result counts.
"""

# F trials of a batch

import logging
import queue
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.errors import SimulationError
from isaaclab_mimic_ext.run.block import first_trial, run_rules
from isaaclab_mimic_ext.run.build import config_yaml
from isaaclab_mimic_ext.run.episodes import EpisodeBatch, TrialOutcomes, send_message
from isaaclab_mimic_ext.run.leases import Alive, Ask, Failed, Message, Ready
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.ray_workers import ray_starter
from isaaclab_mimic_ext.run.result import Clock, Progress, RunResult
from isaaclab_mimic_ext.run.run_output import RunContents, open_run_writer
from isaaclab_mimic_ext.run.session import RunSession
from isaaclab_mimic_ext.run.workers import LocalProcess, Starter, Worker, worker_job
from isaaclab_mimic_ext.task.reasons import WORKER_DIED
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

_POLL_PERIOD = 0.1
"""Maximum time between two checks of the workers [s]."""
_MAX_MESSAGES = 16
"""Number of messages that may wait for the owner; the workers wait, too, when there are more."""


@dataclass(frozen=True)
class Limits:
    """When a worker is given up.

    Attributes:
        stalled: time without a sign of life after which idle workers also run its trials [s].
        hung: time without a sign of life after which it is killed [s].
        starting: as `hung`, before its first control step, which compiles kernels [s].
        num_deaths: number of workers that die with a trial before it runs alone, and number of deaths alone after which the
            trial is given up.
        num_failed_starts: number of workers in a row that die before they are ready, after which the run ends if no worker
            is ready.
        num_deaths_in_row: number of workers that die without any trial that ends in between, after which the run ends.
    """

    stalled: float = 10.0
    hung: float = 120.0
    starting: float = 1800.0
    num_deaths: int = 3
    num_failed_starts: int = 3
    num_deaths_in_row: int = 12


class Workers:
    """Worker processes of a run, and the messages that they send.

    Args:
        cfg: configuration of the run.
        limits: when a worker is given up.

    Raises:
        ConfigError: the workers cannot run this configuration.
    """

    def __init__(self, cfg: GenerateCfg, limits: Limits | None = None):
        self.limits = limits or Limits()
        self._job = worker_job(cfg)
        self._starter: Starter = LocalProcess
        if cfg.ray_address is not None:
            self._starter = ray_starter(cfg.ray_address, cfg.num_workers, self._job)
        self.inbox: queue.Queue[tuple[Worker, Message | None]] = queue.Queue(_MAX_MESSAGES)
        self._num_failed_starts = 0
        self._postponed: list[tuple[Worker, Message | None]] = []
        self.all: list[Worker] = []
        log.info("Starting %s...", counted(cfg.num_workers, "worker process", "worker processes"))
        for index in range(cfg.num_workers):
            self._start(index)

    def _start(self, index: int) -> None:
        worker = Worker(index, self._starter(index, self._job))
        self.all.append(worker)
        worker.read_into(self.inbox)

    def messages(self) -> list[tuple[Worker, Message | None]]:
        """Return the messages that have arrived; wait for the first one for at most `_POLL_PERIOD`."""
        found, self._postponed = self._postponed, []
        with suppress(queue.Empty):
            found.append(self.inbox.get(timeout=_POLL_PERIOD))
            while True:
                found.append(self.inbox.get_nowait())
        return found

    def wait_until_ready(self) -> Ready:
        """Wait for the first worker whose envs exist.

        Raises:
            MimicError: its envs cannot be created.
        """
        while True:
            arrived = self.messages()
            for index, (worker, message) in enumerate(arrived):
                if isinstance(message, Failed):
                    raise message.error
                if message is None:
                    self.replace(worker)
                if isinstance(message, Ready):
                    worker.is_ready = True
                    self._postponed = arrived[index + 1 :]
                    return message
            self.end_hung()

    def replace(self, worker: Worker) -> str:
        """Start a new worker instead of one that has ended. Return how it has ended.

        Raises:
            SimulationError: workers end before they are ready, again and again.
        """
        worker.process.kill()
        cause = worker.process.cause()
        self.all.remove(worker)
        self._num_failed_starts = 0 if worker.is_ready else self._num_failed_starts + 1
        has_others = any(other.is_ready for other in self.all)
        if self._num_failed_starts >= self.limits.num_failed_starts and not has_others:
            raise SimulationError(
                f"num_workers: {self._num_failed_starts} worker processes in a row ended before their first trial; the last "
                f"one {cause}; use fewer workers, or a smaller num_envs"
            )
        self._start(worker.index)
        return cause

    def end_hung(self) -> None:
        """Kill workers without a sign of life. Their last message follows."""
        now = time.monotonic()
        for worker in self.all:
            limit = self.limits.hung if worker.has_stepped else self.limits.starting
            if not worker.num_waiting and now - worker.last_seen > limit and self.inbox.empty():
                log.warning("Worker %d has not responded for %.0f s; it is replaced", worker.index, now - worker.last_seen)
                worker.process.kill()
                worker.last_seen = now

    def forgive(self) -> None:
        """Start the time without a sign of life again: the owner itself was not able to listen."""
        for worker in self.all:
            worker.last_seen = time.monotonic()

    def close(self) -> None:
        """End all workers."""
        for worker in self.all:
            worker.process.kill()
        self.all.clear()


class Owner:
    """Leases trials to workers, and records their episodes, until the ledger ends the run.

    Args:
        ready: message of the first worker that is ready.

    Raises:
        OutputError: a dataset cannot be created.
    """

    def __init__(self, cfg: GenerateCfg, workers: Workers, ready: Ready, session: RunSession):
        self._rules, self._workers = run_rules(cfg), workers
        self._keeps_failed = cfg.datagen_config.generation_keep_failed
        attributes = {**ready.contents.attributes, "config": config_yaml(cfg)}
        self._contents: RunContents = replace(ready.contents, attributes=attributes)
        self.ledger = TrialLedger(self._rules, first_trial(cfg))
        outcomes = session.outcomes(self._contents.reasons)
        self.ledger.restore(outcomes.trials, outcomes.reason)
        self.writer = open_run_writer(cfg, self._contents, session)
        self.clock = Clock(session.elapsed)
        self._before = self.ledger.num_ended, self.ledger.num_ended_successes
        self._steps_of_ended = 0
        self._deaths: Counter[int] = Counter()
        """Number of workers that died with a trial."""
        self._num_deaths_in_row = 0
        self._suspects: list[int] = []
        """Trials that run alone, because workers died with them."""

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Generate until the target or a budget is reached, or `should_stop()` returns True.

        Raises:
            MimicError: a worker failed with an error that others would have, too, or the writer failed.
        """
        self.clock.restart()
        self._before = self.ledger.num_ended, self.ledger.num_ended_successes
        for worker in self._workers.all:
            worker.last_seen = time.monotonic()
        while not (self.ledger.is_over or should_stop()):
            for worker, message in self._workers.messages():
                self._receive(worker, message)
            self._serve_waiting()
            self._workers.end_hung()
            if self._rules.max_time is not None and self.clock.elapsed() >= 3600 * self._rules.max_time:
                self.ledger.stop(f"max_time: {self._rules.max_time} h have passed")

    def _receive(self, worker: Worker, message: Message | None) -> None:
        if message is None:
            if worker in self._workers.all:
                self._bury(worker)
        elif isinstance(message, EpisodeBatch):
            self._record(worker, message)
        elif isinstance(message, Ask):
            self._answer(worker, message)
        elif isinstance(message, Alive):
            worker.env_steps, worker.has_stepped = message.env_steps, True
        elif isinstance(message, Failed):
            raise message.error
        else:
            self._check_agrees(message.contents)
            worker.is_ready = True

    def _check_agrees(self, contents: RunContents) -> None:
        """Check that a worker records the same episodes as the first one: on another machine, versions may differ.

        Raises:
            SimulationError: it does not.
        """

        def compared(each: RunContents) -> tuple[object, ...]:
            # `env_args` contains the number of envs, which may differ.
            return each.reasons, each.episodes.fields, each.episodes.initial_fields, each.facts["provenance"]

        if compared(contents) != compared(self._contents):
            raise SimulationError(
                "num_workers: the worker processes have different versions of this package, of the task or of the source "
                "demos; install the same version on all machines, and continue with resume=true"
            )

    def _record(self, worker: Worker, batch: EpisodeBatch) -> None:
        """Note the trials of a batch that have not ended before, and record their episodes."""
        worker.leases.difference_update(batch.outcomes.trials.tolist())
        new = batch.only(~self.ledger.has_ended(batch.outcomes.trials))
        if len(new.outcomes.trials):
            self._num_deaths_in_row = 0
            self.ledger.end(new.outcomes.trials, new.outcomes.reason)
            self._put(new)

    def _put(self, batch: EpisodeBatch) -> None:
        start = time.monotonic()
        self.writer.put(replace(batch, committed=self.ledger.end_trial))
        if time.monotonic() - start > _POLL_PERIOD:
            self._workers.forgive()

    def _answer(self, worker: Worker, ask: Ask) -> None:
        """Lease trials to a worker; one without running trials waits until there are some."""
        if ask.is_idle:
            worker.num_waiting, worker.is_alone = ask.num_free, False
            return
        self._lease(worker, np.zeros(0, np.int64) if worker.is_alone else self.ledger.start(ask.num_free))

    def _serve_waiting(self) -> None:
        """Lease trials to the workers that wait: trials to run alone, then new ones, then those of stalled workers."""
        if self.ledger.is_over:
            return
        for worker in self._workers.all:
            if not worker.num_waiting:
                continue
            trials = self._suspect(worker)
            if not len(trials):
                trials = self.ledger.start(worker.num_waiting)
            if not len(trials):
                trials = self._stalled(worker)
            if len(trials):
                worker.num_waiting = 0
                self._lease(worker, trials)

    def _lease(self, worker: Worker, trials: np.ndarray) -> None:
        worker.leases.update(trials.tolist())
        worker.last_seen = time.monotonic()
        with suppress(OSError):  # It has ended, which its last message reports.
            send_message(worker.process.connection, trials)

    def _suspect(self, worker: Worker) -> np.ndarray:
        """Return the next trial that runs alone, (1,); empty if there is none."""
        if not self._suspects:
            return np.zeros(0, np.int64)
        worker.is_alone = True
        return np.array([self._suspects.pop(0)], dtype=np.int64)

    def _stalled(self, idle: Worker) -> np.ndarray:
        """Return trials of workers without a sign of life, for an idle worker, (F,)."""
        now, limits = time.monotonic(), self._workers.limits
        stalled, others = set[int](), set[int]()
        for worker in self._workers.all:
            limit = limits.stalled if worker.has_stepped else limits.hung
            (stalled if now - worker.last_seen > limit else others).update(worker.leases)
        trials = np.array(sorted(stalled - others), dtype=np.int64)
        # A stalled worker keeps the leases of trials that another worker has ended since.
        trials = trials[~self.ledger.has_ended(trials)][: idle.num_waiting]
        if len(trials):
            log.warning("Running %s of stalled workers again", counted(len(trials), "trial"))
        return trials

    def _bury(self, worker: Worker) -> None:
        """Replace a worker that has died, and start its trials again."""
        cause = self._workers.replace(worker)
        self._steps_of_ended += worker.env_steps
        self._num_deaths_in_row += 1
        if self._num_deaths_in_row >= self._workers.limits.num_deaths_in_row:
            raise SimulationError(
                f"num_workers: {self._num_deaths_in_row} worker processes in a row died before a trial has ended; the last "
                f"one {cause}; use fewer workers, or a smaller num_envs, and continue with resume=true"
            )
        elsewhere = set().union(*(other.leases for other in self._workers.all))
        lost = np.array(sorted(worker.leases - elsewhere), dtype=np.int64)
        lost = lost[~self.ledger.has_ended(lost)]
        log.warning("Worker %d %s; %s run again", worker.index, cause, counted(len(lost), "trial"))
        self._deaths.update(lost.tolist())
        limit = self._workers.limits.num_deaths
        for trial in lost.tolist():
            if self._deaths[trial] >= 2 * limit:
                self._give_up(trial, cause)
            elif self._deaths[trial] >= limit:
                self._suspects.append(trial)
            else:
                self.ledger.give_back(np.array([trial]))

    def _give_up(self, trial: int, cause: str) -> None:
        """Let a trial fail that ends each worker that runs it."""
        limit = self._workers.limits.num_deaths
        message = f"trial {trial}: ended its worker process {limit} times although it ran alone; the last one {cause}"
        log.warning("%s; it counts as failed%s", message, ", without an episode" if self._keeps_failed else "")
        reason = np.array([self._contents.reasons.index(WORKER_DIED)])
        outcomes = TrialOutcomes(np.array([trial]), reason, np.array([0]), notes=_empty_notes(self._contents))
        self.ledger.end(outcomes.trials, outcomes.reason)
        self._put(EpisodeBatch(outcomes, np.zeros(1, bool), {}, {}, 0))

    def progress(self) -> Progress:
        """Return the current progress."""
        ledger, rules = self.ledger, self._rules
        done = ledger.num_ended_successes if rules.generation_guarantee else ledger.num_ended
        num_now, remaining = ledger.num_ended - self._before[0], ledger.expected_trials()
        return Progress(
            num_done=min(done, rules.generation_num_trials),
            num_target=rules.generation_num_trials,
            num_successes=ledger.num_ended_successes,
            num_ended=ledger.num_ended,
            num_successes_now=ledger.num_ended_successes - self._before[1],
            env_steps_now=self._env_steps(),
            elapsed_now=self.clock.session(),
            num_unsaved=num_now - self.writer.num_saved,
            queue_depth=self.writer.queue_depth,
            seconds_stalled=self.writer.seconds_stalled,
            share=1.0 if ledger.is_over else num_now / max(num_now + remaining, 1.0),
            num_running=sum(len(worker.leases) for worker in self._workers.all),
        )

    def _env_steps(self) -> int:
        return self._steps_of_ended + sum(worker.env_steps for worker in self._workers.all)

    def close(self) -> RunResult:
        """End the workers, wait until all files are written, and return the result of the run.

        Raises:
            RecorderError: the writer failed.
        """
        env_steps = self._env_steps()
        self._workers.close()
        result = self.ledger.result(self.writer.output.path, self._contents.reasons)
        written = self.writer.close(replace(result, env_steps=env_steps, elapsed=self.clock.elapsed()))
        return replace(written, elapsed=self.clock.elapsed())


def _empty_notes(contents: RunContents) -> dict[str, np.ndarray]:
    """Notes of a trial of which nothing is known, (1, ...) each."""
    layout = contents.facts["trials"]
    num_eefs, num_subtasks = len(layout["eefs"]), max(len(row) for row in layout["signals"])
    num_signals = len({name for row in layout["signals"] for name in row if name})
    nowhere = np.zeros(1, dtype=bool)
    return {
        "step": np.zeros(1, np.int64),
        "stopped": nowhere,
        "held": nowhere,
        "any_step": nowhere,
        "scene": np.full((1, len(layout["objects"]), 3), np.nan),
        "reached": np.full((1, num_signals), -1),
        "subtask": np.zeros((1, num_eefs), np.int64),
        "source_demos": np.full((1, num_eefs, num_subtasks), -1),
        "tracking": np.full((1, num_eefs, num_subtasks, 4), np.nan),
    }
