"""Pictures of outputs of commands: the page about a run, and the timeline of source demos."""

import logging
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
from PIL import Image

from isaaclab_mimic_ext.config.hydra import conf_dir
from isaaclab_mimic_ext.run.session import RunFolder
from tests import planted
from tests.browser import PROGRAM, open_browser
from tests.watching_person import opened_watch

log = logging.getLogger(__name__)

DOCS = Path(__file__).resolve().parents[1]
SOURCE = conf_dir().parent / "tasks" / "desktop_organizer" / "data" / "source_demos.hdf5"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
IN_THE_MIDDLE = """(() => {
  const tab = studio.tabs.get("watch");
  const running = (tab.hasFrame ? tab.grid.heads : []).filter(({ isActive }) => isActive);
  const late = running.filter(({ step }) => step >= 100);
  return tab.run?.trials >= 95 && late.length >= 10 && late.length > running.length / 2;
})()"""
"""Most of the first 100 trials have ended, and others run."""
FAULTS: dict[str, planted.PlantInDemo] = {
    "demo_1": planted.shift_targets((0.03, 0, 0)),
    "demo_2": planted.shift_signal("lift", lambda demo: 60),
    "demo_4": planted.keep_steps(40, None),
    "demo_5": planted.move_gripper(-16),
    "demo_7": planted.scale_targets(0.05),
    "demo_8": planted.keep_steps(0, -40),
}
"""Source demo -> fault that `mimic check` finds."""


def draw_report() -> None:
    """Page about a run with more noise than usual, so that trials fail: docs/report.png."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        log.warning("report: not drawn, requires a browser; install with `apt-get install chromium`")
        return
    with TemporaryDirectory() as folder:
        settings = ("num_trials=300", "generation_guarantee=false", "max_num_failures=null", "all_subtasks.action_noise=0.2")
        _mimic(folder, "generate", "task=desktop_organizer", "output_dir=run", "video=false", *settings)
        _mimic(folder, "report", "input_dir=run", "num_failures=1")
        picture = Path(folder) / "page.png"
        window = ("--window-size=1100,4000", "--hide-scrollbars", f"--screenshot={picture}")
        page = (Path(folder) / "run" / "report.html").as_uri()
        subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", *window, page], check=True, capture_output=True
        )
        _write_cropped(picture, DOCS / "report.png")


def draw_watch() -> None:
    """Page of a run with 100 environments, some of which run their second trial: docs/watch.png."""
    if PROGRAM is None:
        log.warning("watch: not drawn, requires a browser; install with `apt-get install chromium`")
        return
    settings = ("num_envs=100", "num_trials=150", "generation_guarantee=false", "all_subtasks.action_noise=0.2")
    # Relative paths: the page shows them.
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, chdir(folder):
        command = (sys.executable, "-m", "isaaclab_mimic_ext", "generate", "task=desktop_organizer", "output_dir=run")
        run = RunFolder(Path("run"))
        with subprocess.Popen([*command, "video=false", "max_num_failures=null", *settings]) as process:
            with opened_watch(run) as server, open_browser(Path(folder)) as browser:
                page = browser.page(server.url, 1100, 700)
                page.wait_for("Boolean(window.studio?.tabs.get('watch'))")
                page.wait_for(IN_THE_MIDDLE, 3600)
                page.evaluate("studio.scene.longestMs = Infinity; studio.scene.present(studio.tabs.get('watch').grid)")
                page.evaluate("new Promise((resolve) => setTimeout(resolve, 3000))")
                page.screenshot(DOCS / "watch.png")
            process.terminate()


def draw_timeline() -> None:
    """Timeline of ten source demos, six of them with a fault: docs/check_demos.png."""
    with TemporaryDirectory() as folder:
        path = shutil.copyfile(SOURCE, Path(folder) / "demos.hdf5")
        with h5py.File(path, "r+") as file:
            for name, plant in FAULTS.items():
                file["data"][name].attrs.pop("digest", None)
                plant(file["data"][name])
        _mimic(folder, "check", "task=desktop_organizer", "input_file=demos.hdf5", "output_file=timeline.png", valid=(0, 1))
        _write_cropped(Path(folder) / "timeline.png", DOCS / "check_demos.png")


def _mimic(folder: str, *words: str, valid: tuple[int, ...] = (0,)) -> None:
    code = [sys.executable, "-P", "-m", "isaaclab_mimic_ext", *words, "progress=false"]
    done = subprocess.run(code, cwd=folder, capture_output=True, text=True)
    if done.returncode not in valid:
        raise RuntimeError(f"mimic {' '.join(words)}: {done.stdout}{done.stderr}")


def _write_cropped(source: Path, target: Path) -> None:
    """Write a picture without the empty rows at its end, with 256 colors."""
    pixels = np.asarray(Image.open(source).convert("RGB"))
    last = np.flatnonzero((pixels != pixels[-1, -1]).any((1, 2)))[-1]
    Image.fromarray(pixels[: last + 12]).quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)
