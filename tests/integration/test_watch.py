"""The page of a run: live poses, figures, ended trials again, and runs that end in every way. Kinematic engine."""

# N envs, T steps

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.commands.main import VERBS
from isaaclab_mimic_ext.config import WatchCfg
from isaaclab_mimic_ext.errors import OutputError, SourceDataError
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.report.report import report_run
from isaaclab_mimic_ext.run.generate import generate_run
from isaaclab_mimic_ext.run.live_poses import LivePoses
from isaaclab_mimic_ext.run.result import Progress
from isaaclab_mimic_ext.run.session import RunFolder, locked
from isaaclab_mimic_ext.run.store import RunStore
from isaaclab_mimic_ext.studio.watched_run import find_runs, read_figures
from tests.processes import HANG_S
from tests.runs import run_cfg
from tests.watching_person import WatchPage, opened_watch, watched

KETCHUP = "ketchup"
SMALL = ("datagen_config.generation_num_trials=8", "datagen_config.generation_guarantee=false")
"""Eight trials, all at once. Some fail."""


@pytest.fixture(scope="module")
def ended(kinematic_source: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("ended"))
    generate_run(run_cfg(kinematic_source, folder, *SMALL))
    return folder


def copied(run: RunFolder, path: Path) -> RunFolder:
    shutil.copytree(run.path, path)
    return RunFolder(path)


@contextmanager
def held_up(is_true: Callable[[], bool]) -> Iterator[Callable[[Progress], bool]]:
    """Monitor of a run that sends live poses, but makes no further step until a condition is true."""
    entered, steps = [], iter(range(10**9))
    enter = LivePoses.__enter__

    def noted(self: LivePoses) -> LivePoses:
        entered.append(self)
        return enter(self)

    def after_step(progress: Progress) -> bool:
        end = time.monotonic() + HANG_S
        while next(steps) < 10 or not is_true():
            assert time.monotonic() < end
            time.sleep(0.02)
            entered[0].update()
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LivePoses, "__enter__", noted)
        yield after_step


def test_watched_run_gives_the_same_dataset_and_two_pages_see_its_poses_and_its_end(
    kinematic_source: Path, folder: RunFolder, ended: RunFolder
) -> None:
    with watched(folder, num_pages=2) as pages:
        pages[0].wait_for(lambda: pages[0].run)
        assert pages[0].run["state"] == "none"
        assert "generate" in pages[0].run["command"]
        seen: list[np.ndarray] = []

        def is_seen() -> bool:
            if all(page.raw_frame and page.live.get("is_live") for page in pages):
                seen.append(pages[0].positions())
            return bool(seen)

        result = generate_run(run_cfg(kinematic_source, folder, *SMALL), lambda: held_up(is_seen))
        assert seen[0].shape[0] == 8
        hand_height = seen[0][:, 8, 2]
        assert ((hand_height > 0.1) & (hand_height < 1.0)).all()
        for page in pages:
            page.wait_for_end()
            assert (page.run["trials"], page.run["successes"]) == (result.num_attempts, result.num_successes)
            assert {each["name"]: each["count"] for each in page.run["reasons"]} == dict(result.failures)
            assert (page.run["target"], page.run["target_unit"]) == (8, "trials")
            assert page.heads()[:, 1].max() > 0
    assert dataset_digest(folder.demos) == dataset_digest(ended.demos)
    assert not folder.socket.exists()


def test_ended_trials_are_played_from_the_dataset_or_run_again(ended: RunFolder) -> None:
    with watched(ended) as (page,):
        page.wait_for(lambda: page.run)
        state = page.run
        failed = state["failed"][0]
        success = state["last_success"]
        recent = dict(state["recent"])
        assert (recent[success], recent[failed["trial"]]) == (-1, failed["reason"])
        assert len(recent) == state["trials"]
        played = page.play(success)
        assert (played["origin"], played["reason"]) == ("stored in demo.hdf5", "")
        body = next(each["body"] for each in page.scene["objects"] if each["name"] == KETCHUP)
        with h5py.File(ended.demos) as file:
            demo = next(demo for demo in file["data"].values() if demo.attrs["trial"] == success)
            recorded = demo[f"states/rigid_object/{KETCHUP}/root_pose"][:]
        np.testing.assert_allclose(page.motion(played)[:, body, :3], recorded[:, :3], atol=1e-6)

        played = page.play(failed["trial"])
        assert played["origin"] == "simulated again, with the same motion"
        assert played["reason"] == state["reasons"][failed["reason"]]["name"]
        start = page.motion(played)[0, body, :2]
        names = [each["object"] for each in state["places"]]
        np.testing.assert_allclose(start, failed["places"][names.index(KETCHUP)], atol=2e-3)

        assert "trial: 100000 has not ended" in page.play(100000)["fault"]
        assert "trial: must be an integer" in str(page.ask({"tab": "watch", "do": "play", "trial": -1}))
        assert 'do: "stop" is not valid; choices: play, choose' in str(page.ask({"tab": "watch", "do": "stop"}))
        assert 'run: "../x" is not valid' in str(page.ask({"tab": "watch", "do": "choose", "run": "../x"}))


def test_failed_trial_that_cannot_be_run_again_has_one_sentence(ended: RunFolder, tmp_path: Path) -> None:
    run = copied(ended, tmp_path / "run")
    run.config.unlink()
    with watched(run) as (page,):
        page.wait_for(lambda: page.run)
        fault = page.play(page.run["failed"][0]["trial"])["fault"]
    assert "its motion is not stored, and" in fault and "config.yaml: not found" in fault
    assert fault.endswith("generate with generation_keep_failed=true to keep failed trials")


def test_damaged_store_is_one_sentence_on_the_page_and_in_the_terminal(ended: RunFolder, tmp_path: Path) -> None:
    run = copied(ended, tmp_path / "run")
    with watched(run) as (page,):
        page.wait_for(lambda: page.run)
        run.store.write_bytes(b"not a database " * 1000)
        page.wait_for(lambda: page.run["state"] == "unreadable")
        assert "run.sqlite: is damaged (file is not a database)" in page.run["text"]
    with pytest.raises(OutputError, match=r"input_dir: .*run.sqlite is damaged \(file is not a database\)"):
        VERBS["watch"].run(WatchCfg(input_dir=str(run.path)))


def test_folders_without_a_run_or_with_a_failed_start_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceDataError, match=r"does not contain a run \(run.sqlite\)"):
        VERBS["watch"].run(WatchCfg(input_dir=str(tmp_path)))
    run = RunFolder(tmp_path)
    store = RunStore(run.store)
    store.set_facts(identity={"task.name": "desktop_organizer"})
    store.commit()
    store.close()
    with pytest.raises(SourceDataError, match="ended before its first trial: its start has failed, or its process was"):
        VERBS["watch"].run(WatchCfg(input_dir=str(tmp_path)))
    assert read_figures(run).state["state"] == "unfinished"
    with locked(run):
        state = read_figures(run).state
        assert state.pop("elapsed_s") >= 0
        assert state == {"state": "in progress", "text": "No trial has ended yet."}


def test_run_that_writes_its_files_after_its_last_trial_is_not_called_running(ended: RunFolder, tmp_path: Path) -> None:
    run = copied(ended, tmp_path / "run")
    with locked(run):
        state = read_figures(run).state
        assert (state["state"], state["remaining_s"]) == ("writing", None)
        assert state["text"].endswith("Statistics, pictures and videos are being written.")
        progress = json.loads(run.progress.read_text()) | {"state": "running"}
        run.progress.write_text(json.dumps(progress))
        store = RunStore(run.store)
        store.set_facts(result=None)
        store.commit()
        store.close()
        state = read_figures(run).state
        assert (state["state"], state["text"]) == ("writing", "All trials have ended. The dataset is being written.")
    state = read_figures(run).state
    assert (state["state"], "resume=true" in state["command"], "mimic" in state["text"]) == ("unfinished", True, False)


def test_page_without_control_cannot_choose_the_run_of_all_pages(ended: RunFolder) -> None:
    with watched(ended, num_pages=2) as pages:
        for page in pages:
            page.wait_for(lambda page=page: page.run and page.control)  # type: ignore[misc]
        watching = next(page for page in pages if not page.control["control"])
        refused = str(watching.ask({"tab": "watch", "do": "choose", "run": ended.path.name}))
        assert refused.startswith("run: all pages show the run that is chosen, and another page has control")


def test_trial_that_runs_again_ends_with_the_page(ended: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*arguments: Any) -> Any:
        begun.set()
        while True:
            arguments[-1]()
            time.sleep(0.01)

    begun = threading.Event()
    monkeypatch.setattr("isaaclab_mimic_ext.studio.watch_tab.read_motion", read)
    with opened_watch(ended) as server:
        page = WatchPage(server.url)
        page.wait_for(lambda: page.run)
        assert page.ask({"tab": "watch", "do": "play", "trial": page.run["failed"][0]["trial"]}) is None
        assert begun.wait(HANG_S)
        page.close()
    assert not any(thread.is_alive() for thread in server.tab._threads)


def test_run_of_another_task_shows_figures_without_a_picture(ended: RunFolder) -> None:
    with watched(ended, task="stack_cube") as (page,):
        page.wait_for(lambda: page.run)
        assert page.run["trials"] > 0
        assert "draws the scene of stack_cube, and the run is of desktop_organizer; watch it with: " in page.run["no_scene"]


def test_newest_run_of_a_folder_is_shown_first_and_another_one_can_be_chosen(ended: RunFolder, tmp_path: Path) -> None:
    first, second = copied(ended, tmp_path / "first"), copied(ended, tmp_path / "second")
    second.store.touch()
    assert [run.path for run in find_runs(tmp_path)] == [second.path, first.path]
    with watched(RunFolder(tmp_path)) as (page,):
        page.wait_for(lambda: page.run)
        assert page.run["runs"] == ["second", "first"] and page.run["chosen"] == 0
        assert page.ask({"tab": "watch", "do": "choose", "run": "first"}) is None
        page.wait_for(lambda: page.run["chosen"] == 1 and page.run["folder"] == str(first.path))


def test_nothing_is_read_while_no_page_shows_the_tab(ended: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with watched(ended) as (page,):
        page.wait_for(lambda: page.run)
        page.tell({"show": "record"})
        page.close()
        time.sleep(0.5)
        read = []
        monkeypatch.setattr("isaaclab_mimic_ext.studio.watch_tab.find_runs", lambda root: read.append(root) or [])
        time.sleep(1.5)
        assert read == []


def test_report_names_the_command_that_watches_the_run(ended: RunFolder, tmp_path: Path) -> None:
    page = report_run(ended.path, tmp_path / "page.html", pictures=False).path.read_text()
    assert f"watch input_dir={ended.path}" in page
