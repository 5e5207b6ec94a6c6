"""Recording from which an annotated file was written: its demos and their marks, to find whether they have changed since."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from isaaclab_mimic_ext.datasets.marks import DemoMarks
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.attributes import attributes_of
from isaaclab_mimic_ext.files.hdf5 import open_hdf5, text_of
from isaaclab_mimic_ext.texts import counted, listed

ANNOTATED_FROM = "annotated_from"
"""Attribute of an annotated file: the name of the recording."""
ANNOTATED_DEMOS = "annotated_from_demos"
"""Attribute of an annotated file: JSON, name of each demo of the recording -> digest of its actions, and of its marks."""

Contents = dict[str, tuple[str, str]]
"""Name of a demo -> digest of its actions, and of its marks (empty without marks)."""


def contents_of(actions: Mapping[str, str], marks: Mapping[str, DemoMarks]) -> Contents:
    """Contents of a recording and its marks.

    Args:
        actions: digest of the actions (`actions_digest`) of each demo.
        marks: marks by demo.
    """
    return {name: (digest, _marks_digest(marks.get(name, DemoMarks()))) for name, digest in actions.items()}


def _marks_digest(marks: DemoMarks) -> str:
    values = [marks.term, marks.start, marks.leave_out]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16] if any(values) else ""


def contents_as_text(contents: Contents) -> str:
    """Contents as the value of the attribute `ANNOTATED_DEMOS`."""
    return json.dumps(contents)


def read_contents(path: Path) -> Contents | None:
    """Contents from which an annotated file was written; None if the file does not state them.

    Raises:
        SourceDataError: the file is missing or damaged.
    """
    with open_hdf5(path) as file:
        stored = attributes_of(file["data"]).get(ANNOTATED_DEMOS) if "data" in file else None
    if stored is None:
        return None
    try:
        return {name: (str(actions), str(marks)) for name, (actions, marks) in json.loads(text_of(stored)).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise SourceDataError(f"{path}: attribute {ANNOTATED_DEMOS}: cannot be read; annotate again") from error


def change_of(before: Contents, now: Contents) -> str:
    """Return in one sentence how the demos or their marks have changed; empty if they are the same."""
    if added := [name for name in now if name not in before]:
        return f"the recording has {counted(len(added), 'demo')} more than were annotated ({listed(added)})"
    changed = [name for name in before if name not in now or now[name][0] != before[name][0]]
    if changed:
        return f"the recording does not contain the demos any more that were annotated ({listed(changed)})"
    marked = [name for name in before if now[name][1] != before[name][1]]
    return f"the marks of {listed(marked)} have changed since" if marked else ""
