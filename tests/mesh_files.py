"""Small meshes that tests write: closed surfaces of revolution, and faulty files."""

import math
from collections.abc import Sequence
from pathlib import Path

BOTTLE = ((0.027, 0.0), (0.029, 0.003), (0.029, 0.07), (0.02, 0.08), (0.012, 0.09), (0.012, 0.12))
"""Outline of a bottle, (radius, height) from the bottom to the top [m]."""
CUP = ((0.035, 0.0), (0.035, 0.08), (0.031, 0.08), (0.031, 0.005))
"""Outline of a cup, from the outer rim of its bottom to the inner one [m]."""
_NUM_SIDES = 24


def write_solid(path: Path, outline: Sequence[tuple[float, float]], scale: float = 1.0, up: str = "z") -> Path:
    """Write an OBJ file of a surface of revolution that is closed at the axis."""
    rows = [(0.0, outline[0][1]), *outline, (0.0, outline[-1][1])]
    points = [
        (radius * math.cos(angle), radius * math.sin(angle), height)
        for radius, height in rows[1:-1]
        for angle in (2 * math.pi * side / _NUM_SIDES for side in range(_NUM_SIDES))
    ]
    points += [(0.0, 0.0, rows[0][1]), (0.0, 0.0, rows[-1][1])]
    bottom, top = len(points) - 1, len(points)
    faces = []
    for side in range(_NUM_SIDES):
        after = (side + 1) % _NUM_SIDES
        faces.append((bottom, after + 1, side + 1))
        for ring in range(len(outline) - 1):
            first, second = ring * _NUM_SIDES + 1, (ring + 1) * _NUM_SIDES + 1
            faces += [(first + side, first + after, second + after), (first + side, second + after, second + side)]
        last = (len(outline) - 1) * _NUM_SIDES + 1
        faces.append((top, last + side, last + after))
    turned = [(x, z, -y) if up == "y" else (x, y, z) for x, y, z in points]
    return write_obj(path, [(x * scale, y * scale, z * scale) for x, y, z in turned], faces)


def write_obj(path: Path, points: Sequence[Sequence[float]], faces: Sequence[Sequence[int]]) -> Path:
    """Write an OBJ file; `faces` count the points from 1."""
    lines = [f"v {x:.9f} {y:.9f} {z:.9f}" for x, y, z in points]
    path.write_text("\n".join([*lines, *(f"f {' '.join(map(str, face))}" for face in faces)]) + "\n", encoding="utf-8")
    return path


def without_faces(path: Path, count: int) -> Path:
    """Remove the last faces of an OBJ file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[:-count]) + "\n", encoding="utf-8")
    return path


def twice(path: Path) -> Path:
    """Add the same body again, 0.3 m away."""
    lines = path.read_text(encoding="utf-8").splitlines()
    points = [line.split()[1:] for line in lines if line.startswith("v ")]
    faces = [line.split()[1:] for line in lines if line.startswith("f ")]
    moved = [f"v {float(x) + 0.3:.9f} {y} {z}" for x, y, z in points]
    other = [f"f {' '.join(str(int(index) + len(points)) for index in face)}" for face in faces]
    path.write_text("\n".join([*lines, *moved, *other]) + "\n", encoding="utf-8")
    return path
