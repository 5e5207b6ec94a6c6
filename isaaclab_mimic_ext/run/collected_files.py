"""Datasets of collected blocks: copies of the demos, links to the demos, copies of whole files, or a list of files."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext.config.cluster import COLLECT_MODES
from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.dataset_file import DatasetFile, fixed_texts
from isaaclab_mimic_ext.files.hdf5 import damage_errors, open_hdf5
from isaaclab_mimic_ext.files.shards import LINKED_FILES, NUM_SHARDS, shard_folder, shard_path
from isaaclab_mimic_ext.files.stream import FileFacts
from isaaclab_mimic_ext.files.writing import part_path, sync
from isaaclab_mimic_ext.progress import phase
from isaaclab_mimic_ext.run.block_results import BlockResult
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.session import opened_store
from isaaclab_mimic_ext.run.store import reading
from isaaclab_mimic_ext.task.reasons import WORKER_DIED
from isaaclab_mimic_ext.texts import counted

COPY, SHARDS, LINKS, MANIFEST = COLLECT_MODES


@dataclass(frozen=True)
class BlockDemos:
    """Demos of a block that belong to the dataset of the run: the first ones in a dataset of the block.

    Attributes:
        path: dataset of the block.
        num_demos: number of demos in the dataset.
        trials: trials of the demos that belong to the run.
    """

    block: BlockResult
    path: Path
    num_demos: int
    trials: list[int]

    def check(self, data: h5py.Group) -> None:
        """Check that the dataset with the group `data` is complete.

        Raises:
            OutputError: demos are missing.
        """
        if len(data) != self.num_demos:
            raise OutputError(
                f"output_dir: {self.path} contains {len(data)} of {counted(self.num_demos, 'demo')}; generate block "
                f"{self.block.index} again with overwrite=true"
            )

    def places(self, data: h5py.Group) -> Iterator[tuple[Path, str, int]]:
        """Yield file, name and number of steps of each demo that belongs to the run, without reading the demos.

        Args:
            data: group `data` of the dataset. Its demos may be in shards.
        """
        with opened_store(self.block.folder.store, read_only=True) as store, reading():
            lengths = store.lengths()
        for index, trial in enumerate(self.trials):
            name, place = f"demo_{index}", self.path
            link = data.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                place, name = self.path.parent / link.filename, link.path.rpartition("/")[-1]
            yield place, name, lengths[trial]


def demos_of(block: BlockResult, success: bool, ledger: TrialLedger) -> BlockDemos:
    """Return the successful or the failed demos of a block that belong to the dataset of a run."""
    outcomes = block.outcomes
    has_demo = outcomes.success == success
    if WORKER_DIED in block.reasons:  # Such trials have no episode.
        has_demo &= outcomes.reason != block.reasons.index(WORKER_DIED)
    trials = outcomes.trials[has_demo]
    path = block.folder.demos if success else block.folder.failed_demos
    return BlockDemos(block, path, len(trials), trials[trials < ledger.end_trial].tolist())


@dataclass
class _Linked:
    """Files to which a dataset has links.

    Attributes:
        copies: file of a block -> path of its copy in the folder of shards; None: links lead to the files of the blocks.
    """

    dataset: Path
    copies: dict[Path, Path] | None
    files: dict[Path, None] = field(default_factory=dict)

    def target(self, place: Path) -> Path:
        """Path for a link to a demo in the file `place`."""
        self.files[place] = None
        return place if self.copies is None else self.copies.setdefault(place, shard_path(self.dataset, len(self.copies)))

    def attributes(self) -> dict[str, Any]:
        """Attributes of the dataset from which other commands find the files."""
        if self.copies is not None:
            return {NUM_SHARDS: len(self.copies)}
        return {LINKED_FILES: fixed_texts([str(path.relative_to(self.dataset.parent)) for path in self.files])}

    def copy_files(self) -> None:
        """Copy the files to a new folder, which does not have its name yet."""
        if self.copies is None:
            return
        folder = part_path(shard_folder(self.dataset))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        update = phase("copying files", "files")
        for number, (source, copy) in enumerate(self.copies.items(), 1):
            copy_file(source, folder / copy.name)
            update(number, len(self.copies))
        sync(folder)

    def publish(self) -> None:
        """Give the folder of the copies its name. Meanwhile there is no dataset: its links would lead to other demos."""
        if self.copies is None:
            return
        folder = shard_folder(self.dataset)
        self.dataset.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part_path(folder), folder)
        sync(folder.parent)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, without a transfer of its bytes where the file system can share them, and write it to the disk.

    Raises:
        OSError: the copy cannot be written.
    """
    with source.open("rb") as read, target.open("wb") as written:
        rest = os.fstat(read.fileno()).st_size
        try:
            while rest and (copied := os.copy_file_range(read.fileno(), written.fileno(), rest)):
                rest -= copied
        except (OSError, AttributeError):  # Between file systems, or not on Linux.
            pass
        if rest:  # Some file systems end the copy early, without an error.
            read.seek(0)
            written.seek(0)
            shutil.copyfileobj(read, written, 1 << 24)
        written.flush()
        if os.fstat(written.fileno()).st_size != os.fstat(read.fileno()).st_size:
            raise OSError(f"{target} is not a complete copy of {source}")
        os.fsync(written.fileno())


def write_dataset(
    path: Path,
    parts: Sequence[BlockDemos],
    final: Mapping[str, Any],
    attributes: Mapping[str, Any],
    facts: FileFacts,
    mode: str,
) -> list[int]:
    """Write the demos of blocks, or links to them, to one dataset, and return the number of steps of each demo.

    Args:
        final: attributes of the group `data` that describe the result.
        attributes: further attributes.
        facts: facts about the dataset of the first block.
        mode: `copy`, `links` or `shards`.

    Raises:
        OutputError: a dataset of a block is not complete.
        OSError, RuntimeError: the dataset cannot be written.
    """
    version = int(facts.attributes.get("format_version", 0))
    file = DatasetFile(path, facts.env_args, attributes, format_version=version, overwrite=True)
    linked = _Linked(path, {} if mode == SHARDS else None)
    try:
        update, num_demos = phase("collecting"), sum(len(part.trials) for part in parts)
        for part in parts:
            with open_hdf5(part.path) as source, damage_errors(part.path):
                part.check(source["data"])
                if mode == COPY:
                    _copy_demos(file, source["data"], len(part.trials), lambda: update(len(file.lengths), num_demos))
                else:
                    _link_demos(file, part.places(source["data"]), linked)
        linked.copy_files()
        file.finish({**final, **(linked.attributes() if linked.files else {})})
    except BaseException:
        file.discard()
        shutil.rmtree(part_path(shard_folder(path)), ignore_errors=True)
        raise
    linked.publish()
    file.publish()
    return file.lengths


def _copy_demos(file: DatasetFile, data: h5py.Group, num_demos: int, update: Callable[[], None]) -> None:
    for index in range(num_demos):
        file.copy_from(data, f"demo_{index}")
        update()


def _link_demos(file: DatasetFile, places: Iterable[tuple[Path, str, int]], linked: _Linked) -> None:
    for place, name, num_samples in places:
        file.add_link(linked.target(place), name, num_samples)


def manifest_rows(folder: Path, parts: Iterable[BlockDemos]) -> list[dict[str, Any]]:
    """One row per file with demos of the run, in the order of the demos.

    Args:
        folder: folder of the run; the paths of the files are relative to it.
    """
    rows = []
    for part in parts:
        with open_hdf5(part.path) as source, damage_errors(part.path):
            part.check(source["data"])
            of_file: dict[Path, list[int]] = {}
            for (place, _, num_samples), trial in zip(part.places(source["data"]), part.trials, strict=True):
                of_file.setdefault(place, []).extend((num_samples, trial))
        for place, numbers in of_file.items():
            steps, trials = np.array(numbers).reshape(-1, 2).T
            rows.append(
                {
                    "file": place.relative_to(folder).as_posix(),
                    "bytes": place.stat().st_size,
                    "num_demos": len(trials),
                    "num_samples": int(steps.sum()),
                    "first_trial": int(trials[0]),
                    "last_trial": int(trials[-1]),
                }
            )
    return rows
