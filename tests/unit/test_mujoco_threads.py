"""Threads of the engine `mujoco`."""

from typing import Any

import mujoco.batch
import pytest

import isaaclab_mimic_ext as mimic


def test_one_scene_is_simulated_without_further_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    make = mujoco.batch.Batch

    def noted(model: Any, nsim: int, nthread: int, **more: Any) -> Any:
        asked.append(nthread)
        return make(model, nsim, nthread, **more)

    monkeypatch.setattr(mujoco.batch, "Batch", noted)
    task = mimic.load_task("desktop_organizer")
    for num_envs in (1, 2):
        mimic.make_env(task, "mujoco", num_envs=num_envs).close()
    assert asked == [1, 0], "0: one thread per core"
