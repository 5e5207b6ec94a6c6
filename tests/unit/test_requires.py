"""Requirements of tests: a missing requirement skips a test, or fails it if `MIMIC_TEST_REQUIRES` lists it."""

from pathlib import Path

import pytest

from isaaclab_mimic_ext.errors import DependencyMissing
from tests import requires

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(params=["", "train, opengl"])
def must_be_met(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv(requires.VARIABLE, request.param)
    return bool(request.param)


def test_missing_requirement_skips_unless_it_is_required(must_be_met: bool) -> None:
    expected = pytest.fail.Exception if must_be_met else pytest.skip.Exception
    with pytest.raises(expected, match=r"train \(robomimic .*no_such_module"):
        requires.module("no_such_module", "train")
    with pytest.raises(expected, match="it is not there"), requires.available("opengl", DependencyMissing):
        raise DependencyMissing("it is not there")
    assert requires.mark("train", False, "it is not there").args == (not must_be_met,)


def test_requirements_that_are_not_listed_skip(must_be_met: bool) -> None:
    with pytest.raises(pytest.skip.Exception):
        requires.missing("cuda", "no device")
    assert requires.mark("cuda", False, "no device").args == (True,)


def test_met_requirement_neither_skips_nor_fails(must_be_met: bool) -> None:
    assert requires.module("json", "train").__name__ == "json"
    with requires.available("opengl", DependencyMissing):
        pass
    assert requires.mark("train", True, "").args == (False,)


def test_unknown_requirement_is_refused_with_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(requires.VARIABLE, "train,robomimick")
    with pytest.raises(pytest.UsageError, match="'robomimick' is not a requirement; choices: mujoco, mujoco_warp, opengl"):
        requires.required()


def test_tests_skip_only_through_requirements() -> None:
    ways = [f"pytest.{name}" for name in ("skip(", "importorskip", "mark.skip")]
    found = [path for path in TESTS.rglob("*.py") if any(way in path.read_text() for way in ways)]
    assert [path.name for path in found] == ["requires.py"]
