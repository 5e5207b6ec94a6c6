"""The page of the studio in Chromium, with real keys, clicks and touches."""

import base64
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.command_lines import program
from isaaclab_mimic_ext.studio.folder import StudioFolder
from isaaclab_mimic_ext.studio.path_jobs import StepRunner
from isaaclab_mimic_ext.studio.path_steps import PathFiles, Recorded
from isaaclab_mimic_ext.studio.path_tab import PathTab
from isaaclab_mimic_ext.studio.server import StudioServer
from isaaclab_mimic_ext.studio.watch_tab import WatchTab
from tests import requires
from tests.browser import PROGRAM, Browser, Page
from tests.processes import HANG_S
from tests.studio_person import BottleMover
from tests.studio_recording import Recording

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    requires.mark("browser", PROGRAM is not None, "chromium not found"),
]

TAB = "studio.tabs.get('record')"
READY = f"window.studio && studio.hasControl && {TAB}?.state && {TAB}.step !== undefined"
SMALL = (480, 320)
"""Size of a page that is drawn without a GPU."""


@pytest.fixture(autouse=True)
def closed_pages(browser: Browser) -> Iterator[None]:
    yield
    browser.close_pages()


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    with Recording(tmp_path / "raw.hdf5", step_hz=20.0) as recording:
        yield recording


def opened(browser: Browser, recording: Recording, size: tuple[int, int] = SMALL, is_phone: bool = False) -> Page:
    page = browser.page(recording.url, *size, is_phone)
    page.wait_for(READY)
    return page


def phase(page: Page) -> str:
    return str(page.evaluate(f"{TAB}.state.phase"))


def wait_for_phase(page: Page, *phases: str) -> None:
    page.wait_for(f"{json.dumps(phases)}.includes({TAB}.state?.phase)")


KEYS = (("KeyW", "KeyS"), ("KeyA", "KeyD"), ("KeyQ", "KeyE"))
"""Keys of the robot's directions x, y, z, up and down."""
SEEN = f"""(() => {{
  const [tab, scene] = [{TAB}, studio.scene];
  scene.scene.updateMatrixWorld();
  const at = (object) => {{ const m = object.matrixWorld.elements; return [m[12], m[13], m[14]]; }};
  const body = (name) => at(scene.bodies.find((each) => each.name === name));
  return {{ phase: tab.state.phase, step: tab.step, hand: at(scene.hands[0].frame), grip: tab.input.grip[0],
    ketchup: body("ketchup"), basket: body("basket") }};
}})()"""


def seen(selector: str) -> str:
    """Text of an element, if it is visible."""
    found = f"document.querySelector('{selector}')"
    return f"({found}?.checkVisibility() ? {found}.textContent : undefined)"


class KeyPresser:
    """Solves the task with the keys of the page, by what the page shows."""

    def __init__(self, page: Page):
        self.page = page
        self._pressed: set[str] = set()

    def make_demo(self) -> None:
        page = self.page
        page.press("KeyF")  # Directions of the robot, so that one key moves along one axis.
        seen = page.evaluate(SEEN)
        mover = BottleMover(np.array(seen["ketchup"]), np.array(seen["basket"]))
        end = time.monotonic() + HANG_S
        while (seen := page.evaluate(SEEN))["phase"] != "review":
            assert time.monotonic() < end, (mover.index, seen)
            offset, goal = mover.next(np.array(seen["hand"]), seen["step"])
            if goal.grip != seen["grip"]:
                self._hold(set())
                page.press("Space")
                continue
            is_slow = goal.speed < 1.0 or float(np.abs(offset).max()) < 0.03
            keys = {
                pair[0] if value > 0 else pair[1] for pair, value in zip(KEYS, offset, strict=True) if abs(value) > 0.003
            }
            self._hold(keys | ({"ShiftLeft"} if is_slow and keys else set()))
            if keys and float(np.abs(offset).max()) < 0.01:
                time.sleep(0.05)
                self._hold(set())  # A tap: the last millimeters.
            if seen["phase"] == "still" and not keys:
                mover.arrived_at -= 4  # Time stands still: there is nothing to wait for.
            time.sleep(0.02)
        self._hold(set())

    def _hold(self, keys: set[str]) -> None:
        for code in self._pressed - keys:
            self.page.key("up", code)
        for code in keys - self._pressed:
            self.page.key("down", code)
        self._pressed = keys


def test_key_presser_records_a_demo_that_generates_ten_of_ten(browser: Browser, tmp_path: Path) -> None:
    requires.module("mujoco.batch", "mujoco")
    path = tmp_path / "raw.hdf5"
    with Recording(path, 1, 20.0, engine="mujoco") as recording:
        page = opened(browser, recording)
        KeyPresser(page).make_demo()
        page.wait_for("document.querySelector('#review').checkVisibility()")
        page.wait_for(f"{TAB}.state.findings !== null")
        assert "error" not in page.evaluate("document.querySelector('#review').textContent")
        page.press("Enter")
        page.wait_for(f"!studio.connection.isOpen || {TAB}.state?.demos.length === 1")
        assert not page.problems
    with h5py.File(path) as file:
        assert file["data/demo_0"].attrs["input_devices"] == "keyboard"
    task = mimic.load_task("desktop_organizer")
    mimic.annotate(path, tmp_path / "annotated.hdf5", mimic.make_env(task, "mujoco", num_envs=1))
    envs = mimic.make_env(task, "mujoco", num_envs=10)
    demos = mimic.load_demos(tmp_path / "annotated.hdf5", envs)
    run = mimic.generate(envs, demos, mimic.GenerationCfg(num_trials=10), tmp_path / "run")
    assert run.num_demos == 10
    assert run.num_attempts <= 20, "the timing of the keys differs each time, so a grasp may be off by millimeters"


def test_keys_move_the_hand_as_seen_and_are_released_when_the_page_loses_focus(
    browser: Browser, recording: Recording
) -> None:
    page = opened(browser, recording)
    before = page.evaluate(SEEN)["hand"]
    page.key("down", "KeyW")
    page.wait_for(f"{TAB}.step > 12")
    page.evaluate("window.dispatchEvent(new Event('blur'))")
    wait_for_phase(page, "still")
    assert page.evaluate(f"{TAB}.input.keys.size") == 0
    page.key("up", "KeyW")
    away = np.subtract(page.evaluate(SEEN)["hand"], before)
    directions = "(() => { const { forward } = studio.scene.directions(); return [forward.x, forward.y, forward.z]; })()"
    forward = np.array(page.evaluate(directions))
    assert away @ forward > 0.05, "W moves away from the viewer"
    assert np.linalg.norm(away - (away @ forward) * forward) < 0.01


DRAWN_OFTEN = f"""(() => {{
  const [input, connection] = [{TAB}.input, studio.connection];
  const [tell, times] = [connection.tell, []];
  connection.tell = () => times.push(performance.now());
  input.sentAt = 0;
  for (let index = 1; index <= 2000; index += 1) {{
    input.pads.v = [index / 1e4, 0, 0];
    studio.scene.beforeDrawing();
  }}
  const dragged = times.length;
  input.release();
  connection.tell = tell;
  input.sent = "";
  return {{ gaps: times.slice(1, dragged).map((time, index) => time - times[index]), released: times.length - dragged }};
}})()"""


def test_dragging_sends_at_most_30_messages_per_second_and_the_release_at_once(
    browser: Browser, recording: Recording
) -> None:
    page = opened(browser, recording)
    sent = page.evaluate(DRAWN_OFTEN)
    assert min(sent["gaps"], default=33.0) >= 32.5
    assert sent["released"] == 1
    assert not page.problems


RELEASED_HANDLE = f"""(() => {{
  const {{ aids, input }} = {TAB};
  const start = aids.handle.position.x;
  aids.control.dispatchEvent({{ type: "dragging-changed", value: true }});
  aids.handle.position.x += 0.1;
  aids.control.dispatchEvent({{ type: "dragging-changed", value: false }});
  aids.update(0);
  return input.handle.position.x - start;
}})()"""


def test_hand_goes_to_the_place_at_which_the_handle_was_released(browser: Browser, recording: Recording) -> None:
    page = opened(browser, recording)
    page.press("KeyH")
    assert page.evaluate(RELEASED_HANDLE) == pytest.approx(0.1)


def test_page_shows_the_end_and_gives_up_at_a_new_server(browser: Browser, tmp_path: Path) -> None:
    with Recording(tmp_path / "raw.hdf5") as recording:
        page = opened(browser, recording)
    page.wait_for("!studio.connection.isOpen")
    assert "the recording has ended" in page.evaluate("document.querySelector('#done').textContent")
    assert page.evaluate("document.querySelector('#done').checkVisibility()")
    port = recording.server.port
    with StudioServer([], {}, port=port) as server:
        assert server.port == port
        page.wait_for("document.querySelector('#notice').textContent.includes('address that the terminal prints now')")


def test_rewind_and_forward_with_keys_and_escape_asks_once(browser: Browser, recording: Recording) -> None:
    page = opened(browser, recording)
    page.press("Escape")
    page.wait_for("document.getElementById('ask').open")
    page.press("Escape")
    page.wait_for("!document.getElementById('ask').open")
    page.key("down", "KeyQ")
    page.wait_for(f"{TAB}.step > 50")
    page.key("up", "KeyQ")
    wait_for_phase(page, "still")
    step = page.evaluate(f"{TAB}.step")
    page.press("KeyB")
    page.wait_for(f"{TAB}.step === {step - 40}")
    wait_for_phase(page, "paused")
    page.press("KeyN")
    page.wait_for(f"{TAB}.step === {step}")
    page.press("Escape")
    page.wait_for("document.getElementById('ask').open")
    page.press("Escape")
    page.wait_for("!document.getElementById('ask').open")
    assert recording.result is None
    page.press("Escape")
    page.wait_for("document.getElementById('ask').open")
    page.evaluate("document.getElementById('ask_yes').click()")
    recording._thread.join(HANG_S)
    assert recording.result is not None
    assert recording.result.num_demos == 0


def test_attempt_that_was_given_up_by_mistake_comes_back_with_a_key(browser: Browser, recording: Recording) -> None:
    page = opened(browser, recording)
    page.press("KeyB")
    page.wait_for("document.getElementById('hint').textContent === 'This is the start of the attempt.'")
    assert not page.evaluate("document.getElementById('notice').checkVisibility()"), "nothing is wrong"
    page.key("down", "KeyQ")
    page.wait_for(f"{TAB}.step > 20")
    page.key("up", "KeyQ")
    wait_for_phase(page, "still")
    before = page.evaluate(SEEN)
    page.press("KeyR")
    page.wait_for(f"{TAB}.step === 0 && {seen('#undo_new')}?.startsWith('Bring back ')")
    assert page.evaluate(SEEN)["ketchup"] != before["ketchup"]
    page.press("KeyU")
    page.wait_for(f"{TAB}.step === {before['step']} && {TAB}.state.phase === 'paused'")
    assert page.evaluate(SEEN) == {**before, "phase": "paused"}
    assert not page.evaluate("document.getElementById('undo_new').checkVisibility()"), "the new scene has no steps"
    assert not page.problems


BLOCKED = f"""(() => {{
  const tab = {TAB};
  tab.aids.isBehind = () => true;
  tab.followsSince = tab.step - 8;
  tab.refreshStep();
  return document.getElementById("hint").textContent;
}})()"""


def test_page_explains_a_target_that_the_hand_cannot_reach(browser: Browser, recording: Recording) -> None:
    page = opened(browser, recording)
    page.key("down", "KeyQ")
    page.wait_for(f"{TAB}.step > 10")
    page.key("up", "KeyQ")
    wait_for_phase(page, "still")
    assert page.evaluate("document.getElementById('hint').checkVisibility()") is False, "a free hand is not far behind"
    assert "The hand cannot follow its target, the turquoise hand" in page.evaluate(BLOCKED)


def test_scene_is_drawn_sharply_when_nothing_moves(browser: Browser, recording: Recording) -> None:
    page = opened(browser, recording)
    ratio = "studio.scene.renderer.getPixelRatio()"
    assert page.evaluate(f"studio.scene.longestMs = 1e9, studio.scene.ratio = 0.5, studio.scene.draw(), {ratio}") == 0.5
    page.wait_for(f"{ratio} === 1")
    assert page.evaluate(f"studio.scene.draw(), {ratio}") == 0.5


QUESTIONS = """(async () => {
  const dialog = document.getElementById("ask");
  const first = studio.ask("first", "yes", "no");
  dialog.close();
  const second = studio.ask("second", "yes", "no");
  await new Promise((resolve) => setTimeout(resolve, 50));
  document.getElementById("ask_yes").click();
  return [await first, await second];
})()"""


def test_question_directly_after_another_is_answered(browser: Browser, recording: Recording) -> None:
    assert opened(browser, recording).evaluate(QUESTIONS) == [False, True]


def test_second_tab_watches_and_only_the_studio_is_requested(browser: Browser, recording: Recording) -> None:
    first = opened(browser, recording)
    first.key("down", "KeyQ")
    first.wait_for(f"{TAB}.step > 5")
    first.key("up", "KeyQ")
    first.press("Space")
    first.wait_for(f"{TAB}.input.grip[0] === -1 && {TAB}.state.phase === 'still'")
    second = browser.page(recording.url, *SMALL)
    second.wait_for(f"window.studio && {TAB}?.step > 5 && document.getElementById('control').checkVisibility()")
    second.press("KeyP")
    assert phase(first) == "still"
    first.press("Escape")
    first.wait_for("document.getElementById('ask').open")
    second.evaluate("document.getElementById('take').click()")
    first.wait_for("document.getElementById('ask_more').checkVisibility()")
    first.evaluate("document.getElementById('ask_no').click()")
    first.wait_for("document.getElementById('ask_yes').textContent === 'Give control'")
    first.evaluate("document.getElementById('ask_yes').click()")
    second.wait_for(f"studio.hasControl && {TAB}.input.epoch > 0")
    assert second.evaluate(f"{TAB}.input.grip[0]") == -1, "the new page must not drop what the hand holds"
    for page in (first, second):
        assert not page.problems
        assert all(url.startswith((recording.url.split("?")[0], "data:")) for url in page.requests), page.requests


CHECKS = (Path(__file__).parents[1] / "page_checks.js").read_text()


PICTURE_END = """(() => {
  const [view, caption] = ["view", "wrist_label"].map((id) => document.getElementById(id).getBoundingClientRect());
  return caption.top - view.top - studio.scene.wristSide();
})()"""
"""Distance of the caption of the wrist view from the height of its picture."""


@pytest.mark.parametrize(
    ("size", "is_phone"),
    [
        ((1100, 640), False),
        ((1024, 768), True),
        ((390, 844), True),
        ((844, 390), True),
        ((390, 780), True),
        ((780, 390), True),
        ((740, 360), True),
    ],
)
def test_page_is_readable_and_nothing_overlaps(
    size: tuple[int, int], is_phone: bool, browser: Browser, recording: Recording
) -> None:
    page = opened(browser, recording, size, is_phone)
    page.evaluate(CHECKS)
    contrasts: list[Any] = page.evaluate("contrasts()")
    assert len(contrasts) > 20
    assert contrasts[0][0] >= 4.5, contrasts[:5]
    graphics = page.evaluate("graphicContrasts()")
    assert any("circle" in name for _, name in graphics) and graphics[0][0] >= 3.0, graphics[:3]
    assert page.evaluate("overlaps()") == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.getElementById('canvas').clientHeight") > (280 if size[0] == 844 else 120)
    assert page.evaluate(PICTURE_END) >= 12, "the caption does not cover the picture"


@pytest.mark.parametrize("size", [(667, 375), (740, 360), (844, 390)])
def test_on_a_phone_on_its_side_the_panel_is_beside_the_scene_and_the_steps_have_room(
    size: tuple[int, int], browser: Browser, recording: Recording
) -> None:
    opened(browser, recording, size, is_phone=True)
    page = browser.page(recording.url, *size, is_phone=True)
    page.wait_for("document.getElementById('take')?.checkVisibility()")
    panel, view = (
        page.evaluate(f"document.getElementById('{name}').getBoundingClientRect().toJSON()") for name in ("panel", "view")
    )
    assert panel["left"] >= view["right"] and panel["right"] == size[0] and panel["bottom"] == size[1]
    assert view["height"] > 0.8 * size[1]
    assert not page.evaluate("document.getElementById('control').checkVisibility()"), "the steps need its room"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_shown_tab_is_colored_under_the_pointer_too(browser: Browser, recording: Recording) -> None:
    page = opened(browser, recording, (1100, 640))
    page.evaluate("document.getElementById('tabs').hidden = false")
    color = "getComputedStyle(document.querySelector('[data-tab=record]')).backgroundColor"
    shown = page.evaluate(color)
    page.click("[data-tab=record]")
    assert page.evaluate("document.querySelector('[data-tab=record]').matches(':hover')")
    red, green, blue = (int(value) for value in re.findall(r"\d+", page.evaluate(color)))
    assert page.evaluate(color) != shown and blue > 2 * red > 0 and blue > 1.5 * green
    page.evaluate(CHECKS)
    assert page.evaluate("contrasts()")[0][0] >= 4.5


LONG = "60 demos of the run /" + "folder_of_a_long_path_" * 15
IN_VIEW = """(() => {
  const dialog = document.getElementById("ask");
  const boxes = [...dialog.querySelectorAll("p:not([hidden]), button"), dialog].map((each) => each.getBoundingClientRect());
  const isSeen = (box) => box.left >= 0 && box.right <= innerWidth && box.bottom <= innerHeight;
  return dialog.scrollWidth <= dialog.clientWidth && boxes.every(isSeen);
})()"""


@pytest.mark.parametrize(("size", "is_phone"), [((1100, 640), False), ((390, 844), True)])
def test_question_before_something_is_deleted_is_complete_and_keeps_it_by_default(
    size: tuple[int, int], is_phone: bool, browser: Browser, recording: Recording
) -> None:
    page = opened(browser, recording, size, is_phone)
    page.evaluate(f"void studio.askToReplace({json.dumps(LONG)}).then((answer) => {{ window.answer = answer; }})")
    assert page.evaluate("document.getElementById('ask_text').textContent") == f"Replace? {LONG} will be deleted."
    assert page.evaluate(IN_VIEW)
    assert page.evaluate("document.activeElement.textContent") == "Cancel"
    page.press("Enter")
    page.wait_for("window.answer === false")


def test_touch_pad_moves_the_hand_until_the_finger_is_lifted(browser: Browser, recording: Recording) -> None:
    page = opened(browser, recording, (390, 780), is_phone=True)
    box = page.evaluate("document.getElementById('pad_move').getBoundingClientRect().toJSON()")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y - 40}])
    page.wait_for(f"{TAB}.step > 6")
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    wait_for_phase(page, "still")
    assert page.evaluate(f"{TAB}.input.device") == "touch"
    page.evaluate("document.getElementById('pad_slow').click()")
    page.evaluate(f"{TAB}.input.setPad({{ v: [1, 0, 0] }})")
    assert page.evaluate(f"Math.hypot(...{TAB}.input.command().v)") == pytest.approx(0.25, abs=1e-3)
    texts = page.evaluate("document.body.innerText")
    assert not re.findall(r"\((?:[A-Z]|Space|Esc|Enter|Tab)\)|W A S D", texts), "a touched page has no keys"
    assert [texts.count(name) for name in ("Pause", "Close", "2 s")] == [1, 1, 2], "each button is there once"


PATH = "studio.tabs.get('path')"
STATE = "document.getElementById('path_state').textContent"
FAILING = "print('ConfigError: no'); raise SystemExit(2)"


@pytest.mark.parametrize(("size", "is_phone"), [((1100, 640), False), ((390, 780), True)])
def test_path_starts_a_step_by_keyboard_and_shows_its_failure(
    size: tuple[int, int], is_phone: bool, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "words", lambda verb: (sys.executable, "-c", FAILING, verb))
    folder = StudioFolder(tmp_path)
    folder.raw.touch()
    path = PathTab(PathFiles(folder, "desktop_organizer"), StepRunner(folder, lambda output: output.strip()))
    path.recorded = lambda: Recorded((0,), 1, True)
    with Recording(tmp_path / "other.hdf5", other_tabs=[path]) as recording, path:
        page = opened(browser, recording, size, is_phone)
        page.wait_for(f"{PATH}.steps.length")
        assert page.evaluate("document.querySelector('[aria-current=step]').textContent") == "○ Annotate"
        page.evaluate("document.querySelector('[data-step=mark]').focus()")
        page.press("Enter")
        page.wait_for("document.activeElement.id === 'path_start'")
        page.press("KeyW")
        page.press("Enter")
        page.wait_for(f"{STATE}.startsWith('failed')")
        assert page.evaluate(STATE) == "failed. ConfigError: no"
        assert page.evaluate("document.getElementById('path_output').textContent") == "ConfigError: no"
        assert " annotate input_file=" in page.evaluate("document.getElementById('path_command').textContent")
        page.evaluate(CHECKS)
        contrasts = page.evaluate("contrasts()")
        assert contrasts[0][0] >= 4.5, contrasts[:5]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.press("Escape")
        assert page.evaluate("document.getElementById('path_card').hidden")
        assert page.evaluate("overlaps()") == []
        assert page.evaluate(f"{TAB}.step") == 0, "keys in the card do not move the robot"
        page.evaluate("document.querySelector('[data-step=generate]').click()")
        fault = "Not yet: annotated.hdf5 does not exist; do the step Annotate first."
        assert page.evaluate(seen("#path_fault")) == fault
        assert page.evaluate(seen("#path_earlier")) == "Go to the step Annotate"
        page.press("Enter")
        assert page.evaluate(seen("#path_card h2")) == "Annotate"
        page.evaluate(f"{PATH}.open('record')")
        assert page.evaluate(seen("#path_few")).startswith("About ten demos with different starts are advised")
        page.evaluate(f"{PATH}.open('')")
        page.evaluate("studio.tabs.set('mark', { isComplete: false, refresh() {} })")
        page.evaluate("document.querySelector('[data-step=mark]').click()")
        assert page.evaluate("document.activeElement.id") == "path_show", "demos without marks are marked first"
        assert (
            page.evaluate("document.querySelector('#path_card .primary:not([hidden])').textContent") == "Show the tab Mark"
        )
        assert page.evaluate(f"{PATH}.next().text") == "Next: mark the demos"
        page.evaluate(f"studio.select = (name) => {{ window.selected = name; }}, {PATH}.nextStep = 'mark'")
        page.evaluate(f"{PATH}.nextButton.click()")
        assert page.evaluate(f"[window.selected, {PATH}.opened]") == ["mark", ""], "the text of the button says so"
        assert not page.problems


CHECKING = """import pathlib, time
while not pathlib.Path("{go}").exists():
    time.sleep(0.02)
print("note pauses")
print("0 errors, 0 warnings, 1 note: ready to generate")
"""
COMMAND = "document.getElementById('path_command').textContent"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A picture (PNG) of one pixel."""
DONE = f"""(() => {{
  const card = {TAB}.done;
  card.update({{ phase: "done", num_wanted: 1, demos: [1], reason: "", next_command: "" }}, true);
  return card.step.hidden ? "" : card.step.textContent;
}})()"""
"""Button of the card at the end of a recording."""


def click(page: Page, selector: str) -> None:
    page.evaluate(f"document.querySelector({json.dumps(selector)}).click()")


@pytest.fixture
def checking(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Page, Recording, Path]]:
    """Page of a session with annotated demos, its recording, and the file that ends each check."""
    go = tmp_path / "go"
    monkeypatch.setattr(program, "words", lambda verb: (sys.executable, "-c", CHECKING.format(go=go), verb))
    folder = StudioFolder(tmp_path)
    folder.raw.touch()
    folder.check_picture.write_bytes(base64.b64decode(PIXEL))
    with h5py.File(folder.annotated, "w") as file:
        file.create_dataset("data/demo_0/actions", data=[[0.0]])
    path = PathTab(PathFiles(folder, "desktop_organizer"), StepRunner(folder, lambda output: output.strip()))
    path.recorded = lambda: Recorded((0,), 1, True)
    watch = WatchTab(tmp_path, mimic.load_task("desktop_organizer"))
    with watch, Recording(tmp_path / "other.hdf5", other_tabs=[watch, path]) as recording, path:
        page = opened(browser, recording, (900, 560))
        yield page, recording, go
        assert not page.problems


def test_path_shows_a_running_check_its_result_and_the_next_step(checking: tuple[Page, Recording, Path]) -> None:
    page, _, go = checking
    assert page.evaluate(DONE) == "Next: check the demos (Enter)", "the demos are marked already"
    click(page, "[data-step=check]")
    click(page, "#path_start")
    page.wait_for(f"/^running for \\d+ s/.test({seen('#path_state')}) && {seen('#path_progress')} !== undefined")
    go.touch()
    page.wait_for(f"{seen('#path_next')} === 'Next: generate demos'")
    page.wait_for("document.activeElement.id === 'path_next'")
    assert page.evaluate(seen("#path_output")).splitlines()[0] == "note pauses"
    assert page.evaluate(seen("#path_verdict")).startswith("Ready to generate.")
    links = "[...document.querySelectorAll('#path_shown a')].map((each) => each.ariaLabel ?? each.textContent)"
    assert page.evaluate(links) == ["Open check.png at full size"] * 2
    assert page.evaluate("document.querySelector('#path_shown img').clientWidth") >= 660, "its text can be read"
    assert page.evaluate(seen("[data-step=check]")) == "✓ Check · ready"
    page.press("Enter")
    assert page.evaluate(seen("#path_count_fault")) is None
    for text in ("0", "-5", "2.5", "1e9", ""):
        page.evaluate("document.getElementById('path_count').value = ''")
        page.evaluate("document.getElementById('path_count').select()")
        page.call("Input.insertText", text=text)
        if not text:
            page.evaluate("document.getElementById('path_count').dispatchEvent(new Event('input'))")
        page.wait_for("document.getElementById('path_start').disabled")
        rule = "The number of demos must be a whole number from 1 to 1,000,000."
        assert page.evaluate(seen("#path_count_fault")) == rule
    page.evaluate("document.getElementById('path_count').select()")
    page.call("Input.insertText", text="73")
    page.wait_for(f"{COMMAND}.includes('num_trials=73') && !document.getElementById('path_start').disabled")
    assert page.evaluate(seen("#path_count_fault")) is None
    assert page.evaluate("document.activeElement.id") == "path_count", "while the number is typed"
    click(page, "#path_for_policy")
    page.wait_for(f"{COMMAND}.includes('num_trials=73 generation=policy')")
    click(page, "#path_line summary")
    assert page.evaluate(seen("#path_line .copy")) == "Copy"


def test_path_is_taken_with_enter_from_the_end_of_the_recording(checking: tuple[Page, Recording, Path]) -> None:
    page, _, _ = checking
    ended = {"phase": "done", "demos": [{"num_steps": 9, "start": {}}], "num_wanted": 1, "reason": "1 demo is in raw.hdf5"}
    page.evaluate(f"{TAB}.state = {{...{TAB}.state, ...{json.dumps(ended)}}}, {TAB}.refresh()")
    assert page.evaluate(seen("#done_next")) == "Next: check the demos (Enter)"
    page.press("Enter")
    assert page.evaluate(seen("#path_card h2")) == "Check"
    assert page.evaluate(seen("#done")) is None, "one card at a time"
    page.evaluate("document.getElementById('path_card').focus()")
    page.evaluate(f"{PATH}.startStep = () => {{ window.isStarted = true; }}")
    page.press("Enter")
    assert page.evaluate("window.isStarted")


def test_tab_that_is_clicked_closes_the_card_of_a_step_and_leaves_enter_to_the_page(
    checking: tuple[Page, Recording, Path],
) -> None:
    page, _, _ = checking
    ended = {"phase": "done", "demos": [{"num_steps": 9, "start": {}}], "num_wanted": 1, "reason": "1 demo is in raw.hdf5"}
    page.evaluate(f"{TAB}.state = {{...{TAB}.state, ...{json.dumps(ended)}}}, {TAB}.refresh()")
    click(page, "[data-step=generate]")
    for tab in ("watch", "record"):
        page.click(f"[data-tab={tab}]")
        assert page.evaluate("studio.shown") == tab
        assert page.evaluate(seen("#path_card h2")) is None
        assert page.evaluate("document.activeElement === document.body")
    page.press("Enter")
    assert page.evaluate(seen("#path_card h2")) == "Check"
    page.press("Escape")
    page.evaluate("document.querySelector('[data-tab=watch]').focus()")
    page.press("Enter")
    assert page.evaluate("[studio.shown, document.activeElement.dataset.tab]") == ["watch", "watch"], "by keyboard"


def test_reason_of_a_step_that_is_out_of_date_continues_its_sentence(checking: tuple[Page, Recording, Path]) -> None:
    page, _, _ = checking
    old = {"state": "old", "figure": "3 demos", "reason": "the marks of demo_0 have changed since"}
    page.evaluate(f"{PATH}.open('mark'), {PATH}.refreshCard({{...{PATH}.steps[1], ...{json.dumps(old)}}})")
    assert page.evaluate(STATE) == "out of date: 3 demos; the marks of demo_0 have changed since"


def test_demos_for_a_policy_are_a_thousand_unless_a_number_is_typed(checking: tuple[Page, Recording, Path]) -> None:
    page, _, _ = checking
    page.evaluate("studio.order({ tab: 'path', do: 'count', count: 150 })")
    page.wait_for("document.getElementById('path_count').value === '150'")
    click(page, "[data-step=generate]")
    click(page, "#path_for_policy")
    page.wait_for(f"{COMMAND}.includes('num_trials=1000 generation=policy')")
    click(page, "#path_for_policy")
    page.wait_for(f"{COMMAND}.includes('num_trials=100')")


def test_end_without_a_demo_offers_to_record_with_enter_and_escape_asks_without_saving(
    checking: tuple[Page, Recording, Path],
) -> None:
    page, _, _ = checking
    page.press("Escape")
    page.wait_for("document.getElementById('ask').open")
    asked = "['ask_text', 'ask_yes'].map((id) => document.getElementById(id).textContent)"
    assert page.evaluate(asked) == ["No demo is kept yet. End the recording without a demo?", "End"]
    page.press("Escape")
    page.wait_for("!document.getElementById('ask').open")
    ended = {"phase": "done", "demos": [], "num_wanted": 3, "can_continue": True, "reason": "no demo was recorded"}
    page.evaluate(f"{TAB}.state = {{...{TAB}.state, ...{json.dumps(ended)}}}, {TAB}.refresh()")
    assert page.evaluate(seen("#more")) == "Record the missing 3 (Enter)"
    page.evaluate(f"{TAB}.studio.order = (message) => {{ window.ordered = message; }}")
    page.press("Enter")
    assert page.evaluate("window.ordered") == {"tab": "record", "do": "more", "count": 3}
    few = {"demos": [{"num_steps": 9, "start": {}}], "num_wanted": 1}
    page.evaluate(f"{TAB}.state = {{...{TAB}.state, ...{json.dumps(few)}}}, {TAB}.refresh()")
    assert page.evaluate(seen("#done_few")).startswith("About ten demos with different starts are advised")
    ten = {"demos": [{"num_steps": 9, "start": {}}] * 10}
    page.evaluate(f"{TAB}.state = {{...{TAB}.state, ...{json.dumps(ten)}}}, {TAB}.refresh()")
    assert page.evaluate(seen("#done_few")) is None


RUNNING = """(() => {
  const [path, watch] = ["path", "watch"].map((name) => studio.tabs.get(name));
  const texts = { figure: "7 of 9 demos, 4 s left", short: "7 of 9 demos" };
  const step = { ...path.steps.find(({ name }) => name === "generate"), state: "running", ...texts };
  path.steps = path.steps.map((each) => (each.name === "generate" ? step : each));
  watch.run = { ...watch.run, state: "in progress", successes: 6, target: 9, target_unit: "demos" };
  const shown = [path.shortOf(step), path.figureOf(step)];
  studio.select("record");
  return [...shown, path.figureOf(step), path.shortOf(step), path.shortOf({ ...step, name: "mark" })];
})()"""


def test_strip_counts_what_the_tab_watch_counts(checking: tuple[Page, Recording, Path]) -> None:
    page, _, _ = checking
    click(page, "[data-tab=watch]")
    page.wait_for("studio.tabs.get('watch').run")
    strip, card, later = "6 of 9 demos", "6 of 9 demos, 4 s left", "7 of 9 demos"
    assert page.evaluate(RUNNING) == [strip, card, f"{later}, 4 s left", later, later]


def test_end_of_a_step_leads_to_the_next_one_on_each_tab(checking: tuple[Page, Recording, Path]) -> None:
    page, recording, go = checking
    click(page, "[data-tab=watch]")
    page.wait_for(seen("#run_generate"))
    assert page.evaluate(seen("#run_command")) is None, "the page generates without a terminal"
    assert page.evaluate(seen("#watch_start h2")) == "No run yet"
    page.evaluate("studio.order({ tab: 'path', do: 'start', step: 'check' })")
    page.wait_for(f"{PATH}.running.includes('check')")
    go.touch()
    page.wait_for(f"{seen('#news_text')} === 'The demos are checked: 0 errors, 0 warnings, 1 note.'")
    path = recording.other_tabs[-1]
    assert isinstance(path, PathTab)
    path.recorded = lambda: Recorded((0,), 5, False)
    page.wait_for(f"{seen('#news')} === undefined")
    path.recorded = lambda: Recorded((0,), 1, True)
    page.wait_for(f"{seen('#news_text')} === 'The recording has ended: 1 of 1 demo.'")
    click(page, "#news_next")
    assert page.evaluate(seen("#path_card h2")) == "Generate"
    assert page.evaluate(seen("#news")) is None


def test_tab_watch_shows_that_a_run_starts_and_for_how_long(checking: tuple[Page, Recording, Path]) -> None:
    page, _, go = checking
    click(page, "[data-tab=watch]")
    page.evaluate("studio.order({ tab: 'path', do: 'start', step: 'generate' })")
    page.wait_for(f"/^The generation starts · \\d+ s$/.test({seen('#watch_start h2')})")
    assert page.evaluate(seen("#run_state")) == "● starting"
    assert page.evaluate("[...document.querySelectorAll('#panel h2')].filter((each) => each.checkVisibility()).length") == 1
    go.touch()
    page.wait_for(f"{PATH}.running.length === 0")


def test_control_is_asked_for_on_each_tab(browser: Browser, checking: tuple[Page, Recording, Path]) -> None:
    first, recording, _ = checking
    second = browser.page(recording.url, *SMALL)
    second.wait_for(f"{seen('#take')} === 'Ask for control'")
    click(second, "[data-tab=watch]")
    assert second.evaluate(seen("#take")) == "Ask for control"
    click(second, "#take")
    second.wait_for(f"{seen('#control')}.startsWith('asked for control')")
    first.wait_for("document.getElementById('ask').open")
    click(first, "#ask_yes")
    second.wait_for("studio.hasControl")


def test_page_without_control_names_the_button_that_takes_control(browser: Browser, recording: Recording) -> None:
    page = opened(browser, recording)
    for is_held, button, pill in ((True, "Ask for control", "another"), (False, "Take control", "no")):
        page.evaluate(f"studio.setControl(false, {json.dumps(is_held)})")
        assert page.evaluate(seen("#hint")) == f"You are watching. {button} to record."
        assert page.evaluate(seen("#take")) == button
        assert page.evaluate(seen("#control")) == f"watching: {pill} page has control"


HANDS = "studio.scene.hands.map(({ frame }) => frame.matrixWorld.elements[14])"


def test_second_arm_or_both_are_selected_and_named(browser: Browser, tmp_path: Path) -> None:
    with Recording(tmp_path / "raw.hdf5", task="two_arm_lift_tray") as recording:
        page = opened(browser, recording, (390, 780), is_phone=True)
        assert page.evaluate("document.getElementById('wrist_label').textContent") == "wrist: left"
        page.press("Tab")
        page.evaluate("document.getElementById('pad_grip').click()")
        page.wait_for(f"{TAB}.state.grippers[1] === -1 && {TAB}.step > 0")
        assert page.evaluate(f"{TAB}.state.grippers[0]") == 1
        names = "['wrist_label', 'pad_hand'].map((id) => document.getElementById(id).textContent)"
        assert page.evaluate(names) == ["wrist: right", "right"]
        page.evaluate("document.getElementById('pad_hand').click()")
        assert page.evaluate(names) == ["wrist: left", "both"]
        before = page.evaluate(HANDS)
        page.key("down", "KeyQ")
        page.wait_for(f"{HANDS}.every((height, index) => height > {json.dumps(before)}[index] + 0.03)")
        page.key("up", "KeyQ")
        page.press("Space")
        page.wait_for(f"{TAB}.state.grippers.every((grip) => grip === -1)")
        page.press("Tab")
        assert page.evaluate(names) == ["wrist: left", "left"]
        assert not page.problems


WITHOUT_WEBGL = "HTMLCanvasElement.prototype.getContext = () => null;"


def test_page_without_webgl_says_so_and_records(browser: Browser, recording: Recording) -> None:
    page = browser.page("about:blank", *SMALL)
    page.call("Page.addScriptToEvaluateOnNewDocument", source=WITHOUT_WEBGL)
    page.call("Page.navigate", url=recording.url)
    page.wait_for(READY)
    assert "WebGL 2 is not available" in page.evaluate("document.body.innerText")
    banner, main = (
        page.evaluate(f"document.querySelector('{each}').getBoundingClientRect().toJSON()")
        for each in ("#no_picture", "main")
    )
    assert 0 < banner["bottom"] <= main["top"], "a row of its own, which no card covers"
    for key in ("KeyF", "KeyH", "KeyJ", "Digit1", "Space"):
        page.press(key)
    page.key("down", "KeyQ")
    page.wait_for(f"{TAB}.step > 10")
    page.key("up", "KeyQ")
    wait_for_phase(page, "still")
    assert page.evaluate(f"{TAB}.input.grip[0]") == -1
    assert not page.problems


def change(page: Page, reached: list[str], **state: Any) -> None:
    """Show a state that the server could send."""
    page.evaluate(f"{TAB}.receive({{ event: 'reached', names: {json.dumps(reached)} }})")
    page.evaluate(f"{TAB}.state = {{...{TAB}.state, ...{json.dumps(state)}}}, {TAB}.refresh()")


PRIMARY = "[...document.querySelectorAll('#review .primary')].map((each) => each.textContent)"


def test_signal_that_was_not_reached_is_named_while_recording_and_the_demo_is_not_kept_by_default(
    browser: Browser, recording: Recording
) -> None:
    page = opened(browser, recording, (1100, 640))
    assert page.evaluate(seen("#lamps_legend")) == "○ not yet · ◐ was reached · ● now"
    assert page.evaluate(seen("#hint")).startswith("Move the hand")
    change(page, ["reach", "grasp"], phase="recording")
    assert page.evaluate(seen("#hint")) is None
    page.evaluate(f"{TAB}.solved = 3")
    change(page, ["grasp", "reach", "solved"], phase="recording")
    hint = page.evaluate(seen("#hint"))
    assert hint.startswith("Solved, but the signal “lift” was not reached ("), hint
    assert hint.endswith("annotation needs it. Go back (B) and do this part again.")
    lamps = "[...document.querySelectorAll('#lamps li')].map((each) => [each.textContent, each.dataset.state])"
    assert ["○ lift", "warn"] in page.evaluate(lamps)
    change(page, ["grasp", "lift", "reach", "solved"], phase="recording")
    assert page.evaluate(seen("#hint")) == "Solved: hold still."
    page.evaluate(f"{TAB}.studio.order = (message) => {{ window.ordered = message.do; }}")
    change(page, ["grasp", "reach", "solved"], phase="review", has_doctor=True, findings=None)
    assert "error: the signal “lift” was not reached" in page.evaluate(seen("#review"))
    assert page.evaluate(PRIMARY) == ["Same scene again (Enter)"]
    for key, order in (("Enter", "again"), ("KeyK", "keep"), ("KeyR", "discard")):
        page.press(key)
        assert page.evaluate("window.ordered") == order
    change(page, ["grasp", "lift", "reach", "solved"], phase="review", findings=None)
    assert page.evaluate(PRIMARY) == ["Keep (Enter)"]
    page.press("Enter")
    assert page.evaluate("window.ordered") == "keep"
    found = {"frame": None, "last_frame": None, "found": "a fault (of two; parts)", "expected": "", "remedy": "do it again"}
    change(page, ["grasp", "lift", "reach", "solved"], phase="review", findings=[{**found, "level": "error"}])
    assert page.evaluate(PRIMARY) == ["Same scene again (Enter)"]
    assert "error: a fault (of two; parts). Remedy: do it again" in page.evaluate(seen("#review"))
    change(page, ["grasp", "lift", "reach", "solved"], phase="review", findings=[{**found, "level": "warning"}])
    assert page.evaluate(PRIMARY) == ["Keep (Enter)"]
    assert not page.problems


def test_outcome_of_a_discarded_attempt_is_shown_until_the_next_one_begins(browser: Browser, recording: Recording) -> None:
    page = opened(browser, recording)
    for outcome, has_mark in (("the last attempt was discarded", ""), ("demo 1 of 2 is saved", "✓ ")):
        page.evaluate(f"{TAB}.step = 0")
        change(page, [], phase="recording", outcome=outcome)
        shown = f"{has_mark}{outcome[0].upper()}{outcome[1:]}"
        assert page.evaluate(seen("#record_news")) == shown
        page.evaluate(f"{TAB}.step = 1, {TAB}.refreshStep()")
        assert page.evaluate(seen("#record_news")) == (shown if has_mark else None)


def test_closed_list_of_devices_is_no_fault(browser: Browser, recording: Recording) -> None:
    page = opened(browser, recording)
    for result in ("Promise.resolve('')", "Promise.reject(new DOMException('No device', 'NotFoundError'))"):
        page.evaluate(f"{TAB}.said = '', {TAB}.input.spaceMouse.connect = () => {result}, {TAB}.connectSpaceMouse()")
        assert page.evaluate(seen("#hint")).startswith("No SpaceMouse was chosen; all other inputs work.")
        assert page.evaluate(seen("#notice")) is None
    page.evaluate(f"{TAB}.input.spaceMouse.connect = () => Promise.reject(new Error('in use')), {TAB}.connectSpaceMouse()")
    assert page.evaluate(seen("#notice")) == "The SpaceMouse cannot be used: in use"


SPACE_MOUSE = f"""(() => {{
  const {{ input }} = {TAB};
  const mouse = input.spaceMouse;
  const report = (number, ...values) => mouse.read(number, new DataView(Int16Array.from(values).buffer));
  report(1, 350, 0, 0);
  const right = [...input.pads.v];
  report(1, 0, -350, -175, 0, 0, 350);
  const forward = [...input.pads.v], turned = [...input.pads.w];
  report(2, 30, -30, 0);
  const rest = [...input.pads.w];
  report(1, 0, 0, 0);
  const grip = input.grip[0];
  report(3, 1), report(3, 1);
  const closed = input.grip[0];
  report(3, 0), report(3, 1);
  return {{ right, forward, turned, rest, device: input.device, grips: [grip, closed, input.grip[0]] }};
}})()"""


def test_reports_of_a_space_mouse_move_the_hand(browser: Browser, recording: Recording) -> None:
    found = opened(browser, recording).evaluate(SPACE_MOUSE)
    assert found["device"] == "spacemouse"
    assert found["right"] == pytest.approx([1, 0, 0])
    assert found["forward"] == pytest.approx([0, 1, 0.5])
    assert found["turned"] == pytest.approx([0, 0, -1])
    assert found["rest"] == pytest.approx([0, 0, 0]), "the dead zone"
    assert found["grips"] == [1, -1, 1]
