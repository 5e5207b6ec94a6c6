"""Stub packages of Isaac Lab 2.3 with Isaac Sim, for tests of the launch: launcher, registry, and end of the process.

Isaac Sim cannot be installed in the tests. The stubs have no physics; tests replace the `main` of a command.
"""

import shutil
from pathlib import Path

_PACKAGES = Path(__file__).parent / "packages"
V2_3, V2_2 = "0.54.2", "0.45.9"
"""Versions of the extension `isaaclab` in releases 2.3 and 2.2."""


def write_isaaclab(folder: Path, version: str = V2_3, with_sim: bool = True) -> Path:
    """Write the stub packages; return the folder to add to PYTHONPATH."""
    shutil.copytree(_PACKAGES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    if not with_sim:
        shutil.rmtree(folder / "isaacsim")
    (folder / "config").mkdir()
    (folder / "config" / "extension.toml").write_text(f'[package]\nversion = "{version}"\n')
    return folder
