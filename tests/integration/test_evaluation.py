"""Complete evaluations of small policies."""

# N envs, n of them selected, O objects

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import EventCfg, SimCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.learn.disturbances import ArmPushes, ObjectPushes, ObservationNoise
from isaaclab_mimic_ext.learn.evaluator import NON_FINITE_ACTIONS, Disturbances, Evaluator, Rules
from isaaclab_mimic_ext.learn.history import History
from isaaclab_mimic_ext.learn.policies import Policy
from isaaclab_mimic_ext.learn.results import Checkpoint, CheckpointResult, Episode
from isaaclab_mimic_ext.rng import Domain, Draws
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.reasons import TOO_LATE
from tests import requires
from tests.named_poses import object_poses
from tests.small_policies import Expert, NonFinite

TASK = load_task("desktop_organizer")
EVENTS = {
    "ketchup": EventCfg("ketchup", {"x": [-0.05, 0.05], "y": [-0.05, 0.05], "yaw": [-math.pi, math.pi]}),
    "orange_juice": EventCfg("orange_juice", {"x": [-0.3, 0.3], "y": [-0.3, 0.3]}, min_separation=0.06),
    "robot": EventCfg("robot", joint_std=0.02),
}
OBJECTS = ("ketchup", "basket", "orange_juice", "cream_cheese")
SEED = 5


def build(engine: str, num_envs: int) -> MimicEnv:
    env = make_env(TASK, SimCfg(engine=engine, num_threads=1), EVENTS, num_envs)
    env.reset(torch.arange(num_envs), Draws(SEED, torch.arange(num_envs), Domain.EVALUATION))
    return env


def evaluate(
    env: MimicEnv, policy: Policy | None = None, num_episodes: int = 6, horizon: int = 200,
    disturbances: Disturbances | None = None, **rules: bool | int,
) -> CheckpointResult:  # fmt: skip
    policy = policy or Expert(env.num_envs, env.device)
    evaluator = Evaluator(env, policy, Rules(SEED, num_episodes, horizon, **rules), disturbances or Disturbances())
    evaluator.run()
    return evaluator.result(Checkpoint("policy"))


class CountingExpert(Expert):
    """An expert that records its calls, and the envs in which episodes began."""

    def __init__(self, num_envs: int):
        super().__init__(num_envs, torch.device("cpu"))
        self.shapes: list[torch.Size] = []
        self.begun: list[list[int]] = []

    def reset(self, env_ids: Tensor) -> None:
        super().reset(env_ids)
        self.begun.append(env_ids.tolist())

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        self.shapes.append(observations["eef_pos"].shape)
        return super().act(observations)


def test_expert_succeeds_in_every_scene_and_episodes_end_at_held_success(engine: str) -> None:
    result = evaluate(build(engine, 4))
    assert result.num_successes == 6
    assert all(episode.length < 200 and episode.reason is None for episode in result.episodes)
    assert [episode.episode for episode in result.episodes] == list(range(6))


def test_policy_is_called_once_per_step_for_all_envs_and_free_envs_begin_new_episodes() -> None:
    policy = CountingExpert(4)
    result = evaluate(build("kinematic", 4), policy, num_episodes=10)
    assert set(policy.shapes) == {(4, 3)}
    assert sum(map(len, policy.begun)) == 10
    assert policy.begun[0] == [0, 1, 2, 3]
    longest = max(episode.length for episode in result.episodes)
    assert len(policy.shapes) <= 3 * longest
    assert result.env_steps == sum(episode.length for episode in result.episodes)


def make_disturbances(env: MimicEnv) -> Disturbances:
    noise = ObservationNoise.of(0.002, ["*"], env.observations())
    return Disturbances(noise, ObjectPushes(0.05, 0.5, OBJECTS), ArmPushes(0.1, 0.03))


def test_episodes_depend_only_on_seed_and_episode_number_and_not_on_the_number_of_envs(engine: str) -> None:
    def episodes(num_envs: int) -> tuple[Episode, ...]:
        env = build(engine, num_envs)
        return tuple(evaluate(env, num_episodes=7, disturbances=make_disturbances(env)).episodes)

    one, three, seven = episodes(1), episodes(3), episodes(7)
    assert one == three == seven
    assert len({episode.length for episode in one}) > 2


def test_scenes_differ_from_those_of_generation_and_are_the_same_for_every_policy() -> None:
    env = build("kinematic", 5)
    scenes = [episode.scene for episode in evaluate(env).episodes]
    assert scenes == [episode.scene for episode in evaluate(env, NonFinite(5, 7), horizon=5).episodes]
    env = build("kinematic", 200)
    env.reset(torch.arange(200), Draws(SEED, torch.arange(200)))
    generated = {tuple(pose[:2, 3].tolist()) for pose in object_poses(env)["orange_juice"]}
    assert not {tuple(scene["orange_juice"][:2]) for scene in scenes} & {(round(x, 6), round(y, 6)) for x, y in generated}


def test_failed_episodes_have_the_reasons_of_failure_of_generation() -> None:
    env = build("kinematic", 3)
    result = evaluate(env, horizon=12)
    assert result.num_successes == 0
    assert set(result.reasons) <= {reason.name for reason in env.failure_reasons}
    assert all(episode.failed_at is not None and episode.length == 12 for episode in result.episodes)


def test_success_too_late_to_be_held_counts_only_with_the_rule_any_step(engine: str) -> None:
    full = evaluate(build(engine, 3), num_episodes=3)
    horizon = min(episode.length for episode in full.episodes) - 2
    late = evaluate(build(engine, 3), num_episodes=3, horizon=horizon)
    first = min(full.episodes, key=lambda episode: episode.length).episode
    assert late.num_successes == 0
    assert late.episodes[first].any_step
    assert late.episodes[first].reason == TOO_LATE
    by_any_step = evaluate(build(engine, 3), num_episodes=3, horizon=horizon, any_step=True)
    assert by_any_step.episodes[first].success
    assert by_any_step.any_step == late.any_step


def test_episodes_that_continue_after_success_are_judged_by_their_last_steps() -> None:
    result = evaluate(build("kinematic", 3), num_episodes=3, horizon=150, stop_at_success=False)
    assert {episode.length for episode in result.episodes} == {150}
    assert result.num_successes == 3


def test_non_finite_actions_fail_the_episode_with_a_separate_reason() -> None:
    result = evaluate(build("kinematic", 3), NonFinite(3, 7), horizon=10)
    assert result.reasons == {NON_FINITE_ACTIONS: 6}


def test_actions_of_a_different_size_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"actions must have shape \(3, 7\) .* \(got \(3, 6\)\)"):
        evaluate(build("kinematic", 3), NonFinite(3, 6))


def test_stopped_evaluation_keeps_the_episodes_before_the_first_unfinished_one() -> None:
    env = build("kinematic", 4)
    evaluator = Evaluator(env, Expert(4, env.device), Rules(SEED, 40, 200))
    evaluator.run(lambda progress: progress.num_ended >= 10)
    result = evaluator.result(Checkpoint("policy"))
    full = evaluate(build("kinematic", 4), num_episodes=40)
    assert 0 < result.num_episodes < 20
    assert list(result.episodes) == list(full.episodes[: result.num_episodes])


def test_progress_reaches_100_percent() -> None:
    env = build("kinematic", 4)
    evaluator = Evaluator(env, Expert(4, env.device), Rules(SEED, 10, 200))
    shares = []
    evaluator.run(lambda progress: bool(shares.append(progress.share)))  # type: ignore[func-returns-value]
    assert shares[-1] == pytest.approx(1.0)
    assert all(0 < share <= 1 for share in shares)
    assert evaluator.progress().num_successes == 10


def test_history_keeps_the_states_of_the_first_successes_and_failures() -> None:
    env = build("kinematic", 4)
    history = History(env, 200, 2)
    # With this horizon, only the faster half of the episodes succeeds.
    lengths = sorted(episode.length for episode in evaluate(env, num_episodes=12).episodes)
    evaluator = Evaluator(env, Expert(4, env.device), Rules(SEED, 12, lengths[5]), history=history)
    evaluator.run()
    episodes = evaluator.result(Checkpoint("policy")).episodes
    for success in (True, False):
        first = [episode for episode in episodes if episode.success == success][:2]
        demos = history.demos(success)
        assert [len(demo["rigid_object"]["ketchup"]["root_pose"]) for demo in demos] == [e.length for e in first]
    placed = history.demos(True)[0]["rigid_object"]
    offset = placed["ketchup"]["root_pose"][-1, :2] - placed["basket"]["root_pose"][-1, :2]
    assert abs(offset).max() < 0.1


def test_idle_env_does_not_change_the_history() -> None:
    env = build("kinematic", 2)
    history = History(env, 10, 4)
    Evaluator(env, NonFinite(2, 7), Rules(SEED, 3, 10), history=history).run()
    assert [len(demo["rigid_object"]["ketchup"]["root_pose"]) for demo in history.demos(False)] == [10, 10, 10]


def apply_pushes(engine: str, push: ObjectPushes, num_steps: int = 6) -> Iterator[tuple[Tensor, Tensor]]:
    """Object positions (N, O, 3) in the env frame before and after each push; the arms do not move."""
    env = build(engine, 64)
    draws = Draws(SEED, torch.arange(64), Domain.EVALUATION)
    still = torch.zeros(64, 7)
    env.step(still)
    for step in range(num_steps):
        before = env.object_pose[..., :3, 3].clone()
        push.apply(env, draws, torch.full((64,), step), torch.ones(64, dtype=torch.bool))
        env.step(still)
        yield before, env.object_pose[..., :3, 3]


def test_only_pushed_objects_move() -> None:
    requires.module("mujoco.batch", "mujoco")
    before, after = next(apply_pushes("mujoco", ObjectPushes(0.5, 0.5, ("cream_cheese",)), 1))
    moved = (after - before).norm(dim=-1)[:, :] > 1e-3
    share = float(moved[:, OBJECTS.index("cream_cheese")].float().mean())
    assert 0.25 < share < 0.75
    assert not moved[:, : OBJECTS.index("cream_cheese")].any()


def test_arm_pushes_shift_the_target_by_their_distance_and_keep_other_actions_exactly() -> None:
    env = build("kinematic", 400)
    draws = Draws(SEED, torch.arange(400), Domain.EVALUATION)
    actions = torch.rand(400, 7) * 0.2
    pushed = ArmPushes(0.25, 0.02).apply(env, actions, draws, torch.zeros(400, dtype=torch.int64))
    changed = (pushed != actions).any(1)
    assert 0.15 < float(changed.float().mean()) < 0.35
    before, after = (env.action_to_target_eef_pose(a)[:, 0, :3, 3] for a in (actions, pushed))
    distance = (after - before).norm(dim=-1)
    assert torch.allclose(distance[changed], torch.full_like(distance[changed], 0.02), atol=1e-5)
    assert torch.equal(pushed[:, 6], actions[:, 6])


def test_disturbances_make_the_task_harder() -> None:
    env = build("kinematic", 20)
    noise = ObservationNoise.of(0.05, ["*_pos"], env.observations())
    disturbed = evaluate(env, num_episodes=20, disturbances=Disturbances(noise))
    assert disturbed.num_successes < evaluate(env, num_episodes=20).num_successes
