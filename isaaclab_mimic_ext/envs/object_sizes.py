"""Sizes of objects in MuJoCo's models: another geometry in each env."""

# N envs, n of them addressed, O objects

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isaaclab_mimic_ext.errors import ConfigError

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
SCALE = "scale"
"""Leaf of an object in a recorded state, (N, 1): the factor of its size."""
_POWERS = {
    "geom_size": 1, "geom_pos": 1, "geom_rbound": 1, "geom_aabb": 1, "bvh_aabb": 1, "body_ipos": 1, "body_mass": 3,
    "body_inertia": 5,
}  # fmt: skip
"""Fields of a model -> the power of the factor that multiplies them; the density of an object stays the same."""


def recorded_scales(objects: Mapping[str, Mapping[str, Any]], names: Sequence[str], num_rows: int) -> Tensor:
    """Factors (N, O) in a recorded state with N rows, 1 for objects without one; (N, 0) if no object has one.

    Args:
        objects: group `rigid_object` of the state.
    """
    if not any(SCALE in objects[name] for name in names):
        return torch.zeros(num_rows, 0)
    ones = torch.ones(num_rows, 1)
    return torch.cat([torch.as_tensor(objects[name].get(SCALE, ones), dtype=torch.float32) for name in names], dim=1)


class ObjectSizes:
    """Places of the objects in the fields of a model that depend on the size, and their values in the file.

    Args:
        model: a `mujoco.MjModel`.
        names: names of the objects, which are those of their bodies.
    """

    def __init__(self, model: Any, names: Sequence[str]):
        self._rows = [self._places(model, model.body(name).id) for name in names]
        self._names = list(names)
        self._own = {field: np.array(getattr(model, field)) for field in _POWERS}

    @staticmethod
    def _places(model: Any, body: int) -> dict[str, Indices]:
        def span(first: Any, count: Any) -> Indices:
            return np.arange(max(int(first), 0), max(int(first), 0) + int(count))

        geoms = span(model.body_geomadr[body], model.body_geomnum[body])
        nodes = span(model.body_bvhadr[body], model.body_bvhnum[body])
        kinds = {"geom": geoms, "bvh": nodes, "body": np.array([body])}
        return {field: kinds[field.split("_")[0]] for field in _POWERS}

    def check(self, model: Any, object_id: int) -> None:
        """Check that the geometry of an object can be scaled.

        Raises:
            ConfigError: it contains a mesh.
        """
        geoms = self._rows[object_id]["geom_size"]
        if (np.asarray(model.geom_dataid)[geoms] >= 0).any():
            name = self._names[object_id]
            raise ConfigError(f"events: scale_range of '{name}': must be an object without meshes; remove scale_range")

    def scaled(self, object_id: int, factors: Floats) -> dict[str, tuple[Indices, Floats]]:
        """Field -> rows of an object in it, and their values for each of n factors (n, rows, ...)."""
        values = {}
        for field, power in _POWERS.items():
            rows = self._rows[object_id][field]
            own = self._own[field][rows]
            values[field] = (rows, own * (factors**power).reshape(-1, *[1] * own.ndim))
        return values

    def write_to(self, model: Any, factors: Mapping[str, Any]) -> None:
        """Write sizes into a model for pictures; objects without a factor get their own size."""
        for object_id, name in enumerate(self._names):
            factor = np.asarray(factors.get(name, 1.0), np.float64).reshape(1)
            for field, (rows, values) in self.scaled(object_id, factor).items():
                getattr(model, field)[rows] = values[0]


class BatchSizes:
    """Sizes of the objects in each simulation of a `mujoco.batch.Batch`.

    Raises:
        ConfigError: see `ObjectSizes.check`.
    """

    def __init__(self, batch: Any, model: Any, names: Sequence[str]):
        self._batch, self._sizes, self._model = batch, ObjectSizes(model, names), model
        self._fields = {field: batch.expand(field) for field in _POWERS}

    def write(self, env_ids: Indices, scales: NDArray[np.float32]) -> None:
        """Set the factors (n, O) of n envs."""
        for object_id, factors in enumerate(scales.astype(np.float64).T):
            if (factors != 1.0).any():
                self._sizes.check(self._model, object_id)
            for field, (rows, values) in self._sizes.scaled(object_id, factors).items():
                self._fields[field][env_ids[:, None], rows] = values
        self._batch.set_const(ids=np.sort(env_ids))
