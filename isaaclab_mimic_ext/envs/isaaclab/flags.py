"""The flags of Isaac Lab's launcher: which there are, and what their values may be. Its own parser is asked."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache
from io import StringIO
from typing import NoReturn

from isaaclab_mimic_ext.envs.isaaclab.installation import OTHER_ENGINE, find_installation
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable

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
