"""Warp kernels, each with a host function and a twin in torch operations."""

import os
import sys
import tempfile

import warp as wp


def _initialize() -> None:
    """Start Warp, without its native warning that there is no CUDA driver: on a CPU machine that is no news."""
    wp.config.log_level = wp.LOG_WARNING
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            wp.init()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            lines = caught.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in lines if "CUDA driver" not in line))


_initialize()
