"""Command lines in messages: the shell and Hydra read them as they were meant, in any folder."""

import ast
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from isaaclab_mimic_ext import command_lines
from isaaclab_mimic_ext.command_lines import Program, command_line, in_quotes, program, same_command_line
from isaaclab_mimic_ext.commands.program import find_program

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def fresh_program(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Program as in a process without a command."""
    before = vars(program).copy()
    vars(program).update(vars(Program()))
    yield
    vars(program).update(before)


def values_of(line: str) -> dict[str, object]:
    """Values of the overrides in a command line, as the shell and Hydra read them."""
    overrides = [word for word in shlex.split(line) if "=" in word]
    return {each.key_or_group: each.value() for each in OverridesParser.create().parse_overrides(overrides)}


@pytest.mark.parametrize(
    "name", ["demo", "a b", "it's", 'say "x"', "köln", "a,b", "(1)", "$HOME", "~", "x=y", "back\\s", "!"]
)
def test_shell_and_hydra_read_any_path_unchanged(name: str, tmp_path: Path) -> None:
    path = tmp_path / name / f"{name}.hdf5"
    line = command_line("split", input_file=path)
    echoed = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=True).stdout
    assert echoed.split("\0")[:-1] == shlex.split(line)
    assert str(values_of(line)["input_file"]) == str(path)


@pytest.mark.parametrize("text", ["a\\", "a\\\\", "\\", "\\'", "a\\\\'b\\", "'", "a\\b", "a\\\\b", ""])
def test_hydra_reads_backslashes_and_quotes_unchanged(text: str) -> None:
    overrides = OverridesParser.create().parse_overrides([f"a={in_quotes(text)}", f"b=[{in_quotes(text)},x]"])
    assert [str(overrides[0].value()), str(overrides[1].value()[0])] == [text, text]


def test_relative_paths_become_absolute_and_none_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = command_line("report", "task=x", input_dir=Path("run"), output_file=None, pictures=False)
    assert line == f"mimic report task=x input_dir={tmp_path}/run pictures=false"


def test_folders_of_own_tasks_are_included(tmp_path: Path) -> None:
    program.config_dirs = (tmp_path / "my tasks",)
    assert shlex.split(command_line("replay")) == ["mimic", "replay", "--config-dir", f"{tmp_path}/my tasks"]


def test_same_command_line_changes_fields_and_makes_paths_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program.arguments = ("task=x", "input_file=a.hdf5", "overwrite=true", "output_dir=old", "++agent.x=0.1")
    line = same_command_line("generate", output_dir=Path("run"), overwrite=None, resume=True)
    words = f"task=x input_file={tmp_path}/a.hdf5 ++agent.x=0.1 output_dir={tmp_path}/run resume=true"
    assert line == f"mimic generate {words}"


def test_console_script_is_named_as_the_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "mimic"
    script.write_text("#!/bin/sh\n")
    script.chmod(stat.S_IRWXU)
    monkeypatch.setattr(sys, "argv", [str(script), "generate"])
    assert list(find_program()("split")) == [str(script), "split"]
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert list(find_program()("split")) == ["mimic", "split"]


def test_module_and_scripts_keep_their_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(ROOT / "isaaclab_mimic_ext" / "__main__.py"), "generate"])
    assert list(find_program()("split")) == [sys.executable, "-m", "isaaclab_mimic_ext", "split"]
    monkeypatch.chdir(ROOT / "scripts")
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    assert list(find_program()("split")) == [sys.executable, str(ROOT / "scripts" / "split_dataset.py")]
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert find_program()("split")[0] in ("python", "python3")


LAUNCHER = f'#!/bin/bash\nshift\n"{sys.executable}" "$@"\nexit $?\n'
"""Starts Python as a child, as Isaac Lab's launchers do: they are found among the ancestors of the process."""


def printed_by(command: list[str], folder: Path) -> list[str]:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    return done.stdout.strip().split("|")


@pytest.mark.parametrize("name", ["isaaclab.sh", "isaaclab"])
def test_launcher_of_isaaclab_is_kept(name: str, tmp_path: Path) -> None:
    launcher = tmp_path / name
    launcher.write_text(LAUNCHER)
    launcher.chmod(stat.S_IRWXU)
    code = "import sys; sys.argv[0] = 'scripts/train.py'; from isaaclab_mimic_ext.commands.program import find_program as f"
    shown = printed_by([f"./{name}", "-p", "-c", f"{code}; print(*f()('report'), sep='|')"], tmp_path)
    assert shown == [str(launcher), "-p", str(tmp_path / "scripts" / "report.py")]


@pytest.mark.parametrize("name", ["isaaclab.sh", "isaaclab"])
def test_auto_selects_isaaclab_if_its_launcher_started_the_process(name: str, tmp_path: Path) -> None:
    launcher = tmp_path / name
    launcher.write_text(LAUNCHER)
    launcher.chmod(stat.S_IRWXU)
    code = (
        "from isaaclab_mimic_ext.envs.factory import choose_engine as c; from isaaclab_mimic_ext.config import SimCfg as S; "
        "print(*c(S(), 'stack_cube'), *c(S(engine='kinematic'), 'stack_cube'), sep='|')"
    )
    shown = printed_by([f"./{name}", "-p", "-c", code], tmp_path)
    assert shown == ["isaaclab", f"started by `{launcher} -p`", "kinematic", "sim=kinematic"]


def test_messages_build_their_command_lines() -> None:
    """Only `command_line` knows the program and folders of own tasks. Advice names a setting of a command, not a line."""
    advice = {"advice.py", "imitation.py"}
    written = re.compile(r"\bmimic [a-z-]+ [\w.]+=")
    wrong = []
    for path in sorted(Path(command_lines.__file__).parent.rglob("*.py")):
        if path.name in advice:
            continue
        tree = ast.parse(path.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings)
        wrong += [(path.name, text.lineno) for text in texts if isinstance(text.value, str) and written.search(text.value)]
    assert wrong == []


def test_numbers_are_printed_without_quotes_and_texts_that_look_like_numbers_with_them() -> None:
    assert command_line("generate", num_envs=100, ratio=0.5, output_dir="007").endswith(
        "generate num_envs=100 ratio=0.5 \"output_dir='007'\""
    )
