"""Log of `mimic annotate`."""

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from isaaclab_mimic_ext.datasets.annotate_file import _log_annotation


def test_log_names_the_steps_of_the_marks(caplog: pytest.LogCaptureFixture) -> None:
    """The same numbers as on the page: a mark at step 54 is the last step of its subtask."""
    caplog.set_level(logging.INFO)
    demo = SimpleNamespace(place="raw.hdf5: demo_0")
    annotation = SimpleNamespace(demo=demo, rejection=None, ends={"franka": [55, 69, 101, 222]}, starts={})
    _log_annotation(cast(Any, annotation), None)
    assert caplog.messages == ["raw.hdf5: demo_0: franka: subtasks end at steps 54, 68, 100, 221"]
