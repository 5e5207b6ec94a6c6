"""Charts and pages: equal inputs give equal bytes, all text is shown and escaped, and no display is needed."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.learn.results import Checkpoint, CheckpointResult, Episode
from isaaclab_mimic_ext.report.charts import (
    NARROW,
    PALETTE,
    canvas,
    colors_of,
    count_bars,
    rate_bars,
    rate_color,
    shorten,
    text_color,
)
from isaaclab_mimic_ext.report.curves import loss_curves, plot_success, round_values
from isaaclab_mimic_ext.report.pages import render
from isaaclab_mimic_ext.texts import duration

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = ['<script>alert("1")</script>', "$\\frac{1}$", "$a$ & $b$", "_hidden", "\x00\x1b[31m\ud800", "字 é 🤖", "a\nb", ""]
"""Names that files may contain."""


def texts(svg: str, tag: str = "text") -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter(tag)]


def test_equal_charts_have_equal_bytes_and_different_charts_share_no_id() -> None:
    counts = {"dropped": 7, "never grasped": 2}
    first, again = (count_bars(counts, colors_of(list(counts)), "failed trials", 20) for _ in range(2))
    assert first == again
    other = rate_bars([("a", 0.5, 0.4, 0.6)], "success")
    ids = [{e.get("id") for e in ElementTree.fromstring(svg).iter() if e.get("id")} for svg in (first, other)]
    assert not ids[0] & ids[1]


def test_bars_for_narrow_windows_have_names_and_figures_above_bars_of_proportional_lengths() -> None:
    svg = count_bars({"never grasped": 20, "dropped": 5}, {}, "failed trials", 100, NARROW)
    assert {"never grasped", "20  (20.0% of the trials)", "dropped", "5  (5.0% of the trials)"} <= set(texts(svg))
    root = ElementTree.fromstring(svg)
    bars = [group.findall("path")[0].get("d") for group in root.iter("g") if group.find("title") is not None]
    long, short = (np.ptp([float(x) for x in re.findall(r"[ML] ([\d.]+) ", str(bar))]) for bar in bars)
    assert long > 150 and long == pytest.approx(4 * short, rel=0.01)
    rates = rate_bars([("last epoch", 0.5, 0.4, 0.6)], "success", NARROW)
    assert {"last epoch", "50.0 % (40.0 to 60.0)"} <= set(texts(rates))


def test_chart_uses_the_theme_of_the_page_and_has_a_label() -> None:
    svg = count_bars({"dropped": 7}, {}, 'failed "trials"')
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == 'failed "trials"' and root.get("role") == "img"
    assert "var(--ink)" in svg and "#22313f" not in svg
    assert root.find("defs/style") is None, "the rule would apply to the whole page"


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_drawn_and_escaped(name: str) -> None:
    svg = count_bars({name: 3}, {}, name)
    (shown,) = (text for text in texts(svg, "title"))
    assert shown == f"{shorten(name, 99)}: 3"
    assert "<script" not in svg
    rates = rate_bars([(name, 0.5, 0.4, 0.6)], "success")
    if name.isprintable():
        assert shorten(name, 36) in texts(svg) + texts(rates) or not name
    svg.encode(), rates.encode()


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_can_name_a_line(name: str, tmp_path: Path) -> None:
    rows = [{"epoch": str(epoch), "train_loss": str(1 / epoch), "valid_loss": "0.3"} for epoch in (1, 2)]
    assert shorten(name, 20).split("\n")[0] in "\n".join(texts(loss_curves({name: rows})))
    plot_success([result(run, epoch) for run in (name, "other") for epoch in (1, 2)], tmp_path / "a.png", name)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def result(run: str, epoch: int | None) -> CheckpointResult:
    episodes = [Episode(index, index < 3, index < 3, index < 3, 10, None, None, {}) for index in range(4)]
    return CheckpointResult(Checkpoint(f"{run}/model_{epoch}", None, run, epoch), episodes)


def test_checkpoints_without_epochs_can_be_plotted(tmp_path: Path) -> None:
    plot_success([result("", None)], tmp_path / "a.png", "one")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


def test_error_names_the_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere/a.png cannot be written"):
        plot_success([result("", 1)], tmp_path / "nowhere" / "a.png", "one")


def test_charts_without_data_are_empty() -> None:
    assert count_bars({}, {}, "a") == rate_bars([], "a") == loss_curves({}) == loss_curves({"seed 1": []}) == ""
    rows = [{"epoch": "1", "train_loss": "nan", "valid_loss": "inf"}]
    assert loss_curves({"seed 1": rows}) == ""


def test_losses_that_are_not_finite_leave_gaps_in_curves() -> None:
    values = ("0.5", "nan", "0", "inf", "0.1")
    rows = [{"epoch": str(epoch), "train_loss": loss, "valid_loss": loss} for epoch, loss in enumerate(values, 1)]
    svg = loss_curves({"seed 1": rows})
    assert "nan" not in svg and {"0.1", "0.2", "0.5"} <= set(texts(svg))


def test_axis_of_losses_is_labelled_as_logarithmic_and_a_single_epoch_is_a_point() -> None:
    rows = [{"epoch": str(epoch), "train_loss": "0.5", "valid_loss": "0.6"} for epoch in (1, 2)]
    point, curve = loss_curves({"seed": rows[:1]}), loss_curves({"seed": rows})
    assert "loss (logarithmic axis)" in texts(point)
    assert point.count("<use") > curve.count("<use")


@given(st.floats(1e-6, 1e3), st.floats(1.0, 1e4))
def test_round_values_enclose_the_losses(low: float, factor: float) -> None:
    values = round_values(low, low * factor)
    assert values[0] <= low and values[-1] >= low * factor * (1 - 1e-9)
    assert len(values) >= 2 and values == sorted(values)
    assert values[1] > low or len(values) == 2


def test_colors_of_rates_differ_and_have_contrast_with_their_text() -> None:
    assert rate_color(0.0) != rate_color(1.0) != rate_color(1.0, trials=1)

    def lightness(color: str) -> float:
        channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return float(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])

    for percent in range(101):
        for trials in (1, 100):
            ground, ink = (lightness(color(percent / 100, trials)) for color in (rate_color, text_color))
            assert (max(ground, ink) + 0.05) / (min(ground, ink) + 0.05) >= 4.5, percent
    assert list(colors_of([str(index) for index in range(9)]).values()) == [*PALETTE, PALETTE[0]]


def test_threads_draw_the_same_charts() -> None:
    charts = [count_bars({f"reason {index}": index + 1}, {}, f"chart {index}") for index in range(6)]
    with ThreadPoolExecutor(4) as pool:
        again = pool.map(lambda index: count_bars({f"reason {index}": index + 1}, {}, f"chart {index}"), range(6))
        assert list(again) == charts


@pytest.mark.slow
def test_drawing_needs_no_display_and_no_home_and_prints_nothing(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("backend: tkagg\ntext.usetex: True\nfont.size: 30\n")
    code = (
        "import sys\n"
        "from isaaclab_mimic_ext.report.charts import count_bars\n"
        "sys.stdout.write(count_bars({'dropped': 7}, {}, 'failed trials'))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    # Without a writable home, matplotlib would report a temporary cache.
    env = {"PATH": "/usr/bin:/bin", "HOME": "/dev/null/nowhere", "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=env, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == count_bars({"dropped": 7}, {}, "failed trials")


def test_each_marker_has_its_tooltip() -> None:
    with canvas(100, 100) as board:
        dots = board.sheet().scatter([10, 20], [10, 20], c=["#123456", "#654321"])
        board.add_tooltip(dots, "first", "second <b>")
        svg = board.svg("dots")
    markers = sorted(ElementTree.fromstring(svg).iter("use"), key=lambda marker: float(marker.get("x", "0")))
    assert [marker.findtext("title") for marker in markers] == ["first", "second <b>"]


def test_pages_escape_text() -> None:
    page = render("timeline.html", title='<b>&"', chart="<svg></svg>")
    assert "&lt;b&gt;&amp;&#34;" in page and "<svg></svg>" in page and "<b>" not in page


@pytest.mark.parametrize(("seconds", "words"), [(7.4, "7 s"), (125.0, "2 min 5 s"), (3 * 3600 + 299.7, "3 h 5 min")])
def test_durations_are_written_as_text(seconds: float, words: str) -> None:
    assert duration(seconds) == words
