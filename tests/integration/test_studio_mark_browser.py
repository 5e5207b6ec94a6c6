"""The tab Mark in Chromium, with real keys, clicks and drags."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isaaclab_mimic_ext.datasets.marks import read_marks
from isaaclab_mimic_ext.envs.factory import config_of
from isaaclab_mimic_ext.studio.mark_jobs import MarkSettings
from isaaclab_mimic_ext.studio.mark_session import make_marking
from tests import requires
from tests.browser import PROGRAM, Browser, Page
from tests.studio_marking import MarkPage, make_task_env, record_demos
from tests.studio_recording import Recording

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    requires.mark("browser", PROGRAM is not None, "chromium not found"),
]

TAB = "studio.tabs.get('mark')"
READY = f"window.studio && studio.hasControl && {TAB}?.demo?.replay === 'done' && {TAB}.player.poses.size"
SMALL = (480, 320)
SIGNALS = ("reach", "grasp", "lift", "place")
STATE = "document.querySelector('[data-demo=demo_0] .state').textContent"
HINT = "document.getElementById('mark_hint').textContent"


@pytest.fixture(scope="module")
def marking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MarkPage]:
    with MarkPage(record_demos(tmp_path_factory.mktemp("marking") / "raw.hdf5")) as marking:
        yield marking


@pytest.fixture
def page(browser: Browser, marking: MarkPage) -> Iterator[Page]:
    marking.settings.marks_file.unlink(missing_ok=True)
    marking.marking.file.read(marking.marking.demos.demos)
    page = browser.page(marking.url, *SMALL)
    page.wait_for(READY)
    yield page
    assert not page.problems
    browser.close_pages()


def term_of(page: Page, demo: str = "demo_0") -> dict[str, int]:
    return dict(page.evaluate(f"{TAB}.marks.of({json.dumps(demo)}).term"))


def wait_for_marks(page: Page, marks: dict[str, int]) -> None:
    wanted = json.dumps(sorted(marks.items()))
    page.wait_for(
        f"JSON.stringify(Object.entries({TAB}.marks.of('demo_0').term).sort()) === {json.dumps(wanted.replace(' ', ''))}"
    )


def test_marks_by_clicks_and_keys_with_undo_and_redo(page: Page, marking: MarkPage) -> None:
    page.press("ArrowRight")
    for _ in range(3):
        page.evaluate("window.dispatchEvent(new KeyboardEvent('keydown', {code: 'ArrowRight', shiftKey: true}))")
    page.click("[data-signal='term reach']")
    wait_for_marks(page, {"reach": 31})
    page.wait_for(f"{STATE} === '1 of 3'")
    page.press("End")
    page.press("Digit2")
    page.wait_for("document.getElementById('notice').textContent.includes(\"the end of 'grasp' must be at a step from\")")
    page.evaluate(f"{TAB}.player.seek(60)")
    page.press("Digit2")
    wait_for_marks(page, {"reach": 31, "grasp": 60})
    page.click("#undo")
    wait_for_marks(page, {"reach": 31})
    page.evaluate("window.dispatchEvent(new KeyboardEvent('keydown', {code: 'KeyZ', ctrlKey: true}))")
    wait_for_marks(page, {})
    page.click("#redo")
    wait_for_marks(page, {"reach": 31})
    page.press("KeyA")
    page.wait_for(f"{TAB}.countOf('demo_0') === 3 && {STATE} === '✓ marked'")
    assert read_marks(marking.settings.marks_file, ["demo_0"], SIGNALS)["demo_0"].term == term_of(page)
    assert page.evaluate("document.getElementById('accept').disabled"), "nothing is left to accept"
    assert page.evaluate("[...document.querySelectorAll('.segment')].every((each) => each.scrollWidth <= each.clientWidth)")
    page.press("KeyN")
    page.wait_for(f"{TAB}.name === 'demo_1' && {TAB}.demo?.replay === 'done'")
    page.press("KeyL")
    page.wait_for("document.querySelector('[data-demo=demo_1]').textContent.includes('left out')")
    page.evaluate(f"{TAB}.undo()")
    page.wait_for("!document.querySelector('[data-demo=demo_1]').textContent.includes('left out')")


def test_enter_does_the_next_thing_until_the_file_is_written(page: Page, marking: MarkPage) -> None:
    for number, demo in enumerate(("demo_0", "demo_1")):
        page.wait_for(f"{TAB}.name === '{demo}' && {TAB}.demo?.replay === 'done'")
        page.press("Enter")
        page.wait_for(f"{TAB}.countOf('{demo}') === 3")
        at = page.evaluate("document.querySelector('#mark_list .at').textContent")
        step = term_of(page, demo)["reach"]
        assert at == f"{step * page.evaluate(f'{TAB}.state.step_dt'):.1f} s · step {step}"
        assert page.evaluate("document.getElementById('write').checkVisibility()") is (number == 1)
        if number == 0:
            page.press("Enter")
    asked = page.evaluate(f"{TAB}.annotate = () => {{ window.isWritten = true; }}, {TAB}.doNext(), window.isWritten")
    assert asked


def test_page_states_that_the_file_is_written_and_asks_before_it_replaces_one(page: Page) -> None:
    page.evaluate(f"window.before = {TAB}.state")
    page.evaluate(f"{TAB}.receive({{...before, annotation: {{...before.annotation, state: 'running'}}}})")
    assert page.evaluate(HINT).startswith("annotated.hdf5 is being written")
    assert page.evaluate("document.getElementById('annotate').textContent") == "Writing …"
    page.evaluate(f"{TAB}.receive({{...before, output_exists: true}}), void {TAB}.annotate()")
    page.wait_for("document.getElementById('ask').open")
    question = page.evaluate("document.getElementById('ask_text').textContent")
    assert question.startswith("Replace? The file ") and question.endswith("annotated.hdf5 will be deleted.")
    assert page.evaluate("document.activeElement.id") == "ask_no"
    page.press("Escape")
    page.wait_for("!document.getElementById('ask').open")
    page.evaluate(f"{TAB}.receive(before)")


def test_suggestions_wanted_during_a_replay_are_accepted_at_its_end(page: Page) -> None:
    page.evaluate(f"window.done = {{...{TAB}.demo}}")
    page.evaluate(f"{TAB}.receive({{...done, replay: 'running', suggestions: {{term: {{}}, start: {{}}}}}})")
    page.press("KeyA")
    assert page.evaluate(HINT) == "The demo is being replayed. Then its suggestions are accepted."
    page.evaluate(f"{TAB}.receive(done)")
    page.wait_for(f"{TAB}.countOf('demo_0') === 3")


def test_enter_after_a_click_on_a_demo_does_the_next_thing(page: Page) -> None:
    page.evaluate("document.querySelector('[data-demo=demo_1]').scrollIntoView()")
    page.click("[data-demo=demo_1]")
    page.wait_for(f"{TAB}.name === 'demo_1' && {TAB}.demo?.replay === 'done'")
    page.press("Enter")
    page.wait_for(f"{TAB}.countOf('demo_1') === 3")


BLUE = "[...document.querySelectorAll('.primary')].filter((each) => each.checkVisibility()).map(({ id }) => id)"


def test_last_demo_is_not_left_out_and_only_the_button_of_enter_is_blue(page: Page) -> None:
    leave = "document.getElementById('leave_out').textContent"
    assert page.evaluate(leave) == "Leave out this demo (L)"
    page.press("KeyL")
    page.wait_for(f"{leave} === 'Use this demo (L)'")
    assert page.evaluate(BLUE) == ["next_demo"]
    page.press("Enter")
    page.wait_for(f"{TAB}.name === 'demo_1' && {TAB}.demo?.replay === 'done'")
    page.press("KeyL")
    page.wait_for(f"{TAB}.isAllLeftOut")
    page.wait_for(f"{HINT}.startsWith('All demos are left out. Use at least one')")
    assert page.evaluate("document.getElementById('annotate').disabled")
    assert page.evaluate("document.getElementById('write_plan').textContent").startswith("All demos are left out")
    assert page.evaluate(BLUE) == ["leave_out"]
    page.press("Enter")
    page.wait_for(f"!{TAB}.isAllLeftOut && !document.getElementById('annotate').disabled")
    page.press("Enter")
    page.wait_for(f"{TAB}.isComplete")
    assert page.evaluate(BLUE) == ["write"]


def test_page_without_a_connection_says_so(page: Page) -> None:
    page.evaluate("studio.connection.isOpen = false, studio.closed()")
    assert page.evaluate(HINT) == "There is no connection to the studio."


def test_suggestions_wanted_before_a_demo_is_loaded_are_accepted(page: Page) -> None:
    page.evaluate(f"window.done = {{...{TAB}.demo}}, {TAB}.demos.delete('demo_0'), {TAB}.refresh()")
    assert page.evaluate(HINT) == "The demo is being loaded."
    page.press("KeyA")
    assert page.evaluate(HINT) == "The demo is being loaded. Then its suggestions are accepted."
    page.evaluate(f"{TAB}.receive(done)")
    page.wait_for(f"{TAB}.countOf('demo_0') === 3")


def test_key_without_effect_states_the_reason(page: Page) -> None:
    for key, words in (
        ("Digit4", "place ends with the demo"),
        ("Digit9", "4 subtasks"),
        ("Delete", "No mark"),
        ("KeyP", "first"),
    ):
        page.press(key)
        assert words in page.evaluate(HINT)
    page.press("ArrowRight")
    assert "suggestions" in page.evaluate(HINT)


def test_demo_with_other_actions_is_read_again(page: Page) -> None:
    """It may have as many steps as the demo before."""
    demos = f"{TAB}.state.demos.map((demo) => ({{...demo, actions: 'sha256:0'}}))"
    page.evaluate(f"{TAB}.isShown = false")
    page.evaluate(f"{TAB}.takeOver({{...{TAB}.state, demos: {demos}}})")
    assert page.evaluate(f"{TAB}.demos.size === 0 && {TAB}.player.poses.size === 0")


HANDS = {"left": ("grasp_left", "lift", "hand_over", None), "right": ("grasp_right", "lift", "take", "hand_over")}
"""Signals of the subtasks of two hands. The last subtask ends with the demo."""


def test_boundary_that_hands_share_is_one_mark_with_one_color(page: Page) -> None:
    tracks = [
        {
            "eef": eef,
            "subtasks": [{"signal": name} for name in names],
            "signals": [{"kind": "term", "name": name} for name in names[:-1]],
        }
        for eef, names in HANDS.items()
    ]
    page.evaluate(f"window.tracks = {json.dumps(tracks)}")
    signals = page.evaluate("import('/static/mark_hints.js').then(({uniqueSignals}) => uniqueSignals(tracks))")
    hands = {signal["name"]: signal["eefs"] for signal in signals}
    assert hands.pop("lift") == ["left", "right"]
    assert hands == {"grasp_left": ["left"], "hand_over": ["left"], "grasp_right": ["right"], "take": ["right"]}
    colors = dict(page.evaluate("import('/static/timeline.js').then(({colorsOf}) => [...colorsOf(tracks)])"))
    for eef, names in HANDS.items():
        assert len({colors[name or f"{eef} 3"] for name in names}) == 4, "no color stands for two subtasks of a hand"


def test_empty_tab_leads_to_the_recording(browser: Browser, tmp_path: Path) -> None:
    env = make_task_env()
    settings = MarkSettings(tmp_path / "raw.hdf5", tmp_path / "annotated.hdf5", tmp_path / "marks.yaml", config_of(env))
    marking = make_marking(settings, env, None)
    with Recording(tmp_path / "raw.hdf5", other_tabs=[marking.tab]) as recording:
        page = browser.page(recording.url, *SMALL)
        page.wait_for(f"window.studio && studio.hasControl && {TAB}?.state")
        page.evaluate("studio.select('mark')")
        assert page.evaluate("document.getElementById('mark_empty').innerText").startswith("No demo to mark yet")
        page.click("#to_record")
        assert page.evaluate("studio.shown") == "record"
        assert not page.problems
    browser.close_pages()


EDGE = "document.querySelector(\"[data-edge='term reach']\")"


def drag(page: Page, to: float) -> None:
    """Drag the edge of 'reach' to a step."""
    box = page.evaluate(f"{EDGE}.getBoundingClientRect().toJSON()")
    rows = page.evaluate("document.querySelector('.tracks').getBoundingClientRect().toJSON()")
    y = box["y"] + 10
    x = rows["x"] + rows["width"] * to / page.evaluate(f"{TAB}.timeline.frames")
    places = [("mousePressed", box["x"] + box["width"] / 2), ("mouseMoved", x), ("mouseReleased", x)]
    for kind, at in places:
        page.call("Input.dispatchMouseEvent", type=kind, x=at, y=y, button="left", buttons=1, clickCount=1)


def test_dragged_edge_snaps_to_the_signal_of_the_task_and_moves_with_arrow_keys(page: Page) -> None:
    page.set_size(900, 420)
    page.evaluate(f"{TAB}.player.seek(30)")
    page.press("Digit1")
    wait_for_marks(page, {"reach": 30})
    suggestion = page.evaluate(f"{TAB}.demo.suggestions.term.reach")
    drag(page, suggestion - 20)
    wait_for_marks(page, {"reach": suggestion - 20})
    drag(page, suggestion + 1.2)
    wait_for_marks(page, {"reach": suggestion})
    assert page.evaluate(f"{TAB}.player.frame") == suggestion, "the scene shows the step of the edge"
    page.evaluate(f"{EDGE}.focus()")
    page.evaluate(f"{EDGE}.dispatchEvent(new KeyboardEvent('keydown', {{key: 'ArrowLeft', bubbles: true}}))")
    wait_for_marks(page, {"reach": suggestion - 1})
    assert page.evaluate("document.activeElement.dataset.edge") == "term reach"


CHECKS = (Path(__file__).parents[1] / "page_checks.js").read_text()


def test_tab_is_readable_in_all_sizes(page: Page) -> None:
    page.evaluate(CHECKS)
    for size, is_phone, height in (((1100, 640), False, 240), ((390, 780), True, 200), ((780, 390), True, 130)):
        page.set_size(*size, is_phone)
        page.wait_for(f"innerWidth === {size[0]}")
        contrasts: list[Any] = page.evaluate("contrasts()")
        assert len(contrasts) > 20
        assert contrasts[0][0] >= 4.5, (size, contrasts[:5])
        graphics = page.evaluate("graphicContrasts()")
        assert any(".segment" in name for _, name in graphics) and graphics[0][0] >= 3.0, (size, graphics[:3])
        assert page.evaluate("overlaps()") == []
        page.evaluate(f"{TAB}.refresh()")
        assert ("(A)" in page.evaluate(HINT)) is not is_phone, "a touched page names no keys"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("document.getElementById('view').clientHeight") >= height, size
