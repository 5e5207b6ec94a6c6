"""What there is of Isaac Lab on this machine, found without importing any of it."""

import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable

OTHER_ENGINE = "use sim=mujoco"
HOW_TO_INSTALL = f"https://isaac-sim.github.io/IsaacLab says how to install it, or {OTHER_ENGINE}"
PHYSICS = ("default", "newton")
_OLDEST = (0, 47)
"""Version of the extension `isaaclab` in release 2.3.0; release 3.0 counts from 1 on."""


@dataclass(frozen=True)
class Installation:
    """An Isaac Lab that can run.

    Attributes:
        is_3: release 3, else 2.3.
        has_sim: Isaac Sim is there, which PhysX and its windows need.
        has_newton: Newton is there, which needs no Isaac Sim.
    """

    is_3: bool
    has_sim: bool
    has_newton: bool

    def needs_kit(self, physics: str) -> bool:
        """Whether Isaac Sim's application (Kit) has to run for `sim.physics`."""
        return self.has_sim and physics != "newton"


def find_installation() -> Installation:
    """The Isaac Lab of this Python.

    Raises:
        SimulatorUnavailable: there is none, or it is too old, or has no simulator.
    """
    root = _package("isaaclab")
    if root is None:
        raise SimulatorUnavailable(f"sim.engine: Isaac Lab is not installed in this Python; {HOW_TO_INSTALL}")
    version = _extension_version(root)
    if version is not None and version < _OLDEST:
        found = ".".join(map(str, version))
        raise SimulatorUnavailable(
            f"sim.engine: Isaac Lab at {root} is older than 2.3 (extension {found}); update it, or {OTHER_ENGINE}"
        )
    is_3 = version is not None and version[0] >= 1
    has_newton = is_3 and _package("isaaclab_newton") is not None and _package("newton") is not None
    if _package("isaacsim") is not None:
        return Installation(is_3, True, has_newton)
    if has_newton:
        return Installation(is_3, False, True)
    newton = ", nor isaaclab_newton with newton" if is_3 else ""
    raise SimulatorUnavailable(
        f"sim.engine: Isaac Lab is installed without a simulator: there is no Isaac Sim{newton}; {HOW_TO_INSTALL}"
    )


def resolve_physics(installation: Installation, physics: str) -> str:
    """`default` or `newton`: what `sim.physics` means here. Without Isaac Sim there is Newton only.

    Raises:
        ConfigError: it has none such.
    """
    if physics == "newton" and not installation.is_3:
        raise ConfigError("sim.physics: 'newton' needs Isaac Lab 3, and this is 2.3; use sim.physics=default")
    if physics == "newton" and not installation.has_newton:
        raise SimulatorUnavailable(
            "sim.physics: 'newton' needs isaaclab_newton and newton, which are not installed; use sim.physics=default"
        )
    return physics if installation.has_sim else "newton"


def isaaclab_module(task_name: str) -> str | None:
    """The module that brings a task of `tasks/` to Isaac Lab; None: it has none."""
    name = f"isaaclab_mimic_ext.tasks.{task_name}.isaaclab"
    return name if find_spec(name) is not None else None


def _package(name: str) -> Path | None:
    """The folder of an installed package; None: there is none."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _extension_version(root: Path) -> tuple[int, ...] | None:
    """As the extension's own file has it: beside the package in a checkout, below it in a wheel."""
    for folder in (root.parent, root / "source" / "isaaclab"):
        try:
            text = (folder / "config" / "extension.toml").read_text()
            return tuple(int(part) for part in tomllib.loads(text)["package"]["version"].split(".")[:3])
        except (OSError, ValueError, KeyError):
            continue
    return None
