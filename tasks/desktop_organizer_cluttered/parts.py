"""Shapes of the obstacles of the cluttered desktop organizer, for all engines with physics."""

# Half sizes [m]. Object frames: in the center of the obstacles

from isaaclab_mimic_ext.envs.panda.shape import Part
from isaaclab_mimic_ext.tasks.desktop_organizer.parts import OBJECT_PARTS as ORGANIZER_PARTS
from isaaclab_mimic_ext.tasks.desktop_organizer_cluttered.task import CEREAL_SIZE, MILK_SIZE

_WHITE, _BLUE = (0.96, 0.97, 0.98, 1.0), (0.20, 0.42, 0.78, 1.0)
_YELLOW, _BROWN = (0.98, 0.80, 0.16, 1.0), (0.55, 0.33, 0.14, 1.0)


def _milk() -> tuple[Part, ...]:
    x, y, z = (0.5 * side for side in MILK_SIZE)
    gable = 0.035
    looks = (
        ((x, y, z - gable / 2), -gable / 2, _WHITE),
        ((x * 0.7, y, gable / 4), z - 0.75 * gable, _WHITE),
        ((0.004, y, gable / 4), z - gable / 4, _WHITE),
        ((x + 0.0005, y + 0.0005, 0.03), -0.02, _BLUE),
    )
    hull = Part("box", (x, y, z), mass=0.5, solid=True)
    return (hull, *(Part("box", size, (0.0, 0.0, height), rgba) for size, height, rgba in looks))


def _cereal() -> tuple[Part, ...]:
    x, y, z = (0.5 * side for side in CEREAL_SIZE)
    bowl_size, bowl_x = (0.0005, 0.035, 0.035), x + 0.0005
    return (
        Part("box", (x, y, z), rgba=_YELLOW, mass=0.35, solid=True),
        Part("box", (x + 0.0005, y + 0.0005, 0.012), (0.0, 0.0, z - 0.03), _BROWN),
        *(Part("cylinder", bowl_size, (sign * bowl_x, 0.0, -0.02), _BROWN, axis="x") for sign in (-1, 1)),
    )


OBJECT_PARTS: dict[str, tuple[Part, ...]] = {
    "ketchup": ORGANIZER_PARTS["ketchup"],
    "basket": ORGANIZER_PARTS["basket"],
    "milk": _milk(),
    "cereal": _cereal(),
}
"""Parts of each object, by name. An object stands on its first part."""
