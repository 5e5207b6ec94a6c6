"""Language columns of a LeRobot dataset: the subtasks of each episode, and its possible instructions, as text."""

# T steps of one demo

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]
"""A row of text in LeRobot's terms: role, content, style and timestamp [s]."""


def subtask_starts(index: np.ndarray) -> list[tuple[int, int]]:
    """First step and index of each subtask of an episode.

    Args:
        index: subtask of each step, (T,) or (T, 1).
    """
    steps = index.reshape(-1)
    starts = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist()]
    return [(start, int(steps[start])) for start in starts]


def language_rows(
    starts: Iterable[tuple[int, int]], subtasks: Sequence[str], instructions: Sequence[str], fps: int
) -> list[Row]:
    """Rows of an episode: each subtask where it begins, and the instructions if there are several.

    Args:
        starts: first step and index of each subtask.
        subtasks: names by index.
        instructions: sentences that describe the task.
        fps: rate [Hz].
    """
    found = [_row("assistant", subtasks[index], "subtask", step / fps) for step, index in starts]
    return found + [_row("user", each, "task_aug", 0.0) for each in instructions if len(instructions) > 1]


def _row(role: str, content: str, style: str, timestamp: float) -> Row:
    return {"role": role, "content": content, "style": style, "timestamp": float(np.float32(timestamp)), "tool_calls": None}


def write_language(folder: Path, episodes: Mapping[int, Sequence[Row]]) -> dict[str, Any]:
    """Add the columns `language_persistent` and `language_events` to a finished dataset.

    Args:
        folder: folder of the dataset.
        episodes: number of an episode -> its rows.

    Returns:
        LeRobot's description of the new features; empty if this release of lerobot has no language columns.
    """
    try:
        from lerobot.annotations.steerable_pipeline.reader import iter_episodes
        from lerobot.annotations.steerable_pipeline.staging import EpisodeStaging
        from lerobot.annotations.steerable_pipeline.writer import LanguageColumnsWriter
        from lerobot.datasets.language import language_feature_info
    except ImportError:  # Before lerobot 0.6.
        return {}
    with tempfile.TemporaryDirectory(dir=folder) as staging:
        for number, found in episodes.items():
            EpisodeStaging(Path(staging), number).write("plan", found)
        writer = LanguageColumnsWriter(drop_existing_subtask_index=False)
        writer.write_all(list(iter_episodes(folder)), Path(staging), folder)
    return dict(language_feature_info())
