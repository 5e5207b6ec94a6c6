"""Generation with SkillGen, from the configuration to the dataset, on the engine without physics."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.envs.embedded import POS_SCALE
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.plan.motion_geometry import Speed
from isaaclab_mimic_ext.run import build as skillgen
from tests.jobs import run_generation

CLUTTERED = "task=desktop_organizer_cluttered"


def run(output: Path, *overrides: str) -> dict[str, Any]:
    """The run's statistics."""
    settings = ["sim=kinematic", "num_envs=4", "video=false", "progress=false", f"output_dir={output}"]
    counts = {"generation_num_trials": 4, "generation_guarantee": "false", "max_num_failures": "null"}
    limits = [f"datagen_config.{name}={value}" for name, value in counts.items()]
    run_generation(load_config("generate", [*settings, *limits, *overrides]))
    return json.loads((output / "important_stats.json").read_text())


@pytest.mark.parametrize("task", ["task=desktop_organizer", CLUTTERED])
def test_tasks_of_the_desktop_generate_with_skillgen(task: str, tmp_path: Path) -> None:
    assert run(tmp_path, task, "datagen_config.use_skillgen=true")["num_success"] == 4


def test_planned_trials_do_not_depend_on_the_number_of_envs(tmp_path: Path) -> None:
    digests = set()
    for num_envs in (1, 3, 5):
        run(tmp_path / str(num_envs), CLUTTERED, f"num_envs={num_envs}")
        digests.add(dataset_digest(tmp_path / str(num_envs) / "demo.hdf5"))
    assert len(digests) == 1


def carried_between(folder: Path) -> list[np.ndarray]:
    """Positions of the hand of each demo from the lift to the basket, (T, 3) [m]."""
    ways = []
    with h5py.File(folder / "demo.hdf5") as file:
        for demo in file["data"].values():
            bottle, hand = demo["obs/ketchup_pos"][()], demo["obs/eef_pos"][()]
            is_carried = (bottle[:, 2] > 0.1) & (np.abs(bottle[:, 1]) < 0.1)
            ways.append(hand[is_carried])
    return ways


def test_hand_with_the_bottle_avoids_obstacles(tmp_path: Path) -> None:
    quiet = [f"subtask_configs.franka.{i}.action_noise=0" for i in range(4)]
    run(tmp_path, CLUTTERED, *quiet)
    with h5py.File(tmp_path / "demo.hdf5") as file:
        for demo in file["data"].values():
            bottle = demo["obs/ketchup_pos"][()]
            for name, half_width, height in (("milk", 0.035, 0.22), ("cereal", 0.025, 0.18)):
                distance = np.linalg.norm((bottle - demo[f"obs/{name}_pos"][()])[:, :2], axis=-1)
                low = bottle[:, 2] - 0.05 < height
                assert distance[low].min() > half_width + 0.025, f"the bottle goes through the {name}"
    assert all(len(way) for way in carried_between(tmp_path))


def test_targets_never_exceed_the_speed_of_the_hand(tmp_path: Path) -> None:
    run(tmp_path, CLUTTERED)
    assert Speed().distance < 0.5 * POS_SCALE
    with h5py.File(tmp_path / "demo.hdf5") as file:
        for demo in file["data"].values():
            hand = demo["obs/eef_pos"][()]
            assert np.linalg.norm(np.diff(hand, axis=0), axis=-1).max() < POS_SCALE


def test_interpolation_of_the_same_trials_gives_different_paths(tmp_path: Path) -> None:
    run(tmp_path / "planned", CLUTTERED)
    run(tmp_path / "interpolated", CLUTTERED, "datagen_config.use_skillgen=false")
    heights = [max(way[:, 2].max() for way in carried_between(tmp_path / name)) for name in ("planned", "interpolated")]
    assert heights[0] > heights[1] + 0.03


def test_trials_without_a_path_fail_separately_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a low height limit, no path over objects exists, and rarely one between them."""
    monkeypatch.setattr(skillgen, "MAX_HEIGHT", 0.30)
    stats = run(tmp_path, CLUTTERED, "datagen_config.generation_num_trials=12", "datagen_config.generation_keep_failed=true")
    reasons = stats["failures"]
    assert 0 < sum(reasons.values()) == stats["num_failures"] < 12
    assert set(reasons) <= {
        "the planner failed: no clear path",
        "the planner failed: the only clear path is out of reach",
    }
