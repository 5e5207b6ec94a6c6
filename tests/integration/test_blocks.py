"""A dataset that separate processes generate in blocks of trials."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.errors import ConfigError, OutputError
from isaaclab_mimic_ext.files.hdf5 import each_demo
from isaaclab_mimic_ext.files.stream import read_facts
from isaaclab_mimic_ext.run.block import find_blocks, run_rules, with_block
from isaaclab_mimic_ext.run.generate import generate_run
from isaaclab_mimic_ext.run.result import Progress, RunResult
from isaaclab_mimic_ext.run.session import RunFolder
from isaaclab_mimic_ext.run.trial_records import read_records
from tests.runs import run_cfg

SIZE = 16
NOWHERE: dict[str, str] = {}


@pytest.fixture(scope="module")
def single(kinematic_source: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Run in one process that the blocks are compared with."""
    return generate_run(run_cfg(kinematic_source, RunFolder(tmp_path_factory.mktemp("single") / "run")))


def block_cfg(source: Path, folder: Path, index: int, *overrides: str, size: int = SIZE) -> GenerateCfg:
    cfg = replace(run_cfg(source, RunFolder(folder), *overrides), block=index, block_size=size)
    return with_block(cfg, NOWHERE)


def run_block(source: Path, folder: Path, index: int, *overrides: str, size: int = SIZE) -> RunResult:
    return generate_run(block_cfg(source, folder, index, *overrides, size=size))


def demos_by_trial(path: Path) -> dict[int, str]:
    return {int(demo.attrs["trial"]): str(demo.attrs["digest"]) for _, demo in each_demo(path, read_facts(path).demo_names)}


def test_block_has_the_demos_of_its_trials_in_the_run_of_one_process(
    kinematic_source: Path, tmp_path: Path, single: RunResult
) -> None:
    result = run_block(kinematic_source, tmp_path, 1, "num_envs=5")
    assert (result.first_trial, result.num_attempts, result.end_trial) == (SIZE, SIZE, 2 * SIZE)
    assert result.target_reached and result.dataset == tmp_path / "blocks/00001/demo.hdf5"
    all_demos, of_block = demos_by_trial(single.dataset), demos_by_trial(result.dataset)
    in_both = {trial: digest for trial, digest in all_demos.items() if SIZE <= trial < 2 * SIZE}
    assert 0 < len(in_both) <= len(of_block) < SIZE
    assert in_both == {trial: digest for trial, digest in of_block.items() if trial < single.end_trial}
    records = read_records(find_blocks(tmp_path)[1].store)
    assert np.array_equal(records.trials, np.arange(SIZE, 2 * SIZE))


def test_block_that_was_interrupted_is_resumed_by_the_same_command(kinematic_source: Path, tmp_path: Path) -> None:
    def at_half(progress: Progress) -> bool:
        return progress.num_ended >= SIZE // 2

    interrupted = generate_run(block_cfg(kinematic_source, tmp_path / "a", 2), lambda: nullcontext(at_half))
    assert interrupted.is_interrupted
    resumed, whole = (run_block(kinematic_source, tmp_path / name, 2) for name in ("a", "b"))
    assert resumed.target_reached and demos_by_trial(resumed.dataset) == demos_by_trial(whole.dataset)


def test_finished_block_is_not_generated_again(kinematic_source: Path, tmp_path: Path) -> None:
    first = run_block(kinematic_source, tmp_path, 0)
    before = first.dataset.stat().st_mtime_ns
    assert run_block(kinematic_source, tmp_path, 0).num_successes == first.num_successes
    assert first.dataset.stat().st_mtime_ns == before


def test_block_of_another_size_or_seed_is_refused_at_its_start(kinematic_source: Path, tmp_path: Path) -> None:
    run_block(kinematic_source, tmp_path, 0)
    with pytest.raises(OutputError, match=r"blocks/00000 was started with .*\(block_size: 16, now 20\); use the old values"):
        run_block(kinematic_source, tmp_path, 1, size=20)
    with pytest.raises(OutputError, match=r"datagen_config.seed: 1, now 2"):
        run_block(kinematic_source, tmp_path, 1, "datagen_config.seed=2")
    assert [path.name for path in (tmp_path / "blocks").iterdir()] == ["00000"]


def test_index_of_a_job_array_is_the_default_of_block(kinematic_source: Path, tmp_path: Path) -> None:
    cfg = replace(run_cfg(kinematic_source, RunFolder(tmp_path)), block_size=20)
    for name in ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "PBS_ARRAY_INDEX"):
        assert with_block(cfg, {name: "3"}).block == 3
    assert with_block(replace(cfg, block=0), {"SLURM_ARRAY_TASK_ID": "3"}).block == 0
    assert with_block(replace(cfg, block_size=None), {"SLURM_ARRAY_TASK_ID": "3"}).block is None
    with pytest.raises(ConfigError, match=r"block: must be set with block_size, outside of a job array \(none of SLURM"):
        with_block(cfg, NOWHERE)
    with pytest.raises(ConfigError, match=r"block: SLURM_ARRAY_TASK_ID must be a whole number >= 0 \(got 'x'\)"):
        with_block(cfg, {"SLURM_ARRAY_TASK_ID": "x"})


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ("datagen_config.max_trials=40", "max_trials is 40"),
        ("datagen_config.generation_guarantee=false", "generation_num_trials is 20"),
        ("num_envs=2", "the largest number of trials is 4294967296"),
    ],
)
def test_block_beyond_the_last_trial_is_refused(kinematic_source: Path, tmp_path: Path, limit: str, text: str) -> None:
    with pytest.raises(ConfigError, match=rf"block: must be <= \d+, because {text} and block_size is 16 \(got 268435456\)"):
        block_cfg(kinematic_source, tmp_path, 2**28, limit)


def test_last_block_ends_at_the_number_of_trials(kinematic_source: Path, tmp_path: Path) -> None:
    cfg = block_cfg(kinematic_source, tmp_path, 1, "datagen_config.generation_guarantee=false")
    assert run_rules(cfg).generation_num_trials == 20 - SIZE
