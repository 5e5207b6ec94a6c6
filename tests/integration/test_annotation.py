"""Annotation with start signals and with a marks file, from the configuration to the annotated file."""

import errno
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.datasets.annotate import Annotation
from isaaclab_mimic_ext.datasets.marks import actions_digest, read_marks
from isaaclab_mimic_ext.datasets.replay import read_demos
from isaaclab_mimic_ext.errors import ConfigError, MimicError, RecorderError, SourceDataError
from tests.forked_scripts import ROOT
from tests.jobs import command, run_annotation
from tests.kinematic_sources import read_tree
from tests.processes import HANG_S

SIGNALS = ("reach", "grasp", "lift", "place")
STARTS, TERMS = ("obs/datagen_info/" + name for name in ("subtask_start_signals", "subtask_term_signals"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two demos of the scripted operator, without physics."""
    path = tmp_path_factory.mktemp("recorded") / "raw.hdf5"
    command("record", load_config("record_demos", ["sim=kinematic", "num_demos=2", f"output_file={path}"]))
    return path


def annotate(recorded: Path, output: Path, *overrides: str) -> list[Annotation]:
    return run_annotation(load_config("annotate_demos", _arguments(recorded, output, *overrides)))


def _arguments(recorded: Path, output: Path, *overrides: str) -> list[str]:
    return ["sim=kinematic", f"input_file={recorded}", f"output_file={output}", *overrides]


def leaves_of(path: Path, demo: str = "demo_0") -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return read_tree(file["data"][demo])


def write_marks(path: Path, text: str) -> str:
    path.write_text(text)
    return f"marks_file={path}"


def test_start_signals_are_added_without_other_changes(recorded, tmp_path):
    annotate(recorded, tmp_path / "plain.hdf5")
    annotations = annotate(recorded, tmp_path / "with.hdf5", "annotate_subtask_start_signals=true")
    plain, both = leaves_of(tmp_path / "plain.hdf5"), leaves_of(tmp_path / "with.hdf5")
    assert set(both) - set(plain) == {f"{STARTS}/{signal}" for signal in SIGNALS}
    for name, values in plain.items():
        np.testing.assert_array_equal(both[name], values)
    rises = [int(both[f"{STARTS}/{signal}"].argmax()) for signal in SIGNALS]
    assert rises == annotations[0].starts["franka"]
    assert both[f"{STARTS}/reach"].dtype == bool


def test_annotation_of_an_annotated_file_is_reported(recorded, tmp_path, caplog):
    annotate(recorded, tmp_path / "annotated.hdf5")
    assert "already annotated" not in caplog.text
    annotate(tmp_path / "annotated.hdf5", tmp_path / "again.hdf5")
    assert "annotated.hdf5 is already annotated (from raw.hdf5)" in caplog.text


def test_full_disk_gives_one_clear_error_and_leaves_no_file(recorded, tmp_path):
    script = [sys.executable, str(ROOT / "scripts/annotate_demos.py"), *_arguments(recorded, tmp_path / "annotated.hdf5")]
    # A limit on the size of files replaces a full disk.
    limited = ["bash", "-c", 'ulimit -f 100; trap "" XFSZ; exec "$@"', "bash", *script]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=HANG_S)
    (message,) = (line for line in done.stderr.splitlines() if line.startswith("RecorderError: "))
    assert message.endswith("annotated.hdf5 cannot be written: File too large; free some space and run again")
    assert list(tmp_path.iterdir()) == []


def test_marks_replace_signals_of_the_task_only_in_the_named_demo(recorded, tmp_path):
    annotate(recorded, tmp_path / "plain.hdf5")
    end = int(leaves_of(tmp_path / "plain.hdf5")[f"{TERMS}/lift"].argmax()) + 5
    marks = write_marks(tmp_path / "marks.yaml", f"demo_0: {{term: {{lift: {end}}}}}")
    annotations = annotate(recorded, tmp_path / "marked.hdf5", marks)
    marked = leaves_of(tmp_path / "marked.hdf5")[f"{TERMS}/lift"]
    np.testing.assert_array_equal(marked, np.arange(len(marked)) >= end)
    assert annotations[0].ends["franka"][2] == end + 1
    for signal in SIGNALS:
        expected = leaves_of(tmp_path / "plain.hdf5", "demo_1")[f"{TERMS}/{signal}"]
        np.testing.assert_array_equal(leaves_of(tmp_path / "marked.hdf5", "demo_1")[f"{TERMS}/{signal}"], expected)


MARKS = """
demo_0: {term: {reach: 30, grasp: 60, lift: 90}, start: {reach: 0, grasp: 50, lift: 80, place: 100}}
demo_1: {term: {reach: 31, grasp: 61}}
"""


def test_without_auto_only_marked_signals_are_written(recorded, tmp_path):
    marks = write_marks(tmp_path / "marks.yaml", MARKS)
    annotations = annotate(recorded, tmp_path / "out.hdf5", "auto=false", "annotate_subtask_start_signals=true", marks)
    leaves = leaves_of(tmp_path / "out.hdf5")
    signals = {name: int(values.argmax()) for name, values in leaves.items() if "signals/" in name}
    terms = {f"{TERMS}/reach": 30, f"{TERMS}/grasp": 60, f"{TERMS}/lift": 90}
    assert signals == terms | {f"{STARTS}/{name}": step for name, step in zip(SIGNALS, (0, 50, 80, 100), strict=True)}
    assert "demo_1: term signal 'lift' is not marked; add 'demo_1: {term: {lift: <step>}}'" in str(annotations[1].rejection)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("demo_7: {}", "demo 'demo_7' not found; choices: demo_0, demo_1"),
        (
            "demo_0: {terms: {}}",
            "key 'terms' not found; choices: term, start, leave_out, actions (did you mean 'term'?)",
        ),
        ("demo_0: {term: {raech: 3}}", "demo_0: term: signal 'raech' not found; choices: reach, grasp, lift, place"),
        ("demo_0: {term: {reach: soon}}", "demo_0: term.reach: must be an integer (got 'soon')"),
        ("demo_0: {term: {reach: true}}", "must be an integer (got True)"),
        ("- demo_0", "is not a mapping"),
        ("demo_0: {term: ", "is not a YAML file"),
    ],
)
def test_invalid_marks_file_is_refused(recorded, tmp_path, text, words):
    with pytest.raises(SourceDataError) as caught:
        annotate(recorded, tmp_path / "out.hdf5", write_marks(tmp_path / "marks.yaml", text))
    assert words in str(caught.value)
    assert "marks.yaml" in str(caught.value)
    assert not (tmp_path / "out.hdf5").exists()


@pytest.mark.parametrize("step", [0, 10_000])
def test_mark_outside_of_a_demo_rejects_the_demo(recorded, tmp_path, step):
    marks = write_marks(tmp_path / "marks.yaml", f"demo_0: {{term: {{reach: {step}}}}}")
    annotations = annotate(recorded, tmp_path / "out.hdf5", marks)
    num_steps = annotations[0].demo.num_steps
    assert f"the mark of 'reach' must be at a step from 1 to {num_steps - 1} (got {step})" in str(annotations[0].rejection)
    assert annotations[1].rejection is None


def test_start_of_a_skill_after_its_end_rejects_the_demo(recorded, tmp_path):
    marks = write_marks(tmp_path / "marks.yaml", "demo_0: {term: {reach: 30}, start: {reach: 40}}")
    annotations = annotate(recorded, tmp_path / "out.hdf5", "annotate_subtask_start_signals=true", marks)
    assert "signal 'reach' never rises at or after step 40, where the subtask begins" in str(annotations[0].rejection)


def test_annotation_without_auto_requires_a_marks_file(recorded, tmp_path):
    with pytest.raises(ConfigError, match="auto: false requires a marks_file"):
        annotate(recorded, tmp_path / "out.hdf5", "auto=false")
    with pytest.raises(SourceDataError, match=r"nothing\.yaml: not found; check marks_file"):
        annotate(recorded, tmp_path / "out.hdf5", "auto=false", f"marks_file={tmp_path}/nothing.yaml")


def lengths_of(recorded: Path) -> list[int]:
    with h5py.File(recorded) as file:
        return [len(demo["actions"]) for demo in file["data"].values()]


def typed(num_steps: int, steps: tuple[int, ...]) -> str:
    """Keys of one replay, one per step, that begin it and mark these steps (> 0)."""
    return "n" + "".join("s" if step in steps else "." for step in range(1, num_steps))


def annotate_with_keys(recorded: Path, folder: Path, keys: str, monkeypatch, *overrides: str) -> Path:
    """Annotate with keys from a file, and return the annotated file."""
    (folder / "keys.txt").write_text(keys)
    cfg = load_config("annotate_demos", _arguments(recorded, folder / "keys.hdf5", "auto=false", *overrides))
    with open(folder / "keys.txt") as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", file)
        command("annotate", cfg)
    return folder / "keys.hdf5"


def test_keys_that_mark_signals_give_the_file_of_a_marks_file(recorded, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    first, second = lengths_of(recorded)
    # The first replay lacks a mark. In the second, the replay is paused before step 60 and continued.
    paused = typed(first, (30, 60, 90))
    keys = typed(first, (30, 60)) + f"{paused[:60]}b.s.n{paused[61:]}" + typed(second, (31, 61, 91))
    found = annotate_with_keys(recorded, tmp_path, keys, monkeypatch)
    assert "demo_0, franka: 2 of 3 signals are marked; the demo is replayed again" in caplog.text
    assert "demo_0, franka: to mark: term signal 'reach', term signal 'grasp', term signal 'lift'" in caplog.text
    marks = write_marks(
        tmp_path / "m.yaml",
        "demo_0: {term: {reach: 30, grasp: 60, lift: 90}}\ndemo_1: {term: {reach: 31, grasp: 61, lift: 91}}",
    )
    annotate(recorded, tmp_path / "marks.hdf5", "auto=false", marks)
    annotate(recorded, tmp_path / "again.hdf5", "auto=false", f"marks_file={tmp_path / 'keys.marks.yaml'}")
    for demo in ("demo_0", "demo_1"):
        leaves = leaves_of(found, demo)
        for other in ("marks", "again"):
            expected = leaves_of(tmp_path / f"{other}.hdf5", demo)
            assert list(leaves) == list(expected)
            for path, values in expected.items():
                np.testing.assert_array_equal(leaves[path], values, err_msg=path)


def test_keys_mark_the_start_and_the_end_of_each_skill_in_turn(recorded, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    first, _ = lengths_of(recorded)
    # With `pause_subtask`, N continues after each mark; the key of the next step follows.
    steps = (20, 30, 50, 60, 80, 90, 100)
    keys = typed(first, steps).replace("s", "sn")
    found = annotate_with_keys(
        recorded, tmp_path, keys + "q", monkeypatch, "annotate_subtask_start_signals=true", "pause_subtask=true"
    )
    leaves = leaves_of(found)
    signals = [f"{group}/{name}" for name in SIGNALS for group in (STARTS, TERMS)][:-1]
    assert tuple(int(leaves[signal].argmax()) for signal in signals) == steps
    assert f"{TERMS}/place" not in leaves
    with h5py.File(found) as file:
        assert list(file["data"]) == ["demo_0"], "the second demo was left out"
    assert "Left out with Q, also when the marks are used again: demo_1" in caplog.text
    assert "rejected" not in caplog.text and "Annotated 1 of 1 demo;" in caplog.text
    starts, marks = "annotate_subtask_start_signals=true", f"marks_file={tmp_path / 'keys.marks.yaml'}"
    annotate(recorded, tmp_path / "again.hdf5", "auto=false", starts, marks)
    with h5py.File(tmp_path / "again.hdf5") as file:
        assert list(file["data"]) == ["demo_0"]
    (tmp_path / "keys.hdf5").unlink()
    (tmp_path / "keys.marks.yaml").unlink()
    with pytest.raises(MimicError, match=r"raw\.hdf5: 2 demos were left out; no file was written"):
        annotate_with_keys(recorded, tmp_path, "qq", monkeypatch)
    assert not (tmp_path / "keys.hdf5").exists()


def test_keys_that_end_early_keep_the_marks_of_complete_demos(recorded, tmp_path, monkeypatch):
    first, _ = lengths_of(recorded)
    with pytest.raises(ConfigError, match=r"requires a marks_file.*the keys ended before demo_1, franka was marked"):
        annotate_with_keys(recorded, tmp_path, "n..r" + typed(first, (30, 60, 90)) + "n.s", monkeypatch)
    assert not (tmp_path / "keys.hdf5").exists()
    marks = read_marks(tmp_path / "keys.marks.yaml", ["demo_0"], SIGNALS)
    assert marks["demo_0"].term == {"reach": 30, "grasp": 60, "lift": 90}
    (demo,) = read_demos(recorded, ["demo_0"])
    assert marks["demo_0"].actions == actions_digest(demo), "the marks cannot be used for a different recording"


def test_masks_keep_their_demos_under_the_names_of_the_output(recorded, tmp_path, caplog):
    raw = Path(shutil.copy(recorded, tmp_path / "raw.hdf5"))
    with h5py.File(raw, "r+") as file:
        file["data"].move("demo_0", "demo_7")
        file["mask/train"], file["mask/valid"], file["mask/old"] = ["demo_7", "demo_1"], ["demo_7"], ["demo_4"]
    annotate(raw, tmp_path / "annotated.hdf5")
    with h5py.File(tmp_path / "annotated.hdf5") as file:
        assert {name: each.asstr()[()].tolist() for name, each in file["mask"].items()} == {
            "train": ["demo_1", "demo_0"],
            "valid": ["demo_1"],
        }
    assert "mask/old: left out, because none of its demos was annotated" in caplog.text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("actions", "demo_0 is left out: actions: must be finite (got NaN or infinity at step 3)"),
        ("initial_state/rigid_object/basket/root_pose", "root_pose: must be finite (got NaN or infinity at step 0)"),
        ("obs/eef_pos", "demo_0: obs/eef_pos: NaN or infinity at step 3 is copied, and makes training fail"),
    ],
)
def test_values_that_are_not_finite_are_named_with_demo_dataset_and_step(recorded, tmp_path, caplog, path, text):
    raw = Path(shutil.copy(recorded, tmp_path / "raw.hdf5"))
    with h5py.File(raw, "r+") as file:
        demo = file["data/demo_0"]
        demo[path][min(3, len(demo[path]) - 1), 1] = np.nan
        del demo.attrs["digest"]
    annotations = annotate(raw, tmp_path / "annotated.hdf5")
    assert [annotation.demo.name for annotation in annotations] == (
        ["demo_1"] if "left out" in text or "state" in path else ["demo_0", "demo_1"]
    )
    assert text in caplog.text


def test_file_without_accepted_demos_is_refused(recorded, tmp_path):
    with pytest.raises(MimicError, match="2 demos were rejected"):
        annotate(recorded, tmp_path / "out.hdf5", "auto=false", write_marks(tmp_path / "marks.yaml", "{}"))


def test_full_disk_is_reported_when_the_output_is_created(recorded, tmp_path, monkeypatch):
    def on_full_disk(*arguments, **options):
        Path(arguments[0]).touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    real = h5py.File
    monkeypatch.setattr(h5py, "File", lambda *words, **options: (on_full_disk if "w" in words else real)(*words, **options))
    with pytest.raises(RecorderError, match=r"out\.hdf5 cannot be written: No space left on device; free some space"):
        annotate(recorded, tmp_path / "new/out.hdf5")
    assert not (tmp_path / "new").exists()


def test_demos_that_the_marks_leave_out_are_not_annotated(recorded, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    annotate(recorded, tmp_path / "out.hdf5", write_marks(tmp_path / "marks.yaml", "demo_0: {leave_out: true}"))
    assert "demo_0: left out" in caplog.text
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert [demo.attrs["recorded_as"] for demo in file["data"].values()] == ["demo_1"]
    marks = write_marks(tmp_path / "marks.yaml", "demo_0: {leave_out: true}\ndemo_1: {leave_out: true}")
    with pytest.raises(SourceDataError, match=r"marks\.yaml: must not leave out all demos; remove leave_out of a demo"):
        annotate(recorded, tmp_path / "none.hdf5", marks)


def test_attempts_without_a_demo_do_not_change_the_annotated_file(recorded, tmp_path):
    annotate(recorded, tmp_path / "before.hdf5")
    longer = tmp_path / recorded.name
    longer.write_bytes(recorded.read_bytes())
    with h5py.File(longer, "r+") as file:
        file["data"].attrs["num_attempts"] = 100
    annotate(longer, tmp_path / "after.hdf5")
    assert (tmp_path / "before.hdf5").read_bytes() == (tmp_path / "after.hdf5").read_bytes()


def test_marks_of_a_different_recording_are_refused(recorded, tmp_path):
    marks = write_marks(tmp_path / "marks.yaml", "demo_1: {term: {reach: 30}, actions: sha256:0123456789abcdef}")
    with pytest.raises(SourceDataError, match=r"marks\.yaml: demo_1: belongs to a different demo of this name"):
        annotate(recorded, tmp_path / "out.hdf5", marks)
    assert not (tmp_path / "out.hdf5").exists()
