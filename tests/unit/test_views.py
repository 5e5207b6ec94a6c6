"""Free cameras of videos: all points are in the picture, and pixels agree with the rendered frame."""

import numpy as np
import pytest

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.playback import demo_states
from isaaclab_mimic_ext.envs.recorded_scene import eef_paths, grasp_step, recorded_scene, take_steps
from isaaclab_mimic_ext.envs.views import fit_view, workspace
from isaaclab_mimic_ext.errors import SimulatorUnavailable
from isaaclab_mimic_ext.files.hdf5 import open_hdf5
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires
from tests.forked_scripts import ROOT


@pytest.mark.parametrize("aspect", [0.5, 4 / 3, 3.0])
def test_fitted_view_shows_all_points_and_touches_a_border(aspect: float) -> None:
    points = np.random.default_rng(1).uniform((0.2, -0.5, 0.0), (0.8, 0.5, 0.5), (200, 3))
    width, height = 300 * aspect, 300.0
    pixels = fit_view(points, aspect).project(points, width, height)
    share = np.abs(pixels / (width, height) - 0.5).max()
    assert share == pytest.approx(0.47, abs=1e-6)


@pytest.mark.parametrize("name", ["desktop_organizer", "stack_cube", "two_arm_lift_tray", "desktop_organizer_cluttered"])
def test_hands_and_grasp_are_found_in_source_demos_of_every_task(name: str) -> None:
    task = load_task(name)
    with open_hdf5(ROOT / f"tasks/{name}/data/source_demos.hdf5") as file:
        scene = recorded_scene(task, demo_states(file, "demo_0", task))
        recorded = file["data/demo_0/obs"]
        expected = [recorded[f"{'' if len(task.arms) == 1 else f'{arm.name}_'}eef_pos"][()] for arm in task.arms]
    # Observations are recorded before a step, states after it.
    np.testing.assert_allclose(eef_paths(scene)[:, :-1], np.stack(expected)[:, 1:], atol=1e-4)
    step = grasp_step(task, scene)
    assert step is not None and 0 < step < len(scene.joint_pos) - 1
    view = fit_view(workspace(task, [take_steps(scene, 5)]), 4 / 3)
    pixels = view.project(eef_paths(scene).reshape(-1, 3), 320, 240)
    assert ((pixels >= 0) & (pixels <= (320, 240))).all()


@pytest.mark.slow
def test_projected_object_is_where_the_renderer_draws_it() -> None:
    task = load_task("stack_cube")
    with open_hdf5(ROOT / "tasks/stack_cube/data/source_demos.hdf5") as file:
        demo = demo_states(file, "demo_0", task)
    scene = recorded_scene(task, demo)
    view = fit_view(workspace(task, [take_steps(scene, 5)]), 4 / 3)
    with requires.available("opengl", SimulatorUnavailable):
        from isaaclab_mimic_ext.envs.rendering import Renderer

        with Renderer(task, 320, 240, view, shadows=False) as renderer:
            frame = renderer.frame(trees.take(demo, 0)).astype(int)
    red = np.argwhere(frame[..., 0] - frame[..., 1:].max(-1) > 60)[:, ::-1]
    cube = scene.object_pose[:1, task.object_id("cube_2"), :3, 3].double().numpy()
    np.testing.assert_allclose(red.mean(0), view.project(cube, 320, 240)[0], atol=4)
