"""Compare the pictures of MuJoCo Warp's ray caster with those of OpenGL: colors, depth and segments.

python benchmarks/modalities.py [--tasks desktop_organizer,stack_cube] [--modes policy,film]
"""

import argparse
from typing import Any

import numpy as np
import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config.cameras import CamerasCfg
from isaaclab_mimic_ext.envs.camera_observations import add_cameras
from isaaclab_mimic_ext.envs.cameras import choose_cameras
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.rendering import Renderer
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.cameras import MODALITIES
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.folders import available_tasks

NUM_ENVS, SIZE, SEED, NUM_STEPS = 4, 84, 3, 3


def compare(task_name: str, mode: str) -> None:
    """Draw the same states with both, and print the differences of each camera."""
    task = load_task(task_name)
    env: Any = add_cameras(
        make_env(task, "mujoco_warp", num_envs=NUM_ENVS), task, CamerasCfg(rendering_mode=mode, modalities=list(MODALITIES))
    )
    every_env = torch.arange(NUM_ENVS)
    env.reset(every_env, Draws(SEED, every_env))
    actions = torch.zeros(NUM_ENVS, env.action_dim)
    actions[:, 2] = -1.0
    for _ in range(NUM_STEPS):
        env.step(actions)
    ours, state = {name: term.numpy() for name, term in env.observations().items()}, env.get_state()
    segments = env.env_args()["cameras"]["segments"]
    with Renderer(task, SIZE, SIZE, shadows=False, mode=mode) as renderer:
        cameras = choose_cameras(renderer.model, task, ["agentview", "wrist"])
        drawn = [renderer.pictures(trees.take(state, index), cameras, MODALITIES) for index in range(NUM_ENVS)]
    theirs = {name: np.stack([each[name] for each in drawn]) for name in drawn[0]}
    for camera in cameras:
        report(f"{task_name} {mode} {camera}", camera, ours, theirs, segments)
    env.close()


def report(title: str, camera: str, ours: dict[str, Any], theirs: dict[str, Any], segments: list[str]) -> None:
    """Print the differences of the pictures of one camera."""
    colors = np.abs(ours[camera].astype(float) - theirs[camera]).mean()
    depth = 1e3 * np.abs(ours[f"{camera}_depth"] - theirs[f"{camera}_depth"])
    one, other = ours[f"{camera}_segmentation"], theirs[f"{camera}_segmentation"]
    print(
        f"{title}: colors {colors:.2f} of 255; depth: mean {depth.mean():.2f}, median {np.median(depth):.4f}, 99 % below "
        f"{np.quantile(depth, 0.99):.1f} mm; equal segments {100 * (one == other).mean():.2f} %"
    )
    for number, name in enumerate(segments):
        both, either = ((one == number) & (other == number)).sum(), ((one == number) | (other == number)).sum()
        if either:
            print(
                f"    {name:<16} intersection over union {both / either:.3f} ({(other == number).sum()} pixels)", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=list(available_tasks()))
    parser.add_argument("--modes", type=lambda text: text.split(","), default=["policy"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    for task in args.tasks:
        for mode in args.modes:
            compare(task, mode)


if __name__ == "__main__":
    main()
