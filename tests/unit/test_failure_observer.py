"""Reasons of failure from observed conditions, compared with a plain loop over the same steps."""

# N envs, T steps

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.errors import TaskSpecError
from isaaclab_mimic_ext.run.failures import FailureObserver
from isaaclab_mimic_ext.task.reasons import DIVERGED, FLICKERED, NEVER_SOLVED, NOT_HELD, TOO_LATE, FailureReason

NAMES = ("a", "b", "c")
CPU = torch.device("cpu")


def observe(
    reasons: Sequence[FailureReason],
    conditions: dict[str, list[int]],
    success: list[int],
    planner_messages: Sequence[str] = (),
    planner_failure: int = 0,
    broken: int = -1,
) -> tuple[str, int]:
    """The reason and the step of one trial with these steps."""
    columns = {name: torch.tensor([steps], dtype=torch.bool) for name, steps in conditions.items()}
    observer = FailureObserver(reasons, {name: rows[:, 0] for name, rows in columns.items()}, 1, CPU, planner_messages)
    observer.begin(torch.tensor([0]))
    for step, solved in enumerate(success):
        present = {name: rows[:, step] for name, rows in columns.items()}
        observer.watch(torch.tensor([step]), present, torch.tensor([bool(solved)]))
    observer.fail_planner(torch.tensor([planner_failure]))
    code, when = observer.reasons(torch.tensor([0]), torch.tensor([len(success)]), torch.tensor([broken]))
    return observer.names[int(code)], int(when)


NEVER = FailureReason("never a", "a")
EVER = FailureReason("once a", "a", "ever")
LOST = FailureReason("lost a", "a", "lost")


@pytest.mark.parametrize(
    ("reason", "steps", "expected"),
    [
        (NEVER, [0, 0, 0, 0], ("never a", 3)),
        (NEVER, [0, 1, 0, 0], (NEVER_SOLVED, 3)),
        (EVER, [0, 1, 0, 1], ("once a", 1)),
        (EVER, [0, 0, 0, 0], (NEVER_SOLVED, 3)),
        (LOST, [0, 1, 1, 0], ("lost a", 3)),
        (LOST, [1, 0, 1, 0], ("lost a", 3)),
        (LOST, [0, 1, 0, 1], (NEVER_SOLVED, 3)),
        (LOST, [0, 0, 0, 0], (NEVER_SOLVED, 3)),
    ],
)
def test_reason_holds_at_the_step_that_its_kind_defines(
    reason: FailureReason, steps: list[int], expected: tuple[str, int]
) -> None:
    assert observe([reason], {"a": steps}, [0] * 4) == expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [("ever", ("b then a", 3)), ("never", (NEVER_SOLVED, 4)), ("lost", ("b then a", 4))],
)
def test_condition_with_after_does_not_count_before_the_other_condition(when: str, expected: tuple[str, int]) -> None:
    reason = FailureReason("b then a", "a", when, after="b")  # type: ignore[arg-type]
    assert observe([reason], {"a": [1, 0, 0, 1, 0], "b": [0, 1, 0, 0, 0]}, [0] * 5) == expected


@pytest.mark.parametrize("when", ["never", "ever", "lost"])
def test_reason_with_after_does_not_hold_if_the_other_condition_was_never_true(when: str) -> None:
    reason = FailureReason("b then a", "a", when, after="b")  # type: ignore[arg-type]
    assert observe([reason], {"a": [0, 1, 0], "b": [0, 0, 0]}, [0] * 3)[0] == NEVER_SOLVED


def test_first_reason_in_the_order_of_the_task_wins() -> None:
    conditions = {"a": [0, 0, 0], "b": [0, 1, 0]}
    reasons = [FailureReason("once b", "b", "ever"), NEVER]
    assert observe(reasons, conditions, [0] * 3)[0] == "once b"
    assert observe(reasons[::-1], conditions, [0] * 3)[0] == "never a"


@pytest.mark.parametrize(
    ("success", "expected"),
    [
        ([0, 0, 0, 0], (NEVER_SOLVED, 3)),
        ([0, 1, 0, 1], (FLICKERED, 1)),
        ([0, 0, 0, 1], (TOO_LATE, 3)),
        ([0, 1, 1, 0], (NOT_HELD, 3)),
        ([1, 0, 0, 0], (NOT_HELD, 1)),
    ],
)
def test_success_determines_the_reason_if_no_reason_of_the_task_holds(success: list[int], expected: tuple[str, int]) -> None:
    assert observe([NEVER], {"a": [1] * 4}, success) == expected


def test_diverged_physics_and_planner_failures_take_precedence() -> None:
    messages = ("no clear path", "out of reach")
    assert observe([NEVER], {"a": [0] * 4}, [0] * 4, broken=2) == (DIVERGED, 2)
    assert observe([NEVER], {"a": [0] * 4}, [0] * 4, messages, 2) == ("the planner failed: out of reach", 3)
    assert observe([NEVER], {"a": [0] * 4}, [0] * 4, (), 1) == ("the planner failed", 3)
    assert observe([NEVER], {"a": [0] * 4}, [0] * 4, messages, 2, broken=1) == (DIVERGED, 1)


def _expected(reasons: Sequence[FailureReason], rows: dict[str, np.ndarray], success: np.ndarray) -> tuple[str, int]:
    """The same, read off the steps (T,) of one trial."""
    end = len(success) - 1
    for reason in reasons:
        true = rows[reason.condition].copy()
        if reason.after is not None:
            if not rows[reason.after].any():
                continue
            true[: int(rows[reason.after].argmax()) + 1] = False
        if reason.when == "never" and not true.any():
            return reason.name, end
        if reason.when == "ever" and true.any():
            return reason.name, int(true.argmax())
        if reason.when == "lost" and true.any() and not true[end]:
            return reason.name, int(np.flatnonzero(true)[-1]) + 1
    if not success.any():
        return NEVER_SOLVED, end
    rises = np.flatnonzero(success & ~np.concatenate(([False], success[:-1])))
    if len(rises) > 1:
        return FLICKERED, int(rises[0])
    return (TOO_LATE, int(rises[0])) if success[end] else (NOT_HELD, int(np.flatnonzero(success)[-1]) + 1)


@pytest.mark.parametrize("seed", range(20))
def test_parallel_trials_have_the_same_reasons_as_single_trials(seed: int) -> None:
    """Random conditions, trials of different lengths, several trials per env."""
    rng = np.random.default_rng(seed)
    reasons = [
        FailureReason(
            f"reason {index}", str(rng.choice(NAMES)), str(rng.choice(["never", "ever", "lost"])),  # type: ignore[arg-type]
            None if rng.random() < 0.6 else str(rng.choice(NAMES)),
        )
        for index in range(rng.integers(0, 4))
    ]  # fmt: skip
    num_envs, most = 4, 40
    none = {name: torch.zeros(num_envs, dtype=torch.bool) for name in NAMES}
    observer = FailureObserver(reasons, none, num_envs, CPU, also=NAMES)
    for _ in range(3):
        rows = {name: rng.random((num_envs, most)) < rng.choice([0.05, 0.3, 0.8]) for name in NAMES}
        success = rng.random((num_envs, most)) < rng.choice([0.0, 0.1, 0.6])
        lengths = rng.integers(1, most + 1, num_envs)
        observer.begin(torch.arange(num_envs))
        for step in range(most):
            # The conditions of idle envs must not change the result.
            ended = torch.from_numpy(np.flatnonzero(lengths == step))
            if len(ended):  # The observer evaluates the steps since the last question together.
                _compare(observer, reasons, ended, rows, success, lengths)
            present = {name: torch.from_numpy(values[:, step]) for name, values in rows.items()}
            observer.watch(torch.full((num_envs,), step), present, torch.from_numpy(success[:, step]))
        _compare(observer, reasons, torch.from_numpy(np.flatnonzero(lengths == most)), rows, success, lengths)


def _compare(
    observer: FailureObserver,
    reasons: Sequence[FailureReason],
    env_ids: torch.Tensor,
    rows: dict[str, np.ndarray],
    success: np.ndarray,
    lengths: np.ndarray,
) -> None:
    codes, steps = observer.reasons(env_ids, torch.from_numpy(lengths)[env_ids])
    first = observer.first_true(env_ids, NAMES)
    for place, env in enumerate(env_ids.tolist()):
        of_env = {name: values[env, : lengths[env]] for name, values in rows.items()}
        expected = _expected(reasons, of_env, success[env, : lengths[env]])
        assert (observer.names[int(codes[place])], int(steps[place])) == expected
        assert first[place].tolist() == [int(of_env[n].argmax()) if of_env[n].any() else -1 for n in NAMES]


def test_reason_with_an_unknown_condition_is_refused() -> None:
    conditions = {"grasp": torch.zeros(2, dtype=torch.bool)}
    for reason in (FailureReason("x", "gasp"), FailureReason("x", "grasp", "ever", after="gasp")):
        with pytest.raises(
            TaskSpecError, match=r"failure reason 'x': 'gasp' is not a condition of the task; .*did you mean 'grasp'"
        ):
            FailureObserver([reason], conditions, 2, CPU)
    with pytest.raises(TaskSpecError, match="term signal 'lift' is not a condition of the task; choices: grasp"):
        FailureObserver([], conditions, 2, CPU, also=["lift"])
    twice = [FailureReason("x", "grasp"), FailureReason("x", "grasp", "lost")]
    with pytest.raises(TaskSpecError, match="failure reason 'x': must be a unique name"):
        FailureObserver(twice, conditions, 2, CPU)
