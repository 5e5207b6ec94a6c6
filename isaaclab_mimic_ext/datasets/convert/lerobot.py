"""Export a dataset as a LeRobot dataset (v3). The `lerobot` library writes it."""

# T steps of one demo

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.config.recorded_task import recorded_preset
from isaaclab_mimic_ext.datasets.convert.lerobot_features import (
    SPLITS,
    Columns,
    LeRobotOptions,
    choose_columns,
    features,
    left_out,
    provenance_of,
    rows,
    warn_of_width,
)
from isaaclab_mimic_ext.datasets.convert.lerobot_writer import Layout, LeRobotWriter, lerobot_dataset
from isaaclab_mimic_ext.errors import ConfigError, OutputError
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.files.hdf5 import open_hdf5, plain_value, text_of
from isaaclab_mimic_ext.files.selection import Chosen
from isaaclab_mimic_ext.files.stream import FileFacts, read_facts, stream_converted
from isaaclab_mimic_ext.files.writing import HDF5_ERRORS, created_folder, part_path, replacing
from isaaclab_mimic_ext.progress import tracked
from isaaclab_mimic_ext.task.robot import robot_name

_RATE_TOLERANCE = 1e-3
"""Largest deviation of a control rate from a whole number [Hz]."""


@dataclass(frozen=True)
class LeRobotExport:
    """Result of a LeRobot export.

    Attributes:
        num_episodes, num_frames: counts.
        fps: rate [Hz].
        features: names of the features.
        left_out: contents of the file that are left out.
        splits: name of a split -> range of its episodes, such as `0:90`.
    """

    num_episodes: int
    num_frames: int
    fps: int
    repo_id: str
    features: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    splits: dict[str, str] = field(default_factory=dict)


@renamed_arguments(path="input_file", output="output_dir")
def export_lerobot(
    input_file: str | Path,
    output_dir: str | Path,
    options: LeRobotOptions,
    overwrite: bool = False,
    demos: Chosen = None,
) -> LeRobotExport:
    """Convert a dataset, demo by demo, to a LeRobot dataset in the folder `output_dir`.

    The folder has the name `<output_dir>.part` until it is complete. The demos of `mask/train` are the first episodes,
    those of `mask/valid` the next ones.

    Args:
        demos: demos to export: names of demos and masks, with `-` in front to exclude them; None: all.

    Raises:
        DependencyMissing: `lerobot` cannot be imported.
        ConfigError: an option is wrong, or is required because the file lacks its value.
        SourceDataError: the file is missing or damaged, or its demos have different datasets.
        OutputError: the folder exists or cannot be written.
    """
    lerobot_dataset()
    facts = _in_order_of_splits(read_facts(input_file, demos))
    first, _ = next(stream_converted(facts, lambda demo: demo, is_quiet=True))
    columns = choose_columns(first, facts, options)
    layout = _layout(facts, first, columns, options, Path(output_dir))
    warn_of_width(layout.features)
    counts: dict[str, int] = {}
    with _new_folder(Path(output_dir), overwrite) as part:
        writer = LeRobotWriter(part, layout)
        try:
            found = stream_converted(facts, lambda demo: rows(demo, columns))
            for demo, values in tracked(found, "exporting", len(facts.demo_names)):
                instruction = random.Random(demo.name).choice(layout.instructions)
                writer.add_episode(values, instruction, _provenance(demo))
                split = _split_of(facts, demo.name)
                counts[split] = counts.get(split, 0) + 1
            splits = _ranges(counts)
            writer.finish(splits, tuple(columns.subtasks or ()), _source(facts))
        except BaseException:
            writer.abort()
            raise
    return LeRobotExport(
        writer.num_episodes, writer.num_frames, layout.fps, layout.repo_id, tuple(layout.features),
        left_out(first, columns), splits,
    )  # fmt: skip


def _layout(facts: FileFacts, first: Demo, columns: Columns, options: LeRobotOptions, output_dir: Path) -> Layout:
    repo_id = options.repo_id or f"local/{output_dir.resolve().name}"
    described = features(first, columns, options.videos)
    fps, longest, sentences = _fps(facts, options.fps), _longest(facts), _instructions(facts, options)
    return Layout(repo_id, fps, described, _robot(facts), options.videos, options.video_codec, longest, sentences)


def _robot(facts: FileFacts) -> str | None:
    """Type of the robot: its name for tasks of this package, otherwise the names of its end effectors."""
    if recorded_preset(facts.env_args) is not None:
        return robot_name(facts.env_args)
    eef_names = facts.env_args.get("eef_names")
    return "_".join(map(str, eef_names)) if isinstance(eef_names, list) and eef_names else None


def _longest(facts: FileFacts) -> int:
    with open_hdf5(facts.path) as file:
        lengths = [len(file[path]) for path in (f"data/{name}/actions" for name in facts.demo_names) if path in file]
    return max(lengths, default=0)


def _instructions(facts: FileFacts, options: LeRobotOptions) -> tuple[str, ...]:
    if options.instruction is not None and options.instructions:
        raise ConfigError("instructions: must not be set together with instruction; use one of the two")
    if not all(each.strip() for each in options.instructions):
        raise ConfigError("instructions: must not contain an empty text; remove it")
    name = str(facts.env_args.get("env_name") or facts.path.stem).replace("_", " ")
    return options.instructions or (options.instruction or name,)


def _in_order_of_splits(facts: FileFacts) -> FileFacts:
    """The demos of `mask/train` first, then those of `mask/valid`, then all others: a split is a range of episodes."""
    order = (*SPLITS, _REST)
    names = sorted(facts.demo_names, key=lambda name: order.index(_split_of(facts, name)))
    return replace(facts, demo_names=names)


_REST = "rest"
"""Split of the demos that are in neither mask, if some demos are."""


def _split_of(facts: FileFacts, name: str) -> str:
    for split in SPLITS:
        if split in facts.masks and name in map(text_of, np.ravel(facts.masks[split])):
            return split
    return _REST


def _ranges(counts: dict[str, int]) -> dict[str, str]:
    """Split -> range of its episodes; without masks, all episodes are in `train`."""
    if set(counts) <= {_REST}:
        return {"train": f"0:{sum(counts.values())}"}
    ranges, start = {}, 0
    for split in (*SPLITS, _REST):
        if count := counts.get(split, 0):
            ranges[split] = f"{start}:{start + count}"
            start += count
    return ranges


def _provenance(demo: Demo) -> dict[str, Any]:
    return {"demo": demo.name, **{name: plain_value(value) for name, value in provenance_of(demo).items()}}


def _source(facts: FileFacts) -> dict[str, Any]:
    """Attributes of the file that the dataset is made from."""
    return {"file": facts.path.name, **{name: plain_value(value) for name, value in facts.data_attributes.items()}}


def _fps(facts: FileFacts, fps: int | None) -> int:
    if fps is not None:
        if fps < 1:
            raise ConfigError(f"fps: must be >= 1 Hz (got {fps})")
        return fps
    sim_args = facts.env_args.get("sim_args")
    try:
        rate = 1.0 / (float(sim_args["dt"]) * int(sim_args["decimation"]))  # type: ignore[index]
    except (TypeError, KeyError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(
            f"fps: {facts.path} does not specify its control rate (env_args.sim_args); set fps=<rate>"
        ) from error
    if not abs(rate - round(rate)) < _RATE_TOLERANCE or rate < 1:
        raise ConfigError(f"fps: LeRobot requires a whole number ({facts.path} has {rate:.4g} Hz); set fps=<rate>")
    return round(rate)


@contextmanager
def _new_folder(output: Path, overwrite: bool) -> Iterator[Path]:
    """Folder `<output>.part`, which is renamed to `output` after the block."""
    part = part_path(output)
    for folder in (output, part):
        is_lerobot = (folder / "meta" / "info.json").is_file()
        if folder.exists() and not (overwrite and is_lerobot):
            note = "" if is_lerobot else " and is not a LeRobot dataset, so it is never replaced"
            remedy = "use another output_dir" + (", or overwrite=true" if is_lerobot else "")
            raise OutputError(f"output_dir: {folder} already exists{note}; {remedy}")
    with (
        created_folder(output.parent, "output_dir", kind=OutputError),
        replacing(output, "output_dir", kind=OutputError, errors=HDF5_ERRORS),
    ):
        shutil.rmtree(part, ignore_errors=True)
        yield part
