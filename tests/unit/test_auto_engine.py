"""The engine that `sim=auto` selects on a machine with a GPU, which is replaced: nothing runs on CUDA."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import warp as wp

from isaaclab_mimic_ext.commands import launch
from isaaclab_mimic_ext.config import (
    AnnotateDemosCfg,
    EvaluateCfg,
    GenerateCfg,
    RecordDemosCfg,
    SimCfg,
    StudioCfg,
    TaskRef,
    TrainCfg,
)
from isaaclab_mimic_ext.envs import factory, gpu_engine, mujoco_warp
from isaaclab_mimic_ext.envs.factory import choose_engine, make_env
from isaaclab_mimic_ext.envs.gpu_engine import BatchedCommand
from isaaclab_mimic_ext.errors import OutputError, SimulatorUnavailable
from isaaclab_mimic_ext.kernels import initialize
from isaaclab_mimic_ext.run.session import RunFolder, opened_store
from isaaclab_mimic_ext.task.definition import Task, load_task
from tests import requires

TASK = load_task("desktop_organizer")
BATCHED = BatchedCommand("auto", 4096, lambda: TASK)


@pytest.fixture(autouse=True)
def started_warp() -> None:
    """Warp sets the folder of its cache when it starts."""
    initialize()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with a GPU on which MuJoCo Warp is installed; returns Warp's cache, with kernels of MuJoCo Warp."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(mujoco_warp, "import_mujoco_warp", lambda: None)
    monkeypatch.setattr(mujoco_warp, "_check_device", lambda device: None)
    monkeypatch.setattr(mujoco_warp, "_put_model", lambda *_: None)
    kernels = tmp_path / "cache" / "wp_mujoco_warp._src.smooth_0123456"
    kernels.mkdir(parents=True)
    (kernels / "wp_mujoco_warp._src.smooth_0123456.sm90.cubin").touch()
    monkeypatch.setattr(wp.config, "kernel_cache_dir", str(kernels.parent))
    return kernels.parent


def test_command_with_many_envs_takes_the_gpu_and_is_told_how_to_repeat_its_bytes(gpu: Path) -> None:
    engine, reason = choose_engine(SimCfg(), TASK.name, BATCHED)
    assert engine == "mujoco_warp"
    assert reason == (
        "not started by `isaaclab -p`, and a CUDA device is available; two runs differ in their last bits, sim=mujoco "
        "repeats them bit by bit"
    )


def test_few_envs_and_kernels_that_must_be_compiled_are_part_of_the_reason(
    gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = BatchedCommand("auto", 100, lambda: TASK)
    assert choose_engine(SimCfg(), TASK.name, few)[1].endswith(
        "; num_envs=100 uses a small part of the GPU, 1024 or more use it well"
    )
    monkeypatch.setattr(wp.config, "kernel_cache_dir", str(gpu / "empty"))
    assert choose_engine(SimCfg(), TASK.name, BATCHED)[1].endswith(
        "; this first run compiles the kernels for about three minutes"
    )


def raising(message: str) -> Callable[..., None]:
    def fail(*_: Any) -> None:
        raise SimulatorUnavailable(message)

    return fail


@pytest.mark.parametrize(
    ("name", "replacement", "reason"),
    [
        ("torch.cuda.is_available", lambda: False, "this machine has no CUDA device"),
        ("import_mujoco_warp", raising("sim.engine: mujoco_warp requires MuJoCo Warp >= 4.0 (found 3.9); install with x"),
         "mujoco_warp requires MuJoCo Warp >= 4.0 (found 3.9); install with x"),
        ("_check_device", raising("device: MuJoCo Warp requires a CUDA driver >= 12.4 (found 12.2); use sim=mujoco"),
         "MuJoCo Warp requires a CUDA driver >= 12.4 (found 12.2)"),
        ("_put_model", raising("sim.engine: MuJoCo Warp cannot simulate the scene of task 'x': RK4; use sim=mujoco"),
         "MuJoCo Warp cannot simulate the scene of task 'x': RK4"),
        ("check_can_draw", raising("enable_cameras: MuJoCo Warp's ray caster cannot draw skins; use sim=mujoco, or y"),
         "MuJoCo Warp's ray caster cannot draw skins"),
    ],
)  # fmt: skip
def test_gpu_that_cannot_run_the_command_is_not_selected(
    name: str, replacement: Callable[..., Any], reason: str, gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.startswith("torch."):
        monkeypatch.setattr(name, replacement)
    else:
        monkeypatch.setattr(mujoco_warp, name, replacement)
    with_pictures = BatchedCommand("auto", 4096, lambda: TASK, records_pictures=True)
    engine, found = choose_engine(SimCfg(), TASK.name, with_pictures)
    assert (engine, found) == ("mujoco", f"not started by `isaaclab -p`; not on a GPU: {reason}")


@pytest.mark.parametrize(
    ("sim", "device", "reason"),
    [
        (SimCfg(), "cpu", "device=cpu"),
        (SimCfg(num_threads=2), "auto", "sim.num_threads is set, which only MuJoCo has"),
    ],
)
def test_command_that_asks_for_the_cpu_keeps_mujoco(sim: SimCfg, device: str, reason: str, gpu: Path) -> None:
    engine, found = choose_engine(sim, TASK.name, BatchedCommand(device, 4096, lambda: TASK))
    assert (engine, found.rpartition(": ")[2]) == ("mujoco", reason)


def test_isaaclab_comes_before_the_gpu_engine(gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_engine(SimCfg(physics="newton"), TASK.name, BATCHED)[0] == "isaaclab"
    monkeypatch.setattr(factory, "isaaclab_launcher", lambda: ("isaaclab", "-p"))
    assert choose_engine(SimCfg(), TASK.name, BATCHED) == ("isaaclab", "started by `isaaclab -p`")


def test_setting_of_the_gpu_engine_is_accepted_where_auto_selects_it(gpu: Path) -> None:
    assert choose_engine(SimCfg(contacts=64), TASK.name, BATCHED)[0] == "mujoco_warp"


@pytest.mark.parametrize(
    ("schema", "fields", "engine"),
    [
        (GenerateCfg, {}, "mujoco_warp"),
        (GenerateCfg, {"debug": True, "device": "cuda:0"}, "mujoco_warp"),
        (GenerateCfg, {"sim": SimCfg(engine="mujoco")}, "mujoco"),
        (EvaluateCfg, {}, "mujoco_warp"),
        (RecordDemosCfg, {}, "mujoco"),
        (AnnotateDemosCfg, {}, "mujoco"),
        (TrainCfg, {}, "mujoco"),
        (StudioCfg, {}, "mujoco"),
    ],
)
def test_generate_and_evaluate_take_the_gpu_and_commands_with_few_envs_keep_mujoco(
    schema: type, fields: dict[str, Any], engine: str, gpu: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = schema(task=TaskRef(TASK.name), **fields)
    with caplog.at_level(logging.INFO):
        launch.start_engine(cfg)
    device = "cuda:0" if engine == "mujoco_warp" else "cpu"
    assert (cfg.sim.engine, cfg.device) == (engine, device)
    title = {"mujoco": "MuJoCo", "mujoco_warp": "MuJoCo Warp"}[engine]
    assert re.match(rf"Running on {title} \(.*\), device {device} \(", caplog.messages[-1])


@pytest.mark.parametrize(("device", "engine"), [("cpu", "mujoco"), ("auto", "mujoco_warp")])
def test_make_env_takes_the_gpu_only_for_a_device_that_may_be_one(
    device: str, engine: str, gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str]] = []
    for name in ("mujoco", "mujoco_warp"):

        def make(task: Task, sim: SimCfg, events: Any, num_envs: int, device: str, name: str = name) -> None:
            made.append((name, device))

        monkeypatch.setitem(factory._ENGINES, name, make)
    make_env(TASK, num_envs=4096, device=device)
    assert made == [(engine, "cpu" if engine == "mujoco" else "cuda:0")]


def resuming(folder: Path, **fields: Any) -> GenerateCfg:
    return GenerateCfg(task=TaskRef(TASK.name), output_dir=str(folder), resume=True, **fields)


def write_run(folder: Path, engine: str, device: str) -> None:
    """Write the store of a run that was started on an engine."""
    folder.mkdir(parents=True)
    with opened_store(RunFolder(folder).store) as store:
        store.set_facts(identity={"sim.engine": engine, "device": device, "task.name": TASK.name})
        store.commit()


def test_resumed_run_of_auto_keeps_the_engine_that_it_was_started_on(
    gpu: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_run(tmp_path / "run", "mujoco", "cpu")
    cfg = resuming(tmp_path / "run")
    with caplog.at_level(logging.INFO):
        launch.start_engine(cfg)
    assert (cfg.sim.engine, cfg.device) == ("mujoco", "cpu")
    assert f"Running on MuJoCo (the run in {tmp_path / 'run'} was started on MuJoCo), device cpu" in caplog.text


def test_resumed_debug_run_of_auto_keeps_its_engine(gpu: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "run_debug", "kinematic", "cpu")
    cfg = resuming(tmp_path / "run", debug=True)
    launch.start_engine(cfg)
    assert cfg.sim.engine == "kinematic"


@pytest.mark.parametrize("fields", [{}, {"overwrite": True}])
def test_block_of_auto_takes_the_engine_of_the_other_blocks(fields: dict[str, Any], gpu: Path, tmp_path: Path) -> None:
    """A job array may run on machines with and without a GPU."""
    write_run(tmp_path / "run/blocks/00002", "mujoco", "cpu")
    cfg = GenerateCfg(task=TaskRef(TASK.name), output_dir=str(tmp_path / "run"), block=0, **fields)
    launch.start_engine(cfg)
    assert cfg.sim.engine == "mujoco"


def test_block_that_is_replaced_does_not_decide_its_engine(gpu: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "run/blocks/00000", "mujoco", "cpu")
    cfg = GenerateCfg(task=TaskRef(TASK.name), output_dir=str(tmp_path / "run"), block=0, overwrite=True)
    launch.start_engine(cfg)
    assert cfg.sim.engine == "mujoco_warp"


def test_run_in_a_new_folder_is_started_on_the_gpu_with_resume_too(gpu: Path, tmp_path: Path) -> None:
    cfg = resuming(tmp_path / "new")
    launch.start_engine(cfg)
    assert cfg.sim.engine == "mujoco_warp"
    assert not (tmp_path / "new").exists()


def test_run_of_a_gpu_cannot_be_resumed_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    write_run(tmp_path / "run", "mujoco_warp", "cuda:0")
    message = (
        r"^output_dir: the run in .*run was started on MuJoCo Warp on cuda:0, and this machine has no CUDA device; resume"
    )
    with pytest.raises(OutputError, match=message):
        launch.start_engine(resuming(tmp_path / "run"))


def test_damaged_run_is_reported_by_the_run_and_not_by_the_choice_of_its_engine(tmp_path: Path) -> None:
    (tmp_path / "run.sqlite").write_bytes(b"not a database" * 100)
    cfg = resuming(tmp_path, device="cpu")
    launch.start_engine(cfg)
    assert cfg.sim.engine == "mujoco"


def test_check_of_the_gpu_engine_converts_the_scene_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    requires.module("mujoco_warp", "mujoco_warp")
    monkeypatch.setattr(mujoco_warp, "_check_device", lambda device: None)
    mujoco_warp.check_can_run(lambda: TASK, torch.device("cuda:0"), draws_pictures=True)


def test_only_compiled_kernels_for_gpus_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache contains kernels for CPUs in the same folders."""
    monkeypatch.setattr(wp.config, "kernel_cache_dir", str(tmp_path))
    (folder := tmp_path / "wp_mujoco_warp._src.io_1").mkdir()
    (folder / "wp_mujoco_warp._src.io_1.cpu1.o").touch()
    assert not gpu_engine._has_compiled_kernels()
    (folder / "wp_mujoco_warp._src.io_1.sm90.cubin").touch()
    assert gpu_engine._has_compiled_kernels()
