"""Pictures of states of the MuJoCo and the kinematic engine."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires

requires.module("mujoco.batch", "mujoco")
from isaaclab_mimic_ext.envs.rendering import Renderer  # noqa: E402

TASK = load_task("desktop_organizer")


def make_renderer(camera: str = "front") -> Renderer:
    with requires.available("opengl", SimulatorUnavailable):
        return Renderer(TASK, 160, 120, camera)


@pytest.mark.parametrize("engine", ["kinematic", "mujoco"])
def test_picture_depends_on_the_state_only(engine: str) -> None:
    env = make_env(TASK, SimCfg(engine=engine), {}, 1)
    env.reset(torch.arange(1), Draws(1, torch.arange(1)))
    with make_renderer() as renderer:
        before = renderer.frame(trees.take(env.get_state(), 0))
        again = renderer.frame(trees.take(env.get_state(), 0))
        for _ in range(10):
            env.step(torch.tensor([[0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 1.0]]))
        after = renderer.frame(trees.take(env.get_state(), 0))
    assert before.shape == (120, 160, 3)
    assert before.dtype == np.uint8
    assert before.std() > 20
    assert np.array_equal(before, again)
    assert np.abs(before.astype(int) - after).mean() > 1


@pytest.mark.filterwarnings("error")
def test_arm_is_drawn_at_the_end_effector_pose_of_a_kinematic_state() -> None:
    env = make_env(TASK, SimCfg(engine="kinematic"), {}, 1)
    env.reset(torch.arange(1), Draws(1, torch.arange(1)))
    for _ in range(10):
        env.step(torch.tensor([[0.2, 0.6, -0.2, 0.0, 0.0, 0.1, 1.0]]))
    with make_renderer() as renderer:
        renderer.frame(trees.take(env.get_state(), 0))
        drawn = renderer.eef_position("robot")
    assert np.abs(drawn - env.eef_pose[0, 0, :3, 3].numpy()).max() < 0.002


def test_error_for_unknown_camera_lists_the_cameras() -> None:
    with pytest.raises(ConfigError, match=r"'frnt'.*front, side, top"):
        Renderer(TASK, camera="frnt")


def test_picture_larger_than_the_frame_buffer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"from 1 x 1 to 1920 x 1080 pixels"):
        Renderer(TASK, 4000, 3000)


def renderer_error(backend: str) -> str:
    imports = "from isaaclab_mimic_ext import load_task; from isaaclab_mimic_ext.envs.rendering import Renderer"
    code = f"{imports}; Renderer(load_task('desktop_organizer'))"
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment["MUJOCO_GL"] = backend
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    return run.stderr.splitlines()[-1]


def test_error_for_missing_display_contains_the_package_to_install() -> None:
    message = renderer_error("glfw")
    assert "SimulatorUnavailable" in message
    assert "libosmesa6" in message


def test_error_for_unknown_backend_lists_the_choices() -> None:
    message = renderer_error("nonsense")
    assert "SimulatorUnavailable" in message
    assert "egl, glfw, osmesa" in message
