"""Engines outside of this package: `sim=<module>:<class>`, or the name of an entry point. Fast to import."""

import sys
import traceback
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.command_lines import program
from isaaclab_mimic_ext.errors import ConfigError, UsageError, choices

GROUP = "isaaclab_mimic_ext.engines"
"""Entry point group in which an installed package names its engines: name -> `<module>:<class>`."""
PAGE = "docs/new_engine.md"

EngineClass = Callable[..., Any]


@cache
def installed_engines() -> dict[str, EntryPoint]:
    """Engines that installed packages name in their entry points, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def is_external(engine: str) -> bool:
    """Return whether an engine is `<module>:<class>`, or the name of an entry point."""
    return ":" in engine or engine in installed_engines()


def load_engine(engine: str) -> EngineClass:
    """Class of an engine outside of this package.

    The module is searched in Python's path, in the folders of `--config-dir`, and in the working folder.

    Raises:
        ConfigError: the module or the class is not found, cannot be imported, or is not an engine.
    """
    target = installed_engines()[engine].value if engine in installed_engines() else engine
    module_name, _, class_name = target.partition(":")
    if not class_name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise ConfigError(f"sim.engine: must be <module>:<class>, e.g. planar:PlanarEnv (got '{target}')")
    found = getattr(_imported(module_name), class_name, None)
    if found is None:
        names = [name for name, value in vars(_imported(module_name)).items() if _is_own_class(value, module_name)]
        raise ConfigError(f"sim.engine: class '{class_name}' is not in module '{module_name}'; {choices(class_name, names)}")
    if not isinstance(found, type):
        raise ConfigError(f"sim.engine: '{target}' must be a class (got {found!r}); see {PAGE}")
    _check_methods(target, found)
    return found


def _is_own_class(value: Any, module: str) -> bool:
    return isinstance(value, type) and value.__module__ == module


def _imported(name: str) -> Any:
    folders = [*map(str, program.config_dirs), str(Path.cwd())]
    # At the end: modules of these folders must not shadow installed modules.
    sys.path.extend(folder for folder in folders if folder not in sys.path)
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"sim.engine: module '{name}' not found in Python's path, in {', '.join(dict.fromkeys(folders))}; check its "
                "name, or give its folder with --config-dir <folder>"
            ) from error
        if isinstance(error, UsageError):
            raise
        reason = " ".join(str(error).split())
        raise ConfigError(f"sim.engine: module '{name}' cannot be imported: {type(error).__name__}: {reason}") from error


def _check_methods(target: str, engine: type) -> None:
    """Check that a class has the methods of `MimicEnv`. Its attributes may be set when it is created."""
    from isaaclab_mimic_ext.envs.base import METHODS

    missing = [*sorted(getattr(engine, "__abstractmethods__", ())), *(name for name in METHODS if not hasattr(engine, name))]
    if len(missing) > len(METHODS) // 2:
        raise ConfigError(f"sim.engine: '{target}' is not an engine; it must have the methods of MimicEnv, see {PAGE}")
    if missing:
        raise ConfigError(f"sim.engine: '{target}' lacks {', '.join(missing)}; define what is missing, see {PAGE}")


def create_env(engine: str, task: Any, events: Any, num_envs: int, device: Any) -> Any:
    """Create N environments of an engine outside of this package, without any check of their values.

    Raises:
        ConfigError: the engine is not found, or lacks a method.
    """
    env = load_engine(engine)(task, events, num_envs, device)
    env.engine = engine
    return env


def make_external(engine: str, task: Any, events: Any, num_envs: int, device: Any) -> Any:
    """Create N environments of an engine outside of this package, and check shapes, poses and placement after a reset.

    Raises:
        ConfigError: the engine is not found, raises an error, or returns wrong values.
    """
    from isaaclab_mimic_ext.envs.engine_checks import RuleViolation

    try:
        env = create_env(engine, task, events, num_envs, device)
        _check_values(env, task)
    except UsageError:
        raise
    except RuleViolation as violation:
        raise ConfigError(f"sim.engine: '{engine}': {violation}; run `mimic check-engine {engine}`") from violation
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason = " ".join(str(error).split())
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        raise ConfigError(f"sim.engine: '{engine}' raises {type(error).__name__}: {reason} ({place})") from error
    return env


def _check_values(env: Any, task: Any) -> None:
    import torch

    from isaaclab_mimic_ext.envs.base import ATTRIBUTES
    from isaaclab_mimic_ext.envs.engine_checks import check_placement, check_poses, check_shapes, require
    from isaaclab_mimic_ext.rng import Draws

    missing = [name for name in ATTRIBUTES if not hasattr(env, name)]
    require(not missing, f"{', '.join(missing)} not found; define all members of MimicEnv")
    ids = torch.arange(env.num_envs, device=env.device)
    env.reset(ids, Draws(0, ids))
    check_shapes(env)
    check_poses(env)
    check_placement(env, task)
