"""Runs that are killed, stopped or finished, and their result when they are resumed."""

import json
import os
import random
import shutil
import signal
from pathlib import Path

import h5py
import pytest

from isaaclab_mimic_ext.errors import OutputError, RecorderError
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run.session import RunFolder
from tests import requires
from tests.faults import ForkServer, kill_and_resume
from tests.runs import NUM_DEMOS, RESUME, assert_same_dataset, contents, replaced, run, trials_of, under_way
from tests.watching_person import watched

pytestmark = requires.mark("linux", Path("/proc/self/task").is_dir(), "finds the writer's process through /proc")


@pytest.mark.parametrize("seed", range(3))
def test_run_killed_at_random_instants_gives_the_same_dataset(
    fork_server: ForkServer, arguments: list[str], folder: RunFolder, undisturbed: RunFolder, seed: int
) -> None:
    found = kill_and_resume(fork_server, folder, arguments, seconds=2.0, max_kills=3, rng=random.Random(seed))
    assert (found.exit_code, found.lost) == (0, 0), found
    assert_same_dataset(folder, undisturbed)


def test_kill_of_a_watched_run_is_reported_with_the_command_that_continues_it(
    fork_server: ForkServer, arguments: list[str], folder: RunFolder
) -> None:
    endless = replaced(arguments, "datagen_config.generation_num_trials=100000")
    running = under_way(fork_server, folder, *endless)
    os.kill(running.pid, signal.SIGSTOP)  # Its last trial must stay the last one.
    with watched(folder) as (page,):
        page.wait_for(lambda: page.run.get("trials"))
        assert (page.run["state"], page.run["text"]) == ("in progress", "")
        assert folder.socket.exists()
        running.kill()
        running.wait()
        page.wait_for(lambda: page.run["state"] == "unfinished")
        assert page.run["text"].startswith("The run ended without a result (its process was killed); ")
        assert page.run["command"].endswith(f"resume=true output_dir={folder.path}")
        assert "name" in page.play(page.run["last_trial"]), page.motions


DEATHS = [
    "RunStore:commit:after:1",
    "DatasetFile:add_demo:before:7",
    "DatasetFile:finish:before:1",
    "DatasetFile:publish:before:1",
    "DatasetFile:publish:after:1",
    "RunStore:drop_episodes:before:1",
    # Within a commit: before it, between an insertion and it, and in the middle of what it writes.
    "statement:COMMIT:before:2",
    "RunStore:add_episode:after:3",
    "torn:70000",
    "torn:400000",
    "torn:1000000",
    "torn:1900000",
    # Before and after its episodes are durable, which are in a file.
    "EpisodeFiles:sync:before:2",
    "EpisodeFiles:sync:after:2",
    # While the store releases its disk space.
    "EpisodeFiles:clear:before:1",
    "EpisodeFiles:clear:after:1",
    "statement:DELETE FROM episodes:before:1",
    "statement:VACUUM:before:1",
    "statement:VACUUM:within:5",
    "torn:100000:PRAGMA wal_checkpoint",
]


@pytest.mark.parametrize("death_point", DEATHS)
def test_killed_writer_ends_the_run_with_one_message_and_without_loss(
    fork_server: ForkServer, arguments: list[str], folder: RunFolder, undisturbed: RunFolder, death_point: str
) -> None:
    """As the kernel does when memory runs out."""
    exit_code, message = fork_server.finish(folder, *arguments, death_point=death_point)
    assert exit_code == 1
    assert message.startswith("RecorderError: the writer process was killed by signal ")
    assert ("possibly out of memory" in message) == ("torn" not in death_point)
    assert "run.sqlite; continue with resume=true" in message
    assert fork_server.finish(folder, *arguments, RESUME) == (0, "")
    assert_same_dataset(folder, undisturbed)


@pytest.mark.parametrize(
    "death_point",
    ["stats_and_videos:write_text:before:1", "stats_and_videos:write_text:after:1", "RunStore:set_facts:before:2"],
)
def test_run_killed_before_its_statistics_gets_them_when_resumed(
    fork_server: ForkServer, arguments: list[str], folder: RunFolder, undisturbed: RunFolder, death_point: str
) -> None:
    exit_code, _ = fork_server.finish(folder, *arguments, own_death_point=death_point)
    assert exit_code == -signal.SIGKILL
    assert_same_dataset(folder, undisturbed)
    assert fork_server.finish(folder, *arguments, RESUME) == (0, "")
    found, expected = (json.loads(path.stats.read_text()) for path in (folder, undisturbed))
    for timed in ("time", "time spent (hrs)", "demos_per_hour", "generation_path"):
        assert (found.pop(timed) is None) == (expected.pop(timed) is None)
    assert found == expected
    before = contents(folder)
    assert fork_server.finish(folder, *arguments, RESUME) == (0, "")
    assert contents(folder) == before, "there was nothing left to do"


def test_finished_run_gets_a_video_that_is_requested_later(
    kinematic_source: Path, folder: RunFolder, undisturbed: RunFolder
) -> None:
    shutil.copytree(undisturbed.path, folder.path)
    assert run(kinematic_source, folder, RESUME, "video=true", "num_video_demos=1").target_reached
    drawn = folder.video.exists()
    assert drawn or "pictures cannot be rendered" in folder.log.read_text()


def test_finished_run_continues_to_a_larger_target(
    fork_server: ForkServer, arguments: list[str], folder: RunFolder, undisturbed: RunFolder, tmp_path: Path
) -> None:
    """Also after a kill, and for failed demos. The dataset equals the dataset of a single session."""
    more = (*replaced(arguments, "datagen_config.generation_num_trials=35"), "datagen_config.generation_keep_failed=true")
    at_once = RunFolder(tmp_path / "at_once")
    assert fork_server.finish(at_once, *more) == (0, "")
    assert fork_server.finish(folder, *arguments, "datagen_config.generation_keep_failed=true") == (0, "")
    assert dataset_digest(folder.demos) == dataset_digest(undisturbed.demos)
    exit_code, _ = fork_server.finish(folder, *more, RESUME, death_point="DatasetFile:add_demo:before:9")
    assert exit_code == 1
    assert fork_server.finish(folder, *more, RESUME) == (0, "")
    assert_same_dataset(folder, at_once)
    assert dataset_digest(folder.failed_demos) == dataset_digest(at_once.failed_demos)
    assert fork_server.finish(folder, *arguments, "datagen_config.generation_keep_failed=true", RESUME) == (0, "")
    assert_same_dataset(folder, at_once)


def test_finished_demo_that_changed_on_the_disk_is_not_copied(
    kinematic_source: Path, folder: RunFolder, undisturbed: RunFolder
) -> None:
    shutil.copytree(undisturbed.path, folder.path)
    with h5py.File(folder.demos, "r+") as file:
        file["data/demo_3/actions"][0, 0] += 1
    with pytest.raises(RecorderError, match=r"demo\.hdf5: the data of trial \d+ does not match its digest"):
        run(kinematic_source, folder, RESUME, "datagen_config.generation_num_trials=25")


def test_resuming_a_finished_run_changes_no_file(
    fork_server: ForkServer, arguments: list[str], folder: RunFolder, undisturbed: RunFolder
) -> None:
    shutil.copytree(undisturbed.path, folder.path)
    before = contents(folder)
    run = fork_server.start(folder, *arguments, RESUME)
    assert run.wait() == 0, run.stderr.read_text()
    assert f"is already finished ({NUM_DEMOS} demos)" in run.stderr.read_text()
    assert contents(folder) == before


def test_finished_run_does_not_need_its_source_file(kinematic_source: Path, undisturbed: RunFolder, tmp_path: Path) -> None:
    assert run(tmp_path / "gone.hdf5", undisturbed, RESUME).num_demos == NUM_DEMOS


def test_finished_run_without_its_dataset_is_refused(
    kinematic_source: Path, folder: RunFolder, undisturbed: RunFolder
) -> None:
    """The store has deleted the episodes, so a resumed run would otherwise write an empty dataset."""
    shutil.copytree(undisturbed.path, folder.path)
    folder.demos.unlink()
    with pytest.raises(OutputError, match=r"is finished, but demo\.hdf5 is missing; restore the file"):
        run(kinematic_source, folder, RESUME)


def test_stopped_run_ends_soon_and_can_be_resumed(
    fork_server: ForkServer, arguments: list[str], folder: RunFolder, undisturbed: RunFolder
) -> None:
    first = fork_server.start(folder, *replaced(arguments, "num_envs=1"), signal_at_save=signal.SIGTERM)
    assert first.wait() == 128 + signal.SIGTERM
    assert "demo.hdf5.part, which other commands can read; to write demo.hdf5, continue with: " in first.message()
    assert first.message().endswith("resume=true") and not folder.demos.exists()
    assert 0 < len(trials_of(folder, is_finished=False)) < NUM_DEMOS
    assert fork_server.finish(folder, *arguments, RESUME) == (0, "")
    assert_same_dataset(folder, undisturbed)


@pytest.mark.parametrize("limit", [900_000, 1_900_000])
def test_run_ended_by_a_full_disk_can_be_resumed_when_there_is_space(
    fork_server: ForkServer, arguments: list[str], folder: RunFolder, undisturbed: RunFolder, limit: int
) -> None:
    exit_code, message = fork_server.finish(folder, *arguments, limit=limit)
    assert exit_code == 1
    assert message.startswith("RecorderError: ") and "cannot be written: " in message and "resume=true" in message, message
    assert not folder.demos.exists()
    assert fork_server.finish(folder, *arguments, RESUME) == (0, "")
    assert_same_dataset(folder, undisturbed)
