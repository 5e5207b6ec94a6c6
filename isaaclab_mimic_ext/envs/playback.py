"""Videos of recorded demos, side by side, with captions."""

# T steps of a demo, H height and W width of a tile [pixels], K tiles

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs import drawing
from isaaclab_mimic_ext.envs.articulations import Articulations
from isaaclab_mimic_ext.envs.captions import Caption, as_captions, complete, demo_caption
from isaaclab_mimic_ext.envs.drawing import Frame, tile
from isaaclab_mimic_ext.envs.recorded_scene import eef_paths, recorded_scene, take_steps
from isaaclab_mimic_ext.envs.robots import robot_of_arm
from isaaclab_mimic_ext.envs.tabletop import STEP_DT
from isaaclab_mimic_ext.envs.views import View, fit_view, workspace
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SimulatorUnavailable
from isaaclab_mimic_ext.files.demo import Demo, read_demo
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.files.writing import create_folder, created_folder, remove_folders, replacing
from isaaclab_mimic_ext.progress import tracked
from isaaclab_mimic_ext.task.definition import SceneState, Task
from isaaclab_mimic_ext.texts import counted

_FOOTER = 24
"""Height of the line below all tiles [pixels]."""
_FIT_STRIDE = 5
"""The view fits to every fifth step of the demos."""
PATH_COLORS: tuple[drawing.Color, ...] = ((255, 186, 40), (60, 200, 235), (240, 110, 190), (150, 220, 90))
"""Colors of the paths of the hands, by end effector."""


@dataclass(frozen=True)
class TileOptions:
    """Options for drawing demos.

    Attributes:
        width, height: size of a tile [pixels], without its captions.
        camera: name of one of the scene's cameras, or a free camera; None: a free camera that fits to hands and objects.
        shadows: draw shadows.
    """

    width: int = 320
    height: int = 240
    camera: str | View | None = None
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
    failures: Mapping[int, str] | None = None,
) -> None:
    """Write a video (mp4) of the recorded `states` of a dataset's first demos, side by side.

    Captions name each demo, its source demos, and its subtask. The first frame, which players show before they play, shows
    each demo at its first grasp, with the path of its hands. A demo that ends early shows its last frame until the longest
    demo ends.

    Args:
        num_demos: largest number of demos.
        fps: frames of the video per second. With a control rate of 20 Hz, the video plays at `stride` * fps / 20 times real
            time.
        stride: number of steps from one frame to the next. The last step always has a frame.
        overwrite: replace `video_path` if it exists.
        failures: number of a failed trial -> reason of its failure, for the captions.

    Raises:
        SourceDataError: the dataset cannot be read, or does not contain states of this task.
        OutputError: `video_path` exists or cannot be written.
        SimulatorUnavailable: MuJoCo, OpenGL or imageio-ffmpeg is missing.
        ConfigError: a number is out of range.
    """
    _check_numbers(num_demos, fps, stride)
    check_picture(video_path, ".mp4", overwrite)
    with open_hdf5(dataset_path) as file:
        names = demo_names(file)
        demos = [demo_states(file, name, task) for name in names[:num_demos]]
        captions = [demo_caption(file, name, failures) for name in names[:num_demos]]
    footer = f"{Path(dataset_path).name}: {len(demos)} of {counted(len(names), 'demo')}"
    write_states_video(demos, video_path, task, fps, stride, overwrite, tiles, captions, footer)


def write_states_video(
    demos: Sequence[dict[str, Any]],
    video_path: str | Path,
    task: Task,
    fps: int = 20,
    stride: int = 2,
    overwrite: bool = False,
    tiles: TileOptions | None = None,
    captions: Sequence[Caption | str] | None = None,
    footer: str = "",
) -> None:
    """Write a video of states in memory, in the format of `write_video`.

    Args:
        demos: states of each demo in the layout of `get_state`, leaves (T, ...), quaternions xyzw.
        captions: caption of each demo, or its title; None: no text, and no first frame with all grasps.
        footer: text below all tiles; the speed is added to it.

    Raises:
        OutputError, SimulatorUnavailable, ConfigError: as in `write_video`.
    """
    _check_numbers(1, fps, stride)
    imageio = import_imageio(video=True)
    video_path = check_picture(video_path, ".mp4", overwrite)
    tiles = tiles or TileOptions(shadows=False)
    scenes = [recorded_scene(task, demo) for demo in demos]
    film = _Film(task, demos, scenes, tiles, as_captions(captions, len(demos)))
    with (
        open_renderer(task, tiles, film.view) as renderer,
        created_folder(video_path.parent, remedy="use another path", kind=OutputError),
        replacing(video_path, remedy="use another path", kind=OutputError, keep_suffix=True) as part,
        # Even sizes are sufficient. By default imageio stretches the picture to multiples of 16.
        imageio.get_writer(part, fps=fps, codec="libx264", macro_block_size=2) as writer,
    ):
        steps = _steps(film.lengths, stride)
        frames = film.frames(renderer, steps, with_poster=captions is not None)
        for frame in tracked(frames, f"rendering {video_path.name}", len(steps) + (captions is not None), "frames"):
            writer.append_data(frame if captions is None else _with_footer(frame, footer, stride * fps * STEP_DT))


def _check_numbers(num_demos: int, fps: int, stride: int) -> None:
    for name, value in (("num_demos", num_demos), ("fps", fps), ("stride", stride)):
        if value < 1:
            raise ConfigError(f"{name}: must be >= 1 (got {value})")


def _steps(lengths: list[int], stride: int) -> list[int]:
    """Steps of the frames of a video; the last step of the longest demo always has a frame."""
    return [*range(0, max(lengths) - 1, stride), max(lengths) - 1]


class _Film:
    """Frames of a video: one tile per demo."""

    def __init__(
        self,
        task: Task,
        demos: Sequence[dict[str, Any]],
        scenes: Sequence[SceneState],
        tiles: TileOptions,
        captions: Sequence[Caption],
    ):
        self._demos, self._scenes = demos, scenes
        self._captions = [complete(caption, task, scene) for caption, scene in zip(captions, scenes, strict=True)]
        self.lengths = [trees.num_rows(demo) for demo in demos]
        self.view = demos_view(task, scenes, tiles)

    def frames(self, renderer: Any, steps: Sequence[int], with_poster: bool) -> Iterator[Frame]:
        """Yield the frames. The last frame of a demo is rendered once and reused."""
        if with_poster:
            yield tile([self._poster(renderer, index) for index in range(len(self._demos))])
        shown: list[tuple[int, Frame] | None] = [None] * len(self._demos)
        for step in steps:
            for index, length in enumerate(self.lengths):
                row, last = min(step, length - 1), shown[index]
                if last is None or last[0] != row:
                    frame = renderer.frame(trees.take(self._demos[index], row))
                    shown[index] = (row, self._captioned(frame, index, row))
            yield tile([entry[1] for entry in shown if entry is not None])

    def _poster(self, renderer: Any, index: int) -> Frame:
        caption = self._captions[index]
        row = self.lengths[index] // 2 if caption.poster_step is None else caption.poster_step
        frame = renderer.frame(trees.take(self._demos[index], row))
        return self._captioned(add_eef_paths(frame, self.view, self._scenes[index], row), index, row)

    def _captioned(self, frame: Frame, index: int, step: int) -> Frame:
        caption, width = self._captions[index], frame.shape[1]
        if not caption.title:
            return frame
        stage, place = caption.stage(step), f"step {step} of {self.lengths[index] - 1}"
        text, color = (f"failed: {caption.failure}", drawing.ALERT) if caption.failure else (stage, drawing.WHITE)
        note = f"from {caption.note}" if caption.note else ""
        return np.concatenate((drawing.bar(width, caption.title, note), frame, drawing.bar(width, text, place, color)))


def demos_view(task: Task, scenes: Sequence[SceneState], tiles: TileOptions) -> str | View:
    """Camera of the options; without one, the view that shows hands and objects in all scenes."""
    if tiles.camera is not None:
        return tiles.camera
    return fit_view(workspace(task, [take_steps(scene, _FIT_STRIDE) for scene in scenes]), tiles.width / tiles.height)


def add_eef_paths(frame: Frame, view: str | View, scene: SceneState, until: int | None = None) -> Frame:
    """Draw the paths of all end effectors on a frame of a free camera; other cameras' frames stay.

    Args:
        until: step of the frame; the later part of the paths is drawn pale. None: the whole paths in full.
    """
    if not isinstance(view, View):
        return frame
    height, width = frame.shape[:2]
    for index, path in enumerate(eef_paths(scene)):
        pixels = view.project(path, width, height)
        frame = drawing.add_path(frame, pixels, PATH_COLORS[index % len(PATH_COLORS)], until=until)
    return frame


def _with_footer(frame: Frame, text: str, speed: float) -> Frame:
    return np.concatenate((frame, drawing.bar(frame.shape[1], text, f"{speed:g}x speed", drawing.PALE, _FOOTER)))


def open_renderer(task: Task, tiles: TileOptions, view: str | View) -> Any:
    """Open a renderer for tiles.

    Raises:
        SimulatorUnavailable: MuJoCo is not installed, or no OpenGL backend works.
    """
    from isaaclab_mimic_ext.envs import rendering

    return rendering.Renderer(task, tiles.width, tiles.height, view, tiles.shadows)


def demo_states(file: h5py.File, name: str, task: Task) -> dict[str, Any]:
    """Recorded `states` of a demo as a tree, leaves (T, ...), quaternions xyzw.

    Raises:
        SourceDataError: states of an arm or object of the task are missing, or do not have one row per step.
    """
    demo = read_demo(file, name, ["states"], as_xyzw=True)
    check_has_states(demo, "states", "states" in file["data"][name])
    states = checked_states(demo, "states", task)
    demo.check_lengths(trees.num_rows(states))
    return states


def check_has_states(demo: Demo, group: str, is_found: bool) -> None:
    """Check that a demo has a group of states.

    Raises:
        SourceDataError: it was not found.
    """
    if not is_found:
        demo.refuse(f"{group}: not found; a demo must contain its recorded states to be played")


def checked_states(demo: Demo, group: str, task: Task) -> dict[str, Any]:
    """States in a group of a demo (`states` or `initial_state`) as a tree, leaves (T, ...).

    Raises:
        SourceDataError: a state of an arm or object of the task is missing, or has the wrong shape.
    """
    states = demo.below(group)
    needed = {
        f"articulation/{arm.name}/joint_position": robot_of_arm(task, arm.eef_name).num_joints + 2 for arm in task.arms
    }
    needed |= {f"rigid_object/{name}/root_pose": 7 for name in task.object_names}
    needed |= {f"articulation/{root}/joint_position": width for root, width in Articulations(task).widths.items()}
    remedy = f"use a file of task '{task.name}'"
    for path, width in needed.items():
        if path not in states:
            demo.refuse(f"{group}/{path}: not found; {remedy}")
        if states[path].ndim != 2 or states[path].shape[1] != width:
            demo.refuse(f"{group}/{path}: must have the shape (T, {width}) (got {states[path].shape}); {remedy}")
    return trees.unflatten(states)


def import_imageio(video: bool) -> ModuleType:
    """Import imageio and, for videos, check that ffmpeg is present.

    Raises:
        SimulatorUnavailable: a package is missing.
    """
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
