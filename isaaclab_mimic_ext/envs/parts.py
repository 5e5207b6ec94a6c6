"""What rigid bodies are made of: the shapes that every engine with physics builds its scene from."""

from dataclasses import dataclass

Vec3 = tuple[float, float, float]
Rgba = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Part:
    """One shape of a rigid body, along the axes of the body's frame.

    Attributes:
        kind: `box`, `cylinder` (along z) or `ellipsoid`.
        size: half sizes along x, y, z [m].
        pos: of its middle, in the body's frame [m].
        rgba: None: it is not seen.
        mass: spread evenly over it [kg].
        solid: whether it touches other bodies; otherwise it is seen only.
        grips: whether what it holds must not spin between two fingers.
    """

    kind: str
    size: Vec3
    pos: Vec3 = (0.0, 0.0, 0.0)
    rgba: Rgba | None = None
    mass: float = 0.0
    solid: bool = False
    grips: bool = False


TABLE_CENTRE, TABLE_HALF_SIZE = (0.40, 0.0), (0.60, 0.65)
"""Of its top, x and y; the surface is z = 0 [m]."""
TABLE_THICKNESS, TABLE_HEIGHT = 0.04, 0.75
"""Of its top, and of the legs below it [m]."""
WOOD, LEG = (0.80, 0.68, 0.52, 1.0), (0.35, 0.35, 0.37, 1.0)


def table_legs() -> tuple[Part, ...]:
    """The four legs, in the table's frame: on the surface, where the env's origin is."""
    half = (0.03, 0.03, TABLE_HEIGHT / 2)
    height = -TABLE_THICKNESS - TABLE_HEIGHT / 2
    xs = [TABLE_CENTRE[0] + sign * (TABLE_HALF_SIZE[0] - 0.05) for sign in (-1, 1)]
    ys = [TABLE_CENTRE[1] + sign * (TABLE_HALF_SIZE[1] - 0.05) for sign in (-1, 1)]
    return tuple(Part("box", half, (x, y, height), LEG) for x in xs for y in ys)
