"""Helpers for tests that start, end and resume runs, and compare their datasets."""

from pathlib import Path

import h5py
import pytest

from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.errors import BudgetExhausted
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.files.writing import part_path
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.session import RunFolder
from tests.faults import ForkServer, Run
from tests.jobs import run_generation
from tests.kinematic_sources import generate_cfg

NUM_DEMOS = 20


TARGET = f"datagen_config.generation_num_trials={NUM_DEMOS}"


SHAKY = "subtask_configs.franka.1.action_noise=0.8"


PATIENT = "datagen_config.max_num_failures=null"


RESUME, OVERWRITE = "resume=true", "overwrite=true"


def run_cfg(source: Path, folder: RunFolder, *overrides: str) -> GenerateCfg:
    return generate_cfg(source, folder.path, "num_envs=8", TARGET, SHAKY, PATIENT, *overrides)


def run(source: Path, folder: RunFolder, *overrides: str) -> RunResult:
    return run_generation(run_cfg(source, folder, *overrides))


def begin(source: Path, folder: RunFolder, num_trials: int = 9) -> None:
    """Start a run that a budget ends, so that it can be resumed."""
    with pytest.raises(BudgetExhausted):
        run(source, folder, f"datagen_config.max_trials={num_trials}")


def contents(folder: RunFolder) -> dict[str, tuple[int, int]]:
    """Size and modification time of every file, by name."""
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.path.iterdir()}


def assert_same_dataset(folder: RunFolder, undisturbed: RunFolder) -> None:
    """Check that both datasets have the same demos of the same trials in the same order, and that no `.part` file exists."""
    assert dataset_digest(folder.demos) == dataset_digest(undisturbed.demos)
    assert trials_of(folder) == trials_of(undisturbed)
    assert not list(folder.path.glob("*.part"))


def trials_of(folder: RunFolder, is_finished: bool = True) -> list[int]:
    with h5py.File(folder.demos if is_finished else part_path(folder.demos)) as file:
        return [int(file["data"][f"demo_{index}"].attrs["trial"]) for index in range(len(file["data"]))]


def replaced(arguments: list[str], argument: str) -> list[str]:
    """Replace the argument of a field: a command line may set a field only once."""
    return [*(other for other in arguments if other.partition("=")[0] != argument.partition("=")[0]), argument]


def under_way(fork_server: ForkServer, folder: RunFolder, *arguments: str) -> Run:
    """Start a run, and wait until its first trials are saved."""
    run = fork_server.start(folder, *arguments)
    assert run.until(lambda: run.num_saved() > 0), run.message()
    return run
