"""The tab Watch in Chromium, with real keys and clicks."""

# n environments

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.run.generate import generate_run
from isaaclab_mimic_ext.run.live_poses import LiveFrame
from isaaclab_mimic_ext.run.session import RunFolder
from isaaclab_mimic_ext.studio.live_grid import encode_grid, grid_poses
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires
from tests.browser import PROGRAM, Browser, Page
from tests.kinematic_sources import make_kinematic_env
from tests.runs import run_cfg
from tests.watching_person import Watched, opened_watch

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    requires.mark("browser", PROGRAM is not None, "chromium not found"),
]

TAB = "studio.tabs.get('watch')"
CARD = "document.querySelector('#watch_start .card')"
CHECKS = (Path(__file__).parents[1] / "page_checks.js").read_text()


@pytest.fixture(scope="module")
def server(kinematic_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = RunFolder(tmp_path_factory.mktemp("ended"))
    settings = ("datagen_config.generation_num_trials=8", "datagen_config.generation_guarantee=false")
    generate_run(run_cfg(kinematic_source, folder, *settings))
    with opened_watch(folder) as server:
        yield server


@pytest.fixture(autouse=True)
def closed_pages(browser: Browser) -> Iterator[None]:
    yield
    browser.close_pages()


def opened(browser: Browser, server: Watched, size: tuple[int, int] = (480, 320), is_phone: bool = False) -> Page:
    """Open the page, and let it play the last demo of the ended run."""
    page = opened_card(browser, server, size, is_phone)
    page.press("Enter")
    page.wait_for(f"{TAB}.motion")
    return page


def opened_card(browser: Browser, server: Watched, size: tuple[int, int] = (480, 320), is_phone: bool = False) -> Page:
    """Open the page, which offers the trials of the ended run."""
    page = browser.page(server.url, *size, is_phone)
    page.wait_for(f"window.studio?.hasControl && {CARD}.checkVisibility()")
    return page


def live_frame(count: int) -> bytes:
    """Frame of environments in their initial states; the last one is idle."""
    states = trees.map(lambda leaf: leaf.numpy(), make_kinematic_env(count).get_state())
    numbers = np.arange(count, dtype=np.int32)
    frame = LiveFrame(10 + numbers, numbers, numbers < count - 1, states)
    return encode_grid(1, frame, grid_poses(PosedScene(load_task("desktop_organizer")), frame))


PLAYED = """(() => {
  const { played } = document.querySelector(".played").dataset;
  const [ring, dot] = [".played circle", `circle[data-trial="${played}"]`].map((each) => document.querySelector(each));
  return ["cx", "cy"].map((name) => ring.getAttribute(name) - dot.getAttribute(name));
})()"""


def test_ended_run_offers_its_trials_and_keys_play_them(browser: Browser, server: Watched) -> None:
    page = opened_card(browser, server)
    assert page.evaluate(f"{CARD}.querySelector('h2').textContent").endswith(" of 8 trials")
    assert page.evaluate(f"{TAB}.wanted == null"), "nothing plays before a person wants it"
    page.press("Enter")
    page.wait_for(f"{TAB}.motion")
    assert page.evaluate(f"{TAB}.motion.reason") == ""
    runs = page.evaluate(f"{TAB}.run.failed")
    failed = [each["trial"] for each in runs]
    page.press("KeyN")
    page.wait_for(f"{TAB}.motion.trial === {failed[0]}")
    assert "failed at " in page.evaluate("document.getElementById('hint').textContent")
    page.press("ArrowRight")
    page.wait_for(f"!{TAB}.playing")
    step = page.evaluate(f"{TAB}.motion.step")
    page.press("ArrowRight")
    assert page.evaluate(f"{TAB}.motion.step") == step + 1
    page.press("ArrowUp" if failed[0] else "ArrowDown")
    page.wait_for(f"{TAB}.motion.trial === {failed[0] - 1 if failed[0] else 1}")
    disabled = "['previous_trial', 'next_trial', 'previous', 'next'].map((id) => document.getElementById(id).disabled)"
    page.evaluate(f"{TAB}.play(0)")
    page.wait_for(f"{TAB}.motion.trial === 0")
    assert page.evaluate(disabled) == [True, False, False, False]
    page.evaluate(f"{TAB}.run.failed = [], {TAB}.refresh()")
    assert page.evaluate(disabled) == [True, False, True, True]
    page.evaluate(f"studio.select('watch'), {TAB}.run.failed = {json.dumps(runs)}, {TAB}.refresh()")
    page.press("Escape")
    page.wait_for(f"!{TAB}.motion && {CARD}.checkVisibility()")
    assert "Pale cells: fewer than 5 trials." in page.evaluate("document.querySelector('#map figcaption').textContent")
    page.evaluate(f"document.querySelector('.places [data-trial=\"{failed[-1]}\"]').dispatchEvent(new Event('click'))")
    page.wait_for(f"{TAB}.motion?.trial === {failed[-1]}")
    page.wait_for(f"document.querySelector('.played')?.dataset.played === '{failed[-1]}'")
    assert page.evaluate(PLAYED) == pytest.approx([0, 0], abs=0.01), "the ring is around the dot of the trial"
    assert page.evaluate("document.querySelector('.trial[aria-current=true]').dataset.trial") == str(failed[-1])
    assert not page.problems
    assert all(url.startswith((server.url.split("?")[0], "data:")) for url in page.requests), page.requests


def test_environments_move_in_a_square_and_are_chosen_with_keys_and_the_mouse(browser: Browser, server: Watched) -> None:
    page = opened(browser, server)
    page.press("Escape")
    server.tab.publish_frame(live_frame(6))
    page.wait_for(f"{TAB}.hasFrame && studio.scene.stage === {TAB}.grid")
    assert page.evaluate(f"[{TAB}.grid.count, {TAB}.grid.columns]") == [6, 3]
    assert page.evaluate("document.getElementById('what').textContent") == "5 of 6 environments run"
    for code in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.press(code)
    assert page.evaluate("document.getElementById('what').textContent") == "environment 4: trial 14, 0.2 s (step 4)"
    picked = f"""(() => {{
      const [x, y] = {TAB}.grid.offsets[2];
      const point = {TAB}.grid.marker.position.clone().set(x + 0.45, y, 0);
      studio.scene.scene.updateMatrixWorld();
      point.project(studio.scene.camera);
      return {TAB}.grid.pick(point.x, point.y, studio.scene.camera);
    }})()"""
    assert page.evaluate(picked) == 2
    page.press("ArrowRight")
    page.evaluate(f"{TAB}.outcomes.set(15, 'dropped'), {TAB}.shadeGrid(), {TAB}.refresh()")
    assert page.evaluate("document.getElementById('what').textContent") == "environment 5: trial 15, failed: dropped"
    assert page.evaluate("document.getElementById('grid_legend').checkVisibility()")
    sizes = f"{TAB}.grid.endings.children.map((mesh) => mesh.instanceMatrix.array[16 * 5])"
    assert page.evaluate(sizes) == [0, 1], "a cross, and no ring"
    page.press("ArrowLeft")
    page.evaluate(f"{TAB}.isOver = true, {TAB}.outcomes.set(14, ''), {TAB}.shadeGrid(), {TAB}.refresh()")
    assert page.evaluate("document.getElementById('what').textContent") == "environment 4: trial 14, succeeded"
    page.press("Enter")
    assert page.evaluate(f"{TAB}.isNear")
    assert not page.problems


YOUNG = {"event": "run", "folder": "run", "runs": ["run"], "chosen": 0, "state": "in progress", "text": "", "elapsed_s": 2}


def test_run_without_an_ended_trial_has_no_empty_sections_when_the_tab_is_shown_again(
    browser: Browser, server: Watched
) -> None:
    page = opened(browser, server)
    titles = "[...document.querySelectorAll('#panel h2')]"
    shown = f"{titles}.filter((each) => each.checkVisibility()).map((each) => each.textContent)"
    assert {"Why trials fail", "Trials", "Where trials fail"} < set(page.evaluate(shown))
    again = "document.getElementById('panel').replaceChildren(), "
    places = "['panel', 'overlay', 'dock'].map((id) => document.getElementById(id))"
    again += f"{TAB}.hide(), {TAB}.show(...{places})"
    page.evaluate(f"{TAB}.receive({json.dumps(YOUNG)}), {again}")
    assert page.evaluate(shown) == ["Run"]
    assert not page.problems


@pytest.mark.parametrize(("size", "is_phone"), [((1100, 640), False), ((390, 780), True)])
def test_page_is_readable_and_nothing_overlaps(
    size: tuple[int, int], is_phone: bool, browser: Browser, server: Watched
) -> None:
    page = opened(browser, server, size, is_phone)
    page.evaluate(CHECKS)
    assert page.evaluate("contrasts()")[0][0] >= 4.5, page.evaluate("contrasts()")[:3]
    graphics = page.evaluate("graphicContrasts()")
    assert any(".reason" in name for _, name in graphics) and graphics[0][0] >= 3.0, graphics[:3]
    assert page.evaluate("overlaps()") == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.getElementById('canvas').clientHeight") > 120


FARTHEST_SEEN = f"""[0, 1, 2, 3].map((view) => {{
  const [grid, camera] = [{TAB}.grid, studio.scene.camera];
  studio.scene.setView(view);
  camera.updateMatrixWorld();
  const edge = grid.pitch / 2;
  const corners = grid.offsets.flatMap(([x, y]) => [[x - edge, y - edge], [x + edge, y + edge]]);
  return Math.max(...corners.flatMap(([x, y]) => {{
    const seen = camera.position.clone().set(x, y, 0).project(camera);
    return [Math.abs(seen.x), Math.abs(seen.y)];
  }}));
}})"""


@pytest.mark.parametrize(("size", "is_phone"), [((480, 320), False), ((390, 780), True)])
def test_each_view_shows_all_environments(size: tuple[int, int], is_phone: bool, browser: Browser, server: Watched) -> None:
    page = opened(browser, server, size, is_phone)
    page.press("Escape")
    server.tab.publish_frame(live_frame(9))
    page.wait_for(f"{TAB}.hasFrame && studio.scene.stage === {TAB}.grid")
    assert all(0.7 < farthest < 0.99 for farthest in page.evaluate(FARTHEST_SEEN))


def test_tab_that_is_opened_late_offers_the_trials(browser: Browser, server: Watched) -> None:
    page = opened(browser, server)
    places = "['panel', 'overlay', 'dock'].map((id) => document.getElementById(id))"
    page.evaluate(f"{TAB}.hide(), {TAB}.forget(), {TAB}.show(...{places})")
    page.wait_for(f"{CARD}.checkVisibility()")
    assert not page.problems
