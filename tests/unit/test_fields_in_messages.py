"""Messages in the code of a command name only fields that the command has.

A message names a field at its start (`input_file: not found`) or with a value (`overwrite=true`).
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from fnmatch import fnmatchcase
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import isaaclab_mimic_ext
from isaaclab_mimic_ext import make_env
from isaaclab_mimic_ext.config.commands import SCRIPT_SCHEMAS, SCRIPT_VERBS

PACKAGE = Path(isaaclab_mimic_ext.__file__).parent
MODULES = {
    "commands/record.py": "record",
    "commands/annotate.py": "annotate",
    "commands/check.py": "check",
    "commands/generate.py": "generate",
    "commands/report.py": "report",
    "commands/show.py": "show",
    "commands/train.py": "train",
    "commands/evaluate.py": "evaluate",
    "commands/pipeline.py": "pipeline",
    "commands/pipeline_settings.py": "pipeline",
    "checks/*.py": "check",
    "datasets/annotate*.py": "annotate",
    "datasets/marks.py": "annotate",
    "datasets/convert/lerobot.py": "export",
    "datasets/convert/lerobot_features.py": "export",
    "datasets/convert/lerobot_writer.py": "export",
    "datasets/convert/targets.py": "export",
    "datasets/convert/mimicgen.py": "import",
    "datasets/convert/prepare.py": "prepare",
    "datasets/convert/robomimic.py": "export",
    "datasets/inspect.py": "inspect",
    "datasets/merge*.py": "merge",
    "datasets/replay*.py": "replay validate",
    "datasets/split.py": "split",
    "datasets/validate.py": "validate",
    "demos/*.py": "generate check annotate",
    "learn/advice.py": "evaluate",
    "learn/agents.py": "train pipeline",
    "learn/bc_chunk.py": "train",
    "learn/checkpoint*.py": "evaluate train",
    "learn/data.py": "train",
    "learn/disturbances.py": "evaluate",
    "learn/evaluat*.py": "evaluate train",
    "learn/lerobot*.py": "evaluate export",
    "learn/robomimic.py": "evaluate train",
    "learn/sweep.py": "sweep-report",
    "learn/train*.py": "train",
    "report/report.py": "report",
    "plan/*.py": "generate",
    "run/attempts.py": "record",
    "run/build.py": "generate",
    "run/generate.py": "generate",
    "run/ledger.py": "generate record",
    "run/live*.py": "record",
    "run/operator_plan.py": "record",
    "run/record.py": "record",
    "run/recording.py": "record",
    "run/rerun.py": "report generate",
    "run/session.py": "generate report",
    "run/stats_and_videos.py": "generate",
    "run/teleoperation.py": "record",
}
"""Modules that one command uses, or a few -> verbs of these commands. A module that is not listed may name all fields."""

_PATH = r"[a-z]\w*(?:\.\w+)*"
_PLACES = re.compile(rf"({_PATH}(?:, {_PATH})*): ")
_OVERRIDE = re.compile(rf"(?<![\w.$<'\"])({_PATH})=(?![= ])")
_OTHER_COMMAND = re.compile(r"\bmimic (\w[\w-]*)")


@cache
def names_of(verb: str) -> frozenset[str]:
    """Names of all fields of a command, also of those in groups."""
    scripts = {verb: script for script, verb in SCRIPT_VERBS.items()}
    return frozenset(_names_in(SCRIPT_SCHEMAS[scripts[verb]]))


def _names_in(kind: Any) -> Iterator[str]:
    for argument in get_args(kind):
        yield from _names_in(argument)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        for each in fields(kind):
            yield each.name
            yield from _names_in(hints[each.name])


def messages_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of each text in the code except docstrings; `{}` in place of the values in it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        if not isinstance(node, ast.JoinedStr):
            yield from messages_in(node)
        else:
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    yield from messages_in(part.value)


def wrong_fields(text: str, verbs: tuple[str, ...]) -> list[str]:
    """Fields in a message that other commands have, but none of `verbs` and of the commands that the message names."""
    named = [verb for verb in _OTHER_COMMAND.findall(text) if verb in SCRIPT_VERBS.values()]
    own = frozenset().union(*(names_of(verb) for verb in (*verbs, *named)))
    if "make_env(" in text:
        own |= set(signature(make_env).parameters)
    if "pipeline" in verbs:
        own |= {"task"}  # The command line of a pipeline accepts it for `task_name`.
    # A verb at the start of a message is the function of the Python API, not the field of a pipeline.
    every = frozenset().union(*map(names_of, SCRIPT_VERBS.values())) - set(SCRIPT_VERBS.values())
    start = _PLACES.match(text)
    paths = [*(start[1].split(", ") if start else []), *_OVERRIDE.findall(text)]
    return [path for path in paths if _fields_in(path, every) - own]


def _fields_in(path: str, every: frozenset[str]) -> frozenset[str]:
    """Fields in a path such as `datagen_config.max_time`; none in places that are not fields, such as `env_args.engine`."""
    first, *rest = path.split(".")
    if first not in every:
        return frozenset()
    return frozenset({first} if first == "agent" else {first, *rest} & every)


def verbs_of(module: str) -> tuple[str, ...]:
    return tuple(verb for pattern, verbs in MODULES.items() if fnmatchcase(module, pattern) for verb in verbs.split())


def test_messages_of_a_command_name_only_its_fields() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).as_posix()
        if verbs := verbs_of(module):
            for line, text in messages_in(ast.parse(path.read_text())):
                found += [f"{module}:{line}: {name} in {text!r}" for name in wrong_fields(text, verbs)]
    assert found == []


def test_every_pattern_has_modules() -> None:
    modules = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")]
    assert [pattern for pattern in MODULES if not any(fnmatchcase(module, pattern) for module in modules)] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("output_file: already exists; use overwrite=true", ["output_file"]),
        ("the loss is not finite; check input_file, or use num_envs=4", ["num_envs"]),
        ("datagen_config.max_time: must be > 0 h", ["datagen_config.max_time"]),
        ("resume, output_file: must not both be set", ["output_file"]),
        ("datagen_config.num_success_steps: must be >= 1; resume=true", []),
        ("split the file first: mimic merge output_file=b.hdf5", []),
        ("env_args.engine: must be mujoco", []),
        ("agent.train.num_demos: must be > 0", []),
        ("output_file: use make_env(..., num_envs=1)", ["output_file"]),
    ],
)
def test_fields_of_other_commands_are_found_in_messages(text: str, wrong: list[str]) -> None:
    assert wrong_fields(text, ("train",)) == wrong
