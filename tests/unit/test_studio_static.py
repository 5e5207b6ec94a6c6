"""Files of the studio's page that are not ours, and modules that each tab needs."""

import hashlib
import re
from pathlib import Path

STATIC = Path(__file__).resolve().parents[2] / "isaaclab_mimic_ext" / "studio" / "static"
EDGE_AND_LINE, LINE_AND_GROUND = 4.5, 3.0
"""Smallest contrasts of a symbol with its edge, and of a symbol or its edge with any ground (WCAG 2.1, 1.4.11)."""
THREE_DIGEST = "5e32e1872f73df2eb16c9d6762591c54092e7e3c6ca81fea6cfad6e79d56a379"


def test_bundled_three_js_is_the_one_of_the_documented_line() -> None:
    assert hashlib.sha256((STATIC / "vendor" / "three.js").read_bytes()).hexdigest() == THREE_DIGEST
    assert "MIT License" in (STATIC / "vendor" / "three_LICENSE.txt").read_text()
    assert "npx esbuild" in (STATIC / "vendor" / "README.md").read_text()


def test_modules_import_only_modules_that_are_served() -> None:
    for path in STATIC.glob("*.js"):
        for name in re.findall(r'from "([^"]+)"', path.read_text()):
            assert (STATIC.parent / name.removeprefix("/")).is_file(), f"{path.name} imports {name}"


def test_page_uses_names_of_three_js_that_are_bundled() -> None:
    bundled = set(re.findall(r"\w+", (STATIC / "vendor" / "three_entry.js").read_text()))
    for path in STATIC.glob("*.js"):
        used = set(re.findall(r"\bthree\.([A-Z]\w+)", path.read_text()))
        assert used <= bundled, f"{path.name}: add to vendor/three_entry.js, and bundle it again"


def contrast(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """Contrast of two colors, sRGB from 0 to 1, by WCAG 2.1."""
    low, high = sorted(light(color) for color in (first, second))
    return (high + 0.05) / (low + 0.05)


def light(color: tuple[float, ...]) -> float:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in color]
    return sum(part * value for part, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def rgb(digits: str) -> tuple[float, ...]:
    return tuple(int(digits[index : index + 2], 16) / 255 for index in (0, 2, 4))


def test_outcomes_in_the_tab_watch_are_seen_on_any_ground() -> None:
    text = (STATIC / "grid.js").read_text()
    colors = {name: rgb(digits) for name, digits in re.findall(r"(\w+) = 0x([0-9a-f]{6})", text)}
    assert {"SUCCEEDED", "FAILED", "CHOSEN", "EDGE"} <= colors.keys()
    for name in ("SUCCEEDED", "FAILED", "CHOSEN"):
        assert contrast(colors[name], colors["EDGE"]) >= EDGE_AND_LINE, name
        for level in range(256):
            ground = (level / 255,) * 3
            best = max(contrast(colors[name], ground), contrast(colors["EDGE"], ground))
            assert best >= LINE_AND_GROUND, (name, level)


def test_outcomes_in_the_legend_have_the_colors_of_the_scene() -> None:
    grid, style = ((STATIC / name).read_text() for name in ("grid.js", "studio.css"))
    for name, state in (("SUCCEEDED", "good"), ("FAILED", "bad")):
        (digits,) = re.findall(rf"{name} = 0x([0-9a-f]{{6}})", grid)
        assert f'.outcome[data-state="{state}"] {{ color: #{digits}; }}' in style
