"""Views for videos and pictures: free cameras that fit to what the picture must show."""

# K points

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext.task.definition import SceneState, Task

FOV = np.radians(45.0)
"""Vertical field of view of free cameras, MuJoCo's default [rad]."""
_AZIMUTH, _ELEVATION = 155.0, -36.0
"""Direction in which videos look [deg]: from the front right, down to the table."""
_HAND_LENGTH = 0.16
"""Height of the visible part of a hand above its end effector [m]."""
_MARGIN = 0.94
"""Part of the width and height of a picture that the points fill at most."""


@dataclass(frozen=True)
class View:
    """A free camera, as MuJoCo defines it.

    Attributes:
        center: point in the middle of the picture, env frame [m].
        distance: distance of the camera from the center [m].
        azimuth, elevation: direction of the view [deg].
    """

    center: tuple[float, float, float]
    distance: float
    azimuth: float
    elevation: float

    def project(self, points: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
        """Pixels (K, 2), x to the right and y down, of points (K, 3) in the env frame [m]."""
        right, up, forward = _axes(self.azimuth, self.elevation)
        offset = np.asarray(points, dtype=np.float64) - np.array(self.center)
        depth = np.maximum(offset @ forward + self.distance, 1e-3)
        scale = height / (2 * np.tan(FOV / 2)) / depth
        return np.stack((width / 2 + scale * (offset @ right), height / 2 - scale * (offset @ up)), axis=-1)


def fit_view(points: NDArray[np.float64], aspect: float, azimuth: float = _AZIMUTH, elevation: float = _ELEVATION) -> View:
    """Return the nearest view in this direction that shows all points.

    Args:
        points: (K, 3), env frame [m].
        aspect: width of the picture divided by its height.
        azimuth, elevation: direction of the view [deg].
    """
    right, up, forward = _axes(azimuth, elevation)
    depth = points @ forward
    slopes = _MARGIN * np.tan(FOV / 2) * np.array([aspect, 1.0])
    middle, distance = [], 0.0
    for axis, slope in zip((right, up), slopes, strict=True):
        # A point is in the picture if |p - middle| <= slope * (depth + distance), on each axis.
        high, low = np.max(points @ axis - slope * depth), np.max(-(points @ axis) - slope * depth)
        middle.append((high - low) / 2)
        distance = max(distance, (high + low) / (2 * slope))
    nearest = float(depth.min())
    center = middle[0] * right + middle[1] * up + nearest * forward
    return View((float(center[0]), float(center[1]), float(center[2])), distance + nearest, azimuth, elevation)


def _axes(azimuth: float, elevation: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors to the right, up, and forward of a camera, (3,) each."""
    az, el = np.radians((azimuth, elevation))
    forward = np.array([np.cos(el) * np.cos(az), np.cos(el) * np.sin(az), np.sin(el)])
    right = np.array([np.sin(az), -np.cos(az), 0.0])
    return right, np.cross(right, forward), forward


def workspace(task: Task, scenes: Sequence[SceneState], objects: Collection[str] | None = None) -> NDArray[np.float64]:
    """Points (K, 3) that a picture of these scenes must show [m]: the hands, and the boxes of the objects near the table.

    Args:
        objects: names of the objects that must be visible; None: all.
    """
    chosen = [index for index, name in enumerate(task.object_names) if objects is None or name in objects]
    (x_low, x_high), (y_low, y_high) = task.table_bounds
    points = []
    for scene in scenes:
        eef = scene.eef_pose[..., :3, 3].flatten(0, 1)
        points += [eef, eef + torch.tensor([0.0, 0.0, _HAND_LENGTH])]
        points += [_corners(scene, index, task) for index in chosen]
    places = torch.cat(points).double().numpy()
    # Objects that a failed trial has pushed off the table must not move the camera away from it.
    low, high = (x_low - 0.1, y_low - 0.1, 0.0), (x_high + 0.1, y_high + 0.1, np.inf)
    kept = places[np.isfinite(places).all(-1)]
    return np.clip(kept, low, high) if len(kept) else np.array([[0.5, 0.0, 0.0], [0.5, 0.0, 0.4]])


def _corners(scene: SceneState, index: int, task: Task) -> torch.Tensor:
    """Corners of an object's bounding box in all scenes, (N * 8, 3) [m]."""
    obj = task.objects[index]
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    corners = torch.tensor(obj.box_center) + signs * torch.tensor(obj.box_half_size)
    pose = scene.object_pose[:, index]
    return (corners @ pose[:, :3, :3].transpose(-1, -2) + pose[:, None, :3, 3]).flatten(0, 1)
