"""Findings of the check of a demo, as the studio shows them in the review and on the tab Mark."""

from typing import Any, cast

import numpy as np
import pytest

from isaaclab_mimic_ext.datasets.annotate import Annotation
from isaaclab_mimic_ext.demos.boundaries import first_rise
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.studio.doctor import examine_annotation, for_recording

RULE = "signal 'lift' never rises at or after step 88, where the subtask begins"
FOUND = f"{RULE} (false in all steps; the demo has 310 steps)"


def test_finding_of_a_missing_signal_has_problem_and_remedy_apart_and_advice_for_its_moment() -> None:
    with pytest.raises(SourceDataError) as error:
        first_rise("demo_0: signal 'lift'", np.zeros(310, bool), 88, "where the subtask begins")
    demo = Demo("raw.hdf5", "demo_0", {}, {})
    annotation = Annotation(demo, {}, {}, {}, str(error.value))
    unused = cast(Any, None)
    (finding,) = examine_annotation(annotation, unused, unused, unused)
    assert (finding["level"], finding["found"]) == ("error", FOUND)
    assert finding["remedy"] == "annotate the demo again, or leave out the demo"
    (shown,) = for_recording([finding])
    assert shown["found"] == FOUND
    assert shown["remedy"] == "record the same scene again, and complete each subtask before the next one"


def test_advice_in_the_review_needs_no_file_and_no_marks() -> None:
    finding = {"found": "", "expected": "", "frame": None}
    shown = for_recording(
        [
            {**finding, "level": "error", "check": "jump", "remedy": "leave out the demo, or cut it before the jump"},
            {**finding, "level": "warning", "check": "short segment", "remedy": "mark a longer subtask"},
            {**finding, "level": "note", "check": "check", "remedy": "see the terminal"},
        ]
    )
    assert [each["remedy"] for each in shown] == [
        "record the same scene again",
        "record the same scene again, and approach more slowly (Shift)",
        "see the terminal",
    ]
