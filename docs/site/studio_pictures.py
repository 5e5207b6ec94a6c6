"""Pictures of the studio, drawn by Chromium."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.browser import PROGRAM, open_browser
from tests.studio_marking import MarkPage, record_demos

log = logging.getLogger(__name__)

DOCS = Path(__file__).parents[1]
_TAB = "studio.tabs.get('mark')"


def draw_mark() -> None:
    """The tab Mark with two marks and a suggestion: docs/studio_mark.png."""
    if PROGRAM is None:
        log.warning("mark: not drawn, requires a browser; install with `apt-get install chromium`")
        return
    with TemporaryDirectory() as folder:
        raw = record_demos(Path(folder) / "raw.hdf5", 4)
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
