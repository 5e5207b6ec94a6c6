"""Worker processes that step robosuite environments: their requests, shared memory, and replacement when they die."""

# N rows (environments) of all workers, W workers

import json
import logging
import mmap
import os
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.envs.robosuite.process import WorkerDied, WorkerProcess
from isaaclab_mimic_ext.errors import SimulationError, SimulatorUnavailable

log = logging.getLogger(__name__)

RESET, WRITE, STEP = "r", "w", "s"
_MAX_DEATHS = 3
"""Number of deaths of a worker within one request that end the run."""
_ALIGNMENT = 64
_SHARED = "/dev/shm"


@dataclass
class History:
    """Requests that lead to the current state of a row.

    Attributes:
        start: letter of the reset, and its inputs by name.
        actions: actions since then.
    """

    start: tuple[str, dict[str, np.ndarray]] | None = None
    actions: list[np.ndarray] = field(default_factory=list)


class Workers:
    """N robosuite environments in worker processes. A worker that dies is replaced, and its trials are run again.

    Args:
        python: Python with robosuite.
        spec: description of the environment.
        num_envs: N.
        num_workers: W, at most N.
        max_wait: longest wait for an answer of a worker [s]; a worker that takes longer is replaced.

    Attributes:
        facts: first answer of a worker: version of robosuite, arrays, sizes.
        arrays: name -> (N, ...), inputs and outputs of all environments.
        num_deaths: number of workers that died and were replaced.

    Raises:
        SimulatorUnavailable: a worker cannot create its environment.
    """

    def __init__(self, python: str, spec: Mapping[str, Any], num_envs: int, num_workers: int, max_wait: float):
        self._python, self._spec, self._max_wait = python, dict(spec), max_wait
        self._folder = tempfile.TemporaryDirectory(prefix="mimic_robosuite_")
        # A file without a name, which ends with the last process that has it open.
        self._memory = tempfile.TemporaryFile(dir=_SHARED if os.path.isdir(_SHARED) else None)  # noqa: SIM115
        self._rows = [list(rows) for rows in np.array_split(np.arange(num_envs), max(1, min(num_workers, num_envs)))]
        self._processes: list[WorkerProcess] = []
        self._history = [History() for _ in range(num_envs)]
        self.num_deaths = 0
        self._finalizer = weakref.finalize(self, _close, self._processes, self._memory, self._folder)
        try:
            self._processes += [self._start(index) for index in range(len(self._rows))]
            found = [process.facts() for process in self._processes]
            self.facts = found[0]
            self._layout, size = _layout(self.facts["arrays"], num_envs)
            self._memory.truncate(size)
            whole = np.frombuffer(mmap.mmap(self._memory.fileno(), size), dtype=np.uint8)
            self.arrays = {name: _view(whole, *entry) for name, entry in self._layout.items()}
            for index in range(len(self._rows)):
                self._place(index)
            for index in range(len(self._rows)):
                self._wait_until_placed(index)
        except WorkerDied as error:
            self.close()
            raise SimulatorUnavailable(
                f"sim.engine: a worker of robosuite ended at its start ({error}); use fewer envs if memory is short"
            ) from error
        except BaseException:
            self.close()
            raise

    def _start(self, index: int) -> WorkerProcess:
        log_path = Path(self._folder.name) / f"worker_{index}.log"
        return WorkerProcess(self._python, self._spec, log_path, self._memory.fileno(), self._max_wait)

    def _place(self, index: int) -> None:
        rows = self._rows[index]
        place = {"memory": self._memory.fileno(), "rows": [int(rows[0]), len(rows)], "arrays": self._layout}
        self._processes[index].send(json.dumps(place))

    def _wait_until_placed(self, index: int) -> None:
        for _ in self._rows[index]:  # An answer per environment that is created.
            self._processes[index].answer()

    @property
    def process_ids(self) -> list[int]:
        """Ids of the worker processes."""
        return [process.popen.pid for process in self._processes]

    def request(self, letter: str, rows: Sequence[int]) -> None:
        """Reset, write or step rows, whose inputs are in `arrays`.

        Raises:
            SimulationError: robosuite raised an error, or a worker died repeatedly.
        """
        mask = self.arrays["mask"]
        mask[:] = 0
        mask[list(rows)] = 1
        addressed = [index for index, own in enumerate(self._rows) if mask[own].any()]
        died = {index: fault for index in addressed if (fault := self._try_send(index, letter))}
        try:
            for index in addressed:
                if fault := died.get(index) or self._try_answer(index):
                    self._replace(index, letter, fault)
        except BaseException:  # Answers of other workers are unread.
            self.close()
            raise
        for row in rows:
            self._remember(letter, row)

    def _try_send(self, index: int, letter: str) -> str | None:
        try:
            self._processes[index].send(letter)
        except WorkerDied as error:
            return str(error)
        return None

    def _try_answer(self, index: int) -> str | None:
        try:
            self._processes[index].answer()
        except WorkerDied as error:
            return str(error)
        return None

    def _remember(self, letter: str, row: int) -> None:
        if letter == STEP:
            self._history[row].actions.append(self.arrays["action"][row].copy())
        else:
            names = ("seed",) if letter == RESET else ("write_qpos", "write_qvel")
            self._history[row] = History((letter, {name: self.arrays[name][row].copy() for name in names}))

    def _replace(self, index: int, letter: str, fault: str) -> None:
        """Replace a worker that died, run its trials up to the current step again, and repeat the request."""
        for death in range(1, _MAX_DEATHS + 1):
            self.num_deaths += 1
            self._processes[index].end()
            if death == _MAX_DEATHS:
                break
            log.warning("A worker of robosuite died (%s); its trials are run again in a new process", fault)
            try:
                self._processes[index] = self._start(index)
                self._processes[index].facts()
                self._place(index)
                self._wait_until_placed(index)
                self._run_again(index, letter)
            except (WorkerDied, SimulatorUnavailable) as error:
                fault = str(error)
                continue
            return
        raise SimulationError(
            f"robosuite: a worker died {_MAX_DEATHS} times in the same step ({fault}); use fewer envs if memory is short"
        )

    def _run_again(self, index: int, letter: str) -> None:
        rows, arrays, process = self._rows[index], self.arrays, self._processes[index]
        inputs = ("mask", "seed", "action", "write_qpos", "write_qvel")
        pending = {name: arrays[name][rows].copy() for name in inputs}

        def request(letter: str, chosen: Sequence[int]) -> None:
            arrays["mask"][rows] = 0
            arrays["mask"][list(chosen)] = 1
            process.send(letter)
            process.answer()

        for row in rows:
            if (start := self._history[row].start) is not None:
                for name, value in start[1].items():
                    arrays[name][row] = value
                request(start[0], [row])
        for step in range(max(len(self._history[row].actions) for row in rows)):
            running = [row for row in rows if step < len(self._history[row].actions)]
            for row in running:
                arrays["action"][row] = self._history[row].actions[step]
            request(STEP, running)
        for name, value in pending.items():
            arrays[name][rows] = value
        request(letter, [row for row in rows if pending["mask"][rows.index(row)]])

    def close(self) -> None:
        """End the processes."""
        self._finalizer()


def _close(processes: list[WorkerProcess], memory: Any, folder: "tempfile.TemporaryDirectory[str]") -> None:
    for process in processes:
        process.end()
    memory.close()
    folder.cleanup()


def _layout(arrays: Mapping[str, Any], num_envs: int) -> tuple[dict[str, list[Any]], int]:
    """Place of each array in the shared memory: offset, shape with the axis of the rows, type; and the total size."""
    found, offset = {}, 0
    for name, (shape, kind) in arrays.items():
        found[name] = [offset, [num_envs, *shape], kind]
        size = num_envs * int(np.prod(shape)) * np.dtype(kind).itemsize
        offset += -(-max(size, 1) // _ALIGNMENT) * _ALIGNMENT
    return found, offset


def _view(whole: np.ndarray, offset: int, shape: Sequence[int], kind: str) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    return whole[offset : offset + size].view(kind).reshape(shape)
