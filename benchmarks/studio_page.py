"""Times that a person notices at the studio's page, in headless Chromium without a GPU on the same machine.

    python benchmarks/studio_page.py --rounds 5

Figures are medians: time until the page is ready, rate of the control loop while a key is held, and time from a key press
until the hand has moved in a drawn frame of the page. These are wall times: they need idle cores. Requires Chromium.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser import Browser, Page, open_browser

ROOT = Path(__file__).parents[1]
TAB = "studio.tabs.get('record')"
READY = f"window.studio && studio.hasControl && {TAB}?.state && {TAB}.step !== undefined"
HELD_SECONDS = 5.0
MOVED = 1e-4
"""Distance after which the hand has moved [m]."""
AT_REST, PERIOD = 1e-6, 0.3
"""The hand is at rest if it moves less than this [m] in this time [s]."""
HAND = "studio.scene.hands[0].frame.matrixWorld.elements.slice(12, 15)"
DELAY = f"""new Promise((resolve) => {{
  const hand = () => {HAND};
  const start = hand();
  let pressed = null;
  window.addEventListener("keydown", (event) => {{ pressed ??= event.timeStamp; }}, {{ capture: true, once: true }});
  const look = (now) => {{
    const moved = Math.hypot(...hand().map((value, axis) => value - start[axis])) > {MOVED};
    if (pressed !== null && moved) resolve(now - pressed); else requestAnimationFrame(look);
  }};
  requestAnimationFrame(look);
}})"""


@contextmanager
def studio(folder: Path) -> Iterator[str]:
    """Run a studio; yield the address of its page."""
    words = ["sim=mujoco", "task=desktop_organizer", f"output_dir={folder}", "port=0"]
    command = [sys.executable, str(ROOT / "scripts" / "studio.py"), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(found[0] for line in process.stdout if (found := re.search(r"http://\S+", line)))
        finally:
            process.terminate()


def open_page(browser: Browser, url: str, size: tuple[int, int]) -> tuple[Page, float]:
    """Open the page; return it with the time until a person can use it [s]."""
    start = time.perf_counter()
    page = browser.page(url, *size)
    page.wait_for(READY)
    return page, time.perf_counter() - start


def control_rate(page: Page) -> float:
    """Control steps per second while a key is held."""
    page.key("down", "KeyW")
    time.sleep(1.0)
    before, start = page.evaluate(f"{TAB}.step"), time.perf_counter()
    time.sleep(HELD_SECONDS)
    steps = page.evaluate(f"{TAB}.step") - before
    seconds = time.perf_counter() - start
    page.key("up", "KeyW")
    return float(steps / seconds)


def key_delay(page: Page, code: str) -> float:
    """Time from a key press until the hand has moved in the page [s]."""
    before, now = None, page.evaluate(HAND)
    while before is None or max(abs(a - b) for a, b in zip(now, before, strict=True)) > AT_REST:
        time.sleep(PERIOD)
        before, now = now, page.evaluate(HAND)
    page.evaluate(f"window.delay = {DELAY}; 0")
    page.key("down", code)
    delay = page.evaluate("window.delay")
    page.key("up", code)
    return float(delay) / 1000


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=800)
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary, open_browser(Path(temporary)) as browser:
        ready, rates, delays, hosts = [], [], [], set()
        for index in range(arguments.rounds):
            with studio(Path(temporary) / f"session_{index}") as url:
                page, seconds = open_page(browser, url, (arguments.width, arguments.height))
                ready.append(seconds)
                rates.append(control_rate(page))
                delays.append(statistics.median(key_delay(page, code) for code in ("KeyS", "KeyW", "KeyS", "KeyW", "KeyS")))
                hosts |= {found[1] for each in page.requests if (found := re.match(r"\w+://([^/]+)", each))}
                browser.close_pages()
    figures = {"seconds_until_ready": ready, "control_steps_per_second": rates, "seconds_from_key_to_hand": delays}
    for name, values in figures.items():
        print(f"{name}: {statistics.median(values):.3f} (of {', '.join(f'{value:.3f}' for value in values)})")
    print("hosts:", ", ".join(sorted(hosts)))


if __name__ == "__main__":
    main()
