"""`mimic generate +cluster=slurm`: submit the blocks of a run as job arrays, wait for them, and collect them."""

import json
import logging
import math
import os
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from isaaclab_mimic_ext.command_lines import as_comment, quoted, same_command_line, words_of_same_command
from isaaclab_mimic_ext.commands import collect as collect_command
from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import CollectCfg, GenerateCfg
from isaaclab_mimic_ext.config.cluster import CollectDataGenCfg
from isaaclab_mimic_ext.config.commands import BLOCK_SIZE
from isaaclab_mimic_ext.errors import ConfigError, MimicError, MoreBlocksNeeded, OutputError
from isaaclab_mimic_ext.files.lock import FolderLock
from isaaclab_mimic_ext.files.writing import create_folder, write_errors, write_text
from isaaclab_mimic_ext.progress import phase
from isaaclab_mimic_ext.run import slurm
from isaaclab_mimic_ext.run.block import block_path, find_blocks
from isaaclab_mimic_ext.run.block_results import ranges, read_blocks
from isaaclab_mimic_ext.run.build import config_yaml
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.session import RunFolder, check_settings
from isaaclab_mimic_ext.run.slurm import JobArray
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

_NOT_FOR_JOBS = ("cluster", "output_dir", "progress", "resume", "block", "block_size")
_MAX_WATCHED = 1000
"""Largest number of blocks whose progress is read: a file system serves all users."""
_OWN_OPTIONS = ("--array", "--export", "--output")
"""Options of `sbatch` that jobs of blocks need as they are: numbers, variables and logs."""
_NUM_LINES = 5
"""Number of last lines of the output of a failed job in a message."""


def run_on_cluster(cfg: GenerateCfg) -> RunResult:
    """Generate a run in the blocks of job arrays, and collect them; further arrays follow until the target is reached.

    Raises:
        ConfigError: the configuration cannot run on the cluster, or the scheduler refuses it.
        OutputError: the folder contains a run (with other settings, if it is resumed), another process submits its jobs, or
            the jobs write to another disk.
        BudgetExhausted: a budget ends the run before its target.
        Interrupted: a signal canceled the jobs.
        MimicError: jobs ended, and none of their blocks is complete.
    """
    folder = RunFolder(Path(cfg.output_dir).absolute())
    program = _program()
    _check(cfg, folder)
    folder.create()
    with FolderLock(folder.cluster_lock).hold():
        _check(cfg, folder)  # Another process may have submitted jobs between the first check and the lock.
        write_text(folder.cluster, as_comment("generate") + config_yaml(cfg))
        return _generate(cfg, folder, program)


def _generate(cfg: GenerateCfg, folder: RunFolder, program: Path) -> RunResult:
    arrays = slurm.find(folder.cluster_logs)
    has_blocks = bool(find_blocks(folder.path))
    needed = [] if has_blocks or arrays else [*range(_num_blocks(cfg))]
    while True:
        num_complete = _num_complete(folder)
        if needed:
            arrays = _submit(cfg, folder, needed, program)
        if arrays:
            _wait(folder, arrays)
            _check_shared(folder, arrays)
        try:
            collecting = CollectDataGenCfg(generation_num_trials=cfg.datagen_config.generation_num_trials)
            return collect_command.main(
                CollectCfg(str(folder.path), mode=cfg.cluster.mode, datagen_config=collecting, progress=cfg.progress)
            ).result
        except MoreBlocksNeeded as error:
            if arrays and needed and _num_complete(folder) == num_complete:
                raise _failed(folder, arrays) from error
            needed = list(error.blocks)
            log.info("The target needs further blocks: %s", ranges(needed))


def _check(cfg: GenerateCfg, folder: RunFolder) -> None:
    if cfg.overwrite:
        raise ConfigError("overwrite: must be false with +cluster; delete the folder of the run, or use another output_dir")
    refused = {"debug": cfg.debug, "output_file": cfg.output_file, "ray_address": cfg.ray_address}
    refused["block"] = cfg.block is not None
    if own := [each for each in cfg.cluster.options if each.startswith(_OWN_OPTIONS)]:
        raise ConfigError(
            f"cluster.options: must not contain {own[0].partition('=')[0]}, which this command sets; leave it out"
        )
    if names := [name for name, is_set in refused.items() if is_set]:
        raise ConfigError(f"{names[0]}: must not be set with +cluster, whose jobs generate blocks; leave it out")
    if cfg.resume:
        return _check_settings(cfg, folder)
    if find_blocks(folder.path) or folder.present() or slurm.find(folder.cluster_logs):
        raise OutputError(
            f"output_dir: {folder.path} already contains a run; continue it with resume=true, or use another output_dir"
        )


def _check_settings(cfg: GenerateCfg, folder: RunFolder) -> None:
    """Check that the jobs of the run were submitted with the same settings, whether they have started or not.

    Raises:
        OutputError: the settings differ.
    """
    if not folder.cluster.is_file():
        return
    try:
        started = yaml.safe_load(folder.cluster.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise OutputError(f"output_dir: {folder.cluster} cannot be read ({error}); use another output_dir") from error
    check_settings(folder, started, yaml.safe_load(config_yaml(cfg)))


def _program() -> Path:
    """Path of the program `mimic`, which the nodes must have under the same path.

    Raises:
        ConfigError: it is not found.
    """
    path = Path(os.environ.get("MIMIC") or Path(sys.executable).with_name("mimic"))
    if not os.access(path, os.X_OK):
        raise ConfigError(f"cluster: {path} not found; install the package, or set MIMIC to the path of mimic on the nodes")
    return path.absolute()


def _num_blocks(cfg: GenerateCfg) -> int:
    """Number of blocks of the first array."""
    if cfg.cluster.num_blocks is not None:
        return cfg.cluster.num_blocks
    rules = cfg.datagen_config
    trials = min(rules.generation_num_trials, rules.max_trials or rules.generation_num_trials)
    return math.ceil(trials / (cfg.block_size or BLOCK_SIZE))


def _num_complete(folder: RunFolder) -> int:
    return sum(block.is_complete for block in read_blocks(folder.path)) if find_blocks(folder.path) else 0


def _submit(cfg: GenerateCfg, folder: RunFolder, blocks: list[int], program: Path) -> list[JobArray]:
    logs = folder.cluster_logs
    with write_errors(logs, "output_dir", "use another output_dir", OutputError):
        create_folder(logs)
    size = cfg.block_size or BLOCK_SIZE
    words = [*words_of_same_command(*_NOT_FOR_JOBS), f"output_dir={quoted(str(folder.path))}", f"block_size={size}"]
    arrays = slurm.submit(blocks, words, cfg.cluster.options, logs, program)
    jobs = ", ".join(array.job for array in arrays)
    log.info("Submitted %s: job array %s, output in %s", counted(len(blocks), "block"), jobs, logs)
    return arrays


def _wait(folder: RunFolder, arrays: list[JobArray]) -> None:
    """Wait for the jobs, and show their progress. A signal cancels them.

    Raises:
        Interrupted: a signal arrived.
    """
    blocks = [block for array in arrays for block in array.blocks]
    update = phase("generating on Slurm", "blocks")
    with StopRequest() as stop:

        def watch(states: Counter[str]) -> bool:
            update(max(len(blocks) - states.total(), 0), len(blocks), lambda: _figures(folder, blocks, states))
            return stop.requested

        if slurm.wait(arrays, watch):
            return
    jobs = ", ".join(array.job for array in arrays)
    resumed = same_command_line("generate", output_dir=folder.path, resume=True)
    if not slurm.cancel(arrays):
        stop.raise_interrupted(f"job array {jobs} could not be canceled and may still run; wait for it with: {resumed}")
    stop.raise_interrupted(f"job array {jobs} was canceled; finished trials are kept; continue with: {resumed}")


def _figures(folder: RunFolder, blocks: list[int], states: Counter[str]) -> str:
    running = [f"{number:,} {state.lower()}" for state, number in sorted(states.items())]
    if len(blocks) > _MAX_WATCHED:
        return ", ".join(running)
    trials = sum(_num_trials(block_path(folder.path, block)) for block in blocks)
    return ", ".join([*running, counted(trials, "trial")])


def _num_trials(block: Path) -> int:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads(RunFolder(block).progress.read_text(encoding="utf-8"))["trials"])
    return 0


def _check_shared(folder: RunFolder, arrays: list[JobArray]) -> None:
    """Check that the jobs, which have ended, have written blocks to the folder.

    Raises:
        OutputError: they have written to another disk.
        MimicError: they have failed.
    """
    if not find_blocks(folder.path) and not [*folder.cluster_logs.glob("*.out")]:
        raise OutputError(
            f"output_dir: the jobs have ended without any file in {folder.path}; use a folder that all nodes and this "
            "machine share"
        )
    if not find_blocks(folder.path):
        raise _failed(folder, arrays)


def _failed(folder: RunFolder, arrays: list[JobArray]) -> MimicError:
    """Error about jobs that have ended without a complete block, with the last lines of the first one."""
    started = read_blocks(folder.path) if find_blocks(folder.path) else []
    complete = {block.index for block in started if block.is_complete}
    failed = [(array, block) for array in arrays for block in array.blocks if block not in complete]
    array, first = failed[0]
    path = array.log(folder.cluster_logs, first)
    lines = path.read_text(errors="replace").splitlines()[-_NUM_LINES:] if path.exists() else ["(no output)"]
    blocks = ranges(block for _, block in failed)
    output = "\n".join(lines)
    return MimicError(f"the jobs of blocks {blocks} have ended without a complete block; end of {path}:\n{output}")
