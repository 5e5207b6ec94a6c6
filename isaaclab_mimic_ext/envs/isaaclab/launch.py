"""Starts what Isaac Lab needs before anything of it is imported, once a process, and ends the process in order.

With Isaac Sim that is its application, Kit. Release 3 on Newton physics needs none (kit-less), and its launcher would fail.
"""

import logging
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.isaaclab.installation import (
    Installation,
    command_line,
    find_installation,
    parse_launcher_args,
    resolve_physics,
)
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Process:
    """What of Isaac Lab runs in this process."""

    sim: SimCfg | None = None
    app: Any = None


def launch(sim: SimCfg, device: str, headless: bool, enable_cameras: bool, wants_window: bool = False) -> SimCfg:
    """Start Isaac Lab; what it runs with, engine and physics named. A second call in one process does nothing.

    Args:
        wants_window: keys are to be pressed in it; release 3 opens none unasked.

    Raises:
        SimulatorUnavailable: it is not installed, too old, or does not start.
        ConfigError: `sim` asks for what this release has not, or for a window without one.
    """
    if _Process.sim is not None:
        return _Process.sim
    installation = find_installation()
    resolved = replace(sim, engine="isaaclab", physics=resolve_physics(installation, sim.physics))
    if wants_window and not installation.has_sim:
        raise SimulatorUnavailable(
            "teleop_device: 'keyboard' takes its keys from Isaac Sim's window, and Isaac Sim is not installed; choices: "
            "scripted, scripted_fluent"
        )
    words = launcher_words(installation, sim.launcher_args, device, headless, enable_cameras, wants_window)
    arguments = parse_launcher_args(words)
    wants_kit = "kit" in (getattr(arguments, "visualizer", None) or ())
    if wants_kit and not installation.has_sim:
        raise SimulatorUnavailable(
            "sim.launcher_args: --viz=kit needs Isaac Sim, which is not installed; choices: none, newton, rerun, viser"
        )
    if installation.needs_kit(resolved.physics) or wants_kit:
        _Process.app = _start_kit(arguments, sim.launcher_args)
    else:
        _prepare_without_kit(arguments)
    _Process.sim = resolved
    return resolved


def launcher_words(
    installation: Installation,
    launcher_args: Sequence[str],
    device: str,
    headless: bool,
    enable_cameras: bool,
    wants_window: bool = False,
) -> list[str]:
    """The command line of Isaac Lab's launcher: its own flags, and those that are fields of ours.

    Raises:
        ConfigError: no window is wanted, and one is asked for.
    """
    words = [f"--device={device}", *(["--enable_cameras"] if enable_cameras else [])]
    visualizer = [word for word in launcher_args if word.startswith(("--viz=", "--visualizer="))]
    if headless and visualizer and not visualizer[-1].endswith("=none"):
        raise ConfigError(f"headless: true, but {visualizer[-1]} asks for a window; leave one of them out")
    if headless and not visualizer:
        words.append("--viz=none" if installation.is_3 else "--headless")
    if wants_window and not visualizer and installation.is_3:
        words.append("--viz=kit")
    return [*words, *launcher_args]


def has_window() -> bool:
    """Whether Isaac Lab was launched with a window of its own, in which keys can be pressed."""
    app = _Process.app
    return app is not None and not getattr(app, "config", {}).get("headless", True)


def end_process(exit_code: int) -> None:
    """End the process with this code, where Isaac Sim runs in it; elsewhere nothing happens.

    Closing Isaac Sim ends the process with 0, whatever there was to say: a failure ends without that.
    """
    if _Process.app is None:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if exit_code == 0:
        _Process.app.close()
    os._exit(exit_code)


def _start_kit(arguments: Namespace, launcher_args: Sequence[str]) -> Any:
    if getattr(arguments, "enable_pinocchio", False):
        import pinocchio  # type: ignore[import-not-found]  # noqa: F401  # Has to be loaded before Isaac Sim's own.
    try:
        from isaaclab.app import AppLauncher

        # Isaac Sim reads the command line for these two.
        read_by_kit = [word for word in launcher_args if word in ("--verbose", "--info")]
        with _handlers_kept(), command_line(read_by_kit):
            return AppLauncher(arguments).app
    except (ImportError, KeyError, ValueError, RuntimeError) as error:
        raise SimulatorUnavailable(f"sim.engine: Isaac Sim does not start: {type(error).__name__}: {error}") from error


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Signals and logging stay ours: Isaac Sim's answer to SIGTERM is to end with 0, and its log has its own format."""
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    root = logging.getLogger()
    root_handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        root.handlers[:] = root_handlers
        root.setLevel(level)


def _prepare_without_kit(arguments: Namespace) -> None:
    """Tell Isaac Lab what its launcher would have told it: that there is no Kit, and which visualizers are wanted."""
    from isaaclab.app import AppLauncher
    from isaaclab.app.settings_manager import get_settings_manager

    settings = get_settings_manager()
    for name in ("needs_kit", "has_kit_cameras", "has_kit_visualizer", "has_ovrtx_renderer"):
        settings.set_bool(f"/isaaclab/runtime/{name}", False)
    if getattr(arguments, "visualizer_explicit", False):
        disable_all = arguments.visualizer is None
        AppLauncher.sync_visualizer_cli_settings_to_carb({**vars(arguments), "visualizer_disable_all": disable_all})
