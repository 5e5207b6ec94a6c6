"""Orderly end of a run on SIGINT or SIGTERM."""

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any, NoReturn, TypeVar

from isaaclab_mimic_ext.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
T = TypeVar("T")


class Terminated(KeyboardInterrupt):
    """SIGTERM outside of a `StopRequest`, raised like Ctrl-C, so that blocks that write files remove their parts."""


@contextmanager
def raising_terminated() -> Iterator[None]:
    """Raise `Terminated` in the block at the first SIGTERM; a second signal has its usual effect."""
    before = signal.getsignal(signal.SIGTERM)

    def raise_terminated(number: int, frame: FrameType | None) -> NoReturn:
        signal.signal(number, before)
        raise Terminated

    signal.signal(signal.SIGTERM, raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end_by_sigterm() -> None:
    """End the process as SIGTERM does without a handler."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


class StopRequest:
    """Context in which the first SIGINT or SIGTERM sets `requested`; a second signal has its usual effect."""

    def __init__(self) -> None:
        self.signal_number = 0
        self._before: dict[int, Any] = {}

    @contextmanager
    def during(self, shown: AbstractContextManager[T]) -> Iterator[T]:
        """Enter this context and another one, such as a progress bar, whose value is yielded."""
        with self, shown as value:
            yield value

    @property
    def requested(self) -> bool:
        """Return whether a signal has requested the end of the run."""
        return self.signal_number != 0

    def __enter__(self) -> "StopRequest":
        self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def raise_interrupted(self, message: str) -> NoReturn:
        """Raise `Interrupted` with the exit code of the received signal."""
        raise Interrupted(message, self.signal_number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
