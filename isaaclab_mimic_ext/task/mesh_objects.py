"""Objects of a task whose shape is a mesh: replaced objects of an existing task, and objects of own tasks."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.task.mesh_shape import Floats, MeshShape, load_shape
from isaaclab_mimic_ext.task.meshes import Digest, ObjectCfg, check_names, check_object, one_or_all
from isaaclab_mimic_ext.task.objects import Graspable, JointedObject, SceneObject

if TYPE_CHECKING:
    from isaaclab_mimic_ext.task.definition import Task


def set_objects(task: "Task", objects: Mapping[str, ObjectCfg]) -> None:
    """Replace the shapes of objects of a task by meshes.

    Raises:
        ConfigError: an object is not in the scene or on a joint, or its mesh is not valid.
    """
    check_names(objects, task.object_names, task.name)
    for name, cfg in objects.items():
        check_object(name, cfg)
    task.object_cfgs = {name: cfg for name, cfg in objects.items() if cfg.mesh is not None}
    if task.object_cfgs:
        task.own_objects = {obj.name: obj for obj in task.objects if obj.name in task.object_cfgs}
        task.objects = tuple(
            with_mesh(obj, task.object_cfgs[obj.name]) if obj.name in task.object_cfgs else obj for obj in task.objects
        )


def with_mesh(obj: SceneObject, cfg: ObjectCfg) -> SceneObject:
    """Object with the shape of a mesh, or of each of several, instead of its own. The center of its bottom stays.

    Raises:
        ConfigError: the object is on a joint, or the mesh is not valid.
    """
    if isinstance(obj, JointedObject):
        fault = f"'{obj.name}' is on a joint, and only free and fixed objects can have a mesh"
        raise ConfigError(f"objects.{obj.name}.mesh: {fault}; leave it out")
    x, y, _ = obj.box_center
    return _with_shapes(obj, cfg, (x, y, -obj.rest_height))


def mesh_object(name: str, cfg: ObjectCfg, default_pos: tuple[float, float], fixed: bool = False) -> SceneObject:
    """Object of an own task from a mesh. Its frame is in the middle of its bounding box, with z up; that of the first mesh.

    Args:
        cfg: file, units and contacts; `ObjectCfg(mesh="mug.obj", scale=0.001)`.
        default_pos: (x, y) of its frame before randomization, env frame [m].

    Raises:
        ConfigError: the mesh is not valid.
    """
    check_object(name, cfg)
    standing = load_shape(name, cfg.of_files[0], (0.0, 0.0, 0.0))
    height = float(standing.high[2])
    return _with_shapes(SceneObject(name, 0.0, height / 2, default_pos, fixed=fixed), cfg, (0.0, 0.0, -height / 2))


def _with_shapes(obj: SceneObject, cfg: ObjectCfg, bottom: tuple[float, float, float]) -> SceneObject:
    variants = tuple(_shaped(obj, load_shape(obj.name, each, bottom)) for each in cfg.of_files)
    if len(variants) == 1:
        return variants[0]
    centers, half_sizes = (np.array(values) for values in zip(*map(_box, variants), strict=True))
    low, high = (centers - half_sizes).min(0), (centers + half_sizes).max(0)
    radius = max(each.footprint_radius for each in variants)
    half_size, center = _vector((high - low) / 2), _vector((high + low) / 2)
    return replace(variants[0], footprint_radius=radius, half_size=half_size, box_center=center, variants=variants)


def _box(obj: SceneObject) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    return obj.box_center, obj.box_half_size


def _shaped(obj: SceneObject, shape: MeshShape) -> SceneObject:
    return replace(
        obj,
        footprint_radius=shape.radius,
        rest_height=-float(shape.low[2]),
        half_size=_vector((shape.high - shape.low) / 2),
        box_center=_vector((shape.high + shape.low) / 2),
        mesh=shape,
    )


def _vector(values: Floats) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def graspable_of(task: "Task", mesh: int = 0) -> dict[str, tuple[Graspable, ...]]:
    """Objects that each end effector can hold, see `Task.graspable`, with the widths of meshes.

    The grip of a mesh is as high, relative to its size, as that of the object that it replaces.

    Args:
        mesh: number of the mesh of objects that have several.
    """
    meshes = {obj.name: obj for obj in task.objects if obj.mesh is not None}

    def fitted(item: Graspable) -> Graspable:
        obj = meshes.get(item.object_name)
        return item if obj is None else _fitted(item, obj.variant(mesh), task.own_objects.get(obj.name, obj.variant(0)))

    return {eef: tuple(fitted(item) for item in items) for eef, items in task.graspable().items()}


def _fitted(item: Graspable, obj: SceneObject, own: SceneObject) -> Graspable:
    assert obj.mesh is not None
    bottom = (*own.box_center[:2], -own.rest_height)
    sizes = zip(item.grip_pos, bottom, obj.box_half_size, own.box_half_size, strict=True)
    x, y, z = (low + (place - low) * new / old for place, low, new, old in sizes)
    width = obj.mesh.width_at((x, y, z))
    return replace(item, grip_pos=(x, y, z), half_width=item.half_width if width is None else width / 2)


def mesh_digests(task: "Task") -> dict[str, Digest]:
    """SHA-256 of the files of the task's meshes, by object."""
    return {
        obj.name: one_or_all([each.mesh.digest for each in obj.variants or (obj,) if each.mesh is not None])
        for obj in task.objects
        if obj.mesh is not None
    }
