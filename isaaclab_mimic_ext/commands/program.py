"""The program that is running: how it was started, for command lines that the user can paste.

This module must be fast to import: `mimic --help` uses it.
"""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path

from isaaclab_mimic_ext.command_lines import isaaclab_launcher
from isaaclab_mimic_ext.config import SCRIPT_VERBS


def find_program() -> Callable[[str], Sequence[str]]:
    """Return a function from a verb to the words that start it in the same way as this process was started.

    Names that the shell finds stay names; all paths are absolute.
    """
    started = Path(os.path.abspath(sys.argv[0]))
    if started.stem in SCRIPT_VERBS:
        scripts = {verb: started.with_name(f"{script}.py") for script, verb in SCRIPT_VERBS.items()}
        return lambda verb: (*_interpreter(), str(scripts[verb]))
    if started.name != "__main__.py" and os.access(started, os.X_OK) and not started.is_dir():
        is_found = os.path.abspath(shutil.which(started.name) or "") == str(started)
        return lambda verb: (started.name if is_found else str(started), verb)
    return lambda verb: (*_interpreter(), "-m", "isaaclab_mimic_ext", verb)


def accept_any_text() -> None:
    """Let standard output and error print any text, in any locale: as UTF-8 in place of ASCII, otherwise with escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            is_ascii = stream.encoding.lower() in ("ascii", "ansi_x3.4-1968")
            stream.reconfigure(
                encoding="utf-8" if is_ascii else None, errors="surrogateescape" if is_ascii else "backslashreplace"
            )


def _interpreter() -> tuple[str, ...]:
    if launcher := isaaclab_launcher():
        return launcher
    names = (name for name in ("python", "python3") if shutil.which(name))
    is_found = (name for name in names if os.path.abspath(shutil.which(name) or "") == sys.executable)
    return (next(is_found, sys.executable),)
