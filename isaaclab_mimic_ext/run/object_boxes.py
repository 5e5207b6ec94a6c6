"""Bounding boxes of the objects in the source demos, and those of the objects that replace them."""

# O objects, V meshes of an object

import torch

from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.files.stream import read_env_args
from isaaclab_mimic_ext.plan.sizes import ObjectBoxes
from isaaclab_mimic_ext.task.definition import Task, load_task
from isaaclab_mimic_ext.task.mesh_objects import mesh_digests
from isaaclab_mimic_ext.task.meshes import lists_of_meshes, recorded_digests, recorded_objects
from isaaclab_mimic_ext.task.objects import num_variants

_SAME_SIZE = 0.01
"""Relative difference of two sizes below which segments are not adapted."""


def source_boxes(cfg: GenerateCfg, env: MimicEnv) -> ObjectBoxes | None:
    """Boxes of the objects in the source demos; None if the objects of the env have the same sizes.

    Raises:
        ConfigError: SkillGen is used, whose transits are not adapted.
        SourceDataError: a mesh of the source demos has changed, or they were recorded with several.
    """
    task: Task | None = getattr(env, "task", None)
    if task is None:
        return None
    others = _recorded_task(cfg.input_file, task).objects
    half_size = torch.tensor([obj.box_half_size for obj in others], device=env.device)
    shapes = [[obj.variant(mesh) for obj in task.objects] for mesh in range(num_variants(task.objects))]
    sizes = torch.tensor([[obj.box_half_size for obj in each] for each in shapes], device=env.device)
    growth = sizes / half_size - 1.0
    growth = torch.where(growth.abs() < _SAME_SIZE, 0.0, growth)
    if cfg.datagen_config.use_skillgen and growth.any():
        name = task.object_names[int(growth.any(0).any(-1).int().argmax())]
        raise ConfigError(
            f"datagen_config.adapt_to_scale: must be false for SkillGen with another size of '{name}' than in the source "
            "demos (got true): its transits are not adapted"
        )
    if getattr(env, "object_scale", None) is None and not growth.any():
        return None
    return ObjectBoxes(
        torch.tensor([obj.box_center for obj in others], device=env.device),
        half_size,
        torch.tensor([obj.rest_height for obj in others], device=env.device),
        growth,
    )


def _recorded_task(path: str, task: Task) -> Task:
    """The task with the meshes of a file of source demos."""
    env_args = read_env_args(path)
    objects = recorded_objects(env_args)
    for name in lists_of_meshes(objects):
        raise SourceDataError(
            f"{path}: '{name}' was recorded with several meshes, and segments are adapted to demos with one; use other "
            "source demos, or set datagen_config.adapt_to_scale=false"
        )
    if not objects and not task.object_cfgs:
        return task
    recorded = load_task(task.name, objects=objects)
    found, expected = mesh_digests(recorded), recorded_digests(env_args)
    for name in (name for name, digest in expected.items() if digest != found.get(name)):
        raise SourceDataError(
            f"{path}: the mesh of '{name}' has changed since the recording, so its former size is not known; restore "
            f"{objects[name].mesh}, or set datagen_config.adapt_to_scale=false"
        )
    return recorded
