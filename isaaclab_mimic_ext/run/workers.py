"""Worker processes of a run, as its owner sees them: start, messages, end."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Protocol

import torch

from isaaclab_mimic_ext.command_lines import program
from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.envs.devices import resolve_device
from isaaclab_mimic_ext.envs.factory import choose_engine
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.run.episodes import receive_message, send_message
from isaaclab_mimic_ext.run.leases import Message, WorkerJob
from isaaclab_mimic_ext.task.folders import task_dirs

_GPUS = "CUDA_VISIBLE_DEVICES"


class Process(Protocol):
    """A worker process on this machine or on another one."""

    connection: Connection

    def connect(self) -> None:
        """Wait until the process runs, and send it its job.

        Raises:
            OSError: the process has ended.
        """

    def kill(self) -> None:
        """End the process immediately; it may have ended already, or may be stopped."""

    def cause(self) -> str:
        """Return how the process has ended, as the end of a sentence: "was killed by signal 9"."""


Starter = Callable[[int, WorkerJob], Process]
"""Starts the worker process with an index, for a job."""


class LocalProcess:
    """Worker process on this machine."""

    def __init__(self, index: int, job: WorkerJob):
        self.connection, end = Pipe()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        if (gpus := visible_gpus()) and uses_gpus(job.cfg):
            environment[_GPUS] = gpus[index]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "isaaclab_mimic_ext.run.worker_process", str(end.fileno())],
            pass_fds=[end.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            # A new session, because Ctrl-C signals the whole foreground group, and only the owner answers it.
            start_new_session=True,
        )
        end.close()
        self._job = job

    def connect(self) -> None:
        """Send the process its job."""
        send_message(self.connection, self._job)

    def kill(self) -> None:
        """End the process immediately."""
        self._process.kill()
        self._process.wait()

    def cause(self) -> str:
        """Return how the process has ended."""
        code = self._process.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        return f"was killed by signal {-code}" + (", possibly out of memory" if code == -signal.SIGKILL else "")


@dataclass(eq=False)
class Worker:
    """A worker process and its leases.

    Attributes:
        leases: trials that it runs.
        num_waiting: number of its free lanes, if it waits for trials; else 0.
        is_ready: whether its envs exist.
        has_stepped: whether it has made a control step.
        is_alone: whether it may run one trial at a time only.
        env_steps: number of its control steps, summed over its envs.
        last_seen: time of its last message [s].
    """

    index: int
    process: Process
    leases: set[int] = field(default_factory=set)
    num_waiting: int = 0
    is_ready: bool = False
    has_stepped: bool = False
    is_alone: bool = False
    env_steps: int = 0
    last_seen: float = field(default_factory=time.monotonic)

    def read_into(self, inbox: "queue.Queue[tuple[Worker, Message | None]]") -> None:
        """Pass all messages to `inbox`, and None at the end of the process. A thread, since a message may be cut off."""

        def read() -> None:
            message: Message | None
            try:
                self.process.connect()
                while True:
                    message = receive_message(self.process.connection)
                    self.last_seen = time.monotonic()
                    inbox.put((self, message))
            except Exception:  # The end of the connection, or half a message.
                inbox.put((self, None))

        threading.Thread(target=read, daemon=True).start()


def worker_job(cfg: GenerateCfg) -> WorkerJob:
    """Job of the workers of a run: its configuration, with a share of the cores for each.

    Raises:
        ConfigError: the engine runs in one process only, or there are more workers than GPUs.
    """
    engine = choose_engine(cfg.sim, cfg.task.name)[0]
    if engine == "isaaclab":
        raise ConfigError(f"num_workers: must be 1 with Isaac Lab (got {cfg.num_workers}); use blocks: docs/clusters.md")
    if cfg.ray_address is None and uses_gpus(cfg) and cfg.num_workers > (gpus := len(visible_gpus())):
        raise ConfigError(f"num_workers: must be <= {gpus}, one per GPU (got {cfg.num_workers}); use num_workers={gpus}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Ray reserves one CPU for a worker, on a node whose number of cores is not known here.
    share = max(1, cores // cfg.num_workers) if cfg.ray_address is None else 1
    sim = replace(cfg.sim, engine=engine, num_threads=cfg.sim.num_threads or share)
    if engine == "robosuite":
        sim.robosuite = replace(sim.robosuite, num_processes=sim.robosuite.num_processes or share)
    # A worker sees one GPU only, whatever its number is here.
    device = "cuda:0" if uses_gpus(cfg) else cfg.device
    return WorkerJob(replace(cfg, sim=sim, device=device), tuple(task_dirs()[1:]), program.config_dirs)


def uses_gpus(cfg: GenerateCfg) -> bool:
    """Return whether the workers of a run simulate on GPUs."""
    engine = choose_engine(cfg.sim, cfg.task.name)[0]
    return resolve_device(cfg.device, engine)[0].startswith("cuda")


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use, as in CUDA_VISIBLE_DEVICES."""
    named = os.environ.get(_GPUS)
    if named is None:
        return [str(index) for index in range(torch.cuda.device_count())]
    return [name for name in named.split(",") if name and name != "-1"]
