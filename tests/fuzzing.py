"""Read damaged copies of an HDF5 file with each reader, in a separate process that may crash or hang."""

import hashlib
import logging
import multiprocessing
import random
import shutil
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext.files.digest import demo_digest
from tests.builders import OBJECT_NAMES, SIGNAL_NAMES

TIMEOUT = 20.0
"""Longer than reading with any reader takes [s]."""
BYTES = ("flipped", "zeroed", "truncated")
_HEAP = b"GCOL\x01\x00\x00\x00"
STRUCTURE = ("missing", "wrong type", "not finite", "wrong length")
REFUSED, SAME, FEWER, CHANGED, ESCAPED, CRASHED, HUNG = (
    "refused",
    "same",
    "fewer",
    "changed",
    "escaped",
    "crashed",
    "hung",
)
"""Outcomes of reading a damaged file.

- refused: a `MimicError`.
- same: the data of the undamaged file.
- fewer: some demos of the undamaged file, and a warning about the others.
- changed: different data.
- escaped: an exception that is not a `MimicError`.
- crashed: the process ended.
- hung: no result within `TIMEOUT`.
"""


def add_digests(path: Path) -> None:
    """Add the digest to each demo of a file, as the dataset writer does."""
    with h5py.File(path, "r+") as file:
        for demo in file["data"].values():
            demo.attrs["digest"] = np.bytes_(demo_digest(demo).encode())


def damage(sound: Path, target: Path, kind: str, rng: random.Random) -> None:
    """Write a damaged copy of a file.

    If the structure is damaged, digests of demos are removed, so that readers must detect the damage without them. Global
    heaps are not damaged: HDF5 may crash on damaged heaps, or never finish (`test_validate.py`).
    """
    data = bytearray(sound.read_bytes())
    heaps = [(start, data[start : start + size]) for start, size in global_heaps(data)]
    if kind == "flipped":
        for _ in range(rng.choice([1, 1, 2, 8])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "zeroed":
        start = rng.randrange(len(data))
        data[start : start + 512] = bytes(len(data[start : start + 512]))
    for start, heap in heaps:
        data[start : start + len(heap)] = heap
    if kind == "truncated":
        del data[rng.randrange(len(data)) :]
    target.write_bytes(data)
    if kind in STRUCTURE:
        with h5py.File(target, "r+") as file:
            for demo in file["data"].values():
                demo.attrs.pop("digest", None)
            _damage_structure(file, kind, rng)


def global_heaps(data: bytes) -> Iterator[tuple[int, int]]:
    """Position and size [bytes] of each global heap of an HDF5 file. Heaps contain values of variable length."""
    start = data.find(_HEAP)
    while start >= 0:
        (size,) = struct.unpack_from("<Q", data, start + len(_HEAP))
        yield start, size
        start = data.find(_HEAP, start + size)


def _damage_structure(file: h5py.File, kind: str, rng: random.Random) -> None:
    paths: list[str] = []
    file.visit(paths.append)
    if kind in ("not finite", "wrong length"):
        paths = [path for path in paths if isinstance(file[path], h5py.Dataset)]
    path = rng.choice(paths)
    values = file[path][()] if isinstance(file[path], h5py.Dataset) else None
    del file[path]
    if kind == "wrong type":
        wrong = ["text", np.arange(3), np.zeros((4, 4), "S3"), h5py.Empty("f4"), np.float64(1.5), None]
        choice = wrong[rng.randrange(len(wrong))]
        if choice is None:
            file.create_group(path)
        else:
            file[path] = choice
    elif kind == "wrong length" and values is not None:
        file[path] = values[: rng.randrange(len(values))]
    elif kind == "not finite" and values is not None:
        values = values.astype(np.float32)
        values.reshape(-1)[rng.randrange(values.size)] = rng.choice([np.nan, np.inf])
        file[path] = values


def readers(scratch: Path, sound: Path) -> dict[str, Callable[[Path], Any]]:
    """Readers by name. Each returns the data that it read."""
    from isaaclab_mimic_ext.datasets.inspect import inspect_dataset
    from isaaclab_mimic_ext.datasets.merge import merge_datasets
    from isaaclab_mimic_ext.datasets.replay import read_demos
    from isaaclab_mimic_ext.datasets.split import split_dataset
    from isaaclab_mimic_ext.datasets.validate import validate_dataset
    from isaaclab_mimic_ext.demos.source import load_source_demos
    from isaaclab_mimic_ext.envs.playback import demo_states
    from isaaclab_mimic_ext.errors import SourceDataError
    from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
    from isaaclab_mimic_ext.files.stream import stream_demos
    from isaaclab_mimic_ext.task.definition import load_task

    def source(path: Path) -> Any:
        demos = load_source_demos(path, ("franka",), OBJECT_NAMES, SIGNAL_NAMES[:-1], 7)
        return [(d.name, d.actions, d.eef_pose, d.target_eef_pose, d.object_pose, d.subtask_term_signals) for d in demos]

    other = shutil.copyfile(sound, scratch / "other.hdf5")

    def split(path: Path) -> Any:
        return split_dataset(shutil.copyfile(path, scratch / "split.hdf5"), 0.5, 1).train

    def playback(path: Path) -> Any:
        task = load_task("desktop_organizer")
        with open_hdf5(path) as file:
            return [demo_states(file, name, task) for name in demo_names(file)]

    def validate(path: Path) -> Any:
        report = validate_dataset(path, num_replays=0)
        if not report.is_valid():
            raise SourceDataError("the dataset has faults")
        return report.num_demos

    def merge(path: Path) -> Any:
        merge_datasets([path, other], scratch / "merged.hdf5", overwrite=True, allow_copies=True)
        return [d.leaves for d in read_demos(scratch / "merged.hdf5")]  # Merging renumbers the demos.

    return {
        "source": source,
        "inspect": lambda path: (lambda s: (s.digest, s.num_demos, s.tree))(inspect_dataset(path)),
        "split": split,
        "demos": lambda path: [(d.name, d.leaves) for d in read_demos(path)],
        "stream": lambda path: [(d.name, d.leaves) for d in stream_demos(path)],
        "playback": playback,
        "validate": validate,
        "merge": merge,
    }


def _hashes(value: Any) -> tuple[str, ...]:
    """Hash of each demo of a list, else of the value."""
    return tuple(_hash(each) for each in value) if isinstance(value, list) else (_hash(value),)


def _hash(value: Any) -> str:
    digest = hashlib.sha256()

    def add(node: Any) -> None:
        if isinstance(node, dict):
            for key in sorted(node):
                digest.update(str(key).encode())
                add(node[key])
        elif isinstance(node, list | tuple):
            for child in node:
                add(child)
        elif isinstance(node, np.ndarray):
            digest.update(f"{node.dtype} {node.shape}".encode() + node.tobytes())
        else:
            digest.update(repr(node).encode())

    add(value)
    return digest.hexdigest()


def _work(connection: Connection, scratch: Path, sound: Path) -> None:
    from isaaclab_mimic_ext.errors import MimicError

    every = readers(scratch, sound)
    warnings = _Warnings()
    logging.getLogger("isaaclab_mimic_ext").addHandler(warnings)
    connection.send(None)  # Imports are complete; they can take longer than any reader.
    while True:
        name, path = connection.recv()
        warnings.texts.clear()
        try:
            hashes = _hashes(every[name](path))
            connection.send((FEWER if any("left out" in text for text in warnings.texts) else SAME, hashes))
        except MimicError as error:
            connection.send((REFUSED, (str(error),)))
        except BaseException as error:
            connection.send((ESCAPED, (f"{type(error).__name__}: {error}",)))


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


class Reader:
    """Reader of files in a separate process, with a time limit."""

    def __init__(self, scratch: Path, sound: Path):
        self._arguments = (scratch, sound)
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, *self._arguments), daemon=True)
        self._process.start()
        theirs.close()
        self._connection.recv()

    def read(self, name: str, path: Path) -> tuple[str, tuple[str, ...]]:
        """Read a file. Return the outcome, and the hashes of the demos or the error message."""
        self._connection.send((name, path))
        answered = self._connection.poll(TIMEOUT)
        if answered:
            try:
                return self._connection.recv()
            except EOFError:
                pass
        self.close()
        self._start()
        return (CRASHED if answered else HUNG), ()

    def close(self) -> None:
        self._process.kill()
        self._process.join()


Result = tuple[str, str, str, tuple[str, ...]]
"""Kind of damage, reader, outcome, and hashes of the demos or error message."""


def fuzz(sound: Path, scratch: Path, num_variants: int, names: tuple[str, ...], seed: int) -> Iterator[Result]:
    """Write `num_variants` damaged copies of `sound`, and read each one with the readers `names`."""
    rng, reader = random.Random(seed), Reader(scratch, sound)
    try:
        expected = {name: reader.read(name, sound) for name in names}
        for name, (outcome, detail) in expected.items():
            assert outcome == SAME, (name, outcome, detail)
        kinds = BYTES + STRUCTURE
        for index in range(num_variants):
            path, kind = scratch / f"variant_{index}.hdf5", kinds[index % len(kinds)]
            damage(sound, path, kind, rng)
            for name in names:
                outcome, detail = reader.read(name, path)
                if outcome == SAME and detail != expected[name][1]:
                    outcome = CHANGED
                if outcome == FEWER and not Counter(detail) < Counter(expected[name][1]):
                    outcome = CHANGED
                yield kind, name, outcome, detail
            path.unlink()
    finally:
        reader.close()


def count(results: Iterator[Result]) -> tuple[Counter[str], list[Result]]:
    """Number of results per outcome, and the results that are failures of a reader."""
    outcomes: Counter[str] = Counter()
    bad = []
    for kind, name, outcome, detail in results:
        # A file without digests from which a group was removed is a valid file with different content.
        if outcome == CHANGED and kind in STRUCTURE:
            outcome = SAME
        outcomes[outcome] += 1
        if outcome not in (SAME, FEWER, REFUSED):
            bad.append((kind, name, outcome, detail))
    return outcomes, bad
