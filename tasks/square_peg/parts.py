"""Shapes of nut and peg, for all engines with physics."""

# Half sizes [m]. Object frames: nut in the middle of its hole, x along the handle; peg in its middle

from isaaclab_mimic_ext.envs.panda.shape import Part
from isaaclab_mimic_ext.tasks.square_peg.task import (
    BAR_HALF,
    HANDLE_CENTER,
    HANDLE_HALF,
    OUTER_HALF,
    PEG_HALF,
    PEG_HEIGHT,
    THICKNESS,
)

_STEEL, _BRASS = (0.62, 0.65, 0.70, 1.0), (0.80, 0.62, 0.22, 1.0)
_DENSITY = 100.0
"""Density of the nut [kg/m^3]."""
_PEG_MASS = 1.0
"""Mass of the peg [kg]. The peg is fixed."""


def _bar(pos: tuple[float, float], half: tuple[float, float]) -> Part:
    size = (*half, THICKNESS / 2)
    mass = _DENSITY * 8 * size[0] * size[1] * size[2]
    return Part("box", size, pos=(*pos, 0.0), rgba=_STEEL, mass=mass, solid=True, grips=True)


_MIDDLE = OUTER_HALF - BAR_HALF
_SQUARE_NUT = (
    _bar((HANDLE_CENTER, 0.0), HANDLE_HALF),
    _bar((-_MIDDLE, 0.0), (BAR_HALF, OUTER_HALF)),
    _bar((_MIDDLE, 0.0), (BAR_HALF, OUTER_HALF)),
    _bar((0.0, _MIDDLE), (_MIDDLE - BAR_HALF, BAR_HALF)),
    _bar((0.0, -_MIDDLE), (_MIDDLE - BAR_HALF, BAR_HALF)),
)
_PEG = (Part("box", (PEG_HALF, PEG_HALF, PEG_HEIGHT / 2), rgba=_BRASS, mass=_PEG_MASS, solid=True),)

OBJECT_PARTS: dict[str, tuple[Part, ...]] = {"square_nut": _SQUARE_NUT, "square_peg": _PEG}
"""Parts of each object, by name."""
