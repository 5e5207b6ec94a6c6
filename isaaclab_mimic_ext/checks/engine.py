"""Contract of an engine: rules that all engines keep, checked on one task."""

# N envs, n of them addressed, E end effectors, O objects, A action entries, P pose entries of an action

import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.envs.base import ATTRIBUTES, METHODS, MimicEnv
from isaaclab_mimic_ext.envs.engine_checks import (
    PLACE_TOLERANCE,
    POSE_TOLERANCE,
    RuleViolation,
    check_placement,
    check_poses,
    check_shapes,
    outputs_of,
    require,
    require_tensor,
)
from isaaclab_mimic_ext.math import matrix_from_axis_angle, rotation_angle
from isaaclab_mimic_ext.rng import Draws, Stream
from isaaclab_mimic_ext.task.definition import Task

_NUM_ENVS, _SEED = 4, 3
_TARGET_TOLERANCE = 0.005
"""Largest distance from a target after `_NUM_STEPS` steps [m]."""
_GPU_TOLERANCE = 1e-3
"""Largest difference of values that must have the same bits, on a GPU, where threads add up forces in any order."""
_NUM_STEPS = 40


@dataclass
class Bench:
    """Engine under test.

    Attributes:
        make: creates N environments of the engine.
        task: task that the environments simulate.
        events: randomization of the task.
    """

    make: Callable[[int], MimicEnv]
    task: Task
    events: Mapping[str, EventCfg] = field(default_factory=dict)
    _made: dict[tuple[int, int], MimicEnv] = field(default_factory=dict)

    def reset_env(self, num_envs: int = _NUM_ENVS, copy: int = 0) -> MimicEnv:
        """N environments in which env i is reset to trial i. Several copies are used at once."""
        key = (num_envs, copy)
        if key not in self._made:
            self._made[key] = self.make(num_envs)
        env = self._made[key]
        env.reset(_ids(env, range(num_envs)), _draws(env, range(num_envs)))
        return env

    def close(self) -> None:
        """Release the resources of the environments."""
        for env in self._made.values():
            env.close()


def _ids(env: MimicEnv, ids: Any) -> Tensor:
    return torch.tensor(list(ids), dtype=torch.int64, device=env.device)


def _draws(env: MimicEnv, trials: Any, seed: int = _SEED) -> Draws:
    return Draws(seed, _ids(env, trials))


def _random_actions(env: MimicEnv, step: int) -> Tensor:
    """Actions (N, A) that differ between envs and steps."""
    return 0.5 * _draws(env, range(env.num_envs)).normal(Stream.ACTION_NOISE, (env.action_dim,), step)


def _require_same(env: MimicEnv, found: dict[str, Tensor], expected: dict[str, Tensor], situation: str) -> None:
    for name, leaf in found.items():
        if env.device.type == "cpu" or leaf.dtype == torch.bool:
            same = torch.equal(leaf, expected[name])
        else:
            same = bool((leaf - expected[name]).abs().amax() <= _GPU_TOLERANCE)
        require(same, f"{name} differs {situation}")


def _rows(outputs: dict[str, Tensor], rows: Any) -> dict[str, Tensor]:
    return {name: leaf[rows] for name, leaf in outputs.items()}


def has_members(bench: Bench) -> None:
    env = bench.reset_env()
    missing = [name for name in (*METHODS, *ATTRIBUTES) if not hasattr(env, name)]
    require(not missing, f"{', '.join(missing)} not found; define all members of MimicEnv")


def has_names_and_sizes_of_the_task(bench: Bench) -> None:
    env, task = bench.reset_env(), bench.task
    num_arms = len(task.eef_names)
    wanted = {"num_envs": _NUM_ENVS, "eef_names": task.eef_names, "object_names": task.object_names}
    for name, value in wanted.items():
        require(getattr(env, name) == value, f"{name} must be {value} (got {getattr(env, name)})")
    for name in ("gripper_dims", "pose_dims"):
        require(len(getattr(env, name)) == num_arms, f"{name} must have {num_arms} entries (got {getattr(env, name)})")
    entries = sum(env.gripper_dims) + sum(env.pose_dims)
    require(env.action_dim == entries, f"action_dim must be {entries}, the sum of all entries (got {env.action_dim})")
    require(0 < env.step_dt < 10, f"step_dt must be in seconds (got {env.step_dt})")


def has_shapes_and_types(bench: Bench) -> None:
    check_shapes(bench.reset_env())


def returns_poses(bench: Bench) -> None:
    check_poses(bench.reset_env())


def places_objects(bench: Bench) -> None:
    check_placement(bench.reset_env(), bench.task)


def draws_trials_by_number(bench: Bench) -> None:
    env = bench.reset_env()
    first = outputs_of(env)
    env.reset(_ids(env, [0, 1]), _draws(env, [2, 3]))
    env.reset(_ids(env, [2, 3]), _draws(env, [0, 1]))
    _require_same(env, outputs_of(env), _rows(first, [2, 3, 0, 1]), "if the same trial runs in another env")
    if bench.events:
        moved = (first["object_pose"][0] - first["object_pose"][1]).abs().amax()
        require(moved > POSE_TOLERANCE, "reset: all trials begin with the same scene; use the draws, or ResetSampler")


def resets_only_the_addressed_envs(bench: Bench) -> None:
    env = bench.reset_env()
    for step in range(3):
        env.step(_random_actions(env, step))
    before = outputs_of(env)
    env.reset(_ids(env, [3, 1]), _draws(env, [7, 8]))
    _require_same(env, _rows(outputs_of(env), [0, 2]), _rows(before, [0, 2]), "in an env that was not reset")
    expected = bench.reset_env(copy=1)
    expected.reset(_ids(env, [1, 3]), _draws(env, [8, 7]))
    _require_same(env, _rows(outputs_of(env), [1, 3]), _rows(outputs_of(expected), [1, 3]), "if env_ids are not sorted")


def steps_only_the_addressed_envs(bench: Bench) -> None:
    env, together = bench.reset_env(), bench.reset_env(copy=1)
    before = outputs_of(env)
    for step in range(3):
        env.step(_random_actions(env, step), _ids(env, [0, 3]))
        together.step(_random_actions(env, step))
    _require_same(env, _rows(outputs_of(env), [1, 2]), _rows(before, [1, 2]), "in an env that did not step")
    _require_same(env, _rows(outputs_of(env), [0, 3]), _rows(outputs_of(together), [0, 3]), "if other envs do not step")


def does_not_depend_on_the_number_of_envs(bench: Bench) -> None:
    env, single = bench.reset_env(), bench.reset_env(1)
    for step in range(10):
        env.step(_random_actions(env, step))
        single.step(_random_actions(single, step))
    _require_same(env, _rows(outputs_of(env), [0]), outputs_of(single), "if more than one env runs")


def forgets_earlier_trials(bench: Bench) -> None:
    env = bench.reset_env()
    first = outputs_of(env)
    for step in range(10):
        env.step(_random_actions(env, step))
    bench.reset_env()
    _require_same(env, outputs_of(env), first, "after a reset, depending on earlier trials")


def restores_states(bench: Bench) -> None:
    env = bench.reset_env()
    for step in range(5):
        env.step(_random_actions(env, step))
    state = trees.map(torch.clone, env.get_state())
    other = bench.reset_env(copy=1)
    other.reset_to(state, _ids(env, range(_NUM_ENVS)))
    for name in ("eef_pose", "object_pose"):
        offset = (getattr(other, name)[..., :3, 3] - getattr(env, name)[..., :3, 3]).abs().amax()
        require(offset < POSE_TOLERANCE, f"{name} is {float(offset):.3g} m away after reset_to(get_state())")


def converts_targets_to_actions_and_back(bench: Bench) -> None:
    env = bench.reset_env()
    num_arms, pose_dim = len(env.eef_names), max(env.pose_dims)
    gripper = torch.ones(_NUM_ENVS, num_arms, max(env.gripper_dims), device=env.device)
    target = _near(env, 0.02)
    actions = env.target_eef_pose_to_action(target, gripper)
    require_tensor("target_eef_pose_to_action()", actions, (_NUM_ENVS, env.action_dim), torch.float32)
    offset = (env.action_to_target_eef_pose(actions) - target).abs().amax()
    require(offset < 10 * POSE_TOLERANCE, f"action_to_target_eef_pose() is {float(offset):.3g} away from the target")
    found = env.actions_to_gripper_actions(actions)
    require(torch.equal(found, gripper), "actions_to_gripper_actions() must return the gripper entries of the action")
    noise = torch.zeros(_NUM_ENVS, num_arms, pose_dim, device=env.device)
    same = torch.equal(env.target_eef_pose_to_action(target, gripper, noise), actions)
    require(same, "target_eef_pose_to_action(): noise of 0 must not change the action")
    noisy = env.target_eef_pose_to_action(target, gripper, noise + 0.1)
    require(not torch.equal(noisy, actions), "target_eef_pose_to_action() must add the noise to the pose entries")


def _near(env: MimicEnv, distance: float) -> Tensor:
    """Targets (N, E, 4, 4) near the end effectors: `distance` away along each axis, and turned by 0.1 rad about z."""
    target = env.eef_pose.clone()
    target[..., :3, 3] += torch.tensor([distance, distance, -distance], device=env.device)
    turn = matrix_from_axis_angle(torch.tensor([0.0, 0.0, 0.1], device=env.device))
    target[..., :3, :3] = turn @ target[..., :3, :3]
    return target


def reaches_targets(bench: Bench) -> None:
    env = bench.reset_env()
    target = _near(env, 0.05)
    gripper = torch.ones(_NUM_ENVS, len(env.eef_names), max(env.gripper_dims), device=env.device)
    for _ in range(_NUM_STEPS):
        env.step(env.target_eef_pose_to_action(target, gripper))
    offset = (env.eef_pose[..., :3, 3] - target[..., :3, 3]).norm(dim=-1).max()
    found = f"eef_pose is {1000 * float(offset):.1f} mm away from a target at 50 mm per axis after {_NUM_STEPS} steps"
    require(offset < _TARGET_TOLERANCE, f"{found}; units (m) and frames (env) of eef_pose and targets must agree")
    angle = rotation_angle(env.eef_pose[..., :3, :3], target[..., :3, :3]).max()
    require(angle < 0.05, f"eef_pose is {float(angle):.2f} rad away from a target after {_NUM_STEPS} steps")


def leaves_objects_at_rest(bench: Bench) -> None:
    env = bench.reset_env()
    before = env.object_pose.clone()
    gripper = torch.ones(_NUM_ENVS, len(env.eef_names), max(env.gripper_dims), device=env.device)
    hold = env.target_eef_pose_to_action(env.eef_pose, gripper)
    for _ in range(_NUM_STEPS // 2):
        env.step(hold)
    moved = (env.object_pose[..., :3, 3] - before[..., :3, 3]).norm(dim=-1).max()
    require(moved < PLACE_TOLERANCE, f"objects move by {1000 * float(moved):.1f} mm while the arm stands still")


def describes_itself(bench: Bench) -> None:
    env = bench.reset_env()
    described = env.env_args()
    try:
        json.dumps(described)
    except (TypeError, ValueError) as error:
        raise RuleViolation(f"env_args() must be JSON: {error}") from error
    for name in ("env_name", "engine", "eef_names", "object_names"):
        require(name in described, f"env_args() must contain '{name}'")
    require(described["env_name"] == bench.task.name, f"env_args(): env_name must be '{bench.task.name}'")


RULES: dict[str, Callable[[Bench], None]] = {
    "members of MimicEnv": has_members,
    "names and sizes of the task": has_names_and_sizes_of_the_task,
    "shapes and types": has_shapes_and_types,
    "poses and states": returns_poses,
    "placement of objects": places_objects,
    "trials by their numbers": draws_trials_by_number,
    "reset of some envs": resets_only_the_addressed_envs,
    "steps of some envs": steps_only_the_addressed_envs,
    "any number of envs": does_not_depend_on_the_number_of_envs,
    "no memory of earlier trials": forgets_earlier_trials,
    "restored states": restores_states,
    "targets and actions": converts_targets_to_actions_and_back,
    "motion to a target": reaches_targets,
    "objects at rest": leaves_objects_at_rest,
    "description in datasets": describes_itself,
}
"""Rules by title, in the order in which they are checked. If one of the first five is violated, the others are skipped."""
NUM_BASIC = 5
"""Number of rules without which the others cannot be checked."""


@dataclass(frozen=True)
class RuleResult:
    """Result of one rule.

    Attributes:
        rule: title of the rule.
        outcome: one of `OUTCOMES`.
        fault: quantity and value that violate the rule; None if the rule is kept.
    """

    rule: str
    outcome: str
    fault: str | None = None


OUTCOMES = KEPT, VIOLATED, SKIPPED = "kept", "violated", "skipped"


def check_engine(bench: Bench) -> list[RuleResult]:
    """Check all rules. An error that the engine raises is a violation; the results have the order of `RULES`."""
    results: list[RuleResult] = []
    for index, (title, check) in enumerate(RULES.items()):
        if index >= NUM_BASIC and any(result.outcome == VIOLATED for result in results[:NUM_BASIC]):
            results.append(RuleResult(title, SKIPPED))
            continue
        try:
            check(bench)
        except RuleViolation as violation:
            results.append(RuleResult(title, VIOLATED, str(violation)))
        except Exception as error:
            results.append(RuleResult(title, VIOLATED, _place_and_reason(error)))
        else:
            results.append(RuleResult(title, KEPT))
    bench.close()
    return results


def _place_and_reason(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    reason = " ".join(str(error).split())
    return f"{type(error).__name__}: {reason} ({Path(frame.filename).name}:{frame.lineno})"
