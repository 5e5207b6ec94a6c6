"""The studio as a whole: a websocket client in Python acts as the person at the page."""

# N = 1 env

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest
from websockets.exceptions import InvalidStatus

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.studio.protocol import MAX_MESSAGES_PER_SECOND
from isaaclab_mimic_ext.studio.server import StudioServer
from tests.processes import HANG_S
from tests.studio_person import StudioPage, get, make_demo
from tests.studio_recording import Recording

ROOT = Path(__file__).resolve().parents[2]
REST = (0.0, 0.0, 0.0)
STUDIO = (sys.executable, "-m", "isaaclab_mimic_ext", "studio", "sim=kinematic", "port=0")


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    with Recording(tmp_path / "raw.hdf5") as recording:
        yield recording


def opened(recording: Recording, key: str = "first") -> StudioPage:
    page = StudioPage(recording.url, key)
    page.wait_for_phase("ready")
    page.wait_for(lambda: page.raw_frame)
    return page


def move(page: StudioPage, num_steps: int, grip: float = 1.0) -> None:
    """Move the hand up until the attempt has `num_steps` more steps, and release the keys."""
    page.command(grip=[grip])
    goal = page.frame.step + num_steps
    while page.frame.step < goal:
        page.command((0.0, 0.0, 0.3), grip=[grip])
        time.sleep(0.02)
    page.command(grip=[grip])
    page.wait_for_phase("still")


@pytest.mark.slow
def test_demos_of_a_person_at_the_page_annotate_and_load(tmp_path: Path) -> None:
    path = tmp_path / "raw.hdf5"
    with Recording(path) as recording:
        page = opened(recording)
        make_demo(page)
        page.wait_for(lambda: page.state["findings"] is not None)
        assert not [each for each in page.state["findings"] if each["level"] == "error"], page.state["findings"]
        assert page.order("keep") is None
        page.wait_for(lambda: len(page.state["demos"]) == 1 and page.state["phase"] == "ready")
        make_demo(page)
        page.order("keep")
        page.wait_for(lambda: recording.result is not None or page.is_closed)
    with h5py.File(path) as file:
        demo = file["data/demo_0"]
        assert demo.attrs["teleop_device"] == "browser"
        assert (demo.attrs["input_devices"], demo.attrs["num_rewinds"], demo.attrs["num_pauses"]) == ("keyboard", 0, 0)
        assert demo.attrs["num_samples"] == page.state["demos"][0]["num_steps"]
    task = mimic.load_task("desktop_organizer")
    env = mimic.make_env(task, "kinematic", num_envs=2)
    annotations = mimic.annotate(path, tmp_path / "annotated.hdf5", env)
    assert [annotation.rejection for annotation in annotations] == [None, None]


def test_page_is_complete_and_names_no_other_host(recording: Recording) -> None:
    cookie = StudioPage(recording.url).cookie
    answers = {path: get(recording.url, path, Cookie=cookie) for path in ("/", "/scene.json", "/tabs.json")}
    for path in sorted((ROOT / "isaaclab_mimic_ext/studio/static").rglob("*")):
        if path.is_file():
            address = f"/static/{path.relative_to(ROOT / 'isaaclab_mimic_ext/studio/static')}"
            answers[address] = get(recording.url, address, Cookie=cookie)
            if path.suffix in (".js", ".css", ".html") and path.parent.name != "vendor":
                hosts = set(re.findall(r"https?://[\w.]+", answers[address].text))  # type: ignore[attr-defined]
                assert hosts <= {"http://www.w3.org"}, address  # The name of SVG, which is not loaded.
    assert {answer.status for answer in answers.values()} == {200}
    for answer in answers.values():
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert json.loads(answers["/tabs.json"].text) == [{"name": "record", "title": "Record"}]  # type: ignore[attr-defined]


def test_time_stands_still_without_commands_and_frames_are_not_repeated(recording: Recording) -> None:
    page = opened(recording)
    move(page, 10)
    step, num_bytes = page.frame.step, page.num_bytes
    for _ in range(10):
        page.command()
        time.sleep(0.03)
    assert page.frame.step == step
    assert page.num_bytes - num_bytes < 1000, "nothing is sent while nothing changes"


def test_silent_page_pauses_a_moving_hand(recording: Recording) -> None:
    page = opened(recording)
    page.command()
    page.command((0.0, 0.0, 1.0))
    page.wait_for_phase("paused")
    assert "nothing arrived from the page for 0.3 s" in page.state["reason"]


def test_rewind_gives_back_state_and_gripper(recording: Recording) -> None:
    page = opened(recording)
    move(page, 30)
    before = page.raw_frame[32:]
    step = page.frame.step
    move(page, 30, grip=-1.0)
    assert page.order("go_to", step=step) is None
    page.wait_for_phase("paused")
    page.wait_for(lambda: page.frame.step == step)
    assert page.raw_frame[32:] == before
    assert page.state["grippers"] == [1.0]
    assert page.order("forward") is None
    page.wait_for(lambda: page.frame.step > step and page.state["grippers"] == [-1.0])


def test_second_page_watches_and_may_ask_for_control(recording: Recording) -> None:
    first, second = opened(recording), opened(recording, "second")
    assert first.control["control"]
    assert not second.control["control"]
    assert second.order("pause") == "record: another page has control; take control first"
    assert second.ask({"control": "give"}) == "control: another page has control; take control first"
    assert second.ask({"control": "take"}) is None
    first.wait_for(lambda: first.control["asked"])
    first.ask({"control": "refuse"})
    first.wait_for(lambda: not first.control["asked"])
    second.ask({"control": "take"})
    first.wait_for(lambda: first.control["asked"])
    first.ask({"control": "give"})
    second.wait_for(lambda: second.control["control"])
    first.wait_for(lambda: not first.control["control"])
    move(second, 5)
    first.wait_for(lambda: first.frame.step == second.frame.step)
    assert first.raw_frame == second.raw_frame


def test_waiting_page_gets_control_when_the_first_page_closes(recording: Recording) -> None:
    first, second = opened(recording), opened(recording, "second")
    second.ask({"control": "take"})
    first.close()
    second.wait_for(lambda: second.control["control"])


def test_attempt_continues_after_the_network_was_cut(recording: Recording) -> None:
    page = opened(recording)
    move(page, 10)
    page.command((0.0, 0.0, 1.0))
    time.sleep(0.2)
    page.cut()
    again = StudioPage(recording.url, "first")
    again.wait_for(lambda: again.state and again.raw_frame)
    again.wait_for_phase("paused", "still")
    assert again.control["control"]
    step = again.frame.step
    assert step >= 10
    move(again, 5)
    assert again.frame.step >= step + 5


def test_page_that_acknowledges_no_frame_gets_one_per_second(recording: Recording) -> None:
    watcher = opened(recording, "watcher")
    page = opened(recording, "second")
    watcher.ask({"control": "take"})
    page.acknowledges = False
    num_frames = 0
    last = page.raw_frame
    watcher.command()
    begin = time.monotonic()
    while watcher.frame.step <= 5 or time.monotonic() - begin < 0.4:  # A machine that is busy steps slowly.
        watcher.command((0.0, 0.0, 0.2))
        time.sleep(0.02)
        num_frames += page.raw_frame is not last
        last = page.raw_frame
    assert num_frames <= 2 + int(time.monotonic() - begin)


REFUSED_MESSAGES = [
    ('{"tab": "record", "id": 1', "message: is not JSON"),
    ('{"tab": "recrod", "id": 1}', "message.tab: unknown tab; choices: record (did you mean 'record'?)"),
    ('{"show": "watch", "id": 1}', "show: unknown tab; choices: record"),
    ('{"show": [], "id": 1}', "show: unknown tab; choices: record"),
    ('{"tab": {}, "id": 1}', "message.tab: unknown tab; choices: record"),
    ('{"show": "record", "id": 1e999}', "id: must be an integer from 0 to"),
    ('{"show": "record", "id": [[]]}', "id: must be an integer from 0 to"),
    ('{"tab": "record", "do": "save", "id": 1}', 'do: "save" is not valid; choices: new, pause, resume, rewind'),
    ('{"tab": "record", "do": "go_to", "step": -1, "id": 1}', "step: must be an integer from 0 to"),
    ('{"tab": "record", "do": "go_to", "id": 1}', "step: missing; go_to requires the number of the step"),
    ('{"tab": "record", "do": "pause", "path": "/etc/passwd", "id": 1}', "message.path: unknown field; choices: do, step"),
    ('{"tab": "record", "do": "more", "count": 5, "id": 1}', "more: the recording has not ended"),
    ('{"tab": "record", "in": {"seq": 1}, "id": 1}', "in.epoch: missing"),
    ('{"tab": "record", "in": [], "id": 1}', "in: must be an object"),
    ('{"control": "steal", "id": 1}', 'control: "steal" is not valid; choices: take, give, refuse'),
]


def test_wrong_messages_are_refused_in_one_sentence_and_change_nothing(recording: Recording) -> None:
    page = opened(recording)
    refusals: list[str] = []
    note = page._note
    page._note = lambda message: refusals.append(message) if "error" in str(message)[:60] else note(message)  # type: ignore
    for text, message in REFUSED_MESSAGES:
        page.tell(text)
        page.wait_for(lambda: refusals)
        assert json.loads(refusals.pop())["error"].startswith(message)
    command = {"seq": 1, "epoch": 1, "hand": 0, "v": REST, "w": REST, "grip": [1.0], "device": "keyboard"}
    wrong = [
        {"v": [0, 0, "1"]},
        {"v": [0, 0]},
        {"hand": 1},
        {"grip": [0.5]},
        {"grip": [1, 1]},
        {"device": "mind"},
        {"seq": -1},
    ]
    for change in [*wrong, {"epoch": None}, {"w": [1e999, 0, 0]}]:
        page.tell(json.dumps({"tab": "record", "in": {**command, **change}, "id": 1}))
        page.wait_for(lambda: refusals)
        assert "error" in json.loads(refusals.pop())
    assert page.frame.step == 0
    assert page.state["phase"] == "ready"


def test_oversized_message_ends_the_connection_and_too_many_are_read_slowly(recording: Recording) -> None:
    page = opened(recording)
    page.tell(json.dumps({"tab": "record", "do": "x" * 70_000}))
    page.wait_for(lambda: page.is_closed)
    other = opened(recording, "other")
    start, num_extra = time.monotonic(), 100
    for _ in range(2 * MAX_MESSAGES_PER_SECOND + num_extra):
        other.tell({"ack": 1})
    other.order("new")
    assert time.monotonic() - start >= 0.9 * num_extra / MAX_MESSAGES_PER_SECOND


def test_requests_without_token_or_from_other_sites_are_refused(recording: Recording) -> None:
    url, cookie = recording.url, StudioPage(recording.url).cookie
    netloc = url.split("/")[2]
    assert get(url, "/").status == 403
    assert get(url, "/?token=wrong").status == 403
    assert get(url, "/scene.json", Cookie="mimic_studio=1").status == 403
    assert get(url, "/", Host="evil.example", Cookie=cookie).status == 421
    assert get(url, "/", method="POST", Cookie=cookie).status in (400, 405)
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/etc/passwd", "/static", "/record/../scene.json"):
        assert get(url, path, Cookie=cookie).status in (403, 404), path
    for origin, header in (("http://evil.example", cookie), (f"http://{netloc}", ""), ("null", cookie)):
        with pytest.raises(InvalidStatus) as refused:
            StudioPage(url, origin=origin, cookie=header)
        assert refused.value.response.status_code == 403


def test_port_in_use_is_replaced_by_the_next_one(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with StudioServer([], {}, port=port) as server:
            assert server.port > port
        assert f"Port {port} is in use; the studio tries port {port + 1}" in caplog.text


def test_address_of_another_machine_is_refused() -> None:
    with (
        pytest.raises(OutputError, match=r"host, port: 203\.0\.113\.1:8765 cannot be used: "),
        StudioServer([], {}, "203.0.113.1"),
    ):
        pass


@contextmanager
def running(command: Sequence[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A command in its own process, and the address of its page."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        lines = []
        try:
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"http://\S+", line):
                    threading.Thread(target=process.stderr.read, daemon=True).start()
                    yield process, found[0]
                    break
            else:
                raise AssertionError("".join(lines))
        finally:
            process.kill()


@pytest.mark.slow
def test_killed_studio_keeps_every_kept_demo_and_continues(tmp_path: Path) -> None:
    folder = tmp_path / "session"
    with running([*STUDIO, f"output_dir={folder}"]) as (process, url):
        page = StudioPage(url)
        make_demo(page)
        page.order("keep")
        page.wait_for(lambda: len(page.state["demos"]) == 1 and page.state["phase"] == "ready")
        first = page.state["demos"][0]
        page.wait_for(lambda: page.frame.epoch == page.state["epoch"])
        move(page, 5)
        second = subprocess.run(
            [*STUDIO, f"output_dir={folder}"],
            capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=HANG_S,
        )  # fmt: skip
        assert second.returncode == 75
        assert "is in use by process" in second.stderr
        os.kill(process.pid, signal.SIGKILL)
    with running([*STUDIO, f"output_dir={folder}"]) as (process, url):
        page = StudioPage(url)
        page.wait_for_phase("ready")
        assert page.state["demos"] == [first]
        page.wait_for(lambda: page.raw_frame)
        assert page.order("end") is None
        page.wait_for_phase("done")
        assert "1 demo is in" in page.state["reason"]
        assert page.order("more", count=3) is None
        assert str(page.order("more", count=3)).startswith("more: the recording has not ended")
        page.wait_for_phase("ready")
        assert page.state["num_wanted"] == 4
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_S) == 130
    with h5py.File(folder / "raw.hdf5") as file:
        assert [demo.attrs["trial"] for demo in file["data"].values()] == [first["trial"]]


@pytest.mark.slow
def test_record_with_a_browser_is_the_recorder_of_other_devices(tmp_path: Path) -> None:
    path = tmp_path / "raw.hdf5"
    path.write_bytes(b"damaged")
    words = ["sim=kinematic", "port=0", "num_demos=1", f"output_file={path}", "overwrite=true"]
    with running([sys.executable, "-m", "isaaclab_mimic_ext", "record", "teleop_device=browser", *words]) as (process, url):
        page = StudioPage(url)
        make_demo(page)
        assert page.order("keep") is None
        page.wait_for(lambda: page.is_closed)
        assert process.wait(HANG_S) == 0
    assert page.state["phase"] == "done"
    assert page.state["reason"] == f"1 demo is in {path}"
    assert " annotate " in page.state["next_command"]
    with h5py.File(path) as file:
        assert file["data"].attrs["teleop_device"] == "browser"
        assert file["data/demo_0"].attrs["success"]
