"""What a user looks at after a run: videos of some demos, a picture of the scene."""

import logging
from collections.abc import Callable
from pathlib import Path

from isaaclab_mimic_ext.errors import MimicError
from isaaclab_mimic_ext.record.run_folder import RunFolder
from isaaclab_mimic_ext.task import Task

log = logging.getLogger(__name__)


def draw_run(folder: RunFolder, task: Task, num_demos: int) -> None:
    """Draw the playback videos and the scene picture of a run, those that there are demos for.

    What cannot be drawn is warned about only: the dataset is what the run was for, and a machine without OpenGL has it too.
    """
    from isaaclab_mimic_ext.datasets.playback import write_scene_picture, write_video

    if _has_demos(folder.demos):
        _draw(write_scene_picture, folder.demos, folder.picture, task, num_demos)
        _draw(write_video, folder.demos, folder.video, task, num_demos)
    if _has_demos(folder.failed_demos):
        _draw(write_video, folder.failed_demos, folder.failed_video, task, num_demos)


def _has_demos(path: Path) -> bool:
    import h5py

    if not path.exists():
        return False
    with h5py.File(path, "r") as file:
        return len(file["data"]) > 0


def _draw(draw: Callable[..., None], dataset: Path, picture: Path, task: Task, num_demos: int) -> None:
    try:
        draw(dataset, picture, task, num_demos=num_demos)
        log.info("Drew %s", picture)
    except MimicError as error:
        log.warning("No %s: %s", picture.name, error)
