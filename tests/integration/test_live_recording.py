"""Demonstrations of a person who acts while the scene runs; the person is a script that sees what a person would see."""

# N = 1 env, E end effectors

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext import record
from isaaclab_mimic_ext.config import DataGenConfig, SimCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.demos.ends import MAX_SPEED_AT_ENDS, NUM_STEPS_AT_ENDS
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.run import live
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires
from tests.jobs import command
from tests.kinematic_sources import make_kinematic_env
from tests.people import Person

SEED = 5
NUM_SUCCESS_STEPS = 5


class HastyPerson(Person):
    """Moves the hand to and fro for 20 steps after the task is solved."""

    num_solved = 0

    def reset(self) -> None:
        super().reset()
        self.num_solved = 0

    def command(self) -> Tensor:
        command = super().command()
        self.num_solved += bool(self.env.success())
        if 0 < self.num_solved <= 20:
            command[0, 2] += 0.01 if self.num_solved % 2 else -0.01
        return command


class UndecidedPerson(HastyPerson):
    """Discards the first attempt when the task has been solved for 12 steps."""

    def wants_reset(self) -> bool:
        return self.attempt == 0 and self.num_solved == 12


class IdlePerson(Person):
    """Never commands the hand."""

    def command(self) -> Tensor:
        return torch.zeros(7)


def record_by_hand(path: Path, person: Person, num_demos: int, **arguments: Any) -> list[dict[str, Any]]:
    """Record demos of a person, and read all of them."""
    record(
        person.env,
        path,
        person,
        num_demos,
        seed=SEED,
        config=DataGenConfig(num_success_steps=NUM_SUCCESS_STEPS),
        **arguments,
    )
    with h5py.File(path) as file:
        return [
            {"attributes": dict(demo.attrs)} | {name: demo[name][:] for name in ("rewards", "actions", "obs/eef_pos")}
            for demo in file["data"].values()
        ]


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Times that the recording would sleep after each step [s]; the test does not sleep."""
    times: list[float] = []
    monkeypatch.setattr(live.time, "sleep", times.append)
    return times


def test_successful_attempt_of_a_person_is_recorded_step_by_step(tmp_path: Path, slept: list[float]) -> None:
    demos = record_by_hand(tmp_path / "raw.hdf5", Person(make_kinematic_env(1)), 2)
    assert len(demos) == 2
    for demo in demos:
        assert demo["attributes"]["success"]
        assert demo["attributes"]["teleop_device"] == "Person"
    num_steps = sum(len(demo["actions"]) for demo in demos)
    assert len(slept) == num_steps - 2, "after every step but a demo's last there is a wait"
    assert min(slept) >= 0.0


def test_aborted_attempt_is_not_recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    person = Person(make_kinematic_env(1), discards=(0, 1))
    (demo,) = record_by_hand(tmp_path / "raw.hdf5", person, 1)
    assert person.attempt == 2
    assert demo["attributes"]["trial"] == 2
    assert "Attempt not saved: discarded (0.2 s)" in caplog.text


def test_solved_attempt_can_be_discarded_while_the_hand_moves(tmp_path: Path) -> None:
    person = UndecidedPerson(make_kinematic_env(1))
    (demo,) = record_by_hand(tmp_path / "raw.hdf5", person, 1)
    assert demo["attributes"]["trial"] == 1


@pytest.mark.parametrize("kind", [Person, HastyPerson])
def test_demo_ends_solved_and_at_rest(kind: type[Person], tmp_path: Path) -> None:
    (demo,) = record_by_hand(tmp_path / "raw.hdf5", kind(make_kinematic_env(1)), 1)
    assert demo["rewards"][-NUM_SUCCESS_STEPS - 1 :].tolist() == [1.0] * (NUM_SUCCESS_STEPS + 1)
    speed = np.linalg.norm(np.diff(demo["obs/eef_pos"], axis=0), axis=1) / 0.05
    assert speed[-NUM_STEPS_AT_ENDS:].max() <= MAX_SPEED_AT_ENDS
    assert speed[:NUM_STEPS_AT_ENDS].max() <= MAX_SPEED_AT_ENDS


def test_attempt_that_takes_too_long_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live, "MAX_STEPS", 20)
    person, path = IdlePerson(make_kinematic_env(1)), tmp_path / "raw.hdf5"
    result = record(person.env, path, person, 1, seed=SEED, config=DataGenConfig(max_num_failures=2))
    assert result.failures == {live.LIVE_REASONS[live.TOO_LONG]: 2}
    assert caplog.text.count("Attempt not saved: the demo was not complete after 3000 steps") == 2
    assert caplog.text.count("  0.1 s: an attempt has at most 20 steps; complete the demo in 1.0 s") == 2


def test_stop_discards_only_the_running_attempt(tmp_path: Path) -> None:
    person = Person(make_kinematic_env(1))
    demos = record_by_hand(tmp_path / "raw.hdf5", person, 5, should_stop=lambda: (person.attempt, person.frame) == (2, 30))
    assert [demo["attributes"]["trial"] for demo in demos] == [0, 1]


def test_log_reports_signals_success_and_saved_demos(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    (demo,) = record_by_hand(tmp_path / "raw.hdf5", Person(make_kinematic_env(1)), 1)
    lines = [record.message for record in caplog.records if record.name.endswith("live_state")]
    assert lines.pop(0).startswith("Each demo is saved when it ends.")
    assert lines[0] == "Demo 1 of 1: solve the task, then hold still"
    assert [line.split(": ")[1] for line in lines[1:-1]] == [
        *(f"{name} is done" for name in ("reach", "grasp", "lift", "place")),
        "solved; hold still until the demo is saved",
    ]
    num_steps = len(demo["actions"])
    assert lines[-1] == f"Saved demo 1 of 1 ({num_steps} steps, {0.05 * num_steps:.1f} s)"


@pytest.mark.slow
def test_demos_of_a_person_on_mujoco_pass_the_check_and_generate(tmp_path: Path) -> None:
    requires.module("mujoco.batch", "mujoco")
    raw, annotated = tmp_path / "raw.hdf5", tmp_path / "annotated.hdf5"
    task = mimic.load_task("desktop_organizer")
    env = mimic.make_env(task, "mujoco", num_envs=1)
    mimic.record(env, raw, Person(env), 2, seed=SEED)
    mimic.annotate(raw, annotated, env)
    report = mimic.check(annotated, task)
    assert [finding.check for finding in report.findings] == ["pauses"]
    envs = mimic.make_env(task, "mujoco", num_envs=4)
    demos = mimic.load_demos(annotated, envs)
    run = mimic.generate(envs, demos, mimic.GenerationCfg(num_trials=4), tmp_path / "run")
    assert run.num_demos == 4
    assert run.num_attempts <= 6


def two_arms() -> MimicEnv:
    return make_env(load_task("two_arm_lift_tray"), SimCfg(engine="kinematic"), None, 1)


def test_person_commands_two_hands(tmp_path: Path) -> None:
    env = two_arms()
    path = tmp_path / "raw.hdf5"
    assert record(env, path, Person(env), 1, seed=SEED).num_demos == 1


def test_command_for_one_hand_is_refused_for_two_arms(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"command\(\) must return \(2, 7\), one row for each of left, right \(got \(7,\)\)"
    ):
        record(env := two_arms(), tmp_path / "raw.hdf5", IdlePerson(env), 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["teleop_device=spacemouse", "sim=mujoco"],
            "teleop_device: 'spacemouse' is a device of Isaac Lab, but the engine is 'mujoco'; choices: scripted, "
            "scripted_fluent, keyboard, browser",
        ),
        (
            ["teleop_device=gamepad", "headless=true"],
            "teleop_device: 'gamepad' requires a window, but headless is true; omit --headless",
        ),
    ],
)
def test_device_of_isaaclab_is_refused_without_it(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        command("record", load_config("record_demos", [f"output_file={tmp_path / 'raw.hdf5'}", *words]))
    assert str(raised.value) == message


def test_steps_are_not_faster_than_step_hz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(live, "time", SimpleNamespace(sleep=waits.append, monotonic=lambda: 0.0))
    env = make_kinematic_env(1)
    record(env, tmp_path / "raw.hdf5", Person(env), 1, seed=SEED, step_hz=10.0)
    assert waits[:3] == pytest.approx([0.1, 0.2, 0.3])
    waits.clear()
    record(env, tmp_path / "real_time.hdf5", Person(env), 1, seed=SEED)
    assert waits[:3] == pytest.approx([0.05, 0.1, 0.15])
