"""Cameras of a task: pose and field of view. The axes of a camera are x to the right, y down, z along the view (OpenCV)."""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

RENDERING_MODES = ("policy", "film")
"""Ways to draw pictures: fast, or with smooth edges and shapes."""
KINDS_OF_LOOKS = ("light", "color", "table", "arm", "objects", "camera")
"""Parts of a scene's appearance that can be random: level and places of the lights, their color, table and floor, the robot,
objects, poses of the cameras."""
MODALITIES = RGB, DEPTH, SEGMENTATION = ("rgb", "depth", "segmentation")
"""Modalities of pictures: colors, uint8; distance along the axis of the camera [m], float32; number of the object, uint8."""
ENV_FRAME = "env"
"""Frame of a camera that does not move."""


@dataclass
class CameraCfg:
    """Pose and field of view of a camera. Null keeps the value of the scene's camera with this name."""

    frame: str | None = None
    """End effector or object that the camera moves with; null or `env`: the camera does not move."""
    pos: list[float] | None = None
    """Position of the camera in `frame` [m]."""
    target: list[float] | None = None
    """Point in `frame` that is in the center of the picture [m]."""
    up: list[float] | None = None
    """Direction in `frame` that points up in the picture; null: z."""
    fovy: float | None = None
    """Vertical field of view [deg]."""

    def merged(self, other: "CameraCfg") -> "CameraCfg":
        """Return the camera with the values of `other`, except for those that are None."""
        given = {each.name: getattr(other, each.name) for each in fields(other)}
        return replace(self, **{name: value for name, value in given.items() if value is not None})


def look_at(pos: NDArray[np.float64], target: NDArray[np.float64], up: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation (3, 3) of a camera whose view goes from `pos` to `target`; its columns are the camera's axes.

    `up` must not be parallel to the view.
    """
    forward = (target - pos) / np.linalg.norm(target - pos)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    return np.stack((right, np.cross(forward, right), forward), axis=1)


def intrinsics(fovy: float, height: int, width: int) -> NDArray[np.float64]:
    """Matrix K (3, 3) of a camera with square pixels; the center of the first pixel is (0.5, 0.5)."""
    focal = height / (2 * np.tan(np.radians(fovy) / 2))
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
