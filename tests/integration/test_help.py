"""The help of each command, as a new user reads it: one line per field, and only the groups that the command has."""

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

from isaaclab_mimic_ext import __version__
from isaaclab_mimic_ext.commands.main import VERBS
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS
from isaaclab_mimic_ext.config.commands import subtask_type
from tests.forked_scripts import run_mimic

GROUPS = {
    **{verb: {"task", "robot", "sim"} for verb in ("studio", "record", "annotate", "train", "evaluate")},
    **{verb: {"task", "robot", "sim", "generation", "cluster"} for verb in ("generate", "demo")},
    "replay": {"sim"},
    "check": {"task", "robot"},
    "show": {"robot"},
    "pipeline": {"preset"},
}
"""Verb -> groups of its defaults, in addition to `recorder` of the commands that write demos."""
ITEMS = ("subtask_configs", "task_constraint_configs", "events")


def help_of(verb: str, *arguments: str, cwd: Path) -> list[str]:
    done = run_mimic(verb, "--help", *arguments, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def lines_of_fields(lines: list[str]) -> dict[str, str]:
    """Name of a field -> its line. Names of `datagen_config` may be short."""
    found = (re.match(r"  ([\w.]+) = (.*)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def groups_in(lines: list[str]) -> dict[str, list[str]]:
    start = next((index for index, line in enumerate(lines) if line.startswith("Groups, ")), len(lines))
    if start == len(lines):
        return {}
    rows = (re.match(r"  \+?(\w+) ?=\s?\S+\s+(.*)", line) for line in lines[start + 1 : lines.index("", start)])
    return {row[1]: row[2].split(" | ") for row in rows if row}


def leaves(schema: type, prefix: str = "") -> list[str]:
    names: list[str] = []
    for field in fields(schema):
        kind = get_type_hints(schema)[field.name]
        names += leaves(kind, f"{prefix}{field.name}.") if is_dataclass(kind) else [f"{prefix}{field.name}"]
    return [name for name in names if name not in ITEMS]


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_one_line_per_field_and_only_the_groups_of_the_command(verb: str, tmp_path: Path) -> None:
    schema = SCRIPT_SCHEMAS[VERBS[verb].config]
    lines = help_of(verb, cwd=tmp_path)
    shown = lines_of_fields(lines)
    names = [name.replace("task.name", "task") for name in leaves(schema)]
    names += [field.name for field in fields(subtask_type(schema))] if subtask_type(schema) else []
    missing = [name for name in names if name not in shown and name.removeprefix("datagen_config.") not in shown]
    assert missing == []
    unexplained = [name for name in names if len(re.split(r"\s{2,}", shown.get(name, "x  y"), maxsplit=1)) < 2]
    assert unexplained == []
    assert set(groups_in(lines)) - {"recorder", "sweep"} == GROUPS.get(verb, set())


@pytest.mark.parametrize(
    ("verb", "sweeps"),
    [("generate", ["action_noise", "selection", "settling"]), ("pipeline", ["pipeline_action_noise", "pipeline_settling"])],
)
def test_sweeps_are_listed_where_they_can_be_used(verb: str, sweeps: list[str], tmp_path: Path) -> None:
    assert groups_in(help_of(verb, cwd=tmp_path))["sweep"] == sweeps
    for sweep in sweeps:
        done = run_mimic(verb, f"+sweep={sweep}", "--cfg", "job", cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_help_shows_units_choices_and_the_values_of_these_arguments(tmp_path: Path) -> None:
    shown = lines_of_fields(help_of("generate", "num_envs=7", "max_time=2", "task=stack_cube", cwd=tmp_path))
    assert shown["num_envs"].startswith("7 ") and shown["num_envs"].endswith("(>= 1)")
    assert shown["max_time"].startswith("2.0 ") and "[h]" in shown["max_time"]
    assert shown["task"].startswith("stack_cube ")
    assert shown["recorder.format_version"].endswith("(0 | 1)") and "`any_step`" in shown["success_rule"]
    assert shown["output_dir"].startswith("datasets/<task>/<date> ")
    required = lines_of_fields(help_of("inspect", cwd=tmp_path))["input_file"]
    assert required.startswith("(required)") and required.endswith("e.g. input_file=datasets/run/demo.hdf5")


def test_listed_flags_are_accepted_and_unlisted_flags_are_refused(tmp_path: Path) -> None:
    lines = help_of("split", cwd=tmp_path)
    flags = [line.split()[0].rstrip(",") for line in lines[lines.index("") :] if line.startswith("  --")]
    assert "--config-dir" in flags and "--version" in flags and "--shell-completion" not in flags
    values = {"--config-dir": str(tmp_path), "--cfg": "job", "--config-name": "split_dataset"}
    for flag in set(flags) - {"--config-path", "--experimental-rerun", "--debug", "--multirun", "--run", "--package"}:
        value = [values[flag]] if flag in values else []
        done = run_mimic("split", flag, *value, *(["--cfg", "job"] if flag not in ("--cfg", "--info") else []), cwd=tmp_path)
        assert done.returncode == 0, (flag, done.stderr)
    for flag in ("--shell-completion", "-sc", "--hydra-help", "-x"):
        done = run_mimic("split", flag, cwd=tmp_path)
        assert done.returncode == 2 and f"ConfigError: {flag}: split has no such flag" in done.stderr, done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_version_is_that_of_this_package(verb: str, tmp_path: Path) -> None:
    assert run_mimic(verb, "--version", cwd=tmp_path).stdout == f"{__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate", "preset=quick"], "preset: generate has no such group; pipeline has it"),
        (["generate", "+preset=quick"], "preset: generate has no such group; pipeline has it"),
        (["split", "task=stack_cube"], "task: split has no such group; studio, record, annotate, check,"),
        (
            ["generate", "sweep=pipeline_settling"],
            "sweep: 'pipeline_settling' is for other commands; choices: action",
        ),
    ],
)
def test_group_of_another_command_is_refused(words: list[str], message: str, tmp_path: Path) -> None:
    done = run_mimic(*words, cwd=tmp_path)
    assert done.returncode == 2 and f"ConfigError: {message}" in done.stderr


@pytest.mark.parametrize("words", [["pipeline", "+preset=full"], ["pipeline", "preset=full"], ["record", "+sim=kinematic"]])
def test_group_may_be_set_with_and_without_a_plus(words: list[str], tmp_path: Path) -> None:
    done = run_mimic(*words, "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "epochs: 300" in done.stdout or "engine: kinematic" in done.stdout
