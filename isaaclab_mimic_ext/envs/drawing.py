"""Text, paths of hands and maps, drawn on rendered frames with Pillow (a dependency of imageio)."""

# H height and W width of a frame [pixels], K points

from collections.abc import Sequence
from functools import cache
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

Frame = NDArray[np.uint8]
Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)
PALE: Color = (196, 205, 214)
DARK: Color = (28, 36, 44)
ALERT: Color = (255, 150, 140)
BAR = 20
"""Height of a line of text [pixels]."""
_SIZE = 13
"""Font size [pixels]."""
_SMOOTH = 3
"""Lines are drawn at this multiple of their size, and reduced."""


@cache
def font(size: int = _SIZE) -> "FreeTypeFont | ImageFont":
    """Font of the captions."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


def bar(width: int, left: str, right: str = "", color: Color = WHITE, height: int = BAR, size: int = _SIZE) -> Frame:
    """Draw a dark bar (height, width, 3) with text at its left and right end.

    If both do not fit, the text that takes more than half of the bar is shortened.
    """
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (width, height), DARK)
    draw, letters = ImageDraw.Draw(picture), font(size)
    room = width - 20
    right = fitted(right, max(room - draw.textlength(left, font=letters), room / 2), size)
    left = fitted(left, room - draw.textlength(right, font=letters), size)
    draw.text((5, height / 2), left, color, letters, anchor="lm")
    draw.text((width - 5, height / 2), right, PALE, letters, anchor="rm")
    return np.asarray(picture)


def fitted(text: str, width: float, size: int = _SIZE) -> str:
    """Shorten a text so that it is at most `width` pixels wide."""
    from PIL import Image, ImageDraw

    measure, letters = ImageDraw.Draw(Image.new("RGB", (1, 1))), font(size)
    if measure.textlength(text, font=letters) <= width:
        return text
    while text and measure.textlength(f"{text}...", font=letters) > width:
        text = text[:-1]
    return f"{text.rstrip()}..." if text else ""


def add_path(frame: Frame, pixels: NDArray[np.float64], color: Color, width: float = 1.6, until: int | None = None) -> Frame:
    """Draw a line through pixels (K, 2) with a dot at its end.

    Args:
        until: number of pixels drawn in full; the part after them is drawn pale. None: all in full.
    """
    from PIL import Image, ImageDraw

    height, frame_width = frame.shape[:2]
    layer = Image.new("RGBA", (frame_width * _SMOOTH, height * _SMOOTH), (*color, 0))
    draw, points = ImageDraw.Draw(layer), [tuple(map(float, _SMOOTH * point)) for point in pixels]
    stop = len(points) if until is None else min(max(until, 1), len(points))
    stroke = round(_SMOOTH * width)
    if stop < len(points):
        draw.line(points[stop - 1 :], fill=(*color, 90), width=stroke)
    if stop > 1:
        draw.line(points[:stop], fill=(*color, 255), width=stroke, joint="curve")
    x, y = points[stop - 1]
    radius = 2 * stroke
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*color, 255), outline=(255, 255, 255, 255), width=2)
    picture = Image.fromarray(frame).convert("RGBA")
    picture.alpha_composite(layer.resize((frame_width, height), Image.Resampling.LANCZOS))
    return np.asarray(picture.convert("RGB"))


def tile(frames: Sequence[Frame]) -> Frame:
    """Arrange K frames (H, W, 3) in one picture, row by row. Unused tiles are black."""
    num_rows, num_columns = grid_shape(len(frames))
    height, width, channels = frames[0].shape
    grid = np.zeros((num_rows * height, num_columns * width, channels), np.uint8)
    for index, frame in enumerate(frames):
        row, column = divmod(index, num_columns)
        grid[row * height : (row + 1) * height, column * width : (column + 1) * width] = frame
    return grid


def grid_shape(count: int) -> tuple[int, int]:
    """Number of rows and columns for `count` tiles: fewest unused tiles, then closest to twice as many columns as rows."""
    shapes = [(ceil(count / columns), columns) for columns in range(1, count + 1)]
    wide = [(rows, columns) for rows, columns in shapes if rows <= columns <= 4 * rows]
    return min(wide, key=lambda shape: (shape[0] * shape[1] - count, abs(shape[1] / shape[0] - 2)))
