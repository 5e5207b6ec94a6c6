"""Demos from one HDF5 file to another: moved as bytes where they can be, and copied by HDF5 where not.

While one thread reads and writes bytes, the other follows the references in those that were read (`relocate.py`), and
names those that were written. HDF5 allocates the space, opens each demo by its address, and links it: what it is told
of the bytes is only where they are.
"""

# D demos

import ctypes
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import h5py
import numpy as np

from isaaclab_mimic_ext.datasets.demos import read_demos
from isaaclab_mimic_ext.datasets.hdf5 import DAMAGE, datasets_below, limit_cache
from isaaclab_mimic_ext.datasets.relocate import Unfamiliar, find_block
from isaaclab_mimic_ext.datasets.transfer import Span, Transfer

_METADATA_BLOCK = 64 * 2**10
_CACHE = 4 * 2**20
"""Of metadata of a file that demos are added to: the names of all that are there are one piece of it [bytes]."""
_WINDOW, _LARGEST = 2**23, 2**25
"""Of demos that are moved together, and of one alone; two such pieces of a file are in memory at a time [bytes]."""
_SLACK = 256 * 2**10
"""Parts of a demo may lie so far before it, or behind the next one [bytes]."""


@contextmanager
def open_to_append(path: Path) -> Iterator[h5py.File]:
    """A file that grows by large pieces."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_meta_block_size(_METADATA_BLOCK)
    with h5py.File(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDWR, access)) as file:
        limit_cache(file, _CACHE)
        yield file


class DemoCopier:
    """Copies demos from file to file."""

    def __init__(self) -> None:
        try:
            self._mover: _Mover | None = _Mover()
        except (OSError, AttributeError):  # Another system, or an h5py that was built in another way.
            self._mover = None

    def __enter__(self) -> "DemoCopier":
        return self

    def __exit__(self, *_: object) -> None:
        if self._mover is not None:
            self._mover.close()

    def copies(self, source: h5py.File, names: Sequence[str], target: h5py.File, first_number: int) -> Iterator[h5py.Group]:
        """Copy demos, which become `demo_<first_number>` and so on, and return each copy in turn.

        Raises:
            SourceDataError: a demo is damaged.
            OSError: the target cannot be written.
        """
        num_moved = 0
        if self._mover is not None:
            for demo in self._mover.moved(source, names, target, first_number):
                num_moved += 1
                yield demo
        for number, name in enumerate(names[num_moved:], first_number + num_moved):
            yield _copied(source, name, target["data"], f"demo_{number}")


def _copied(source: h5py.File, name: str, target: h5py.Group, new_name: str) -> h5py.Group:
    try:
        for _ in datasets_below(source["data"][name]):
            pass  # HDF5 crashes where it copies some of what this refuses.
        h5py.h5o.copy(source["data"].id, name.encode(), target.id, new_name.encode())
    except DAMAGE:
        # HDF5 does not say on which side it failed; a damaged demo fails once more where it is only read.
        read_demos(source.filename, [name])
        raise
    return target[new_name]


@dataclass(frozen=True)
class _Window:
    """A piece of a file that should hold all of some demos.

    Attributes:
        demos: their addresses, shape (D,).
    """

    span: Span
    demos: np.ndarray


@dataclass(frozen=True)
class _Moved:
    """Demos on their way into the target.

    Attributes:
        span: where they go.
        demos: their addresses there, shape (D,).
        written: has a result once their bytes are there.
    """

    span: Span
    demos: np.ndarray
    written: "Future[None]"


class _Mover:
    """Moves demos as bytes."""

    def __init__(self) -> None:
        self._library, self._transfer = _Library(), Transfer()

    def close(self) -> None:
        self._transfer.close()

    def moved(self, source: h5py.File, names: Sequence[str], target: h5py.File, number: int) -> Iterator[h5py.Group]:
        """Move demos in turn, up to those that have to be copied, and return each."""
        windows, data = _windows(source, names), target["data"]
        before: _Moved | None = None
        with self._transfer.between(source.filename, target.filename, [window.span for window in windows]):
            for piece in chain(self._pieces(source, windows, data), [None]):
                if before is not None:
                    before.written.result()
                    self._transfer.hurry(*before.span)
                    for address in before.demos.tolist():
                        yield self._library.link(data, address, f"demo_{number}")
                        number += 1
                before = piece

    def _pieces(self, source: h5py.File, windows: Sequence[_Window], data: h5py.Group) -> Iterator[_Moved]:
        group_sizes = self._library.group_sizes(source)
        for index, window in enumerate(windows):
            try:
                block = find_block(self._transfer.read(index), window.span[0], window.demos, group_sizes)
            except (Unfamiliar, OSError):
                return
            address = self._library.allocate(data, block.end - block.begin)
            block.move(address)
            written = self._transfer.write(index, block.begin, block.end, address)
            end = address + block.end - block.begin
            yield _Moved((address, end), window.demos + (address - block.begin), written)


def _windows(source: h5py.File, names: Sequence[str]) -> list[_Window]:
    """Pieces of a file that hold demos, if they lie in it about in the order of their names: as far as that is so."""
    form = source.id.get_create_plist()
    data = source["data"].id  # Held: its links do not.
    links = [data.links.get_info(name.encode()) for name in names]
    if form.get_userblock() or form.get_sizes() != (8, 8) or any(link.type != h5py.h5l.TYPE_HARD for link in links):
        return []
    addresses, size = np.array([link.u for link in links], np.int64), source.id.get_filesize()
    order = np.sort(addresses)
    # Where the last demo ends nobody says: what comes after it may be as large as the file.
    following = np.append(order[1:], order[-1] + 2 * np.diff(order).max(initial=_SLACK))
    ends = np.maximum.accumulate(following[np.searchsorted(order, addresses)])
    windows, first = [], 0
    while first < len(addresses):
        last = max(first + 1, int(np.searchsorted(ends, addresses[first] + _WINDOW)))
        begin, end = int(addresses[first:last].min()), int(ends[last - 1])
        if end - begin > _LARGEST:
            break
        span = max(begin - _SLACK, 0), min(end + _SLACK, size)
        windows.append(_Window(span, addresses[first:last]))
        first = last
    return windows


class _Library:
    """What h5py does not offer of HDF5."""

    def __init__(self) -> None:
        library = ctypes.CDLL(h5py.h5o.__file__)  # And all that it is linked with.
        number, address, size = ctypes.c_int64, ctypes.c_uint64, ctypes.POINTER(ctypes.c_uint)
        self._open, self._keep, self._sizes = library.H5Oopen_by_addr, library.H5Oincr_refcount, library.H5Pget_sym_k
        self._open.restype, self._open.argtypes = number, [number, address]
        self._keep.argtypes, self._sizes.argtypes = [number], [number, size, size]

    def group_sizes(self, file: h5py.File) -> tuple[int, int]:
        """Half the number of entries in a node of a group's tree, and in a leaf below it."""
        form, node, leaf = file.id.get_create_plist(), ctypes.c_uint(), ctypes.c_uint()
        self._check(self._sizes(form.id, node, leaf))
        return node.value, leaf.value

    def allocate(self, group: h5py.Group, num_bytes: int) -> int:
        """The address of so many bytes in a group's file that HDF5 will leave alone."""
        form = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        form.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        form.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((num_bytes,))
        dataset = h5py.h5d.create(group.id, None, h5py.h5t.STD_U8LE, space, form)
        # It has no name, and would be freed with what it holds: one link is counted that does not exist.
        self._check(self._keep(dataset.id))
        return int(dataset.get_offset())

    def link(self, group: h5py.Group, address: int, name: str) -> h5py.Group:
        """Give the group at an address a name in another."""
        opened = h5py.h5g.GroupID(self._check(self._open(group.id.id, address)))
        h5py.h5o.link(opened, group.id, name.encode())
        return h5py.Group(opened)

    def _check(self, result: int) -> int:
        if result < 0:
            raise RuntimeError("HDF5 does not take what was copied")
        return result
