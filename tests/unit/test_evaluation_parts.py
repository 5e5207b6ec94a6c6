"""Parts of an evaluation: intervals, scaled randomization, checkpoints, output folder, policies by name."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isaaclab_mimic_ext.config import EvaluateCfg, EventCfg
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError
from isaaclab_mimic_ext.learn import evaluate as evaluate_module
from isaaclab_mimic_ext.learn.checkpoint_files import EvaluationFolder, find_checkpoints
from isaaclab_mimic_ext.learn.disturbances import ObservationNoise, scale_events
from isaaclab_mimic_ext.learn.evaluate import build_policy
from isaaclab_mimic_ext.learn.policies import CheckpointPolicy, PolicyRequest, check_fits, find_policy_factory, make_policy
from isaaclab_mimic_ext.learn.results import (
    Checkpoint,
    CheckpointResult,
    Episode,
    best_of,
    by_epoch,
    horizon_from_demos,
    wilson_interval,
)
from isaaclab_mimic_ext.rng import Domain, Draws
from tests.builders import make_source_file


@pytest.mark.parametrize(
    ("num_successes", "num_trials", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (225, 300, 0.6980, 0.7956)],
)
def test_wilson_interval_matches_tabulated_values(num_successes: int, num_trials: int, low: float, high: float) -> None:
    assert wilson_interval(num_successes, num_trials) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_rate_is_within_its_interval_and_the_interval_within_0_and_1(counts: tuple[int, int]) -> None:
    low, high = wilson_interval(*counts)
    assert 0.0 <= low <= counts[0] / max(counts[1], 1) <= high <= 1.0


def test_scaled_ranges_keep_their_middle_and_yaw_stays_within_a_full_turn() -> None:
    event = EventCfg("ketchup", {"x": [0.1, 0.3], "yaw": [-math.pi, math.pi], "y": [-0.1, 0.1]}, min_separation=0.06)
    scaled = scale_events({"move": event, "arm": EventCfg("robot", joint_std=0.02)}, 1.5)
    assert scaled["move"].pose_range["x"] == pytest.approx([0.05, 0.35])
    assert scaled["move"].pose_range["y"] == pytest.approx([-0.15, 0.15])
    assert scaled["move"].pose_range["yaw"] == pytest.approx([-math.pi, math.pi])
    assert scaled["move"].min_separation == 0.06
    assert scaled["arm"].joint_std == pytest.approx(0.03)
    assert event.pose_range["x"] == [0.1, 0.3]


def test_a_yaw_range_is_scaled_up_to_a_full_turn() -> None:
    scaled = scale_events({"move": EventCfg("ketchup", {"yaw": [-2.0, 2.0]})}, 3.0)
    assert scaled["move"].pose_range["yaw"] == pytest.approx([-math.pi, math.pi])


def test_observation_noise_has_its_standard_deviation_and_does_not_change_images_or_other_terms() -> None:
    num_envs = 4000
    draws = Draws(1, torch.arange(num_envs), Domain.EVALUATION)
    observations = {
        "cup_pos": torch.ones(num_envs, 3),
        "cup_quat": torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(num_envs, 4),
        "joint_vel": torch.zeros(num_envs, 9),
        "camera": torch.zeros(num_envs, 2, 2, 3, dtype=torch.uint8),
    }
    noise = ObservationNoise.of(0.01, ["cup_*", "camera"], observations)
    assert noise is not None
    noisy = noise.apply(observations, draws, torch.zeros(num_envs, dtype=torch.int64))
    assert float((noisy["cup_pos"] - 1).std()) == pytest.approx(0.01, rel=0.05)
    assert torch.allclose(noisy["cup_quat"].norm(dim=-1), torch.ones(num_envs))
    # The vector part of a small rotation is half its angle.
    assert float(2 * noisy["cup_quat"][:, :3].std()) == pytest.approx(0.01, rel=0.05)
    assert torch.equal(noisy["joint_vel"], observations["joint_vel"])
    assert noisy["camera"] is observations["camera"]
    later = noise.apply(observations, draws, torch.ones(num_envs, dtype=torch.int64))
    assert not torch.equal(later["cup_pos"], noisy["cup_pos"])


def test_noise_rotates_quaternions_in_the_columns_that_a_task_declares() -> None:
    num_envs = 4000
    quat = torch.nn.functional.normalize(torch.tensor([0.3, -0.2, 0.5, 0.7]), dim=0).expand(num_envs, 4)
    ones = torch.ones(num_envs, 3)
    observations = {"object": torch.cat((ones, quat, ones, quat), dim=1), "cup_pose": torch.cat((ones, quat), dim=1)}
    noise = ObservationNoise.of(0.05, ["*"], observations, {"object": [3, 10]})
    assert noise is not None
    draws = Draws(1, torch.arange(num_envs), Domain.EVALUATION)
    noisy = noise.apply(observations, draws, torch.zeros(num_envs, dtype=torch.int64))
    for name, first in (("object", 3), ("object", 10), ("cup_pose", 3)):
        rotated = noisy[name][:, first : first + 4]
        assert torch.allclose(rotated.norm(dim=-1), torch.ones(num_envs))
        angle = 2 * torch.acos((rotated * quat).sum(-1).clamp(max=1.0))
        assert float(angle.square().mean().sqrt()) == pytest.approx(0.05 * math.sqrt(3), rel=0.05)
    assert float((noisy["object"][:, 7:10] - 1).std()) == pytest.approx(0.05, rel=0.05)
    assert torch.equal(observations["object"][:, 3:7], quat)


def test_noise_on_an_unknown_observation_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"'cup_po' is not an observation; choices: cup_pos \(did you mean 'cup_pos'"):
        ObservationNoise.of(0.01, ["cup_po"], {"cup_pos": torch.zeros(1, 3)})


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_checkpoints_of_a_run_are_sorted_by_epoch_without_best_and_last(tmp_path: Path) -> None:
    models = tmp_path / "run" / "models"
    for name in ("model_epoch_200", "model_epoch_50", "model_epoch_100", "best", "last"):
        touch(models / f"{name}.pth")
    found = find_checkpoints(str(tmp_path / "run"))
    assert [(checkpoint.name, checkpoint.epoch) for checkpoint in found] == [
        ("model_epoch_50", 50), ("model_epoch_100", 100), ("model_epoch_200", 200),
    ]  # fmt: skip
    assert {checkpoint.run for checkpoint in found} == {"run"}


def test_best_is_evaluated_if_it_is_given_by_path(tmp_path: Path) -> None:
    best = touch(tmp_path / "run" / "models" / "best.pth")
    touch(best.with_name("model_epoch_50.pth"))
    assert [checkpoint.name for checkpoint in find_checkpoints(str(best))] == ["best"]


def test_several_runs_have_different_names(tmp_path: Path) -> None:
    paths = [touch(tmp_path / run / "bc" / "models" / "model_epoch_50.pth") for run in ("one", "two")]
    found = find_checkpoints([str(path.parents[1]) for path in paths])
    assert [checkpoint.run for checkpoint in found] == ["one/bc", "two/bc"]
    assert [checkpoint.name for checkpoint in found] == ["one/bc/model_epoch_50", "two/bc/model_epoch_50"]
    assert [checkpoint.path for checkpoint in find_checkpoints(f"{tmp_path}/*/bc/models/*.pth")] == [*map(str, paths)]


@pytest.mark.parametrize("given_path", ["nope.pth", "nope*.pth", "empty"])
def test_missing_checkpoints_are_refused_with_their_path(given_path: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceDataError, match=rf"checkpoint: .*{given_path.replace('*', '.')}.*give the"):
        find_checkpoints(str(tmp_path / given_path))


@pytest.mark.parametrize("given_value", [3, [], [3], "", {"a": "b"}])
def test_a_checkpoint_that_is_not_a_path_is_refused(given_value: object) -> None:
    with pytest.raises(ConfigError, match=r"checkpoint: must be the path of a .pth file .*\(got "):
        find_checkpoints(given_value)


def test_output_folder_is_cleared_only_with_overwrite(tmp_path: Path) -> None:
    folder = EvaluationFolder(tmp_path / "evaluation")
    folder.check(overwrite=False)
    folder.create()
    folder.report.write_text("{}")
    video = touch(folder.video("run/best", success=True))
    with pytest.raises(OutputError, match=r"already contains an evaluation.*overwrite=true"):
        folder.check(overwrite=False)
    folder.check(overwrite=True)
    folder.clear()
    assert not folder.report.exists()
    assert not video.exists()


def test_output_folder_with_other_files_is_refused_even_with_overwrite(tmp_path: Path) -> None:
    touch(tmp_path / "thesis.tex")
    with pytest.raises(OutputError, match=r"contains other files \(thesis.tex\)"):
        EvaluationFolder(tmp_path).check(overwrite=True)
    with pytest.raises(OutputError, match="is a file"):
        EvaluationFolder(tmp_path / "thesis.tex").check(overwrite=True)


def test_horizon_is_1_5_times_the_longest_demo(tmp_path: Path) -> None:
    assert horizon_from_demos(str(make_source_file(tmp_path / "demos.hdf5", length=101))) == 200
    with pytest.raises(SourceDataError, match=r"nope.hdf5.*horizon=<steps>"):
        horizon_from_demos(str(tmp_path / "nope.hdf5"))


def request(**replaced: object) -> PolicyRequest:
    values = {
        "checkpoint": Path("model.pth"), "task": "desktop_organizer", "num_envs": 2, "action_dim": 7, "seed": 1,
        "observation_shapes": {"eef_pos": (3,), "joint_pos": (9,)}, "step_dt": 0.05, "device": torch.device("cpu"),
    }  # fmt: skip
    return PolicyRequest(**{**values, **replaced})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("robomimc", "'robomimc' not found; .*did you mean 'robomimic'"),
        ("nope_module:make", "module 'nope_module' cannot be imported"),
        ("tests.small_policies:expurt", "no function 'expurt'.*did you mean 'expert'"),
        ("tests.small_policies:not_callable", "no function 'not_callable'"),
    ],
)
def test_unknown_policy_is_refused_with_the_choices(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_policy_factory(name)


def test_object_without_the_methods_of_a_policy_is_refused() -> None:
    name = "tests.small_policies:not_a_policy"
    with pytest.raises(ConfigError, match=r"with methods act\(observations\) and reset\(env_ids\) \(got a list\)"):
        make_policy(name, find_policy_factory(name), request())


def test_policy_from_a_module_in_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_policy.py").write_text("def make(request):\n    return request.action_dim\n")
    monkeypatch.chdir(tmp_path)
    assert find_policy_factory("my_own_policy:make")(request()) == 7


SHAPES = {"eef_pos": (3,)}


@pytest.mark.parametrize(
    ("task", "action_dim", "shapes", "message"),
    [
        ("stack_cube", 7, SHAPES, "trained for task 'stack_cube', not 'desktop_organizer'; use task=stack_cube"),
        ("desktop_organizer", 14, SHAPES, r"actions must have 7 entries for task 'desktop_organizer' \(got 14\)"),
        ("desktop_organizer", 7, {"cup_pos": (3,)}, "the env does not have: cup_pos; the env has: eef_pos, joint_pos"),
        ("desktop_organizer", 7, {"joint_pos": (7,)}, r"'joint_pos' must have shape \(9,\) as in the env \(got \(7,\)\)"),
    ],
)
def test_checkpoint_for_a_different_task_or_env_is_refused(
    task: str, action_dim: int, shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(SourceDataError, match=f"model.pth: .*{message}"):
        check_fits(request(), task, action_dim, shapes)


@pytest.mark.parametrize(("env_args", "is_warned"), [({}, True), ({"robot": {"name": "ur5e"}}, False)])
def test_policy_of_another_robot_is_evaluated_with_a_warning(
    env_args: dict[str, Any], is_warned: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = object.__new__(CheckpointPolicy)
    policy.path, policy.robot_name = Path("model.pth"), "ur5e"
    monkeypatch.setattr(evaluate_module, "make_policy", lambda *_: policy)
    monkeypatch.setattr(evaluate_module, "_request", lambda *_: None)
    env: Any = SimpleNamespace(env_args=lambda: env_args)
    assert build_policy(EvaluateCfg(policy="robomimic"), env, Checkpoint("model", "model.pth")) is policy
    warned = [each for each in caplog.messages if "of robot 'ur5e', and the env has 'panda'; with robot=ur5e" in each]
    assert bool(warned) == is_warned


def result(epoch: int | None, num_successes: int, num_episodes: int = 10, run: str = "one") -> CheckpointResult:
    episodes = [
        Episode(n, n < num_successes, n < num_successes, True, 100 + n, None if n < num_successes else "dropped", None, {})
        for n in range(num_episodes)
    ]
    return CheckpointResult(Checkpoint(f"{run}/{epoch}", None, run, epoch), episodes)


def test_best_checkpoint_has_the_highest_success_rate_and_among_equals_the_latest_epoch() -> None:
    results = [result(50, 3), result(100, 8), result(150, 8), result(200, 5)]
    assert best_of(results).checkpoint.epoch == 150


def test_training_runs_are_summarized_by_epoch() -> None:
    (summary,) = by_epoch([result(50, 3), result(100, 8), result(100, 6, run="two"), result(None, 1)])
    assert summary["epoch"] == 100
    assert summary["mean_success_rate"] == pytest.approx(0.7)
    assert (summary["lowest"], summary["highest"]) == (0.6, 0.8)
    assert summary["interval"] == pytest.approx(wilson_interval(14, 20))


def test_result_contains_counts_of_reasons_and_mean_lengths() -> None:
    summary = result(50, 4).as_dict()
    assert summary["reasons"] == {"dropped": 6}
    assert summary["mean_length"] == pytest.approx(104.5)
    assert summary["mean_length_of_successes"] == pytest.approx(101.5)
    assert summary["any_step_rate"] == 1.0
    assert result(50, 0).as_dict()["mean_length_of_successes"] is None
