"""Processes of a run with `num_workers`, found by their command lines."""

from pathlib import Path

_WORKER = "isaaclab_mimic_ext.run.worker_process"


def worker_pids(owner: int) -> list[int]:
    """Return the worker processes whose parent is the process `owner`, in the order of their numbers."""
    return child_pids(owner, _WORKER)


def child_pids(owner: int, module: str) -> list[int]:
    """Return the children of the process `owner` that run a Python module, in the order of their numbers."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words, stat = (folder / "cmdline").read_bytes().split(b"\0"), (folder / "stat").read_text()
        except OSError:  # The process has ended.
            continue
        parent = int(stat.rpartition(")")[2].split()[1])
        if parent == owner and module.encode() in words:
            found.append(int(folder.name))
    return sorted(found)
