"""Shapes of the cubes, for all engines with physics."""

# Half sizes [m]. Object frames: in the center of each cube

from isaaclab_mimic_ext.envs.panda.shape import Part, Rgba
from isaaclab_mimic_ext.tasks.stack_cube.task import CUBE_MASS, CUBE_SIZE

_BLUE, _DARK_BLUE = (0.16, 0.38, 0.75, 1.0), (0.10, 0.26, 0.56, 1.0)
_RED, _DARK_RED = (0.82, 0.14, 0.12, 1.0), (0.60, 0.08, 0.07, 1.0)
_GREEN, _DARK_GREEN = (0.20, 0.62, 0.26, 1.0), (0.12, 0.44, 0.17, 1.0)
_INSET = 0.0045
"""Width of the darker rim around each face [m]."""


def _cube(face: Rgba, rim: Rgba) -> tuple[Part, ...]:
    half = CUBE_SIZE / 2
    inner, outer = half - _INSET, half + 0.0003
    return (
        Part("box", (half, half, half), mass=CUBE_MASS, solid=True, grips=True),
        Part("box", (half, half, half), rgba=rim),
        Part("box", (outer, inner, inner), rgba=face),
        Part("box", (inner, outer, inner), rgba=face),
        Part("box", (inner, inner, outer), rgba=face),
    )


OBJECT_PARTS: dict[str, tuple[Part, ...]] = {
    "cube_1": _cube(_BLUE, _DARK_BLUE),
    "cube_2": _cube(_RED, _DARK_RED),
    "cube_3": _cube(_GREEN, _DARK_GREEN),
}
"""Parts of each cube, by name."""
