"""Scripts with a main of a test's own, started in a tenth of a second: a process that has imported all forks for each."""

import json
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Ended:
    """What a script said and how it ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def message(self) -> str:
        """The line that names an error; what was logged before it begins with the time in brackets."""
        assert "Traceback" not in self.stderr, self.stderr
        lines = [line for line in self.stderr.splitlines() if line and not line.startswith("[")]
        assert len(lines) == 1, self.stderr
        return lines[0]

    def rest_of_line(self, start: str) -> str:
        """The rest of the line of stdout that begins so."""
        (found,) = (line for line in self.stdout.splitlines() if line.startswith(start))
        return found.removeprefix(start)


class Scripts:
    """Starts them; `open_scripts` makes one."""

    def __init__(self, process: subprocess.Popen[str], folder: Path):
        self._process, self._folder = process, folder

    def run(self, body: str, *arguments: str, packages: Path | None = None, script: str = "generate") -> Ended:
        """Run a script whose main, `main(cfg)`, is `body`.

        Args:
            packages: a folder that is on Python's path for it.
        """
        said = [self._folder / name for name in ("stdout", "stderr")]
        order = {"body": body, "arguments": arguments, "packages": str(packages) if packages else None, "script": script}
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order | {"said": [str(path) for path in said]}) + "\n")
        self._process.stdin.flush()
        exit_code = int(self._process.stdout.readline())
        return Ended(exit_code, *(path.read_text() for path in said))


@contextmanager
def open_scripts(folder: Path) -> Iterator[Scripts]:
    """Scripts that run in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.forked_scripts"]
    with subprocess.Popen(command, cwd=folder, env=environment, text=True, stdin=-1, stdout=-1) as process:
        yield Scripts(process, folder)
        process.communicate()


def _serve() -> None:
    import isaaclab_mimic_ext.envs.factory
    import isaaclab_mimic_ext.task.definition  # noqa: F401
    from isaaclab_mimic_ext.commands.main import run_script

    for line in sys.stdin:
        order = json.loads(line)
        if (child := os.fork()) == 0:
            _become(order)
            run_script(order["script"])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(order: dict[str, Any]) -> None:
    """Make this process look like one that was started for a script."""
    for number, path in enumerate(order["said"], 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["probe.py", *order["arguments"]]
    if order["packages"]:
        sys.path.insert(0, order["packages"])
    names: dict[str, Any] = {}
    head = "import dataclasses, json, logging, os, sys, time\nfrom isaaclab_mimic_ext.errors import *\n"
    exec(f"{head}def main(cfg):\n    {order['body']}\n", names)
    app = types.ModuleType(f"isaaclab_mimic_ext.commands.{order['script']}")
    app.main = names["main"]  # type: ignore[attr-defined]
    sys.modules[app.__name__] = app


if __name__ == "__main__":
    _serve()
