"""Advice after evaluations with few successes: it names only settings that differ from those of the training."""

from pathlib import Path
from typing import Any

import pytest
import torch

from isaaclab_mimic_ext.learn.advice import Conditions, Training, advise
from isaaclab_mimic_ext.learn.results import Checkpoint, CheckpointResult, Episode
from isaaclab_mimic_ext.learn.stillness import MIN_STEPS, Stillness
from isaaclab_mimic_ext.learn.training_data import Memory, TrainingData, examine_training_data, pause_warning
from tests.train_files import make_train_file

CONDITIONS = Conditions(horizon=400)
PAUSING = TrainingData(
    pauses="the hand rests before the gripper closes (13 steps): medians of 20 demos, at most 15 steps",
    pause_spans=[[70, 13]],
    mean_length=240.0,
    action_noise=0.03,
    has_clean_actions=True,
)
FLUENT = TrainingData(mean_length=120.0, action_noise=0.03, has_clean_actions=True)


def result(num_successes: int, still_from: int | None = 74, num_episodes: int = 100) -> CheckpointResult:
    episodes = [
        Episode(number, number < num_successes, False, False, 400, reason, None, {}, still_from)
        for number in range(num_episodes)
        for reason in [None if number < num_successes else ("dropped" if number % 4 == 0 else "never grasped")]
    ]
    return CheckpointResult(Checkpoint("last"), episodes)


def training(algo: str = "bc", data: TrainingData = PAUSING, num_epochs: int = 200, **facts: Any) -> Training:
    config = {
        "algo": {"rnn": {"enabled": algo == "bc_rnn", "horizon": 10}},
        "train": {"seq_length": 32, "num_epochs": num_epochs},
        "experiment": {"epoch_every_n_steps": 100},
    }
    known = {"task": "desktop_organizer", "num_train_demos": 80, "epoch": num_epochs, "action_key": "actions"}
    return Training("bc" if algo == "bc_rnn" else algo, config, {**known, "data": data.as_facts(), **facts})


def test_failures_are_reported_with_the_step_in_which_the_hand_stops_and_the_pause_there() -> None:
    lines = advise(result(0), training(), CONDITIONS)
    assert lines[0] == (
        "Most failures: never grasped (75 of 100 episodes); in 75 of these, no hand moves from step 74 on (median), "
        "where the demos rest"
    )


def test_a_hand_that_moves_or_stops_elsewhere_is_not_related_to_the_pauses() -> None:
    assert advise(result(0, None), training(), CONDITIONS)[0] == "Most failures: never grasped (75 of 100 episodes)"
    assert advise(result(0, 200), training(), CONDITIONS)[0].endswith("no hand moves from step 200 on (median)")


def test_a_policy_without_memory_on_demos_with_pauses_is_advised_chunks_then_demos_then_noise(tmp_path: Path) -> None:
    dataset = tmp_path / "demo.hdf5"
    dataset.touch()
    *_, changes, command = advise(result(0), training(dataset=str(dataset)), CONDITIONS)
    algorithm, demos, noise = changes.removeprefix("Change first: ").split("; ")
    assert algorithm.startswith(
        "mimic train algo=bc_chunk (bc acts on one observation, and the hand rests before the gripper closes"
    )
    assert demos == "more demos: mimic generate num_trials=1000 (this policy was trained on 80)"
    assert (
        noise.startswith("more noise: mimic generate generation=policy (action_noise is ") and "0.03 in these demos" in noise
    )
    assert command.startswith("On the same demos: ") and f"input_file={dataset} algo=bc_chunk" in command


def changes(*arguments: Any, **facts: Any) -> str:
    return advise(result(10), training(*arguments, **facts), CONDITIONS)[-1]


def test_only_settings_that_differ_are_advised() -> None:
    assert "algo=" not in changes("bc_chunk")
    assert "algo=" not in changes("bc", FLUENT)
    assert "algo=bc_chunk (bc_rnn remembers 10 steps" in changes("bc_rnn")
    assert "generation_num_trials" not in changes(num_train_demos=800)
    noisy = TrainingData(mean_length=240.0, action_noise=1.0, has_clean_actions=True)
    assert "generation=policy" not in changes("bc_chunk", noisy)
    assert "action_key=actions_clean" in changes("bc_chunk", noisy)
    assert "action_key" not in changes("bc_chunk", noisy, action_key="actions_clean")
    assert changes("bc_chunk", noisy, action_key="actions_clean", num_train_demos=800).startswith("No recorded setting")


def test_more_noise_is_not_advised_for_plain_cloning_that_needs_no_chunks() -> None:
    assert "generation=policy" not in changes("bc", FLUENT)
    assert "all_subtasks.action_noise=0.03" in changes("bc", TrainingData(mean_length=120.0, action_noise=0.0))


def test_short_and_unfinished_trainings_are_named() -> None:
    assert "train longer: mimic train epochs=100 (this policy was trained for 20)" in changes("bc_chunk", FLUENT, 20)
    assert "evaluate the last epoch (this is epoch 50 of 200)" in changes(epoch=50)
    assert "epoch" not in changes()


def test_harder_conditions_and_a_short_horizon_are_named() -> None:
    conditions = Conditions(100, ["observation_noise=0.005"])
    lines = advise(result(0), training(), conditions)
    assert lines[1] == "The evaluation is harder than the demos: observation_noise=0.005; evaluate without this first"
    assert lines[2] == "The horizon of 100 steps is shorter than a demo (mean 240 steps): use a larger horizon"


@pytest.mark.parametrize("num_successes", [45, 100])
def test_no_advice_is_given_unless_the_interval_is_below_one_half(num_successes: int) -> None:
    assert advise(result(num_successes), training(), CONDITIONS) == []


def test_advice_without_a_recorded_training_names_the_failures_only() -> None:
    assert len(advise(result(0), None, CONDITIONS)) == 1
    (_, known) = advise(result(0), training(data=TrainingData()), CONDITIONS)
    assert known == "Change first: more demos: mimic generate num_trials=1000 (this policy was trained on 80)"


def test_training_warns_only_about_pauses_that_are_longer_than_the_memory() -> None:
    plain, recurrent, chunked = (training(algo).memory for algo in ("bc", "bc_rnn", "bc_chunk"))
    warning = pause_warning("bc", plain, PAUSING)
    assert warning is not None and warning.startswith("algo=bc acts on one observation, and the hand rests before")
    assert "algo=bc_chunk, the default" in warning
    assert pause_warning("bc_rnn", recurrent, PAUSING) is not None
    assert pause_warning("bc_chunk", chunked, PAUSING) is None
    assert pause_warning("bc", plain, FLUENT) is None
    long = TrainingData(pauses="the hand rests", pause_spans=[[70, 50]])
    assert "agent.train.seq_length=100" in str(pause_warning("bc_chunk", chunked, long))
    assert chunked == Memory(32, "predicts 32 actions at once", plans_ahead=True)


def test_training_data_of_a_file_without_recorded_properties_is_unknown(tmp_path: Path) -> None:
    data = examine_training_data(make_train_file(tmp_path / "demo.hdf5"), "desktop_organizer", ["demo_0"])
    assert (data.pauses, data.action_noise, data.has_clean_actions) == ("", None, False)
    assert data.mean_length is not None and TrainingData.of_facts({"data": data.as_facts()}) == data
    assert TrainingData.of_facts({}) == TrainingData()


def test_hands_stand_still_from_the_step_after_their_last_motion() -> None:
    def pose(x: float) -> torch.Tensor:
        poses = torch.eye(4).expand(2, 1, 4, 4).clone()
        poses[0, 0, 0, 3] = x  # The hand of the second env never moves.
        return poses

    stillness = Stillness(pose(0.0), step_dt=0.05)
    for step in range(10):
        stillness.watch(torch.full((2,), step), pose(0.01 * (step + 1)))
    for step in range(10, 10 + MIN_STEPS):
        stillness.watch(torch.full((2,), step), pose(0.1))
    env_ids = torch.arange(2)
    assert stillness.still_from(env_ids, torch.full((2,), 10 + MIN_STEPS)).tolist() == [10, 0]
    assert stillness.still_from(env_ids, torch.full((2,), 9 + MIN_STEPS)).tolist() == [-1, 0]
    stillness.begin(env_ids[:1], pose(5.0))
    stillness.watch(torch.zeros(2, dtype=torch.int64), pose(5.0))
    assert stillness.still_from(env_ids, torch.full((2,), MIN_STEPS)).tolist() == [0, 0]
