"""One trial of several end effectors, step by step and one after the other: the reference of the batched planner."""

# T steps of a demo, D demos

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tests.golden.oracle import (
    Chance,
    Coordination,
    Demo,
    Pose,
    Rules,
    Scene,
    Sequential,
    Subtask,
    Waypoint,
    rotation,
    segment,
    select_demo,
    selects_again,
    spans_of_demo,
    to_now,
)

SubtaskOf = tuple[str, int]
"""An end effector and the index of one of its subtasks."""
Motion = Callable[[str, Pose, Pose], list[Pose]]
"""Transit of an end effector from one pose to another, the last one included (SkillGen)."""


@dataclass(frozen=True)
class Problem:
    """Inputs of a trial; end effectors are processed in the order of `subtasks`."""

    demos: Sequence[Demo]
    subtasks: Mapping[str, Sequence[Subtask]]
    sequentials: Sequence[Sequential]
    coordinations: Sequence[Coordination]
    rules: Rules
    motion: Motion | None = None


@dataclass
class Arm:
    """State of one end effector during a trial."""

    name: str
    last: Waypoint
    index: int = 0
    plan: list[Waypoint] | None = None
    executed: int = 0
    steps_still: int = 0
    is_done: bool = False

    @property
    def who(self) -> SubtaskOf:
        return self.name, self.index

    @property
    def remaining(self) -> float:
        """Number of waypoints of the current subtask that have not been executed."""
        return math.inf if self.plan is None else len(self.plan) - self.executed


class Trial:
    """Runs one trial; `scene` is called at the begin of each segment."""

    def __init__(self, problem: Problem, chance: Chance, scene: Scene):
        self.problem, self.chance, self.scene = problem, chance, scene
        rules = problem.rules
        self.spans = {
            eef: [spans_of_demo(demo, eef, subtasks, rules, chance, d) for d, demo in enumerate(problem.demos)]
            for eef, subtasks in problem.subtasks.items()
        }
        eef_now, _ = scene()
        first = problem.demos[0].gripper
        self.arms = {
            eef: Arm(eef, Waypoint(eef_now[eef], first[eef][0], 0.0, 0, -1, holds=True)) for eef in problem.subtasks
        }
        self.demo_of_index: dict[int, int] = {}
        self.demo_of_group: dict[int, int] = {}
        self.transform_of_group: dict[int, Pose] = {}
        self.demos_used: dict[SubtaskOf, int] = {}

    def run(self) -> Iterator[dict[str, Waypoint]]:
        """Waypoints of all end effectors, step by step."""
        while not all(arm.is_done for arm in self.arms.values()):
            self.begin_segments()
            waiting = self.waiting()
            for arm in self.arms.values():
                self.execute(arm, waits=arm.name in waiting)
            yield {arm.name: arm.last for arm in self.arms.values()}
            for arm in self.arms.values():
                self.finish_segment(arm)
        for _ in range(self.problem.rules.num_final_hold):
            yield {arm.name: replace(arm.last, noise_std=0.0, holds=True) for arm in self.arms.values()}

    def execute(self, arm: Arm, waits: bool) -> None:
        if arm.plan is None or waits:
            arm.last = replace(arm.last, noise_std=0.0, holds=True)
            arm.steps_still += 1
        else:
            arm.last = arm.plan[arm.executed]
            arm.executed += 1
            arm.steps_still = 0

    def finish_segment(self, arm: Arm) -> None:
        if arm.plan is None or arm.remaining > 0:
            return
        arm.plan = None
        if arm.index + 1 == len(self.problem.subtasks[arm.name]):
            arm.is_done = True
        else:
            arm.index += 1

    def is_over(self, who: SubtaskOf) -> bool:
        arm = self.arms[who[0]]
        return arm.index > who[1] or (arm.index == who[1] and arm.is_done)

    # Begin of segments

    def begin_segments(self) -> None:
        for arm in [arm for arm in self.arms.values() if self.is_ready(arm, frozenset())]:
            self.begin_segment(arm)

    def is_ready(self, arm: Arm, assumed_ready: frozenset[str]) -> bool:
        """Return whether `arm` may begin, if the arms in `assumed_ready` begin with it."""
        if arm.is_done or arm.plan is not None:
            return False
        for constraint in self.problem.sequentials:
            if constraint.latter == arm.who and constraint.min_time_diff == -1 and not self.is_over(constraint.former):
                return False
        for constraint in self.problem.coordinations:
            if constraint.synchronize_start and arm.who in constraint.members:
                partner = other_member(constraint, arm.who)
                partner_arm = self.arms[partner[0]]
                if partner[0] not in assumed_ready and (
                    partner_arm.who != partner or not self.is_ready(partner_arm, assumed_ready | {arm.name})
                ):
                    return False
        return True

    def begin_segment(self, arm: Arm) -> None:
        problem, rules = self.problem, self.problem.rules
        eefs_now, objects_now = self.scene()
        eef_now = eefs_now[arm.name]
        subtask = problem.subtasks[arm.name][arm.index]
        chosen = self.choose(arm, eef_now, objects_now)
        demo, (start, end) = problem.demos[chosen], self.spans[arm.name][chosen][arm.index]
        moved = self.transform(arm, demo, start, objects_now)
        path = [moved @ demo.target[arm.name][t] for t in range(start, end)]
        gripper = [demo.gripper[arm.name][t] for t in range(start, end)]
        if arm.index == 0 or rules.transform_first_robot_pose:
            path.insert(0, moved @ demo.eef[arm.name][start])
            gripper.insert(0, gripper[0])
        begin = eef_now
        if arm.index > 0 and rules.interpolate_from_last_target:
            begin = arm.last.pose
        if arm.index == 0:
            arm.last = replace(arm.last, gripper=gripper[0])
        arm.plan = []
        if problem.motion is not None:
            quiet = subtask.action_noise if subtask.noise_during_interpolation else 0.0
            way = problem.motion(arm.name, begin, path[0])
            arm.plan = [Waypoint(pose, arm.last.gripper, quiet, arm.index, chosen, holds=False) for pose in way]
            subtask = replace(subtask, num_interpolation=0)
        waypoints = segment(begin, path, gripper, subtask, rules)
        arm.plan += [Waypoint(pose, grip, std, arm.index, chosen, holds=False) for pose, grip, std in waypoints]
        arm.executed = 0

    # Source demo and transform

    def choose(self, arm: Arm, eef_now: Pose, objects_now: dict[str, Pose]) -> int:
        rules, group = self.problem.rules, self.group_of(arm.who)
        anew = arm.index == 0 or selects_again(rules)
        if group is not None and group in self.demo_of_group:
            chosen = self.demo_of_group[group]
        elif not anew:
            chosen = self.demos_used[arm.name, arm.index - 1]
        elif not rules.select_per_arm and arm.index in self.demo_of_index:
            chosen = self.demo_of_index[arm.index]
        else:
            chosen = self.choose_alone(arm, eef_now, objects_now)
        if anew:
            self.demo_of_index.setdefault(arm.index, chosen)
        if group is not None:
            self.demo_of_group.setdefault(group, chosen)
        self.demos_used[arm.who] = chosen
        return chosen

    def choose_alone(self, arm: Arm, eef_now: Pose, objects_now: dict[str, Pose]) -> int:
        demos, name = self.problem.demos, arm.name
        starts = [self.spans[name][d][arm.index][0] for d in range(len(demos))]
        number = float(self.chance.selection[name][arm.index])
        return select_demo(demos, name, self.problem.subtasks[name][arm.index], starts, eef_now, objects_now, number)

    def transform(self, arm: Arm, demo: Demo, start: int, objects_now: dict[str, Pose]) -> Pose:
        subtask, group = self.problem.subtasks[arm.name][arm.index], self.group_of(arm.who)
        moved = to_now(demo, subtask, start, objects_now)
        if group is None:
            return moved
        if group not in self.transform_of_group:
            constraint = next(c for c in self.problem.coordinations if self.group_of(c.members[0]) == group)
            self.transform_of_group[group] = self.common_transform(
                constraint, moved, demo, subtask, start, objects_now, self.chance.coordination[group]
            )
        return self.transform_of_group[group]

    @staticmethod
    def common_transform(
        constraint: Coordination,
        moved: Pose,
        demo: Demo,
        subtask: Subtask,
        start: int,
        objects_now: dict[str, Pose],
        numbers: np.ndarray,
    ) -> Pose:
        delta = np.eye(4)
        if constraint.scheme == "transform":
            delta = moved.copy()
        if constraint.scheme == "translate":
            assert subtask.object_ref is not None
            delta[:3, 3] = objects_now[subtask.object_ref][:3, 3] - demo.objects[subtask.object_ref][start][:3, 3]
        delta[:3, 3] += constraint.pos_noise * (2.0 * numbers[:3] - 1.0)
        delta[:3, :3] = rotation(constraint.rot_noise * (2.0 * numbers[3:] - 1.0)) @ delta[:3, :3]
        return delta

    def group_of(self, who: SubtaskOf) -> int | None:
        """Number of the group of coordinated subtasks of a subtask, in the order of the constraints; None if it has none."""
        found: list[set[SubtaskOf]] = []
        for constraint in self.problem.coordinations:
            if any(constraint.members[0] in group for group in found):
                continue
            group, grows = set(constraint.members), True
            while grows:
                touching = [c for c in self.problem.coordinations if group & set(c.members)]
                grown = group.union(*(c.members for c in touching))
                grows, group = grown != group, grown
            found.append(group)
        return next((number for number, group in enumerate(found) if who in group), None)

    # Waiting

    def waiting(self) -> set[str]:
        waiting: set[str] = set()
        while True:
            more = {arm.name for arm in self.arms.values() if arm.plan is not None and self.must_wait(arm, waiting)}
            if more <= waiting:
                return waiting
            waiting |= more

    def must_wait(self, arm: Arm, waiting: set[str]) -> bool:
        return (
            self.must_settle(arm)
            or any(self.waits_for_former(arm, c) for c in self.problem.sequentials if c.latter == arm.who)
            or any(self.waits_for_partner(arm, c, waiting) for c in self.problem.coordinations if arm.who in c.members)
        )

    def must_settle(self, arm: Arm) -> bool:
        assert arm.plan is not None
        changes = ((arm.plan[arm.executed].gripper >= 0) != (arm.last.gripper >= 0)).any()
        return bool(changes) and arm.steps_still < self.problem.subtasks[arm.name][arm.index].num_settle

    def waits_for_former(self, arm: Arm, constraint: Sequential) -> bool:
        return arm.remaining <= constraint.min_time_diff and not self.is_over(constraint.former)

    def waits_for_partner(self, arm: Arm, constraint: Coordination, waiting: set[str]) -> bool:
        """Both execute their last steps in lockstep, as many as the shorter source segment has."""
        partner = other_member(constraint, arm.who)
        partner_arm = self.arms[partner[0]]
        partner_remaining = partner_arm.remaining if partner_arm.who == partner else math.inf
        demo = self.demos_used[arm.who]
        starts_and_ends = [self.spans[eef][demo][index] for eef, index in constraint.members]
        if arm.remaining > min(end - start for start, end in starts_and_ends):
            return False
        return arm.remaining < partner_remaining or (arm.remaining == partner_remaining and partner[0] in waiting)


def other_member(constraint: Coordination, who: SubtaskOf) -> SubtaskOf:
    return constraint.members[1] if constraint.members[0] == who else constraint.members[0]
