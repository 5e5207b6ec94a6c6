"""Copies of tensors on the host that do not make the host wait for the device."""

from collections.abc import Mapping

import torch
from torch import Tensor


class HostCopy:
    """Copy of tensors on the host, which the device makes when it has computed them.

    The host waits in `wait` only, and only for what was launched before the copy, not for what was launched since.

    Args:
        tensors: name -> tensor, all on one device. On the CPU they are not copied, so they must not be changed afterwards.
    """

    def __init__(self, tensors: Mapping[str, Tensor]):
        # From a GPU, `non_blocking` copies to pinned memory.
        self._tensors = {name: tensor.to("cpu", non_blocking=True) for name, tensor in tensors.items()}
        self._copied: torch.cuda.Event | None = None
        if device := next((tensor.device for tensor in tensors.values() if tensor.is_cuda), None):
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(device))

    def wait(self) -> dict[str, Tensor]:
        """Wait until the copy is complete, and return it: name -> tensor on the host."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._tensors
