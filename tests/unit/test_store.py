"""Store of a run: committed data is found when the store is opened again, other data is not."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from isaaclab_mimic_ext.errors import OutputError, RecorderError
from isaaclab_mimic_ext.run import episode_files
from isaaclab_mimic_ext.run.episode_files import MIN_BYTES, episodes_folder
from isaaclab_mimic_ext.run.session import opened_store
from isaaclab_mimic_ext.run.store import IN_MEMORY, LAYOUT, OLDEST_LAYOUT, RunStore
from isaaclab_mimic_ext.task.reasons import SUCCEEDED

ROWS = {"low": np.arange(12, dtype=np.float32).reshape(4, 3), "rgb": np.arange(8, dtype=np.uint8).reshape(4, 2)}
REASONS = ("the physics diverged", "never grasped", "dropped", "success did not hold to the end")
ATTRIBUTES = {"seed": np.int64(7), "source_demos": np.array([[1, 2]])}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[RunStore]:
    opened = RunStore(path)
    yield opened
    opened.close()


def test_only_committed_data_is_found_when_reopened(store: RunStore, path: Path) -> None:
    store.set_reasons(REASONS)
    store.add(4, SUCCEEDED, 90)
    store.add(1, 2, 80)
    store.set_facts(identity={"seed": 1})
    store.commit()
    store.add(2, SUCCEEDED, 90)
    store.set_facts(identity={"seed": 2})
    again = RunStore(path)
    outcomes = again.outcomes()
    assert (outcomes.trials.tolist(), outcomes.success.tolist()) == ([1, 4], [False, True])
    assert outcomes.reason.tolist() == [2, SUCCEEDED]
    assert again.facts() == {"identity": {"seed": 1}}
    again.close()


def test_episode_is_read_as_it_was_stored(store: RunStore) -> None:
    store.add(3, SUCCEEDED, 4)
    store.add_episode(3, ROWS, ATTRIBUTES)
    episode = store.episode(3)
    assert episode is not None and episode.success
    assert episode.attributes == {"seed": 7, "source_demos": [[1, 2]]}
    for name, rows in ROWS.items():
        assert episode.rows[name].dtype == rows.dtype
        np.testing.assert_array_equal(episode.rows[name], rows)


def test_trial_that_ran_twice_counts_once(store: RunStore) -> None:
    for reason in (1, SUCCEEDED):
        store.add(3, reason, 4)
        store.add_episode(3, ROWS, ATTRIBUTES)
    assert store.outcomes().success.tolist() == [True]


def test_new_store_is_empty(store: RunStore) -> None:
    assert len(store.outcomes().trials) == 0
    assert store.facts() == {}
    assert store.episode(0) is None


def test_dropping_episodes_releases_their_space_and_keeps_outcomes(store: RunStore, path: Path) -> None:
    for trial in range(20):
        store.add(trial, SUCCEEDED, 4)
        store.add_episode(trial, {"low": np.zeros((100, 1000), np.float32)}, {})
    store.commit()
    store.drop_episodes()
    assert store.episode(3) is None
    assert len(store.outcomes().trials) == 20
    assert path.stat().st_size < 1_000_000


def test_episodes_are_required_only_of_kept_trials(store: RunStore) -> None:
    store.add(0, SUCCEEDED, 4)
    store.add(1, 0, 4)
    assert [store.requires_episode(trial, keeps_failed=False) for trial in range(3)] == [True, False, False]
    assert [store.requires_episode(trial, keeps_failed=True) for trial in range(3)] == [True, True, False]


def damage_episode(store: RunStore, position: float) -> None:
    """Store two trials; the episode of trial 1 is damaged."""
    for trial in range(2):
        store.add(trial, SUCCEEDED, 4)
        store.add_episode(trial, {"low": np.ones((50, 50), np.float32)}, {})
    (found,) = store._database.execute("SELECT rows FROM episodes WHERE trial = 1").fetchone()
    rows = bytearray(found)
    rows[int(position * len(rows))] ^= 0x10
    store._database.execute("UPDATE episodes SET rows = ? WHERE trial = 1", (bytes(rows),))


def test_damaged_episode_stays_in_a_store_that_is_only_read(store: RunStore, path: Path) -> None:
    damage_episode(store, 0.5)
    store.commit()
    found = r"episode of trial 1 is damaged .*; resume the run with resume=true"
    with opened_store(path, "input_dir", read_only=True) as reader, pytest.raises(RecorderError, match=found):
        reader.episode(1)
    assert store.outcomes().trials.tolist() == [0, 1]


@pytest.mark.parametrize("position", [0.1, 0.5, 0.99])
def test_damaged_episode_is_refused_and_its_trial_deleted(store: RunStore, position: float) -> None:
    damage_episode(store, position)
    with pytest.raises(RecorderError, match="the episode of trial 1 is damaged"):
        store.episode(1)
    assert store.outcomes().trials.tolist() == [0]
    assert store.episode(0) is not None


def test_store_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = RunStore(IN_MEMORY)
    store.add(0, SUCCEEDED, 4)
    store.commit()
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_record_is_read_as_it_was_stored_with_null_for_values_that_are_not_finite(store: RunStore, path: Path) -> None:
    noted = {"step": np.int64(41), "scene": np.array([[0.1234567, 2.0, -1.0]]), "stopped": np.True_}
    store.set_reasons(REASONS)
    store.add(5, 1, 60, noted | {"tracking": np.array([[0.5, np.nan], [np.inf, 1.0]])})
    store.commit()
    (record,) = RunStore(path, read_only=True).records()
    assert (record.trial, record.success, record.reason, record.length) == (5, False, "never grasped", 60)
    scene = [[0.123457, 2.0, -1.0]]
    assert record.notes == {"step": 41, "scene": scene, "stopped": True, "tracking": [[0.5, None], [None, 1.0]]}


def test_trials_keep_their_reason_by_name_when_the_reasons_change(store: RunStore) -> None:
    store.set_reasons(REASONS)
    for trial, reason in enumerate((0, 1, 2, 3, SUCCEEDED)):
        store.add(trial, reason, 60)
    store.set_reasons(["the physics diverged", "dropped", "never grasped", "never lifted", "other"])
    assert store.outcomes().reason.tolist() == [0, 2, 1, 4, SUCCEEDED]
    assert [record.reason for record in store.records()] == ["the physics diverged", "never grasped", "dropped", "other", ""]


@pytest.mark.parametrize(("layout", "made_by"), [(0, "an older"), (LAYOUT + 1, "a newer")])
def test_store_with_a_different_layout_is_refused_with_a_remedy(path: Path, layout: int, made_by: str) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE trials (trial INTEGER PRIMARY KEY, success INTEGER, stage INTEGER, length INTEGER)")
    database.execute(f"PRAGMA user_version = {layout}")
    database.close()
    with pytest.raises(OutputError, match=f"run.sqlite was written by {made_by} version .* overwrite=true"):
        RunStore(path).outcomes()


def test_error_of_the_caller_is_not_reported_as_damage(path: Path) -> None:
    for error in (ValueError, TypeError, KeyError, AttributeError):
        with pytest.raises(error, match="of the caller"), opened_store(path):
            raise error("of the caller")


@pytest.mark.parametrize(
    "damage",
    ["UPDATE facts SET value = '{'", "UPDATE trials SET reason = 'lift'"],
)
def test_damaged_content_is_reported_with_a_remedy(store: RunStore, path: Path, damage: str) -> None:
    store.add(3, SUCCEEDED, 4)
    store.set_facts(identity={"seed": 1})
    store.commit()
    with sqlite3.connect(path) as database:
        database.execute(damage)
    with pytest.raises(OutputError, match=r"run.sqlite is damaged .* overwrite=true"), opened_store(path) as opened:
        opened.facts()
        opened.outcomes()


def test_reading_leaves_no_files_beside_the_store(path: Path) -> None:
    RunStore(path).close()
    reader = RunStore(path, read_only=True)
    assert list(reader.records()) == []
    reader.close()
    assert list(path.parent.iterdir()) == [path]


def test_reading_the_store_of_a_killed_run_leaves_no_journals_and_keeps_its_trials(path: Path, tmp_path: Path) -> None:
    store = RunStore(path)
    store.set_reasons(["dropped"])
    store.add(0, SUCCEEDED, 5)
    store.commit()
    killed = tmp_path / "killed" / path.name
    killed.parent.mkdir()
    for file in path.parent.glob(f"{path.name}*"):  # As a killed process leaves them.
        shutil.copy(file, killed.parent)
    assert (killed.parent / f"{path.name}-wal").exists()
    for _ in range(2):
        reader = RunStore(killed, read_only=True)
        assert [record.trial for record in reader.records()] == [0]
        reader.close()
        assert list(killed.parent.iterdir()) == [killed]
    store.close()


def test_reader_that_outlives_the_writer_leaves_no_journals(path: Path) -> None:
    store = RunStore(path)
    reader = RunStore(path, read_only=True)
    store.add(0, SUCCEEDED, 5)
    store.commit()
    store.close()
    assert reader.facts() == {}
    reader.close()
    assert list(path.parent.glob(f"{path.name}*")) == [path]


def test_store_that_is_opened_for_reading_cannot_be_changed(path: Path) -> None:
    store = RunStore(path)
    reader = RunStore(path, read_only=True)
    with pytest.raises(sqlite3.OperationalError):
        reader.add(0, SUCCEEDED, 5)
    reader.close()
    store.close()


LARGE = {"rgb": np.random.default_rng(1).integers(0, 255, (4, MIN_BYTES), np.uint8), "low": ROWS["low"]}
NUM_FILES = 3


def store_large(path: Path, num_trials: int = NUM_FILES * 2) -> RunStore:
    """Store large episodes, two per file."""
    store = RunStore(path, first_trial=0, trials_per_file=2)
    for trial in range(num_trials):
        store.add(trial, SUCCEEDED, 4)
        store.add_episode(trial, {name: rows + trial for name, rows in LARGE.items()}, ATTRIBUTES)
    store.commit()
    return store


def files_of(path: Path) -> list[str]:
    folder = episodes_folder(path)
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


def test_large_episodes_are_in_files_and_read_as_they_were_stored(path: Path) -> None:
    store_large(path).close()
    assert path.stat().st_size < NUM_FILES * LARGE["rgb"].nbytes
    assert files_of(path) == ["00000.rows", "00001.rows", "00002.rows"]
    store = RunStore(path, read_only=True)
    for trial in range(NUM_FILES * 2):
        episode = store.episode(trial)
        assert episode is not None and episode.attributes == {"seed": 7, "source_demos": [[1, 2]]}
        for name, rows in LARGE.items():
            np.testing.assert_array_equal(episode.rows[name], rows + trial)
    store.close()


def test_large_episodes_are_durable_before_the_store_refers_to_them(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(episode_files.os, "fsync", lambda file, fsync=os.fsync: (calls.append("fsync"), fsync(file))[1])
    store = RunStore(path)
    store._database.set_trace_callback(lambda text: calls.append(text) if text.startswith("COMMIT") else None)
    store.add_episode(0, LARGE, {})
    store.commit()
    assert calls[0] == "fsync" and calls[-1] == "COMMIT" and calls.count("COMMIT") == 1
    store.close()


def test_large_episode_after_the_remains_of_a_killed_session_is_read(path: Path) -> None:
    store_large(path).close()
    with open(episodes_folder(path) / "00002.rows", "ab") as file:
        file.write(b"not committed")
    store = RunStore(path, trials_per_file=2)
    store.add_episode(5, {"rgb": LARGE["rgb"]}, {})
    store.commit()
    for trial in (4, 5):
        assert store.episode(trial) is not None
    store.close()


def test_files_of_large_episodes_are_deleted_with_their_trials(path: Path) -> None:
    store = store_large(path)
    store.delete_episodes(range(0, 3))
    assert len(files_of(path)) == NUM_FILES, "not before the deletion is durable"
    store.commit()
    assert files_of(path) == ["00001.rows", "00002.rows"], "trial 3 is still in the second file"
    store.delete_from(4)
    store.commit()
    store.delete_unused_files()
    assert files_of(path) == ["00001.rows"]
    store.drop_episodes()
    assert not episodes_folder(path).exists()
    assert (store.episode(3), len(store.outcomes().trials)) == (None, 4)
    store.close()


@pytest.mark.parametrize("damage", ["changed", "cut"])
def test_damaged_file_of_a_large_episode_is_refused_and_its_trial_deleted(path: Path, damage: str) -> None:
    store, file = store_large(path), episodes_folder(path) / "00001.rows"
    content = bytearray(file.read_bytes())
    content[-100] ^= 0x10
    file.write_bytes(content if damage == "changed" else content[:-1])
    with pytest.raises(
        RecorderError, match=r"the episode of trial 3 is damaged .* and was deleted; continue with resume=true"
    ):
        store.episode(3)
    assert store.episode(2) is not None and 3 not in store.outcomes().trials
    store.close()


def test_large_episode_whose_file_was_deleted_is_not_found(path: Path) -> None:
    store = store_large(path)
    (episodes_folder(path) / "00001.rows").unlink()
    assert store.episode(3) is None
    store.close()


def test_store_of_the_last_layout_is_read_and_continued(store: RunStore, path: Path) -> None:
    store._database.execute(f"PRAGMA user_version = {OLDEST_LAYOUT}")
    store.add(0, SUCCEEDED, 4)
    store.add_episode(0, ROWS, ATTRIBUTES)
    store.commit()
    with opened_store(path) as again:
        assert again.outcomes().trials.tolist() == [0]
        again.add(1, SUCCEEDED, 4)
        again.add_episode(1, LARGE, ATTRIBUTES)
        again.commit()
        assert again.episode(0) is not None and again.episode(1) is not None
        assert again._database.execute("PRAGMA user_version").fetchone() == (LAYOUT,), "older versions refuse it"
