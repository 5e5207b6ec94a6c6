"""Test tiers: `make check` runs the tests without the mark `slow`, at most 90 CPU seconds together."""

from collections.abc import Iterable
from typing import Any

import pytest


def first_in_check(values: Iterable[Any], count: int = 1) -> list[Any]:
    """Return parameters of a test: the first `count` as they are, the others marked `slow`."""
    return [value if index < count else pytest.param(value, marks=pytest.mark.slow) for index, value in enumerate(values)]
