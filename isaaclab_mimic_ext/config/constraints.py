"""Constraints between end effectors, and the check that an order of events exists that meets all of them.

A subtask is identified by (end effector, index). An event is the begin or the end of a subtask.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from isaaclab_mimic_ext.config.bounds import check_bounds
from isaaclab_mimic_ext.config.task import SubTaskConfig, SubTaskConstraintConfig
from isaaclab_mimic_ext.errors import TaskSpecError, choices

SubtaskId = tuple[str, int]
Event = tuple[str, SubtaskId]
"""(`begin` or `end`, subtask)."""


@dataclass(frozen=True)
class Sequential:
    """`latter` waits for the end of `former`: before it begins (-1), or `num_steps_before_end` steps before its end."""

    former: SubtaskId
    latter: SubtaskId
    num_steps_before_end: int


@dataclass(frozen=True)
class Coordination:
    """Two subtasks that use the same source demo and transform, and end together."""

    members: tuple[SubtaskId, SubtaskId]
    scheme: str
    pos_noise_scale: float
    rot_noise_scale: float
    synchronize_start: bool


def sequentials(configs: Sequence[SubTaskConstraintConfig]) -> list[Sequential]:
    """Return the sequential constraints of a validated configuration."""
    return [
        Sequential(*_members(config), config.sequential_min_time_diff)
        for config in configs
        if config.constraint_type == "sequential"
    ]


def coordinations(configs: Sequence[SubTaskConstraintConfig]) -> list[Coordination]:
    """Return the coordination constraints of a validated configuration."""
    return [
        Coordination(
            _members(config),
            config.coordination_scheme,
            config.coordination_scheme_pos_noise_scale,
            config.coordination_scheme_rot_noise_scale,
            config.coordination_synchronize_start,
        )
        for config in configs
        if config.constraint_type == "coordination"
    ]


def _members(config: SubTaskConstraintConfig) -> tuple[SubtaskId, SubtaskId]:
    (eef_a, subtask_a), (eef_b, subtask_b) = config.eef_subtask_constraint_tuple
    return (eef_a, subtask_a), (eef_b, subtask_b)


def groups(pairs: Iterable[tuple[SubtaskId, SubtaskId]]) -> list[list[SubtaskId]]:
    """Return groups of subtasks that are connected by pairs, directly or through other subtasks, in the order of `pairs`."""
    joined: list[list[SubtaskId]] = []
    for pair in pairs:
        touched = [number for number, group in enumerate(joined) if set(group) & set(pair)]
        merged = list(dict.fromkeys([*(member for number in touched for member in joined[number]), *pair]))
        place = touched[0] if touched else len(joined)
        joined = [group for number, group in enumerate(joined) if number not in touched]
        joined.insert(place, merged)
    return joined


class EventOrder:
    """Graph of the events that happen together and of the events that must precede others.

    Args:
        num_subtasks: number of subtasks of each end effector.
        configs: constraints between subtasks that exist.
    """

    def __init__(self, num_subtasks: Mapping[str, int], configs: Sequence[SubTaskConstraintConfig]):
        self._configs = configs
        self._subtasks = [(eef, index) for eef, count in num_subtasks.items() for index in range(count)]
        together = [tuple(("end", member) for member in c.members) for c in coordinations(configs)]
        together += [tuple(("begin", m) for m in c.members) for c in coordinations(configs) if c.synchronize_start]
        self._instant: dict[Event, int] = {}
        for kind in ("begin", "end"):
            self._instant |= {(kind, subtask): len(self._instant) + i for i, subtask in enumerate(self._subtasks)}
        for first, second in together:
            kept, dropped = self._instant[first], self._instant[second]
            self._instant = {event: kept if at == dropped else at for event, at in self._instant.items()}

    def cycle(self) -> list[Event] | None:
        """Return a cycle of events (each must precede the next, the last must precede the first); None if none exists."""
        try:
            list(self._sorter(self._edges({}, {})).static_order())
        except CycleError as error:
            names = {at: event for event, at in reversed(self._instant.items())}
            return [names[at] for at in error.args[1][:-1]]
        return None

    def longest_time(self, durations: Mapping[SubtaskId, int], pauses: Mapping[SubtaskId, int]) -> int:
        """Return the latest time of the last event [steps], if no subtask takes longer than its duration plus its pauses.

        A subtask may pause at any time, also while it waits for other subtasks. Coordinated subtasks pause together.
        """
        edges = self._edges(durations, self._pauses_together(pauses))
        time: dict[int, int] = {}
        for instant in self._sorter(edges).static_order():
            time[instant] = max((time[a] + lag for a, b, lag in edges if b == instant), default=0)
        return max(time.values())

    def _pauses_together(self, pauses: Mapping[SubtaskId, int]) -> dict[SubtaskId, int]:
        """Return the pauses of each subtask [steps], including those of subtasks that are coordinated with it."""
        together = dict(pauses)
        for group in groups(c.members for c in coordinations(self._configs)):
            together |= dict.fromkeys(group, sum(pauses[member] for member in group))
        return together

    @staticmethod
    def _sorter(edges: Sequence[tuple[int, int, int]]) -> "TopologicalSorter[int]":
        sorter: TopologicalSorter[int] = TopologicalSorter()
        for earlier, later, _ in edges:
            sorter.add(later, earlier)
        return sorter

    def _edges(self, durations: Mapping[SubtaskId, int], pauses: Mapping[SubtaskId, int]) -> list[tuple[int, int, int]]:
        """Return (earlier instant, later instant, largest number of steps between them without other waits)."""
        edges: list[tuple[Event, Event, int]] = []
        for eef, index in self._subtasks:
            longest = durations.get((eef, index), 1) + pauses.get((eef, index), 0)
            edges.append((("begin", (eef, index)), ("end", (eef, index)), longest))
            if (eef, index + 1) in self._subtasks:
                edges.append((("end", (eef, index)), ("begin", (eef, index + 1)), 0))
        for constraint in sequentials(self._configs):
            waits_at_start = constraint.num_steps_before_end == -1
            event: Event = ("begin" if waits_at_start else "end", constraint.latter)
            # A subtask that is shorter than `num_steps_before_end` waits at its begin.
            rest = min(constraint.num_steps_before_end, durations.get(constraint.latter, 1))
            rest = 0 if waits_at_start else rest + pauses.get(constraint.latter, 0)
            edges.append((("end", constraint.former), event, rest))
        return [(self._instant[earlier], self._instant[later], lag) for earlier, later, lag in edges]


def check_constraints(configs: Sequence[SubTaskConstraintConfig], subtasks: Mapping[str, Sequence[SubTaskConfig]]) -> None:
    """Check that constraints refer to existing subtasks, agree with each other and cause no deadlock.

    Raises:
        TaskSpecError: with the constraint, its value and the remedy.
    """
    for index, config in enumerate(configs):
        place = f"task_constraint_configs.{index}"
        _check_members(place, config, subtasks)
        _check_values(place, config, subtasks)
    _check_schemes(configs)
    cycle = EventOrder({eef: len(items) for eef, items in subtasks.items()}, configs).cycle()
    if cycle is not None:
        chain = " -> ".join(f"{eef}.{index} {kind}s" for kind, (eef, index) in [*cycle, cycle[0]])
        raise TaskSpecError(
            f"task_constraint_configs: deadlock, each of these events waits for the one before it: {chain}; remove "
            "or reverse one of the constraints"
        )


def _check_members(place: str, config: SubTaskConstraintConfig, subtasks: Mapping[str, Sequence[SubTaskConfig]]) -> None:
    place = f"{place}.eef_subtask_constraint_tuple"
    found = config.eef_subtask_constraint_tuple
    if len(found) != 2 or not all(_is_member(member) for member in found):
        raise TaskSpecError(f"{place}: must be two subtasks, such as [[left, 0], [right, 1]] (got {_to_lists(found)})")
    for eef, index in found:
        if eef not in subtasks:
            raise TaskSpecError(f"{place}: end effector '{eef}' is not in subtask_configs; {choices(eef, subtasks)}")
        if not 0 <= index < len(subtasks[eef]):
            last = len(subtasks[eef]) - 1
            raise TaskSpecError(f"{place}: subtask {index} of '{eef}' not found; choices: 0 to {last}")
    if found[0][0] == found[1][0]:
        raise TaskSpecError(
            f"{place}: must be subtasks of two end effectors (got two of '{found[0][0]}', which are in order anyway)"
        )


def _is_member(member: object) -> bool:
    is_pair = isinstance(member, Sequence) and not isinstance(member, str) and len(member) == 2
    return is_pair and isinstance(member[0], str) and type(member[1]) is int  # type: ignore[index]


def _to_lists(found: Sequence[object]) -> list[object]:
    return [list(member) if isinstance(member, Sequence) and not isinstance(member, str) else member for member in found]


def _check_values(place: str, config: SubTaskConstraintConfig, subtasks: Mapping[str, Sequence[SubTaskConfig]]) -> None:
    check_bounds(config, place)
    if config.constraint_type == "coordination" and config.coordination_scheme != "replay":
        for eef, index in _members(config):
            if subtasks[eef][index].object_ref is None:
                reason = f"'{config.coordination_scheme}' requires an object, but {eef}.{index} has no object_ref"
                raise TaskSpecError(f"{place}.coordination_scheme: {reason}; set its object_ref, or use 'replay'")


def _check_schemes(configs: Sequence[SubTaskConstraintConfig]) -> None:
    """Check that coordinated subtasks have equal settings: directly or through other subtasks, they share one transform."""
    constraints = coordinations(configs)
    for group in groups(c.members for c in constraints):
        schemes = [(c.scheme, c.pos_noise_scale, c.rot_noise_scale) for c in constraints if set(c.members) <= set(group)]
        if len(set(schemes)) > 1:
            names = ", ".join(f"{eef}.{index}" for eef, index in group)
            found = " and ".join(f"{scheme} (noise {pos} m, {rot} rad)" for scheme, pos, rot in dict.fromkeys(schemes))
            raise TaskSpecError(
                f"task_constraint_configs: {names} are coordinated and share one transform, but their schemes differ "
                f"({found}); use the same coordination_scheme and noise scales for all of them"
            )
