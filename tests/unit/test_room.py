"""Runs that do not fit into memory are refused before allocation, with the number of envs that fits."""

import logging
import re
from dataclasses import replace
from pathlib import Path

import pytest

from isaaclab_mimic_ext.envs import memory
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.run import build
from isaaclab_mimic_ext.run.fitting import check_envs_fit
from isaaclab_mimic_ext.run.recorder import bytes_per_env
from tests import requires
from tests.jobs import run_generation
from tests.kinematic_sources import generate_cfg


def test_free_memory_is_known_and_more_is_refused() -> None:
    free = memory.free_bytes()
    assert free is not None and free > 2**20
    memory.check_memory(1, 1, "a byte")
    with pytest.raises(ConfigError, match=r"num_envs: 1000 envs need .* GB for episodes, .* free; use num_envs <= \d"):
        memory.check_memory(1000, free // 100, "episodes")


def test_data_that_fill_all_free_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device=None: 1000)
    with pytest.raises(ConfigError, match=r"use num_envs <= 75$"):
        memory.check_memory(99, 10, "episodes")
    memory.check_memory(75, 10, "episodes")


@pytest.mark.parametrize(("engine", "free"), [("kinematic", 2**22), ("mujoco", 2**17)])
def test_too_many_envs_for_the_memory_are_refused_before_files_are_written(
    kinematic_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, free: int
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device=None: free)
    if engine == "mujoco":
        requires.module("mujoco.batch", "mujoco")
    with pytest.raises(ConfigError, match=r"num_envs: 100 envs need .* GB for .* use num_envs <= "):
        run_generation(generate_cfg(kinematic_source, tmp_path / "run", "num_envs=100", f"sim.engine={engine}"))
    assert not (tmp_path / "run").exists()


def test_run_without_a_given_number_of_envs_takes_as_many_as_fit(
    kinematic_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = generate_cfg(kinematic_source, tmp_path / "run", "num_envs=null", "datagen_config.generation_num_trials=3")
    monkeypatch.setattr(memory, "free_bytes", lambda device=None: 2**22)
    with caplog.at_level(logging.INFO):
        result = run_generation(cfg)
    using = next(message for message in caplog.messages if message.startswith("Using "))
    assert re.fullmatch(r"Using (\d+) envs?: 100 envs need .* GB are free; use num_envs <= \1", using)
    assert result.num_demos == 3


@pytest.mark.parametrize(
    ("device", "overrides", "num_envs"),
    [
        ("cpu", ["datagen_config.generation_num_trials=9999"], 100),
        ("cuda:0", ["datagen_config.generation_num_trials=9999"], 4096),
        ("cuda:0", ["datagen_config.generation_num_trials=1000"], 1000),
        ("cuda:0", ["datagen_config.generation_num_trials=9"], 100),
        ("cuda:0", ["datagen_config.generation_num_trials=9999", "block=3"], 500),
        ("cpu", ["block=3", "block_size=50"], 25),
        ("cuda:0", ["datagen_config.generation_num_trials=9999", "num_envs=7"], 7),
    ],
)
def test_number_of_envs_is_chosen_for_device_and_trials(device: str, overrides: list[str], num_envs: int) -> None:
    cfg = generate_cfg(Path("a.hdf5"), Path("run"), "num_envs=null", *overrides)
    assert replace(cfg, device=device).batch_size() == num_envs


def test_memory_of_recorded_rows_is_checked_for_the_longest_possible_trial(
    kinematic_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = generate_cfg(kinematic_source, tmp_path / "run", "num_envs=2")
    env = build.start_env(cfg)
    pool = build.load_pool(cfg, env)
    horizon = build.build_planner(cfg, env, pool).horizon
    assert horizon > int(pool.lengths.max())
    monkeypatch.setattr(memory, "free_bytes", lambda device=None: int(1.9 * bytes_per_env(env, horizon) / 0.75))
    with pytest.raises(ConfigError, match=r"num_envs: 2 envs need .* GB for what they record, .* use num_envs <= 1$"):
        check_envs_fit(cfg, env, pool)
