"""Points on the surfaces of MuJoCo's geoms."""

# P points

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GRID = np.array(list(product(np.linspace(-1.0, 1.0, 9), repeat=3)))
_DIRECTIONS = (
    _GRID[np.linalg.norm(_GRID, axis=1) > 0] / np.linalg.norm(_GRID[np.linalg.norm(_GRID, axis=1) > 0], axis=1)[:, None]
)
_BOX, _SPHERE, _CAPSULE, _ELLIPSOID, _CYLINDER, _MESH = 6, 2, 3, 4, 5, 7
"""MuJoCo's numbers of types of geoms."""


def geom_points(model: Any, geom: int) -> NDArray[np.float64]:
    """Points on the surface of a geom, (P, 3), in the frame of its body [m]."""
    kind, size = int(model.geom_type[geom]), model.geom_size[geom]
    if kind == _MESH:
        mesh = int(model.geom_dataid[geom])
        first = int(model.mesh_vertadr[mesh])
        local = np.asarray(model.mesh_vert[first : first + int(model.mesh_vertnum[mesh])], dtype=np.float64)
    elif kind == _BOX:
        local = _GRID * size
    elif kind == _SPHERE:
        local = _DIRECTIONS * size[0]
    elif kind == _CAPSULE:
        local = _DIRECTIONS * size[0] + np.sign(_DIRECTIONS[:, 2:]) * [0.0, 0.0, size[1]]
    elif kind == _ELLIPSOID:
        local = _DIRECTIONS * size
    elif kind == _CYLINDER:
        radius = np.maximum(np.linalg.norm(_GRID[:, :2], axis=1, keepdims=True), 1.0)
        local = np.concatenate((_GRID[:, :2] / radius * size[0], _GRID[:, 2:] * size[1]), axis=1)
    else:
        local = np.zeros((0, 3))
    rot = np.zeros(9)
    _quat_to_mat(rot, model.geom_quat[geom])
    return np.asarray(local @ rot.reshape(3, 3).T + model.geom_pos[geom])


def _quat_to_mat(result: NDArray[np.float64], quat: Any) -> None:
    import mujoco

    mujoco.mju_quat2Mat(result, quat)
