"""Annotated source demonstrations by a short script on the kinematic engine, and configurations to generate from them."""

# N demos in parallel, T steps

import json
from pathlib import Path
from typing import Any

import h5py
import torch
from omegaconf import OmegaConf
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import EventCfg, GenerateCfg, SimCfg
from isaaclab_mimic_ext.config.hydra import conf_dir
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.math import interpolate_poses, pose_from_pos_rot
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import load_task
from tests.named_poses import object_poses

TASK = "desktop_organizer"
EEF = "franka"
NUM_DEMOS = 6
OPEN, CLOSE = 1.0, -1.0
ABOVE, LIFTED, OVER, IN, AWAY = 0.12, 0.20, 0.25, 0.08, 0.25
"""Heights of the script's waypoints above the ketchup or the basket [m]."""


def generate_cfg(source: Path, output_dir: Path, *overrides: str) -> GenerateCfg:
    """The task's configuration on the kinematic engine, with overrides such as `num_envs=7`."""
    task = OmegaConf.load(conf_dir() / "task" / f"{TASK}.yaml")
    schema = OmegaConf.structured(GenerateCfg(subtask_configs={EEF: []}))
    fixed = {"sim": {"engine": "kinematic"}, "progress": False, "video": False}
    fixed |= {"input_file": str(source), "output_dir": str(output_dir)}
    cfg = OmegaConf.merge(
        schema, task, fixed, OmegaConf.from_dotlist([item for item in overrides if ".franka." not in item])
    )
    for item in overrides:
        if ".franka." in item:
            name, _, value = item.partition("=")
            OmegaConf.update(cfg, name, OmegaConf.from_dotlist([f"value={value}"])["value"])
    return OmegaConf.to_object(cfg)  # type: ignore[return-value]


def make_kinematic_env(num_envs: int, events: dict[str, EventCfg] | None = None) -> MimicEnv:
    if events is None:
        events = generate_cfg(Path(), Path()).events
    return make_env(load_task(TASK), SimCfg(engine="kinematic"), events, num_envs)


def write_source_file(path: Path, num_demos: int = NUM_DEMOS, seed: int = 77) -> Path:
    """Pick and place, `num_demos` times with different scenes and lengths; every one is a success."""
    env = make_kinematic_env(num_demos)
    env.reset(torch.arange(num_demos), Draws(seed, torch.arange(num_demos)))
    rows = _play(env)
    assert bool(env.success().all()), "the script no longer solves the task"
    with h5py.File(path, "w") as file:
        file.attrs["format_version"] = 1
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(env.env_args())
        for index in range(num_demos):
            demo = data.create_group(f"demo_{index}")
            # Lengths differ by the number of steps of the return motion.
            num_steps = len(rows["actions"]) - index % 4
            demo.attrs.update({"num_samples": num_steps, "success": True})
            for name, steps in rows.items():
                demo[name] = torch.stack(steps)[:num_steps, index].numpy()
    return path


def _play(env: MimicEnv) -> dict[str, list[Tensor]]:
    """Dataset name -> each step's rows (N, ...)."""
    rows: dict[str, list[Tensor]] = {}
    previous = env.eef_pose[:, 0].clone()
    for goal, gripper, num_steps in _way_points(env):
        for step in range(1, num_steps + 1):
            fraction = torch.full((env.num_envs,), step / num_steps)
            target = interpolate_poses(previous, goal, fraction * fraction * (3 - 2 * fraction))
            grip = torch.full((env.num_envs, 1, 1), gripper)
            actions = env.target_eef_pose_to_action(target[:, None], grip)
            for name, values in _row(env, actions).items():
                rows.setdefault(name, []).append(values.clone())
            env.step(actions)
        previous = goal
    return rows


def _row(env: MimicEnv, actions: Tensor) -> dict[str, Tensor]:
    info = "obs/datagen_info"
    row = {"actions": actions, f"{info}/eef_pose/{EEF}": env.eef_pose[:, 0]}
    row[f"{info}/target_eef_pose/{EEF}"] = env.action_to_target_eef_pose(actions)[:, 0]
    row |= {f"{info}/object_pose/{name}": pose for name, pose in object_poses(env).items()}
    return row | {f"{info}/subtask_term_signals/{name}": on for name, on in env.get_subtask_term_signals().items()}


def _way_points(env: MimicEnv) -> list[tuple[Tensor, float, int]]:
    """(pose (N, 4, 4), gripper, steps to it) in turn."""
    objects = object_poses(env)
    ketchup, basket = objects["ketchup"][:, :3, 3], objects["basket"][:, :3, 3]
    down = torch.diag(torch.tensor([1.0, -1.0, -1.0])).expand(env.num_envs, 3, 3)

    def above(pos: Tensor, height: float) -> Tensor:
        return pose_from_pos_rot(pos + torch.tensor([0.0, 0.0, height]), down)

    return [
        (above(ketchup, ABOVE), OPEN, 16), (above(ketchup, 0.0), OPEN, 12), (above(ketchup, 0.0), CLOSE, 10),
        (above(ketchup, LIFTED), CLOSE, 14), (above(basket, OVER), CLOSE, 16), (above(basket, IN), CLOSE, 8),
        (above(basket, IN), OPEN, 6), (above(basket, AWAY), OPEN, 10),
    ]  # fmt: skip


def read_tree(group: h5py.Group) -> dict[str, Any]:
    """Path -> values of every dataset below a group."""
    return {path: dataset[()] for path, dataset in trees.flatten(group).items()}
