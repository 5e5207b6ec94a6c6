"""Report of a run: its counts agree with the trials of the run, and the page is complete in each state of a run."""

# K trials

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from isaaclab_mimic_ext.config import ReportCfg, validate
from isaaclab_mimic_ext.errors import BudgetExhausted, ConfigError, OutputError, SourceDataError
from isaaclab_mimic_ext.report.report import report_run
from isaaclab_mimic_ext.report.run_page import Heading, render_run_page
from isaaclab_mimic_ext.run.rerun import rerun_trials
from isaaclab_mimic_ext.run.session import RunFolder, locked
from isaaclab_mimic_ext.run.store import RunStore
from isaaclab_mimic_ext.run.summary import count_reasons, demo_counts, place_bins, summarize, yaw_bins
from isaaclab_mimic_ext.run.trial_records import RunRecords, read_records
from tests import requires
from tests.forked_scripts import run_script
from tests.jobs import run_generation
from tests.kinematic_sources import generate_cfg
from tests.pages import charts_of, check_page

NUM_TRIALS = 90
LARGE_NOISE = [f"subtask_configs.franka.{index}.action_noise={noise}" for index, noise in enumerate((0.25, 0.5, 0.3, 0.3))]


def generate(source: Path, folder: Path, *overrides: str) -> RunFolder:
    rules = ("num_envs=30", "datagen_config.generation_guarantee=false", "datagen_config.max_num_failures=null")
    run_generation(generate_cfg(source, folder, *rules, *overrides))
    return RunFolder(folder)


def write_page(folder: RunFolder, **fields: object) -> str:
    return report_run(folder.path, **fields).path.read_text()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(kinematic_source: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with several failure reasons."""
    folder = tmp_path_factory.mktemp("report") / "run"
    return generate(kinematic_source, folder, *LARGE_NOISE, f"datagen_config.generation_num_trials={NUM_TRIALS}")


@pytest.fixture(scope="module")
def records(run: RunFolder) -> RunRecords:
    return read_records(run.store)


def test_records_contain_all_trials(run: RunFolder, records: RunRecords) -> None:
    stats = json.loads(run.stats.read_text())
    assert records.trials.tolist() == list(range(NUM_TRIALS))
    assert int(records.success.sum()) == stats["num_success"]
    assert count_reasons(records) == stats["failures"]
    assert all((reason == "") == success for reason, success in zip(records.reason, records.success, strict=True))


def test_resumed_run_has_the_records_of_an_uninterrupted_run(kinematic_source: Path, tmp_path: Path) -> None:
    whole = read_records(
        generate(kinematic_source, tmp_path / "whole", *LARGE_NOISE, "datagen_config.generation_num_trials=40").store
    )
    budget = ("datagen_config.generation_num_trials=40", "datagen_config.max_total_failures=1")
    with pytest.raises(BudgetExhausted):
        generate(kinematic_source, tmp_path / "parts", *LARGE_NOISE, *budget)
    parts = generate(
        kinematic_source, tmp_path / "parts", *LARGE_NOISE, "datagen_config.generation_num_trials=40", "resume=true"
    )
    again = read_records(parts.store)
    for name in ("trials", "success", "reason", "length", "scene", "reached", "source_demos", "tracking"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name), name)


def test_counts_of_the_summary_are_consistent(run: RunFolder, records: RunRecords) -> None:
    summary = summarize(records)
    assert summary == {key: json.loads(run.stats.read_text())[key] for key in summary}
    total, good = len(records), int(records.success.sum())
    subtasks = summary["per_subtask"]
    reached = [record.notes["reached"] for record in RunStore(run.store, read_only=True).records()]
    for index, row in enumerate(subtasks):
        assert row["attained"] == sum(min(steps[: index + 1]) >= 0 for steps in reached)
    assert subtasks[-1]["attained"] < total
    assert [row["term_signal"] for row in subtasks] == ["reach", "grasp", "lift", "place"]
    assert subtasks[0]["trials"] == total
    for row, following in pairwise(subtasks):
        assert row["attained"] == following["trials"]
        assert sum(row["reasons_of_the_others"].values()) == row["trials"] - row["attained"]
    assert subtasks[-1]["attained"] >= good
    for name, column in (("franka.0", 0), ("franka.3", 3)):
        counts = [demo["trials_and_successes_by_subtask"][name] for demo in summary["per_source_demo"].values()]
        assert [sum(values) for values in zip(*counts, strict=True)] == [total, good]
        trials, successes = demo_counts(records, records.subtasks[0][column])
        assert [list(pair) for pair in zip(trials.tolist(), successes.tolist(), strict=True)] == counts
    for places in summary["per_randomization_bin"].values():
        assert np.sum(places["trials"]) == total and np.sum(places["successes"]) == good


def test_trials_are_counted_in_the_bin_of_their_position(records: RunRecords) -> None:
    bins, yaws = place_bins(records, 0), yaw_bins(records, 0)
    assert bins is not None and yaws is not None
    trials = np.zeros_like(bins.trials)
    for x, y, _ in records.scene[:, 0]:
        row = min(int(np.searchsorted(bins.edges[0], x, "right")) - 1, trials.shape[0] - 1)
        column = min(int(np.searchsorted(bins.edges[1], y, "right")) - 1, trials.shape[1] - 1)
        trials[row, column] += 1
    np.testing.assert_array_equal(bins.trials, trials)
    assert yaws.trials.sum() == len(records)
    assert yaw_bins(records, 1) is None, "the yaw of the basket is not randomized"


def test_page_shows_counts_reasons_and_pictures_of_failures(run: RunFolder, records: RunRecords) -> None:
    requires.module("mujoco.batch", "mujoco")
    page = write_page(run, num_failures=2)
    parser = check_page(page)
    assert f"<b>{NUM_TRIALS}</b>" in page and "finished" in page
    for reason, count in count_reasons(records).items():
        assert reason in page
        assert f"{count} trial{'s' if count > 1 else ''}: " in page or "No pictures" in page
    for title in ("Progress", "Why trials fail", "Where trials fail", "Success by source", "Tracking", "lengths"):
        assert f"<h2>{title}" in page or f"{title}</h2>" in page
    if "No pictures" in page:
        requires.missing("opengl", "the page has no pictures")
    pictures = [attributes["src"] or "" for tag, attributes in parser.found if tag == "img"]
    assert len(pictures) == sum(min(count, 2) for count in count_reasons(records).values())
    for source in pictures:
        assert base64.b64decode(source.partition("base64,")[2]).startswith(b"\xff\xd8\xff")
    posters = [attributes["poster"] or "" for tag, attributes in parser.found if tag == "video"]
    assert len(posters) == len(pictures)
    for poster in posters:
        assert base64.b64decode(poster.partition("base64,")[2]).startswith(b"\xff\xd8\xff"), (
            "an unplayed clip shows its start"
        )


def test_charts_show_all_stages_reasons_and_failed_trials(run: RunFolder, records: RunRecords) -> None:
    page = write_page(run, pictures=False)
    charts = charts_of(page)
    assert len(charts) % 2 == 0, "each chart is drawn for wide and for narrow windows"
    for progress, reasons, *places in (charts[::2], charts[1::2]):
        check_charts(records, progress, reasons, places[0])
    assert page == write_page(run, pictures=False), "equal runs must have equal pages"


def check_charts(records: RunRecords, progress: str, reasons: str, places: str) -> None:
    attained = [int(records.attained(subtask).sum()) for subtask in records.subtasks[0]]
    for title, count in zip(("trials", "reach", "grasp", "lift", "place"), (NUM_TRIALS, *attained), strict=True):
        assert f"<title>{title}: {count}</title>" in progress
    for reason, count in count_reasons(records).items():
        assert f"<title>{reason}: {count}</title>" in reasons
    for trial, reason in zip(records.trials[~records.success], records.reason[~records.success], strict=True):
        assert f"<title>trial {trial}: {reason}</title>" in places


def test_names_from_files_are_escaped_everywhere_in_the_page(records: RunRecords) -> None:
    name = '<b onload="x">$a$ & $\\frac'
    facts = records.facts["trials"]
    trials = {
        **facts,
        "eefs": [name],
        "objects": [name + other for other in facts["objects"]],
        "source_demos": [name + other for other in facts["source_demos"]],
        "signals": [[signal and name + signal for signal in row] for row in facts["signals"]],
    }
    reason = np.where(records.success, "", name + "\x00\x1b")
    hostile = replace(records, facts={**records.facts, "trials": trials}, reason=reason)
    page = render_run_page(Heading(name, name, {name: name}), hostile, no_pictures=name)
    check_page(page)
    assert "<b onload" not in page and "&lt;b onload=" in page
    assert "\x00" not in page and "\x1b" not in page


def test_trials_that_run_again_have_the_same_states_and_reasons(run: RunFolder, records: RunRecords) -> None:
    rows = [*np.flatnonzero(~records.success)[:4].tolist(), *np.flatnonzero(records.success)[:2].tolist()]
    films = rerun_trials(run, records.facts["identity"], records.trials[rows].tolist())
    for film, row in zip(films, rows, strict=True):
        assert (film.trial, film.reason) == (records.trials[row], records.reason[row])
        place = film.states["rigid_object"]["ketchup"]["root_pose"]
        assert len(place) == records.length[row]
        np.testing.assert_allclose(place[0, :2], records.scene[row, 0, :2], atol=1e-5)


def test_source_demos_are_found_from_another_folder_than_that_of_the_run(
    run: RunFolder, records: RunRecords, tmp_path: Path
) -> None:
    copy, config = RunFolder(tmp_path / "run"), OmegaConf.load(run.config)
    source, config.input_file = Path(config.input_file), "demos.hdf5"
    copy.path.mkdir()
    OmegaConf.save(config, copy.config)
    with pytest.raises(SourceDataError, match="source demos of the run, is not found"):
        rerun_trials(copy, records.facts["identity"], [0])
    shutil.copyfile(source, tmp_path / "demos.hdf5")
    assert rerun_trials(copy, records.facts["identity"], [0])[0].reason == records.reason[0]
    (tmp_path / "demos.hdf5").rename(tmp_path / "moved.hdf5")
    command = f"# mimic generate input_file={tmp_path / 'moved.hdf5'}\n"
    copy.config.write_text(command + copy.config.read_text())
    assert rerun_trials(copy, records.facts["identity"], [0])[0].reason == records.reason[0]


def test_page_has_no_pictures_if_trials_cannot_be_run_again(run: RunFolder, records: RunRecords, tmp_path: Path) -> None:
    identity = {**records.facts["identity"], "content of input_file (sha256)": "another"}
    with pytest.raises(SourceDataError, match="changed: content of input_file"):
        rerun_trials(run, identity, [0])
    copy = RunFolder(tmp_path / "copy")
    copy.path.mkdir()
    copy.store.write_bytes(run.store.read_bytes())
    page = write_page(copy)
    check_page(page)
    assert "No pictures: " in page and "config.yaml: not found" in page


def test_kept_failed_demos_are_shown_if_trials_cannot_be_run_again(kinematic_source: Path, tmp_path: Path) -> None:
    requires.module("mujoco.batch", "mujoco")
    keep = ("datagen_config.generation_num_trials=25", "datagen_config.generation_keep_failed=true")
    run = generate(kinematic_source, tmp_path / "run", *LARGE_NOISE, *keep)
    run.config.unlink()
    page = write_page(run, num_failures=1, clips=False)
    if "pictures cannot be rendered" in page:
        requires.missing("opengl", "the page has no pictures")
    parser = check_page(page)
    assert "No pictures" not in page
    assert sum(tag == "img" for tag, _ in parser.found) == len(count_reasons(read_records(run.store))) > 0


def test_run_without_failures_has_a_page(kinematic_source: Path, tmp_path: Path) -> None:
    folder = generate(kinematic_source, tmp_path / "run", "datagen_config.generation_num_trials=5")
    folder.picture.write_bytes(b"picture")
    folder.video.write_bytes(b"film")
    page = write_page(folder)
    check_page(page)
    assert "No trial has failed" in page and "100.0%" in page and "Where trials fail" not in page
    assert "<td>demo_4</td><td>4</td>" in page
    assert "data:image/png;base64,cGljdHVyZQ==" in page and "data:video/mp4;base64,ZmlsbQ==" in page
    assert "generation_num_trials: 5" in page


def test_run_in_progress_has_a_page_with_or_without_ended_trials(run: RunFolder, tmp_path: Path) -> None:
    with locked(run):
        page = write_page(run, pictures=False, output_file=str(tmp_path / "page.html"))
    check_page(page)
    assert "in progress" in page
    empty = RunFolder(tmp_path / "empty")
    empty.path.mkdir()
    store = RunStore(empty.store)
    store.set_facts(identity={"task.name": "desktop_organizer"}, trials=read_records(run.store).facts["trials"])
    store.commit()
    store.close()
    check_page(write_page(empty))


def test_page_of_a_run_that_a_budget_ended_covers_the_trials_of_the_result(kinematic_source: Path, tmp_path: Path) -> None:
    with pytest.raises(BudgetExhausted):
        limits = ("datagen_config.generation_num_trials=90", "datagen_config.max_total_failures=2")
        generate(kinematic_source, tmp_path / "run", *LARGE_NOISE, *limits)
    run = RunFolder(tmp_path / "run")
    stats = json.loads(run.stats.read_text())
    page = write_page(run, pictures=False)
    assert f"<b>{stats['num_attempts']}</b><span>trials" in page
    assert "max_total_failures" in page
    assert sum(stats["per_subtask"][0]["reasons_of_the_others"].values()) <= 2


def test_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceDataError, match=r"run.sqlite: not found; give the folder of a generation run"):
        write_page(RunFolder(tmp_path))


def _garbage(store: bytearray) -> None:
    store[:] = b"not a database" * 100


def _bad_record(store: bytearray) -> None:
    place = store.index(b'"scene": [[')
    store[place : place + 8] = b'"scenes"'


@pytest.mark.parametrize("damage", [_garbage, _bad_record])
def test_damaged_store_is_refused(run: RunFolder, tmp_path: Path, damage: Callable[[bytearray], None]) -> None:
    store = bytearray(run.store.read_bytes())
    damage(store)
    copy = RunFolder(tmp_path)
    copy.store.write_bytes(store)
    with pytest.raises(SourceDataError, match=r"run.sqlite: is damaged .*; generate again"):
        write_page(copy)


def test_page_that_cannot_be_written_is_reported(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "nowhere").touch()
    with pytest.raises(OutputError, match=r"output_file: .* cannot be written"):
        write_page(run, pictures=False, output_file=str(tmp_path / "nowhere" / "page.html"))


def test_given_page_is_replaced_only_with_overwrite(run: RunFolder, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("notes")
    with pytest.raises(OutputError, match=r"output_file: .* already exists; use another output_file, or overwrite=true"):
        write_page(run, pictures=False, output_file=str(page))
    assert page.read_text() == "notes"
    assert "<html" in write_page(run, pictures=False, output_file=str(page), overwrite=True)


def test_number_of_drawn_failures_must_be_positive() -> None:
    with pytest.raises(ConfigError, match=r"num_failures: must be >= 1 \(got 0\); pictures=false draws none"):
        validate(ReportCfg(input_dir="run", num_failures=0))


def test_script_writes_the_page_to_the_folder_of_the_run(run: RunFolder) -> None:
    run.report.unlink(missing_ok=True)
    done = run_script("report", f"input_dir={run.path}", "pictures=false", cwd=run.path)
    assert done.returncode == 0, done.stderr
    assert str(run.report) in done.stdout
    check_page(run.report.read_text())
