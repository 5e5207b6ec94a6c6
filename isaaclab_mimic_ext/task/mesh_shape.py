"""Shape of a mesh file: read, checked and placed in the frame of an object, with its convex parts and its mass."""

# V vertices, F faces

import logging
import math
import os
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task.meshes import Digest, ObjectCfg, one_or_all

Floats = NDArray[np.float64]
Indices = NDArray[np.int32]
Rgba = tuple[float, float, float, float]

FORMATS = (".obj", ".stl", ".ply", ".glb", ".gltf", ".off")
_MAX_SIDE, _MIN_SIDE = 1.0, 0.005
"""Largest and smallest longest side of an object [m]; the table is 1.2 m long."""
_MAX_FACES = 200_000
"""Largest number of triangles, which MuJoCo's viewer and the studio's page draw."""
_UNITS = {1.0: "m", 0.001: "mm", 0.01: "cm", 0.0254: "inches", 1000.0: "km"}
_CONVEX = 0.99
"""Ratio of the volumes of a mesh and its hull from which the hull replaces the mesh."""
_THRESHOLD = 0.05
"""Concavity at which CoACD ends, no unit."""
_NUM_DIRECTIONS = 36
_GRAY: Rgba = (0.72, 0.74, 0.78, 1.0)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConvexPart:
    """Convex part of a shape: a mesh, or a primitive around it.

    Attributes:
        kind: `mesh`, `box` or `cylinder`.
        vertices, faces: (V, 3) [m] and (F, 3), in the frame of the object.
        center, half_size: of the bounding box, or of the cylinder: radius, radius and half height [m].
    """

    kind: str
    vertices: Floats
    faces: Indices
    center: tuple[float, float, float]
    half_size: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class MeshShape:
    """Shape of an object from a mesh, in the frame of the object [m].

    Attributes:
        vertices, faces: (V, 3) [m] and (F, 3), for pictures.
        parts: convex parts, for contacts.
        mass: mass [kg].
        center_of_mass: (3,) [m].
        inertia: (3, 3), about the center of mass [kg m^2].
        rgba: color and opacity.
        digest: SHA-256 of the file.
    """

    vertices: Floats
    faces: Indices
    parts: tuple[ConvexPart, ...]
    mass: float
    center_of_mass: Floats
    inertia: Floats
    rgba: Rgba
    digest: str

    @property
    def low(self) -> Floats:
        """Lowest coordinates of the vertices, (3,) [m]."""
        return cast(Floats, self.vertices.min(0))

    @property
    def high(self) -> Floats:
        """Highest coordinates of the vertices, (3,) [m]."""
        return cast(Floats, self.vertices.max(0))

    @property
    def radius(self) -> float:
        """Radius of the vertical cylinder about the z axis of the object that contains the mesh [m]."""
        return float(np.hypot(self.vertices[:, 0], self.vertices[:, 1]).max())

    def width_at(self, point: tuple[float, float, float]) -> float | None:
        """Smallest horizontal width of the mesh across a point [m]; None if no horizontal line through it meets both sides.

        In the solid, such as the wall of a cup, the width is that of the wall. In a hollow, it is that of the whole object.
        """
        angles = np.arange(_NUM_DIRECTIONS) * (math.pi / _NUM_DIRECTIONS)
        # Off the exact coordinates of vertices, which lines would touch or miss.
        start = np.add(point, (1.1e-6, 1.7e-6, 2.3e-6))
        triangles = self.vertices[self.faces]
        # Horizontal lines meet only triangles at their height.
        triangles = triangles[(triangles[..., 2].min(1) <= start[2]) & (triangles[..., 2].max(1) >= start[2])]
        widths = [
            _width_along(triangles, start, np.array([math.cos(angle), math.sin(angle), 0.0])) for angle in angles + 1e-3
        ]
        found = [width for width in widths if width is not None]
        return min(found) if found else None


def _width_along(triangles: Floats, start: Floats, direction: Floats) -> float | None:
    hits = _crossings(triangles, start, direction)
    ahead, behind = hits[hits > 0], -hits[hits < 0]
    if not len(ahead) or not len(behind):
        return None
    is_inside = len(ahead) % 2 == 1
    return float(ahead.min() + behind.min() if is_inside else ahead.max() + behind.max())


def _crossings(triangles: Floats, start: Floats, direction: Floats) -> Floats:
    """Distances along a line at which it crosses triangles (F, 3, 3) [m]. Source: Möller and Trumbore, 1997."""
    corner, first, second = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    normal = np.cross(direction, second)
    det = (first * normal).sum(-1)
    is_crossed = np.abs(det) > 1e-15
    inverse = 1.0 / np.where(is_crossed, det, 1.0)
    offset = start - corner
    u = (offset * normal).sum(-1) * inverse
    across = np.cross(offset, first)
    v = (direction * across).sum(-1) * inverse
    inside = is_crossed & (u >= 0) & (v >= 0) & (u + v <= 1)
    return cast(Floats, ((second * across).sum(-1) * inverse)[inside])


def load_shape(name: str, cfg: ObjectCfg, bottom: tuple[float, float, float]) -> MeshShape:
    """Read the mesh of an object and place it.

    A file is read once, and again if it was changed.

    Args:
        name: name of the object, for errors.
        bottom: center of the bottom of the object in its frame [m], at which that of the mesh is placed.

    Raises:
        ConfigError: the file is missing or not a mesh, or its shape is not that of one closed body of a plausible size.
    """
    looks = None if cfg.rgba is None else tuple(cfg.rgba)
    path, digest = str(Path(cfg.mesh).expanduser()), _digest_of(name, cfg)
    return _shape(
        name, path, digest, cfg.factors, cfg.up, cfg.yaw, cfg.collision, cfg.max_parts, cfg.mass, cfg.density, looks, bottom
    )


def digests_of(name: str, cfg: ObjectCfg) -> Digest:
    """SHA-256 of the mesh file of an object, or those of its list of files.

    Raises:
        ConfigError: a file cannot be read, or is not of a known format.
    """
    return one_or_all([_digest_of(name, each) for each in cfg.of_files])


def _digest_of(name: str, cfg: ObjectCfg) -> str:
    path, place = Path(cfg.mesh).expanduser(), f"objects.{name}.mesh"
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{place}: '{cfg.mesh}' is not a mesh file; {choices(path.suffix.lower(), FORMATS)}")
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"{place}: '{cfg.mesh}' cannot be read ({error.strerror}); correct the path") from error


@cache
def _shape(
    name: str, path: str, digest: str, factors: tuple[float, ...], up: str, yaw: float, collision: str, max_parts: int,
    mass: float | None, density: float, rgba: tuple[float, ...] | None, bottom: tuple[float, float, float],
) -> MeshShape:  # fmt: skip
    mesh = _read(name, path)
    mesh.vertices = mesh.vertices * np.array(factors) @ _rotation(up, yaw).T
    _check_scale(name, path, mesh, factors)
    _check_closed(name, path, mesh, may_be_open=collision == "hull" and mass is not None)
    low, high = mesh.bounds
    # Convex parts are computed and kept with the center of the bottom in the origin, so that all objects share them.
    mesh.vertices = mesh.vertices - (*(low + high)[:2] / 2, low[2])
    hull = _hull(name, path, mesh)
    solid = mesh if mesh.is_watertight else hull
    is_convex = collision == "hull" or solid.volume > _CONVEX * hull.volume
    convex = [hull] if is_convex else _decomposed(name, mesh, digest, max_parts)
    solid.density = density if mass is None else mass / solid.volume
    color = rgba or _color_of(mesh)
    for each in (mesh, *convex):
        each.apply_translation(bottom)
    return MeshShape(
        np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32),
        tuple(_part(each, "mesh" if collision != "primitives" else None) for each in convex),
        float(solid.mass), np.array(solid.center_mass), np.array(solid.moment_inertia), cast(Rgba, color), digest,
    )  # fmt: skip


def _trimesh() -> Any:
    """The library that reads meshes.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import networkx  # noqa: F401 - trimesh imports both when it needs them.
        import scipy  # noqa: F401
        import trimesh
    except ImportError as error:
        raise ConfigError(
            f"objects: meshes require trimesh and scipy ({error}); install with `pip install isaaclab-mimic-ext[meshes]`"
        ) from error
    return trimesh


def _read(name: str, path: str) -> Any:
    place, trimesh = f"objects.{name}.mesh", _trimesh()
    try:
        mesh = trimesh.load(path, force="mesh")
    except Exception as error:  # Parsers of many formats, which raise many types of errors.
        reason = " ".join(str(error).split()) or type(error).__name__
        fault = f"'{path}' cannot be read as a mesh ({reason})"
        raise ConfigError(f"{place}: {fault}; export it again as .obj or .stl") from error
    faces = getattr(mesh, "faces", None)
    if faces is None or not len(faces):
        raise ConfigError(f"{place}: '{path}' has no triangles; export a surface, not points or curves")
    if len(faces) > _MAX_FACES:
        raise ConfigError(f"{place}: '{path}' has {len(faces)} triangles, more than {_MAX_FACES}; simplify it")
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    mesh.update_faces(mesh.nondegenerate_faces())
    mesh.remove_unreferenced_vertices()
    num_bodies = mesh.body_count
    if num_bodies > 1:
        remedy = "unite them into one surface, or export one of them"
        raise ConfigError(f"{place}: '{path}' has {num_bodies} separate bodies, an object is one; {remedy}")
    if mesh.is_watertight:
        mesh.fix_normals()
    return mesh


def _check_scale(name: str, path: str, mesh: Any, factors: tuple[float, ...]) -> None:
    side = float(mesh.extents.max())
    if _MIN_SIDE <= side <= _MAX_SIDE:
        return
    # The side without `scale`: the remedy replaces it. Three factors may be a deliberate change of shape.
    own_side = side / factors[0] if len({*factors}) == 1 else math.nan
    likely = [(unit, factor) for factor, unit in _UNITS.items() if _is_likely(own_side * factor)]
    units = [f"{unit}: set objects.{name}.scale={factor:g}" for unit, factor in likely]
    remedy = f"its units may be {' or '.join(units)}" if units else f"change objects.{name}.scale"
    limits = f"between {1000 * _MIN_SIDE:g} mm and {_MAX_SIDE:g} m"
    raise ConfigError(f"objects.{name}.mesh: '{path}' is {side:.3g} m long, must be {limits}; {remedy}")


def _is_likely(side: float) -> bool:
    return 0.01 <= side <= 0.6


def _check_closed(name: str, path: str, mesh: Any, may_be_open: bool) -> None:
    if mesh.is_watertight or may_be_open:
        return
    _, counts = np.unique(mesh.edges_sorted, axis=0, return_counts=True)
    raise ConfigError(
        f"objects.{name}.mesh: '{path}' is not watertight ({int((counts != 2).sum())} edges without exactly two triangles), "
        f"so that its volume is unknown; close it, or set objects.{name}.collision=hull and objects.{name}.mass"
    )


def _hull(name: str, path: str, mesh: Any) -> Any:
    """Convex hull of a mesh.

    Raises:
        ConfigError: the mesh is flat.
    """
    try:
        hull = mesh.convex_hull
    except Exception as error:  # Qhull reports flat input by its own error.
        raise ConfigError(f"objects.{name}.mesh: '{path}' is flat; use a mesh with a volume") from error
    if not hull.volume > 1e-10:
        raise ConfigError(f"objects.{name}.mesh: '{path}' is flat; use a mesh with a volume")
    return hull


def _rotation(up: str, yaw: float) -> Floats:
    """Rotation from the axes of a file to those of an object, (3, 3)."""
    sign, axis = (-1.0 if up.startswith("-") else 1.0), "xyz".index(up[-1])
    if axis == 2:
        turned = np.diag([1.0, sign, sign])
    else:
        turned = np.zeros((3, 3))
        # The next axis after `up` becomes y, so that right-handed axes stay right-handed.
        turned[2, axis], turned[0, (axis + 1) % 3], turned[1, (axis + 2) % 3] = sign, 1.0, sign
    cos, sin = math.cos(yaw), math.sin(yaw)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ turned


def _color_of(mesh: Any) -> Rgba:
    visual = mesh.visual
    if not getattr(visual, "defined", False) or visual.kind is None:
        return _GRAY
    try:
        color = visual.main_color if hasattr(visual, "main_color") else visual.material.main_color
    except Exception:  # Materials of many formats; the color is only for pictures.
        return _GRAY
    r, g, b, a = (float(value) / 255.0 for value in color)
    return r, g, b, a or 1.0


def _decomposed(name: str, mesh: Any, digest: str, max_parts: int) -> list[Any]:
    """Convex parts of a mesh by CoACD, which are kept in the user's cache: CoACD takes seconds to minutes."""
    trimesh = _trimesh()
    key = sha256(repr((digest, max_parts, _THRESHOLD, np.round(mesh.vertices, 9).tobytes())).encode()).hexdigest()[:32]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    stored = caches / "isaaclab_mimic_ext" / "meshes" / f"{key}.npz"
    parts = _stored_parts(stored)
    if parts is None:
        parts = _run_coacd(name, mesh, max_parts)
        _store_parts(stored, parts)
    return [trimesh.Trimesh(vertices, faces, process=False).convex_hull for vertices, faces in parts]


def _stored_parts(path: Path) -> list[tuple[Floats, Indices]] | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            return [(file[f"vertices_{index}"], file[f"faces_{index}"]) for index in range(len(file.files) // 2)]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # It is missing or damaged.
        return None


def _store_parts(path: Path, parts: list[tuple[Floats, Indices]]) -> None:
    """Store parts for other processes, which is optional: a folder that cannot be written is left alone."""
    named: dict[str, Any] = {f"vertices_{index}": vertices for index, (vertices, _) in enumerate(parts)}
    named |= {f"faces_{index}": faces for index, (_, faces) in enumerate(parts)}
    unfinished = path.with_name(f"{path.stem}.{os.getpid()}.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(unfinished, **named)
        unfinished.replace(path)
    except OSError as error:
        log.info("%s: the convex parts are not kept (%s)", path, error.strerror)


def _run_coacd(name: str, mesh: Any, max_parts: int) -> list[tuple[Floats, Indices]]:
    try:
        import coacd
    except ImportError as error:
        raise ConfigError(
            f"objects.{name}.collision: convex parts require coacd ({error}); install with `pip install "
            f"isaaclab-mimic-ext[meshes]`, or set objects.{name}.collision=hull"
        ) from error
    coacd.set_log_level("error")
    log.info("objects.%s: CoACD computes the convex parts of the mesh", name)
    shape = coacd.Mesh(np.array(mesh.vertices), np.array(mesh.faces))
    found = coacd.run_coacd(shape, threshold=_THRESHOLD, max_convex_hull=max_parts, seed=0)
    return [(np.asarray(vertices, dtype=np.float64), np.asarray(faces, dtype=np.int32)) for vertices, faces in found]


def _part(convex: Any, kind: str | None) -> ConvexPart:
    """Convex part; `kind` None: the smaller primitive around it, a box or an upright cylinder."""
    vertices = np.array(convex.vertices)
    low, high = vertices.min(0), vertices.max(0)
    center, half = (low + high) / 2, (high - low) / 2
    if kind is None:
        radius = float(np.hypot(*(vertices - center)[:, :2].T).max())
        is_round = math.pi * radius**2 < 4 * half[0] * half[1]
        kind, half = ("cylinder", np.array([radius, radius, half[2]])) if is_round else ("box", half)
    return ConvexPart(kind, vertices, np.array(convex.faces, dtype=np.int32), _vector(center), _vector(half))


def _vector(values: Floats) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
