"""Picture of the random looks of a scene, for docs/vision.md."""

import numpy as np
import torch
from themes import write_photo

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.appearance import look_numbers
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.rendering import Renderer
from isaaclab_mimic_ext.rng import Domain, Draws
from isaaclab_mimic_ext.task.cameras import KINDS_OF_LOOKS
from isaaclab_mimic_ext.task.definition import load_task

_SIDE, _NUM_LOOKS = 150, 6


def draw_looks() -> None:
    """One state from `agentview`: a row per kind and one of all kinds; the first column is the scene's own look."""
    task = load_task("desktop_organizer")
    env, env_ids = make_env(task, engine="mujoco", num_envs=1), torch.arange(1)
    env.reset(env_ids, Draws(3, env_ids))
    state = trees.take(env.get_state(), 0)
    env.close()
    numbers = [None, *look_numbers(1, torch.arange(_NUM_LOOKS), Domain.GENERATION)]
    rows = []
    for kinds in (*((kind,) for kind in KINDS_OF_LOOKS), KINDS_OF_LOOKS):
        with Renderer(task, _SIDE, _SIDE, "agentview", shadows=False, looks=kinds) as renderer:
            pictures = []
            for look in numbers:
                renderer.set_look(look)
                pictures.append(renderer.frame(state))
        rows.append(np.hstack(pictures))
    write_photo("looks", np.vstack(rows))
