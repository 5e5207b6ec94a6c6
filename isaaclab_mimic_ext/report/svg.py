"""Pieces of SVG: elements, colours, axes. Charts are drawn by hand, so that a report is one file that needs nothing."""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from math import floor, log10

INK, MUTED, GRID = "#22313f", "#6b7785", "#e3e8ed"
GOOD, BAD = "#2a7fb8", "#d1495b"
_OTHERS = ("#d1495b", "#e9a23b", "#7a5195", "#3b7a57", "#a0522d", "#5c6bc0", "#b5838d", "#607d8b")
FEW = 5
"""A rate of fewer trials than this says little, and is shown pale."""
_RATE_STOPS = ((0.0, (192, 57, 43)), (0.5, (245, 194, 120)), (0.85, (238, 240, 226)), (1.0, (74, 144, 190)))


def element(name: str, content: str = "", /, **attributes: object) -> str:
    """An element; `stroke_width` becomes `stroke-width`."""
    listed = "".join(f' {key.rstrip("_").replace("_", "-")}="{_number(value)}"' for key, value in attributes.items())
    return f"<{name}{listed}>{content}</{name}>"


def text(
    x: float, y: float, content: object, anchor: str = "start", size: float = 12, fill: str = INK, **more: object
) -> str:
    """A line of text; its base line begins, ends or is centred at (x, y)."""
    return element("text", escape(str(content)), x=x, y=y, text_anchor=anchor, font_size=size, fill=fill, **more)


def rect(x: float, y: float, width: float, height: float, fill: str, title: str = "", **more: object) -> str:
    """A rectangle, with a text that is shown when the mouse is over it."""
    tip = element("title", escape(title)) if title else ""
    return element("rect", tip, x=x, y=y, width=width, height=height, fill=fill, **more)


def line(x1: float, y1: float, x2: float, y2: float, stroke: str = GRID, **more: object) -> str:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke, **more)


def picture(width: float, height: float, parts: Iterable[str], label: str) -> str:
    """A whole drawing, as wide as the page lets it be, at most its own width.

    Args:
        label: what it shows, for those who cannot see it.
    """
    box = f"0 0 {_number(width)} {_number(height)}"
    style = f"max-width:{_number(width)}px"
    return element("svg", "".join(parts), viewBox=box, style=style, role="img", aria_label=escape(label, quote=True))


def ribbon(x0: float, y0: float, x1: float, y1: float, height: float, fill: str, title: str = "") -> str:
    """A band of one height from the left edge (x0, y0) to the right edge (x1, y1), both at its top."""
    middle = (x0 + x1) / 2
    height = max(height, 1.0)
    upper = f"M{_number(x0)},{_number(y0)} C{_number(middle)},{_number(y0)} {_number(middle)},{_number(y1)} "
    upper += f"{_number(x1)},{_number(y1)} V{_number(y1 + height)} "
    lower = f"C{_number(middle)},{_number(y1 + height)} {_number(middle)},{_number(y0 + height)} "
    lower += f"{_number(x0)},{_number(y0 + height)} Z"
    return element("path", element("title", escape(title)), d=upper + lower, fill=fill, fill_opacity=0.55)


def colors_of(names: Sequence[str]) -> dict[str, str]:
    """Each name's colour; the palette repeats when it is used up."""
    return {name: _OTHERS[index % len(_OTHERS)] for index, name in enumerate(names)}


def rate_color(rate: float, trials: int = FEW) -> str:
    """The colour of a success rate, 0 to 1: red, sand, blue, most of the change at its upper end; pale for few trials."""
    pairs = [(pair, pair[1][0]) for pair in pairwise(_RATE_STOPS)]
    (low, low_color), (high, high_color) = next((pair for pair, end in pairs if rate <= end), pairs[-1][0])
    share = (rate - low) / (high - low)
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(low_color, high_color, strict=True))
    return f"rgba({red},{green},{blue},{1.0 if trials >= FEW else 0.35})"


def ink_on(rate: float, trials: int = FEW) -> str:
    """The colour of text on `rate_color`."""
    return "#ffffff" if rate < 0.25 and trials >= FEW else INK


def cut(name: str, most: int) -> str:
    """A name of at most so many characters."""
    return name if len(name) <= most else f"{name[: max(most - 1, 1)].rstrip()}…"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most about `most` round numbers from `low` to `high`."""
    span = max(high - low, 1e-9)
    raw = span / max(most, 1)
    power = 10.0 ** floor(log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw - 1e-12)
    first = int(-(-(low - 1e-9) // step))
    last = int((high + 1e-9) // step)
    return [round(index * step, 10) for index in range(first, last + 1)]


def _number(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
