"""Meshes of objects in MuJoCo's models: one of several in each env."""

# N envs, n of them addressed, O objects, V meshes of an object, G geoms of an object

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isaaclab_mimic_ext.envs.mujoco_model import import_mujoco
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.task.objects import SceneObject

Indices = NDArray[np.int64]
MESH = "mesh"
"""Leaf of an object in a recorded state, (N, 1): the number of its mesh in the list of files, counted from 0."""
HIDDEN_GROUP = 5
"""Group of the geoms of meshes that a scene does not have, for pictures."""
_HIDDEN_HEIGHT = -3.9
"""Height at which pages do not draw a body [m]: below the floor, and in the range of `studio.live_grid`."""
_CONTACT = "geom_contype", "geom_conaffinity"
_BODY = "body_mass", "body_ipos", "body_iquat", "body_inertia"


def recorded_meshes(objects: Mapping[str, Mapping[str, Any]], names: Sequence[str], num_rows: int) -> Tensor:
    """Numbers of the meshes (N, O) in a recorded state with N rows, 0 without one; (N, 0) if no object has one.

    Args:
        objects: group `rigid_object` of the state.
    """
    if not any(MESH in objects[name] for name in names):
        return torch.zeros(num_rows, 0, dtype=torch.int64)
    first = torch.zeros(num_rows, 1)
    return torch.cat([torch.as_tensor(objects[name].get(MESH, first)).to(torch.int64) for name in names], dim=1)


def mesh_prefix(body_name: str, number: int) -> str:
    """Beginning of the names of the geoms of a mesh. The geoms of the first mesh have no such names."""
    return f"{body_name}/mesh_{number}/"


class ObjectMeshes:
    """Geoms and inertia of each mesh of an object in a model.

    Args:
        model: a `mujoco.MjModel`, in which the geoms of all meshes are solid.
        obj: object with several meshes.
    """

    def __init__(self, model: Any, obj: SceneObject):
        self.body = int(model.body(obj.name).id)
        first, count = int(model.body_geomadr[self.body]), int(model.body_geomnum[self.body])
        self.geoms: Indices = np.arange(first, first + count)
        pattern = re.compile(re.escape(f"{obj.name}/mesh_") + r"(\d+)/")
        found = [pattern.match(model.geom(geom).name) for geom in self.geoms]
        self._number = np.array([0 if match is None else int(match[1]) for match in found])
        self._own = {field: np.array(getattr(model, field)[self.geoms]) for field in (*_CONTACT, "geom_group")}
        self._inertia = [_inertia_of(each) for each in obj.variants]

    @property
    def number_of(self) -> dict[int, int]:
        """Geom -> number of its mesh."""
        return {int(geom): int(number) for geom, number in zip(self.geoms, self._number, strict=True)}

    def contacts(self, numbers: Indices) -> dict[str, NDArray[Any]]:
        """Field -> values of the geoms (n, G) for the meshes `numbers` (n,)."""
        has = numbers[:, None] == self._number
        return {field: np.where(has, self._own[field], 0) for field in _CONTACT}

    def inertia(self, numbers: Indices) -> dict[str, NDArray[np.float64]]:
        """Field -> values of the body (n, ...) for the meshes `numbers` (n,)."""
        return {field: np.stack([self._inertia[number][field] for number in numbers]) for field in _BODY}

    def show_in(self, model: Any, number: int) -> None:
        """Let pictures of a model show a mesh."""
        model.geom_group[self.geoms] = np.where(self._number == number, self._own["geom_group"], HIDDEN_GROUP)


def _inertia_of(obj: SceneObject) -> dict[str, Any]:
    """Mass, center of mass, principal axes and moments of inertia of an object with a mesh."""
    assert obj.mesh is not None
    moments, axes, quat = np.zeros(3), np.zeros(9), np.zeros(4)
    import_mujoco().mju_eig3(moments, axes, quat, np.ascontiguousarray(obj.mesh.inertia, dtype=np.float64).ravel())
    return dict(zip(_BODY, (obj.mesh.mass, obj.mesh.center_of_mass, quat, moments), strict=True))


class SceneMeshes:
    """Meshes that pictures of a model show, which are the first ones at the beginning.

    A page draws its shapes once and then moves bodies. For a page, each of several meshes is a body of its own, which is at
    the object while the object has this mesh, and otherwise below the floor.

    Attributes:
        bodies: names of these bodies.
        geoms: geom -> index of its body in `bodies`.
    """

    def __init__(self, model: Any, objects: Sequence[SceneObject]):
        self._model = model
        self._meshes = {obj.name: ObjectMeshes(model, obj) for obj in objects if obj.variants}
        self._shown = dict.fromkeys(self._meshes, 0)
        self.bodies: list[str] = []
        self.geoms: dict[int, int] = {}
        for obj in (obj for obj in objects if obj.variants):
            for geom, number in self._meshes[obj.name].number_of.items():
                self.geoms[geom] = len(self.bodies) + number
            self.bodies += [mesh_prefix(obj.name, number).rstrip("/") for number in range(len(obj.variants))]
        self._own_group = np.array(model.geom_group)
        self.show({})

    def show(self, numbers: Mapping[str, Any]) -> None:
        """Show the meshes `numbers`, by object; the first one of other objects."""
        for name, meshes in self._meshes.items():
            self._shown[name] = int(np.asarray(numbers.get(name, 0)).reshape(-1)[0])
            meshes.show_in(self._model, self._shown[name])

    def group_of(self, geom: int) -> int:
        """Group of a geom in the scene, also if its mesh is not shown."""
        return int(self._own_group[geom])

    def body_poses(self, poses: NDArray[np.float32]) -> NDArray[np.float32]:
        """Poses of `bodies`, (., 7), from those of all bodies of the model but the world (B, 7)."""
        own = np.empty((len(self.bodies), 7), dtype=np.float32)
        for geom, index in self.geoms.items():
            own[index] = poses[int(self._model.geom_bodyid[geom]) - 1]
        names = [mesh_prefix(name, number).rstrip("/") for name, number in self._shown.items()]
        own[[body not in names for body in self.bodies], 2] = _HIDDEN_HEIGHT
        return own


class BatchMeshes:
    """Meshes of the objects in each simulation of a `mujoco.batch.Batch`."""

    def __init__(self, batch: Any, model: Any, objects: Sequence[SceneObject]):
        self._batch = batch
        self._meshes = {index: ObjectMeshes(model, obj) for index, obj in enumerate(objects) if obj.variants}
        self._fields = {field: batch.expand(field) for field in (*_CONTACT, *_BODY)}

    def write(self, env_ids: Indices, numbers: Indices) -> None:
        """Give the objects of n envs the meshes `numbers` (n, O)."""
        for index, meshes in self._meshes.items():
            for field, values in meshes.contacts(numbers[:, index]).items():
                self._fields[field][env_ids[:, None], meshes.geoms] = values
            for field, values in meshes.inertia(numbers[:, index]).items():
                self._fields[field][env_ids, meshes.body] = values
        self._batch.set_const(ids=np.sort(env_ids))


def check_numbers(name: str, numbers: Tensor, obj: SceneObject) -> None:
    """Check that an object has the meshes of a recorded state.

    Raises:
        ConfigError: it has fewer, or only one.
    """
    last = int(numbers.max())
    if not obj.variants or last >= len(obj.variants):
        found = max(len(obj.variants), 1)
        raise ConfigError(
            f"state.rigid_object.{name}.{MESH}: must be the number of one of the {found} meshes of '{name}' (got {last}); "
            f"set objects.{name}.mesh to the list of the recording"
        )
