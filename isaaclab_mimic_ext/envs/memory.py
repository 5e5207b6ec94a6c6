"""Whether what a run allocates has room, before it is allocated: the kernel kills a process that takes too much."""

import os

import torch

from isaaclab_mimic_ext.errors import ConfigError

_GIGA = 1e9
_SHARE = 0.75
"""Of what is free; the rest is for what is not counted: plans, intermediate results, other processes."""


def check_room(num_envs: int, bytes_per_env: int, what: str, device: torch.device | None = None) -> None:
    """Make sure that so many envs have room in memory.

    Args:
        what: is to be allocated, for the message.
        device: where; None: on the host.

    Raises:
        ConfigError: they have not.
    """
    free = free_bytes(device)
    if free is None:
        return
    most = int(_SHARE * free / bytes_per_env)
    if num_envs > most:
        raise ConfigError(
            f"num_envs: {num_envs} environments need {num_envs * bytes_per_env / _GIGA:,.1f} GB for {what}, "
            f"{free / _GIGA:,.1f} GB are free; give at most {most}"
        )


def free_bytes(device: torch.device | None = None) -> int | None:
    """Memory that may be allocated now; None where the system does not say."""
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
