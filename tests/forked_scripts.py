"""Scripts that start in a tenth of a second: a process that has imported the package forks for each.

`run_script` runs the files in `scripts/` like `python scripts/<name>.py`. `Scripts.run` runs a command whose `main` is
replaced by a test's own. Tests of the start itself (imports, signals, limits) start real processes instead.
"""

import functools
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import HANG_S

ROOT = Path(__file__).resolve().parents[1]
MIMIC = "mimic"
"""Runs the command in place of a script."""


@dataclass(frozen=True)
class Ended:
    """Outputs and exit code of a script that ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def message(self) -> str:
        """The line of stderr that contains the error."""
        return message_of(self)

    def rest_of_line(self, start: str) -> str:
        """The line of stdout that begins with `start`, without it."""
        (found,) = (line for line in self.stdout.splitlines() if line.startswith(start))
        return found.removeprefix(start)


def message_of(done: Ended | subprocess.CompletedProcess[str]) -> str:
    """The line of stderr that contains the error. Logged lines begin with the time in brackets."""
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith("[")]
    assert len(lines) == 1, done.stderr
    return lines[0]


class Scripts:
    """The forking process; made by `open_scripts`."""

    def __init__(self, process: subprocess.Popen[str], folder: Path):
        self._process, self._folder = process, folder

    def run(self, body: str, *arguments: str, packages: Path | None = None, script: str = "generate") -> Ended:
        """Run a command with `def main(cfg): <body>` in place of its own.

        Args:
            packages: folder that is first on Python's path.
        """
        return self.ask(script, arguments, self._folder, body=body, packages=str(packages) if packages else None)

    def ask(self, script: str, arguments: Sequence[str], cwd: Path, **options: Any) -> Ended:
        """Run a script in a folder and wait for it.

        Args:
            options: `body`, `packages` (see `run`); `needs_robomimic`: the forking process imports it first, once.
        """
        printed = [self._folder / name for name in ("stdout", "stderr")]
        order = {
            "script": script,
            "arguments": list(arguments),
            "cwd": str(cwd),
            "printed": list(map(str, printed)),
            **options,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], HANG_S)
        assert ready, f"{script} {arguments}: no end after {HANG_S:g} s"
        exit_code = int(self._process.stdout.readline())
        return Ended(exit_code, *(path.read_text() for path in printed))


def _start(folder: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    command = [sys.executable, "-m", "tests.forked_scripts"]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdin=-1, stdout=-1)


@contextmanager
def open_scripts(folder: Path) -> Iterator[Scripts]:
    """Scripts that run in `folder`."""
    with _start(folder) as process:
        yield Scripts(process, folder)
        process.communicate()


@functools.cache
def _shared() -> Scripts:
    """One forking process for all tests of this process. It ends when its standard input closes."""
    folder = Path(tempfile.mkdtemp(prefix="scripts-"))
    return Scripts(_start(folder), folder)


def run_script(name: str, *arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `scripts/<name>.py` in a folder; see `Scripts.ask`."""
    done = _shared().ask(name, arguments, cwd, **options)
    return subprocess.CompletedProcess([name, *arguments], done.exit_code, done.stdout, done.stderr)


def run_mimic(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `mimic` in a folder."""
    return run_script(MIMIC, *arguments, cwd=cwd)


def _serve() -> None:
    import torch

    for name in ("main", "app", "check", "datasets", "evaluate", "generate", "report", "train"):
        importlib.import_module(f"isaaclab_mimic_ext.commands.{name}")
    torch.set_num_threads(1)
    for line in sys.stdin:
        order = json.loads(line)
        if order.get("needs_robomimic"):
            importlib.import_module("isaaclab_mimic_ext.learn.robomimic").require_robomimic()
        if (child := os.fork()) == 0:
            _become(order)
            _run(order)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(order: dict[str, Any]) -> None:
    """Make this process look like one that was started for a script."""
    for number, path in enumerate(order["printed"], 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(order["cwd"])
    # A shell ignores SIGINT in the jobs that it starts in the background, such as these tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [str(ROOT / "scripts" / f"{order['script']}.py"), *order["arguments"]]
    sys.path[0] = str(ROOT / "scripts")
    if order.get("packages"):
        sys.path.insert(0, order["packages"])


def _run(order: dict[str, Any]) -> None:
    if order.get("body") is not None:
        names: dict[str, Any] = {}
        head = "import dataclasses, json, logging, os, signal, sys, time\nfrom isaaclab_mimic_ext.errors import *\n"
        exec(f"{head}def main(cfg):\n    {order['body']}\n", names)
        app = types.ModuleType(f"isaaclab_mimic_ext.commands.{order['script']}")
        app.main = names["main"]  # type: ignore[attr-defined]
        sys.modules[app.__name__] = app
    if order["script"] == MIMIC:
        importlib.import_module("isaaclab_mimic_ext.commands.main").main()
    runpy.run_path(sys.argv[0], run_name="__main__")
    sys.exit(0)


if __name__ == "__main__":
    _serve()
