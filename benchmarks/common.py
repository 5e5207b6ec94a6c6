"""What the benchmarks share: a generator from overrides, and the machine's description."""

import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from isaaclab_mimic_ext.apps.generate import build_generator, load_pool
from isaaclab_mimic_ext.cli.compose import load_config
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.generate import Generator
from isaaclab_mimic_ext.task import load_task


@contextmanager
def generator(overrides: list[str], folder: str | None = None) -> Iterator[tuple[Generator, Path]]:
    """A generator ready to run, and where its dataset goes; both are gone afterwards."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        output = Path(temporary) / "generated.hdf5"
        cfg = load_config("generate", [*overrides, f"output_file={output}"])
        env = make_env(load_task(cfg.task.name), cfg.sim, cfg.events, cfg.num_envs, torch.device(cfg.device))
        try:
            yield build_generator(cfg, env, load_pool(cfg, env), output, None), output
        finally:
            env.close()


def close(run: Generator) -> None:
    """Close the dataset of a generator that has its verdict."""
    assert run.ledger.verdict is not None
    run.recorder.close(run.ledger.verdict.num_attempts, {})


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine(), "torch": torch.__version__}
