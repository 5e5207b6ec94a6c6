"""Graphs of Warp kernels: recorded once, then launched as one, on a GPU and on a CPU."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import warp as wp

from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.texts import counted


def record_graph(run: Callable[[], None], device: torch.device) -> Any:
    """Record the kernels that `run` launches as a graph. Their modules must be loaded already."""
    wp_device = wp.device_from_torch(device)
    wp.synchronize_device(wp_device)
    with _no_garbage_collection(), wp.ScopedCapture(wp_device, force_module_load=False) as capture:
        run()
    return capture.graph


def launch_graph(graph: Any, device: torch.device) -> None:
    """Launch a graph on torch's current stream of the device, so that it runs in order with torch operations."""
    wp.capture_launch(graph, stream=wp.stream_from_torch(device) if device.type == "cuda" else None)


@contextmanager
def reporting_memory(num_envs: int) -> Iterator[None]:
    """Raise failed allocations of Warp as errors of `num_envs`.

    Raises:
        ConfigError: the device has not enough memory.
    """
    try:
        yield
    except RuntimeError as error:
        if "allocate" not in str(error):
            raise
        count = counted(num_envs, "env", "envs")
        raise ConfigError(f"num_envs: {count} do not fit into the memory of the device; use fewer") from error


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collect garbage now, and not in the block: freeing device memory would end the recording of a graph."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
