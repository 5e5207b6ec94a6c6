"""Pieces of a file into another in the background: read, looked at, changed, and written.

What is read lies in files in memory, from which the system sends it on: large writes from a program's own memory were
measured at a third of the rate, and small ones would each wait for the interpreter's lock.
"""

import mmap
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

Span = tuple[int, int]
"""Where a piece of a file begins and ends [bytes]."""


class Transfer:
    """Two pieces are in memory at a time: one is written while the next is read.

    Raises:
        OSError: the system has no files in memory.
    """

    def __init__(self) -> None:
        self._memory = [_Memory(), _Memory()]
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._source = self._target = -1
        self._spans: Sequence[Span] = ()
        self._ahead: Future[np.ndarray] | None = None

    def close(self) -> None:
        self._worker.shutdown(cancel_futures=True)
        for memory in self._memory:
            memory.close()

    @contextmanager
    def between(self, source: str, target: str, spans: Sequence[Span]) -> Iterator[None]:
        """Within the block pieces go from one file to the other."""
        self._source, self._spans = os.open(source, os.O_RDONLY), spans
        try:
            self._target = os.open(target, os.O_WRONLY)
            if spans:
                self._ahead = self._worker.submit(self._read, 0)
            yield
        finally:
            self._worker.submit(int).result()  # What was asked for before is done then.
            os.close(self._source)
            if self._target >= 0:
                os.close(self._target)
            self._target = -1

    def read(self, index: int) -> np.ndarray:
        """A piece's bytes; to be asked for in turn, after what is to be written of the one before was given.

        Raises:
            OSError: they cannot be read.
        """
        assert self._ahead is not None
        content = self._ahead.result()
        if index + 1 < len(self._spans):
            # The worker does one thing after the other: bytes are written before others are read into their place.
            self._ahead = self._worker.submit(self._read, index + 1)
        return content

    def write(self, index: int, begin: int, end: int, address: int) -> "Future[None]":
        """Write what a piece holds of the file between two addresses to another."""
        first = self._spans[index][0]
        return self._worker.submit(self._write, index, begin - first, end - first, address)

    def hurry(self, begin: int, end: int) -> None:
        """Let the disk begin with what was written, which it would else do when all is made durable."""
        os.posix_fadvise(self._target, begin, end - begin, os.POSIX_FADV_DONTNEED)

    def _read(self, index: int) -> np.ndarray:
        begin, end = self._spans[index]
        content = self._memory[index % 2].content(end - begin)
        if os.preadv(self._source, [content.data], begin) != len(content):
            raise OSError("the file is shorter than it was")
        return content

    def _write(self, index: int, begin: int, end: int, address: int) -> None:
        os.lseek(self._target, address, os.SEEK_SET)
        left = begin
        while left < end:
            left += os.sendfile(self._target, self._memory[index % 2].descriptor, left, end - left)


class _Memory:
    """A file in memory, which is never made smaller."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("demos")
        self._content = np.zeros(0, np.uint8)

    def content(self, num_bytes: int) -> np.ndarray:
        if num_bytes > len(self._content):
            os.ftruncate(self.descriptor, num_bytes)
            self._content = np.frombuffer(mmap.mmap(self.descriptor, num_bytes), np.uint8)
        return self._content[:num_bytes]

    def close(self) -> None:
        self._content = np.zeros(0, np.uint8)
        os.close(self.descriptor)
