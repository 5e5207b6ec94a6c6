"""Copies of tensors from the host to a device that do not make the host wait."""

import torch
from torch import Tensor


def upload(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Start to copy a tensor of the host to a device. On the CPU, the tensor itself."""
    if torch.device(device).type == "cuda":
        # Before a copy from memory that is not pinned, the driver may wait for all that was launched.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)  # sync: none
