"""Check of memory before allocation. Without it the operating system kills a process that allocates too much."""

import os

import torch

from isaaclab_mimic_ext.errors import TooManyEnvs
from isaaclab_mimic_ext.texts import counted

_GIGA = 1e9
_USABLE_SHARE = 0.75
"""Fraction of the free memory that may be allocated. The rest is for plans, intermediate results and other processes."""


def check_memory(num_envs: int, bytes_per_env: int, purpose: str, device: torch.device | None = None) -> None:
    """Check that the data of `num_envs` envs fit into free memory.

    Args:
        purpose: description of the data, for the message.
        device: device of the data; None: the host.

    Raises:
        TooManyEnvs: the data do not fit.
    """
    free = free_bytes(device)
    if free is None:
        return
    max_envs = int(_USABLE_SHARE * free / bytes_per_env)
    if num_envs > max_envs:
        need = counted(num_envs, "env needs", "envs need")
        raise TooManyEnvs(
            f"num_envs: {need} {num_envs * bytes_per_env / _GIGA:,.1f} GB for {purpose}, "
            f"{free / _GIGA:,.1f} GB are free; use num_envs <= {max_envs}",
            max_envs,
        )


def free_bytes(device: torch.device | None = None) -> int | None:
    """Free memory of a device or of the host [bytes]; None if the system does not report it."""
    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo") as file:
            found = next(line.split()[1] for line in file if line.startswith("MemAvailable:"))
        return int(found) * 1024
    except (OSError, StopIteration):
        try:
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (ValueError, OSError):
            return None
