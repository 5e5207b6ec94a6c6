"""Parts of messages: counts with their nouns."""

import re
from pathlib import Path

import pytest

from isaaclab_mimic_ext.errors import choices
from isaaclab_mimic_ext.texts import counted, split_remedy

PACKAGE = Path(__file__).resolve().parents[2] / "isaaclab_mimic_ext"
NOUNS = "attempts|checkpoints|demos|envs|environments|episodes|epochs|errors|failures|files|frames|jobs|trials|warnings"
UNCOUNTED = re.compile(rf"(%d|\}}) ([a-z]+ )?({NOUNS})\b(?!/h)|\w\(s\)")
"""A number and a plural, which is wrong for one item, and `demo(s)`."""


SKIPPED = ('"""', "assert")
"""Starts of lines that no user sees."""


@pytest.mark.parametrize(("number", "text"), [(0, "0 demos"), (1, "1 demo"), (2, "2 demos"), (12000, "12000 demos")])
def test_noun_agrees_with_its_number(number: int, text: str) -> None:
    assert counted(number, "demo") == text


def test_irregular_plurals_are_given() -> None:
    assert [counted(number, "entry is", "entries are") for number in (1, 3)] == ["1 entry is", "3 entries are"]


def test_remedy_begins_after_the_first_semicolon_outside_of_brackets() -> None:
    assert split_remedy("never rises (false; 310 steps); record again; or not") == (
        "never rises (false; 310 steps)",
        "record again; or not",
    )
    assert split_remedy("no remedy (a; b)") == ("no remedy (a; b)", "")


def test_all_messages_count_with_one_function() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.html")])
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if ('"' in line or path.suffix == ".html")
        and not line.strip().startswith(('"""', "assert"))
        and UNCOUNTED.search(line)
    ]
    assert wrong == []


def test_an_empty_list_of_choices_is_stated_as_such() -> None:
    assert choices("x", []) == "there are none to choose from"
    assert choices("fnaka", ["franka"]) == "choices: franka (did you mean 'franka'?)"
