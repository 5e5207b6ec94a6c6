"""Isaac Lab's own cube stack on OvPhysX, with stand-ins for its assets: recorded, annotated, generated."""

import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from isaaclab_mimic_ext.datasets.validate import validate_dataset
from tests import requires
from tests.isaaclab.conftest import ROOT, Run
from tests.processes import HANG_S

requires.module("pxr", "isaaclab")
from tests.isaaclab.stock_assets import TASK_ID, write_stock_assets  # noqa: E402

TASK = ("--task", TASK_ID)
INCLUDED = ROOT / "tasks/stack_cube/data/source_demos.hdf5"
NUM_TRIALS = 4
# The task's 16 iterations throw light cubes off when the hand opens (docs/isaaclab.md).
ITERATIONS = [f"env.scene.cube_{index}.spawn.rigid_props=[{{solver_position_iteration_count:64}}]" for index in (1, 2, 3)]


@pytest.fixture(autouse=True)
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stock_assets(tmp_path / "assets")
    monkeypatch.setenv("ISAACSIM_ASSET_ROOT", str(tmp_path / "assets"))


def generate(launcher: Run, source: Path, folder: Path) -> None:
    """Generate from source demos with little noise; of many trials, more than 90 % succeed."""
    words = (
        *TASK,
        f"input_file={source}",
        "num_envs=4",
        f"num_trials={NUM_TRIALS}",
        "generation_guarantee=false",
        "seed=101",
    )
    settings = ("all_subtasks.action_noise=0.003", "output_dir=run", "--headless", "video=false", "progress=false")
    done = launcher("generate", *words, *settings, *ITERATIONS, cwd=folder)
    assert "Running on Isaac Lab (the task is registered with Isaac Lab), physics ovphysx" in done.stderr
    dataset = folder / "run" / "demo.hdf5"
    assert validate_dataset(dataset).is_valid(strict=True)
    with h5py.File(dataset) as file:
        assert len(file["data"]) >= NUM_TRIALS / 2


def test_included_demos_of_mujoco_generate_demos_of_isaaclabs_task(launcher: Run, tmp_path: Path) -> None:
    generate(launcher, INCLUDED, tmp_path)


def test_demos_recorded_in_isaaclabs_task_are_annotated_and_generate_demos(launcher: Run, tmp_path: Path) -> None:
    raw = tmp_path / "raw.hdf5"
    command = [sys.executable, "-m", "tests.isaaclab.record_stock_task", str(raw), "2"]
    recorded = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=HANG_S)
    assert recorded.returncode == 0, recorded.stderr
    words = ("--auto", "input_file=raw.hdf5", "output_file=annotated.hdf5", "--headless")
    launcher("annotate_demos", *TASK, *words, cwd=tmp_path)
    generate(launcher, tmp_path / "annotated.hdf5", tmp_path)
