"""Picture of a dataset: some demos at their start, grasp and end, and the spread of all starts and paths from above."""

# K demos, E end effectors, T steps

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs import drawing
from isaaclab_mimic_ext.envs.captions import Caption, complete, demo_caption
from isaaclab_mimic_ext.envs.drawing import Color, Frame
from isaaclab_mimic_ext.envs.maps import Dots, Lines, table_map
from isaaclab_mimic_ext.envs.playback import (
    PATH_COLORS,
    TileOptions,
    add_eef_paths,
    check_picture,
    demo_states,
    demos_view,
    import_imageio,
    open_renderer,
)
from isaaclab_mimic_ext.envs.recorded_scene import Moment, eef_paths, recorded_scene
from isaaclab_mimic_ext.envs.views import View
from isaaclab_mimic_ext.errors import ConfigError, OutputError
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.files.writing import created_folder, replacing
from isaaclab_mimic_ext.task.definition import SceneState, Task
from isaaclab_mimic_ext.texts import counted

_MAX_PATHS = 50
"""Largest number of demos whose paths are drawn from above."""
_HEAD = 28
"""Height of the titles [pixels]."""
_OTHER_COLORS: tuple[Color, ...] = (
    (42, 127, 184), (209, 73, 91), (47, 158, 119), (233, 162, 59), (122, 81, 149), (90, 100, 110),
)  # fmt: skip


def write_scene_picture(
    dataset_path: str | Path,
    picture_path: str | Path,
    task: Task,
    num_demos: int = 4,
    overwrite: bool = False,
    tiles: TileOptions | None = None,
) -> None:
    """Write a picture (PNG) of a dataset.

    One row per demo: the scene at its start with the paths of its hands, at its first grasp, and at its end. On the right,
    seen from above: the starts of the objects in all demos, and the paths of the hands.

    Args:
        num_demos: largest number of demos with a row.
        overwrite: replace `picture_path` if it exists.

    Raises:
        SourceDataError, OutputError, SimulatorUnavailable, ConfigError: as in `playback.write_video`.
    """
    if num_demos < 1:
        raise ConfigError(f"num_demos: must be >= 1 (got {num_demos})")
    imageio, tiles = import_imageio(video=False), tiles or TileOptions(280, 200)
    picture_path = check_picture(picture_path, ".png", overwrite)
    with open_hdf5(dataset_path) as file:
        names = demo_names(file)
        demos = [demo_states(file, name, task) for name in names[:num_demos]]
        captions = [demo_caption(file, name) for name in names[:num_demos]]
        starts = _starts(file, names, task)
        paths = _paths(file, names, task)
    scenes = [recorded_scene(task, demo) for demo in demos]
    view = demos_view(task, scenes, tiles)
    with (
        open_renderer(task, tiles, view) as renderer,
        created_folder(picture_path.parent, remedy="use another path", kind=OutputError),
        replacing(picture_path, remedy="use another path", kind=OutputError, keep_suffix=True) as part,
    ):
        entries = zip(demos, scenes, captions, strict=True)
        rows = [_row(renderer, view, task, *entry) for entry in entries]
        left = np.concatenate(rows)
        right = _maps(task, starts, paths, _distinct(renderer.object_colors()), len(left))
        imageio.imwrite(part, np.concatenate((left, right), axis=1))


def _row(renderer: Any, view: str | View, task: Task, demo: dict[str, Any], scene: SceneState, caption: Caption) -> Frame:
    """Tiles of one demo, with a bar above all and one below each."""
    tiles = []
    for index, moment in enumerate(_chosen(complete(caption, task, scene), len(scene.joint_pos))):
        frame = renderer.frame(trees.take(demo, moment.step))
        if index == 0:
            frame = add_eef_paths(frame, view, scene)
        tiles.append(np.concatenate((frame, drawing.bar(frame.shape[1], moment.name, f"step {moment.step}"))))
    row = np.concatenate(tiles, axis=1)
    note = f"from source {caption.note}" if caption.note else ""
    return np.concatenate((drawing.bar(row.shape[1], caption.title, note, height=_HEAD, size=15), row))


def _chosen(caption: Caption, num_steps: int) -> list[Moment]:
    """Start, first grasp, and end of a demo. Without a grasp, the middle of the demo takes its place."""
    step = caption.poster_step
    if step is None:
        middle = Moment(num_steps // 2, "middle, nothing is grasped")
    else:
        ended = [moment.name for moment in caption.stages[:-1] if abs(moment.step - step) <= 2]
        middle = Moment(step, f"grasp ({ended[0]})" if ended and "grasp" not in ended[0] else (ended or ["grasp"])[0])
    return [Moment(0, "start, and path of the hand"), middle, Moment(num_steps - 1, "end")]


def _starts(file: h5py.File, names: Sequence[str], task: Task) -> dict[str, NDArray[np.float64]]:
    """First x and y of each object in all demos, object -> (K, 2) [m]."""
    group = file["data"]
    return {
        each: np.array([group[name][f"states/rigid_object/{each}/root_pose"][0, :2] for name in names], dtype=float)
        for each in task.object_names
    }


def _paths(file: h5py.File, names: Sequence[str], task: Task) -> list[NDArray[np.float64]]:
    """Paths of the end effectors in the first demos, (E, T, 3) each [m]."""
    return [eef_paths(recorded_scene(task, demo_states(file, name, task))) for name in names[:_MAX_PATHS]]


def _maps(
    task: Task,
    starts: dict[str, NDArray[np.float64]],
    paths: Sequence[NDArray[np.float64]],
    colors: dict[str, Color],
    height: int,
) -> Frame:
    """Starts of the objects, and paths of the hands, from above; in total `height` pixels high."""
    num_demos = len(next(iter(starts.values())))
    width, upper = 440, height // 2
    dots: list[Dots | Lines] = [Dots(name, places, colors[name]) for name, places in starts.items()]
    lines: list[Dots | Lines] = [
        Lines(eef, [path[index, :, :2] for path in paths], PATH_COLORS[index % len(PATH_COLORS)])
        for index, eef in enumerate(task.eef_names)
    ]
    bases = [arm.base_pos[:2] for arm in task.arms]
    upper_title = f"Starts of all {counted(num_demos, 'demo')}, from above"
    lower_title = f"Paths of the hands in {counted(len(paths), 'demo')}"
    parts = []
    for title, marks, tall in zip((upper_title, lower_title), (dots, lines), (upper, height - upper), strict=True):
        head = drawing.bar(width, title, height=_HEAD, size=15)
        parts += [head, table_map(marks, task.table_bounds, bases, (width, tall - _HEAD))]
    return np.concatenate(parts)


def _distinct(colors: dict[str, Color]) -> dict[str, Color]:
    """Colors of the objects as in the scene, if they differ visibly from each other and from white; else other colors."""
    seen = [np.array(color, dtype=float) for color in (*colors.values(), (255, 255, 255))]
    gaps = [np.abs(one - other).sum() for index, one in enumerate(seen) for other in seen[:index]]
    if min(gaps) > 100:
        return colors
    return {name: _OTHER_COLORS[index % len(_OTHER_COLORS)] for index, name in enumerate(colors)}
