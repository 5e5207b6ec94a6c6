"""Demos that a reader leaves out, for tests with one faulty demo among good ones."""

import logging
from collections.abc import Callable
from typing import TypeVar

import pytest

from isaaclab_mimic_ext.files.selection import log

T = TypeVar("T")


def left_out(read: Callable[[], T], caplog: pytest.LogCaptureFixture) -> tuple[T, str]:
    """Return the result of `read`, and its one warning, which names the file, the demo and the fault."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, log.name):
        result = read()
    warnings = [record.getMessage() for record in caplog.records if record.name == log.name]
    assert len(warnings) == 1
    assert " is left out: " in warnings[0]
    return result, warnings[0]
