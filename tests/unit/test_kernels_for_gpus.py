"""All kernels of the package compile for GPUs (compute capability 9.0), which needs no GPU."""

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest
import warp as wp

from isaaclab_mimic_ext import kernels

ARCH = 90


def modules_with_kernels() -> list[ModuleType]:
    modules = [importlib.import_module(f"{kernels.__name__}.{each.name}") for each in pkgutil.iter_modules(kernels.__path__)]
    return [each for each in modules if any(isinstance(value, wp.Kernel) for value in vars(each).values())]


@pytest.mark.slow
def test_all_kernels_compile_for_a_gpu_ahead_of_time(tmp_path: Path) -> None:
    modules = modules_with_kernels()
    assert len(modules) >= 10
    for module in modules:
        folder = tmp_path / module.__name__.rpartition(".")[2]
        wp.compile_aot_module(module, arch=ARCH, module_dir=str(folder), use_ptx=False)
        assert [file for file in folder.glob("*.cubin") if file.stat().st_size > 0], module.__name__
