"""What failed trials look like: a strip of pictures and a clip of each, as text that a page holds within itself."""

# T steps, H height and W width of a picture [pixels]

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.datasets.playback import TileOptions, write_states_video
from isaaclab_mimic_ext.errors import SimulatorUnavailable
from isaaclab_mimic_ext.task import Task

_WIDTH, _HEIGHT = 240, 180
_BEFORE, _AFTER = 6, 10
"""How many steps before and after the event the strip shows."""


@dataclass(frozen=True)
class Pictures:
    """Of one trial: JPEG of the strip and MP4 of the whole, base64; `steps` are those that the strip shows."""

    trial: int
    strip: str
    clip: str
    steps: tuple[int, ...]


def draw_trials(task: Task, films: Sequence[tuple[int, int, dict[str, Any]]], clips: bool) -> dict[int, Pictures]:
    """Pictures of trials, by number.

    Args:
        films: (trial, step of the event, states with leaves (T, ...)).

    Raises:
        SimulatorUnavailable: nothing can draw here.
    """
    from isaaclab_mimic_ext.envs.rendering import Renderer

    drawn = {}
    with Renderer(task, _WIDTH, _HEIGHT, shadows=False) as renderer:
        for trial, step, states in films:
            steps = strip_steps(step, trees.num_rows(states))
            strip = np.concatenate([renderer.frame(trees.take(states, index)) for index in steps], axis=1)
            drawn[trial] = Pictures(trial, _jpeg(strip), "", steps)
    if clips:
        drawn = {
            trial: Pictures(trial, drawn[trial].strip, _mp4(task, states), drawn[trial].steps) for trial, _, states in films
        }
    return drawn


def strip_steps(event: int, num_steps: int) -> tuple[int, ...]:
    """Four steps that tell a trial: its start, shortly before the event, after it, the end; in order, each within the trial.

    Where the event is the end (what never happened has no time), the steps are spread evenly.
    """
    last = num_steps - 1
    if event >= last - 1:
        return (0, last // 3, 2 * last // 3, last)
    return (0, max(event - _BEFORE, 0), min(event + _AFTER, last), last)


def _jpeg(frame: np.ndarray) -> str:
    try:
        from PIL import Image  # imageio itself needs it.
    except ImportError as error:
        raise SimulatorUnavailable("pictures cannot be made: pip install imageio imageio-ffmpeg") from error
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=82)
    return base64.b64encode(buffer.getvalue()).decode()


def _mp4(task: Task, states: dict[str, Any]) -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        tiles = TileOptions(_WIDTH, _HEIGHT, shadows=False)
        write_states_video([states], path, task, stride=3, tiles=tiles)
        return base64.b64encode(path.read_bytes()).decode()
