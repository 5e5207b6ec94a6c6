"""Pictures of failed trials: a strip of frames and a clip of each, base64-encoded so that a page can contain them."""

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
from isaaclab_mimic_ext.envs.playback import TileOptions, write_states_video
from isaaclab_mimic_ext.errors import SimulatorUnavailable
from isaaclab_mimic_ext.run.records import RunRecords
from isaaclab_mimic_ext.task.definition import Task

_WIDTH, _HEIGHT = 240, 180
_BEFORE, _AFTER = 6, 10
"""Steps before and after the event that the strip shows."""
_MOST_REASONS = 12
"""Reasons that failed trials are shown of."""


@dataclass(frozen=True)
class Pictures:
    """One trial's JPEG of the strip and MP4 of the whole, base64-encoded; `steps` are those that the strip shows."""

    trial: int
    strip: str
    clip: str
    steps: tuple[int, ...]


def choose_failures(records: RunRecords, reasons: Sequence[str], most: int) -> list[int]:
    """Rows of the failed trials to be shown: for each reason its first ones, at most `most`."""
    rows: list[int] = []
    for reason in list(reasons)[:_MOST_REASONS]:
        rows += np.flatnonzero(~records.success & (records.reason == reason))[:most].tolist()
    return rows


def draw_trials(task: Task, films: Sequence[tuple[int, int, dict[str, Any]]], clips: bool) -> dict[int, Pictures]:
    """Draw trials; their pictures by trial number.

    Args:
        films: (trial, step of the event, states with leaves (T, ...)).

    Raises:
        SimulatorUnavailable: no renderer works on this machine.
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
    """Four steps that summarize a trial: its start, shortly before the event, shortly after it, the end.

    Where the event is the end (something that never happened has no time), the steps are spread evenly.
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
