"""The tab Mark as a whole: a websocket client in Python acts as the person who marks demos."""

# T steps of a demo, B bodies that move

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.command_lines import program
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.datasets.marks import DemoMarks, actions_digest
from isaaclab_mimic_ext.datasets.replay import read_demos
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import config_of, env_task
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.envs.recorded_scene import computed_signals, recorded_scene
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.writing import part_path
from isaaclab_mimic_ext.studio.annotated_file import AnnotatedFile
from isaaclab_mimic_ext.studio.doctor import Doctor, ReplayStopped
from isaaclab_mimic_ext.studio.folder import StudioFolder
from isaaclab_mimic_ext.studio.mark_jobs import AnnotateJob
from isaaclab_mimic_ext.studio.mark_session import make_marking
from isaaclab_mimic_ext.studio.protocol import Refusal
from isaaclab_mimic_ext.studio.tabs import Client
from tests.jobs import command, run_annotation
from tests.kinematic_sources import read_tree
from tests.processes import HANG_S, wait_until
from tests.studio_marking import MarkPage, MarkPerson, make_task_env, record_demos
from tests.studio_person import get

SIGNALS = ("reach", "grasp", "lift")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_demos(tmp_path_factory.mktemp("recorded") / "raw.hdf5")


@pytest.fixture(scope="module")
def env() -> MimicEnv:
    return make_task_env()


@pytest.fixture
def page(recorded: Path, env: MimicEnv, tmp_path: Path) -> Iterator[MarkPage]:
    with MarkPage(recorded, env, tmp_path) as page:
        yield page


@pytest.fixture
def person(page: MarkPage) -> MarkPerson:
    return MarkPerson(page.url)


def leaves_of(path: Path, demo: str) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return read_tree(file["data"][demo])


def test_frames_are_the_states_before_each_step_and_suggestions_are_frames(
    page: MarkPage, person: MarkPerson, recorded: Path
) -> None:
    """A suggestion that is one step early or late would move every mark that is accepted."""
    shown = person.open("demo_0")
    (demo,) = read_demos(recorded, ["demo_0"])
    scene, poses = PosedScene(env_task(page.env)), person.poses("demo_0")
    assert len(poses) == demo.num_steps + 1 == shown["num_steps"] + 1
    assert person.state["demos"][0]["actions"] == shown["actions"] == actions_digest(demo)
    for frame, row in ((0, demo.tree("initial_state", 0)), (50, demo.tree("states", 49)), (-1, demo.tree("states", -1))):
        scene.set_state(trees.map(lambda leaf: leaf.numpy(), row))
        np.testing.assert_allclose(poses[frame], scene.body_poses(), atol=2e-3)
    after = computed_signals(env_task(page.env), recorded_scene(env_task(page.env), trees.unflatten(demo.below("states"))))
    for signal, frame in shown["suggestions"]["term"].items():
        assert after[signal][frame - 1], "the state that the page shows at this frame has the signal"
        assert not after[signal][frame - 2]


def test_accepted_suggestions_give_the_file_of_an_annotation_without_marks(
    page: MarkPage, person: MarkPerson, recorded: Path, tmp_path: Path
) -> None:
    for name in ("demo_0", "demo_1"):
        shown = person.open(name)
        assert shown["verdict"] == {"is_good": True, "text": "", "was_replayed": True}
        assert person.mark(name, **shown["suggestions"]["term"]) is None
    assert person.annotate() == {"state": "done", "text": "2 demos are in annotated.hdf5", "rejected": {}}
    words = ["sim=kinematic", f"input_file={recorded}", f"output_file={tmp_path / 'auto.hdf5'}"]
    run_annotation(load_config("annotate_demos", words))
    for name in ("demo_0", "demo_1"):
        expected = leaves_of(tmp_path / "auto.hdf5", name)
        for path, values in leaves_of(tmp_path / "annotated.hdf5", name).items():
            if "term_signals/place" not in path and "_signals/" in path:
                assert values.argmax() == expected[path].argmax(), path
            elif "_signals/" not in path:
                np.testing.assert_array_equal(values, expected[path])


def test_marks_are_saved_at_once_and_annotate_the_same_on_the_command_line(
    page: MarkPage, person: MarkPerson, recorded: Path, tmp_path: Path
) -> None:
    person.open("demo_0")
    assert person.mark("demo_0", reach=30, grasp=60) is None
    assert person.mark("demo_1", leave_out=True) is None
    text = (tmp_path / "marks.yaml").read_text()
    assert text.startswith("demo_0:\n  term:\n    reach: 30\n    grasp: 60\n  actions: sha256:")
    assert person.annotate()["text"].startswith("1 demo is in ")
    words = [f"input_file={recorded}", f"output_file={tmp_path / 'again.hdf5'}", f"marks_file={tmp_path / 'marks.yaml'}"]
    (annotation,) = run_annotation(load_config("annotate_demos", ["sim=kinematic", *words]))
    assert annotation.ends["franka"][:2] == [31, 61]
    for path, values in leaves_of(tmp_path / "again.hdf5", "demo_0").items():
        np.testing.assert_array_equal(values, leaves_of(tmp_path / "annotated.hdf5", "demo_0")[path])
    assert person.state["output_exists"]
    refusal = f"{tmp_path / 'annotated.hdf5'} exists; write it again, and confirm that it is replaced"
    assert person.order("annotate", overwrite=False) == refusal
    assert person.annotate(overwrite=True)["state"] == "done"


def test_file_of_the_tab_is_up_to_date_until_marks_or_demos_change(
    page: MarkPage, person: MarkPerson, recorded: Path, tmp_path: Path
) -> None:
    folder = StudioFolder(tmp_path)
    shutil.copy(recorded, folder.raw)
    assert person.mark("demo_1", leave_out=True) is None
    assert person.annotate()["text"].startswith("1 demo is in ")
    os.utime(folder.raw)
    file = AnnotatedFile(folder)
    assert file.change() == "", "a demo that was left out was considered"
    assert person.mark("demo_0", reach=30) is None
    assert file.change() == "the marks of demo_0 have changed since"
    assert person.mark("demo_0") is None
    assert file.change() == ""
    record_demos(folder.raw, 3, "overwrite=true")
    assert file.change() == "the recording has 1 demo more than were annotated (demo_2)"


def test_page_that_opens_again_shows_the_saved_marks(
    page: MarkPage, person: MarkPerson, env: MimicEnv, recorded: Path
) -> None:
    person.mark("demo_1", reach=12)
    with MarkPage(recorded, env, page.settings.marks_file.parent) as again:
        assert MarkPerson(again.url).marks["demo_1"] == {"term": {"reach": 12}, "start": {}, "leave_out": False}


def test_verdict_and_findings_follow_the_marks(recorded: Path, env: MimicEnv, tmp_path: Path) -> None:
    with MarkPage(recorded, env, tmp_path, has_doctor=True) as page:
        check_verdicts(MarkPerson(page.url))


def check_verdicts(person: MarkPerson) -> None:
    shown = person.open("demo_0")
    person.wait_for(lambda: person.demos["demo_0"]["findings"] is not None)
    lift = shown["suggestions"]["term"]["lift"]
    person.mark("demo_0", reach=lift + 3)
    person.wait_for(lambda: not person.demos["demo_0"]["verdict"]["is_good"])
    assert person.demos["demo_0"]["verdict"]["text"] == "the end of 'grasp' is not known; go to its step, and mark it"
    assert "grasp" not in person.demos["demo_0"]["suggestions"]["term"], "suggestions come after the marks before them"
    person.wait_for(lambda: person.demos["demo_0"]["findings"])
    assert person.demos["demo_0"]["findings"][0]["check"] == "annotation"
    person.mark("demo_0", reach=60, grasp=61)
    near = "the end of 'grasp' (step 61) must be at least 6 steps after the end of 'reach' (step 60), because generation"
    person.wait_for(lambda: person.demos["demo_0"]["verdict"]["text"].startswith(near))
    person.mark("demo_0", grasp=20)
    person.wait_for(lambda: "(step 20) is before the end of 'reach' (step" in person.demos["demo_0"]["verdict"]["text"])
    person.mark("demo_0")
    person.wait_for(lambda: person.demos["demo_0"]["verdict"]["is_good"])
    person.wait_for(lambda: person.demos["demo_0"]["findings"] is not None)
    assert "annotation" not in {each["check"] for each in person.demos["demo_0"]["findings"]}


WRONG_MARKS: list[tuple[dict[str, Any], str]] = [
    ({"demo": "demo_0", "marks": {"term": {"reach": 40, "grasp": 30}}}, "demo_0: the end of 'grasp' must be at step 41 or"),
    ({"demo": "demo_0", "marks": {"term": {"reach": 100000}}}, "the end of 'reach' must be at a step from 1 to "),
    ({"demo": "demo_0", "marks": {"term": {"raech": 40}}}, "choices: reach, grasp, lift (did you mean 'reach'?)"),
    ({"demo": "demo_0", "marks": {"start": {"reach": 40}}}, "the start of 'reach' is not marked in this task"),
    ({"demo": "demo_7", "marks": {}}, 'demo: "demo_7" is not valid; choices: demo_0, demo_1'),
    ({"demo": "demo_0", "marks": {"term": {"reach": 1.5}}}, "marks.term.reach: must be an integer"),
    ({"demo": "demo_0", "marks": {"term": []}}, "marks.term: must be an object"),
    ({"demo": "demo_0", "marks": {"leave_out": 1}}, "marks.leave_out: must be true or false"),
    ({"demo": "demo_0", "marks": {}, "path": "/etc"}, "message.path: unknown field"),
    ({"demo": "demo_0", "marks": {}, "revision": 99}, "marks: another page has changed them"),
    ({"demo": "demo_0", "marks": None}, "marks: must be an object"),
]  # fmt: skip


def test_wrong_marks_are_refused_and_nothing_is_written(page: MarkPage, person: MarkPerson) -> None:
    for fields, words in WRONG_MARKS:
        if isinstance(fields["marks"], dict):
            fields = {**fields, "marks": {"term": {}, "start": {}, "leave_out": False, **fields["marks"]}}
        assert words in str(person.order("set", **{"revision": person.revision, **fields}))
    assert not page.settings.marks_file.exists()
    assert person.mark("demo_0", reach=30) is None, "the page continues"


def test_only_the_page_in_control_marks(page: MarkPage, person: MarkPerson) -> None:
    watcher = MarkPerson(page.url, "second")
    assert watcher.open("demo_0")["replay"] == "done"
    assert watcher.mark("demo_0", reach=3) == "mark: another page has control; take control first"
    person.mark("demo_0", reach=30)
    watcher.wait_for(lambda: watcher.marks["demo_0"]["term"] == {"reach": 30})
    assert watcher.revision == person.revision


def test_marks_file_of_a_different_recording_is_not_touched(recorded: Path, env: MimicEnv, tmp_path: Path) -> None:
    text = "demo_0: {term: {reach: 30}, actions: sha256:0123456789abcdef}\n"
    (tmp_path / "marks.yaml").write_text(text)
    with pytest.raises(SourceDataError, match=r"marks_file: .*marks\.yaml: demo_0: belongs to a different demo .*; move"):
        MarkPage(recorded, env, tmp_path).__enter__()
    assert (tmp_path / "marks.yaml").read_text() == text


def test_marks_that_another_program_has_changed_are_read_again_first(page: MarkPage, person: MarkPerson) -> None:
    path = page.settings.marks_file
    person.mark("demo_0", reach=30)
    changed = path.read_text().replace("30", "31")
    path.write_text(changed)
    assert person.mark("demo_0", reach=40) == f"{path}: was changed by another program; read the marks again"
    assert path.read_text() == changed
    person.wait_for(lambda: "was changed by another program" in person.state["fault"])
    path.write_text("demo_9: {}")
    assert person.order("reload") is None
    person.wait_for(lambda: "demo 'demo_9' not found; choices: demo_0, demo_1" in person.state["fault"])
    assert "demo_9" in str(person.mark("demo_0", reach=40))
    path.write_text(changed)
    person.order("reload")
    person.wait_for(lambda: not person.state["fault"])
    assert person.marks["demo_0"]["term"] == {"reach": 31}
    assert person.mark("demo_0", reach=40) is None


def test_starts_of_skills_are_marked_with_skillgen(recorded: Path, env: MimicEnv, tmp_path: Path) -> None:
    with MarkPage(recorded, env, tmp_path, with_starts=True) as page:
        person = MarkPerson(page.url)
        shown = person.open("demo_0")
        assert shown["suggestions"]["start"].keys() == {*SIGNALS, "place"}
        assert person.mark("demo_0", start={"reach": 10, "grasp": 55}, reach=40) is None
        assert "the start of 'grasp' must be at step 41 or later, after the end of 'reach'" in str(
            person.mark("demo_0", start={"grasp": 40}, reach=40)
        )
        assert person.annotate()["state"] == "done"
    leaves = leaves_of(tmp_path / "annotated.hdf5", "demo_0")
    assert leaves["obs/datagen_info/subtask_start_signals/grasp"].argmax() == 55


def changed_copy(recorded: Path, path: Path, images: bool) -> Path:
    """Copy of a recording without states, with or without camera images (T, 8, 12, 3)."""
    path.write_bytes(recorded.read_bytes())
    with h5py.File(path, "a") as file:
        for demo in file["data"].values():
            del demo["states"]
            demo.attrs.pop("digest", None)
            if images:
                num_steps = len(demo["actions"])
                shades = np.broadcast_to(np.arange(num_steps, dtype=np.uint8)[:, None, None, None], (num_steps, 8, 12, 3))
                demo.create_dataset("obs/front", data=shades)
    return path


def test_recording_without_states_is_shown_by_its_camera_images(recorded: Path, env: MimicEnv, tmp_path: Path) -> None:
    path = changed_copy(recorded, tmp_path / "images.hdf5", images=True)
    with MarkPage(path, env) as page:
        person = MarkPerson(page.url)
        shown = person.open("demo_0")
        assert (shown["has_poses"], shown["cameras"], shown["reason"]) == (False, ["front"], "")
        picture = person.get_bytes("/mark/image/demo_0/front/100")
        assert picture.startswith(b"\xff\xd8"), "JPEG"
        assert decoded(picture) == pytest.approx(100, abs=1), "image k is the one before step k"
        for wrong in ("front/99999", "front/-1", "front/1e3", "side/0", "../demo_0/0"):
            assert get(page.url, f"/mark/image/demo_0/{wrong}", Cookie=person.cookie).status == 404
        assert shown["replay"] == "done", "a replay needs only the initial state"


def decoded(picture: bytes) -> float:
    import io

    from PIL import Image

    return float(np.asarray(Image.open(io.BytesIO(picture))).mean())


def test_recording_with_nothing_to_see_is_reported_and_can_be_marked(recorded: Path, env: MimicEnv, tmp_path: Path) -> None:
    path = changed_copy(recorded, tmp_path / "blind.hdf5", images=False)
    with MarkPage(path, env) as page:
        person = MarkPerson(page.url)
        reason = person.open("demo_0")["reason"]
        assert reason.startswith(f"{path}: demo_0: contains neither states of a scene that can be drawn nor camera images;")
        assert person.mark("demo_0", reach=30) is None


def test_demo_that_cannot_be_used_is_listed_with_its_fault(recorded: Path, env: MimicEnv, tmp_path: Path) -> None:
    path = tmp_path / "raw.hdf5"
    path.write_bytes(recorded.read_bytes())
    with h5py.File(path, "a") as file:
        del file["data/demo_0/actions"]
        del file["data/demo_1/initial_state"]
    with MarkPage(path, env) as page:
        person = MarkPerson(page.url)
        assert "dataset 'actions' not found" in person.state["demos"][0]["fault"]
        assert "dataset 'actions' not found" in str(person.order("open", demo="demo_0"))
        shown = person.open("demo_1")
        assert shown["replay"] == "failed"
        assert "initial_state" in shown["note"] or "digest" in shown["note"] or shown["reason"]


def test_file_is_not_written_by_two_programs_and_is_out_of_date_after_a_change(page: MarkPage, person: MarkPerson) -> None:
    tab = page.marking.tab
    tab.is_annotating_elsewhere = lambda: True
    refusal = person.order("annotate", overwrite=False)
    assert refusal == "the step Annotate of the path writes the annotated file; wait until it has ended, or stop it"
    tab.is_annotating_elsewhere = lambda: False
    write = page.marking.worker._annotate

    def write_late(job: AnnotateJob) -> None:
        page.marking.file.set(page.marking.demos.demos["demo_0"], DemoMarks(leave_out=True))
        write(job)

    page.marking.worker._annotate = write_late  # type: ignore[method-assign]
    part_path(page.settings.output_file).touch()  # A process that was killed has left it.
    assert person.annotate()["state"] == "done"
    assert not tab.is_annotated


def test_file_without_demos_is_refused_and_a_failure_is_forgotten_after_a_change(page: MarkPage, person: MarkPerson) -> None:
    for name in ("demo_0", "demo_1"):
        assert person.mark(name, leave_out=True) is None
    assert person.order("annotate", overwrite=False) == "all demos are left out; use at least one of them"
    page.marking.tab.annotation_failed("no")
    person.wait_for(lambda: person.state["annotation"]["state"] == "failed")
    assert person.mark("demo_1") is None
    person.wait_for(lambda: person.state["annotation"]["state"] == "none")


def test_tab_without_a_second_environment_reads_signals_from_states_and_leaves_the_file_to_the_path(page: MarkPage) -> None:
    """A process starts Isaac Lab once."""
    marking = make_marking(page.settings, page.env, None)
    marking.worker._open("demo_0")
    shown = marking.tab._opened.event("demo_0")
    assert shown is not None
    assert shown["suggestions"]["term"].keys() == {"reach", "grasp", "lift"}
    assert shown["verdict"] == {"is_good": True, "text": "", "was_replayed": False}
    client = Client("page", 1)
    client.has_control = True
    with pytest.raises(
        Refusal, match="with Isaac Lab, a command writes the annotated file; start the step Annotate of the path"
    ):
        marking.tab.receive(client, {"do": "annotate"})


def test_unexpected_error_of_the_annotation_is_shown(page: MarkPage, person: MarkPerson) -> None:
    def fail(job: AnnotateJob) -> None:
        raise RuntimeError("no memory")

    page.marking.worker._annotate = fail  # type: ignore[method-assign]
    assert person.annotate() == {"state": "failed", "text": "no memory; see the terminal", "rejected": {}}


def test_studio_that_ends_stops_a_replay(
    recorded: Path, env: MimicEnv, page: MarkPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    (demo, *_) = read_demos(recorded, ["demo_0"])
    begun, steps, step = threading.Event(), [], env.step

    def slow_step(*arguments: Any) -> Any:
        steps.append(1)
        begun.set()
        time.sleep(0.1)
        return step(*arguments)

    monkeypatch.setattr(env, "step", slow_step)
    found: list[Any] = []
    doctor = Doctor(lambda: env, env_task(env), config_of(env), lambda findings, review: found.append(findings))
    monkeypatch.setattr(env, "close", lambda: None)
    doctor.examine(demo.leaves, 1)
    assert begun.wait(HANG_S)
    doctor.close()
    assert not doctor._thread.is_alive()
    assert len(steps) < demo.num_steps and not found
    page.marking.worker._should_stop = lambda: True
    with pytest.raises(ReplayStopped):
        page.marking.worker._replay(demo, env)
    before = page.settings.output_file.exists()
    with pytest.raises(ReplayStopped):
        page.marking.worker._annotate(AnnotateJob({}, overwrite=True))
    assert page.settings.output_file.exists() == before
    page.marking.worker._should_stop = lambda: False


def test_demo_that_could_not_be_read_is_read_again_when_it_is_opened_again(
    page: MarkPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab, client = page.marking.tab, Client("page", 1)
    ordered: list[str] = []
    monkeypatch.setattr(page.marking.tab._jobs, "open", ordered.append)
    tab.open_failed("demo_0", "demo_0 cannot be read: the disk is gone")
    tab.receive(client, {"do": "open", "demo": "demo_0"})
    assert ordered == ["demo_0"]


def test_page_ends_the_command(page: MarkPage, person: MarkPerson) -> None:
    assert person.order("end") is None
    page._thread.join(30)
    assert not page._thread.is_alive()


def test_command_serves_the_page_until_the_person_ends_it(
    recorded: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)

    def mark() -> None:
        wait_until(lambda: "?token=" in caplog.text, "the page is not served")
        person = MarkPerson(re.findall(r"http://\S+", caplog.text)[0])
        person.mark("demo_0", reach=30)
        person.order("end")

    thread = threading.Thread(target=mark)
    thread.start()
    words = ["sim=kinematic", "gui=true", "port=0", "demos=[demo_0]", f"input_file={recorded}"]
    words.append(f"output_file={tmp_path / 'annotated.hdf5'}")
    monkeypatch.setattr(program, "arguments", words)
    command("annotate", load_config("annotate_demos", words))
    thread.join(HANG_S)
    marks = tmp_path / "annotated.marks.yaml"
    assert f"The annotated file was not written; the marks of 1 demo are in {marks}; to write it: " in caplog.text
    line = caplog.text.partition("to write it: ")[2].partition("\n")[0]
    assert f"marks_file={marks}" in line
    assert "demos=[demo_0]" in line.replace("'", "")
    assert not {"gui=true", "port=0"} & {*line.split()}
    assert "reach: 30" in marks.read_text()
