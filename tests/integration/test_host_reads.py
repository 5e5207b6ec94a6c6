"""The host waits for the device once per step at most, even if trials end and begin in it. Waits are counted, on the CPU.

Where it runs ahead, it waits for no step that it launched last.
"""

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run import generator as generator_module
from isaaclab_mimic_ext.run import recorder as recorder_module
from isaaclab_mimic_ext.run.generate import generate_run
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.host_copy import HostCopy
from tests.integration.test_steps_stay_on_the_device import EVERYTHING, READS, caller, generator_of
from tests.kinematic_sources import generate_cfg

READING_CALLS = {"cpu", "tolist", "item", "__bool__", "__int__", "__float__"}
EVENTS, PLACEMENTS = "generator.py:_continue", "events.py:sample"
"""Places of reads. Placements are computed on the host, so reading them does not wait for the device."""


class ReadOperations(TorchDispatchMode):
    def __init__(self, reads: Counter[str]):
        super().__init__()
        self._reads = reads

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        by_mask = name in ("index", "index_put_") and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in READS or by_mask:
            self._reads[place()] += 1
        return func(*args, **(kwargs or {}))


class ReadCalls(TorchFunctionMode):
    def __init__(self, reads: Counter[str]):
        super().__init__()
        self._reads = reads

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in READING_CALLS:
            self._reads[place()] += 1
        return func(*args, **(kwargs or {}))


def place() -> str:
    code = caller().f_code
    return f"{Path(code.co_filename).name}:{code.co_name}"


def reads_of_step(generator: Generator) -> Counter[str]:
    reads: Counter[str] = Counter()
    with ReadCalls(reads), ReadOperations(reads):
        generator.step()
    return reads


def choose_timing(timing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When ended trials are read and judged: `ahead` as on a GPU, `late` as in Isaac Lab on a GPU, `at once` as on a CPU."""
    monkeypatch.setattr(generator_module, "judges_late", lambda device: timing != "at once")
    monkeypatch.setattr(generator_module, "runs_ahead", lambda env, planner: timing == "ahead")


@pytest.fixture(params=["late", "at once"])
def judged(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    choose_timing(request.param, monkeypatch)
    return str(request.param)


@pytest.mark.parametrize("task", ["desktop_organizer", "two_arm_lift_tray"])
def test_step_in_which_trials_end_and_begin_reads_the_device_once(task: str, judged: str, tmp_path: Path) -> None:
    rules = ("datagen_config.generation_num_trials=9", "datagen_config.generation_keep_failed=true")
    with generator_of(tmp_path / "run", task, "kinematic", *EVERYTHING, *rules) as generator:
        generator.begin_trials()
        generator.step()
        for ending in (True, False):
            generator.watch.stopped[1] = ending
            reads = reads_of_step(generator)
            reads.pop(PLACEMENTS, None)
            assert reads == {EVENTS: 1}, "trials end and begin" if ending else "trials are judged"
        assert (generator.ledger.num_started, generator.ledger.num_ended) == (4, 1)


class WaitedCopy(HostCopy):
    """Copy that notes in which step of the batch it was started, and in which it was waited for."""

    lanes: ClassVar[Any] = None
    waits: ClassVar[list[int]] = []

    def __init__(self, tensors: Any):
        super().__init__(tensors)
        self._started = self.lanes.num_steps

    def wait(self) -> Any:
        self.waits.append(self.lanes.num_steps - self._started)
        return super().wait()


@pytest.mark.parametrize("task", ["desktop_organizer", "two_arm_lift_tray"])
def test_step_of_a_loop_that_runs_ahead_waits_only_for_earlier_steps(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_timing("ahead", monkeypatch)
    rules = ("datagen_config.generation_num_trials=9", "datagen_config.generation_keep_failed=true")
    with generator_of(tmp_path / "run", task, "kinematic", *EVERYTHING, *rules) as generator:
        monkeypatch.setattr(generator_module, "HostCopy", WaitedCopy)
        monkeypatch.setattr(recorder_module, "HostCopy", WaitedCopy)
        monkeypatch.setattr(WaitedCopy, "lanes", generator.lanes)
        monkeypatch.setattr(WaitedCopy, "waits", [])
        generator.begin_trials()
        generator.step()
        for step in range(5):
            generator.watch.stopped[1] = step == 0
            reads = reads_of_step(generator)
            reads.pop(PLACEMENTS, None)
            assert not reads
        assert (generator.ledger.num_started, generator.ledger.num_ended) == (4, 1)
        assert WaitedCopy.waits and min(WaitedCopy.waits) >= 1


NOISE = "subtask_configs.franka.1.action_noise=0.45"
RUNS = {
    "the target is reached": ("datagen_config.generation_num_trials=5", NOISE),
    "hopeless trials are stopped": (
        "datagen_config.generation_num_trials=7", "datagen_config.stop_hopeless_trials=true", NOISE,
        "datagen_config.generation_keep_failed=true", "datagen_config.success_rule=any_step",
    ),
    "a fixed number of trials is made": (
        "datagen_config.generation_num_trials=8", "datagen_config.generation_guarantee=false",
        "datagen_config.generation_keep_failed=true", NOISE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("rules", RUNS)
def test_dataset_does_not_depend_on_when_trials_are_read_and_judged(
    rules: str, kinematic_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, stats = [], []
    for timing in ("ahead", "late", "at once"):
        choose_timing(timing, monkeypatch)
        result = generate_run(generate_cfg(kinematic_source, tmp_path / timing, "num_envs=3", *RUNS[rules]))
        results.append(result)
        files = [result.dataset, *result.dataset.parent.glob("demo_failed.hdf5")]
        stats.append([dataset_digest(file) for file in files])
    assert stats[0] == stats[1] == stats[2]
    assert len({str((each.failures, each.num_attempts, each.lengths)) for each in results}) == 1
    assert results[0].failures != {}
