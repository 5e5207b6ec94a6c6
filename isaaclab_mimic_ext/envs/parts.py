"""What rigid bodies are made of: the shapes that every engine with physics builds its scene from."""

from dataclasses import dataclass

Vec3 = tuple[float, float, float]
Rgba = tuple[float, float, float, float]


@dataclass(frozen=True)
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
