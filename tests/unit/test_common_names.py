"""Names that the commands share, and old names: accepted for one release, with one line of warning."""

import inspect
import logging
from dataclasses import fields
from pathlib import Path

import pytest

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.commands.overrides import translate
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS, SCRIPT_VERBS
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.config.deprecated import RENAMED_FIELDS
from isaaclab_mimic_ext.errors import ConfigError
from tests.kinematic_sources import write_source_file

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
OLD_NAMES = [(script, old, new) for script, names in RENAMED_FIELDS.items() for old, new in names.items()]
ISAACLAB_FLAGS = [
    ("record_demos", "--dataset_file", "output_file"),
    ("annotate_demos", "--dataset", "input_file"),
    ("annotate_demos", "--output", "output_file"),
    ("annotate_demos", "--input_file", "input_file"),
    ("generate", "--output_file", "output_file"),
    ("replay_demos", "--dataset_file", "input_file"),
    ("train", "--dataset", "input_file"),
    ("evaluate", "--checkpoint", "checkpoint"),
]
"""Flags of the scripts of Isaac Lab and of its guides, which stay valid."""


@pytest.mark.parametrize(("script", "old", "new"), OLD_NAMES)
@pytest.mark.parametrize("form", ["{}=a.x", "++{}=a.x", "--{}=a.x", "--{} a.x"])
def test_old_name_on_the_command_line_sets_the_field_with_one_warning(
    script: str, old: str, new: str, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    if (script, f"--{old}", new) in ISAACLAB_FLAGS and form.startswith("--"):
        form = "{}=a.x"
    (word,) = translate(form.format(old).split(), SCRIPT_SCHEMAS[script])
    assert word.lstrip("+") == f"{new}=a.x"
    assert caplog.messages == [f"{old} is renamed to {new}; use {new}, the next release refuses {old}"]


@pytest.mark.parametrize(("script", "flag", "field"), ISAACLAB_FLAGS)
def test_flag_of_isaaclabs_script_sets_the_field_without_a_warning(
    script: str, flag: str, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert translate([flag, "a.hdf5"], SCRIPT_SCHEMAS[script]) == [f"{field}=a.hdf5"]
    assert caplog.messages == []


@pytest.mark.parametrize(("script", "old", "new"), OLD_NAMES)
def test_old_and_new_name_with_different_values_are_refused(script: str, old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=f"{new}: is set twice, to a.hdf5 and to b.hdf5"):
        translate([f"{old}=a.hdf5", f"{new}=b.hdf5"], SCRIPT_SCHEMAS[script])


def test_old_name_in_a_configuration_file_sets_the_field_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "task").mkdir()
    text = "# @package _global_\ndefaults: [desktop_organizer]\ndataset: demos.hdf5\n"
    (tmp_path / "task" / "mine.yaml").write_text(text)
    cfg = load_config("train", ["task=mine", "output_dir=x"], config_dirs=[tmp_path])
    assert cfg.input_file == "demos.hdf5"
    assert caplog.messages == ["dataset is renamed to input_file; use input_file, the next release refuses dataset"]


def test_old_and_new_name_in_a_configuration_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    text = "# @package _global_\ndefaults: [desktop_organizer]\ndataset: a.hdf5\ninput_file: b.hdf5\n"
    (tmp_path / "task" / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match="input_file: is set twice, as dataset and as input_file; remove dataset"):
        load_config("train", ["task=mine", "output_dir=x"], config_dirs=[tmp_path])


def test_old_name_of_an_argument_is_accepted_with_one_warning(tmp_path: Path) -> None:
    path = write_source_file(tmp_path / "a.hdf5", num_demos=4)
    with pytest.warns(DeprecationWarning, match="path is renamed to input_file; use input_file") as caught:
        old = mimic.split(path=path, ratio=0.5)  # type: ignore[call-arg]
    assert len(caught) == 1 and caught[0].filename == __file__
    assert old.train == mimic.split(path, 0.5).train == mimic.split(input_file=path, ratio=0.5).train


def test_two_names_of_one_argument_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="two values for 'input_file': 'path' is its old name"):
        mimic.inspect(path="a.hdf5", input_file="b.hdf5")  # type: ignore[call-arg]


def test_arguments_with_present_names_cause_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert translate(["input_dir=a", "output_file=b.html"], SCRIPT_SCHEMAS["report"]) == [
            "input_dir=a",
            "output_file=b.html",
        ]
    assert caplog.messages == []


def table_of(first_cells: str) -> list[list[str]]:
    """Rows of the table of the page whose head begins with these cells, without backticks in the first column."""
    _, _, after = PAGE.read_text().partition(f"\n{first_cells}")
    lines = after.partition("\n\n")[0].splitlines()
    head = [cell.strip() for cell in (first_cells + lines[0]).strip("|").split("|")]
    return [head, *([cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:])]


def test_page_lists_the_common_names_of_every_command() -> None:
    (_, *names), *rows = table_of("| verb | `input_file` |")
    assert [row[0].strip("`") for row in rows] == list(SCRIPT_VERBS.values())
    for (_, *cells), script in zip(rows, SCRIPT_VERBS, strict=True):
        declared = {field.name for field in fields(SCRIPT_SCHEMAS[script])}
        listed = {name.strip("`") for name, cell in zip(names, cells, strict=True) if cell != "-"}
        assert listed == declared & {name.strip("`") for name in names}, script


def test_page_lists_all_old_names() -> None:
    _, *rows = table_of("| verb | old name |")
    listed = {
        (row[0].strip("`"), old.strip(" `"), new.strip(" `"))
        for row in rows
        for old, new in zip(row[1].split(","), row[2].split(","), strict=True)
    }
    assert listed == {(SCRIPT_VERBS[script], old, new) for script, old, new in OLD_NAMES}


@pytest.mark.parametrize("script", SCRIPT_SCHEMAS)
def test_command_that_writes_an_output_can_replace_it(script: str) -> None:
    declared = {field.name for field in fields(SCRIPT_SCHEMAS[script])}
    # A pipeline decides per step whether the output is up to date, and a studio continues its session.
    assert script in ("pipeline", "studio") or not declared & {"output_file", "output_dir"} or "overwrite" in declared


API = ("check", "split", "merge", "inspect", "validate", "replay", "import_mimicgen", "export_robomimic", "prepare", "train",
       "load_demos", "annotate")  # fmt: skip


@pytest.mark.parametrize("name", API)
def test_function_that_reads_a_dataset_takes_input_file_first(name: str) -> None:
    assert next(iter(inspect.signature(getattr(mimic, name)).parameters)) == "input_file"
