"""Command lines in messages: complete, so that they can be pasted into a shell, in any folder."""

import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

_PATH_FIELDS = re.compile(r"(checkpoint|dataset|\w+_(file|dir)|sim\.robot_usd)=(?P<path>[^\[{$]+)", re.DOTALL)
"""Override of a field whose value is a path."""
_NOT_TEXT = re.compile(r"null|true|false|[+-]?(\d[\d_]*)?\.?(\d[\d_]*)?(e[+-]?\d[\d_]*)?|[+-]?(inf|nan)", re.IGNORECASE)
"""Text that Hydra's grammar reads as a number, a truth value or null."""


@dataclass
class Program:
    """The program in command lines; the command that is running sets it.

    Attributes:
        verb: verb of the command that is running; empty if Python code runs.
        words: function from a verb of `mimic` to the words that start it.
        config_dirs: folders of `--config-dir`, absolute.
        arguments: overrides of the command that is running.
        scene: overrides of this process that select the task and the engine.
    """

    verb: str = ""
    words: Callable[[str], Sequence[str]] = lambda verb: ("mimic", verb)
    config_dirs: tuple[Path, ...] = ()
    arguments: tuple[str, ...] = ()
    scene: tuple[str, ...] = ()


program = Program()


def command_line(verb: str, *overrides: str, **fields: Any) -> str:
    """Return a command line with the program that is running.

    Args:
        verb: verb of `mimic`.
        *overrides: words in Hydra's grammar.
        **fields: values of the fields of the command. Paths become absolute; None leaves the field out.
    """
    values = (f"{name}={_value_text(value)}" for name, value in fields.items() if value is not None)
    return _shell_line([*_start_of(verb), *overrides, *values])


def same_command_line(verb: str, **fields: Any) -> str:
    """Return the command line of the command that is running, with other values of some fields; None leaves a field out."""
    kept = [word for word in program.arguments if word.lstrip("+").partition("=")[0] not in fields]
    changed = [f"{name}={_value_text(value)}" for name, value in fields.items() if value is not None]
    return _shell_line([*_start_of(verb), *map(_with_absolute_path, kept), *changed])


def words_of_same_command(*left_out: str) -> list[str]:
    """Return the flags and overrides of the command that is running, with absolute paths, without some fields.

    Args:
        left_out: names of fields, or of groups with all of their fields.
    """
    kept = [word for word in program.arguments if word.lstrip("+").partition("=")[0].partition(".")[0] not in left_out]
    return [*_config_dir_flags(), *map(_with_absolute_path, kept)]


def as_comment(verb: str) -> str:
    """Return the command that is running as the first line of a YAML file, for `words_in_comment`; empty without one.

    Args:
        verb: verb of the command, if Python code runs.
    """
    words = list(map(_with_absolute_path, program.arguments))
    return comment_of(program.verb or verb, [*_config_dir_flags(), *words]) if words else ""


def comment_of(verb: str, words: Iterable[str]) -> str:
    """Return a command as the first line of a YAML file, for `words_in_comment`."""
    return f"# {_shell_line(['mimic', verb, *words])}\n"


def words_in_comment(text: str) -> tuple[str, list[str]]:
    """Return the verb, and the flags and overrides in the line of `as_comment` with which a file begins; else empty."""
    line = text.partition("\n")[0]
    if not line.startswith("# mimic "):
        return "", []
    _, _, verb, *words = shlex.split(line)
    return verb, words


def _shell_line(words: Iterable[str]) -> str:
    """Return a line whose words the shell reads unchanged; double quotes are used where they are shorter."""
    return " ".join(f'"{word}"' if "'" in word and not re.search(r'["$`\\!]', word) else shlex.quote(word) for word in words)


def _start_of(verb: str) -> list[str]:
    return [*program.words(verb), *_config_dir_flags()]


def _config_dir_flags() -> list[str]:
    return [word for folder in program.config_dirs for word in ("--config-dir", str(folder))]


def _with_absolute_path(word: str) -> str:
    match = _PATH_FIELDS.fullmatch(word)
    return word if match is None else f"{match[1]}={quoted(str(Path(unquoted(match['path'])).absolute()))}"


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value_text, value))}]"
    return quoted(str(value.absolute() if isinstance(value, Path) else value))


def quoted(text: str) -> str:
    """Quote a text for Hydra's grammar, if it contains characters such as spaces and '=', or would be read as a number."""
    is_plain = re.fullmatch(r"[A-Za-z0-9_./:-]+", text) and not _NOT_TEXT.fullmatch(text)
    return text if is_plain else in_quotes(text)


def unquoted(text: str) -> str:
    """Return the text of a value in Hydra's grammar, with or without quotes."""
    if len(text) < 2 or text[0] not in "'\"" or text[-1] != text[0]:
        return text
    inner = re.sub(rf"(\\+){text[0]}", lambda found: "\\" * (len(found[1]) // 2) + text[0], text[1:-1])
    return re.sub(r"\\+\Z", lambda found: "\\" * (len(found[0]) // 2), inner)


def in_quotes(text: str) -> str:
    """Quote a value for Hydra's grammar."""
    closed = re.sub(r"(\\+)('|\Z)", r"\1\1\2", text)  # In Hydra's grammar, `\\` is a backslash only before a quote.
    return "'" + closed.replace("'", r"\'") + "'"


_MAX_ANCESTORS = 6
"""Number of parent processes among which Isaac Lab's launcher is searched for: it may start other launchers."""


def isaaclab_launcher() -> tuple[str, ...]:
    """Words that start a script as this process was started: `isaaclab.sh -p` (sources) or `isaaclab -p` (package of PyPI).

    Empty if Isaac Lab did not start this process. Programs that the shell finds have their names, others absolute paths.
    """
    found: tuple[str, ...] = ()
    pid = os.getppid()
    for _ in range(_MAX_ANCESTORS):
        process = Path(f"/proc/{pid}")
        try:
            words = (process / "cmdline").read_text(errors="replace").split("\0")
            folder = os.readlink(process / "cwd")
            pid = int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            break
        for index, (word, following) in enumerate(pairwise(words)):
            if Path(word).name in ("isaaclab.sh", "isaaclab") and following in ("-p", "--python"):
                found = (*_launcher_words(words[: index + 1], folder), "-p")
                break
    return found


def _launcher_words(words: Sequence[str], folder: str) -> tuple[str, ...]:
    """Words that start a launcher, of the words `interpreter launcher` or `interpreter -m launcher` in a folder."""
    if words[-2:-1] == ["-m"]:
        return _program_name(words[0], folder), *words[-2:]
    return (_program_name(words[-1], folder),)


def _program_name(word: str, folder: str) -> str:
    """Name of a program if the shell finds it by its name, otherwise its absolute path."""
    path = os.path.abspath(os.path.join(folder, word))
    is_found = os.path.abspath(shutil.which(os.path.basename(word)) or "") == path
    return os.path.basename(word) if is_found or not os.path.exists(path) else path
