"""Picture of what a policy saw in episodes that failed."""

# T steps of an episode, H x W pixels

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs import drawing
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.camera_observations import CameraEnv
from isaaclab_mimic_ext.files.writing import replacing
from isaaclab_mimic_ext.learn.history import History

_NUM_MOMENTS = 6
"""Moments of an episode, from its start to its failure."""
_NUM_EPISODES = 6
_SHORT_SIDE = 160
"""Pictures are enlarged by a whole number until their height is at least this, to show the pixels [pixels]."""


def write_seen(env: MimicEnv, history: History, path: Path) -> bool:
    """Write a PNG file with the pictures that a policy saw in the first failed episodes; return whether it was written.

    Each row is an episode, with its cameras one below the other, from its start to its failure.

    Raises:
        RecorderError: the file cannot be written.
    """
    draw = getattr(env.pictures, "draw_state", None) if isinstance(env, CameraEnv) else None
    failures = list(zip(history.demos(False), history.captions(False), history.failure_steps(), strict=True))
    if draw is None or not failures:
        return False
    from PIL import Image

    rows = [_row(draw, *failure) for failure in failures[:_NUM_EPISODES]]
    with replacing(path) as part:
        Image.fromarray(np.concatenate(rows)).save(part, format="PNG")
    return True


def _row(draw: Any, states: Mapping[str, Any], caption: str, failed_at: int) -> NDArray[np.uint8]:
    last = min(failed_at, trees.num_rows(states) - 1)
    steps = np.linspace(0, last, _NUM_MOMENTS).round().astype(int)
    columns = [np.concatenate([*map(_enlarged, draw(trees.take(states, int(step))).values())]) for step in steps]
    pictures = np.concatenate(columns, axis=1)
    return np.concatenate((drawing.bar(pictures.shape[1], caption, _steps_text(steps)), pictures))


def _steps_text(steps: Sequence[int] | NDArray[np.int64]) -> str:
    return f"steps {', '.join(map(str, steps))}"


def _enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    factor = -(-_SHORT_SIDE // picture.shape[0])
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)
