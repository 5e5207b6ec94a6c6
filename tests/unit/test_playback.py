"""Videos and pictures of recorded demos, with a fake renderer that paints frames of one color."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import imageio.v2 as imageio
import numpy as np
import pytest

from isaaclab_mimic_ext.envs import playback, rendering
from isaaclab_mimic_ext.envs.captions import Caption, demo_caption
from isaaclab_mimic_ext.envs.drawing import BAR, bar, fitted, grid_shape, tile
from isaaclab_mimic_ext.envs.playback import TileOptions, write_states_video, write_video
from isaaclab_mimic_ext.envs.recorded_scene import Moment
from isaaclab_mimic_ext.envs.scene_picture import write_scene_picture
from isaaclab_mimic_ext.envs.views import View
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SimulatorUnavailable, SourceDataError
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires
from tests.builders import make_source_file

TASK = load_task("desktop_organizer")
SMALL = TileOptions(width=32, height=32)


class PaintingRenderer:
    """Fake `Renderer`. Brightness of its frames encodes the x position of the ketchup; states are stored in `shown`."""

    def __init__(self, task: Any, width: int, height: int, camera: str | View, shadows: bool):
        self.shape = (height, width, 3)

    def __enter__(self) -> "PaintingRenderer":
        return self

    def __exit__(self, *_: object) -> None:
        shown.append(None)

    def object_colors(self) -> dict[str, tuple[int, int, int]]:
        return dict.fromkeys(TASK.object_names, (200, 10, 10))

    def frame(self, state: dict[str, Any]) -> np.ndarray:
        shown.append(state)
        return np.full(self.shape, int(100 * state["rigid_object"]["ketchup"]["root_pose"][0]), np.uint8)


shown: list[dict[str, Any] | None] = []


@pytest.fixture
def painted(monkeypatch):
    shown.clear()
    monkeypatch.setattr(rendering, "Renderer", PaintingRenderer)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_source_file(tmp_path / "demo.hdf5", num_demos=3)


def lengths_of(dataset: Path) -> list[int]:
    with h5py.File(dataset) as file:
        return [len(file[f"data/demo_{index}/actions"]) for index in range(3)]


def edit(dataset: Path, name: str, values: np.ndarray | None) -> None:
    with h5py.File(dataset, "r+") as file:
        del file[name]
        if values is not None:
            file[name] = values


def test_video_has_a_first_frame_for_players_and_one_frame_per_step_of_the_longest_demo(painted, tmp_path, dataset):
    write_video(dataset, tmp_path / "play.mp4", TASK, stride=1, tiles=SMALL)
    frames = list(iter(imageio.get_reader(tmp_path / "play.mp4")))
    assert len(frames) == 1 + max(lengths_of(dataset))
    assert frames[0].shape == (32 + 2 * BAR + 24, 96, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.hdf5", "play.mp4"]


def test_last_frame_of_short_demos_is_repeated_without_rendering(painted, tmp_path, dataset):
    write_video(dataset, tmp_path / "play.mp4", TASK, stride=1, tiles=SMALL)
    assert len([state for state in shown if state is not None]) == 3 + sum(lengths_of(dataset))


def test_stride_skips_steps_except_the_last(painted, tmp_path, dataset):
    write_video(dataset, tmp_path / "play.mp4", TASK, num_demos=1, stride=7, tiles=SMALL)
    _, *drawn = [state["rigid_object"]["ketchup"]["root_pose"] for state in shown if state is not None]
    with h5py.File(dataset) as file:
        poses = file["data/demo_0/states/rigid_object/ketchup/root_pose"][()]
    expected = poses[[*range(0, len(poses) - 1, 7), len(poses) - 1]]
    np.testing.assert_array_equal(np.stack(drawn), expected)


def test_renderer_receives_single_states_with_quaternions_as_xyzw(painted, tmp_path):
    pictures = []
    for version in (0, 1):
        path = make_source_file(tmp_path / f"v{version}.hdf5", num_demos=1, format_version=version)
        shown.clear()
        write_scene_picture(path, tmp_path / f"v{version}.png", TASK, tiles=SMALL)
        pictures.append(shown[0])
    old, new = pictures
    assert old["articulation"]["robot"]["joint_position"].shape == (9,)
    np.testing.assert_array_equal(old["rigid_object"]["ketchup"]["root_pose"], new["rigid_object"]["ketchup"]["root_pose"])


def test_picture_shows_start_middle_and_end_of_each_demo(painted, tmp_path, dataset):
    write_scene_picture(dataset, tmp_path / "scene.png", TASK, num_demos=2, tiles=SMALL)
    drawn = [state["rigid_object"]["ketchup"]["root_pose"] for state in shown if state is not None]
    with h5py.File(dataset) as file:
        poses = [file[f"data/demo_{index}/states/rigid_object/ketchup/root_pose"][()] for index in (0, 1)]
    expected = [row[step] for row in poses for step in (0, len(row) // 2, len(row) - 1)]
    np.testing.assert_array_equal(np.stack(drawn), np.stack(expected))


def test_long_texts_of_a_bar_leave_half_of_it_to_the_other_text():
    assert fitted("short", 200) == "short"
    left, right = "demo_12, trial 13", "from demo_1, demo_2, demo_3, demo_4, demo_5"
    half = bar(240, left, right)[:, :120]
    np.testing.assert_array_equal(half, bar(240, left)[:, :120])


def test_captions_name_sources_stage_and_reason_of_failure(tmp_path, dataset):
    with h5py.File(dataset, "r+") as file:
        file["data"].attrs["source_demo_names"] = ["demo_a", "demo_b"]
        file["data/demo_1"].attrs.update({"trial": 7, "success": False, "source_demos": [[1, 1, 0, -1]]})
        caption = demo_caption(file, "demo_1", {7: "dropped"})
    assert caption == Caption("demo_1, trial 7", "demo_b, demo_a", "dropped")
    staged = replace(caption, stages=(Moment(10, "reach"), Moment(20, "grasp"), Moment(30, "end")))
    assert [staged.stage(step) for step in (0, 10, 11, 30)] == ["reach", "reach", "grasp", "grasp done"]


def test_videos_without_captions_have_no_text_and_no_first_frame(painted, tmp_path, dataset):
    with h5py.File(dataset) as file:
        states = playback.demo_states(file, "demo_0", TASK)
    write_states_video([states], tmp_path / "play.mp4", TASK, stride=1, tiles=SMALL)
    frames = list(iter(imageio.get_reader(tmp_path / "play.mp4")))
    assert (len(frames), frames[0].shape) == (lengths_of(dataset)[0], (32, 32, 3))


def test_grid_fits_any_number_of_tiles():
    for count in range(1, 200):
        rows, columns = grid_shape(count)
        assert count <= rows * columns < 2 * count + 1


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (4, 2, 2), (5, 2, 3), (8, 2, 4), (18, 3, 6)])
def test_tiles_fill_a_grid_row_by_row(count, rows, columns):
    frames = [np.full((2, 3, 3), index + 1, np.uint8) for index in range(count)]
    grid = tile(frames)
    assert grid.shape == (rows * 2, columns * 3, 3)
    values = grid[::2, ::3, 0].ravel().tolist()
    assert values == [*range(1, count + 1)] + [0] * (rows * columns - count)


def test_wrong_suffix_and_folder_as_path_are_refused(painted, tmp_path, dataset):
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputError, match=r"must end in '\.mp4'"):
        write_video(dataset, tmp_path / "play.gif", TASK, tiles=SMALL)
    with pytest.raises(OutputError, match="must be a file"):
        write_video(dataset, tmp_path / "folder.mp4", TASK, tiles=SMALL, overwrite=True)


@pytest.mark.parametrize("write", [write_video, write_scene_picture])
def test_existing_output_is_replaced_only_with_overwrite(painted, tmp_path, dataset, write):
    output = tmp_path / ("play.mp4" if write is write_video else "scene.png")
    output.write_bytes(b"mine")
    with pytest.raises(OutputError, match="already exists"):
        write(dataset, output, TASK, tiles=SMALL)
    assert output.read_bytes() == b"mine"
    write(dataset, output, TASK, tiles=SMALL, overwrite=True)
    assert output.read_bytes() != b"mine"


def test_failure_leaves_no_partial_file(painted, tmp_path, dataset, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(PaintingRenderer, "frame", fail)
    with pytest.raises(OutputError, match="no space left"):
        write_video(dataset, tmp_path / "play.mp4", TASK, tiles=SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["demo.hdf5"]


def test_dataset_without_states_is_refused(painted, tmp_path, dataset):
    edit(dataset, "data/demo_1/states", None)
    with pytest.raises(SourceDataError, match="demo_1: states: not found"):
        write_video(dataset, tmp_path / "play.mp4", TASK, tiles=SMALL)


def test_dataset_of_a_different_task_is_refused(painted, tmp_path, dataset):
    edit(dataset, "data/demo_0/states/rigid_object/basket", None)
    with pytest.raises(SourceDataError, match=r"basket/root_pose: not found; use a file of task 'desktop_organizer'"):
        write_scene_picture(dataset, tmp_path / "scene.png", TASK, tiles=SMALL)


def test_states_of_uneven_length_are_refused(painted, tmp_path, dataset):
    edit(dataset, "data/demo_0/states/rigid_object/basket/root_pose", np.zeros((3, 7), np.float32))
    with pytest.raises(SourceDataError, match=r"must have 6. rows.*\(got shape \(3, 7\)\)"):
        write_video(dataset, tmp_path / "play.mp4", TASK, tiles=SMALL)


def test_states_of_wrong_width_are_refused(painted, tmp_path, dataset):
    edit(dataset, "data/demo_0/states/articulation/robot/joint_position", np.zeros((60, 16), np.float32))
    with pytest.raises(SourceDataError, match=r"joint_position: must have the shape \(T, 9\) \(got \(60, 16\)\)"):
        write_video(dataset, tmp_path / "play.mp4", TASK, tiles=SMALL)


@pytest.mark.parametrize("wrong", [{"num_demos": 0}, {"fps": 0}, {"stride": 0}])
def test_numbers_below_one_are_refused(painted, tmp_path, dataset, wrong):
    with pytest.raises(ConfigError, match=r"must be >= 1 \(got 0\)"):
        write_video(dataset, tmp_path / "play.mp4", TASK, **wrong)


def test_error_for_missing_ffmpeg_contains_the_install_command(painted, tmp_path, dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(SimulatorUnavailable, match="pip install imageio imageio-ffmpeg"):
        write_video(dataset, tmp_path / "play.mp4", TASK, tiles=SMALL)


@pytest.mark.slow
def test_real_renderer_draws_the_scene(tmp_path, dataset):
    with requires.available("opengl", SimulatorUnavailable):
        write_scene_picture(dataset, tmp_path / "scene.png", TASK, num_demos=2, tiles=TileOptions(96, 64))
    picture = imageio.imread(tmp_path / "scene.png")
    assert picture.shape[1] == 3 * 96 + 440
    assert picture[28:92, :96].std() > 10


@pytest.mark.parametrize("wrong", ["text", h5py.Empty("f4"), 1.5])
def test_states_that_are_not_arrays_are_refused(tmp_path: Path, wrong: object) -> None:
    path = tmp_path / "demo.hdf5"
    with h5py.File(path, "w") as file:
        file["data/demo_0/states/articulation/robot/joint_position"] = wrong
    with h5py.File(path) as file, pytest.raises(SourceDataError, match="joint_position"):
        playback.demo_states(file, "demo_0", TASK)
