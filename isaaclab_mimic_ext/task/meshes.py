"""Objects from mesh files: their configuration, and their entry in files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task.robot import is_number

COLLISIONS = ("parts", "hull", "primitives")
AXES = ("x", "y", "z", "-x", "-y", "-z")


@dataclass
class ObjectCfg:
    """Mesh that replaces the shape of an object. The center of its bottom is at that of the object."""

    mesh: Any = None
    """File of the mesh (.obj, .stl, .ply, .glb, .gltf, .off), or a list of files, of which each trial draws one; null: the
    shape that the task defines."""
    scale: Any = 1.0
    """Factor from the units of the file to m (0.001 for a file in mm), or a list of three, along x, y and z of the file."""
    up: str = "z"
    """Axis of the file that points up: `x`, `y`, `z`, `-x`, `-y` or `-z`."""
    yaw: float = 0.0
    """Rotation of the mesh about the vertical axis of the object, after `up` [rad]."""
    collision: str = "parts"
    """Shape for contacts: `parts` (convex parts, by CoACD), `hull` (convex hull) or `primitives` (a box or an upright
    cylinder around each convex part)."""
    max_parts: int = 16
    """Largest number of convex parts."""
    mass: float | None = None
    """Mass [kg]; null: from `density` and the volume of the mesh."""
    density: float = 500.0
    """Density [kg/m^3], without effect if `mass` is set."""
    rgba: list[float] | None = None
    """Color and opacity, four numbers from 0 to 1; null: that of the file, or gray."""

    @property
    def factors(self) -> tuple[float, float, float]:
        """Factors of the units along x, y and z of the file."""
        values = self.scale if isinstance(self.scale, list | tuple) else [self.scale] * 3
        x, y, z = (float(value) for value in values)
        return x, y, z

    @property
    def files(self) -> tuple[str, ...]:
        """Files of the meshes; empty without a mesh."""
        if self.mesh is None:
            return ()
        return tuple(self.mesh) if isinstance(self.mesh, list | tuple) else (self.mesh,)

    @property
    def of_files(self) -> "tuple[ObjectCfg, ...]":
        """The same values with each of the files alone."""
        return tuple(replace(self, mesh=path) for path in self.files)


def check_object(name: str, cfg: ObjectCfg) -> None:
    """Check the values of an object.

    Raises:
        ConfigError: a value is not valid, or has no effect.
    """
    place = f"objects.{name}"
    if cfg.mesh is None:
        given = [field for field, value in asdict(cfg).items() if value != getattr(ObjectCfg(), field)]
        if given:
            raise ConfigError(f"{place}.{given[0]}: has no effect without a mesh; set {place}.mesh=<file>")
        return
    _check_files(f"{place}.mesh", cfg)
    scales = cfg.scale if isinstance(cfg.scale, list | tuple) else [cfg.scale] * 3
    if len(scales) != 3 or not all(is_number(value) and value > 0 for value in scales):
        raise ConfigError(f"{place}.scale: must be a number > 0, or three of them (got {cfg.scale!r})")
    if not is_number(cfg.yaw):
        raise ConfigError(f"{place}.yaw: must be a number in rad (got {cfg.yaw!r})")
    for field, values in (("up", AXES), ("collision", COLLISIONS)):
        if getattr(cfg, field) not in values:
            raise ConfigError(f"{place}.{field}: must be one of {', '.join(values)} (got {getattr(cfg, field)!r})")
    for field, least in (("max_parts", 1), ("mass", 0), ("density", 0)):
        value = getattr(cfg, field)
        if value is not None and not (is_number(value) and (value > 0 and value >= least)):
            raise ConfigError(f"{place}.{field}: must be {f'>= {least}' if least else '> 0'} (got {value!r})")
    if cfg.rgba is not None and not (len(cfg.rgba) == 4 and all(is_number(each) and 0 <= each <= 1 for each in cfg.rgba)):
        raise ConfigError(f"{place}.rgba: must be four numbers from 0 to 1 (got {cfg.rgba!r})")


def _check_files(place: str, cfg: ObjectCfg) -> None:
    files = cfg.files
    if not files or not all(isinstance(path, str) and path for path in files):
        raise ConfigError(f"{place}: must be a file, or a list of files (got {cfg.mesh!r})")
    for path in (path for index, path in enumerate(files) if path in files[:index]):
        raise ConfigError(f"{place}: '{path}' is listed twice; list it once")


def lists_of_meshes(objects: Mapping[str, ObjectCfg]) -> dict[str, tuple[str, ...]]:
    """Object -> files of its meshes, for objects with several, of which each trial draws one."""
    return {name: cfg.files for name, cfg in objects.items() if len(cfg.files) > 1}


MESHES = "object_meshes"
"""Key of the meshes in the env_args of a dataset and the identity of a run; it is left out without meshes."""
_DIGEST = "digest"
Digest = str | list[str]
"""SHA-256 of the file of an object, or those of its list of files."""


def meshes_entry(objects: Mapping[str, ObjectCfg], digests: Mapping[str, Digest]) -> dict[str, Any]:
    """Entry with the objects that have a mesh, and the digests of the files; empty if there are none.

    Paths become absolute, so that the entry does not depend on the working folder.
    """
    entry = {}
    for name, cfg in sorted(objects.items()):
        if cfg.mesh is not None:
            paths = [str(Path(path).expanduser().resolve()) for path in cfg.files]
            entry[name] = {**asdict(cfg), "mesh": one_or_all(paths), _DIGEST: digests[name]}
    return {MESHES: entry} if entry else {}


def one_or_all(values: list[str]) -> Digest:
    """The only value, or the list of several: a list of one file is the same as this file."""
    return values[0] if len(values) == 1 else values


def recorded_objects(facts: Mapping[str, Any]) -> dict[str, ObjectCfg]:
    """Objects with a mesh that a file records, by name.

    Args:
        facts: env_args of a dataset, or identity of a run.
    """
    return objects_from(_entry(facts))


def recorded_digests(facts: Mapping[str, Any]) -> dict[str, Digest]:
    """Digests of the mesh files that a file records, by object. `facts` as in `recorded_objects`."""
    return {name: values.get(_DIGEST, "") for name, values in _entry(facts).items()}


def objects_from(values: Mapping[str, Mapping[str, Any]]) -> dict[str, ObjectCfg]:
    """Objects with the values of a file; fields of newer versions are ignored."""
    known = {field.name for field in fields(ObjectCfg)}
    return {name: ObjectCfg(**{key: each for key, each in own.items() if key in known}) for name, own in values.items()}


def _entry(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    found = facts.get(MESHES)
    return found if isinstance(found, Mapping) else {}


def check_names(names: Mapping[str, Any], object_names: tuple[str, ...], task_name: str) -> None:
    """Check that a task has the objects.

    Raises:
        ConfigError: it has not.
    """
    for name in names:
        if name not in object_names:
            raise ConfigError(f"objects: '{name}' is not in the scene of '{task_name}'; {choices(name, object_names)}")
