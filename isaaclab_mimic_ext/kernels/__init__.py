"""Warp kernels. Each has a host function, and a reference implementation in torch operations for tests."""

import ctypes
import logging
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
import warp as wp

log = logging.getLogger(__name__)


def launch(
    kernel: Any, dim: int | tuple[int, ...], inputs: Sequence[Any], outputs: Sequence[Any], device: torch.device
) -> None:
    """Launch `kernel` on torch's current stream of the device, so that it runs in order with torch operations."""
    initialize()
    stream = wp.stream_from_torch(device) if device.type == "cuda" else None
    wp.launch(kernel, dim=dim, inputs=inputs, outputs=outputs, device=wp.device_from_torch(device), stream=stream)


def as_array(tensor: torch.Tensor, dtype: Any = None) -> Any:
    """Warp array in the memory of a contiguous tensor; `dtype`: type of its elements, for vectors and matrices."""
    initialize()
    return wp.from_torch(tensor, dtype=dtype)


def as_struct(struct: Any, values: Mapping[str, Any]) -> Any:
    """Instance of a `wp.struct` with the values of its fields' names: numbers, and the memory of contiguous tensors."""
    instance = struct()
    for name, field in struct.vars.items():
        value = values[name]
        setattr(instance, name, as_array(value, field.type.dtype) if isinstance(value, torch.Tensor) else value)
    return instance


def arguments_of(kernel: Any, values: Mapping[str, Any]) -> list[Any]:
    """Arguments of a kernel, in order, from the values of their names: numbers, and the memory of contiguous tensors."""
    arguments = []
    for argument in kernel.adj.args:
        value = values[argument.label]
        arguments.append(as_array(value, argument.type.dtype) if isinstance(value, torch.Tensor) else value)
    return arguments


class RepeatedLaunch:
    """Launch of a kernel with the same arrays in each call; packing them takes longer than a small kernel on a CPU."""

    def __init__(
        self, kernel: Any, dim: int | tuple[int, ...], inputs: Sequence[Any], outputs: Sequence[Any], device: torch.device
    ):
        initialize()
        self._device = device
        self._arrays = (inputs, outputs)  # The command refers to their memory.
        arguments = {"inputs": inputs, "outputs": outputs, "device": wp.device_from_torch(device)}
        self._command = wp.launch(kernel, dim=dim, record_cmd=True, **arguments)
        self._packed: tuple[Any, Any] | None = None

    def __call__(self) -> None:
        """Launch the kernel on torch's current stream of the device."""
        if self._packed is not None:
            self._command.hooks.forward(*self._packed)
            return
        self._command.launch(stream=wp.stream_from_torch(self._device) if self._device.type == "cuda" else None)
        self._packed = _packed_arguments(self._command)


def _packed_arguments(command: Any) -> tuple[Any, Any] | None:
    """Arguments of a command's kernel on a CPU, which Warp packs again in each launch; None on a GPU, or if unknown."""
    size, *values = command.params
    layout = getattr(command.kernel, "_invoke_cache", {}).get((tuple(map(type, values)), False))
    if layout is None or not command.device.is_cpu or getattr(command, "block_dim", 1) != 1:
        return None
    return ctypes.byref(size), ctypes.byref(layout[0](*values))


@cache
def initialize() -> None:
    """Initialize Warp before its first use: its library takes 110 MB, which a process that launches no kernel does not need.

    On machines without a GPU, its native warning about a missing CUDA driver is suppressed.
    """
    if hasattr(wp, "LOG_WARNING"):
        wp.config.log_level = wp.LOG_WARNING
    else:  # Before 1.14; Isaac Lab 3.0 installs 1.13.
        wp.config.quiet = True
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            _start_warp()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            lines = caught.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in lines if "CUDA driver" not in line))


def _start_warp() -> None:
    """Start Warp. If its cache of compiled kernels is not writable, use a temporary cache for this process."""
    global _process_cache
    try:
        wp.init()
        if os.access(wp.config.kernel_cache_dir, os.W_OK):
            return
    except OSError:
        pass
    log.warning(
        "Warp's kernel cache %s is not writable: kernels are compiled again in each process; set WARP_CACHE_PATH",
        wp.config.kernel_cache_dir,
    )
    _process_cache = tempfile.TemporaryDirectory(prefix="warp_cache_")
    wp.config.kernel_cache_dir = _process_cache.name
    wp.init()


_process_cache: tempfile.TemporaryDirectory[str] | None = None
"""Temporary kernel cache, removed when the process ends."""
