"""Pictures of the studio, drawn by Chromium."""

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.browser import PROGRAM, open_browser
from tests.studio_marking import MarkPage, record_demos
from tests.studio_person import StudioPage, make_demo

log = logging.getLogger(__name__)

DOCS = Path(__file__).resolve().parents[1]
_TAB = "studio.tabs.get('mark')"
_CARRIED = 0.15
"""Height of the bottle from which it is drawn [m]."""


def draw_record() -> None:
    """The tab Record with a bottle that is carried to the basket: docs/studio.png."""
    if PROGRAM is None:
        log.warning("record: not drawn, requires a browser; install with `apt-get install chromium`")
        return
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, _started_studio(folder) as url:
        person = StudioPage(url)
        make_demo(person, is_over=lambda: person.object_pos("ketchup")[2] > _CARRIED)
        person.order("pause")
        person.wait_for_phase("paused")
        with open_browser(Path(folder)) as browser:
            page = browser.page(url, 1280, 720)
            page.wait_for("window.studio?.tabs.get('record')?.step > 0")
            person.close()
            page.evaluate("studio.order({ control: 'take' })")
            page.wait_for("studio.hasControl")
            page.evaluate("studio.scene.adapt = () => {}; studio.scene.ratio = 1; studio.scene.resize()")
            page.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
            page.screenshot(DOCS / "studio.png")


@contextmanager
def _started_studio(folder: str) -> Iterator[str]:
    """Run a studio during the block, and yield the address of its page."""
    command = [sys.executable, "-m", "isaaclab_mimic_ext", "studio", "sim=mujoco", "port=0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(found[0] for line in process.stdout if (found := re.search(r"http://\S+", line)))
        finally:
            process.terminate()


def draw_mark() -> None:
    """The tab Mark with two marks and a suggestion: docs/studio_mark.png."""
    if PROGRAM is None:
        log.warning("mark: not drawn, requires a browser; install with `apt-get install chromium`")
        return
    # Relative paths: the page shows them.
    with TemporaryDirectory() as folder, chdir(folder):
        raw = record_demos(Path("raw.hdf5"), 4)
        with MarkPage(raw, has_doctor=True) as marking, open_browser(Path(folder)) as browser:
            page = browser.page(marking.url, 1100, 680)
            page.wait_for(
                f"window.studio && studio.hasControl && {_TAB}?.demo?.replay === 'done' && {_TAB}.player.poses.size"
            )
            for key, frame in (("Digit1", 61), ("Digit2", 90)):
                page.evaluate(f"{_TAB}.player.seek({frame})")
                page.press(key)
                page.wait_for(f"{_TAB}.marks.done.length === {key[-1]}")
            page.evaluate("studio.scene.adapt = () => {}; studio.scene.ratio = 1; studio.scene.resize()")
            page.wait_for(f"{_TAB}.demo.findings !== null")
            page.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
            page.screenshot(DOCS / "studio_mark.png")
