"""The program that is running: how it was started, for command lines that the user can paste.

This module must be fast to import: `mimic --help` uses it.
"""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from isaaclab_mimic_ext.config import SCRIPT_VERBS

_MAX_ANCESTORS = 4
"""Number of parent processes among which `isaaclab.sh` is searched for: it may start Isaac Sim's own launcher script."""


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


def _interpreter() -> tuple[str, ...]:
    if launcher := _isaaclab_sh():
        return launcher, "-p"
    names = (name for name in ("python", "python3") if shutil.which(name))
    is_found = (name for name in names if os.path.abspath(shutil.which(name) or "") == sys.executable)
    return (next(is_found, sys.executable),)


def _isaaclab_sh() -> str | None:
    """Return the path of the `isaaclab.sh -p` that started this process, None if the process was started differently."""
    pid = os.getppid()
    for _ in range(_MAX_ANCESTORS):
        process = Path(f"/proc/{pid}")
        try:
            words = (process / "cmdline").read_text(errors="replace").split("\0")
            folder = os.readlink(process / "cwd")
            pid = int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            return None
        for word, following in pairwise(words):
            if Path(word).name == "isaaclab.sh" and following in ("-p", "--python"):
                return os.path.abspath(os.path.join(folder, word))
    return None
