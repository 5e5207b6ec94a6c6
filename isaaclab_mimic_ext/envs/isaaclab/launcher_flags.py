"""Flags of Isaac Lab's launcher, of the installed release and of release 2.3."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache
from io import StringIO
from typing import NoReturn

from isaaclab_mimic_ext.envs.isaaclab.installation import OTHER_ENGINE, find_installation
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable

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
FLAGS_OF_2_3 = {"--headless": False, "--enable_cameras": False, "--rendering_mode": True, PINOCCHIO: False}
"""Flags of release 2.3 -> whether they take a value. The parser of release 3 lacks them, but users still write them."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"sim.launcher_args: {message}")


def launcher_flags() -> dict[str, bool]:
    """Flags of Isaac Lab's launcher: flag -> whether it takes a value.

    Raises:
        SimulatorUnavailable: Isaac Lab's launcher is not installed.
    """
    actions = [action for action in _parser()._actions if action.help != argparse.SUPPRESS]
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
    installation = find_installation()
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.set_defaults(script=sys.argv[0])  # The launcher warns about a parser without arguments or defaults.
    try:
        # The launcher parses and prints the command line here; Isaac Sim's package prints when it is imported.
        with replaced_command_line([]), redirect_stdout(StringIO()):
            if installation.is_3:
                from isaaclab.app import add_launcher_args
            else:
                from isaaclab.app import AppLauncher

                add_launcher_args = AppLauncher.add_app_launcher_args
            add_launcher_args(parser)
    except (ImportError, KeyError) as error:
        raise SimulatorUnavailable(
            f"sim.engine: Isaac Lab's launcher cannot be imported ({error}); install Isaac Sim, or {OTHER_ENGINE}"
        ) from error
    for flag, takes_value in FLAGS_OF_2_3.items():
        if flag not in parser._option_string_actions:
            parser.add_argument(flag) if takes_value else parser.add_argument(flag, action="store_true")
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
