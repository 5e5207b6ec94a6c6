"""Slurm on this machine: a controller and two nodes, with the programs of Debian's `slurm-wlm` and `munge`."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import requires

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scancel")
_SETTINGS = """
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
NodeName=n0 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} State=UNKNOWN
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """A running Slurm.

    Args:
        folder: folder of its state and logs.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}

    def run(self, *words: str | Path, **variables: str) -> str:
        """Run a program of Slurm and return its output."""
        environment = self.environment | variables
        return subprocess.run(words, env=environment, cwd=self._folder, text=True, check=True, capture_output=True).stdout

    def wait_until_idle(self) -> None:
        """Wait until no job is queued or runs."""
        while self.run("squeue", "--noheader"):
            time.sleep(0.5)


@contextmanager
def running_slurm(folder: Path) -> Iterator[Slurm]:
    """Start Slurm, and stop it with all of its jobs at the end. Skips the test if its programs are not installed."""
    absent = [program for program in _PROGRAMS if shutil.which(program) is None]
    if absent:
        requires.missing("slurm", f"{', '.join(absent)} not found")
    (folder / "state").mkdir()
    ports = [_free_port() for _ in range(3)]
    settings = folder / "slurm.conf"
    settings.write_text(_SETTINGS.format(folder=folder, ports=ports, user=getpass.getuser(), cpus=os.cpu_count()))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    slurm = Slurm(folder)
    endings = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    munge = [f"--{name}={folder}/munge.{ending}" for name, ending in endings.items()]
    daemons = [["munged", "--foreground", "--force", *munge], ["slurmctld", "-D", "-f", str(settings)]]
    daemons += [["slurmd", "-D", "-N", node, "-f", str(settings)] for node in ("n0", "n1")]
    running = []
    try:
        for daemon in daemons:
            with (folder / f"{daemon[0]}.out").open("a") as printed:
                running.append(subprocess.Popen(daemon, env=slurm.environment, stdout=printed, stderr=printed))
            if daemon[0] == "munged":
                _wait_for(folder / "munge.socket")
        while slurm.run("sinfo", "--noheader", "--states=idle", "--format=%D").split() != ["2"]:
            assert all(process.poll() is None for process in running), "a daemon has ended; its log is in the test's folder"
            time.sleep(0.2)
        yield slurm
    finally:
        subprocess.run(["scancel", "--user", getpass.getuser()], env=slurm.environment, check=False)
        for process in reversed(running):
            process.terminate()
            process.wait()


def _wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
