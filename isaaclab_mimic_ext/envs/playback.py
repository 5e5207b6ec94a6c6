"""Videos and pictures of recorded demos: several demos side by side, or their initial scenes."""

# T steps of a demo, H height and W width of a tile [pixels], K tiles

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from math import ceil
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.panda.kinematics import HOME
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SimulatorUnavailable
from isaaclab_mimic_ext.files.demo import read_demo
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.files.writing import create_folder, created_folder, remove_folders, replacing
from isaaclab_mimic_ext.progress import tracked
from isaaclab_mimic_ext.task.definition import Task

Frame = NDArray[np.uint8]

_CAPTION_HEIGHT = 15


@dataclass(frozen=True)
class TileOptions:
    """Options for drawing demos: width and height of a tile [pixels], name of the scene's camera, shadows."""

    width: int = 320
    height: int = 240
    camera: str = "front"
    shadows: bool = True


def write_video(
    dataset_path: str | Path,
    video_path: str | Path,
    task: Task,
    num_demos: int = 8,
    fps: int = 20,
    stride: int = 2,
    overwrite: bool = False,
    tiles: TileOptions | None = None,
) -> None:
    """Write a video (mp4) of the recorded `states` of a dataset's first demos, side by side.

    A demo that ends early shows its last frame until the longest demo ends.

    Args:
        num_demos: largest number of demos.
        fps: frames of the video per second. With a control rate of 20 Hz, the video plays at `stride` * fps / 20 times real
            time.
        stride: number of steps from one frame to the next. The last step always has a frame.
        overwrite: replace `video_path` if it exists.

    Raises:
        SourceDataError: the dataset cannot be read, or does not contain states of this task.
        OutputError: `video_path` exists or cannot be written.
        SimulatorUnavailable: MuJoCo, OpenGL or imageio-ffmpeg is missing.
        ConfigError: a number is out of range.
    """
    _check_numbers(num_demos, fps, stride)
    check_picture(video_path, ".mp4", overwrite)
    with open_hdf5(dataset_path) as file:
        demos = [demo_states(file, name, task) for name in demo_names(file)[:num_demos]]
    write_states_video(demos, video_path, task, fps, stride, overwrite, tiles)


def write_states_video(
    demos: Sequence[dict[str, Any]],
    video_path: str | Path,
    task: Task,
    fps: int = 20,
    stride: int = 2,
    overwrite: bool = False,
    tiles: TileOptions | None = None,
    captions: Sequence[str] | None = None,
) -> None:
    """Write a video of states in memory, in the format of `write_video`.

    Args:
        demos: states of each demo in the layout of `get_state`, leaves (T, ...), quaternions xyzw.
        captions: one line of text per demo.

    Raises:
        OutputError, SimulatorUnavailable, ConfigError: as in `write_video`.
    """
    _check_numbers(1, fps, stride)
    imageio = _import_imageio(video=True)
    video_path = check_picture(video_path, ".mp4", overwrite)
    lengths = [trees.num_rows(demo) for demo in demos]
    with (
        _open_renderer(task, tiles or TileOptions(shadows=False)) as renderer,
        created_folder(video_path.parent, remedy="use another path", kind=OutputError),
        replacing(video_path, remedy="use another path", kind=OutputError, keep_suffix=True) as part,
        # Even sizes are sufficient. By default imageio stretches the picture to multiples of 16.
        imageio.get_writer(part, fps=fps, codec="libx264", macro_block_size=2) as writer,
    ):
        frames = _video_frames(renderer, demos, lengths, stride, captions or [""] * len(demos))
        for frame in tracked(frames, f"rendering {video_path.name}", len(_steps(lengths, stride)), "frames"):
            writer.append_data(frame)


def _check_numbers(num_demos: int, fps: int, stride: int) -> None:
    for name, value in (("num_demos", num_demos), ("fps", fps), ("stride", stride)):
        if value < 1:
            raise ConfigError(f"{name}: must be >= 1 (got {value})")


def write_scene_picture(
    dataset_path: str | Path,
    picture_path: str | Path,
    task: Task,
    num_demos: int = 8,
    overwrite: bool = False,
    tiles: TileOptions | None = None,
) -> None:
    """Write a picture (PNG) of the initial scenes of a dataset's first demos, side by side.

    Raises:
        SourceDataError, OutputError, SimulatorUnavailable, ConfigError: as in `write_video`.
    """
    if num_demos < 1:
        raise ConfigError(f"num_demos: must be >= 1 (got {num_demos})")
    imageio = _import_imageio(video=False)
    picture_path = check_picture(picture_path, ".png", overwrite)
    with open_hdf5(dataset_path) as file:
        demos = [demo_states(file, name, task) for name in demo_names(file)[:num_demos]]
    with (
        _open_renderer(task, tiles or TileOptions()) as renderer,
        created_folder(picture_path.parent, remedy="use another path", kind=OutputError),
        replacing(picture_path, remedy="use another path", kind=OutputError, keep_suffix=True) as part,
    ):
        imageio.imwrite(part, tile([renderer.frame(trees.take(demo, 0)) for demo in demos]))


def tile(frames: Sequence[Frame]) -> Frame:
    """Arrange K frames (H, W, 3) in one picture, row by row. Unused tiles are black."""
    num_rows, num_columns = _grid(len(frames))
    height, width, channels = frames[0].shape
    grid = np.zeros((num_rows * height, num_columns * width, channels), np.uint8)
    for index, frame in enumerate(frames):
        row, column = divmod(index, num_columns)
        grid[row * height : (row + 1) * height, column * width : (column + 1) * width] = frame
    return grid


def _grid(count: int) -> tuple[int, int]:
    """Number of rows and columns for `count` tiles: fewest unused tiles, then closest to twice as many columns as rows."""
    shapes = [(ceil(count / columns), columns) for columns in range(1, count + 1)]
    wide = [(rows, columns) for rows, columns in shapes if rows <= columns <= 4 * rows]
    return min(wide, key=lambda shape: (shape[0] * shape[1] - count, abs(shape[1] / shape[0] - 2)))


def _steps(lengths: list[int], stride: int) -> list[int]:
    """Steps of the frames of a video; the last step of the longest demo always has a frame."""
    return [*range(0, max(lengths) - 1, stride), max(lengths) - 1]


def _video_frames(
    renderer: Any, demos: Sequence[dict[str, Any]], lengths: list[int], stride: int, captions: Sequence[str]
) -> Iterator[Frame]:
    """Yield the tiled frames of a video. The last frame of a demo is rendered once and reused."""
    shown: list[tuple[int, Frame] | None] = [None] * len(demos)
    for step in _steps(lengths, stride):
        for index, (demo, length) in enumerate(zip(demos, lengths, strict=True)):
            row, last = min(step, length - 1), shown[index]
            if last is None or last[0] != row:
                shown[index] = (row, _add_caption(renderer.frame(trees.take(demo, row)), captions[index]))
        yield tile([entry[1] for entry in shown if entry is not None])


def _add_caption(frame: Frame, text: str) -> Frame:
    if not text:
        return frame
    from PIL import Image, ImageDraw  # A dependency of imageio.

    picture = Image.fromarray(frame)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, picture.width, _CAPTION_HEIGHT), fill=(30, 30, 30))
    draw.text((4, 2), text, fill=(255, 255, 255))
    return np.asarray(picture)


def _open_renderer(task: Task, tiles: TileOptions) -> Any:
    from isaaclab_mimic_ext.envs import rendering

    return rendering.Renderer(task, tiles.width, tiles.height, tiles.camera, tiles.shadows)


def demo_states(file: h5py.File, name: str, task: Task) -> dict[str, Any]:
    """Recorded `states` of a demo as a tree, leaves (T, ...), quaternions xyzw.

    Raises:
        SourceDataError: states of an arm or object of the task are missing, or do not have one row per step.
    """
    demo = read_demo(file, name, ["states"], as_xyzw=True)
    states = demo.below("states")
    if "states" not in file["data"][name]:
        demo.refuse("states: not found; a demo must contain its recorded states to be played")
    needed = {f"articulation/{arm.name}/joint_position": len(HOME) for arm in task.arms}
    needed |= {f"rigid_object/{name}/root_pose": 7 for name in task.object_names}
    remedy = f"use a file of task '{task.name}'"
    for path, width in needed.items():
        if path not in states:
            demo.refuse(f"states/{path}: not found; {remedy}")
        if states[path].ndim != 2 or states[path].shape[1] != width:
            demo.refuse(f"states/{path}: must have the shape (T, {width}) (got {states[path].shape}); {remedy}")
    demo.check_lengths(len(states[next(iter(needed))]))
    return trees.unflatten(states)


def _import_imageio(video: bool) -> ModuleType:
    try:
        import imageio.v2 as imageio

        if video:
            import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise SimulatorUnavailable(
            f"pictures and videos: requires imageio and imageio-ffmpeg ({error}); install with "
            "`pip install imageio imageio-ffmpeg`"
        ) from error
    return imageio


def check_picture(path: str | Path, ending: str, overwrite: bool) -> Path:
    """Check that a picture or video can be written to a path, without changing files or folders.

    Raises:
        OutputError: the path does not end in `ending`, exists without `overwrite`, or its folder cannot be created.
    """
    path = Path(path)
    if path.suffix.lower() != ending:
        raise OutputError(f"{path}: must end in '{ending}' (got '{path.suffix}'); rename it")
    if path.is_dir():
        raise OutputError(f"{path}: must be a file, is a folder; use the path of a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: already exists; use another path, or overwrite=true")
    try:
        remove_folders(create_folder(path.parent))
    except OSError as error:
        raise OutputError(f"{path}: folder cannot be created: {error.strerror}; use another path") from error
    return path
