"""Draw the pictures of the documentation from the software itself: `make docs-pictures`.

    PYTHONPATH=. python docs/site/draw_pictures.py [NAME ...]

Without names, all pictures are drawn. They are written to docs/pictures/ and docs/. Pictures with text have
two versions, for light and dark pages.
"""

import argparse
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from demos import draw_signals
from look_pictures import draw_looks
from mesh_pictures import draw_mesh_lists, draw_meshes
from page_pictures import draw_report, draw_timeline, draw_watch
from studio_pictures import draw_mark, draw_record
from task_pages import presets
from themes import OUT, write_photo
from trial_pictures import draw_constraints, draw_segments, draw_trials

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config.compose import load_task
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.recorded_scene import recorded_scene
from isaaclab_mimic_ext.envs.rendering import Renderer
from isaaclab_mimic_ext.envs.robots.picture import draw_robot
from isaaclab_mimic_ext.envs.views import fit_view, workspace
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import Task
from tests.own_robot import own_robot
from tests.own_task import write_task

log = logging.getLogger(__name__)

_WIDTH, _HEIGHT = 440, 350
"""Size of a scene in the pictures of the tasks [pixels]."""


def draw_tasks() -> None:
    """Three initial scenes of each task, of each preset with its own randomization, and of the task in docs/new_task.md."""
    for base, names in presets().items():
        if load_task(base).engine is not None:  # Drawn by its engine, not by this package.
            continue
        for name in names:
            task = load_task(name)
            if name == base or task.config.events != load_task(base).config.events:
                write_photo(f"task_{name}", _initial_scenes(task), 80)

    with TemporaryDirectory() as folder:
        write_photo("task_pick_cube", _initial_scenes(load_task("pick_cube", write_task(Path(folder)))), 80)


def draw_own_robot() -> None:
    """An arm of an MJCF file, with its frames and its gripper."""
    with TemporaryDirectory() as folder:
        draw_robot(own_robot(Path(folder)), OUT / "robot_own_arm.png", overwrite=True)


def _initial_scenes(task: Task, count: int = 3) -> np.ndarray:
    env, env_ids = make_env(task, engine="mujoco", num_envs=count), torch.arange(count)
    env.reset(env_ids, Draws(3, env_ids))
    state = env.get_state()
    scenes = recorded_scene(task, trees.map(torch.Tensor.numpy, state))
    view = fit_view(workspace(task, [scenes]), _WIDTH / _HEIGHT)
    with Renderer(task, _WIDTH, _HEIGHT, view) as renderer:
        pictures = [renderer.frame(trees.take(state, index)) for index in range(count)]
    env.close()
    return np.hstack(pictures)


PICTURES = {
    "signals": draw_signals,
    "segments": draw_segments,
    "trials": draw_trials,
    "constraints": draw_constraints,
    "tasks": draw_tasks,
    "robot": draw_own_robot,
    "meshes": draw_meshes,
    "mesh_lists": draw_mesh_lists,
    "looks": draw_looks,
    "timeline": draw_timeline,
    "report": draw_report,
    "watch": draw_watch,
    "mark": draw_mark,
    "record": draw_record,
}


def main() -> None:
    """Draw the pictures that are named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"pictures: {', '.join(PICTURES)}; default: all")
    names = parser.parse_args().names
    if unknown := sorted({*names} - {*PICTURES}):
        parser.error(f"not a picture: {', '.join(unknown)}; choices: {', '.join(PICTURES)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    OUT.mkdir(exist_ok=True)
    for name in names or PICTURES:
        PICTURES[name]()
        log.info("Drew %s", name)


if __name__ == "__main__":
    main()
