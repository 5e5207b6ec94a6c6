"""The included tasks as `isaaclab_scenes.Task`."""

from pathlib import Path

import torch

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.envs.base import by_name
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.task.definition import load_task
from tests.contract.isaaclab_scenes import Task


def shipped_task(name: str, source: Path | None = None) -> Task:
    """Load an included task; `source` replaces its source file."""
    cfg = load_config("generate", [f"task={name}", "output_dir=unused"])
    scene = load_task(cfg.task.name)
    env = make_env(scene, SimCfg(engine="kinematic"), {}, 1)
    columns = by_name(env.eef_names, env.actions_to_gripper_actions(torch.arange(env.action_dim)[None]))
    return Task(
        source=source or Path(cfg.input_file),
        subtasks=cfg.subtask_configs,
        object_names=scene.object_names,
        config=cfg.datagen_config,
        constraints=cfg.task_constraint_configs,
        gripper_columns={eef: (int(found[0, 0]), int(found[0, -1]) + 1) for eef, found in columns.items()},
    )
