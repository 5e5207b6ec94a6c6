"""The Isaac Lab installation of this Python and the flags of its launcher. `find_installation` imports nothing of it."""

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

HOW_TO_INSTALL = f"install it as described at https://isaac-sim.github.io/IsaacLab, or {OTHER_ENGINE}"

_OLDEST = (0, 47)
"""Version of the extension `isaaclab` in release 2.3.0. In release 3.0 the extension has versions from 1.0 on."""


@dataclass(frozen=True)
class Installation:
    """An installed Isaac Lab that can run.

    Attributes:
        is_3: true for release 3, false for 2.3.
        has_sim: Isaac Sim is installed; PhysX and its window require Isaac Sim.
        has_newton: Newton is installed; Newton does not require Isaac Sim.
    """

    is_3: bool
    has_sim: bool
    has_newton: bool

    def needs_kit(self, physics: str) -> bool:
        """Return whether Isaac Sim's application (Kit) must run for `sim.physics`."""
        return self.has_sim and physics != "newton"


def find_installation() -> Installation:
    """Find the Isaac Lab of this Python.

    Raises:
        SimulatorUnavailable: it is not installed, is older than 2.3, or has no simulator.
    """
    root = _package("isaaclab")
    if root is None:
        raise SimulatorUnavailable(f"sim.engine: Isaac Lab is not installed in this Python; {HOW_TO_INSTALL}")
    version = _extension_version(root)
    if version is not None and version < _OLDEST:
        found = ".".join(map(str, version))
        raise SimulatorUnavailable(
            f"sim.engine: Isaac Lab at {root} must be 2.3 or later (got extension {found}); update it, or {OTHER_ENGINE}"
        )
    is_3 = version is not None and version[0] >= 1
    has_newton = is_3 and _package("isaaclab_newton") is not None and _package("newton") is not None
    if _package("isaacsim") is not None:
        return Installation(is_3, True, has_newton)
    if has_newton:
        return Installation(is_3, False, True)
    newton = ", or isaaclab_newton and newton" if is_3 else ""
    raise SimulatorUnavailable(
        f"sim.engine: Isaac Lab is installed without a simulator: requires Isaac Sim{newton}; {HOW_TO_INSTALL}"
    )


def resolve_physics(installation: Installation, physics: str) -> str:
    """Physics that `sim.physics` selects on this installation: `default` or `newton`; always `newton` without Isaac Sim.

    Raises:
        ConfigError: `newton` is selected on Isaac Lab 2.3.
        SimulatorUnavailable: `newton` is selected and not installed.
    """
    if physics == "newton" and not installation.is_3:
        raise ConfigError("sim.physics: 'newton' requires Isaac Lab 3 (got 2.3); use sim.physics=default")
    if physics == "newton" and not installation.has_newton:
        raise SimulatorUnavailable(
            "sim.physics: 'newton' requires isaaclab_newton and newton, which are not installed; use sim.physics=default"
        )
    return physics if installation.has_sim else "newton"


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


def _extension_version(root: Path) -> tuple[int, ...] | None:
    """Version in the extension's `extension.toml`, next to the package in a checkout, below the package in a wheel."""
    for folder in (root.parent, root / "source" / "isaaclab"):
        try:
            text = (folder / "config" / "extension.toml").read_text()
            return tuple(int(part) for part in tomllib.loads(text)["package"]["version"].split(".")[:3])
        except (OSError, ValueError, KeyError):
            continue
    return None


KNOWN_FLAGS = {
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
"""Flag -> whether it takes a value; recognizes launcher flags in error messages when Isaac Lab is not installed."""

PINOCCHIO = "--enable_pinocchio"
"""Flag that the scripts of Isaac Lab 2.3 add: its launcher reads the flag, but the launcher's parser does not define it."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"sim.launcher_args: {message}")


def launcher_flags() -> dict[str, bool]:
    """Flags of Isaac Lab's launcher: flag -> whether it takes a value.

    Raises:
        SimulatorUnavailable: Isaac Lab's launcher is not installed.
    """
    actions = [
        action for action in _parser()._actions if action.help != argparse.SUPPRESS or action.dest == "enable_pinocchio"
    ]
    return {name: action.nargs != 0 for action in actions for name in action.option_strings}


def parse_launcher_args(words: Sequence[str]) -> argparse.Namespace:
    """Parse flags such as `--viz=none` to the arguments that Isaac Lab's launcher takes.

    Raises:
        ConfigError: a flag is unknown, or its value is not valid.
        SimulatorUnavailable: Isaac Lab's launcher is not installed.
    """
    return _parser().parse_args(list(words))


@cache
def _parser() -> argparse.ArgumentParser:
    find_installation()
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.set_defaults(script=sys.argv[0])  # The launcher warns about a parser without arguments or defaults.
    try:
        # The launcher parses and prints the command line here; Isaac Sim's package prints when it is imported.
        with replaced_command_line([]), redirect_stdout(StringIO()):
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
def replaced_command_line(words: Sequence[str]) -> Iterator[None]:
    """Replace the arguments in `sys.argv` by `words` within the context: Isaac Sim reads its own flags from there."""
    before = sys.argv[1:]
    sys.argv[1:] = words
    try:
        yield
    finally:
        sys.argv[1:] = before
