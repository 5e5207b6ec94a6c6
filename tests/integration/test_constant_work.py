"""A step executes the same Python work for any number of envs: lines executed and C functions called are counted."""

# N envs

import gc
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.run.build import build_generator, load_pool
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.session import RunFolder, open_run
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires
from tests.kinematic_sources import TASK, generate_cfg, write_source_file

WIDTHS = {"kinematic": (8, 256), "mujoco": (8, 64)}
"""Engine -> numbers of envs to compare; physics under a tracer is slow."""
NUM_SUBTASKS = 4
ALIKE = [f"subtask_configs.franka.{index}.subtask_term_offset_range=[0,0]" for index in range(NUM_SUBTASKS - 1)]
"""One source demo without offsets: the segments and trials of all envs begin and end together."""
ROOMY = [
    "events.randomize_orange_juice.pose_range={x: [0.10, 0.20], y: [0.10, 0.30]}",
    "events.randomize_cream_cheese.pose_range={x: [-0.15, 0.0], y: [-0.10, 0.05]}",
]
"""Where the first draws already hold a free placement: how often a reset draws anew depends on the trials, not on N."""


class _Count:
    """Lines and C calls of this thread while it is entered, by place."""

    def __init__(self) -> None:
        self.lines: Counter[tuple[str, int]] = Counter()
        self.calls: Counter[str] = Counter()

    def __enter__(self) -> "_Count":
        # Garbage is collected when it has piled up, in whatever step that is; what then runs is not the step's.
        gc.disable()
        sys.setprofile(self._profile)
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        sys.setprofile(None)
        gc.enable()

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename
        if "multiprocessing" in name or "threading" in name:
            return None
        if event == "line":
            self.lines[name, frame.f_lineno] += 1
        return self._trace

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        name = frame.f_code.co_filename
        if event == "c_call" and "multiprocessing" not in name and "threading" not in name:
            self.calls[f"{argument.__qualname__} from {name}:{frame.f_lineno}"] += 1


def _cfg(engine: str, num_envs: int, source: Path, parent: Path) -> GenerateCfg:
    targets = (f"num_envs={num_envs}", f"datagen_config.generation_num_trials={3 * num_envs}")
    rules = ("datagen_config.max_num_failures=null", f"sim.engine={engine}", "sim.num_threads=1")
    return generate_cfg(source, parent / str(num_envs), *targets, *rules, *ALIKE, *ROOMY)


def _count_steps(cfg: GenerateCfg, folder: RunFolder) -> dict[str, _Count]:
    """Lines and calls of the first step of each kind, until every env has begun its second trial."""
    env = make_env(load_task(TASK), cfg.sim, cfg.events, cfg.num_envs, cfg.device)
    counts: dict[str, _Count] = {}
    with open_run(folder, {}, resume=False) as session:
        generator = build_generator(cfg, env, load_pool(cfg, env), session)
        generator.begin_trials()
        while generator.ledger.num_ended < cfg.num_envs:
            before = _state(generator)
            with _Count() as count:
                generator.step()
            counts.setdefault(_kind(before, _state(generator)), count)
        generator.close()
    env.close()
    return counts


def _state(generator: Generator) -> tuple[int, int, int]:
    ledger = generator.ledger
    return ledger.num_ended, ledger.num_started, int(generator.planner.subtask.max())


def _kind(before: tuple[int, int, int], after: tuple[int, int, int]) -> str:
    if after[0] > before[0]:
        return "trials end and begin" if after[1] > before[1] else "trials end"
    return "segments begin" if after[2] > before[2] else "nothing ends"


def _differences(narrow: Counter[Any], wide: Counter[Any]) -> dict[Any, tuple[int, int]]:
    return {key: (narrow[key], wide[key]) for key in narrow.keys() | wide.keys() if narrow[key] != wide[key]}


@pytest.fixture(scope="module")
def lone_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source_file(tmp_path_factory.mktemp("lone") / "source.hdf5", num_demos=1)


@pytest.mark.parametrize("engine", ["kinematic", "mujoco"])
def test_python_work_of_a_step_does_not_depend_on_the_number_of_envs(engine: str, lone_source: Path, tmp_path: Path) -> None:
    if engine == "mujoco":
        requires.module("mujoco.batch", "mujoco")
    narrow_width, wide_width = WIDTHS[engine]
    # The first run includes work that is done only once, such as loading kernels.
    _, narrow, wide = (
        _count_steps(_cfg(engine, num_envs, lone_source, tmp_path), RunFolder(tmp_path / str(num_envs)))
        for num_envs in (2, narrow_width, wide_width)
    )
    assert set(narrow) == set(wide) >= {"nothing ends", "segments begin", "trials end and begin"}
    for kind in narrow:
        assert sum(narrow[kind].lines.values()) > 50, kind
        assert not _differences(narrow[kind].lines, wide[kind].lines), f"{kind}: lines that depend on the number of envs"
        assert not _differences(narrow[kind].calls, wide[kind].calls), f"{kind}: calls that depend on the number of envs"
