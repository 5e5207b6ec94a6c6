"""Agreement of `mimic check` with generation: on valid boundaries, and on selected demos."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isaaclab_mimic_ext.checks.examine import examine
from isaaclab_mimic_ext.checks.findings import DemoFindings
from isaaclab_mimic_ext.checks.marks import find_spans
from isaaclab_mimic_ext.config import SubTaskConfig
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.demos.boundaries import check_offsets, subtask_ends
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.errors import SourceDataError, TaskSpecError
from isaaclab_mimic_ext.task.definition import load_task
from tests.jobs import run_generation
from tests.kinematic_sources import generate_cfg

SIGNALS = ("reach", "grasp", "lift")
NUM_TRIALS = 60


def demo_of(signals: dict[str, np.ndarray]) -> SourceDemo:
    num_steps = len(next(iter(signals.values())))
    return SourceDemo("demo_0", np.zeros((num_steps, 7), np.float32), {}, {}, {}, signals)


def rows_of(length: int) -> st.SearchStrategy[list[bool]]:
    return st.lists(st.booleans(), min_size=length, max_size=length)


OFFSETS = st.tuples(st.integers(-2, 3), st.integers(0, 2)).map(lambda pair: (pair[0], pair[0] + pair[1]))
START_OFFSETS = st.tuples(st.integers(0, 2), st.integers(0, 2)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(
    st.integers(2, 14).flatmap(lambda length: st.lists(rows_of(length), min_size=3, max_size=3)),
    st.lists(OFFSETS, min_size=3, max_size=3),
    START_OFFSETS,
)
def test_boundaries_are_errors_exactly_if_generation_refuses_them(
    rows: list[list[bool]], offsets: list[tuple[int, int]], start: tuple[int, int]
) -> None:
    demo = demo_of({name: np.array(row) for name, row in zip(SIGNALS, rows, strict=True)})
    subtasks = [
        SubTaskConfig(subtask_term_signal=name, subtask_term_offset_range=bounds)
        for name, bounds in zip(SIGNALS, offsets, strict=True)
    ]
    subtasks = [replace(subtasks[0], first_subtask_start_offset_range=start), *subtasks[1:], SubTaskConfig()]
    findings = DemoFindings("demo_0")
    spans = find_spans(findings, demo, "franka", subtasks, use_skillgen=False)
    is_faulty = any(finding.level == "error" for finding in findings.items)
    try:
        ends = subtask_ends(demo, [*SIGNALS, None])
    except SourceDataError:
        assert spans is None and is_faulty
        return
    assert spans is not None and [end for _, end in spans] == ends
    try:
        check_offsets("franka", subtasks, {"demo_0": ends})
    except TaskSpecError:
        assert is_faulty
    else:
        assert not is_faulty


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["nearest_neighbor_object", "random"])
def test_simulated_selection_agrees_with_real_trials(strategy: str, kinematic_source: Path, tmp_path: Path) -> None:
    chosen = [f"subtask_configs.franka.{index}.selection_strategy={strategy}" for index in range(4)]
    cfg = generate_cfg(
        kinematic_source, tmp_path / "run", "num_envs=20", "datagen_config.generation_guarantee=false",
        f"datagen_config.generation_num_trials={NUM_TRIALS}", "datagen_config.generation_keep_failed=true",
        "datagen_config.max_num_failures=null", *chosen,
    )  # fmt: skip
    run_generation(cfg)
    counts = np.zeros((4, 6))
    for name in ("demo.hdf5", "demo_failed.hdf5"):
        with h5py.File(tmp_path / "run" / name) as file:
            for demo in file["data"].values():
                counts[np.arange(4), demo.attrs["source_demos"][0]] += 1
    task = load_task("desktop_organizer")
    check_cfg = replace(load_config("check_demos"), subtask_configs=cfg.subtask_configs, events=cfg.events)
    selected = examine(kinematic_source, task, check_cfg, NUM_TRIALS).report.selected["franka"]
    simulated = np.array([list(parts.values()) for parts in selected])
    assert counts.sum() == 4 * NUM_TRIALS
    different = 0.5 * np.abs(simulated - counts / NUM_TRIALS).sum(-1)
    assert different[0] < 1e-6
    # Offsets and noise change the pose of a carried object slightly, so that a few trials select a different demo.
    assert different.max() < 0.1, (simulated, counts / NUM_TRIALS)
