"""Wait for processes independently of the speed of the machine."""

import time
from collections.abc import Callable

HANG_S = 1200.0
"""Time after which a process or a wait counts as hanging [s]. Far above the time that any test needs on a busy machine."""


def wait_until(condition: Callable[[], bool], reason: str, poll_s: float = 0.02) -> None:
    """Wait until `condition` returns True.

    Raises:
        AssertionError: `condition` is still false after `HANG_S`.
    """
    end = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < end, reason
        time.sleep(poll_s)
