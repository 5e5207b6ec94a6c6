"""What there is of Isaac Lab on this machine, found without importing any of it."""

import argparse
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import NoReturn

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


USUAL_FLAGS = {
    "--viz": True,
    "--visualizer": True,
    "--livestream": True,
    "--xr": False,
    "--verbose": False,
    "--experience": True,
    "--kit_args": True,
    "--rendering_mode": True,
    "--deterministic": False,
    "--max_visible_envs": True,
    "--enable_pinocchio": False,
    "--anim_recording_enabled": False,
    "--anim_recording_start_time": True,
    "--anim_recording_stop_time": True,
}

"""Flag -> whether it takes a value; for the message where Isaac Lab cannot be asked."""

PINOCCHIO = "--enable_pinocchio"

"""Of Isaac Lab 2.3's scripts, read by its launcher though its parser does not know it."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"sim.launcher_args: {message}")


def launcher_flags() -> dict[str, bool]:
    """Flag -> whether it takes a value.

    Raises:
        SimulatorUnavailable: there is no Isaac Lab whose launcher could be asked.
    """
    actions = [
        action for action in _parser()._actions if action.help != argparse.SUPPRESS or action.dest == "enable_pinocchio"
    ]
    return {name: action.nargs != 0 for action in actions for name in action.option_strings}


def parse_launcher_args(words: Sequence[str]) -> argparse.Namespace:
    """What Isaac Lab's launcher takes for flags such as `--viz=none`.

    Raises:
        ConfigError: a flag is unknown, or its value is wrong.
        SimulatorUnavailable: there is no Isaac Lab whose launcher could be asked.
    """
    return _parser().parse_args(list(words))


@cache
def _parser() -> argparse.ArgumentParser:
    find_installation()
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.set_defaults(script=sys.argv[0])  # A parser without anything of its own gets a warning.
    try:
        # It parses the command line in passing, and says so; Isaac Sim's package prints when it is imported.
        with command_line([]), redirect_stdout(StringIO()):
            from isaaclab.app import AppLauncher

            AppLauncher.add_app_launcher_args(parser)
    except (ImportError, KeyError) as error:
        raise SimulatorUnavailable(
            f"sim.engine: Isaac Lab's launcher cannot be imported ({error}); install Isaac Sim, or {OTHER_ENGINE}"
        ) from error
    if PINOCCHIO not in parser._option_string_actions:
        parser.add_argument(PINOCCHIO, action="store_true", help=argparse.SUPPRESS)
    return parser


@contextmanager
def command_line(words: Sequence[str]) -> Iterator[None]:
    """While entered, the process's command line has only these words; Isaac Sim reads it for flags of its own."""
    before = sys.argv[1:]
    sys.argv[1:] = words
    try:
        yield
    finally:
        sys.argv[1:] = before
