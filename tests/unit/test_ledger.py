"""The end of a run: the same trials count in whatever order trials end."""

# K the number of trials that the result consists of

from dataclasses import dataclass

import numpy as np
import pytest

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.run.ledger import TrialLedger, is_surely_below
from isaaclab_mimic_ext.task.reasons import SUCCEEDED
from tests.tiers import first_in_check

NUM_REASONS = 3


@dataclass
class Ending:
    """End of a run according to the ledger."""

    num_attempts: int
    num_successes: int
    target_reached: bool


def one_after_another(config: DataGenConfig, outcomes: np.ndarray) -> Ending:
    """Result by definition: trials run one at a time, in order, until the first rule is met."""
    successes = failures = in_row = 0
    for index, success in enumerate(outcomes.tolist()):
        successes, failures = successes + success, failures + (not success)
        in_row = 0 if success else in_row + 1
        if (successes if config.generation_guarantee else index + 1) >= config.generation_num_trials:
            return Ending(index + 1, successes, True)
        if config.max_num_failures is not None and in_row >= config.max_num_failures:
            return Ending(index + 1, successes, False)
        if config.max_total_failures is not None and failures >= config.max_total_failures:
            return Ending(index + 1, successes, False)
        if config.max_trials is not None and index + 1 >= config.max_trials:
            return Ending(index + 1, successes, False)
        least, counts = config.min_success_rate, (np.array([successes]), np.array([index + 1]))
        if least is not None and is_surely_below(*counts, least)[0]:
            return Ending(index + 1, successes, False)
    raise AssertionError("too few outcomes")


def side_by_side(
    config: DataGenConfig, outcomes: np.ndarray, lengths: np.ndarray, num_envs: int, ended_before: np.ndarray | None = None
) -> tuple[TrialLedger, list[int]]:
    """The ledger's result with trials of these lengths in `num_envs` envs; and how many trials ran after each step.

    Args:
        ended_before: trials of an earlier session.
    """
    ledger, ends_at, clock = TrialLedger(config), {}, 0
    if ended_before is not None:
        ledger.restore(ended_before, np.where(outcomes[ended_before], SUCCEEDED, ended_before % NUM_REASONS))
    committed, running = ledger.committed, []
    while not ledger.is_over:
        for trial in ledger.start(num_envs - len(ends_at)).tolist():
            ends_at[trial] = clock + lengths[trial]
        running.append(len(ends_at))
        assert ends_at, "the ledger waits for a trial that nobody runs"
        if config.generation_guarantee and ended_before is None:
            # Nothing is started that would not be needed if all that run succeeded.
            assert ledger.num_ended_successes + len(ends_at) <= config.generation_num_trials
        clock = min(ends_at.values())
        ended = np.array([trial for trial, at in ends_at.items() if at == clock])
        for trial in ended.tolist():
            del ends_at[trial]
        ledger.end(ended, np.where(outcomes[ended], SUCCEEDED, np.arange(len(ended)) % NUM_REASONS))
        assert ledger.committed >= committed
        assert all(trial >= ledger.committed for trial in ends_at)
        committed = ledger.committed
    return ledger, running


def random_config(rng: np.random.Generator) -> DataGenConfig:
    return DataGenConfig(
        generation_guarantee=bool(rng.integers(3)),
        generation_num_trials=int(rng.integers(1, 40)),
        max_num_failures=None if rng.integers(2) else int(rng.integers(1, 8)),
        max_total_failures=None if rng.integers(2) else int(rng.integers(1, 30)),
        max_trials=None if rng.integers(3) else int(rng.integers(1, 60)),
        min_success_rate=None if rng.integers(3) else float(rng.uniform(0.05, 0.99)),
    )


@pytest.mark.parametrize("block", range(10))
def test_result_equals_the_result_of_trials_run_one_after_another(block: int) -> None:
    for seed in range(30 * block, 30 * block + 30):
        rng = np.random.default_rng(seed)
        config = random_config(rng)
        outcomes = rng.uniform(size=4000) < rng.choice([0.2, 0.5, 0.8, 0.97])
        # Successes are short and failures long, or the other way round: neither may be favoured.
        lengths = np.where(outcomes, *rng.permutation([5, 50])) + rng.integers(0, 30, len(outcomes))
        expected = one_after_another(config, outcomes)
        for num_envs in (1, int(rng.integers(2, 9)), int(rng.integers(10, 100))):
            ledger, _ = side_by_side(config, outcomes, lengths, num_envs)
            found = Ending(ledger.committed, ledger.num_successes, ledger.target_reached)
            assert found == expected, f"seed {seed}, {num_envs} envs, {config}"
            assert ledger.committed == expected.num_attempts
            assert ledger.num_failures == expected.num_attempts - expected.num_successes
            assert sum(ledger.failures("abc").values()) == ledger.num_failures


def test_short_failures_do_not_displace_long_successes() -> None:
    """Trial 0 succeeds slowly; 3 quick successes after it would make the target without it."""
    ledger = TrialLedger(DataGenConfig(generation_num_trials=3, max_num_failures=None))
    assert ledger.start(3).tolist() == [0, 1, 2]
    ledger.end(np.array([1]), np.where([False], SUCCEEDED, 0))
    assert ledger.start(1).tolist() == [3]
    ledger.end(np.array([2, 3]), np.where([True, True], SUCCEEDED, 0))
    assert not ledger.is_over
    assert ledger.committed == 0
    ledger.end(np.array([0]), np.where([True], SUCCEEDED, 0))
    assert (ledger.committed, ledger.target_reached, ledger.stop_reason) == (4, True, "target reached")


def test_trials_beyond_the_target_do_not_count() -> None:
    ledger = TrialLedger(DataGenConfig(generation_num_trials=2, max_num_failures=None))
    ledger.start(2)
    ledger.end(np.array([0]), np.where([False], SUCCEEDED, [1]))
    ledger.start(1)
    ledger.end(np.array([2, 1]), np.where([True, False], SUCCEEDED, [0, 2]))
    assert not ledger.is_over
    assert ledger.start(9).tolist() == [3]
    ledger.end(np.array([3]), np.where([True], SUCCEEDED, 0))
    assert (ledger.committed, ledger.target_reached, ledger.stop_reason) == (4, True, "target reached")
    assert ledger.start(5).tolist() == []
    assert ledger.failures(["never grasped", "dropped", "tilted"]) == {"dropped": 1, "tilted": 1}


def test_failures_in_a_row_follow_the_numbers_of_the_trials_not_the_order_of_ends() -> None:
    """1 and 3, then 4 fail before 2 has ended; only 3 and 4 follow each other in the order of their numbers."""
    ledger = TrialLedger(DataGenConfig(generation_num_trials=10, max_num_failures=2))
    ledger.start(5)
    ledger.end(np.array([1, 3]), np.where([False, False], SUCCEEDED, 0))
    ledger.end(np.array([0]), np.where([True], SUCCEEDED, 0))
    assert not ledger.is_over
    ledger.end(np.array([4]), np.where([False], SUCCEEDED, 0))
    assert not ledger.is_over
    ledger.end(np.array([2]), np.where([True], SUCCEEDED, 0))
    assert ledger.is_over
    assert ledger.committed == 5
    assert "max_num_failures: 2 trials in a row failed" in str(ledger.stop_reason)


def test_failures_in_a_row_continue_across_commits() -> None:
    ledger = TrialLedger(DataGenConfig(generation_num_trials=10, max_num_failures=3))
    for trial in range(3):
        assert not ledger.is_over
        ledger.start(1)
        ledger.end(np.array([trial]), np.where([False], SUCCEEDED, 0))
    assert ledger.is_over and not ledger.target_reached


def test_maximum_of_total_failures_ends_a_run() -> None:
    ledger = TrialLedger(DataGenConfig(generation_num_trials=10, max_num_failures=None, max_total_failures=2))
    ledger.start(4)
    ledger.end(np.arange(4), np.where([False, True, False, True], SUCCEEDED, 0))
    assert ledger.is_over
    assert ledger.committed == 3
    assert "max_total_failures" in str(ledger.stop_reason)


def test_without_guarantee_the_target_is_a_number_of_trials() -> None:
    ledger = TrialLedger(DataGenConfig(generation_guarantee=False, generation_num_trials=4, max_num_failures=None))
    assert ledger.start(3).tolist() == [0, 1, 2]
    ledger.end(np.arange(3), np.zeros(3, dtype=int))
    assert ledger.start(3).tolist() == [3]
    ledger.end(np.array([3]), np.where([True], SUCCEEDED, 0))
    assert (ledger.committed, ledger.target_reached, ledger.stop_reason) == (4, True, "target reached")
    assert ledger.num_successes == 1


def test_target_reached_in_the_same_trial_as_a_budget_counts_as_reached() -> None:
    config = DataGenConfig(generation_guarantee=False, generation_num_trials=2, max_num_failures=2)
    ledger = TrialLedger(config)
    ledger.start(2)
    ledger.end(np.arange(2), np.zeros(2, dtype=int))
    assert ledger.target_reached


def test_ledger_grows_beyond_its_initial_capacity() -> None:
    config = DataGenConfig(generation_num_trials=5000, max_num_failures=None)
    outcomes = np.arange(20000) % 3 == 0
    ledger, running = side_by_side(config, outcomes, np.ones(20000, dtype=int), 3000)
    assert ledger.is_over
    assert ledger.committed == 14998
    assert running[0] == 3000


@pytest.mark.parametrize("block", range(5))
def test_restored_ledger_gives_the_result_of_an_uninterrupted_session(block: int) -> None:
    for seed in range(30 * block, 30 * block + 30):
        rng = np.random.default_rng(seed)
        config = random_config(rng)
        outcomes = rng.uniform(size=4000) < rng.choice([0.2, 0.5, 0.8, 0.97])
        lengths = rng.integers(5, 60, len(outcomes))
        expected = one_after_another(config, outcomes)
        # Trials end out of order, and the last ones may not have been saved when the kill came.
        reach = int(rng.integers(0, expected.num_attempts + 20))
        ended_before = np.flatnonzero(rng.uniform(size=reach) < rng.choice([0.0, 0.5, 0.95, 1.0]))
        ledger, _ = side_by_side(config, outcomes, lengths, int(rng.integers(1, 40)), ended_before)
        found = Ending(ledger.committed, ledger.num_successes, ledger.target_reached)
        assert found == expected, f"seed {seed}, {config}"


def test_unfinished_trials_run_again_before_new_trials() -> None:
    ledger = TrialLedger(DataGenConfig(generation_num_trials=10, max_num_failures=None))
    ledger.restore(np.array([0, 3, 5]), np.where([True, False, True], SUCCEEDED, [0, 1, 0]))
    assert (ledger.committed, ledger.num_ended, ledger.num_ended_successes) == (1, 3, 2)
    assert ledger.start(2).tolist() == [1, 2]
    assert ledger.start(3).tolist() == [4, 6, 7]


def test_run_that_is_over_stays_over_when_restored() -> None:
    ledger = TrialLedger(DataGenConfig(generation_num_trials=2, max_num_failures=None))
    ledger.restore(np.array([0, 1, 4]), np.where([True, True, True], SUCCEEDED, 0))
    assert (ledger.committed, ledger.target_reached, ledger.stop_reason) == (2, True, "target reached")
    assert ledger.start(5).tolist() == []


def test_maximum_of_trials_ends_a_run_and_no_further_trials_start() -> None:
    ledger = TrialLedger(DataGenConfig(generation_num_trials=10, max_num_failures=None, max_trials=4))
    assert ledger.start(9).tolist() == [0, 1, 2, 3]
    ledger.end(np.arange(4), np.where([True, False, True, True], SUCCEEDED, 0))
    assert (ledger.committed, ledger.target_reached, ledger.stop_reason) == (4, False, "max_trials: 4 trials were made")


def test_stopped_run_counts_the_committed_trials_and_keeps_its_first_stop_reason() -> None:
    ledger = TrialLedger(DataGenConfig(generation_num_trials=10, max_num_failures=None))
    ledger.start(4)
    ledger.end(np.array([0, 1, 3]), np.full(3, SUCCEEDED))
    ledger.stop("max_time: 1 h have passed")
    ledger.stop("something else")
    assert (ledger.committed, ledger.target_reached, ledger.stop_reason) == (2, False, "max_time: 1 h have passed")


def test_success_rate_that_is_surely_too_low_ends_a_run() -> None:
    config = DataGenConfig(generation_num_trials=1000, max_num_failures=None, min_success_rate=0.5)
    ledger, _ = side_by_side(config, np.arange(2000) % 5 == 0, np.ones(2000, dtype=int), 10)
    assert "min_success_rate" in str(ledger.stop_reason)
    assert ledger.committed < 40


@pytest.mark.slow
@pytest.mark.parametrize("rate", first_in_check([0.1, 0.5, 0.9, 0.99]))
def test_about_one_percent_of_runs_with_a_true_success_rate_at_the_bound_are_stopped(rate: float) -> None:
    """Asked after every one of 2000 trials, of 1000 runs; and of runs that are clearly below it, all are stopped."""
    rng, trials = np.random.default_rng(0), np.arange(1, 2001)

    def stopped(true_rate: float) -> float:
        successes = np.cumsum(rng.uniform(size=(1000, len(trials))) < true_rate, axis=1)
        return float(is_surely_below(successes, trials, rate).any(axis=1).mean())

    assert stopped(rate) < 0.015
    assert stopped(0.5 * rate) > 0.95


def test_minimum_success_rate_of_one_ends_a_run_at_the_first_failure() -> None:
    assert is_surely_below(np.array([5, 5]), np.array([5, 6]), 1.0).tolist() == [False, True]
    assert not is_surely_below(np.array([0, 0]), np.array([1, 1000]), 0.0).any()


def test_trials_that_are_given_back_start_again_before_others() -> None:
    ledger = TrialLedger(DataGenConfig(generation_num_trials=10), first_trial=100)
    assert ledger.start(4).tolist() == [100, 101, 102, 103]
    ledger.end(np.array([101]), np.array([SUCCEEDED]))
    ledger.give_back(np.array([100, 103]))
    assert ledger.has_ended(np.array([100, 101])).tolist() == [False, True]
    assert ledger.start(3).tolist() == [100, 103, 104]
