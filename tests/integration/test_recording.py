"""Recording a scripted operator, from the configuration to the file."""

import signal
from pathlib import Path
from typing import Any

import h5py
import pytest

from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.errors import BudgetExhausted, Interrupted
from tests.jobs import command

STEPS_OF_A_BATCH = 300
"""At most: longer demos the operator does not plan."""


def record(output: Path, *overrides: str) -> int:
    """How many demos are in the file."""
    command("record", load_config("record_demos", ["sim=kinematic", f"output_file={output}", *overrides]))
    return count(output)


def count(output: Path) -> int:
    with h5py.File(output) as file:
        return len(file["data"])


def test_requested_number_of_demos_is_recorded(tmp_path: Path) -> None:
    assert record(tmp_path / "raw.hdf5", "num_demos=3") == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_keeps_every_finished_demo(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, step, num_steps = tmp_path / "raw.hdf5", KinematicEnv.step, 0

    def step_and_signal(env: KinematicEnv, *arguments: Any) -> None:
        nonlocal num_steps
        step(env, *arguments)
        num_steps += 1
        if num_steps == STEPS_OF_A_BATCH:
            signal.raise_signal(number)

    monkeypatch.setattr(KinematicEnv, "step", step_and_signal)
    monkeypatch.setattr("isaaclab_mimic_ext.commands.record.MAX_NUM_ENVS", 4)
    before = signal.getsignal(number)
    with pytest.raises(
        Interrupted, match=r"4 demos are in .*raw.hdf5; continue with: mimic record .*raw.hdf5 resume=true"
    ) as raised:
        record(output, "num_demos=20")
    assert raised.value.exit_code == 128 + number
    assert signal.getsignal(number) is before
    assert num_steps == STEPS_OF_A_BATCH
    assert count(output) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["raw.hdf5"]


def test_operator_that_always_fails_ends_at_the_budget(tmp_path: Path) -> None:
    hopeless = ("datagen_config.num_success_steps=1000", "datagen_config.max_num_failures=4")
    with pytest.raises(BudgetExhausted, match=r"4 trials in a row failed; reasons: .* no demo was recorded, so no file"):
        record(tmp_path / "raw.hdf5", "num_demos=4", "video=false", *hopeless)
    assert not list(tmp_path.iterdir())
