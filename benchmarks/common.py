"""Functions that the benchmarks share: a generator from overrides, times by stage, a description of the machine."""

import os
import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.run.build import build_generator, load_pool, start_env
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.session import RunFolder, identity_of, open_run

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass
class Stages:
    """Time by stage [s], measured by `clock`. Timed calls must not overlap."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    clock: Callable[[], float] = time.perf_counter

    def time(self, owner: Any, method: str, stage: str) -> None:
        """Replace `owner.method` by a method that adds its time to `stage`."""
        setattr(owner, method, self._timed(getattr(owner, method), stage))

    def _timed(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = self.clock()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds[stage] += self.clock() - start

        return timed


@contextmanager
def generator(overrides: list[str]) -> Iterator[tuple[Generator, Path]]:
    """Yield a generator that is ready to run, and the path of its dataset. The dataset is deleted at the end."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = RunFolder(Path(temporary))
        cfg = load_config("generate", [*overrides, f"output_dir={temporary}"])
        env = start_env(cfg)
        try:
            identity = identity_of(asdict(cfg), Path(cfg.input_file))
            with open_run(folder, identity, resume=False) as session:
                yield build_generator(cfg, env, load_pool(cfg, env), session), folder.demos
        finally:
            env.close()


def machine() -> dict[str, object]:
    """Return a description of the machine: cores, processor, version of torch."""
    return {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine(), "torch": torch.__version__}


def integers(text: str) -> list[int]:
    """Parse a list of integers such as `1,2,3`."""
    return [int(part) for part in text.split(",")]
