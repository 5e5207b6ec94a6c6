"""A stand-in for Isaac Lab 2.3 with Isaac Sim, as far as a launch goes: its launcher, its registry, how it ends a process.

It stands in for what cannot be installed here. It has no physics: a script's `main` is a test's own.
"""

import shutil
from pathlib import Path

_PACKAGES = Path(__file__).parent / "packages"
V2_3, V2_2, V3_0 = "0.54.2", "0.45.9", "6.1.16"
"""Versions of the extension `isaaclab` in Isaac Lab's releases."""


def write_isaaclab(folder: Path, version: str = V2_3, with_sim: bool = True) -> Path:
    """The folder that has to be on PYTHONPATH."""
    shutil.copytree(_PACKAGES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    if not with_sim:
        shutil.rmtree(folder / "isaacsim")
    (folder / "config").mkdir()
    (folder / "config" / "extension.toml").write_text(f'[package]\nversion = "{version}"\n')
    return folder
