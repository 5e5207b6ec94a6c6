"""Warp kernels, each with a host function and a twin in torch operations."""

import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import torch
import warp as wp

log = logging.getLogger(__name__)


def launch(
    kernel: Any, dim: int | tuple[int, ...], inputs: Sequence[Any], outputs: Sequence[Any], device: torch.device
) -> None:
    """Launch `kernel` in order with the torch operations before and after it."""
    stream = wp.stream_from_torch(device) if device.type == "cuda" else None
    wp.launch(kernel, dim=dim, inputs=inputs, outputs=outputs, device=wp.device_from_torch(device), stream=stream)


def _initialize() -> None:
    """Start Warp, without its native warning that there is no CUDA driver: on a CPU machine that is no news."""
    if hasattr(wp, "LOG_WARNING"):
        wp.config.log_level = wp.LOG_WARNING
    else:  # Before 1.14; Isaac Lab 3.0 comes with 1.13.
        wp.config.quiet = True
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            _start()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            lines = caught.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in lines if "CUDA driver" not in line))


def _start() -> None:
    """Start Warp; where its cache of compiled kernels cannot be written to, with one for this process alone."""
    global _own_cache
    try:
        wp.init()
        if os.access(wp.config.kernel_cache_dir, os.W_OK):
            return
    except OSError:
        pass
    log.warning("%s cannot be written to: compiling kernels anew; set WARP_CACHE_PATH", wp.config.kernel_cache_dir)
    _own_cache = tempfile.TemporaryDirectory(prefix="warp_cache_")
    wp.config.kernel_cache_dir = _own_cache.name
    wp.init()


_own_cache: tempfile.TemporaryDirectory[str] | None = None
"""Removed with the process."""
_initialize()
