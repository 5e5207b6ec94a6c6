"""Flat shapes, and two ways to put them on paper: SVG within HTML, which tells more under the mouse, and PNG."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import DependencyMissing, OutputError

Point = tuple[float, float]

FONT_SIZE = 13
_OVERSAMPLING = 2
"""PNGs are drawn larger and shrunk, for smooth edges."""


@dataclass(frozen=True)
class Shape:
    """A filled polygon, an open line, or a text.

    Attributes:
        points: in pixels, y down; of a text where it begins, halfway up its letters.
        color: `#rrggbb`.
        width: of a line; 0: a filled polygon.
        text: if not empty, what is written.
        anchor: `start`, `middle` or `end` of the text is at the point.
        hint: shown under the mouse.
    """

    points: tuple[Point, ...]
    color: str
    width: float = 0.0
    text: str = ""
    anchor: str = "start"
    size: int = FONT_SIZE
    hint: str = ""


def rectangle(x: float, y: float, width: float, height: float, color: str, hint: str = "") -> Shape:
    right, bottom = x + width, y + height
    return Shape(((x, y), (right, y), (right, bottom), (x, bottom)), color, hint=hint)


def text_width(text: str, size: int = FONT_SIZE) -> float:
    """About so many pixels, whatever the font."""
    return 0.56 * size * len(text)


def write_picture(path: Path, shapes: Sequence[Shape], size: tuple[int, int], title: str, overwrite: bool = False) -> None:
    """Write shapes as what the file's suffix says.

    Raises:
        OutputError: the file is there, or cannot be written.
        DependencyMissing: PNG needs Pillow.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"picture_file: '{path}' is there already; name another, or give overwrite=true")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".html":
            path.write_text(_html(shapes, size, title), encoding="utf-8")
        else:
            _write_png(path, shapes, size)
    except OSError as error:
        raise OutputError(f"picture_file: '{path}' cannot be written ({error}); name a file in a folder of yours") from error


def _html(shapes: Sequence[Shape], size: tuple[int, int], title: str) -> str:
    width, height = size
    style = f"font:{FONT_SIZE}px sans-serif;dominant-baseline:central"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" style="{style}">'
    head = f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head>'
    return "\n".join((f'{head}<body style="margin:0">', svg, *_svg(shapes), "</svg></body></html>", ""))


def _svg(shapes: Sequence[Shape]) -> Iterator[str]:
    for shape in shapes:
        hint = f"<title>{escape(shape.hint)}</title>" if shape.hint else ""
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
        if shape.text:
            (x, y), *_ = shape.points
            place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{shape.anchor}" font-size="{shape.size}"'
            yield f'<text {place} fill="{shape.color}">{escape(shape.text)}{hint}</text>'
        elif shape.width:
            stroke = f'fill="none" stroke="{shape.color}" stroke-width="{shape.width}"'
            yield f'<polyline points="{points}" {stroke}>{hint}</polyline>'
        else:
            yield f'<polygon points="{points}" fill="{shape.color}">{hint}</polygon>'


def _write_png(path: Path, shapes: Sequence[Shape], size: tuple[int, int]) -> None:
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise DependencyMissing("picture_file: PNG needs pillow (pip install pillow); .html needs nothing") from error
    scale = _OVERSAMPLING
    image = Image.new("RGB", (size[0] * scale, size[1] * scale), "white")
    draw: Any = ImageDraw.Draw(image)
    for shape in shapes:
        points = [(x * scale, y * scale) for x, y in shape.points]
        if shape.text:
            anchor = {"start": "lm", "middle": "mm", "end": "rm"}[shape.anchor]
            draw.text(points[0], shape.text, shape.color, ImageFont.load_default(shape.size * scale), anchor)
        elif shape.width:
            draw.line(points, shape.color, max(1, round(shape.width * scale)), joint="curve")
        else:
            draw.polygon(points, shape.color)
    image.resize(size, Image.Resampling.LANCZOS).save(path, "PNG")
