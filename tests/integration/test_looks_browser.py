"""The written pages in Chromium, in both color schemes, on a desktop and on a phone: contrast, size of text, width."""

from pathlib import Path

import pytest

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.report.run_page import Heading, render_run_page
from isaaclab_mimic_ext.run.trial_records import read_records
from tests import requires
from tests.browser import PROGRAM, Browser
from tests.forked_scripts import ROOT, run_mimic
from tests.jobs import run_generation
from tests.kinematic_sources import generate_cfg

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    requires.mark("browser", PROGRAM is not None, "chromium not found"),
]

CHECKS = (ROOT / "tests/page_checks.js").read_text()
NOISE = [f"subtask_configs.franka.{index}.action_noise={noise}" for index, noise in enumerate((0.25, 0.5, 0.3, 0.3))]
PAGES = ("report", "demo", "check")
LEAST_CONTRAST, LEAST_SIZE = 4.5, 9.0


@pytest.fixture(scope="module")
def folder(kinematic_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with one page of each kind; the run has several failure reasons."""
    folder = tmp_path_factory.mktemp("pages")
    rules = ("num_envs=30", "datagen_config.generation_guarantee=false", "datagen_config.max_num_failures=null")
    run_generation(generate_cfg(kinematic_source, folder / "run", *rules, *NOISE, "datagen_config.generation_num_trials=60"))
    page = render_run_page(
        Heading("desktop_organizer", "finished", {"engine": "kinematic"}), read_records(folder / "run/run.sqlite")
    )
    (folder / "report.html").write_text(page)
    mimic.show_demo(kinematic_source, "demo_0", folder / "demo.html", pictures=False)
    run_mimic("check", f"input_file={kinematic_source}", "output_file=check.html", cwd=folder)
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_text_of_written_pages_is_legible(name: str, scheme: str, browser: Browser, folder: Path) -> None:
    for size, is_phone in (((1280, 800), False), ((390, 844), True)):
        page = browser.page("about:blank", *size, is_phone)
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        page.call("Page.navigate", url=(folder / f"{name}.html").as_uri())
        page.wait_for("document.readyState === 'complete' && document.querySelectorAll('svg').length")
        page.evaluate(CHECKS)
        contrasts = page.evaluate("contrasts()")
        assert len(contrasts) > 20
        assert contrasts[0][0] >= LEAST_CONTRAST, contrasts[:5]
        size_of_text, text = page.evaluate("smallestDrawn()")
        assert size_of_text >= LEAST_SIZE, text
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "charts scroll in their own boxes"
    browser.close_pages()


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_charts_of_a_report_are_in_sight_without_scrolling(width: int, browser: Browser, folder: Path) -> None:
    page = browser.page((folder / "report.html").as_uri(), width, 844, width < 700)
    page.wait_for("document.readyState === 'complete'")
    hidden = "[...document.querySelectorAll('.wide')].filter((box) => box.scrollWidth > box.clientWidth + 1).length"
    assert page.evaluate(hidden) == 0
    shown = page.evaluate("[...document.querySelectorAll('svg')].filter((chart) => chart.clientWidth).length")
    assert 2 * shown == page.evaluate("document.querySelectorAll('svg').length"), "one of each chart's two sizes is shown"
    browser.close_pages()
