"""Placements of objects and joint noise after a reset."""

from itertools import combinations

import pytest
import torch

from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.envs.events import PlacementSampler, joint_noise_std
from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.envs.panda.kinematics import JOINT_LIMITS, NUM_ARM_JOINTS
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import Task, load_task

CPU = torch.device("cpu")
NUM_TRIALS = 500


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("desktop_organizer")


def default_events() -> dict[str, EventCfg]:
    near, far = [-0.05, 0.05], [-0.30, 0.30]
    return {
        "ketchup": EventCfg("ketchup", {"x": near, "y": near, "yaw": [-3.14, 3.14]}),
        "basket": EventCfg("basket", {"x": near, "y": near}),
        "juice": EventCfg("orange_juice", {"x": far, "y": far}, min_separation=0.06),
        "cheese": EventCfg("cream_cheese", {"x": far, "y": far}, min_separation=0.06),
        "robot": EventCfg("robot", joint_std=0.02),
    }


def _sample(task: Task, events: dict[str, EventCfg], trials: torch.Tensor, seed: int = 1) -> torch.Tensor:
    return PlacementSampler(task, events, CPU).sample(Draws(seed, trials))


def test_placements_fill_their_ranges(task: Task) -> None:
    events = default_events()
    placements = _sample(task, events, torch.arange(NUM_TRIALS))
    for name in ("ketchup", "basket"):
        event, index = events[name], task.object_id(name)
        default = torch.tensor([*task.objects[index].default_pos, 0.0])
        offset = placements[:, index] - default
        for axis, coordinate in enumerate(("x", "y", "yaw")):
            low, high = event.pose_range.get(coordinate, [0.0, 0.0])
            values = offset[:, axis]
            assert low - 1e-6 <= float(values.min()) and float(values.max()) <= high + 1e-6
            width = high - low
            assert float(values.min()) <= low + 0.05 * width + 1e-6
            assert float(values.max()) >= high - 0.05 * width - 1e-6


def test_placements_do_not_overlap_each_other_or_the_robot_and_stay_on_the_table(task: Task) -> None:
    events = default_events()
    placements = _sample(task, events, torch.arange(NUM_TRIALS))
    separation = {event.asset: event.min_separation for event in events.values()}
    for (i, first), (j, second) in combinations(enumerate(task.objects), 2):
        apart = (placements[:, i, :2] - placements[:, j, :2]).norm(dim=-1)
        free = max(separation[first.name], separation[second.name])
        assert float(apart.min()) >= first.footprint_radius + second.footprint_radius + free - 1e-6
    for i, obj in enumerate(task.objects):
        x, y = placements[:, i, 0], placements[:, i, 1]
        for values, (low, high) in zip((x, y), task.table_bounds, strict=True):
            assert float(values.min()) >= low + obj.footprint_radius - 1e-6
            assert float(values.max()) <= high - obj.footprint_radius + 1e-6
        from_base = (placements[:, i, :2] - torch.tensor(task.arms[0].base_pos[:2])).norm(dim=-1)
        assert float(from_base.min()) >= obj.footprint_radius + PlacementSampler.base_radius - 1e-6


def test_placement_depends_only_on_its_trial(task: Task) -> None:
    events = default_events()
    together = _sample(task, events, torch.arange(NUM_TRIALS))
    shuffled = torch.randperm(NUM_TRIALS, generator=torch.Generator().manual_seed(1))[:37]
    assert torch.equal(_sample(task, events, shuffled), together[shuffled])
    for trial in (0, 123, NUM_TRIALS - 1):
        assert torch.equal(_sample(task, events, torch.tensor([trial]))[0], together[trial])
    assert not torch.equal(_sample(task, events, torch.arange(3), seed=2), together[:3])


def test_placement_that_needs_many_attempts_depends_only_on_its_trial(task: Task) -> None:
    """In narrow ranges most candidates overlap, and trials need different numbers of attempts."""
    events = default_events()
    tight = [-0.16, 0.16]
    for name in ("juice", "cheese"):
        events[name] = EventCfg(events[name].asset, {"x": tight, "y": tight}, min_separation=0.10)
    together = _sample(task, events, torch.arange(64))
    for trial in (0, 5, 63):
        assert torch.equal(_sample(task, events, torch.tensor([trial]))[0], together[trial])


def test_object_without_an_event_is_at_its_default_position(task: Task) -> None:
    placements = _sample(task, {}, torch.arange(3))
    expected = torch.tensor([[*obj.default_pos, 0.0] for obj in task.objects])
    assert torch.equal(placements, expected.expand(3, -1, -1))


def test_ranges_without_a_free_placement_are_refused_with_trial_and_remedy(task: Task) -> None:
    events = {"juice": EventCfg("orange_juice", {"x": [-0.11, -0.09]}, min_separation=0.2)}
    with pytest.raises(ConfigError, match=r"trial 41 .*change pose_range or reduce min_separation"):
        _sample(task, events, torch.tensor([41]))


def test_ranges_off_the_table_are_refused(task: Task) -> None:
    with pytest.raises(ConfigError, match="no placement"):
        _sample(task, {"ketchup": EventCfg("ketchup", {"x": [1.0, 2.0]})}, torch.tensor([0]))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (EventCfg("ketchop"), "did you mean 'ketchup'"),
        (EventCfg("ketchup", {"z": [0.0, 1.0]}), "'z' is not a coordinate; choices: x, y, yaw"),
        (EventCfg("ketchup", {"x": [0.1, -0.1]}), r"must be \[lowest, highest\]"),
        (EventCfg("ketchup", {"x": ["low", "high"]}), r"must be \[lowest, highest\] .got \['low', 'high'\]"),
        (EventCfg("ketchup", {"x": [0.1]}), r"must be \[lowest, highest\]"),
    ],
)
def test_invalid_event_is_refused(task: Task, event: EventCfg, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PlacementSampler(task, {"event": event}, CPU)


def test_joint_noise_is_read_from_the_event_of_the_robot(task: Task) -> None:
    assert joint_noise_std(task, default_events()).tolist() == pytest.approx([0.02])
    assert joint_noise_std(task, {}).tolist() == [0.0]


def test_joint_noise_stays_within_the_joints_limits(task: Task) -> None:
    env = KinematicEnv(task, {"robot": EventCfg("robot", joint_std=2.0)}, num_envs=32)
    env.reset(torch.arange(32), Draws(1, torch.arange(32)))
    low, high = torch.tensor(JOINT_LIMITS).unbind(-1)
    joint_pos = env.scene.joint_pos[:, 0, :NUM_ARM_JOINTS]
    assert ((joint_pos >= low) & (joint_pos <= high)).all()
    assert (joint_pos == low).any() and (joint_pos == high).any()
