"""Observations that are NaN or infinite are never recorded as a success, and the log names them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.run import live
from isaaclab_mimic_ext.run.generate import generate_run
from isaaclab_mimic_ext.run.record import record
from isaaclab_mimic_ext.task.reasons import DIVERGED
from tests.kinematic_sources import generate_cfg, make_kinematic_env
from tests.people import Person

LOGGED = "Values are NaN or infinite in obs/eef_pos, in {} {}, which count as failed; correct the observations of the task"


@dataclass
class Spoiled:
    """Observations of an env, with a NaN in `eef_pos` of the first env in the 40th step of the first trials."""

    observe: Callable[[], dict[str, Tensor]]
    num_steps: int = 0

    def __call__(self) -> dict[str, Tensor]:
        found = dict(self.observe())
        self.num_steps += 1
        if self.num_steps == 40:
            found["eef_pos"] = found["eef_pos"].clone()
            found["eef_pos"][0, 0] = torch.nan
        return found


def spoiled(env: MimicEnv, monkeypatch: pytest.MonkeyPatch) -> MimicEnv:
    monkeypatch.setattr(env, "observations", Spoiled(env.observations))
    return env


def trials(path: Path) -> list[int]:
    with h5py.File(path) as file:
        return sorted(int(demo.attrs["trial"]) for demo in file["data"].values())


def test_attempt_of_a_scripted_operator_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    env = spoiled(make_kinematic_env(3), monkeypatch)
    result = record(env, tmp_path / "raw.hdf5", "scripted", 3, seed=5)
    assert result.failures == {DIVERGED: 1} and trials(tmp_path / "raw.hdf5") == [1, 2, 3]
    assert LOGGED.format("attempts", 0) in caplog.text


def test_attempt_of_a_person_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live.time, "sleep", lambda seconds: None)
    person = Person(spoiled(make_kinematic_env(1), monkeypatch))
    result = record(person.env, tmp_path / "raw.hdf5", person, 1, seed=5, config=DataGenConfig())
    assert result.failures == {DIVERGED: 1} and trials(tmp_path / "raw.hdf5") == [1]
    assert LOGGED.format("attempts", 0) in caplog.text


def test_trial_of_a_generation_fails(
    kinematic_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = generate_cfg(kinematic_source, tmp_path / "run", "num_envs=3", "datagen_config.generation_num_trials=3")
    env = spoiled(make_kinematic_env(3), monkeypatch)
    monkeypatch.setattr("isaaclab_mimic_ext.run.fitting.start_env", lambda _: env)
    assert generate_run(cfg).failures == {DIVERGED: 1}
    assert LOGGED.format("trials", 0) in caplog.text
