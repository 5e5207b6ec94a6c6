"""Device of an engine's tensors, where the user leaves the choice to the program."""

from isaaclab_mimic_ext.config.bounds import AUTO

GPU_ENGINES = ("isaaclab", "mujoco_warp")
"""Engines that simulate on a GPU."""


def resolve_device(device: str, engine: str) -> tuple[str, str]:
    """Name of the torch device that a scene's `device` selects for an engine, and the reason."""
    if device != AUTO:
        return device, f"device={device}"
    if engine not in GPU_ENGINES:
        return "cpu", "this engine runs on the CPU"
    import torch

    if torch.cuda.is_available():
        return "cuda:0", "this machine has a CUDA device"
    return "cpu", "this machine has no CUDA device"
