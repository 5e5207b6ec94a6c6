"""Datasets in shards: contents, kills and resumed runs, missing shards."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.config import GenerateCfg, RecorderCfg
from isaaclab_mimic_ext.config.rules import _check_generate
from isaaclab_mimic_ext.datasets.inspect import inspect_dataset
from isaaclab_mimic_ext.datasets.merge import merge_datasets
from isaaclab_mimic_ext.datasets.split import split_dataset
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.errors import ConfigError, MimicError, RecorderError, SourceDataError
from isaaclab_mimic_ext.files.dataset_file import DatasetFile
from isaaclab_mimic_ext.files.digest import dataset_digest, renew_digests
from isaaclab_mimic_ext.files.shards import shard_folder, shard_path, shards_of
from isaaclab_mimic_ext.files.stream import read_facts, stream_demos
from isaaclab_mimic_ext.files.writing import part_path
from isaaclab_mimic_ext.learn.data import read_demos
from isaaclab_mimic_ext.run import episode_files, shard_writers
from isaaclab_mimic_ext.run.episode_files import EpisodeFiles
from isaaclab_mimic_ext.run.episodes import EpisodeBatch, EpisodeFormat, Field, Output, TrialOutcomes
from isaaclab_mimic_ext.run.result import INTERRUPTED, TARGET_REACHED, RunResult
from isaaclab_mimic_ext.run.shard_writers import ShardWriters
from isaaclab_mimic_ext.run.store import RunStore
from isaaclab_mimic_ext.run.writer_process import _OutputFiles
from isaaclab_mimic_ext.task.reasons import SUCCEEDED

SIZE, NUM_TRIALS, WIDTH = 5, 23, 3
ARRIVAL = np.random.default_rng(1).permutation(NUM_TRIALS)
"""Order in which the trials end."""
SUCCESS = np.random.default_rng(2).random(NUM_TRIALS) < 0.7
FIELDS = Field("actions", (WIDTH,), "low", 0, WIDTH), Field("obs/first", (2,), "low", 0, 2)
ENV_ARGS = {"env_name": "shards", "type": 2, "env_kwargs": {}}


class Killed(Exception):
    """Stands for the end of the process: nothing is closed or committed after it."""


class _Connection:
    def send(self, message: object) -> None:
        pass


@dataclass
class _Run:
    """Run in a folder whose trials are functions of their numbers.

    Attributes:
        changes: changes of its output.
    """

    folder: Path
    shard_demos: int | None = SIZE
    keeps_failed: bool = True

    @property
    def output(self) -> Output:
        failed = self.folder / "demo_failed.hdf5" if self.keeps_failed else None
        return Output(
            self.folder / "demo.hdf5", failed, overwrite=True, store_path=self.folder / "run.sqlite",
            shard_demos=self.shard_demos, names_interrupted=False,
        )  # fmt: skip

    def session(
        self, num_trials: int = NUM_TRIALS, stop_after: int | None = None, reason: str = TARGET_REACHED
    ) -> RunResult:
        """Run the trials below `num_trials` that have not ended, and close the files; only `stop_after` of them."""
        self.folder.mkdir(exist_ok=True)
        writer = _OutputFiles(self.output, EpisodeFormat(ENV_ARGS, FIELDS))
        try:
            return self._session(writer, num_trials, stop_after, reason)
        except BaseException:
            writer.store.close()
            for file in writer.files._files.values():
                file._file.close()
            raise

    def _session(self, writer: _OutputFiles, num_trials: int, stop_after: int | None, reason: str) -> RunResult:
        ended = {*writer.store.outcomes().trials.tolist()}
        rest = [trial for trial in ARRIVAL.tolist() if trial not in ended and trial < num_trials]
        for trial in rest[:stop_after]:
            ended.add(trial)
            committed = next(number for number in range(NUM_TRIALS + 1) if number not in ended)
            writer.store_batch(batch(trial, committed))
            if trial % 4 == 0:
                writer.commit(_Connection())  # type: ignore[arg-type]
            writer.write_until(np.inf)
        attempts = len(ended) if reason == INTERRUPTED else num_trials
        successes = int(SUCCESS[:attempts].sum())
        return writer.close(
            RunResult(self.output.path, attempts, successes, reason, reason == TARGET_REACHED, target=num_trials)
        )


def batch(trial: int, committed: int) -> EpisodeBatch:
    length = 2 + trial % 4
    rows = {"low": np.full((1, length, WIDTH), trial / 100, np.float32) + np.arange(length, dtype=np.float32)[:, None] / 9}
    reason = np.array([SUCCEEDED if SUCCESS[trial] else 0])
    return EpisodeBatch(TrialOutcomes(np.array([trial]), reason, np.array([length])), np.ones(1, bool), rows, {}, committed)


@pytest.fixture(params=["in the store", "in files"])
def episodes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Episodes of any size are in the store, or in files next to it, as large episodes are."""
    if request.param == "in files":
        monkeypatch.setattr(episode_files, "MIN_BYTES", 0)


@pytest.fixture(scope="module")
def in_one_file(tmp_path_factory: pytest.TempPathFactory) -> _Run:
    run = _Run(tmp_path_factory.mktemp("runs") / "one_file", shard_demos=None)
    run.session()
    return run


@pytest.fixture(scope="module")
def in_shards(tmp_path_factory: pytest.TempPathFactory) -> _Run:
    run = _Run(tmp_path_factory.mktemp("runs") / "shards")
    run.session()
    return run


def assert_same(run: _Run, expected: _Run) -> None:
    for name in ("demo.hdf5", "demo_failed.hdf5"):
        assert dataset_digest(run.folder / name) == dataset_digest(expected.folder / name)
        found, wanted = ([*stream_attributes(each.folder / name)] for each in (run, expected))
        assert found == wanted
    assert not [*run.folder.rglob("*.part")]
    assert not episode_files.episodes_folder(run.folder / "run.sqlite").exists()


def stream_attributes(path: Path) -> Iterator[tuple[Any, ...]]:
    for demo in stream_demos(path):
        yield demo.name, demo.num_steps, demo.attributes["trial"], demo.attributes["success"], demo.attributes["digest"]


def test_dataset_in_shards_has_the_demos_and_the_digest_of_one_file(in_one_file: _Run, in_shards: _Run) -> None:
    assert_same(in_shards, in_one_file)
    path = in_shards.output.path
    with h5py.File(path) as file:
        assert shards_of(file) == [shard_path(path, index) for index in range(5)]
    for index in range(5):  # Each shard is a dataset.
        trials = [attributes[2] for attributes in stream_attributes(shard_path(path, index))]
        assert trials == [trial for trial in range(index * SIZE, min((index + 1) * SIZE, NUM_TRIALS)) if SUCCESS[trial]]


def test_training_reads_the_rows_of_one_file_from_shards(in_one_file: _Run, in_shards: _Run) -> None:
    found, expected = (
        read_demos(each.output.path, [demo.name for demo in stream_demos(each.output.path)], ["first"])
        for each in (in_shards, in_one_file)
    )
    assert torch.equal(found.actions, expected.actions) and torch.equal(found.obs["first"], expected.obs["first"])
    assert torch.equal(found.first, expected.first) and torch.equal(found.last, expected.last)


@pytest.mark.usefixtures("episodes")
def test_episodes_leave_the_store_when_their_shard_is_closed(tmp_path: Path) -> None:
    run = _Run(tmp_path / "run")
    run.session(stop_after=21, reason=INTERRUPTED)
    store = RunStore(run.output.store_path, read_only=True)
    is_closed = [shard_path(run.output.path, trial // SIZE).exists() for trial in range(NUM_TRIALS)]
    assert any(is_closed) and not all(is_closed)
    for trial in ARRIVAL[:21].tolist():
        assert (store.episode(trial) is None) == is_closed[trial], trial
    store.close()


@pytest.mark.usefixtures("episodes")
def test_interrupted_run_leaves_a_readable_file_and_resumes_to_the_same_dataset(tmp_path: Path, in_one_file: _Run) -> None:
    run = _Run(tmp_path / "run")
    part = run.session(stop_after=17, reason=INTERRUPTED).dataset
    assert part.name == "demo.hdf5.part" and not run.output.path.exists()
    ended = sorted(ARRIVAL[:17].tolist())
    assert [found[2] for found in stream_attributes(part)] == [trial for trial in ended if SUCCESS[trial]]
    run.session()
    assert_same(run, in_one_file)


@pytest.mark.usefixtures("episodes")
@pytest.mark.parametrize(
    ("owner", "name"),
    [(EpisodeFiles, "append"), (EpisodeFiles, "sync"), (EpisodeFiles, "remove"), (EpisodeFiles, "clear"),
     (RunStore, "commit"), (RunStore, "add_episode"), (RunStore, "delete_episodes"), (RunStore, "drop_episodes"),
     (DatasetFile, "add_demo"), (DatasetFile, "finish"), (DatasetFile, "publish"), (DatasetFile, "add_link")],
)  # fmt: skip
def test_run_killed_at_any_point_resumes_to_the_same_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_one_file: _Run, owner: type, name: str
) -> None:
    """The first session is killed before the third call of a function, the second session after its first call."""
    original, num_calls, session = getattr(owner, name), 0, 1

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal num_calls
        num_calls += 1
        if (session, num_calls) == (1, 3):
            raise Killed
        result = original(*arguments, **named)
        if (session, num_calls) == (2, 1):
            raise Killed
        return result

    monkeypatch.setattr(owner, name, call)
    run = _Run(tmp_path / "run")
    for session in (1, 2, 3):  # noqa: B007  # `call` reads it.
        num_calls = 0
        with suppress(Killed):
            run.session()
    assert_same(run, in_one_file)


def test_interrupted_run_links_complete_shards_next_to_unfinished_ones_of_a_killed_session(tmp_path: Path) -> None:
    run = _Run(tmp_path / "run")
    run.session(stop_after=21, reason=INTERRUPTED)
    closed = sorted(shard_folder(run.output.path).glob("*.hdf5"))
    assert closed
    for shard in closed:
        part_path(shard).write_bytes(b"of a killed session")
    part = run.session(stop_after=0, reason=INTERRUPTED).dataset
    ended = sorted(ARRIVAL[:21].tolist())
    assert [found[2] for found in stream_attributes(part)] == [trial for trial in ended if SUCCESS[trial]]


@pytest.mark.usefixtures("episodes")
def test_run_continues_to_a_larger_target_with_the_closed_shards(tmp_path: Path, in_one_file: _Run) -> None:
    run = _Run(tmp_path / "run")
    run.session(num_trials=12)
    closed = shard_path(run.output.path, 1)
    before = closed.stat()
    store = RunStore(run.output.store_path)
    store.delete_from(12)
    store.commit()
    store.close()
    run.session()
    assert_same(run, in_one_file)
    assert (closed.stat().st_mtime_ns, closed.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.usefixtures("episodes")
def test_smaller_target_removes_the_demos_of_later_trials(tmp_path: Path) -> None:
    run, direct = _Run(tmp_path / "run"), _Run(tmp_path / "direct")
    run.session(stop_after=22, reason=INTERRUPTED)
    run.session(num_trials=7)
    direct.session(num_trials=7)
    assert_same(run, direct)
    assert sorted(path.name for path in shard_folder(run.output.path).iterdir()) == ["demo_00000.hdf5", "demo_00001.hdf5"]


def test_closed_shard_that_is_lost_is_named(tmp_path: Path) -> None:
    run = _Run(tmp_path / "run")
    run.session(stop_after=21, reason=INTERRUPTED)
    shard_path(run.output.path, 0).unlink()
    with pytest.raises(MimicError, match=r"demo_00000\.hdf5: not found, and run\.sqlite does not contain its demos"):
        run.session()


def test_dataset_in_shards_can_be_moved(tmp_path: Path, in_shards: _Run, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = dataset_digest(in_shards.output.path)
    moved = tmp_path / "elsewhere" / "moved"
    shutil.copytree(in_shards.folder, moved)
    (moved / "demo.hdf5").rename(moved / "renamed.hdf5")
    monkeypatch.chdir(tmp_path)
    assert dataset_digest("elsewhere/moved/renamed.hdf5") == digest
    (tmp_path / "link.hdf5").symlink_to(moved / "renamed.hdf5")
    assert dataset_digest("link.hdf5") == digest


READERS = {
    "inspect": inspect_dataset,
    "validate": lambda path: validate_dataset(path, num_replays=0),
    "split": split_dataset,
    "merge": lambda path: merge_datasets([path], path.with_name("merged.hdf5")),
    "facts": read_facts,
    "digest": dataset_digest,
}


@pytest.mark.parametrize("reader", READERS)
def test_missing_shard_is_named_by_every_reader(
    tmp_path: Path, in_shards: _Run, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(in_shards.folder, tmp_path / "run")
    shard_path(tmp_path / "run/demo.hdf5", 3).unlink()
    # HDF5 would take the shards of another dataset in the working directory.
    monkeypatch.chdir(in_shards.folder)
    with pytest.raises(SourceDataError) as raised:
        READERS[reader](tmp_path / "run/demo.hdf5")
    assert str(raised.value) == (
        f"{tmp_path}/run/demo.hdf5: shards not found: {tmp_path}/run/demo_shards/demo_00003.hdf5 (1 of 5 missing); copy the "
        "folder demo_shards that belongs to demo.hdf5 next to it"
    )


def test_damaged_shard_is_named(tmp_path: Path, in_shards: _Run) -> None:
    shutil.copytree(in_shards.folder, tmp_path / "run")
    shard = shard_path(tmp_path / "run/demo.hdf5", 3)
    os.truncate(shard, shard.stat().st_size - 100)
    with pytest.raises(SourceDataError, match=r"demo_shards/demo_00003\.hdf5: the file is damaged or incomplete"):
        dataset_digest(tmp_path / "run/demo.hdf5")
    left = [demo.name for demo in stream_demos(tmp_path / "run/demo.hdf5")]
    with h5py.File(shard_path(in_shards.output.path, 3)) as file:
        assert len(left) == int(SUCCESS.sum()) - len(file["data"]), "the demos of other shards can be used"


def test_missing_shards_are_counted_without_unfinished_ones(tmp_path: Path, in_shards: _Run) -> None:
    shutil.copytree(in_shards.folder, tmp_path / "run")
    for index in (1, 3):
        shard = shard_path(tmp_path / "run/demo.hdf5", index)
        shard.rename(part_path(shard))
    with pytest.raises(SourceDataError, match=r"demo_00001\.hdf5 \(2 of 5 missing\)"):
        read_facts(tmp_path / "run/demo.hdf5")


def test_masks_and_renewed_digests_of_a_dataset_in_shards(tmp_path: Path, in_shards: _Run) -> None:
    shutil.copytree(in_shards.folder, tmp_path / "run")
    path = tmp_path / "run/demo.hdf5"
    split = split_dataset(path, ratio=0.5)
    assert inspect_dataset(path).masks == {"train": len(split.train), "valid": len(split.valid)}
    assert [demo.name for demo in stream_demos(path, "valid")] == [*split.valid]
    with h5py.File(path, "r+") as file:
        file["data/demo_8/actions"][0, 0] += 1
    found = validate_dataset(path, num_replays=0)
    assert [each.place for each in found.findings if each.level == "error"] == ["demo_8"]
    assert renew_digests(path, ["demo_8"]) == ("demo_8",)
    assert validate_dataset(path, num_replays=0).num_errors == 0


def test_merge_makes_one_file_of_shards(tmp_path: Path, in_shards: _Run, in_one_file: _Run) -> None:
    merged = tmp_path / "merged.hdf5"
    merge_datasets([in_shards.output.path], merged)
    assert dataset_digest(merged) == dataset_digest(in_one_file.output.path)
    with h5py.File(merged) as file:
        assert not shards_of(file) and "num_shards" not in file["data"].attrs
    with pytest.raises(ConfigError, match="must be two or more files"):
        merge_datasets([merged], tmp_path / "again.hdf5")


def test_size_of_a_dataset_includes_its_shards(in_shards: _Run) -> None:
    files = [in_shards.output.path, *shard_folder(in_shards.output.path).iterdir()]
    assert inspect_dataset(in_shards.output.path).size_bytes == sum(path.stat().st_size for path in files)


def test_second_name_of_a_dataset_in_shards_is_refused() -> None:
    cfg = GenerateCfg(input_file="demos.hdf5", output_file="again.hdf5", recorder=RecorderCfg(shard_demos=SIZE))
    with pytest.raises(ConfigError, match=r"output_file: must be null with recorder\.shard_demos=5"):
        _check_generate(cfg)


def write_with(run: _Run, num_writers: int, killed_after: int | None = None) -> None:
    """Send the trials that have not ended to several writer processes; kill one of them after some trials."""
    run.folder.mkdir(exist_ok=True)
    store = RunStore(run.output.store_path)
    ended = {*store.outcomes().trials.tolist()}
    store.close()
    writers = ShardWriters(run.output, EpisodeFormat(ENV_ARGS, FIELDS), num_writers)
    for number, trial in enumerate([trial for trial in ARRIVAL.tolist() if trial not in ended]):
        if number == killed_after:
            writers.wait_until_durable()
            os.kill(writers._writers[1]._process.pid, signal.SIGKILL)
        ended.add(trial)
        writers.put(batch(trial, next(number for number in range(NUM_TRIALS + 1) if number not in ended)))
    successes = int(SUCCESS.sum())
    result = writers.close(RunResult(run.output.path, NUM_TRIALS, successes, TARGET_REACHED, True, NUM_TRIALS))
    assert (result.num_demos, writers.num_saved <= NUM_TRIALS) == (successes, True)


@pytest.mark.parametrize("num_writers", [2, 3])
def test_shards_of_several_writers_have_the_bytes_of_one_writer(
    tmp_path: Path, in_shards: _Run, in_one_file: _Run, num_writers: int
) -> None:
    run = _Run(tmp_path / "run")
    write_with(run, num_writers)
    assert_same(run, in_one_file)
    for index in range(5):
        found, expected = (shard_path(each.output.path, index).read_bytes() for each in (run, in_shards))
        assert found == expected


def test_folders_of_shards_exist_before_several_processes_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, found = _Run(tmp_path / "run"), []
    folders = [shard_folder(run.output.path), shard_folder(run.folder / "demo_failed.hdf5")]
    monkeypatch.setattr(shard_writers, "EpisodeWriter", lambda *_: found.append([each.is_dir() for each in folders]))
    ShardWriters(run.output, EpisodeFormat(ENV_ARGS, FIELDS), 2)
    assert found == [[True, True]] * 2


def test_one_process_writes_all_shards_on_a_file_system_without_locks(
    tmp_path: Path, in_one_file: _Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _Run(tmp_path / "run")
    run.folder.mkdir()
    monkeypatch.setattr(shard_writers, "has_locks", lambda folder: False)
    writer = shard_writers.open_writer(replace(run.output, num_writers=4), EpisodeFormat(ENV_ARGS, FIELDS))
    for trial in range(NUM_TRIALS):
        writer.put(batch(trial, trial + 1))
    num_successes = int(SUCCESS.sum())
    writer.close(RunResult(run.output.path, NUM_TRIALS, num_successes, TARGET_REACHED, True, NUM_TRIALS))
    assert_same(run, in_one_file)


def test_run_with_a_killed_writer_resumes_with_another_number_of_writers(tmp_path: Path, in_one_file: _Run) -> None:
    run = _Run(tmp_path / "run")
    with pytest.raises(RecorderError, match="the writer process was killed by signal 9"):
        write_with(run, 2, killed_after=9)
    store = RunStore(run.output.store_path)
    assert {*ARRIVAL[:9].tolist()} <= {*store.outcomes().trials.tolist()}
    store.close()
    write_with(run, 3)
    assert_same(run, in_one_file)


@pytest.mark.parametrize("lacking", ["has_locks", "has_shared_memory"])
def test_one_process_writes_the_shards_where_processes_cannot_share_the_store(
    tmp_path: Path, lacking: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    output = replace(_Run(tmp_path).output, num_writers=2)
    assert shard_writers._num_writers(output) == 2
    monkeypatch.setattr(shard_writers, lacking, lambda folder: False)
    assert shard_writers._num_writers(output) == 1
    assert "One process writes the shards instead of 2" in caplog.text


def test_several_writers_of_one_file_are_refused() -> None:
    cfg = GenerateCfg(input_file="demos.hdf5", recorder=RecorderCfg(num_writers=2))
    with pytest.raises(ConfigError, match=r"recorder\.num_writers: must be 1 for a dataset in one file \(got 2\)"):
        _check_generate(cfg)
