"""What has no room is refused before it is allocated, with what would have."""

from pathlib import Path

import pytest

from isaaclab_mimic_ext.envs import memory as room
from isaaclab_mimic_ext.errors import ConfigError
from tests import requires
from tests.jobs import run_generation
from tests.kinematic_sources import generate_cfg


def test_what_is_free_is_known_and_more_than_that_is_refused() -> None:
    free = room.free_bytes()
    assert free is not None and free > 2**20
    room.check_memory(1, 1, "a byte")
    with pytest.raises(ConfigError, match=r"num_envs: 1000 envs need .* GB for episodes, .* free; use num_envs <= \d"):
        room.check_memory(1000, free // 100, "episodes")


def test_what_would_only_just_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda device=None: 1000)
    with pytest.raises(ConfigError, match=r"use num_envs <= 75$"):
        room.check_memory(99, 10, "episodes")
    room.check_memory(75, 10, "episodes")


@pytest.mark.parametrize(("engine", "free"), [("kinematic", 2**22), ("mujoco", 2**17)])
def test_more_envs_than_there_is_room_for_are_refused_and_nothing_is_written(
    kinematic_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, free: int
) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda device=None: free)
    if engine == "mujoco":
        requires.module("mujoco.batch", "mujoco")
    with pytest.raises(ConfigError, match=r"num_envs: 100 envs need .* GB for .* use num_envs <= "):
        run_generation(generate_cfg(kinematic_source, tmp_path / "run", "num_envs=100", f"sim.engine={engine}"))
    assert not (tmp_path / "run").exists()
