"""Pictures of failed trials: a strip of frames and a clip per trial, base64-encoded for a page."""

# T steps of one trial

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.playback import TileOptions, demos_view, open_renderer, write_states_video
from isaaclab_mimic_ext.envs.recorded_scene import recorded_scene
from isaaclab_mimic_ext.errors import SimulatorUnavailable
from isaaclab_mimic_ext.progress import shown, tracked
from isaaclab_mimic_ext.run.trial_records import RunRecords
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.task.reasons import WORKER_DIED

_WIDTH, _HEIGHT = 240, 180
"""Size of a frame [pixels]."""
_STEPS_BEFORE, _STEPS_AFTER = 6, 10
"""Distance of the second and third frame of a strip from the event [steps]."""
_MAX_REASONS = 12
"""Largest number of failure reasons with pictures."""


@dataclass(frozen=True)
class Pictures:
    """Pictures of one trial, base64-encoded.

    Attributes:
        strip: JPEG of four frames.
        clip: MP4 of the whole trial; empty without clips.
        steps: steps of the frames of the strip.
        first: JPEG of the first frame, which the page shows before the clip plays.
    """

    trial: int
    strip: str
    clip: str
    steps: tuple[int, ...]
    first: str = ""


def choose_failures(records: RunRecords, reasons: Sequence[str], max_per_reason: int) -> list[int]:
    """Rows of the failed trials to draw: the first `max_per_reason` of each reason that a rerun survives."""
    rows: list[int] = []
    for reason in [each for each in reasons if each != WORKER_DIED][:_MAX_REASONS]:
        rows += np.flatnonzero(~records.success & (records.reason == reason))[:max_per_reason].tolist()
    return rows


def draw_trials(task: Task, films: Sequence[tuple[int, int, dict[str, Any]]], clips: bool) -> dict[int, Pictures]:
    """Draw trials and return their pictures by trial number.

    Args:
        films: (trial, step of the event, states with leaves (T, ...)).
        clips: draw clips, too.

    Raises:
        SimulatorUnavailable: no renderer works on this machine, or a package for pictures is missing.
    """
    drawn, tiles = {}, TileOptions(_WIDTH, _HEIGHT, shadows=False)
    view = demos_view(task, [recorded_scene(task, states) for _, _, states in films], tiles)
    with open_renderer(task, tiles, view) as renderer:
        for trial, step, states in tracked(films, "drawing pictures", len(films), "trials"):
            steps = strip_steps(step, trees.num_rows(states))
            frames = [renderer.frame(trees.take(states, index)) for index in steps]
            drawn[trial] = Pictures(trial, jpeg(np.concatenate(frames, axis=1)), "", steps, jpeg(frames[0]))
    if clips:
        drawn = {
            trial: replace(drawn[trial], clip=_mp4(task, states))
            for trial, _, states in tracked(films, "drawing videos", len(films), "trials")
        }
    return drawn


def strip_steps(event: int, num_steps: int) -> tuple[int, ...]:
    """Four steps that summarize a trial: its start, shortly before the event, shortly after the event, and its end.

    If the event is the end of the trial (something never happened), the steps are spread evenly.
    """
    last = num_steps - 1
    if event >= last - 1:
        return (0, last // 3, 2 * last // 3, last)
    return (0, max(event - _STEPS_BEFORE, 0), min(event + _STEPS_AFTER, last), last)


def jpeg(frame: np.ndarray) -> str:
    """A frame (H, W, 3) as JPEG, base64-encoded."""
    try:
        from PIL import Image  # A dependency of imageio.
    except ImportError as error:
        raise SimulatorUnavailable("pictures: require imageio; install with `pip install imageio imageio-ffmpeg`") from error
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=82)
    return base64.b64encode(buffer.getvalue()).decode()


def _mp4(task: Task, states: dict[str, Any]) -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        tiles = TileOptions(_WIDTH, _HEIGHT, shadows=False)
        with shown(False):
            write_states_video([states], path, task, stride=3, tiles=tiles)
        return base64.b64encode(path.read_bytes()).decode()
