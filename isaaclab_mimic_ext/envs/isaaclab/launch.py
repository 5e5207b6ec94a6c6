"""Launch of Isaac Lab, once per process and before its modules are imported, and the end of a process that runs it.

With Isaac Sim, the launch starts its application, Kit. Release 3 with Newton physics runs without Kit; there Isaac Lab's
launcher would fail and is not called.
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
    find_installation,
    parse_launcher_args,
    replaced_command_line,
    resolve_physics,
)
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Process:
    """The Isaac Lab that runs in this process: its resolved `sim`, and Kit's application; None before the launch."""

    sim: SimCfg | None = None
    app: Any = None


def launch(sim: SimCfg, device: str, headless: bool, enable_cameras: bool, needs_window: bool = False) -> SimCfg:
    """Launch Isaac Lab and return `sim` with the resolved engine and physics. Later calls in the process only return it.

    Args:
        needs_window: a window that receives key presses is required; release 3 opens a window only on request.

    Raises:
        SimulatorUnavailable: Isaac Lab is not installed, is too old, or does not start.
        ConfigError: this release does not support `sim`, or `headless` contradicts `sim.launcher_args`.
    """
    if _Process.sim is not None:
        return _Process.sim
    installation = find_installation()
    resolved = replace(sim, engine="isaaclab", physics=resolve_physics(installation, sim.physics))
    if needs_window and not installation.has_sim:
        raise SimulatorUnavailable(
            "teleop_device: 'keyboard' requires Isaac Sim, whose window receives the keys, and Isaac Sim is not installed; "
            "choices: scripted, scripted_fluent"
        )
    words = launcher_words(installation, sim.launcher_args, device, headless, enable_cameras, needs_window)
    arguments = parse_launcher_args(words)
    uses_kit_window = "kit" in (getattr(arguments, "visualizer", None) or ())
    if uses_kit_window and not installation.has_sim:
        raise SimulatorUnavailable(
            "sim.launcher_args: --viz=kit requires Isaac Sim, which is not installed; choices: none, newton, rerun, viser"
        )
    if installation.needs_kit(resolved.physics) or uses_kit_window:
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
    needs_window: bool = False,
) -> list[str]:
    """Command line of Isaac Lab's launcher: `launcher_args`, and the flags for `device`, `headless` and `enable_cameras`.

    Raises:
        ConfigError: `headless` is true, and `launcher_args` select a window.
    """
    words = [f"--device={device}", *(["--enable_cameras"] if enable_cameras else [])]
    visualizer = [word for word in launcher_args if word.startswith(("--viz=", "--visualizer="))]
    if headless and visualizer and not visualizer[-1].endswith("=none"):
        raise ConfigError(
            f"headless: must be false with {visualizer[-1]}, which opens a window (got true); remove one of them"
        )
    if headless and not visualizer:
        words.append("--viz=none" if installation.is_3 else "--headless")
    if needs_window and not visualizer and installation.is_3:
        words.append("--viz=kit")
    return [*words, *launcher_args]


def has_window() -> bool:
    """Return whether Isaac Lab was launched with Isaac Sim's window, which receives key presses."""
    app = _Process.app
    return app is not None and not getattr(app, "config", {}).get("headless", True)


def end_process(exit_code: int) -> None:
    """End the process with `exit_code` if Isaac Sim runs in it; otherwise return.

    Closing Isaac Sim ends the process with exit code 0. After a failure, the process therefore ends without closing it.
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
        import pinocchio  # type: ignore[import-not-found]  # noqa: F401  # Must be imported before Isaac Sim's copy.
    try:
        from isaaclab.app import AppLauncher

        # Isaac Sim reads these two flags from the command line.
        read_by_kit = [word for word in launcher_args if word in ("--verbose", "--info")]
        with _preserved_handlers(), replaced_command_line(read_by_kit):
            return AppLauncher(arguments).app
    except (ImportError, KeyError, ValueError, RuntimeError) as error:
        raise SimulatorUnavailable(f"sim.engine: Isaac Sim cannot be started: {type(error).__name__}: {error}") from error


@contextmanager
def _preserved_handlers() -> Iterator[None]:
    """Restore the handlers of signals and logging on exit: Isaac Sim ends with 0 on SIGTERM and has its own log format."""
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
    """Write the settings that Isaac Lab's launcher would write: Kit does not run, and the selected visualizers."""
    from isaaclab.app import AppLauncher
    from isaaclab.app.settings_manager import get_settings_manager

    settings = get_settings_manager()
    for name in ("needs_kit", "has_kit_cameras", "has_kit_visualizer", "has_ovrtx_renderer"):
        settings.set_bool(f"/isaaclab/runtime/{name}", False)
    if getattr(arguments, "visualizer_explicit", False):
        disable_all = arguments.visualizer is None
        AppLauncher.sync_visualizer_cli_settings_to_carb({**vars(arguments), "visualizer_disable_all": disable_all})
