"""Runs of `scripts/generate.py` that start in 0.1 s and can be killed at any instant.

A process that has already imported everything forks for each run. The saved trials that a run reports are written to a file.
"""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.run.session import RunFolder
from isaaclab_mimic_ext.run.store import RunStore
from tests.deaths import arm
from tests.processes import HANG_S

ROOT = Path(__file__).resolve().parents[1]
_DEATH = "import os; from tests.deaths import arm; arm(os.environ['DEATH_POINT'])"
"""Source of `sitecustomize` in the writer process."""


_TORN, _AT_END = 0.3, 0.25
"""Share of kills during a write, and share of kills at the end of a run; all others are at random times."""
_TORN_SIZES = 16.2, 23.0
"""Range of the file size at which a write is interrupted, as log2 of bytes: from 2 pages of the store to 60 demos."""


@dataclass
class Run:
    """A running or ended process of `generate.py`.

    Attributes:
        stderr: file with its standard error.
        saved: file with the numbers of its `Saved` messages, one per line.
    """

    fork_server: "ForkServer"
    folder: RunFolder
    pid: int
    stderr: Path
    saved: Path

    def writer_pid(self) -> int | None:
        """Process id of its writer; None if the writer is not running."""
        with suppress(OSError):
            for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
                if b"writer_process" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        return None

    def kill(self, generator: bool = True, writer: bool = True) -> bool:
        """Send SIGKILL to generator and writer; return whether any of these processes was still running."""
        pids = [self.writer_pid()] if writer else []
        pids += [self.pid] if generator else []
        hit = False
        for pid in pids:
            if pid is not None and _lives(pid):
                os.kill(pid, signal.SIGKILL)
                hit = True
        return hit

    def wait(self) -> int:
        """Wait for the end of the process, and return its exit code (negative for a signal)."""
        return self.fork_server.ask({"wait": self.pid})

    def until(self, condition: Callable[[], bool], timeout: float = HANG_S) -> bool:
        """Poll every 0.5 ms until the condition is true; return False if the run or the time ends before."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if condition():
                return True
            if not _lives(self.pid):
                return condition()
            time.sleep(0.0005)
        return False

    def num_saved(self) -> int:
        """Number of saved trials in its last `Saved` message."""
        lines = self.saved.read_text().split() if self.saved.exists() else []
        return int(lines[-1]) if lines else 0

    def message(self) -> str:
        """Last line of its standard error that is not a log line."""
        lines = [line for line in self.stderr.read_text().splitlines() if line and not line.startswith("[")]
        return lines[-1] if lines else ""


@dataclass
class ForkServer:
    """Process that forks runs; created by `open_fork_server`."""

    process: subprocess.Popen[str]
    folder: Path
    num_started: int = field(default=0)

    def start(
        self,
        folder: RunFolder,
        *arguments: str,
        death_point: str = "",
        own_death_point: str = "",
        limit: int = 0,
        signal_at_save: int = 0,
    ) -> Run:
        """Start `generate.py` into a folder.

        Args:
            death_point: point at which the writer kills itself (`tests.deaths`).
            own_death_point: point at which the generator kills itself.
            limit: maximum size of files [bytes].
            signal_at_save: number of the signal that the generator sends to itself at its first `Saved` message; 0: none.
        """
        self.num_started += 1
        run = Run(self, folder, 0, self.folder / f"{self.num_started}.err", self.folder / f"{self.num_started}.saved")
        order = {"stderr": str(run.stderr), "saved": str(run.saved), "limit": limit, "signal_at_save": int(signal_at_save)}
        order |= {"death_point": death_point, "own_death_point": own_death_point}
        run.pid = self.ask(order | {"arguments": [f"output_dir={folder.path}", *arguments]})
        return run

    def finish(self, folder: RunFolder, *arguments: str, **faults: Any) -> tuple[int, str]:
        """Run to the end, and return exit code and error message."""
        run = self.start(folder, *arguments, **faults)
        return run.wait(), run.message()

    def ask(self, order: dict[str, Any]) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def open_fork_server(folder: Path) -> Iterator[ForkServer]:
    """Start a process that forks runs, with its files in `folder`."""
    (folder / "sitecustomize.py").write_text(_DEATH)
    process = subprocess.Popen([sys.executable, "-m", "tests.faults", str(folder)], cwd=ROOT, text=True, stdin=-1, stdout=-1)
    try:
        yield ForkServer(process, folder)
    finally:
        process.communicate()


def trials_in_store(folder: RunFolder) -> dict[int, bool]:
    """Success of each durable trial, by number."""
    if not folder.store.exists():
        return {}
    store = RunStore(folder.store)
    outcomes = store.outcomes()
    store.close()
    return dict(zip(outcomes.trials.tolist(), outcomes.success.tolist(), strict=True))


@dataclass
class Killed:
    """Result of a run that was killed at random instants, then finished.

    Attributes:
        kills: number of kills that hit a running process.
        lost: number of trials that were reported as saved or were in the store, and are missing or have a different outcome.
        exit_code: exit code of the last session.
        message: error message of the last session.
    """

    kills: int = 0
    lost: int = 0
    exit_code: int = 0
    message: str = ""


def kill_and_resume(
    fork_server: ForkServer, folder: RunFolder, arguments: list[str], seconds: float, max_kills: int, rng: random.Random
) -> Killed:
    """Kill a run up to `max_kills` times, resume it each time, and finish it at the end.

    Args:
        seconds: duration of an undisturbed run [s].
    """
    found = Killed()
    known: dict[int, bool] = {}
    for _ in range(max_kills):
        aim = rng.random()
        if aim < _TORN:
            torn = f"torn:{int(2 ** rng.uniform(*_TORN_SIZES))}"
            run = fork_server.start(folder, *arguments, "resume=true", death_point=torn)
            found.kills += run.wait() != 0
        else:
            run = fork_server.start(folder, *arguments, "resume=true")
            found.kills += _kill_at_random(run, aim < _TORN + _AT_END, seconds, rng)
        wait_for_the_lock(folder)
        now = trials_in_store(folder)
        found.lost += sum(now.get(trial) != success for trial, success in known.items())
        found.lost += max(0, run.num_saved() - (len(now) - len(known)))
        known = now
    found.exit_code, found.message = fork_server.finish(folder, *arguments, "resume=true")
    now = trials_in_store(folder)
    found.lost += sum(now.get(trial) != success for trial, success in known.items())
    return found


def _kill_at_random(run: Run, at_end: bool, seconds: float, rng: random.Random) -> bool:
    if at_end:  # The datasets are complete, or have just been renamed.
        last = rng.choice([run.folder.demos, run.folder.stats])
        run.until(last.exists)
        time.sleep(rng.uniform(0.0, 0.02))
    else:
        time.sleep(rng.uniform(0.1, 0.9) * seconds)
    generator, writer = rng.choice([(True, True), (True, False), (False, True)])
    hit = run.kill(generator, writer)
    run.wait()
    return hit


def wait_for_the_lock(folder: RunFolder, timeout: float = HANG_S) -> None:
    """Wait until the last process of a killed run has ended: a writer without generator ends by itself."""
    end = time.monotonic() + timeout
    while folder.lock.exists() and time.monotonic() < end:
        with open(folder.lock) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.002)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _serve_forks(folder: str) -> None:
    import torch

    import isaaclab_mimic_ext.run.generate  # noqa: F401  # Imported once for all forked runs.

    torch.set_num_threads(1)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                _run_generation(order, folder)
        print(answer, flush=True)


def _run_generation(order: dict[str, Any], folder: str) -> None:
    import resource

    from isaaclab_mimic_ext.commands.main import run_script
    from isaaclab_mimic_ext.run.writer import EpisodeWriter

    os.dup2(os.open(order["stderr"], os.O_WRONLY | os.O_CREAT), 2)
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.setpgid(0, 0)
    answer, saved = EpisodeWriter._answer, os.open(order["saved"], os.O_WRONLY | os.O_CREAT)

    def answer_and_note(self: EpisodeWriter) -> Any:
        summary = answer(self)
        if summary is None:
            os.write(saved, f"{self.num_saved}\n".encode())
            if number := order.pop("signal_at_save", 0):
                os.kill(os.getpid(), number)
        return summary

    EpisodeWriter._answer = answer_and_note  # type: ignore[method-assign]
    if order["death_point"]:
        os.environ["DEATH_POINT"] = order["death_point"]
        sys.path.append(folder)
    if order["own_death_point"]:
        arm(order["own_death_point"])
    if order["limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], order["limit"]))
    os.chdir(folder)
    sys.argv = ["generate.py", *order["arguments"]]
    code: Any = 1
    try:
        run_script("generate")
    except SystemExit as end:
        code = end.code
    finally:
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    _serve_forks(sys.argv[1])
