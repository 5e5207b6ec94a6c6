"""The Isaac Lab installation of this Python: its release and its simulators. Nothing of Isaac Lab is imported."""

import re
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from isaaclab_mimic_ext.errors import SimulatorUnavailable

OTHER_ENGINE = "use sim=mujoco"

HOW_TO_INSTALL = f"install it as described at https://isaac-sim.github.io/IsaacLab, or {OTHER_ENGINE}"

SUPPORTED = "2.3 and 3.x"
"""Releases of Isaac Lab that this project runs on."""

_EXTENSION_OF_2_3 = ((0, 47), (1, 0))
"""Versions of the extension `isaaclab` in release 2.3: from the first, below the second. Release 3 has no such version."""


@dataclass(frozen=True)
class Installation:
    """An installed Isaac Lab that can run.

    Attributes:
        is_3: true for release 3, false for 2.3.
        has_sim: Isaac Sim is installed; its PhysX, its window and RTX cameras require it.
        has_newton: Newton is installed, which runs without Isaac Sim.
        has_ovphysx: OvPhysX is installed, which is PhysX without Isaac Sim.
    """

    is_3: bool
    has_sim: bool
    has_newton: bool = False
    has_ovphysx: bool = False


def find_installation() -> Installation:
    """Find the Isaac Lab of this Python.

    Raises:
        SimulatorUnavailable: it is not installed, its release is not supported, or it has no simulator.
    """
    root = _package("isaaclab")
    if root is None:
        raise SimulatorUnavailable(f"sim.engine: Isaac Lab is not installed in this Python; {HOW_TO_INSTALL}")
    is_3 = _is_release_3(root)
    has_sim = is_installed("isaacsim")
    has_newton = is_3 and is_installed("isaaclab_newton", "newton")
    has_ovphysx = is_3 and is_installed("isaaclab_ov", "ovphysx", "ovstage")
    if not (has_sim or has_newton or has_ovphysx):
        others = ", OvPhysX or Newton" if is_3 else ""
        raise SimulatorUnavailable(
            f"sim.engine: Isaac Lab is installed without a simulator: requires Isaac Sim{others}; {HOW_TO_INSTALL}"
        )
    return Installation(is_3, has_sim, has_newton, has_ovphysx)


def can_run() -> bool:
    """Return whether this Python has an Isaac Lab that can run."""
    try:
        find_installation()
    except SimulatorUnavailable:
        return False
    return True


def is_installed(*packages: str) -> bool:
    """Return whether all packages are installed in this Python."""
    return all(_package(name) is not None for name in packages)


def isaaclab_module(task_name: str) -> str | None:
    """Name of the module that registers a task of `tasks/` with Isaac Lab; None if the task has no such module."""
    name = f"isaaclab_mimic_ext.tasks.{task_name}.isaaclab"
    return name if find_spec(name) is not None else None


def _package(name: str) -> Path | None:
    """Folder of an installed package; None if it is not installed."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _is_release_3(root: Path) -> bool:
    """Return whether the Isaac Lab in the folder `root` is release 3, or release 2.3.

    Raises:
        SimulatorUnavailable: it is a different release.
    """
    extension = _extension_version(root)
    if extension is not None:
        oldest, newest = _EXTENSION_OF_2_3
        found, is_supported, is_3 = f"extension {extension}", oldest <= _numbers(extension) < newest, False
    else:
        found = _package_version(root)
        # Below 3.0, each release has an `extension.toml`. A source checkout counts its packages in larger numbers.
        is_supported = is_3 = _numbers(found) >= (3,)
    if not is_supported:
        raise SimulatorUnavailable(
            f"sim.engine: Isaac Lab at {root} is not a supported release (found {found}); supported: {SUPPORTED}; "
            f"install one of them, or {OTHER_ENGINE}"
        )
    return is_3


def _extension_version(root: Path) -> str | None:
    """Version in the extension's `extension.toml`, next to the package in a checkout, below the package in a wheel."""
    for folder in (root.parent, root / "source" / "isaaclab"):
        try:
            text = (folder / "config" / "extension.toml").read_text(encoding="utf-8")
            return str(tomllib.loads(text)["package"]["version"])
        except (OSError, ValueError, KeyError):
            continue
    return None


def _package_version(root: Path) -> str:
    """Version in the `pyproject.toml` of a checkout, or else in the metadata of the wheel; `unknown` without either."""
    try:
        return str(tomllib.loads((root.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
    except (OSError, ValueError, KeyError):
        pass
    try:
        return version("isaaclab")
    except PackageNotFoundError:
        return "unknown"


def _numbers(text: str) -> tuple[int, ...]:
    """Numbers at the start of a version: (3, 0, 0) of `3.0.0rc1`; empty if the text has none."""
    start = re.match(r"\d+(\.\d+)*", text)
    return () if start is None else tuple(map(int, start[0].split(".")))
