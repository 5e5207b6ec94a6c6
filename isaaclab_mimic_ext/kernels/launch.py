"""Launching Warp kernels on torch tensors."""

from collections.abc import Sequence
from typing import Any

import torch
import warp as wp


def launch(
    kernel: Any, dim: int | tuple[int, ...], inputs: Sequence[Any], outputs: Sequence[Any], device: torch.device
) -> None:
    """Launch `kernel` in order with the torch operations before and after it."""
    stream = wp.stream_from_torch(device) if device.type == "cuda" else None
    wp.launch(kernel, dim=dim, inputs=inputs, outputs=outputs, device=wp.device_from_torch(device), stream=stream)
