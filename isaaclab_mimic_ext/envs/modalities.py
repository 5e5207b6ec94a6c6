"""Modalities of pictures: colors, depth and segmentation, with the same names and values for all renderers."""

# G geoms of a model, H x W pixels

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.task.cameras import RGB
from isaaclab_mimic_ext.task.definition import Task

BACKGROUND = "background"
"""Name of the segment of all that belongs to no object and no arm: the table, the floor, the sky."""


def picture_names(cameras: Iterable[str], modalities: Iterable[str]) -> dict[tuple[str, str], str]:
    """Names of pictures among the observations, (camera, modality) -> `<camera>`, `<camera>_depth`, ..."""
    kinds = tuple(modalities)
    return {(name, kind): name if kind == RGB else f"{name}_{kind}" for name in cameras for kind in kinds}


@dataclass(frozen=True)
class Segments:
    """Segments of the pictures of a scene.

    Attributes:
        names: name of each segment, by its value in a picture: the background, then the objects, then the arms.
        of_geom: (G,) uint8, value of the segment of each geom.
    """

    names: tuple[str, ...]
    of_geom: NDArray[np.uint8]


def segments(model: Any, task: Task) -> Segments:
    """Segments of the geoms of a scene (`mujoco.MjModel`). Bodies below that of an object belong to the object."""
    arms = tuple(arm.name for arm in task.arms)
    names = (BACKGROUND, *task.object_names, *arms)
    of_body = np.zeros(model.nbody, dtype=np.uint8)
    for body in range(1, model.nbody):
        name = model.body(body).name
        owner = name if name in task.object_names else name.partition("/")[0]
        is_named = name in task.object_names or ("/" in name and owner in arms)
        # Parents have smaller numbers.
        of_body[body] = names.index(owner) if is_named else of_body[model.body_parentid[body]]
    return Segments(names, of_body[model.geom_bodyid])
