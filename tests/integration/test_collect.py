"""Blocks of a run are collected into the dataset of one process."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.datasets.inspect import inspect_dataset
from isaaclab_mimic_ext.datasets.merge import merge_datasets
from isaaclab_mimic_ext.datasets.split import split_dataset
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.errors import FolderInUse, MoreBlocksNeeded, OutputError, SourceDataError
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.files.hdf5 import each_demo
from isaaclab_mimic_ext.files.stream import read_facts
from isaaclab_mimic_ext.run import collected_files
from isaaclab_mimic_ext.run.block import find_blocks, with_block
from isaaclab_mimic_ext.run.collect import collect
from isaaclab_mimic_ext.run.collected_files import copy_file
from isaaclab_mimic_ext.run.generate import generate_run
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.session import RunFolder, locked, run_facts
from isaaclab_mimic_ext.run.trial_records import read_records
from tests.runs import run_cfg, trials_of

SIZE = 16
NOWHERE: dict[str, str] = {}
KEEP_FAILED = "datagen_config.generation_keep_failed=true"


def run_block(source: Path, folder: Path, index: int, *overrides: str) -> RunResult:
    cfg = replace(run_cfg(source, RunFolder(folder), KEEP_FAILED, *overrides), block=index, block_size=SIZE)
    return generate_run(with_block(cfg, NOWHERE))


@pytest.fixture(scope="module")
def single(kinematic_source: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Run in one process that collected blocks are compared with."""
    folder = RunFolder(tmp_path_factory.mktemp("single") / "run")
    return generate_run(run_cfg(kinematic_source, folder, KEEP_FAILED))


@pytest.fixture(scope="module")
def all_blocks(kinematic_source: Path, single: RunResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the blocks that the target needs, and one more; in another order and with other numbers of envs."""
    folder = tmp_path_factory.mktemp("blocks")
    for index in reversed(range(-(-single.num_attempts // SIZE) + 1)):
        run_block(kinematic_source, folder, index, f"num_envs={index + 3}")
    return folder


@pytest.fixture
def blocks(all_blocks: Path, tmp_path: Path) -> Path:
    """Copy of the blocks that a test may change."""
    shutil.copytree(all_blocks, tmp_path / "run")
    return tmp_path / "run"


def digests_of(path: Path) -> list[str]:
    return [str(demo.attrs["digest"]) for _, demo in each_demo(path, read_facts(path).demo_names)]


def test_collected_blocks_are_the_dataset_of_one_process(blocks: Path, single: RunResult) -> None:
    done = collect(blocks)
    one, many = RunFolder(single.output_dir), RunFolder(blocks)
    assert dataset_digest(many.demos) == dataset_digest(one.demos)
    assert dataset_digest(many.failed_demos) == dataset_digest(one.failed_demos)
    assert trials_of(many) == trials_of(one)
    assert (done.result.num_attempts, done.result.failures) == (single.num_attempts, single.failures)
    assert done.result.lengths == single.lengths and done.is_new
    with h5py.File(one.demos) as first, h5py.File(many.demos) as second:
        differing = {name for name, value in first["data"].attrs.items() if np.any(second["data"].attrs[name] != value)}
        assert differing == {"config", "env_args"} and set(first["data"].attrs) == set(second["data"].attrs)
    records = [read_records(folder.store) for folder in (one, many)]
    count = single.num_attempts
    assert records[1].trials.tolist() == records[0].trials[:count].tolist() == list(range(count))
    assert records[1].reason.tolist() == records[0].reason[:count].tolist()


def test_collecting_again_changes_nothing(blocks: Path) -> None:
    collect(blocks)
    split_dataset(RunFolder(blocks).demos, 0.8)
    before = {path: path.stat().st_mtime_ns for path in blocks.glob("*.*") if path.name != "run.lock"}
    assert not collect(blocks).is_new
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_collected_run_is_finished_and_can_be_extended_by_one_process(
    blocks: Path, kinematic_source: Path, tmp_path: Path
) -> None:
    collect(blocks)
    larger = "datagen_config.generation_num_trials=24"
    extended = generate_run(run_cfg(kinematic_source, RunFolder(blocks), KEEP_FAILED, larger, "resume=true"))
    at_once = generate_run(run_cfg(kinematic_source, RunFolder(tmp_path / "b"), KEEP_FAILED, larger))
    assert dataset_digest(extended.dataset) == dataset_digest(at_once.dataset)
    with pytest.raises(OutputError, match="already contains a run of one process, in addition to blocks"):
        collect(blocks, num_trials=5)


def test_collected_run_of_blocks_in_shards_is_in_one_file(blocks: Path) -> None:
    """Otherwise a larger target would look for the demos in shards that do not exist."""
    for folder in find_blocks(blocks).values():
        run_facts(folder, identity=run_facts(folder)["identity"] | {"recorder.shard_demos": 8})
        folder.config.write_text(folder.config.read_text().replace("shard_demos: null", "shard_demos: 8"))
    collect(blocks)
    assert run_facts(RunFolder(blocks))["identity"]["recorder.shard_demos"] is None
    assert "shard_demos: null" in RunFolder(blocks).config.read_text()


def test_linked_blocks_are_the_dataset_of_one_process_and_move_together(
    blocks: Path, single: RunResult, tmp_path: Path
) -> None:
    assert collect(blocks, mode="links").is_new
    assert not collect(blocks, mode="links").is_new
    moved = RunFolder(blocks.rename(tmp_path / "moved"))
    one = RunFolder(single.output_dir)
    assert dataset_digest(moved.demos) == dataset_digest(one.demos)
    assert dataset_digest(moved.failed_demos) == dataset_digest(one.failed_demos)
    with h5py.File(moved.demos) as file:
        assert {file["data"].get(name, getlink=True).filename for name in file["data"]} <= {
            f"blocks/{index:05d}/demo.hdf5" for index in range(-(-single.num_attempts // SIZE))
        }
        assert file["data"].attrs["total"] == sum(single.lengths)
    assert moved.demos.stat().st_size < 0.1 * one.demos.stat().st_size
    assert validate_dataset(moved.demos).num_errors == 0
    inspected = inspect_dataset(moved.demos)
    assert inspected.num_demos == single.num_demos and inspected.size_bytes > one.demos.stat().st_size / 2
    split_dataset(moved.demos, 0.8)
    merge_datasets([moved.demos], tmp_path / "one_file.hdf5")
    assert digests_of(tmp_path / "one_file.hdf5") == digests_of(one.demos)
    assert not read_facts(tmp_path / "one_file.hdf5").shards
    shutil.rmtree(moved.path / "blocks/00001")
    message = (
        r"shards not found: .*moved/blocks/00001/demo.hdf5 \(1 of \d+ missing\); copy the folder blocks that belongs to"
    )
    with pytest.raises(SourceDataError, match=message):
        read_facts(moved.demos)


def test_linked_run_can_be_extended_or_copied_into_one_file(blocks: Path, kinematic_source: Path, tmp_path: Path) -> None:
    shutil.copytree(blocks, tmp_path / "copied")
    collect(blocks, mode="links")
    larger = "datagen_config.generation_num_trials=24"
    extended = generate_run(run_cfg(kinematic_source, RunFolder(blocks), KEEP_FAILED, larger, "resume=true"))
    at_once = generate_run(run_cfg(kinematic_source, RunFolder(tmp_path / "b"), KEEP_FAILED, larger))
    assert dataset_digest(extended.dataset) == dataset_digest(at_once.dataset)
    assert not read_facts(extended.dataset).shards
    linked = collect(tmp_path / "copied", mode="links").result.dataset
    digest = dataset_digest(linked)
    assert collect(tmp_path / "copied").is_new and dataset_digest(linked) == digest and not read_facts(linked).shards


def test_copied_files_are_the_dataset_of_one_process_without_the_blocks(
    blocks: Path, single: RunResult, kinematic_source: Path, tmp_path: Path
) -> None:
    collect(blocks, mode="links")
    assert collect(blocks, mode="shards").is_new
    assert not collect(blocks, mode="shards").is_new
    shutil.rmtree(blocks / "blocks")
    moved, one = RunFolder(blocks.rename(tmp_path / "moved")), RunFolder(single.output_dir)
    assert dataset_digest(moved.demos) == dataset_digest(one.demos)
    assert dataset_digest(moved.failed_demos) == dataset_digest(one.failed_demos)
    assert not [*moved.path.glob("*.part")]
    assert {path.parent for path in read_facts(moved.demos).shards} == {moved.shards}
    larger = "datagen_config.generation_num_trials=24"
    extended = generate_run(run_cfg(kinematic_source, moved, KEEP_FAILED, larger, "resume=true"))
    at_once = generate_run(run_cfg(kinematic_source, RunFolder(tmp_path / "b"), KEEP_FAILED, larger))
    assert dataset_digest(extended.dataset) == dataset_digest(at_once.dataset)
    assert not moved.shards.exists() and not moved.failed_shards.exists()


def test_collector_that_fails_while_it_copies_files_keeps_the_dataset(blocks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linked = collect(blocks, mode="links").result.dataset
    digest, copied = dataset_digest(linked), list[Path]()

    def copy(source: Path, target: Path) -> None:
        copied.append(target)
        if len(copied) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        copy_file(source, target)

    monkeypatch.setattr(collected_files, "copy_file", copy)
    with pytest.raises(OutputError, match=r"demo.hdf5 cannot be written: No space left on device; free some space"):
        collect(blocks, mode="shards")
    assert dataset_digest(linked) == digest
    assert not [*blocks.glob("*.part")] and not RunFolder(blocks).shards.exists()


def test_manifest_lists_the_files_with_the_demos_of_one_process(blocks: Path, single: RunResult) -> None:
    assert collect(blocks, mode="manifest").is_new
    assert not collect(blocks, mode="manifest").is_new
    manifest = json.loads((blocks / "manifest.json").read_text())
    digests = list[str]()
    for row in manifest["files"]:
        file = blocks / row["file"]
        digests += digests_of(file)[: row["num_demos"]]
        assert row["bytes"] == file.stat().st_size
    assert digests == digests_of(single.dataset) and manifest["complete"]
    assert (manifest["num_demos"], manifest["num_samples"]) == (single.num_demos, sum(single.lengths))
    assert not RunFolder(blocks).demos.exists() and collect(blocks).is_new
    assert (blocks / "manifest.json").exists()


def test_links_lead_into_the_shards_of_blocks(kinematic_source: Path, single: RunResult, tmp_path: Path) -> None:
    for index in range(-(-single.num_attempts // SIZE)):
        run_block(kinematic_source, tmp_path, index, "recorder.shard_demos=8")
    copied = collect(tmp_path, mode="shards").result.dataset
    assert dataset_digest(copied) == dataset_digest(single.dataset)
    linked = collect(tmp_path, mode="links").result.dataset
    assert dataset_digest(linked) == dataset_digest(single.dataset) and not RunFolder(tmp_path).shards.exists()
    assert {path.parent.name for path in read_facts(linked).shards} == {"demo_shards"}
    run_facts(
        block := RunFolder(tmp_path / "blocks/00001"), identity=run_facts(block)["identity"] | {"recorder.shard_demos": 4}
    )
    with pytest.raises(OutputError, match=r"00001 was started with .*\(recorder.shard_demos: 4, now 8\)"):
        collect(tmp_path, mode="links")


def test_shards_of_a_replaced_run_are_removed(all_blocks: Path, kinematic_source: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    generate_run(run_cfg(kinematic_source, run, "recorder.shard_demos=8"))
    shutil.copytree(all_blocks / "blocks", run.path / "blocks")
    assert run.shards.is_dir()
    collect(run.path, overwrite=True, mode="links")
    assert not run.shards.exists() and run.failed_demos.exists()


def test_missing_blocks_are_named_and_nothing_is_written(blocks: Path) -> None:
    shutil.rmtree(blocks / "blocks/00001")
    before = sorted(path.name for path in blocks.iterdir())
    with pytest.raises(
        MoreBlocksNeeded, match=r"of 20 demos; missing: 1; run blocks 1.*, the first one with: .*block=1$"
    ) as error:
        collect(blocks)
    assert error.value.exit_code == 4
    assert sorted(path.name for path in blocks.iterdir()) in (before, sorted([*before, "run.lock"]))


def test_larger_target_needs_further_blocks(blocks: Path) -> None:
    with pytest.raises(MoreBlocksNeeded, match=r"of 200 demos; run blocks \d+-\d+, .* num_trials=200 block=\d+$"):
        collect(blocks, num_trials=200)
    assert collect(blocks, num_trials=5).result.num_demos == 5


def test_running_block_is_unfinished(blocks: Path) -> None:
    is_refused = pytest.raises(MoreBlocksNeeded, match=r"; unfinished: 0; run blocks 0")
    with locked(RunFolder(blocks / "blocks/00000")), is_refused:
        collect(blocks)


def test_block_of_other_settings_sources_or_code_is_refused(blocks: Path, kinematic_source: Path, tmp_path: Path) -> None:
    facts = run_facts(RunFolder(blocks / "blocks/00001"))
    code = facts["provenance"] | {"code of the task": "another"}
    run_facts(RunFolder(blocks / "blocks/00001"), provenance=code)
    with pytest.raises(OutputError, match=r"00001 was generated with different files than block 0 \(code of the task\)"):
        collect(blocks)
    run_facts(RunFolder(blocks / "blocks/00001"), identity=facts["identity"] | {"block_size": 20})
    with pytest.raises(OutputError, match=r"00001 was started with .*\(block_size: 20, now 16\); generate block 1 again"):
        collect(blocks)


def test_second_collector_and_a_run_in_the_folder_are_refused(blocks: Path, single: RunResult, tmp_path: Path) -> None:
    with locked(RunFolder(blocks)), pytest.raises(FolderInUse, match="is in use by process") as error:
        collect(blocks)
    assert error.value.exit_code == 75
    shutil.copy(single.dataset, blocks)
    with pytest.raises(OutputError, match="already contains a run of one process, in addition to blocks"):
        collect(blocks)
    assert collect(blocks, overwrite=True).is_new
    with pytest.raises(OutputError, match=r"contains no blocks; generate them, the first one with: .* block=0"):
        collect(tmp_path)


def test_budget_ends_a_collected_run_at_its_trial(kinematic_source: Path, tmp_path: Path) -> None:
    budget = "datagen_config.max_total_failures=1"
    one = generate_run(run_cfg(kinematic_source, RunFolder(tmp_path / "one"), KEEP_FAILED, budget))
    index = one.num_attempts // SIZE
    for each in range(index + 1):
        run_block(kinematic_source, tmp_path / "blocks", each, budget)
    result = collect(tmp_path / "blocks").result
    assert (result.stop_reason, result.num_attempts) == (one.stop_reason, one.num_attempts)
    assert dataset_digest(result.dataset) == dataset_digest(one.dataset)
    run_block(kinematic_source, tmp_path / "blocks", 0, "datagen_config.max_total_failures=null")
    with pytest.raises(MoreBlocksNeeded):
        collect(tmp_path / "blocks", num_trials=1000)
