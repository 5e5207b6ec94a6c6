"""Collect the blocks of a run into one dataset, with the digest that one process writes with the same seed and target."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from isaaclab_mimic_ext.command_lines import comment_of, words_in_comment
from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.dataset_file import fixed
from isaaclab_mimic_ext.files.folder import log_file
from isaaclab_mimic_ext.files.stream import FileFacts, read_facts
from isaaclab_mimic_ext.files.writing import HDF5_ERRORS, write_errors, write_json, write_text
from isaaclab_mimic_ext.run.block_results import (
    BlockResult,
    check_has_blocks,
    common_rules,
    more_needed,
    read_blocks,
    replay,
    summary_of,
)
from isaaclab_mimic_ext.run.build import config_of_values, config_yaml
from isaaclab_mimic_ext.run.collected_files import COPY, MANIFEST, SHARDS, demos_of, manifest_rows, write_dataset
from isaaclab_mimic_ext.run.episode_files import EpisodeFiles, episodes_folder
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.session import RunFolder, locked, opened_store, run_facts, stored_result
from isaaclab_mimic_ext.run.stats_and_videos import mark_reported, write_stats

log = logging.getLogger(__name__)

_OF_RESULT = {"env_args", "total", "num_attempts", "num_successes", "stop_reason", "complete"}
"""Attributes of a block's dataset that the dataset of the run does not copy."""
_OF_BLOCK = {"block", "block_size", "output_dir", "output_file", "overwrite", "resume", "progress"}
_OF_BLOCK |= {f"recorder.{name}" for name in ("shard_demos", "num_writers")}
"""Fields of a block's command that the run does not have."""


@dataclass(frozen=True)
class Collected:
    """Result of collecting blocks.

    Attributes:
        result: result of the run.
        num_blocks: number of blocks whose trials count.
        is_new: False if the same blocks had been collected before; then no file was changed.
    """

    result: RunResult
    num_blocks: int
    is_new: bool


def collect(output_dir: str | Path, num_trials: int | None = None, overwrite: bool = False, mode: str = COPY) -> Collected:
    """Write the demos of the blocks of a run to `<output_dir>/demo.hdf5`, in the order of their trials.

    Trials count as in a run of one process, up to the target or a budget. Collecting the same blocks again changes nothing.

    Args:
        output_dir: folder of the run, which contains the folder `blocks`.
        num_trials: `generation_num_trials`; None: the largest number with which a block was started.
        overwrite: replace a run in the folder that does not consist of these blocks.
        mode: `copy` the demos into one file; copy the files of the blocks as `shards`; write `links` to the demos in the
            files of the blocks; or write a `manifest`, which lists the files, to `<output_dir>/manifest.json` only.

    Raises:
        OutputError: there are no blocks, a block belongs to a different run, or the folder contains a different run.
        FolderInUse: another process works in the folder.
        MoreBlocksNeeded: the target needs further blocks; no file was changed.
    """
    folder = RunFolder(Path(output_dir))
    check_has_blocks(folder.path)
    with locked(folder):
        blocks = read_blocks(folder.path)
        cfg = _run_config(blocks, folder, num_trials)
        ledger = replay(blocks, cfg.datagen_config)
        if not ledger.is_over:
            raise more_needed(folder.path, blocks, cfg.datagen_config)
        used = [block for block in blocks if block.index * block.size < ledger.end_trial]
        if mode == MANIFEST:
            return _write_manifest(folder, used, ledger)
        plan = {"target": cfg.datagen_config.generation_num_trials, "mode": mode, "blocks": summary_of(used)}
        if (finished := _finished(folder, plan)) is not None:
            return Collected(finished, len(used), is_new=False)
        _check_free_for_blocks(folder, overwrite)
        with log_file(folder.log):
            return Collected(_write(folder, cfg, used, ledger, plan), len(used), is_new=True)


def _run_config(blocks: Sequence[BlockResult], folder: RunFolder, num_trials: int | None) -> GenerateCfg:
    """Configuration of the run that the blocks are parts of."""
    path = blocks[0].folder.config
    try:
        cfg = config_of_values(OmegaConf.create(path.read_text(encoding="utf-8", errors="surrogateescape")))
    except Exception as error:  # YAML and OmegaConf raise errors of many types.
        reason = next(iter(str(error).splitlines()), "it is not a mapping")
        raise OutputError(f"output_dir: {path} cannot be read ({reason}); generate the block again") from error
    rules = replace(cfg.datagen_config, **common_rules(blocks, num_trials), max_time=None)
    recorder = replace(cfg.recorder, shard_demos=None, num_writers=None)  # The collected demos are in one file.
    cfg = replace(cfg, datagen_config=rules, recorder=recorder, output_dir=str(folder.path))
    return replace(cfg, block=None, block_size=None, resume=False)


def _finished(folder: RunFolder, plan: Mapping[str, Any]) -> RunResult | None:
    """Result of the run if the same blocks have been collected before, else None."""
    try:
        is_same = json.loads(folder.collected.read_text(encoding="utf-8")) == {**plan, "finished": True}
    except (OSError, ValueError):
        return None
    is_without_shards = plan["mode"] == SHARDS and not folder.shards.is_dir()
    if not is_same or not folder.demos.exists() or not folder.store.exists() or is_without_shards:
        return None
    result = stored_result(run_facts(folder))
    return None if result is None else replace(result, dataset=folder.demos)


def _check_free_for_blocks(folder: RunFolder, overwrite: bool) -> None:
    """Check that the folder contains no run, or one that was collected from blocks."""
    if overwrite or folder.collected.exists() or not folder.present():
        return
    raise OutputError(
        f"output_dir: {folder.path} already contains a run of one process, in addition to blocks; move one of them to "
        "another folder, or overwrite=true replaces the run"
    )


def _write(
    folder: RunFolder, cfg: GenerateCfg, blocks: Sequence[BlockResult], ledger: TrialLedger, plan: Mapping[str, Any]
) -> RunResult:
    """Write datasets, store, configuration and statistics of the run."""
    write_json(folder.collected, {**plan, "finished": False})
    facts = read_facts(blocks[0].folder.demos)
    result = replace(
        ledger.result(folder.demos, blocks[0].reasons),
        env_steps=sum(block.result.env_steps for block in blocks if block.result),
        elapsed=sum(block.result.elapsed for block in blocks if block.result),
        lengths=_write_datasets(folder, cfg, blocks, ledger, facts, plan["mode"]),
    )
    _write_store(folder, blocks, result)
    _remove_others(folder, cfg, plan["mode"])
    write_text(folder.config, _comment(blocks[0].folder) + config_yaml(cfg))
    write_stats(cfg, folder, result, facts.env_args.get("engine"))
    mark_reported(folder)
    write_json(folder.collected, {**plan, "finished": True})
    return result


def _write_manifest(folder: RunFolder, blocks: Sequence[BlockResult], ledger: TrialLedger) -> Collected:
    """Write the list of the files with the demos of the run."""
    rows = manifest_rows(folder.path, [demos_of(block, True, ledger) for block in blocks])
    result = ledger.result(folder.manifest, blocks[0].reasons)
    content = {
        **result.dataset_attributes(),
        "num_demos": sum(row["num_demos"] for row in rows),
        "num_samples": sum(row["num_samples"] for row in rows),
        "failures": result.failures,
        "files": rows,
    }
    try:
        is_new = json.loads(folder.manifest.read_text(encoding="utf-8")) != content
    except (OSError, ValueError):
        is_new = True
    if is_new:
        write_json(folder.manifest, content, OutputError)
    return Collected(result, len(blocks), is_new)


def _remove_others(folder: RunFolder, cfg: GenerateCfg, mode: str) -> None:
    """Remove the demos of a replaced run that are in other files than those of the collected run."""
    files = [] if mode == SHARDS else [folder.shards, folder.failed_shards]
    if not cfg.datagen_config.generation_keep_failed:
        files += [folder.failed_demos, folder.failed_shards]
    for path in files:
        if path.exists():
            log.info("Removing %s, which belongs to the run that was replaced", path)
            with write_errors(path, "output_dir", "remove it", OutputError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _comment(block: RunFolder) -> str:
    """First line of the configuration: the command of the block, as that of a run of one process."""
    verb, words = words_in_comment(block.config.read_text(encoding="utf-8", errors="surrogateescape"))
    return comment_of(verb, [word for word in words if word.lstrip("+").partition("=")[0] not in _OF_BLOCK]) if verb else ""


def _write_datasets(
    folder: RunFolder, cfg: GenerateCfg, blocks: Sequence[BlockResult], ledger: TrialLedger, facts: FileFacts, mode: str
) -> list[int]:
    """Write the datasets of successful and, if the blocks have them, of failed trials; return the lengths of the former."""
    files = {True: folder.demos}
    if cfg.datagen_config.generation_keep_failed:
        files[False] = folder.failed_demos
    lengths: list[int] = []
    for success, path in files.items():
        with write_errors(path, "output_dir", "free some space, and collect again", OutputError, HDF5_ERRORS):
            parts = [demos_of(block, success, ledger) for block in blocks]
            final = ledger.result(path, blocks[0].reasons).dataset_attributes()
            written = write_dataset(path, parts, final, _attributes(cfg, facts), facts, mode)
        lengths = written if success else lengths
    return lengths


def _attributes(cfg: GenerateCfg, facts: FileFacts) -> dict[str, Any]:
    copied = {name: value for name, value in facts.data_attributes.items() if name not in _OF_RESULT}
    return copied | {"config": fixed(config_yaml(cfg))}


def _write_store(folder: RunFolder, blocks: Sequence[BlockResult], result: RunResult) -> None:
    """Write the store of the run, with the records of all trials that count, and no episodes."""
    for path in (folder.store, *(Path(f"{folder.store}{end}") for end in ("-wal", "-shm"))):
        path.unlink(missing_ok=True)
    EpisodeFiles(episodes_folder(folder.store)).clear()  # Of a run that was replaced before its end.
    first = blocks[0].facts
    identity = {name: value for name, value in first["identity"].items() if name not in ("block", "block_size")}
    identity["recorder.shard_demos"] = None
    facts = {name: value for name, value in first.items() if name != "limits"}
    facts |= {"identity": identity, "result": result.as_dict(), "elapsed": result.elapsed, "reported": False}
    with opened_store(folder.store) as store:
        store.set_reasons(blocks[0].reasons)
        for block in blocks:
            with opened_store(block.folder.store, read_only=True) as source:
                store.copy_trials(source, result.end_trial)
        store.set_facts(**facts)
        store.commit()
