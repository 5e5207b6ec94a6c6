"""Pictures in the colors of light and dark pages, and photographs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

OUT = Path(__file__).parents[1] / "pictures"
SUBTASKS = ("#3d8fc4", "#e0902f", "#4aa56c", "#9c6fc4", "#cf5f73", "#8d8a3a")
"""Colors of subtasks, visible on light and dark pages."""
GOOD, BAD, OBJECT = "#4aa56c", "#cf5f73", "#8a949e"


@dataclass(frozen=True)
class Theme:
    """Colors of a page."""

    name: str
    ink: str
    muted: str
    page: str
    line: str


THEMES = (
    Theme("light", "#22313f", "#5c6873", "#ffffff", "#d5dbe1"),
    Theme("dark", "#e6e9ec", "#a2abb5", "#131416", "#3a4047"),
)


def in_both_themes(name: str, draw: Callable[[Theme], Figure]) -> None:
    """Draw a picture with text, once for light and once for dark pages."""
    for theme in THEMES:
        style = {
            "svg.hashsalt": name,
            "font.size": 10,
            "text.color": theme.ink,
            "axes.edgecolor": theme.muted,
            "axes.labelcolor": theme.ink,
            "axes.titlecolor": theme.ink,
            "xtick.color": theme.muted,
            "ytick.color": theme.muted,
            "axes.facecolor": theme.page,
            "figure.facecolor": theme.page,
            "legend.frameon": False,
        }
        with matplotlib.rc_context(style):
            figure = draw(theme)
            figure.savefig(OUT / f"{name}_{theme.name}.svg", metadata={"Date": None})


def write_photo(name: str, pixels: np.ndarray, quality: int = 84) -> None:
    """Write pixels (H, W, 3) uint8 as a picture without text."""
    from PIL import Image

    Image.fromarray(pixels).save(OUT / f"{name}.jpg", quality=quality, optimize=True, progressive=True)


def runs(values: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each run of equal values."""
    starts = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    yield from pairwise(starts)
