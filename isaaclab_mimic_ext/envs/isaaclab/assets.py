"""Asset files that the configuration of an Isaac Lab env refers to: which ones cannot be read, for an error of one line."""

from collections.abc import Iterator, Mapping
from typing import Any

from isaaclab_mimic_ext.errors import SimulatorUnavailable

_MAX_NAMED = 5
"""Number of files that an error names."""


def is_readable(path: str) -> bool:
    """Return whether an asset exists, locally or on NVIDIA's servers."""
    from isaaclab.utils.assets import check_file_path

    try:
        return bool(check_file_path(path))
    except (ImportError, OSError, RuntimeError):
        return False


def missing_assets(scene_cfg: Any, task_id: str, error: Exception) -> SimulatorUnavailable | None:
    """Error that names the files of a scene's configuration that cannot be read; None if `error` is about something else.

    An asset can be unreadable without harm: the scenes of the included tasks replace NVIDIA's arm if it cannot be reached.
    """
    missing = sorted({path for path in _asset_paths(scene_cfg, set()) if not is_readable(path)})
    if not missing or not (isinstance(error, FileNotFoundError) or any(path in str(error) for path in missing)):
        return None
    root = _asset_root()
    names = ", ".join(path.removeprefix(f"{root}/") for path in missing[:_MAX_NAMED])
    more = f" and {len(missing) - _MAX_NAMED} more" if len(missing) > _MAX_NAMED else ""
    return SimulatorUnavailable(
        f"task.id: '{task_id}' requires assets that cannot be read from {root}: {names}{more}; connect to it, or set "
        "the environment variable ISAACSIM_ASSET_ROOT to a folder with a copy of these assets"
    )


def _asset_root() -> str:
    from isaaclab.utils import assets

    return str(getattr(assets, "NUCLEUS_ASSET_ROOT_DIR", ""))


def _asset_paths(cfg: Any, visited: set[int]) -> Iterator[str]:
    """Values of all fields `usd_path` in a configuration."""
    if id(cfg) in visited:
        return
    visited.add(id(cfg))
    if isinstance(cfg, list | tuple):
        children: Mapping[Any, Any] = dict(enumerate(cfg))
    else:
        children = cfg if isinstance(cfg, Mapping) else getattr(cfg, "__dict__", {})
    for name, child in children.items():
        if name == "usd_path" and isinstance(child, str) and child:
            yield child
        elif not isinstance(child, str | int | float | None | type):
            yield from _asset_paths(child, visited)
