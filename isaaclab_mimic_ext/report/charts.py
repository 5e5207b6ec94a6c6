"""Charts in one style, drawn by matplotlib: SVG elements for pages, PNG files. They need no display."""

# Sizes are in CSS pixels (96 per inch), font sizes in points (0.75 px).

import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.writing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRID, EMPTY = "#22313f", "#5d6a77", "#e3e8ed", "#f2f5f7"
"""Colors of text, secondary text, lines, and cells without a value. In a page they follow its light or dark theme."""
GOOD_INK, WARNING_INK, ERROR_INK = "#1f6b48", "#8a5300", "#b02a2a"
"""Colors of text about a good, doubtful and bad result. In a page they follow its theme, too."""
GOOD, BAD = "#2a7fb8", "#d1495b"
"""Colors of success and failure."""
PALETTE = ("#d1495b", "#e9a23b", "#7a5195", "#2f9e77", "#8c5a2b", "#56b4e9", "#cc79a7", "#8a949e")
"""Colors of categories. Neighbors also differ in lightness, for color-blind readers."""
SUBTASK_COLORS = ("#a8d5e5", "#f6d6a8", "#b9e0b4", "#d9c7ec", "#f3c2c2", "#d8d8a6", "#bcd0f0", "#e6c9b3")
"""Colors of the subtasks of an end effector."""
CELL_INK, _LIGHT_INK, _DARKEST_INK = "#1c2833", "#ffffff", "#000000"
"""Text on a colored cell, in both themes: the first one on the colors of subtasks, all of them in `ink_on`."""
LEAST_CONTRAST = 4.5
"""Least contrast of text with its ground (WCAG 2.1, 1.4.3)."""
NORMAL, SMALL = 9.0, 8.0
"""Font sizes [pt]."""
FEW_TRIALS = 5
"""Rates over fewer trials are drawn pale, because they are uncertain."""
WIDTH = 1008.0
"""Width of the text column of a page [px]."""
NARROW = 340.0
"""Width of a chart for a narrow window, such as that of a phone [px]."""

_RATE_STOPS = ((0.0, (192, 57, 43)), (0.5, (245, 194, 120)), (0.85, (238, 240, 226)), (1.0, (74, 144, 190)))
_THEME = {
    INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--line)", EMPTY: "var(--empty)",
    GOOD_INK: "var(--good-ink)", WARNING_INK: "var(--warning-ink)", ERROR_INK: "var(--error-ink)",
}  # fmt: skip
_LEAST_SCALE = 0.9
"""A chart in a page is scrolled where it would be smaller than this share of its size, so that its text stays legible."""
_MOST_SCALE = 1.6
"""A chart for narrow windows is at most this much larger than drawn."""
_PX_PER_INCH = 96.0
_PNG_SCALE, _MAX_PNG_PIXELS = 1.5, 60000
"""PNG pixels per CSS pixel, and the largest side of a PNG; matplotlib's renderer can draw less than 2**16 pixels."""
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.constrained_layout.h_pad": 0.12,
    "figure.constrained_layout.w_pad": 0.12,
    "font.size": NORMAL,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "svg.fonttype": "none",  # Text remains text: it is sharp, can be searched, and uses the font of the page.
    "text.color": INK,
    "text.parse_math": False,  # Names with two dollar signs are not formulas.
    "xtick.color": MUTED,
    "xtick.major.size": 3,
    "ytick.color": MUTED,
    "ytick.major.size": 3,
}
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Characters that XML or UTF-8 cannot represent."""
_LOCK = threading.RLock()
"""Guards matplotlib's settings, which are global to the process."""


class Canvas:
    """One figure with tooltips, which pages show. Use `canvas` to create it."""

    def __init__(self, width: float, height: float, layout: Literal["constrained"] | None = None):
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / _PX_PER_INCH, height / _PX_PER_INCH), layout=layout)
        self._tooltips: dict[str, tuple[str, ...]] = {}

    def axes(self, left: float, top: float, width: float, height: float, **options: Any) -> "Axes":
        """Add axes that fill a rectangle [px], y down from the upper edge of the canvas."""
        bottom = self.height - top - height
        rectangle = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(rectangle, **options)

    def sheet(self) -> "Axes":
        """Add invisible axes over the whole canvas. Coordinates are pixels, y down."""
        axes = self.axes(0, 0, self.width, self.height, xlim=(0, self.width), ylim=(self.height, 0))
        axes.set_axis_off()
        return axes

    def add_tooltip(self, artist: Any, *texts: str) -> None:
        """Add a tooltip to an artist, or one to each of its markers."""
        name = f"tooltip-{len(self._tooltips)}"
        artist.set_gid(name)
        self._tooltips[name] = tuple(map(printable, texts))

    def svg(self, label: str) -> str:
        """Render the chart as an `<svg>` element for a page.

        Args:
            label: description of the chart for screen readers. It must be unique in a page.
        """
        import matplotlib

        label = printable(label)
        # Ids inside the SVG depend on the salt. Ids of two charts in one page must not collide.
        matplotlib.rcParams["svg.hashsalt"] = f"{label} {self.width:g}"
        file = StringIO()
        self.figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        return _to_page_element(file.getvalue(), label, self._tooltips, self.width)

    def write_png(self, path: Path) -> None:
        """Write the chart as a PNG file; an existing file is replaced.

        Raises:
            OutputError: the file cannot be written.
        """
        scale = min(_PNG_SCALE, _MAX_PNG_PIXELS / max(self.width, self.height))
        with replacing(path, kind=OutputError) as part:
            self.figure.savefig(part, format="png", dpi=scale * _PX_PER_INCH, facecolor="white")


@contextmanager
def canvas(width: float, height: float, layout: Literal["constrained"] | None = None) -> Iterator[Canvas]:
    """Make a canvas in the style of this project. The user's matplotlib settings have no effect.

    Args:
        width, height: size of the canvas [px].
        layout: "constrained" lets matplotlib place the axes.
    """
    with _LOCK:
        matplotlib = _import_quietly()
        with matplotlib.rc_context(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The font of the page draws characters that matplotlib's font lacks.
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_STYLE)
            yield Canvas(width, height, layout)


def _import_quietly() -> Any:
    """Import matplotlib without its messages about font caches and home folders that cannot be written."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        import matplotlib.figure
        import matplotlib.font_manager
    finally:
        logger.setLevel(level)
    return matplotlib


def _to_page_element(svg: str, label: str, tooltips: Mapping[str, tuple[str, ...]], width: float) -> str:
    """Convert an SVG file to an element of a page: font and theme of the page, tooltips, without unused ids."""
    root = ElementTree.fromstring(svg)
    referenced = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    for element in list(root.iter()):
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
        if "style" in element.attrib:
            element.set("style", _page_style(element.attrib["style"]))
        name = element.get("id", "")
        if name in tooltips:
            _add_titles(element, tooltips[name])
        if name not in referenced:
            element.attrib.pop("id", None)
    for child in list(root):
        # The style rule would apply to the whole page.
        if child.tag == "metadata" or (child.tag == "defs" and child.find("style") is not None):
            root.remove(child)
    box = root.get("viewBox", "")
    most = _MOST_SCALE if width <= NARROW else 1.0
    style = f"max-width:{most * width:g}px;min-width:{_LEAST_SCALE * width:.0f}px"
    root.attrib = {"viewBox": box, "style": style, "role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode")


def _page_style(style: str) -> str:
    for color, variable in _THEME.items():
        style = style.replace(color, variable)
    return style


def _add_titles(group: ElementTree.Element, texts: tuple[str, ...]) -> None:
    """Add a `<title>`, which browsers show as a tooltip, to a group or to each of its markers."""
    markers = [element for element in group.iter() if element.tag.endswith("use")] if len(texts) > 1 else [group]
    for element, text in zip(markers, texts, strict=True):
        title = ElementTree.Element("title")
        title.text = text
        element.insert(0, title)


def printable(text: object) -> str:
    """Replace each character that a page cannot represent by the Unicode replacement character."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(text))


def shorten(name: object, max_length: int) -> str:
    """Shorten a name to at most `max_length` characters, and replace characters that cannot be drawn."""
    text = printable(name)
    return text if len(text) <= max_length else f"{text[: max(max_length - 1, 1)].rstrip()}…"


def colors_of(names: Sequence[str], palette: Sequence[str] = PALETTE) -> dict[str, str]:
    """Color of each name. The palette repeats if there are more names than colors."""
    return {name: palette[index % len(palette)] for index, name in enumerate(names)}


def rate_color(rate: float, trials: int = FEW_TRIALS) -> str:
    """Color of a success rate, 0 to 1: red, sand, blue. Most of the change is at the upper end. Pale for few trials."""
    pairs = [(pair, pair[1][0]) for pair in pairwise(_RATE_STOPS)]
    (low, low_color), (high, high_color) = next((pair for pair, end in pairs if rate <= end), pairs[-1][0])
    share, strength = (rate - low) / (high - low), 1.0 if trials >= FEW_TRIALS else 0.35
    mixed = (a + share * (b - a) for a, b in zip(low_color, high_color, strict=True))
    return "#" + "".join(f"{round(255 + strength * (value - 255)):02x}" for value in mixed)


def text_color(rate: float, trials: int = FEW_TRIALS) -> str:
    """Color of text on a cell with the color `rate_color(rate, trials)`."""
    return ink_on(rate_color(rate, trials))


def ink_on(ground: str) -> str:
    """Color of text on a ground (#rrggbb): the first dark or light one with enough contrast, which each ground has."""
    return next(ink for ink in (CELL_INK, _LIGHT_INK, _DARKEST_INK) if contrast(ink, ground) >= LEAST_CONTRAST)


def contrast(color: str, ground: str) -> float:
    """Contrast of two colors (#rrggbb), 1 to 21 (WCAG 2.1)."""
    darker, lighter = sorted((_luminance(color), _luminance(ground)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    channels = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def for_each_window(draw: Callable[[float], str]) -> str:
    """Draw a chart for wide and for narrow windows; a page shows the one that fits. Empty if the chart is.

    Args:
        draw: width [px], `WIDTH` or `NARROW` -> SVG element.
    """
    wide = draw(WIDTH)
    return f'<div class="in-wide">{wide}</div><div class="in-narrow">{draw(NARROW)}</div>' if wide else ""


def count_bars(
    counts: Mapping[str, int],
    colors: Mapping[str, str],
    label: str,
    num_trials: int | None = None,
    width: float = WIDTH,
) -> str:
    """Draw one horizontal bar per count and return the SVG element; empty without counts.

    Args:
        num_trials: number of all trials, to show counts as percentages, too; None: only counts.
        width: `WIDTH` or `NARROW` [px].
    """
    if not counts:
        return ""
    with _bars(list(counts), width) as rows:
        bars = rows.draw(list(counts.values()), [colors.get(name, BAD) for name in counts])
        rows.axes.set_xlim(0, (1.0 if rows.is_narrow else 1.25) * max(counts.values()))
        for row, (bar, (name, count)) in enumerate(zip(bars, counts.items(), strict=True)):
            rows.board.add_tooltip(bar, f"{name}: {count}")
            share = f"  ({count / max(num_trials, 1):.1%} of the trials)" if num_trials is not None else ""
            rows.add_figures(row, f"{count}{share}", count, MUTED)
        rows.axes.set_xticks([])
        rows.axes.spines["bottom"].set_visible(False)
        return rows.board.svg(label)


def rate_bars(rates: Sequence[tuple[str, float, float, float]], label: str, width: float = WIDTH) -> str:
    """Draw one horizontal bar with an error bar per rate and return the SVG element; empty without rates.

    Args:
        rates: (name, rate, low, high), 0 to 1, with the ends of the interval.
        width: `WIDTH` or `NARROW` [px].
    """
    if not rates:
        return ""
    with _bars([name for name, *_ in rates], width, foot=28.0) as rows:
        middle = [100 * rate for _, rate, _, _ in rates]
        bars = rows.draw(middle, [GOOD] * len(rates))
        ends = error_bar_lengths([rate for _, *rate in rates])
        rows.axes.errorbar(middle, rows.places, xerr=ends, fmt="none", ecolor=INK, elinewidth=1.4, capsize=4)
        for row, (bar, (name, rate, low, high)) in enumerate(zip(bars, rates, strict=True)):
            figures = f"{100 * rate:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
            rows.board.add_tooltip(bar, f"{name}: {figures}")
            rows.add_figures(row, figures, 100.0, INK)
        rows.axes.set(xlim=(0, 100), xticks=range(0, 101, 20), xticklabels=[f"{share} %" for share in range(0, 101, 20)])
        rows.axes.grid(axis="x")
        return rows.board.svg(label)


@dataclass(frozen=True)
class _Bars:
    """Horizontal bars in rows of equal height, with their names on the left; in a narrow chart, above the bars."""

    board: Canvas
    axes: "Axes"
    names: Sequence[str]
    is_narrow: bool

    @property
    def places(self) -> list[float]:
        """Vertical coordinates of the bars."""
        return [row + (0.22 if self.is_narrow else 0.0) for row in range(len(self.names))]

    def draw(self, lengths: Sequence[float], colors: Sequence[str]) -> Any:
        return self.axes.barh(self.places, lengths, height=0.38 if self.is_narrow else 0.62, color=colors)

    def add_figures(self, row: int, text: str, end: float, color: str) -> None:
        """Write the figures of a bar after `end`; in a narrow chart, above the bar at the right edge."""
        if self.is_narrow:
            sides = ((0.0, self.names[row], "left", INK), (1.0, text, "right", color))
            for x, part, side, ink in sides:
                place = self.axes.get_yaxis_transform()
                self.axes.text(x, row - 0.2, part, transform=place, ha=side, va="center_baseline", color=ink)
        else:
            self.axes.annotate(text, (end, row), (8, 0), textcoords="offset points", va="center", color=color)


@contextmanager
def _bars(names: Sequence[str], width: float, foot: float = 4.0) -> Iterator[_Bars]:
    """Make a canvas of a width, `WIDTH` or `NARROW` [px], for bars; `foot` is the height below them [px]."""
    is_narrow = width <= NARROW
    row, left, right, letters = (42.0, 2.0, 20.0, 22) if is_narrow else (27.0, 250.0, 200.0, 36)
    short = [shorten(name, letters) for name in names]
    with canvas(width, row * len(names) + foot) as board:
        axes = board.axes(left, 0, width - left - right, row * len(names))
        axes.set(ylim=(len(names) - 0.5, -0.5), yticks=range(len(names)))
        axes.set_yticklabels([] if is_narrow else short, color=INK)
        axes.tick_params(axis="y", length=0, pad=8)
        axes.spines["left"].set_color(GRID)
        yield _Bars(board, axes, short, is_narrow)


def error_bar_lengths(rates: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Lengths of error bars below and above each rate [percentage points].

    Args:
        rates: (rate, low, high), 0 to 1.
    """
    # Rounding must not make a length negative.
    below = [max(100 * (rate - low), 0.0) for rate, low, _ in rates]
    return below, [max(100 * (high - rate), 0.0) for rate, _, high in rates]


def add_legend(axes: "Axes", handles: Sequence[Any], names: Sequence[str], **options: Any) -> None:
    """Add a legend that also shows names that begin with an underscore, which matplotlib leaves out."""
    legend = axes.legend(handles, [" "] * len(names), **options)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
