"""Three initial scenes of each task of robosuite, drawn by its own MuJoCo.

Run in the Python of robosuite, with the tasks as arguments, `<task>:<environment>:<number of robots>`:

    .venv-robosuite/bin/python docs/site/robosuite_pictures.py robosuite_door:Door:1
"""

import sys
from pathlib import Path

import mujoco
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "isaaclab_mimic_ext" / "envs" / "robosuite"))
from worker import Scene  # noqa: E402

_WIDTH, _HEIGHT, _QUALITY = 440, 350, 80


def draw(task: str, environment: str, num_robots: int) -> None:
    """Write `docs/pictures/task_<task>.jpg`."""
    spec = {"environment": environment, "robots": ["Panda"] * num_robots, "objects": {}, "placed": [], "imports": []}
    scene = Scene({**spec, "control_freq": 20, "options": {}})
    option = mujoco.MjvOption()
    option.geomgroup[0], option.sitegroup[:] = 0, 0  # shapes of contacts
    pictures = []
    for seed in range(3):
        scene.reset(seed)
        model, data = scene.env.sim.model._model, scene.env.sim.data._data
        model.vis.global_.offwidth, model.vis.global_.offheight = _WIDTH, _HEIGHT
        with mujoco.Renderer(model, _HEIGHT, _WIDTH) as renderer:
            renderer.update_scene(data, "agentview" if num_robots == 1 else "frontview", option)
            pictures.append(renderer.render())
    Image.fromarray(np.hstack(pictures)).save(ROOT / "docs" / "pictures" / f"task_{task}.jpg", quality=_QUALITY)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        name, environment, num_robots = argument.split(":")
        draw(name, environment, int(num_robots))
