"""The schema of a command has the fields that the command reads; others are refused. Task files serve all commands."""

import ast
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from isaaclab_mimic_ext.commands.messages import explain, is_config_error
from isaaclab_mimic_ext.commands.overrides import flags_of, translate
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS
from isaaclab_mimic_ext.config.bounds import bounds_of, check_bounds
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.config.help import field_docs
from isaaclab_mimic_ext.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[2] / "isaaclab_mimic_ext"
SCENE_COMMANDS = ("record_demos", "annotate_demos", "check_demos", "generate", "train", "evaluate")


def message_for(script: str, *words: str) -> str:
    """The message that a command line gets."""
    with pytest.raises(Exception) as caught:
        load_config(script, translate(list(words), SCRIPT_SCHEMAS[script]))
    if is_config_error(caught.value):
        return explain(caught.value, script)
    assert isinstance(caught.value, ConfigError), caught.value
    return str(caught.value)


# fmt: off
UNREAD = [
    ("record_demos", "generation_num_trials=5",
     "generation_num_trials: record has no such field (did you mean 'num_demos'?); generate and collect have it"),
    ("record_demos", "datagen_config.generation_num_trials=5",
     "datagen_config.generation_num_trials: record has no such field (did you mean 'num_demos'?); generate and collect have "
     "it"),
    ("record_demos", "num_trials=5",
     "num_trials: record has no such field (did you mean 'num_demos'?); generate and collect have it"),
    ("record_demos", "max_time=1", "max_time: record has no such field (did you mean 'max_trials'?); generate has it"),
    ("record_demos", "++max_time=1", "max_time: record has no such field (did you mean 'max_trials'?); generate has it"),
    ("annotate_demos", "seed=3",
     "seed: annotate has no such field; fields: task, robot, objects, sim, device, headless, host, port, datagen_config, "
     "subtask_configs, all_subtasks, recorder, auto, annotate_subtask_start_signals, marks_file, gui, pause_subtask, "
     "step_hz, input_file, demos, output_file, overwrite, enable_cameras, "
     "progress; studio, record, check, generate, split, render, validate, train and evaluate have it"),
    ("annotate_demos", "recorder.queue_megabytes=9",
     "recorder.queue_megabytes: annotate has no such field; fields: compression, format_version; studio, record and "
     "generate have it"),
    ("check_demos", "subtask_configs.franka.0.action_noise=0.1", "; generate has it"),
    ("evaluate", "recorder.compression=gzip", "recorder.compression: evaluate has no such field; "),
    ("train", "num_episodes=3", "num_episodes: train has no such field (did you mean 'num_eval_episodes'?); evaluate and "
     "pipeline have it"),
    ("record_demos", "all_subtasks.action_noise=0.1", "all_subtasks.action_noise: record has no such field; "),
    ("record_demos", "--generation_num_trials=5",
     "--generation_num_trials: record has no such flag (did you mean '--num_demos'?); generate and collect have it"),
    ("validate_dataset", "task=stack_cube", "task: validate has no such group; studio, record, annotate, check, "),
]
# fmt: on

NOT_A_VALUE = [
    ("datagen_config=null", "datagen_config: must not be null; leave it out to keep its default"),
    ("input_file=null", "input_file: must not be null; leave it out to keep its default"),
    ("datagen_config=3", "datagen_config: 3 is not a group of fields; set its fields: datagen_config.<field>=<value>"),
    (
        "subtask_configs.franka.0=3",
        "subtask_configs.franka.0: 3 is not a group of fields; set its fields: subtask_configs.franka.0.<field>=<value>",
    ),
    ("~sed", "sed: generate has no such field (did you mean 'seed'?)"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("word", "message"), NOT_A_VALUE)
def test_null_single_value_or_unknown_name_in_the_place_of_a_group_is_refused_with_a_remedy(word: str, message: str) -> None:
    assert message_for("generate", "task=desktop_organizer", word).startswith(message)


WRONG_TYPES = [
    ("generate", "num_envs=abc", "num_envs: must be an integer (got 'abc')"),
    ("generate", "num_envs=1.5", "num_envs: must be an integer (got 1.5)"),
    ("generate", "num_envs=[1]", "num_envs: must be an integer (got [1])"),
    ("generate", "num_envs={a: 1}", "num_envs: must be an integer (got {'a': 1})"),
    ("evaluate", "horizon=long", "horizon: must be an integer (got 'long')"),
    ("evaluate", "randomization_scale=abc", "randomization_scale: must be a number (got 'abc')"),
    ("generate", "overwrite=maybe", "overwrite: must be true or false (got 'maybe')"),
    ("generate", "num_envs=[1]", "num_envs: must be an integer (got [1])"),
    ("pipeline", "seeds=[1,two]", "seeds.1: must be an integer (got 'two')"),
    ("generate", "all_subtasks.num_fixed_steps=a", "subtask_configs.franka.0.num_fixed_steps: must be an integer (got 'a')"),
    (
        "generate",
        "events.randomize_ketchup.pose_range.x=[a,1]",
        "events.randomize_ketchup.pose_range.x.0: must be a number (got 'a')",
    ),
]


NOT_SET = [
    ("train", "input_file: must be set, e.g. input_file=datasets/run/demo.hdf5"),
    ("inspect_dataset", "input_file: must be set, e.g. input_file=datasets/run/demo.hdf5"),
    ("merge_datasets", "input_file: must be set, e.g. input_file=[a.hdf5,b.hdf5]"),
    ("sweep_report", "input_dir: must be set, e.g. input_dir=datasets/sweep"),
]


@pytest.mark.parametrize(("script", "message"), NOT_SET)
def test_field_that_must_be_set_is_reported_with_an_example(script: str, message: str) -> None:
    assert message_for(script) == message


WITHOUT_FIELD = [
    ("split_dataset", "demo.hdf5", "input_file=demo.hdf5"),
    ("merge_datasets", "demo.hdf5", "input_file=[demo.hdf5]"),
    ("train", "demo.hdf5", "input_file=demo.hdf5"),
    ("generate", "run", "output_dir=run"),
    ("evaluate", "best.pth", "checkpoint=best.pth"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("script", "path", "meant"), WITHOUT_FIELD)
def test_path_without_a_field_is_refused_with_the_field_that_it_may_mean(
    script: str, path: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("demo.hdf5", "best.pth"):
        Path(name).touch()
    Path("run").mkdir()
    assert message_for(script, path) == f"'{path}' is not an override; did you mean {meant}?"


@pytest.mark.slow
@pytest.mark.parametrize(("script", "word", "message"), WRONG_TYPES)
def test_value_of_the_wrong_type_is_refused_with_the_expected_type(script: str, word: str, message: str) -> None:
    assert message_for(script, word) == message


@pytest.mark.parametrize(("script", "word", "message"), UNREAD)
def test_unread_field_is_refused_with_the_commands_that_have_it(script: str, word: str, message: str) -> None:
    assert message in message_for(script, word, "output_file=unused")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["desktop_organizer", "stack_cube_skillgen", "two_arm_lift_tray"])
@pytest.mark.parametrize("script", SCENE_COMMANDS)
def test_a_task_file_serves_every_command(script: str, task: str) -> None:
    output = {"check_demos": [], "record_demos": ["output_file=x"], "annotate_demos": ["input_file=x", "output_file=x"]}
    needed = [*output.get(script, ["output_dir=x"]), *(["input_file=x"] if script == "train" else [])]
    cfg = load_config(script, [f"task={task}", *needed])
    assert isinstance(cfg, SCRIPT_SCHEMAS[script])


def test_misspelled_field_in_a_task_file_is_refused_by_every_command(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    text = "# @package _global_\ndefaults: [desktop_organizer]\ndatagen_config: {generation_num_trails: 5}\n"
    (tmp_path / "task" / "mine.yaml").write_text(text)
    with pytest.raises(Exception, match="generation_num_trails"):
        load_config("record_demos", ["task=mine", "output_file=x"], config_dirs=[tmp_path])


@pytest.mark.slow
@pytest.mark.parametrize("script", SCENE_COMMANDS)
def test_deprecated_field_is_accepted_with_a_warning(script: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Isaac Lab's `datagen_config.name`: a field of the last release without effect."""
    (tmp_path / "task").mkdir()
    text = "# @package _global_\ndefaults: [desktop_organizer]\ndatagen_config: {name: demo}\n"
    (tmp_path / "task" / "mine.yaml").write_text(text)
    needed = {"check_demos": [], "annotate_demos": ["input_file=x", "output_file=x"], "record_demos": ["output_file=x"]}
    words = [*needed.get(script, ["output_dir=x"]), *(["input_file=x"] if script == "train" else [])]
    load_config(script, ["task=mine", *words], config_dirs=[tmp_path])
    assert translate(["datagen_config.name=demo", "num_demos=3"], SCRIPT_SCHEMAS[script]) == ["num_demos=3"]
    assert [record.message.partition(":")[0] for record in caplog.records] == ["datagen_config.name is deprecated"] * 2


def schema_fields(schema: Any) -> Iterator[tuple[type, Any]]:
    """(dataclass, field) of a schema and all schemas below it."""
    hints = get_type_hints(schema)
    for field in fields(schema):
        yield schema, field
        inner = hints[field.name]
        while get_args(inner):
            inner = get_args(inner)[-1]
        if is_dataclass(inner):
            yield from schema_fields(inner)


def names_read() -> set[str]:
    """Attributes that the package reads, and names in strings (fields read by `getattr`), outside of the schemas."""
    names: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name == "config" and path.name not in ("rules.py", "constraints.py", "hydra.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                names.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
    return names


def test_every_field_of_a_schema_is_read_somewhere() -> None:
    declared = {(schema.__name__, field.name) for root in SCRIPT_SCHEMAS.values() for schema, field in schema_fields(root)}
    read = names_read()
    assert {(schema, name) for schema, name in declared if name not in read} == set()


@pytest.mark.parametrize("script", SCRIPT_SCHEMAS)
def test_every_value_with_bounds_has_a_docstring(script: str) -> None:
    for schema, field in schema_fields(SCRIPT_SCHEMAS[script]):
        assert bounds_of(field) is None or field.name in field_docs(schema), (schema, field.name)


@pytest.mark.parametrize("script", SCENE_COMMANDS)
def test_default_values_are_within_their_bounds(script: str) -> None:
    check_bounds(SCRIPT_SCHEMAS[script]())


def test_flags_follow_from_the_schema() -> None:
    flags = flags_of(SCRIPT_SCHEMAS["generate"])
    assert flags["--headless"] == ("headless", "switch") and flags["--num_envs"] == ("num_envs", "option")
    assert flags["--seed"] == ("seed", "option") and flags["--task"] == ("task", "option")
    assert "--events" not in flags and "--datagen_config" not in flags
    assert flags_of(SCRIPT_SCHEMAS["record_demos"])["--dataset_file"] == ("output_file", "option")
    assert flags_of(SCRIPT_SCHEMAS["merge_datasets"])["--input_file"] == ("input_file", "list")


@pytest.mark.parametrize("path", ["nothere.hdf5", "runs/nothere"])
def test_path_that_does_not_exist_is_not_found(path: str) -> None:
    assert message_for("inspect_dataset", path) == f"{path}: not found; check the path"
