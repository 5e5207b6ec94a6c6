"""Steps of the generator create no tensor from Python numbers and move nothing between host and device.

The tests run on the CPU, where an upload costs nothing and does not show. So they look for the operations that would be one.
"""

import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.run.build import build_generator, load_pool, start_env
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.session import RunFolder, open_run
from tests import requires

NUM_ENVS = 3
UPLOADS = {"scalar_tensor", "lift_fresh"}
CREATES = UPLOADS | {"full", "full_like"}
READS = {"_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2"}
ON_THE_HOST = {"tensor", "as_tensor", "new_tensor", "cpu", "cuda", "numpy", "tolist", "item"}
ON_THE_HOST |= {"__bool__", "__int__", "__float__"}
PACKAGES = ("/isaaclab_mimic_ext/", "/tasks/")


class HostTrafficError(AssertionError):
    pass


def caller() -> FrameType:
    """Innermost frame of the package, or of a task."""
    frame = sys._getframe(1)
    while frame.f_back is not None and not any(part in frame.f_code.co_filename for part in PACKAGES):
        frame = frame.f_back
    return frame


def check(operation: str) -> None:
    """Refuse an operation unless a comment `# sync:` stands at, or right above, the line of ours that called it."""
    frame = caller()
    place = frame.f_code.co_filename, frame.f_lineno
    lines = [linecache.getline(place[0], place[1] - back) for back in (0, 1)]
    if not any("# sync:" in line for line in lines):
        raise HostTrafficError(f"{operation} at {place[0]}:{place[1]}: {lines[0].strip()}")


class Operations(TorchDispatchMode):
    """Sees what torch itself creates, such as the tensor that `torch.where(mask, values, 0)` makes of the number."""

    def __init__(self, creates: set[str]):
        super().__init__()
        self._refused = creates | READS

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        by_mask = name in ("index", "index_put_") and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in self._refused or by_mask:
            check(name)
        return func(*args, **(kwargs or {}))


class Calls(TorchFunctionMode):
    """Sees calls that do nothing on the CPU, such as `tensor.cpu()`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in ON_THE_HOST:
            check(func.__name__)
        return func(*args, **(kwargs or {}))


@contextmanager
def on_the_device(monkeypatch: pytest.MonkeyPatch, creates: set[str] = CREATES) -> Iterator[None]:
    from_numpy = torch.from_numpy

    def checked(array: Any) -> Tensor:
        check("from_numpy")
        return from_numpy(array)

    with monkeypatch.context() as patch, Calls(), Operations(creates):
        patch.setattr(torch, "from_numpy", checked)
        yield


def run_checked(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check every step but the first, which fills caches, until segments have begun in two of them."""
    num_begun = 0
    begin_segments = generator.planner.begin_segments

    def count(*args: Any) -> None:
        nonlocal num_begun
        num_begun += 1
        begin_segments(*args)

    generator.begin_trials()
    generator.step()
    with monkeypatch.context() as patch:
        patch.setattr(generator.planner, "begin_segments", count)
        with on_the_device(monkeypatch):
            while num_begun < 2:
                generator.step()
    assert generator.ledger.num_ended == 0


@contextmanager
def generator_of(folder: Path, task: str, engine: str, *overrides: str) -> Iterator[Generator]:
    size = (f"num_envs={NUM_ENVS}", f"datagen_config.generation_num_trials={NUM_ENVS}", "sim.num_threads=1")
    cfg = load_config("generate", [f"task={task}", f"output_dir={folder}", f"sim={engine}", *size, *overrides])
    env = start_env(cfg)
    with open_run(RunFolder(folder), {}, resume=False) as session:
        generator = build_generator(cfg, env, load_pool(cfg, env), session)
        try:
            yield generator
        finally:
            generator.close()
            env.close()


EVERYTHING = ("datagen_config.action_noise_process=ornstein_uhlenbeck", "datagen_config.stop_hopeless_trials=true")


@pytest.mark.parametrize(
    ("task", "engine"),
    [
        ("desktop_organizer", "kinematic"),
        ("desktop_organizer", "mujoco"),
        ("stack_cube", "kinematic"),
        ("two_arm_lift_tray", "kinematic"),
        ("stack_cube_skillgen", "kinematic"),
        ("desktop_organizer_cluttered", "kinematic"),
    ],
)
def test_steps_stay_on_the_device_except_for_marked_lines(
    task: str, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "mujoco":
        requires.module("mujoco.batch", "mujoco")
    with generator_of(tmp_path / "run", task, engine, *EVERYTHING) as generator:
        run_checked(generator, monkeypatch)


@pytest.mark.parametrize("task", ["two_arm_lift_tray", "stack_cube_skillgen"])
def test_trials_begin_without_uploads_except_for_marked_lines(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With thousands of envs, trials begin in almost every step."""
    with generator_of(tmp_path / "run", task, "kinematic", *EVERYTHING) as generator:
        generator.begin_trials()
        generator.lanes.end(np.arange(NUM_ENVS))
        generator.ledger.num_started = 0
        with on_the_device(monkeypatch, UPLOADS):
            generator.begin_trials()
        assert generator.lanes.num_active == NUM_ENVS


PLANTED = (
    ("item|_local_scalar_dense", lambda success: success[0].item()),
    ("tensor|lift_fresh", lambda success: torch.tensor([1.0])),
    ("scalar_tensor", lambda success: torch.where(success, success.long(), 0)),
    ("from_numpy", lambda success: torch.from_numpy(np.zeros(2))),
    ("cpu", lambda success: success.cpu()),
    ("__bool__", lambda success: bool(success.any())),
    ("nonzero", lambda success: success.nonzero()),
    ("index", lambda success: success[success]),
)


def test_planted_traffic_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with generator_of(tmp_path / "run", "desktop_organizer", "kinematic") as generator:
        is_success = generator.env.success
        generator.begin_trials()
        generator.step()
        for operation, plant in PLANTED:

            def success(plant: Any = plant) -> Tensor:
                plant(is_success())
                return is_success()

            monkeypatch.setattr(generator.env, "success", success)
            with pytest.raises(HostTrafficError, match=operation), on_the_device(monkeypatch):
                generator.step()
