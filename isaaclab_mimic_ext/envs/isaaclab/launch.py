"""Launch of Isaac Lab, once per process and before its modules are imported, and the end of a process that runs it.

With Isaac Sim, the launch starts its application, Kit. Release 3 runs without Kit on OvPhysX and on Newton.
"""

import logging
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.isaaclab.installation import Installation, find_installation, is_installed
from isaaclab_mimic_ext.envs.isaaclab.launcher_flags import parse_launcher_args, replaced_command_line
from isaaclab_mimic_ext.envs.isaaclab.physics import (
    OVPHYSX,
    check_system_libraries,
    launcher_physics,
    needs_kit,
    resolve_physics,
    use_ordinary_memory,
)
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable

log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Process:
    """The Isaac Lab that runs in this process: its resolved `sim`, and Kit's application; None before the launch."""

    sim: SimCfg | None = None
    app: Any = None
    runtime = ExitStack()
    """Release 3: what its launcher started. Ends with the process."""


def launch(sim: SimCfg, device: str, headless: bool, enable_cameras: bool, needs_window: bool = False) -> SimCfg:
    """Launch Isaac Lab and return `sim` with the resolved engine and physics. Later calls in the process only return it.

    Args:
        needs_window: Isaac Sim, if it starts, opens a window that receives key presses; release 3 does so only on request.

    Raises:
        SimulatorUnavailable: Isaac Lab, or a part of it that `sim` requests, is not installed or does not start.
        ConfigError: this release does not support `sim`, or `headless` contradicts `sim.launcher_args`.
    """
    if _Process.sim is not None:
        return _Process.sim
    installation = find_installation()
    resolved = replace(sim, engine="isaaclab", physics=resolve_physics(installation, sim))
    needs_window = needs_window and needs_kit(installation, resolved.physics)
    words = launcher_words(installation, sim.launcher_args, device, headless, enable_cameras, needs_window)
    arguments = parse_launcher_args(words)
    visualizers = getattr(arguments, "visualizer", None) or ()
    check_visualizers(visualizers)
    uses_kit = needs_kit(installation, resolved.physics) or "kit" in visualizers
    if uses_kit and resolved.physics == OVPHYSX:
        raise ConfigError(
            "sim.launcher_args: --viz=kit must not be combined with sim.physics=ovphysx, which runs without Isaac Sim; "
            "use sim.physics=isaacsim_physx"
        )
    if resolved.physics == OVPHYSX:
        check_system_libraries()
    if installation.is_3:
        _Process.app = _start_release_3(arguments, sim.launcher_args, resolved.physics, uses_kit)
    else:
        _Process.app = _start_release_2_3(arguments, sim.launcher_args)
    _Process.sim = resolved
    return resolved


_VISUALIZERS = {
    "kit": ("isaacsim", "Isaac Sim, which is not installed; choices: newton_gl, none, rerun, viser"),
    "rerun": ("rerun", 'rerun, which is not installed; install with `pip install "isaaclab[rerun]==3.0.0"`'),
    "viser": ("viser", 'viser, which is not installed; install with `pip install "isaaclab[viser]==3.0.0"`'),
    "newton_gl": ("pyglet", "pyglet, which is not installed; install with `pip install pyglet imgui-bundle`"),
    "newton_rtx": ("ovrtx", 'ovrtx, which is not installed; install with `pip install "isaaclab[ovrtx]==3.0.0"`'),
}
"""Visualizer -> package that it requires, and the end of the message if the package is missing."""


def check_visualizers(names: Sequence[str]) -> None:
    for name in names:
        package, message = _VISUALIZERS.get(name, (None, ""))
        if package is not None and not is_installed(package):
            raise SimulatorUnavailable(f"sim.launcher_args: --viz={name} requires {message}")


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
        _Process.runtime.close()
    os._exit(exit_code)


def has_kit() -> bool:
    """Return whether Isaac Sim's application runs in this process."""
    return _Process.app is not None


def _start_release_2_3(arguments: Namespace, launcher_args: Sequence[str]) -> Any:
    if getattr(arguments, "enable_pinocchio", False):
        import pinocchio  # type: ignore[import-not-found]  # noqa: F401  # Must be imported before Isaac Sim's copy.
    with _starting(launcher_args):
        from isaaclab.app import AppLauncher

        return AppLauncher(arguments).app


def _start_release_3(arguments: Namespace, launcher_args: Sequence[str], physics: str, uses_kit: bool) -> Any:
    """Start Kit and return its application; or prepare Isaac Lab without Kit for `physics`, and return None."""
    for flag in sorted({word.partition("=")[0] for word in launcher_args} & {"--rendering_mode", "--enable_pinocchio"}):
        log.warning("%s: ignored, because Isaac Lab 3 does not have this flag; remove it", flag)
    values = {name: value for name, value in vars(arguments).items() if name not in ("rendering_mode", "enable_pinocchio")}
    with _starting(launcher_args):
        from isaaclab.app import launch_simulation

        if uses_kit:
            _Process.runtime.enter_context(launch_simulation(None, {**values, "require_kit": True}))
            import omni.kit.app

            return omni.kit.app.get_app()
        from isaaclab.physics import PhysicsCfg

        use_ordinary_memory()
        _Process.runtime.enter_context(launch_simulation(PhysicsCfg(), {**values, "physics": launcher_physics(physics)}))
        return None


@contextmanager
def _starting(launcher_args: Sequence[str]) -> Iterator[None]:
    """Report errors of the launcher in one line, and pass the two flags that Isaac Sim reads from the command line."""
    read_by_kit = [word for word in launcher_args if word in ("--verbose", "--info")]
    try:
        with _preserved_handlers(), replaced_command_line(read_by_kit):
            yield
    except (ImportError, KeyError, ValueError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise SimulatorUnavailable(f"sim.engine: Isaac Lab cannot be started: {reason}") from error
    except SystemExit as ended:
        raise SimulatorUnavailable("sim.engine: Isaac Sim cannot be started; its log above has the reason") from ended


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
