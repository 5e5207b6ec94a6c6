"""Blocks: parts of a run with fixed numbers of trials, which separate processes generate into separate folders."""

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.config import DataGenConfig, GenerateCfg
from isaaclab_mimic_ext.config.commands import BLOCK_SIZE, BLOCKS
from isaaclab_mimic_ext.config.task import BUDGETS
from isaaclab_mimic_ext.errors import ConfigError, OutputError
from isaaclab_mimic_ext.run.session import RunFolder, changed_fields, recorded_settings, values_of

INDEX_VARIABLES = ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "PBS_ARRAY_INDEX")
"""Variables in which schedulers pass the index of a job: Slurm, Kubernetes, PBS."""
_NUM_TRIALS = 2**32
"""Trials have lower numbers (`rng.Draws`)."""


def with_block(cfg: GenerateCfg, environment: Mapping[str, str] = os.environ) -> GenerateCfg:
    """Complete the index and the size of the block in a configuration that sets one of them; a block resumes by itself.

    Raises:
        ConfigError: the index is not known, or the block has no trials.
    """
    if cfg.block is None and cfg.block_size is None:
        return cfg
    index = _index_of_job(environment) if cfg.block is None else cfg.block
    cfg = replace(cfg, block=index, block_size=cfg.block_size or BLOCK_SIZE, resume=not cfg.overwrite, video=False)
    if run_rules(cfg).generation_num_trials < 1:
        raise ConfigError(_out_of_range(cfg, index))
    return cfg


def _index_of_job(environment: Mapping[str, str]) -> int:
    name = next((name for name in INDEX_VARIABLES if environment.get(name)), None)
    if name is None:
        raise ConfigError(
            f"block: must be set with block_size, outside of a job array (none of {', '.join(INDEX_VARIABLES)} is set); "
            "use block=<index>"
        )
    if not environment[name].isdecimal():
        raise ConfigError(f"block: {name} must be a whole number >= 0 (got '{environment[name]}'); use block=<index>")
    return int(environment[name])


def _out_of_range(cfg: GenerateCfg, index: int) -> str:
    size, rules = cfg.block_size or BLOCK_SIZE, cfg.datagen_config
    limits = {"max_trials": rules.max_trials, "the largest number of trials": _NUM_TRIALS}
    if not rules.generation_guarantee:
        limits["generation_num_trials"] = rules.generation_num_trials
    name, limit = min(((name, limit) for name, limit in limits.items() if limit is not None), key=lambda item: item[1])
    return f"block: must be <= {(limit - 1) // size}, because {name} is {limit} and block_size is {size} (got {index})"


def first_trial(cfg: GenerateCfg) -> int:
    """Number of the first trial of a run, or of a block."""
    return 0 if cfg.block is None else cfg.block * (cfg.block_size or BLOCK_SIZE)


def run_rules(cfg: GenerateCfg) -> DataGenConfig:
    """Return the rules that end the run. A block ends after its trials, after failures in a row, or at `max_time`.

    All other rules count trials of several blocks: `collect` applies them.
    """
    rules = cfg.datagen_config
    if cfg.block is None:
        return rules
    ends = [_NUM_TRIALS, *([] if rules.max_trials is None else [rules.max_trials])]
    if not rules.generation_guarantee:
        ends.append(rules.generation_num_trials)
    num_trials = min(cfg.block_size or BLOCK_SIZE, min(ends) - first_trial(cfg))
    return replace(
        rules,
        generation_guarantee=False,
        generation_num_trials=num_trials,
        max_total_failures=None,
        max_trials=None,
        min_success_rate=None,
    )


def limits_of(rules: DataGenConfig) -> dict[str, Any]:
    """Target and budgets of a block's run, for `collect`. `max_time` is a limit of each block."""
    names = {"generation_num_trials", *BUDGETS} - {"max_time"}
    return {field.name: getattr(rules, field.name) for field in fields(rules) if field.name in names}


def run_folder(cfg: GenerateCfg) -> RunFolder:
    """Folder of the run, or of the block."""
    folder = Path(cfg.output_dir)
    return RunFolder(folder if cfg.block is None else block_path(folder, cfg.block))


def block_path(folder: Path, index: int) -> Path:
    """Folder of a block in the folder of its run."""
    return folder / BLOCKS / f"{index:05d}"


def find_blocks(folder: Path) -> dict[int, RunFolder]:
    """Blocks that have started in the folder of a run: index -> folder, in the order of the indices."""
    names = (path.name for path in (folder / BLOCKS).glob("*") if path.name.isdecimal())
    found = {int(name): RunFolder(folder / BLOCKS / name) for name in names}
    return {index: found[index] for index in sorted(found) if recorded_settings(found[index])}


def check_same_run(cfg: GenerateCfg, identity: Mapping[str, Any]) -> None:
    """Check that the other blocks in the folder of a run, if there are any, were started with the same configuration.

    Raises:
        OutputError: a block differs.
    """
    if cfg.block is None:
        return
    for index, folder in find_blocks(Path(cfg.output_dir)).items():
        # A block that is just starting has no settings yet.
        if stored := None if index == cfg.block else recorded_settings(folder):
            check_identity(folder.path, stored, identity, "use the old values, or another output_dir")
            return


def check_identity(path: Path, old: Mapping[str, Any], new: Mapping[str, Any], remedy: str) -> None:
    """Check that two blocks belong to the same run: their identities are equal, except for the index of the block.

    Args:
        path: folder of the block with the identity `old`.

    Raises:
        OutputError: the identities differ.
    """
    if names := [name for name in changed_fields(old, new) if name != "block"]:
        raise OutputError(
            f"output_dir: {path} was started with a different configuration ({values_of(names, old, new)}); {remedy}"
        )
