"""The GPU engine MuJoCo Warp as the choice of `sim=auto`: whether it can run a command, and what its results depend on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.devices import resolve_device
from isaaclab_mimic_ext.errors import SimulatorUnavailable
from isaaclab_mimic_ext.task.definition import Task

GPU_ENGINE = "mujoco_warp"
MIN_NUM_ENVS = 1024
"""Number of envs from which on a GPU simulates at more than half of its largest rate."""


@dataclass(frozen=True)
class BatchedCommand:
    """Command that steps many envs, for which `sim=auto` may select the GPU engine.

    Attributes:
        device: device of the command: `cpu`, `cuda`, `cuda:<index>` or `auto`.
        num_envs: number of envs; None: it is chosen for the GPU.
        make_task: returns the task of the command.
        records_pictures: pictures are drawn in each step.
        changes_shapes: an event has a scale_range, or an object a list of meshes.
    """

    device: str
    num_envs: int | None
    make_task: Callable[[], Task]
    records_pictures: bool = False
    changes_shapes: bool = False

    def fault(self, sim: SimCfg) -> str | None:
        """Reason why the GPU engine cannot run the command on this machine; None if it can."""
        if self.device == "cpu":
            return "device=cpu"
        if not torch.cuda.is_available():
            return "this machine has no CUDA device"
        if sim.num_threads:
            return "sim.num_threads is set, which only MuJoCo has"
        if self.changes_shapes:
            return "sizes or meshes differ among envs, which only MuJoCo has"
        from isaaclab_mimic_ext.envs.mujoco_warp import check_can_run

        try:
            device = torch.device(resolve_device(self.device, GPU_ENGINE)[0])
            check_can_run(self.make_task, device, self.records_pictures)
        except SimulatorUnavailable as error:
            return str(error).partition(": ")[2].partition("; use sim=mujoco")[0]
        return None

    def notes(self) -> str:
        """Differences from MuJoCo that matter to this command, as a part of a sentence."""
        notes = ["two runs differ in their last bits, sim=mujoco repeats them bit by bit"]
        if self.num_envs is not None and self.num_envs < MIN_NUM_ENVS:
            notes.append(f"num_envs={self.num_envs} uses a small part of the GPU, {MIN_NUM_ENVS} or more use it well")
        if not _has_compiled_kernels():
            notes.append("this first run compiles the kernels for about three minutes")
        return "; ".join(notes)


def _has_compiled_kernels() -> bool:
    """Return whether Warp's cache has kernels of the GPU engine for a GPU."""
    import warp as wp

    from isaaclab_mimic_ext.kernels import initialize

    initialize()
    folder = wp.config.kernel_cache_dir
    return folder is not None and any(Path(folder).glob(f"wp_{GPU_ENGINE}*/*.cubin"))
