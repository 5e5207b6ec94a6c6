"""Merge datasets with HDF5's copy function: stored chunks are copied without decompression, memory is bounded."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.datasets.merge_inputs import (
    Input,
    check_compatible,
    check_copies,
    check_files,
    check_number,
    read_input,
    warn_if_unknown,
    with_env_name,
)
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError
from isaaclab_mimic_ext.files.attributes import copy_long_attributes, indices, set_attribute, set_attributes, whole_number
from isaaclab_mimic_ext.files.dataset_file import fixed, fixed_texts
from isaaclab_mimic_ext.files.demo import read_demo
from isaaclab_mimic_ext.files.faults import DAMAGE
from isaaclab_mimic_ext.files.hdf5 import (
    DEMOS_PER_OPENING,
    check_objects_below,
    damage_errors,
    limit_cache,
    plain_value,
    text_of,
    texts_of,
)
from isaaclab_mimic_ext.files.opening import open_file, open_with
from isaaclab_mimic_ext.files.selection import LEAVE_OUT, Chosen, LeftOut
from isaaclab_mimic_ext.files.stream import FileFacts
from isaaclab_mimic_ext.files.writing import HDF5_ERRORS, check_output, created_folder, replacing, unwritable

log = logging.getLogger(__name__)

OnProgress = Callable[[int, int], None]
"""Called with the number of copied demos and the number of all demos."""

_SUMMED_ATTRIBUTES = ("num_attempts", "num_successes")
_COMPUTED_ATTRIBUTES = ("env_args", "total", "source_demo_names", "merged_from", *_SUMMED_ATTRIBUTES)
"""Attributes of `data` that the merge computes; others are copied if they are equal in all inputs."""
_METADATA_BLOCK, _APPEND_CACHE = 64 * 2**10, 4 * 2**20
"""Allocation unit and cache of the output's metadata [bytes]; the cache must hold the names of all its demos."""

_REMEDY = "free some space, or use another output_file"
"""Remedy if the output cannot be written."""


@dataclass(frozen=True)
class Merged:
    """Result of a merge.

    Attributes:
        masks: name of each written mask -> number of demos.
        dropped_masks: masks that only some inputs have; they are not written.
    """

    num_demos: int
    num_steps: int
    masks: dict[str, int]
    dropped_masks: tuple[str, ...]


@dataclass
class _Copied:
    """Copied demos of a file.

    Attributes:
        new_names: name in the file -> name in the output.
    """

    new_names: dict[str, str]
    num_steps: int = 0


@renamed_arguments(paths="input_file", output="output_file")
def merge_datasets(
    input_file: Sequence[str | Path],
    output_file: str | Path,
    overwrite: bool = False,
    on_progress: OnProgress = lambda *_: None,
    env_name: str | None = None,
    demos: Chosen = None,
    allow_copies: bool = False,
) -> Merged:
    """Copy the demos of several files, or of one file with shards, into one file.

    They are renumbered as `demo_0`, `demo_1`, ... in the order of `input_file`.
    Each demo gets the attribute `merged_from` (file and name). `data` gets a JSON list `merged_from` with the attributes
    in which the inputs differ. Only the first demo of each file is compared with the first file; `validate_dataset`
    compares all demos of a file.

    Args:
        env_name: name of the environment in the output, for files whose names of it differ; None: the name in the inputs.
            A file with an empty name gets the name in the others.
        demos: demos of each file to copy: names of demos and masks, with `-` in front to exclude them; None: all.
        allow_copies: merge demos with the same digest, too.

    Raises:
        ConfigError: not a list, one file (without `demos`) that is not in shards, or the same file twice.
        SourceDataError: a file cannot be read, differs from the first in format, environment or datasets, or contains a copy
            of a demo (without `allow_copies`).
        OutputError: `output_file` is one of the inputs, exists (without `overwrite`), or cannot be written.
    """
    output_file = Path(output_file)
    if isinstance(input_file, str | Path):
        raise ConfigError(f"input_file: must be a list of files (got {str(input_file)!r}); use [<file>, <file>]")
    check_files([Path(path) for path in input_file], output_file)
    check_output(output_file, overwrite)
    read = [read_input(path, demos) for path in input_file]
    check_number(read, demos)
    if env_name is not None:
        warn_if_unknown(env_name)
    inputs, source_names = _number_inputs(with_env_name(read, env_name))
    for other in inputs[1:]:
        check_compatible(inputs[0], other)
    if not allow_copies:
        check_copies(inputs)
    num_planned = sum(len(each.names) for each in inputs)
    with (
        created_folder(output_file.parent, "output_file", _REMEDY, OutputError),
        replacing(output_file, "output_file", _REMEDY, OutputError, HDF5_ERRORS) as part,
    ):
        _create(part, inputs[0].facts)
        copied, num_demos = [], 0
        for each in inputs:
            copied.append(_copy_demos(each, part, num_demos, lambda done: on_progress(done, num_planned)))
            num_demos += len(copied[-1].new_names)
        masks, dropped = _join_masks(inputs, copied)
        num_steps = sum(each.num_steps for each in copied)
        _write_attributes_and_masks(part, inputs, num_steps, source_names, masks)
    return Merged(num_demos, num_steps, {name: len(demos) for name, demos in masks.items()}, dropped)


def _number_inputs(inputs: Sequence[Input]) -> tuple[list[Input], list[str]]:
    """Inputs with the numbers of their source demos in the output, and the names of all source demos."""
    source_names, first_sources = _join_sources([each.facts for each in inputs])
    numbers = zip(inputs, first_sources, strict=True)
    return [replace(each, first_source=source) for each, source in numbers], source_names


def _join_sources(facts: Sequence[FileFacts]) -> tuple[list[str], list[int]]:
    """Names of all source demos, and the index of the first one of each file.

    Files with the same source file and source demos share their names.
    """
    sources: dict[tuple[str, tuple[str, ...]], int] = {}
    names: list[str] = []
    offsets = []
    for each in facts:
        file = text_of(each.data_attributes.get("source_file", ""))
        own = tuple(texts_of(each.data_attributes.get("source_demo_names", ())))
        if (file, own) not in sources:
            sources[file, own] = len(names)
            names += own
        offsets.append(sources[file, own])
    if len({own for _, own in sources if own}) < len([own for _, own in sources if own]):
        names = [f"{_label(Path(file))}:{name}" for file, own in sources for name in own]
    return names, offsets


def _create(part: Path, first: FileFacts) -> None:
    # No data are removed from the file: HDF5 need not track free space.
    with open_file(part, "w", fs_strategy="aggregate") as file:
        set_attributes(file, first.attributes)
        file.create_group("data")


def _copy_demos(source: Input, part: Path, first: int, on_progress: Callable[[int], None]) -> _Copied:
    """Copy the demos of one file into `part`, numbered from `first`; damaged demos are left out with a warning."""
    copied, label, left_out = _Copied({}), _label(source.facts.path), LeftOut(str(source.facts.path))
    for start in range(0, len(source.names), DEMOS_PER_OPENING):
        names = source.names[start : start + DEMOS_PER_OPENING]
        with open_file(source.facts.path) as file, _open_to_append(part) as target:
            limit_cache(file)

            def copy(name: str, old: h5py.Group = file["data"], new: h5py.Group = target["data"]) -> int:
                new_name = f"demo_{first + len(copied.new_names)}"
                demo = _copy_demo(old, name, new, new_name)
                try:
                    copy_long_attributes(old[name], demo)
                    return _describe_demo(demo, f"{label}: {name}", source.first_source)
                except BaseException:
                    del new[new_name]
                    raise

            is_last = start + len(names) == len(source.names)
            for name, num_steps in left_out.usable(names, copy, is_last):
                copied.new_names[name] = f"demo_{first + len(copied.new_names)}"
                copied.num_steps += num_steps
                on_progress(first + len(copied.new_names))
            # HDF5 does not report write errors when it closes a file.
            target.flush()
    return copied


@contextmanager
def _open_to_append(path: Path) -> Iterator[h5py.File]:
    """Open a file for adding demos; metadata is allocated in large blocks."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_meta_block_size(_METADATA_BLOCK)
    with open_with(path, access) as file:
        limit_cache(file, _APPEND_CACHE)
        yield file


def _copy_demo(source: h5py.Group, name: str, target: h5py.Group, new_name: str) -> h5py.Group:
    """Copy one demo between groups `data`.

    Raises:
        SourceDataError: the demo is damaged.
        OutputError: the copy cannot be written.
    """
    # HDF5's copy crashes on damaged objects.
    check_objects_below(source[name].id, f"{source.name}/{name}")
    try:
        # `Group.copy` makes the same call after several lookups, which take as long as copying a small demo.
        h5py.h5o.copy(source.id, name.encode(), target.id, new_name.encode())
    except DAMAGE as error:
        if new_name in target:
            del target[new_name]
        # HDF5 does not report which of the two files failed. Reading the demo raises if the source is damaged.
        with damage_errors(Path(source.file.filename)):
            read_demo(source.file, name)
        if isinstance(error, MemoryError):
            raise
        output = Path(target.file.filename).with_suffix("")  # Without `.part`.
        raise unwritable(output, error, "output_file", _REMEDY, OutputError) from error
    return target[new_name]


def _describe_demo(demo: h5py.Group, origin: str, first_source: int) -> int:
    """Write the origin of a copied demo, renumber its source demos, and return its number of steps."""
    if h5py.h5a.exists(demo.id, b"merged_from"):
        origin = f"{origin} < {text_of(demo.attrs['merged_from'])}"
        del demo.attrs["merged_from"]
    _add_text(demo, b"merged_from", origin)
    if first_source and "source_demos" in demo.attrs:
        used = indices(demo.attrs["source_demos"])
        demo.attrs["source_demos"] = np.where(used >= 0, used + first_source, used)
    return _num_steps(demo, origin)


def _num_steps(demo: h5py.Group, origin: str) -> int:
    if not h5py.h5a.exists(demo.id, b"num_samples"):
        return len(demo["actions"])
    try:
        attribute, number = h5py.h5a.open(demo.id, b"num_samples"), np.zeros((), np.int64)
        attribute.read(number, mtype=h5py.h5t.NATIVE_INT64)
    except DAMAGE as error:
        raise SourceDataError(f"{origin}: attribute 'num_samples' must be an integer; {LEAVE_OUT}") from error
    return int(number)


def _add_text(item: h5py.Group, name: bytes, text: str) -> None:
    """Same as `item.attrs[name] = fixed(text)` for a new name, in a third of the time."""
    value = np.asarray(fixed(text))
    datatype = h5py.h5t.py_create(value.dtype, logical=True)
    attribute = h5py.h5a.create(item.id, name, datatype, h5py.h5s.create(h5py.h5s.SCALAR))
    attribute.write(value, mtype=datatype)


def _join_masks(inputs: Sequence[Input], copied: Sequence[_Copied]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Masks that all inputs have, with the new names of the demos, and the names of the other masks."""
    shared = set.intersection(*({*each.facts.masks} for each in inputs))
    masks = {}
    for mask in sorted(shared):
        demos = []
        for each, done in zip(inputs, copied, strict=True):
            old = [text_of(name) for name in np.ravel(each.facts.masks[mask])]
            demos += [done.new_names[name] for name in old if name in done.new_names]
        masks[mask] = fixed_texts(demos)
    return masks, tuple(sorted({name for each in inputs for name in each.facts.masks} - shared))


def _write_attributes_and_masks(
    part: Path, inputs: Sequence[Input], num_steps: int, source_names: list[str], masks: dict[str, np.ndarray]
) -> None:
    """Write the attributes of `data` and the masks.

    Attributes are those that are equal in all inputs, sums of counts, and `merged_from` with those that differ.
    """
    every = [each.facts.data_attributes for each in inputs]
    shared = {name: value for name, value in every[0].items() if name not in _COMPUTED_ATTRIBUTES}
    shared = {
        name: value for name, value in shared.items() if all(name in a and np.array_equal(value, a[name]) for a in every)
    }
    computed: dict[str, Any] = {"total": num_steps}
    for name in _SUMMED_ATTRIBUTES:
        counts = [whole_number(attributes.get(name)) for attributes in every]
        if None not in counts:
            computed[name] = sum(count or 0 for count in counts)
    if source_names:
        computed["source_demo_names"] = source_names
    computed["merged_from"] = fixed(json.dumps([_provenance(each, shared) for each in inputs]))
    with open_file(part, "r+") as file:
        for name, value in {"env_args": _env_args(inputs[0].facts), **shared, **computed}.items():
            if value is not None:
                set_attribute(file["data"], name, value)
        for name, demos in masks.items():
            file[f"mask/{name}"] = demos
        file.flush()


def _env_args(facts: FileFacts) -> Any:
    """Attribute `env_args` of a file, with the name of the environment in the output; None if the file has no env_args."""
    stored = facts.data_attributes.get("env_args")
    is_changed = facts.env_args != json.loads(stored or "{}")
    return fixed(json.dumps(facts.env_args)) if is_changed else stored


def _provenance(source: Input, shared: dict[str, Any]) -> dict[str, Any]:
    """File name, number of demos and attributes of one input, without the attributes that are equal in all inputs."""
    differing = {name: value for name, value in source.facts.data_attributes.items() if name not in shared}
    plain = {name: plain_value(value) for name, value in differing.items()}
    return {"file": _label(source.facts.path), "num_demos": len(source.names), **plain}


def _label(path: Path) -> str:
    """Name of a file with its folder. The files of all runs have the same name."""
    return "/".join(path.absolute().parts[-2:])
