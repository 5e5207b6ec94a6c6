"""Pictures of recorded states are added to finished datasets; drawn by a fake renderer, except where OpenGL is named."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.datasets import demo_pictures
from isaaclab_mimic_ext.datasets.demo_pictures import states_before_steps
from isaaclab_mimic_ext.datasets.render import RenderOptions, render_dataset
from isaaclab_mimic_ext.envs.modalities import picture_names
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.errors import ConfigError, MimicError, OutputError, SourceDataError
from isaaclab_mimic_ext.task.cameras import CameraCfg
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires
from tests.builders import make_source_file

requires.module("mujoco", "mujoco")
TASK = load_task("desktop_organizer")
SMALL = RenderOptions(cameras=("agentview",), size=(4, 6))


class PaintingRenderer:
    """Fake `Renderer`. The first pixel of a picture encodes the x position of the ketchup."""

    drawn = 0
    fails_at: int | None = None
    name = "paint"

    def __init__(self, task: Any, width: int, height: int, **options: Any):
        self.shape, self.model = (height, width, 3), PosedScene(task, options["cameras"]).model

    def pictures(self, state: dict[str, Any], cameras: dict[str, str], modalities: tuple[str, ...]) -> dict[str, np.ndarray]:
        PaintingRenderer.drawn += 1
        if PaintingRenderer.drawn == PaintingRenderer.fails_at:
            raise KeyboardInterrupt
        names = picture_names(cameras, modalities).values()
        return {name: np.full(self.shape, painted_value(state), np.uint8) for name in names}

    def close(self) -> None:
        pass


def painted_value(state: dict[str, Any]) -> int:
    return int(1e4 * state["rigid_object"]["ketchup"]["root_pose"][0]) % 256


@pytest.fixture(autouse=True)
def painted(monkeypatch: pytest.MonkeyPatch) -> None:
    PaintingRenderer.drawn, PaintingRenderer.fails_at = 0, None
    monkeypatch.setattr(demo_pictures, "Renderer", PaintingRenderer)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_source_file(tmp_path / "demo.hdf5", num_demos=2)


def refusal(kind: type[MimicError], *arguments: Any, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        render_dataset(*arguments, **options)
    return str(caught.value)


def test_pictures_show_the_states_in_which_the_observations_were_made(dataset: Path, tmp_path: Path) -> None:
    done = render_dataset(dataset, tmp_path / "out.hdf5", SMALL, num_workers=1)
    assert (done.num_demos, done.cameras, done.renderer) == (2, ("agentview",), "paint")
    with h5py.File(dataset) as before, h5py.File(tmp_path / "out.hdf5") as after:
        for name in ("demo_0", "demo_1"):
            old, new = before["data"][name], after["data"][name]
            pictures = new["obs/agentview"]
            assert (pictures.shape, pictures.dtype) == ((len(old["actions"]), 4, 6, 3), np.uint8)
            initial, states = (old[f"{group}/rigid_object/ketchup/root_pose"][:, 0] for group in ("initial_state", "states"))
            expected = [int(1e4 * x) % 256 for x in (initial[0], *states[:-1])]
            assert pictures[:, 0, 0, 0].tolist() == expected
            kept = trees.flatten(old)
            assert all(np.array_equal(new[path][()], leaf[()]) for path, leaf in kept.items())


def test_file_names_the_renderer_and_the_calibration_of_its_cameras(dataset: Path, tmp_path: Path) -> None:
    render_dataset(dataset, tmp_path / "out.hdf5", SMALL, num_workers=1)
    with h5py.File(tmp_path / "out.hdf5") as file:
        cameras = json.loads(file["data"].attrs["env_args"])["cameras"]
    assert (cameras["names"], cameras["renderer"], cameras["rendering_mode"]) == (["agentview"], "paint", "policy")
    found = cameras["calibration"]["agentview"]
    assert (found["height"], found["width"], found["frame"]) == (4, 6, "env")
    assert np.allclose(np.array(found["T_frame_camera"])[:3, 3], TASK.cameras["agentview"].pos)


def test_wxyz_quaternions_are_drawn_as_they_are_meant(tmp_path: Path) -> None:
    states = [
        states_before_steps(make_source_file(tmp_path / f"{version}.hdf5", format_version=version), "demo_0", TASK)
        for version in (0, 1)
    ]
    poses = [each["rigid_object"]["ketchup"]["root_pose"] for each in states]
    assert np.allclose(*poses) and np.abs(poses[0][:, 5]).max() > 0.01


def test_interrupted_rendering_continues_with_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.hdf5"
    render_dataset(dataset, tmp_path / "whole.hdf5", SMALL, num_workers=1)
    first_demo = 60
    PaintingRenderer.drawn, PaintingRenderer.fails_at = 0, first_demo + 20
    with pytest.raises(KeyboardInterrupt):
        render_dataset(dataset, output, SMALL, num_workers=1)
    assert not output.exists() and (tmp_path / "out.hdf5.pictures" / "demo_0.npz").exists()
    (tmp_path / "out.hdf5.part").touch()  # A killed process leaves it.
    assert "continue it with resume=true" in refusal(OutputError, dataset, output, SMALL, num_workers=1)
    larger = RenderOptions(cameras=("agentview",), size=(8, 8))
    message = refusal(OutputError, dataset, output, larger, num_workers=1, resume=True)
    assert "was started with a different configuration (size: [4, 6], now [8, 8])" in message
    PaintingRenderer.drawn, PaintingRenderer.fails_at = 0, None
    render_dataset(dataset, output, SMALL, num_workers=1, resume=True)
    assert PaintingRenderer.drawn < 70
    assert output.read_bytes() == (tmp_path / "whole.hdf5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.hdf5", "out.hdf5", "whole.hdf5"]


def test_resumed_rendering_accepts_tuples_and_notices_a_changed_camera_of_the_task(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, camera = tmp_path / "out.hdf5", CameraCfg(pos=(1.0, 0.0, 0.5), target=(0.5, 0.0, 0.0))  # type: ignore[arg-type]
    options = RenderOptions(cameras=("left",), size=(4, 6), camera_cfgs={"left": camera})
    PaintingRenderer.fails_at = 80
    with pytest.raises(KeyboardInterrupt):
        render_dataset(dataset, output, options, num_workers=1)
    with monkeypatch.context() as patch:
        patch.setattr(type(TASK), "cameras", {"agentview": CameraCfg(fovy=20.0, pos=[1, 0, 1], target=[0, 0, 0])})
        message = refusal(OutputError, dataset, output, options, num_workers=1, resume=True)
    assert "was started with a different configuration (camera_cfgs: " in message
    assert render_dataset(dataset, output, options, num_workers=1, resume=True).num_demos == 2


def test_pictures_of_the_input_are_replaced(dataset: Path, tmp_path: Path) -> None:
    render_dataset(dataset, tmp_path / "small.hdf5", SMALL, num_workers=1)
    done = render_dataset(
        tmp_path / "small.hdf5", tmp_path / "out.hdf5", RenderOptions(("agentview",), (8, 8)), num_workers=1
    )
    assert done.replaced == ("agentview",)
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert file["data/demo_0/obs/agentview"].shape[1:] == (8, 8, 3)


def test_demo_with_faulty_states_is_left_out_and_a_file_without_states_is_refused(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "out.hdf5"
    with h5py.File(dataset, "r+") as file:
        del file["data/demo_1/states"]
    assert render_dataset(dataset, output, SMALL, num_workers=1).num_demos == 1
    assert "demo_1 is left out: states: not found" in caplog.text
    message = refusal(SourceDataError, dataset, tmp_path / "none.hdf5", SMALL, num_workers=1, demos="demo_1")
    assert "demo_1: states: not found; a demo must contain its recorded states" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.hdf5", "out.hdf5"]


BAD_OPTIONS = [
    (
        {"cameras": ("agentvew",)},
        "cameras: 'agentvew' is not in the scene of task 'desktop_organizer'; choices: front, side, ",
    ),
    ({"cameras": ()}, "cameras: must name at least one camera"),
    (
        {"cameras": ("datagen_info",), "camera_cfgs": {"datagen_info": CameraCfg(None, [1, 0, 1], [0, 0, 0])}},
        "cameras: 'datagen_info' is the name of an observation in ",
    ),
    ({"camera_cfgs": {"a/b": CameraCfg(None, [1, 0, 1], [0, 0, 0])}}, "camera_cfgs.a/b: the name of a new camera must not"),
    ({"camera_cfgs": {"front": CameraCfg(None, [0, 0, 1], [0, 0, 1])}}, "camera_cfgs.front.target: must differ from pos"),
    ({"modalities": ("rgb", "deep")}, "modalities: 'deep' is not a modality; choices: rgb, depth, segmentation"),
    ({"modalities": ()}, "modalities: must name each modality once (got [])"),
    ({"rendering_mode": "fast"}, "rendering_mode: 'fast' is not valid; choices: policy, film"),
    ({"camera_cfgs": {"left": CameraCfg(fovy=40.0)}}, "camera_cfgs.left: is not a camera of the scene; set pos and target"),
    ({"camera_cfgs": {"front": CameraCfg(pos=[0, 0, 1])}}, "camera_cfgs.front: a new pose requires pos and target"),
    ({"camera_cfgs": {"front": CameraCfg(None, [0, 0, 1], [0, 0, 0])}}, "camera_cfgs.front.up: must not be parallel"),
    (
        {"camera_cfgs": {"front": CameraCfg("bottle", [0, 0, 1], [1, 0, 0])}},
        "camera_cfgs.front.frame: 'bottle' is not in the scene; choices: env, franka, ketchup",
    ),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_wrong_camera_is_refused_with_the_choices(
    options: dict[str, Any], message: str, dataset: Path, tmp_path: Path
) -> None:
    found = refusal(ConfigError, dataset, tmp_path / "out.hdf5", RenderOptions(**options), num_workers=1)
    assert found.startswith(message)
    assert [path.name for path in tmp_path.iterdir()] == ["demo.hdf5"]


def test_file_of_a_different_scene_is_refused(dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.hdf5"
    assert "was recorded for task 'desktop_organizer', not 'stack_cube'" in refusal(
        SourceDataError, dataset, output, SMALL, task="stack_cube"
    )
    with h5py.File(dataset, "r+") as file:
        args = json.loads(file["data"].attrs["env_args"])
        file["data"].attrs["env_args"] = json.dumps({name: args[name] for name in args if name != "engine"})
        for demo in file["data"].values():
            for group in ("states", "initial_state"):
                demo[f"{group}/rigid_object/spoon"] = demo[f"{group}/rigid_object/ketchup"]
    assert "set task=<task>" in refusal(SourceDataError, dataset, output, SMALL)
    message = refusal(SourceDataError, dataset, output, SMALL, task="desktop_organizer", num_workers=1)
    assert "states/rigid_object/spoon: is not in the scene of task 'desktop_organizer'" in message


def test_existing_output_and_the_input_are_not_overwritten(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "out.hdf5").touch()
    assert "already exists" in refusal(OutputError, dataset, tmp_path / "out.hdf5", SMALL)
    assert "must differ from input_file" in refusal(OutputError, dataset, dataset, SMALL, overwrite=True)


def test_observation_without_pictures_is_not_replaced(dataset: Path, tmp_path: Path) -> None:
    with h5py.File(dataset, "r+") as file:
        for demo in file["data"].values():
            demo["obs/left"] = np.zeros((len(demo["actions"]), 3), np.float32)
    options = RenderOptions(("left",), (4, 6), camera_cfgs={"left": CameraCfg(None, [1, 0, 1], [0, 0, 0])})
    message = refusal(ConfigError, dataset, tmp_path / "out.hdf5", options, num_workers=1)
    assert message.startswith("cameras: 'left' is the name of an observation in ")
