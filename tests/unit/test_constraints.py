"""Constraints between end effectors: refused constraints, groups, order of events and longest times."""

from typing import Any

import pytest

from isaaclab_mimic_ext.config import SubTaskConfig, SubTaskConstraintConfig
from isaaclab_mimic_ext.config.constraints import EventOrder, check_constraints, groups
from isaaclab_mimic_ext.errors import TaskSpecError

SUBTASKS = {
    eef: [SubTaskConfig(object_ref="tray", subtask_term_signal=f"{eef}_{i}") for i in range(3)]
    for eef in ("left", "right", "third")
}


def after(former: tuple[str, int], latter: tuple[str, int], min_time_diff: int = -1) -> SubTaskConstraintConfig:
    return SubTaskConstraintConfig(
        eef_subtask_constraint_tuple=[list(former), list(latter)],
        constraint_type="sequential",
        sequential_min_time_diff=min_time_diff,
    )


def together(a: tuple[str, int], b: tuple[str, int], **values: Any) -> SubTaskConstraintConfig:
    return SubTaskConstraintConfig(eef_subtask_constraint_tuple=[list(a), list(b)], constraint_type="coordination", **values)


FEASIBLE = {
    "none": [],
    "a hand-over": [after(("left", 0), ("right", 1)), after(("right", 1), ("left", 2))],
    "a lift with both hands": [together(("left", 1), ("right", 1), coordination_synchronize_start=True)],
    "three hands": [together(("left", 1), ("right", 1)), together(("right", 1), ("third", 0))],
    "several on one subtask": [after(("left", 0), ("right", 2)), after(("third", 0), ("right", 2), 5)],
    "a wait within coordination": [together(("left", 1), ("right", 1)), after(("third", 1), ("left", 1), 4)],
}


@pytest.mark.parametrize("name", FEASIBLE)
def test_constraints_that_can_be_met_are_accepted(name: str) -> None:
    check_constraints(FEASIBLE[name], SUBTASKS)


DEADLOCKS = {
    "both wait for each other": [after(("left", 1), ("right", 1)), after(("right", 1), ("left", 1))],
    "the former comes after the latter": [after(("left", 2), ("right", 0)), after(("right", 1), ("left", 0))],
    "at the end": [after(("left", 1), ("right", 1), 3), after(("right", 1), ("left", 1), 3)],
    "in turn through three": [
        after(("left", 1), ("right", 0)),
        after(("right", 1), ("third", 0)),
        after(("third", 1), ("left", 0)),
    ],
    "together, yet one after the other": [together(("left", 1), ("right", 1)), after(("left", 1), ("right", 1), 2)],
    "together, yet the one begins later": [together(("left", 1), ("right", 1)), after(("left", 1), ("right", 1))],
    "with both of two successive subtasks": [together(("left", 0), ("right", 0)), together(("left", 0), ("right", 1))],
    "begin together, crosswise": [
        together(("left", 0), ("right", 1), coordination_synchronize_start=True),
        together(("left", 1), ("right", 0), coordination_synchronize_start=True),
    ],
}


@pytest.mark.parametrize("name", DEADLOCKS)
def test_a_deadlock_is_refused_and_its_events_are_named(name: str) -> None:
    with pytest.raises(TaskSpecError, match=r"deadlock, .*: (\w+\.\d (begin|end)s -> )+.*; remove or reverse one"):
        check_constraints(DEADLOCKS[name], SUBTASKS)


def constraint(**values: Any) -> SubTaskConstraintConfig:
    return SubTaskConstraintConfig(**{**vars(after(("left", 0), ("right", 0))), **values})


WRONG = [
    (
        {"eef_subtask_constraint_tuple": [["left", 0]]},
        r"\.0\.eef_subtask_constraint_tuple: must be two .*\(got \[\['left', 0\]\]\)",
    ),
    ({"eef_subtask_constraint_tuple": [["left", 0], "right"]}, r"must be two subtasks, such as \[\[left, 0\]"),
    ({"eef_subtask_constraint_tuple": [["left", "0"], ["right", 0]]}, "must be two subtasks"),
    ({"eef_subtask_constraint_tuple": [["left", True], ["right", 0]]}, "must be two subtasks"),
    ({"eef_subtask_constraint_tuple": [["lift", 0], ["right", 0]]}, r"end effector 'lift' is not .*did you mean 'left'\?"),
    ({"eef_subtask_constraint_tuple": [["left", 3], ["right", 0]]}, "subtask 3 of 'left' not found; choices: 0 to 2"),
    ({"eef_subtask_constraint_tuple": [["left", -1], ["right", 0]]}, "subtask -1 of 'left' not found; choices: 0 to 2"),
    (
        {"eef_subtask_constraint_tuple": [["left", 0], ["left", 1]]},
        r"of two end effectors \(got two of 'left'",
    ),
    ({"constraint_type": "parallel"}, r"\.constraint_type: 'parallel' is not valid; .*sequential"),
    ({"coordination_scheme": "rotate"}, r"\.coordination_scheme: 'rotate' is not valid; .*replay"),
    ({"sequential_min_time_diff": 0}, r"\.sequential_min_time_diff: must be -1 .* or >= 1 .*\(got 0\)"),
    ({"sequential_min_time_diff": -2}, r"\.sequential_min_time_diff: must be -1 .*\(got -2\)"),
    ({"coordination_scheme_pos_noise_scale": -0.1}, r"\.coordination_scheme_pos_noise_scale: must be >= 0 \(got -0.1\)"),
    (
        {"coordination_scheme_rot_noise_scale": float("nan")},
        r"scheme_rot_noise_scale: must be finite and >= 0 \(got nan\)",
    ),
]


@pytest.mark.parametrize(("values", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_value_is_refused_with_its_place(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskSpecError, match=message):
        check_constraints([constraint(**values)], SUBTASKS)


def test_a_moving_scheme_needs_objects_on_both_sides() -> None:
    subtasks = SUBTASKS | {"right": [SubTaskConfig(), *SUBTASKS["right"][1:]]}
    with pytest.raises(TaskSpecError, match=r"'transform' requires an object, but right\.0 has no object_ref"):
        check_constraints([together(("left", 0), ("right", 0), coordination_scheme="transform")], subtasks)
    check_constraints([together(("left", 0), ("right", 0), coordination_scheme="replay")], subtasks)


def test_one_group_cannot_have_two_schemes() -> None:
    chain = [
        together(("left", 0), ("right", 0), coordination_scheme="transform"),
        together(("right", 0), ("third", 0), coordination_scheme="translate"),
    ]
    with pytest.raises(TaskSpecError, match=r"left\.0, right\.0, third\.0 .*transform .* and translate .*same"):
        check_constraints(chain, SUBTASKS)
    apart = [chain[0], together(("right", 1), ("third", 0), coordination_scheme="translate")]
    check_constraints(apart, SUBTASKS)


def test_groups_are_in_the_order_of_their_first_constraint() -> None:
    a, b, c, d, e = [("left", i) for i in range(5)]
    assert groups([]) == []
    assert groups([(a, b), (a, b)]) == [[a, b]]
    assert groups([(a, b), (c, d), (b, e)]) == [[a, b, e], [c, d]]
    assert groups([(a, b), (c, d), (e, a), (d, b)]) == [[a, b, e, c, d]]


def test_the_longest_time_follows_the_longest_chain_of_waits() -> None:
    counts = {"left": 2, "right": 2}
    durations = {("left", 0): 10, ("left", 1): 20, ("right", 0): 3, ("right", 1): 4}
    pauses = dict.fromkeys(durations, 0)

    def longest(*constraints: SubTaskConstraintConfig, **more: int) -> int:
        return EventOrder(counts, constraints).longest_time(durations, pauses | {("right", 1): more.get("pause", 0)})

    assert longest() == 30
    assert longest(after(("left", 1), ("right", 0))) == 30 + 3 + 4
    assert longest(after(("left", 1), ("right", 1), 2)) == 30 + 2
    assert longest(together(("left", 0), ("right", 1))) == 10 + 20
    assert longest(together(("left", 0), ("right", 1)), pause=5) == 10 + 5 + 20
    assert longest(after(("left", 1), ("right", 1), 2), pause=5) == 30 + 2 + 5
    assert longest(after(("left", 1), ("right", 1), 10**30)) == 30 + 4
    assert longest(together(("left", 1), ("right", 0), coordination_synchronize_start=True)) == 10 + 20 + 4


def test_longest_time_includes_the_pauses_of_all_coordinated_subtasks() -> None:
    chain = [together(("left", 0), ("right", 0)), together(("right", 0), ("third", 0))]
    order = EventOrder({"left": 1, "right": 1, "third": 1}, chain)
    pauses = {("left", 0): 5, ("right", 0): 7, ("third", 0): 1}
    assert order.longest_time({("left", 0): 10, ("right", 0): 3, ("third", 0): 4}, pauses) == 10 + 5 + 7 + 1
