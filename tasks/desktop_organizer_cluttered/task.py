"""Cluttered desktop organizer: obstacles, and failure if one is knocked over."""

# N envs

from torch import Tensor

from isaaclab_mimic_ext.task.definition import SceneObject, SceneState
from isaaclab_mimic_ext.task.reasons import FailureReason
from isaaclab_mimic_ext.tasks.desktop_organizer.task import DesktopOrganizer

MILK_SIZE = (0.07, 0.07, 0.22)
CEREAL_SIZE = (0.05, 0.13, 0.18)
KETCHUP_POS, BASKET_POS = (0.48, 0.21), (0.50, -0.24)
"""Default positions (x, y), env frame [m]. They are farther apart than without obstacles, so that hands fit between."""
UPRIGHT = 0.8
"""Cosine of the largest tilt of an obstacle that is not knocked over."""


def _make_obstacle(name: str, size: tuple[float, float, float], default_pos: tuple[float, float]) -> SceneObject:
    x, y, z = (side / 2 for side in size)
    radius = (x * x + y * y) ** 0.5
    return SceneObject(name, radius, rest_height=z, default_pos=default_pos, half_size=(x, y, z))


class ClutteredDesktopOrganizer(DesktopOrganizer):
    """`DesktopOrganizer` with a milk carton and a cereal box between bottle and basket, taller than the carrying height."""

    name = "desktop_organizer_cluttered"
    objects = (
        *(
            SceneObject(**{**vars(obj), "default_pos": {"ketchup": KETCHUP_POS, "basket": BASKET_POS}[obj.name]})
            for obj in DesktopOrganizer.objects
            if obj.name in ("ketchup", "basket")
        ),
        _make_obstacle("milk", MILK_SIZE, (0.45, -0.01)),
        _make_obstacle("cereal", CEREAL_SIZE, (0.58, 0.0)),
    )
    failure_reasons = (FailureReason("knocked something over", "toppled", "ever"), *DesktopOrganizer.failure_reasons)

    def violates(self, scene: SceneState) -> Tensor:
        """Return whether the milk carton or the cereal box is knocked over, (N,) bool."""
        milk, cereal = (scene.object_pose[:, self.object_id(name), 2, 2] for name in ("milk", "cereal"))
        return (milk < UPRIGHT) | (cereal < UPRIGHT)

    def conditions(self, scene: SceneState) -> dict[str, Tensor]:
        return {**super().conditions(scene), "toppled": self.violates(scene)}


def make_task() -> ClutteredDesktopOrganizer:
    return ClutteredDesktopOrganizer()
