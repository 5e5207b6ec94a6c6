"""The host waits for the device once per step, even if trials end and begin in it. Waits are counted, on the CPU."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run import generator as generator_module
from isaaclab_mimic_ext.run.generate import generate_run
from isaaclab_mimic_ext.run.generator import Generator
from tests.integration.test_steps_stay_on_the_device import EVERYTHING, READS, caller, generator_of
from tests.kinematic_sources import generate_cfg

READING_CALLS = {"cpu", "tolist", "item", "__bool__", "__int__", "__float__"}
EVENTS, PLACEMENTS = "generator.py:step", "events.py:sample"
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


@pytest.fixture(params=["late", "at once"])
def judged(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """When ended trials are judged: as on a GPU, or as on a CPU."""
    monkeypatch.setattr(generator_module, "judges_late", lambda device: request.param == "late")
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


def test_dataset_does_not_depend_on_when_trials_are_judged(
    kinematic_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("num_envs=3", "datagen_config.generation_num_trials=5", "subtask_configs.franka.1.action_noise=0.45")
    results = []
    for late in (True, False):
        monkeypatch.setattr(generator_module, "judges_late", lambda device, late=late: late)
        results.append(generate_run(generate_cfg(kinematic_source, tmp_path / str(late), *words)))
    late, at_once = results
    assert late.failures == at_once.failures != {}
    assert dataset_digest(late.dataset) == dataset_digest(at_once.dataset)
