"""Ending a run in order when a signal asks for it."""

import signal
from types import FrameType
from typing import Any, NoReturn

from isaaclab_mimic_ext.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While entered, a first SIGINT or SIGTERM sets `requested`; a second one acts as if this were not here."""

    def __init__(self) -> None:
        self.signal_number = 0
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        return self.signal_number != 0

    def __enter__(self) -> "StopRequest":
        self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def raise_interrupted(self, message: str) -> NoReturn:
        """Raise the `Interrupted` of the signal that came."""
        raise Interrupted(message, self.signal_number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
