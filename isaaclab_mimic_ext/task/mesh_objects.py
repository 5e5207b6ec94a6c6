"""Objects of a task whose shape is a mesh: replaced objects of an existing task, and objects of own tasks."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.task.mesh_shape import MeshShape, load_shape
from isaaclab_mimic_ext.task.meshes import ObjectCfg, check_names, check_object
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
    """Object with the shape of a mesh instead of its own. The center of its bottom stays where it is.

    Raises:
        ConfigError: the object is on a joint, or the mesh is not valid.
    """
    if isinstance(obj, JointedObject):
        fault = f"'{obj.name}' is on a joint, and only free and fixed objects can have a mesh"
        raise ConfigError(f"objects.{obj.name}.mesh: {fault}; leave it out")
    x, y, _ = obj.box_center
    return _shaped(obj, load_shape(obj.name, cfg, (x, y, -obj.rest_height)))


def mesh_object(name: str, cfg: ObjectCfg, default_pos: tuple[float, float], fixed: bool = False) -> SceneObject:
    """Object of an own task from a mesh. Its frame is in the middle of its bounding box, with z up.

    Args:
        cfg: file, units and contacts; `ObjectCfg(mesh="mug.obj", scale=0.001)`.
        default_pos: (x, y) of its frame before randomization, env frame [m].

    Raises:
        ConfigError: the mesh is not valid.
    """
    check_object(name, cfg)
    standing = load_shape(name, cfg, (0.0, 0.0, 0.0))
    height = float(standing.high[2])
    shape = load_shape(name, cfg, (0.0, 0.0, -height / 2))
    return _shaped(SceneObject(name, 0.0, height / 2, default_pos, fixed=fixed), shape)


def _shaped(obj: SceneObject, shape: MeshShape) -> SceneObject:
    (x, y, z), (center_x, center_y, center_z) = (shape.high - shape.low) / 2, (shape.high + shape.low) / 2
    return replace(
        obj,
        footprint_radius=shape.radius,
        rest_height=-float(shape.low[2]),
        half_size=(float(x), float(y), float(z)),
        box_center=(float(center_x), float(center_y), float(center_z)),
        mesh=shape,
    )


def graspable_of(task: "Task") -> dict[str, tuple[Graspable, ...]]:
    """Objects that each end effector can hold, see `Task.graspable`, with the widths of meshes.

    The grip of a mesh is as high, relative to its size, as that of the object that it replaces.
    """
    meshes = {obj.name: obj for obj in task.objects if obj.mesh is not None}

    def fitted(item: Graspable) -> Graspable:
        obj = meshes.get(item.object_name)
        return item if obj is None else _fitted(item, obj, task.own_objects.get(obj.name, obj))

    return {eef: tuple(fitted(item) for item in items) for eef, items in task.graspable().items()}


def _fitted(item: Graspable, obj: SceneObject, own: SceneObject) -> Graspable:
    assert obj.mesh is not None
    bottom = (*own.box_center[:2], -own.rest_height)
    sizes = zip(item.grip_pos, bottom, obj.box_half_size, own.box_half_size, strict=True)
    x, y, z = (low + (place - low) * new / old for place, low, new, old in sizes)
    width = obj.mesh.width_at((x, y, z))
    return replace(item, grip_pos=(x, y, z), half_width=item.half_width if width is None else width / 2)


def mesh_digests(task: "Task") -> dict[str, str]:
    """SHA-256 of the files of the task's meshes, by object."""
    return {obj.name: obj.mesh.digest for obj in task.objects if obj.mesh is not None}
