"""Physics of Isaac Lab: the value of `sim.physics`, and the settings of a registered configuration that it selects."""

import ctypes
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.isaaclab.installation import Installation, is_installed
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable, choices

log = logging.getLogger(__name__)

DEFAULT, ISAACSIM, OVPHYSX, NEWTON = "default", "isaacsim_physx", "ovphysx", "newton"
"""Values of `sim.physics`: that of the env's configuration; PhysX of Isaac Sim; PhysX without Isaac Sim; Newton."""
_AUTOMATIC = "physx"
"""Isaac Lab's name for PhysX of Isaac Sim if Isaac Sim runs, otherwise OvPhysX."""
_SYSTEM_LIBRARIES = {"libGL.so.1": "libgl1", "libX11.so.6": "libx11-6"}
"""System libraries that OvPhysX loads, and their packages on Debian and Ubuntu."""
_NEWTON_PRESET = "newton_mjwarp"
"""Isaac Lab's name for Newton with MuJoCo's solver."""

INSTALL_OVPHYSX = 'install with `pip install "isaaclab[ovphysx]==3.0.0"`'
_INSTALL_NEWTON = "install with `pip install isaaclab==3.0.0`"
_INSTALL_OVRTX = 'install with `pip install "isaaclab[ovrtx]==3.0.0"`'


def resolve_physics(installation: Installation, sim: SimCfg) -> str:
    """Physics that `sim.physics` selects on this installation.

    `default` is the physics of the env's configuration with Isaac Sim, and OvPhysX without. Names that only some tasks of
    release 3 have (`newton_kamino`) are checked when the task is loaded.

    Raises:
        ConfigError: a preset is selected, and Isaac Lab 2.3 has none.
        SimulatorUnavailable: the physics is not installed.
    """
    physics = sim.physics
    if not installation.is_3:
        _check_release_2_3(sim)
        return DEFAULT
    if physics in (DEFAULT, _AUTOMATIC) and not installation.has_sim:
        physics = OVPHYSX
    physics = {_AUTOMATIC: ISAACSIM, _NEWTON_PRESET: NEWTON}.get(physics, physics)
    if physics == ISAACSIM and not installation.has_sim:
        raise SimulatorUnavailable(
            f"sim.physics: '{physics}' requires Isaac Sim, which is not installed; use sim.physics=ovphysx"
        )
    if physics == OVPHYSX and not installation.has_ovphysx:
        other = f", or use sim.physics={NEWTON}" if installation.has_newton else ""
        raise SimulatorUnavailable(f"sim.physics: '{OVPHYSX}' is not installed; {INSTALL_OVPHYSX}{other}")
    if physics.startswith(NEWTON) and not installation.has_newton:
        raise SimulatorUnavailable(f"sim.physics: '{physics}' requires Newton, which is not installed; {_INSTALL_NEWTON}")
    return physics


def _check_release_2_3(sim: SimCfg) -> None:
    if sim.physics not in (DEFAULT, _AUTOMATIC, ISAACSIM):
        raise ConfigError(f"sim.physics: '{sim.physics}' requires Isaac Lab 3 (got 2.3); use sim.physics=default")
    for name in ("renderer", "presets"):
        if getattr(sim, name):
            raise ConfigError(f"sim.{name}: requires Isaac Lab 3 (got 2.3); remove it")


def needs_kit(installation: Installation, physics: str) -> bool:
    """Return whether Isaac Sim's application (Kit) must run for a resolved `sim.physics`."""
    return installation.has_sim and physics in (DEFAULT, ISAACSIM)


def launcher_physics(physics: str) -> str:
    """Name of a resolved `sim.physics` without Kit for Isaac Lab's launcher."""
    return OVPHYSX if physics == OVPHYSX else _NEWTON_PRESET


def select_presets(env_cfg: Any, task_id: str, sim: SimCfg) -> Any:
    """Resolve the presets in the configuration of a task of release 3: physics, renderer and others.

    Raises:
        ConfigError: a selected preset does not exist in the configuration.
    """
    from isaaclab_tasks.utils import resolve_presets
    from isaaclab_tasks.utils.hydra import collect_presets
    from isaaclab_tasks.utils.preset_target import PresetTarget

    names: dict[Any, set[str]] = {target: set() for target in PresetTarget}
    for options in collect_presets(env_cfg).values():
        for name, option in options.items():
            target = next((target for target in PresetTarget if target.matches(option)), PresetTarget.DOMAIN)
            names[target].add(name)
    aliases = PresetTarget.all_legacy_aliases()
    physics = _physics_preset(sim.physics, task_id, names[PresetTarget.PHYSICS] - {DEFAULT})
    renderer = [] if sim.renderer is None else [aliases.get(sim.renderer, sim.renderer)]
    others = [aliases.get(name, name) for name in sim.presets]
    _check_presets("sim.renderer", task_id, renderer, names[PresetTarget.RENDERER])
    _check_presets("sim.presets", task_id, others, set().union(*names.values()))
    try:
        env_cfg = resolve_presets(env_cfg, (*physics, *renderer, *others))
    except ValueError as error:
        raise ConfigError(f"sim.presets: cannot be combined for '{task_id}': {error}") from error
    _set_physics(env_cfg, sim.physics)
    return env_cfg


def _check_presets(place: str, task_id: str, selected: Iterable[str], valid: set[str]) -> None:
    for name in selected:
        if name not in valid:
            raise ConfigError(f"{place}: '{name}' is not a preset of '{task_id}'; {choices(name, valid - {DEFAULT})}")


def _physics_preset(physics: str, task_id: str, valid: set[str]) -> list[str]:
    """Name of the preset for a resolved `sim.physics`; none if the configuration has its physics without a choice.

    Raises:
        ConfigError: the configuration has no such preset.
    """
    if physics == DEFAULT:
        return []
    if physics == OVPHYSX:
        # Most tasks have settings only for PhysX of Isaac Sim. `_set_physics` replaces them.
        return [name for name in (OVPHYSX, _AUTOMATIC, ISAACSIM) if name in valid][:1]
    if physics == ISAACSIM and ISAACSIM not in valid:
        return [name for name in (_AUTOMATIC,) if name in valid]
    name = _NEWTON_PRESET if physics == NEWTON else physics
    if name not in valid:
        ovphysx = "" if OVPHYSX in valid else f"; {OVPHYSX} runs it with Isaac Lab's default settings"
        raise ConfigError(f"sim.physics: '{physics}' is not a preset of '{task_id}'; {choices(name, valid)}{ovphysx}")
    return [name]


def _set_physics(env_cfg: Any, physics: str) -> None:
    if physics != OVPHYSX:
        return
    from isaaclab_ov.physics import OvPhysxCfg

    selected = getattr(env_cfg.sim.physics, OVPHYSX, env_cfg.sim.physics)
    env_cfg.sim.physics = selected if isinstance(selected, OvPhysxCfg) else OvPhysxCfg()


def check_runtime(env_cfg: Any, task_id: str, has_kit: bool) -> None:
    """Check that the process runs what a configuration of release 3 needs, and resolve its automatic renderers.

    Raises:
        SimulatorUnavailable: the configuration needs Isaac Sim, or a renderer that is not installed.
        ConfigError: parts of the configuration exclude each other.
    """
    from isaaclab.app import validate_launch

    if has_kit:
        return
    try:
        found, sources = validate_launch(env_cfg, {})
    except ValueError as error:
        if "Kit-based renderer" not in str(error):
            raise ConfigError(f"task.id: '{task_id}' cannot run: {str(error).splitlines()[0]}") from error
        found, sources = None, ("RTX cameras",)
    if sources:
        has_cameras = found is None or found.has_kit_camera
        needed = "RTX cameras, which require Isaac Sim" if has_cameras else f"{sources[0]}, which requires Isaac Sim"
        raise SimulatorUnavailable(f"task.id: '{task_id}' has {needed}, and Isaac Sim does not run; install Isaac Sim")
    if found is not None and found.has_ovrtx and not is_installed("ovrtx"):
        raise SimulatorUnavailable(
            f"sim.renderer: RTX without Isaac Sim requires ovrtx, which is not installed; {_INSTALL_OVRTX}"
        )


def use_ordinary_memory() -> None:
    """Let Warp allocate pinned host memory as ordinary memory where it cannot be pinned: without a CUDA driver.

    Isaac Lab's assets for OvPhysX request pinned memory on the CPU, too.
    """
    import warp as wp

    from isaaclab_mimic_ext.kernels import initialize

    initialize()
    if not wp.is_cuda_available():
        cpu = wp.get_device("cpu")
        cpu.pinned_allocator = cpu.default_allocator  # type: ignore[assignment]


def check_system_libraries(libraries: Mapping[str, str] = _SYSTEM_LIBRARIES) -> None:
    """Check that the system libraries of OvPhysX can be loaded. Its own error does not name the one that is missing.

    Raises:
        SimulatorUnavailable: a library is missing.
    """
    for library, package in libraries.items():
        try:
            ctypes.CDLL(library)
        except OSError as error:
            raise SimulatorUnavailable(
                f"sim.physics: 'ovphysx' requires the system library {library}, which cannot be loaded; install it, "
                f"e.g. with `apt-get install {package}`"
            ) from error
