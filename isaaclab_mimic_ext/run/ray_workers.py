"""Worker processes on a Ray cluster. Ray only starts and ends them: they speak to the owner through a TCP connection."""

import logging
import os
import socket
import struct
import sys
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge
from typing import Any

from isaaclab_mimic_ext.errors import ConfigError, DependencyMissing
from isaaclab_mimic_ext.run.episodes import send_message
from isaaclab_mimic_ext.run.leases import WorkerJob
from isaaclab_mimic_ext.run.workers import Starter, uses_gpus

log = logging.getLogger(__name__)

_KEY_BYTES = 32
_POLL_PERIOD = 1.0
"""Time between two checks whether a process that has not connected yet has ended [s]."""
_CHALLENGE_TIMEOUT = 10.0
"""Time that a client has to prove that it has the key [s]."""
_END_TIMEOUT = 5.0
"""Time to wait for Ray's report of how a process has ended [s]."""


def ray_starter(address: str, num_workers: int, job: WorkerJob) -> Starter:
    """Connect to a Ray cluster, and return what starts a worker on it.

    Args:
        address: address of the cluster; `auto`: that of this machine; `local`: a new one on this machine.
        num_workers: number of workers that must fit.

    Raises:
        DependencyMissing: Ray is not installed.
        ConfigError: the cluster is not reachable, or has too few CPUs or GPUs.
    """
    try:
        import ray
    except ImportError as error:
        raise DependencyMissing("ray_address: requires Ray; install it with: pip install isaaclab-mimic-ext[ray]") from error
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = next(iter(str(error).splitlines()), "no reason given")
            raise ConfigError(
                f"ray_address: '{address}' cannot be reached ({reason}); start Ray, or omit ray_address"
            ) from error
    resource = "GPU" if uses_gpus(job.cfg) else "CPU"
    present = int(ray.cluster_resources().get(resource, 0))
    if present < num_workers:
        raise ConfigError(
            f"num_workers: must be <= {present}, the number of {resource}s of the Ray cluster (got {num_workers})"
        )
    options = {"num_gpus": 1} if resource == "GPU" else {"num_cpus": 1}
    return lambda index, job: RayProcess(ray, options, job)


class RayProcess:
    """Worker process that Ray starts, on any node.

    Args:
        ray: the module.
        options: resources of the process.
        job: its job.
    """

    connection: Connection

    def __init__(self, ray: Any, options: dict[str, int], job: WorkerJob):
        self._ray, self._job, self._key = ray, job, os.urandom(_KEY_BYTES)
        self._server = socket.create_server((ray.util.get_node_ip_address(), 0))
        self._server.settimeout(_POLL_PERIOD)
        # The nodes have this package, or share the folders of this process.
        path = {"env_vars": {"PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)}}
        self._actor = ray.remote(_Runner).options(**options, runtime_env=path, max_restarts=0).remote()
        self._end = self._actor.run.remote(self._server.getsockname(), self._key, os.getcwd())

    def connect(self) -> None:
        """Wait until the process runs, and send it its job.

        Raises:
            OSError: the process has ended.
        """
        with self._server:
            while (connection := self._accepted()) is None:
                if self._ray.wait([self._end], timeout=0)[0]:
                    raise ConnectionError
        self.connection = connection
        send_message(self.connection, self._job)

    def _accepted(self) -> Connection | None:
        """Accept one client, if there is one, and return its connection if it has the key.

        Other clients, such as the scan of a port, are closed, so that the process that Ray starts can still connect.
        """
        try:
            connected, _ = self._server.accept()
        except TimeoutError:
            return None
        connected.settimeout(None)
        seconds = struct.pack("ll", int(_CHALLENGE_TIMEOUT), 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connected.setsockopt(socket.SOL_SOCKET, option, seconds)
        connection = Connection(connected.detach())
        try:
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
        except (OSError, EOFError, AuthenticationError, ValueError):
            connection.close()
            return None
        with socket.socket(fileno=os.dup(connection.fileno())) as connected:
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                connected.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 0, 0))
        return connection

    def kill(self) -> None:
        """End the process immediately."""
        self._ray.kill(self._actor, no_restart=True)
        self._server.close()
        if (connection := getattr(self, "connection", None)) is None:
            return
        # A node that has lost its power or its network does not close its end, and the owner would wait for its messages.
        with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as connected:
            connected.shutdown(socket.SHUT_RDWR)

    def cause(self) -> str:
        """Return how the process has ended."""
        try:
            self._ray.get(self._end, timeout=_END_TIMEOUT)
        except Exception as error:  # Ray's errors name the node and the cause in several lines.
            return f"on the Ray cluster has ended ({type(error).__name__})"
        return "on the Ray cluster has ended"


class _Runner:
    """Ray's actor: the worker process."""

    def run(self, address: tuple[str, int], key: bytes, folder: str) -> None:
        """Run trials until the owner, whose working directory is `folder`, ends this process."""
        with suppress(OSError):  # For relative paths; the node may lack the folder.
            os.chdir(folder)
        from isaaclab_mimic_ext.run import worker_process

        worker_process.main(Client(address, authkey=key))
