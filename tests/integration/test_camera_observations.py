"""Camera observations show the scene before each action, independent of the other envs."""

import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.datasets.render import RenderOptions, render_dataset
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.envs.rendering import Renderer
from isaaclab_mimic_ext.errors import BudgetExhausted, OutputError, SimulatorUnavailable
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.build import start_env
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires
from tests.jobs import run_generation
from tests.kinematic_sources import TASK, read_tree

requires.module("mujoco.batch", "mujoco")
CAMERAS = {"front": "front", "wrist": "robot/wrist"}
NUM_DEMOS = 1


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with requires.available("opengl", SimulatorUnavailable):
        opened = Renderer(load_task(TASK), 128, 128, shadows=False)
    with opened:
        yield opened


def configuration(folder: Path, *overrides: str) -> GenerateCfg:
    settings = ["sim=mujoco", "sim.num_threads=1", "num_envs=1", "video=false", "progress=false", "enable_cameras=true"]
    settings += [f"output_dir={folder}", f"datagen_config.generation_num_trials={NUM_DEMOS}", "recorder.compression=lzf"]
    names = {override.partition("=")[0] for override in overrides}
    return load_config("generate", [*(each for each in settings if each.partition("=")[0] not in names), *overrides])


@pytest.mark.slow
def test_run_records_one_picture_per_step_and_camera_in_a_valid_file(tmp_path: Path, renderer: Renderer) -> None:
    run_generation(configuration(tmp_path / "run"))
    path = tmp_path / "run" / "demo.hdf5"
    assert validate_dataset(path).is_valid(strict=True)
    with h5py.File(path) as file:
        demo = file["data/demo_0"]
        states = {0: (read_tree(demo["initial_state"]), 0), 20: (read_tree(demo["states"]), 19)}
        for camera in CAMERAS:
            pictures = demo[f"obs/{camera}"]
            assert (pictures.shape, pictures.dtype) == ((len(demo["actions"]), 128, 128, 3), np.uint8)
            assert pictures.chunks is not None and pictures.chunks[0] * 128 * 128 * 3 <= 2**20
        for step, (state, row) in states.items():
            frames = renderer.frames(trees.take(trees.unflatten(state), row), CAMERAS.values())
            for camera, drawn in zip(CAMERAS, frames, strict=True):
                assert np.array_equal(demo[f"obs/{camera}"][step], drawn), (camera, step)


@pytest.mark.slow
def test_pictures_drawn_after_a_run_equal_those_of_the_run_in_all_modalities(tmp_path: Path, renderer: Renderer) -> None:
    kinds = ("rgb", "depth", "segmentation")
    run_generation(configuration(tmp_path / "run", f"cameras.modalities=[{','.join(kinds)}]", "cameras.size=[48,64]"))
    live, later = tmp_path / "run" / "demo.hdf5", tmp_path / "later.hdf5"
    options = RenderOptions(("front", "wrist"), (48, 64), "film", modalities=kinds)
    done = render_dataset(live, later, options, num_workers=2)
    render_dataset(live, tmp_path / "alone.hdf5", options, num_workers=1)
    assert later.read_bytes() == (tmp_path / "alone.hdf5").read_bytes()
    assert done.observations == done.replaced and len(done.observations) == 6
    with h5py.File(live) as before, h5py.File(later) as after:
        for name in done.observations:
            one, other = (file[f"data/demo_0/obs/{name}"] for file in (before, after))
            assert one.dtype == other.dtype and np.array_equal(one, other) and np.ptp(one) > 0, name
        one, other = (json.loads(file["data"].attrs["env_args"])["cameras"] for file in (before, after))
        assert one == other and one["segments"][1:] == [*load_task(TASK).object_names, "robot"]


def test_depth_and_segmentation_of_opengl_show_the_objects_where_the_calibration_places_them(tmp_path: Path) -> None:
    env = start_env(configuration(tmp_path, "cameras.modalities=[segmentation,depth]"))
    every_env = torch.arange(1)
    env.reset(every_env, Draws(1, every_env))
    drawn, cameras = env.observations(), env.env_args()["cameras"]
    assert "front" not in drawn and cameras["modalities"] == ["segmentation", "depth"]
    found = cameras["calibration"]["front"]
    T_camera_env = np.linalg.inv(np.array(found["T_frame_camera"]))
    num_seen = 0
    for number, name in enumerate(env.object_names, 1):
        pose = env.object_pose[0, env.object_names.index(name)].numpy().astype(np.float64)
        x, y, depth = np.array(found["K"]) @ (T_camera_env @ pose[:, 3])[:3]
        column, row = int(x / depth), int(y / depth)
        if not (0 <= row < 128 and 0 <= column < 128) or drawn["front_segmentation"][0, row, column, 0] != number:
            continue  # Outside of the picture, or behind another object.
        num_seen += 1
        # The surface is in front of the center, by less than the size of the object.
        assert 0 < depth - float(drawn["front_depth"][0, row, column, 0]) < 0.15
    assert num_seen >= 2
    env.close()


def test_pictures_do_not_depend_on_the_number_of_envs_and_show_motion(renderer: Renderer, tmp_path: Path) -> None:
    seen = []
    for num_envs in (1, 3):
        env = start_env(configuration(tmp_path, f"num_envs={num_envs}"))
        last = torch.tensor([num_envs - 1])
        env.reset(last, Draws(1, torch.tensor([7])))
        before = env.observations()
        for _ in range(3):
            actions = torch.zeros(num_envs, env.action_dim)
            actions[:, 2] = -1.0
            env.step(actions)
        seen.append([terms[camera][-1] for terms in (before, env.observations()) for camera in CAMERAS])
        assert before["front"].shape == (num_envs, 128, 128, 3) and before["front"].dtype == torch.uint8
        described = env.env_args()["cameras"]
        assert [described[name] for name in ("names", "height", "width")] == [list(CAMERAS), 128, 128]
        assert described["renderer"] == renderer.name and set(described["calibration"]) == set(CAMERAS)
        env.close()
    assert all(torch.equal(one, other) for one, other in zip(*seen, strict=True))
    front, wrist, front_later, wrist_later = seen[0]
    assert not torch.equal(front, front_later) and not torch.equal(wrist, wrist_later)


def test_run_with_pictures_cannot_be_resumed_without_them(renderer: Renderer, tmp_path: Path) -> None:
    with pytest.raises(BudgetExhausted):
        run_generation(configuration(tmp_path / "run", "datagen_config.max_time=1e-9"))
    with pytest.raises(OutputError, match="enable_cameras: True, now False"):
        run_generation(configuration(tmp_path / "run", "enable_cameras=false", "resume=true"))
