"""The path of the studio: states of its steps from the files of a session, and the commands that it starts."""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest

from isaaclab_mimic_ext.command_lines import program
from isaaclab_mimic_ext.datasets.annotated_from import ANNOTATED_DEMOS, contents_as_text, contents_of
from isaaclab_mimic_ext.datasets.marks import read_marks
from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.writing import part_path
from isaaclab_mimic_ext.run.result import TARGET_REACHED, RunResult
from isaaclab_mimic_ext.run.session import CONTENT, WATCH_HINT, RunFolder, content_digest, locked
from isaaclab_mimic_ext.run.store import RunStore
from isaaclab_mimic_ext.studio.child_command import start_time
from isaaclab_mimic_ext.studio.folder import StudioFolder
from isaaclab_mimic_ext.studio.path_jobs import ENDED, STOPPED, StepRunner
from isaaclab_mimic_ext.studio.path_results import NOT_READY, last_lines, progress_of, result_of
from isaaclab_mimic_ext.studio.path_steps import STEPS, PathFiles, Recorded, State, StepState
from isaaclab_mimic_ext.studio.path_tab import PathTab
from isaaclab_mimic_ext.studio.protocol import Refusal
from isaaclab_mimic_ext.studio.recorded_demos import RecordedDemos
from isaaclab_mimic_ext.studio.tabs import Client
from isaaclab_mimic_ext.task.reasons import SUCCEEDED
from tests.processes import HANG_S

RECORDED = Recorded((0, 2), 2, True)
SUMMARY = "0 errors, 1 warning, 2 notes"
PYTHON = f"{sys.executable} -c "


@pytest.fixture
def folder(tmp_path: Path) -> StudioFolder:
    folder = StudioFolder(tmp_path)
    folder.raw.touch()
    return folder


def last_line(output: str) -> str:
    return output.splitlines()[-1] if output else "nothing"


def write(path: Path, age: float, content: str = "") -> None:
    """Write a file that was last changed `age` seconds ago."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".hdf5":
        with h5py.File(path, "w") as file:
            file.create_dataset("data/demo_0/actions", data=[[0.0]])
    else:
        path.write_text(content)
    os.utime(path, (time.time() - age,) * 2)


def write_progress(folder: StudioFolder, age: float = 0, **changes: Any) -> None:
    values = {
        "state": "running",
        "successes": 40,
        "target": 100,
        "trials": 125,
        "remaining_s": 61.0,
        "stop_reason": None,
    }
    values |= {"pid": os.getpid(), "host": socket.gethostname(), **changes}
    write(folder.run / "config.yaml", age)
    write(folder.run / "progress.json", age, json.dumps(values))


def states(folder: StudioFolder, recorded: Recorded = RECORDED, count: int = 100, **outcomes: Any) -> dict[str, StepState]:
    steps = PathFiles(folder, "desktop_organizer").states(recorded, outcomes, count)
    return {step.name: step for step in steps}


def test_steps_of_a_new_session_wait_for_the_recording(tmp_path: Path) -> None:
    steps = states(StudioFolder(tmp_path), Recorded((), 10, False))
    assert tuple(steps) == STEPS
    assert [step.state for step in steps.values()] == [State.RUNNING, *[State.MISSING] * 4]
    assert [step.is_next for step in steps.values()] == [True, False, False, False, False]
    assert steps["record"].figure == "0 of 10 demos"
    assert steps["mark"].fault == "the recording runs; end it first (Save and end, on the tab Record)"
    assert steps["check"].fault == steps["generate"].fault == "annotated.hdf5 does not exist; do the step Annotate first"
    assert steps["report"].fault == "no demos were generated; do the step Generate first"
    assert [step.first for step in steps.values()] == ["", "record", "mark", "mark", "generate"]


def test_next_step_is_the_first_that_is_missing(folder: StudioFolder) -> None:
    steps = states(folder)
    assert steps["mark"].is_next
    assert f"mimic annotate input_file={folder.raw} output_file={folder.annotated}" == steps["mark"].command
    write(folder.annotated, 0)
    steps = states(folder)
    assert (steps["mark"].state, steps["mark"].figure) == (State.DONE, "1 demo")
    assert steps["mark"].command.endswith(" overwrite=true")
    assert steps["mark"].replaces == str(folder.annotated)
    assert steps["mark"].lost == f"the file {folder.annotated} (1 demo)"
    assert steps["check"].is_next
    assert "num_trials=100" in steps["generate"].command


def test_recording_with_all_its_demos_is_not_the_next_step_after_a_failure(folder: StudioFolder) -> None:
    steps = states(folder, Recorded((0, 2), 2, True, "raw.hdf5 cannot be read"))
    assert (steps["record"].state, steps["record"].is_next, steps["mark"].is_next) == (State.FAILED, False, True)
    assert states(folder, Recorded((0, 2), 3, True, "raw.hdf5 cannot be written"))["record"].is_next
    folder.raw.unlink()
    assert states(folder, Recorded((0, 2), 2, True, "raw.hdf5 cannot be written"))["record"].is_next


def test_running_command_shows_its_progress_and_not_how_to_watch_it_elsewhere(folder: StudioFolder) -> None:
    lines = ["[10:00:00] Starting", f"[10:00:01] {WATCH_HINT}: mimic watch input_dir=run"]
    write(folder.log("report"), 0, "\n".join(lines))
    assert last_lines(folder.log("report")) == ("[10:00:00] Starting",)
    line = "[10:00:02] running failed trials again: 0/5 trials, 34%, 2.1 s remaining"
    assert progress_of(["x", line]) == ("running failed trials again, 0 of 5 trials, 2.1 s left", "0 of 5 trials", 0.34)
    assert progress_of(["[10:00:03] drawing videos: 2/5 trials"]) == ("drawing videos, 2 of 5 trials", "2 of 5 trials", 0.4)
    assert progress_of([line, "[10:00:03] Saved the report"]) == progress_of([]) == ("", "", None)


def test_marks_of_the_session_are_used_and_make_older_annotations_old(folder: StudioFolder) -> None:
    write(folder.annotated, 10)
    os.utime(folder.raw, (time.time() - 20,) * 2)
    write(folder.marks, 0)
    step = states(folder)["mark"]
    assert (step.state, step.reason) == (State.OLD, "marks.yaml was written after annotated.hdf5")
    assert f"marks_file={folder.marks}" in step.command


def write_recording(path: Path, num_demos: int) -> None:
    with h5py.File(path, "w") as file:
        for index in range(num_demos):
            file.create_dataset(f"data/demo_{index}/actions", data=[[float(index)]])


def test_annotation_is_out_of_date_if_demos_or_marks_differ_and_not_if_files_are_newer(folder: StudioFolder) -> None:
    write_recording(folder.raw, 3)
    write(folder.marks, 0, "demo_1:\n  term: {lift: 5}\n")
    demos = RecordedDemos(folder.raw)
    demos.update()
    written = contents_of({name: demo.actions for name, demo in demos.demos.items()}, read_marks(folder.marks))
    write(folder.annotated, 10)
    with h5py.File(folder.annotated, "a") as file:
        file["data"].attrs[ANNOTATED_DEMOS] = contents_as_text(written)
    os.utime(folder.annotated, (time.time() - 10,) * 2)
    files = PathFiles(folder, "desktop_organizer")

    def mark() -> tuple[State, str]:
        step = files.states(RECORDED, {})[1]
        return step.state, step.reason

    assert mark() == (State.DONE, ""), "the recording was written again, with the same demos"
    write(folder.marks, -1, "demo_1:\n  term: {lift: 6}\n")
    assert mark() == (State.OLD, "the marks of demo_1 have changed since")
    write(folder.marks, -2, "demo_0: {}\ndemo_1:\n  term: {lift: 5}\n  actions: 'sha256:0'\n")
    assert mark() == (State.DONE, ""), "the change was taken back"
    write_recording(folder.raw, 5)
    assert mark() == (State.OLD, "the recording has 2 demos more than were annotated (demo_3, demo_4)")
    write_recording(folder.raw, 2)
    assert mark() == (State.OLD, "the recording does not contain the demos any more that were annotated (demo_2)")
    folder.marks.write_text("[")
    assert mark()[1].startswith(f"{folder.marks}: is not a YAML file")


def test_annotation_without_demos_cannot_be_started(folder: StudioFolder) -> None:
    write_recording(folder.raw, 2)
    write(folder.marks, 0, "demo_0: {leave_out: true}\n")
    files = PathFiles(folder, "desktop_organizer")
    assert not files.states(RECORDED, {})[1].fault
    write(folder.marks, -1, "demo_0: {leave_out: true}\ndemo_1: {leave_out: true}\n")
    step = files.states(RECORDED, {})[1]
    assert (step.fault, step.first) == ("all demos are left out; use at least one of them, on the tab Mark", "")


def test_annotation_that_was_killed_can_be_started_again(folder: StudioFolder) -> None:
    part_path(folder.annotated).touch()
    step = states(folder)["mark"]
    assert step.command.endswith(" overwrite=true")
    assert not step.replaces


def test_result_of_a_check_names_its_file_without_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    relative = Path("datasets/session/annotated.hdf5")
    for shown in (relative, tmp_path / relative):
        assert result_of(f"{shown}: 2 demos", relative) == ("annotated.hdf5: 2 demos",)
    lines = ["  warning   step 384-390   gripper moving", "  note      pauses      at most 20 steps; step 3 of 9"]
    assert result_of("\n".join(lines), relative, 0.05) == (
        "  warning  19.2 s (step 384-390)  gripper moving",
        "  note  pauses  at most 20 steps; step 3 of 9",
    )


def test_check_shows_its_summary_until_the_demos_change(folder: StudioFolder) -> None:
    write(folder.annotated, 10)
    write(
        folder.log("check"),
        5,
        f"[12:00:00] Saved\n{folder.annotated}: 2 demos\n  note       pauses\n{SUMMARY}: ready to generate\n",
    )
    step = states(folder)["check"]
    assert (step.state, step.figure) == (State.DONE, SUMMARY)
    assert step.output == ("annotated.hdf5: 2 demos", "  note  pauses", f"{SUMMARY}: ready to generate"), (
        "no lines of the log"
    )
    failed = states(folder, check={"exit_code": 1, "reason": "1 error"})["check"]
    assert (failed.state, failed.reason, failed.verdict) == (State.FAILED, "1 error", "")
    assert failed.output[0] == "[12:00:00] Saved"
    write(folder.annotated, 0)
    assert states(folder)["check"].state is State.OLD


@pytest.mark.parametrize(
    ("summary", "state", "verdict"),
    [
        ("0 errors, 0 warnings, 2 notes: ready to generate", State.DONE, "Ready to generate. Nothing was found"),
        ("0 errors, 2 warnings, 0 notes: ready to generate", State.DONE, "Ready to generate. 2 warnings show what may make"),
        (
            "3 errors, 0 warnings, 1 note: not ready to generate, errors in 2 of 10 demos",
            State.FAILED,
            f"{NOT_READY}: there are errors in 2 of 10 demos, which make generation fail. Mark these demos again",
        ),
    ],
)
def test_check_has_a_verdict_in_plain_words_and_a_picture(
    folder: StudioFolder, summary: str, state: State, verdict: str
) -> None:
    write(folder.annotated, 10)
    write(folder.check_picture, 6)
    write(folder.log("check"), 5, f"annotated.hdf5: 10 demos\n{summary}\n")
    step = states(folder, check={"exit_code": 3, "reason": "InvalidDataset"} if state is State.FAILED else {})["check"]
    assert (step.state, step.reason, [*step.pictures]) == (state, "", ["check.png"])
    assert step.verdict.startswith(verdict)
    assert step.output[-1] == summary
    write(folder.annotated, 0)
    step = states(folder)["check"]
    assert (step.verdict, step.pictures) == ("", {}), "they are about earlier demos"


def test_generation_shows_progress_result_and_failure(folder: StudioFolder) -> None:
    write(folder.annotated, 10)
    write_progress(folder)
    with locked(RunFolder(folder.run)):
        step = states(folder)["generate"]
        assert (step.state, step.figure) == (State.RUNNING, "40 of 100 demos, 1 min 1 s left")
        assert (step.share, step.short) == (0.4, "40 of 100 demos")
    assert states(folder)["generate"].state is State.FAILED, "the process is there, but does not work in the folder"
    step = states(folder)["generate"]
    assert (step.state, step.reason) == (State.FAILED, "was interrupted")
    assert step.command.endswith("num_trials=100 resume=true")
    assert not step.replaces
    other = states(folder, count=50)["generate"]
    assert other.command.endswith("num_trials=50 overwrite=true")
    assert other.replaces == str(folder.run)
    assert other.lost == f"40 demos of the run {folder.run}" and not step.lost
    write_progress(folder, state="ended", stop_reason="max_num_failures=5 reached")
    assert states(folder)["generate"].reason == "max_num_failures=5 reached"
    write_progress(folder, state="ended", stop_reason="target reached", successes=100)
    write(folder.generated, 0)
    step = states(folder)["generate"]
    assert (step.state, step.figure) == (State.DONE, "100 demos of 125 trials")
    write(folder.log("generate"), -5)
    assert states(folder, generate={"reason": STOPPED})["generate"].state is State.DONE, "stopped while videos were drawn"
    write(folder.annotated, -10)
    assert states(folder)["generate"].state is State.OLD


def test_demos_of_a_run_are_counted_in_its_store_as_on_the_tab_watch(folder: StudioFolder) -> None:
    write(folder.annotated, 10)
    write_progress(folder)
    run = RunFolder(folder.run)
    store = RunStore(run.store)
    store.set_reasons(["dropped"])
    for trial in range(90):
        store.add(trial, 0 if trial % 4 == 0 else SUCCEEDED, 5)
    store.commit()
    store.close()
    with locked(run):
        step = states(folder)["generate"]
        assert (step.figure, step.short) == ("67 of 100 demos, 1 min 1 s left", "67 of 100 demos")
        assert step.share == 0.67
    killed = states(folder, count=50)["generate"]
    assert (killed.figure, killed.lost) == ("67 of 100 demos", f"67 demos of the run {folder.run}")


def test_generation_whose_trials_have_ended_writes_its_files(folder: StudioFolder) -> None:
    write(folder.annotated, 10)
    write_progress(folder, successes=100)
    run = RunFolder(folder.run)
    store = RunStore(run.store)
    store.set_facts(result=RunResult(folder.generated, 125, 100, TARGET_REACHED, True, 100).as_dict(), elapsed=1.0)
    store.commit()
    store.close()
    write(folder.raw, 20)
    write(folder.log("check"), 0, f"{SUMMARY}: ready to generate")
    with locked(run):
        steps = states(folder)
        assert steps["generate"].figure == "100 of 100 demos: dataset written; statistics follow"
        assert steps["generate"].is_written
        assert steps["report"].is_next, "it needs no videos"
        drawn = {
            "Rendering scene.png (4 demos)": ("scene.png, 1 of 2", None),
            "Rendering playback.mp4 (8 demos)": ("playback.mp4, 2 of 2", None),
            "rendering playback.mp4: 30/120 frames, 3 frames/s": ("playback.mp4, 2 of 2", 0.25),
        }
        for line, (figure, share) in drawn.items():
            with run.log.open("a") as log:
                log.write(f"{line}\n")
            step = states(folder)["generate"]
            assert (step.figure, step.share) == (f"100 of 100 demos: dataset written; drawing {figure}", share)
            assert step.short == f"100 demos, drawing {figure[-6:]}", "the strip is narrow"


def test_generation_for_a_policy_has_its_own_noise_and_does_not_resume_another(folder: StudioFolder) -> None:
    write(folder.annotated, 20)
    write_progress(folder, state="ended", stop_reason="interrupted")
    files = PathFiles(folder, "desktop_organizer")
    assert not files.is_for_policy()
    generate = files.states(RECORDED, {}, 100, for_policy=True)[3]
    assert generate.command.endswith("num_trials=100 generation=policy overwrite=true")
    assert generate.replaces
    write(folder.run / "config.yaml", 0, "# mimic generate generation=policy num_trials=100\n")
    assert files.is_for_policy()
    assert files.states(RECORDED, {}, 100, for_policy=True)[3].command.endswith("generation=policy resume=true")


def test_report_is_old_after_another_generation(folder: StudioFolder) -> None:
    write_progress(folder, age=5)
    write(folder.report, 0)
    assert states(folder)["report"].state is State.DONE
    write_progress(folder, age=-5)
    assert states(folder)["report"].state is State.OLD


def test_failure_that_is_older_than_the_output_is_forgotten(folder: StudioFolder) -> None:
    failure = {"exit_code": 2, "reason": "ConfigError: no"}
    write(folder.log("mark"), 5, "ConfigError: no\n")
    step = states(folder, mark=failure)["mark"]
    assert (step.state, step.reason, step.output) == (State.FAILED, "ConfigError: no", ("ConfigError: no",))
    write(folder.annotated, 0)
    assert states(folder, mark=failure)["mark"].state is State.DONE


@pytest.fixture
def runner(folder: StudioFolder) -> Iterator[StepRunner]:
    runner = StepRunner(folder, last_line)
    yield runner
    runner.close()


def wait(runner: StepRunner) -> None:
    while runner.running:
        runner.poll()
        time.sleep(0.01)


def outcomes(runner: StepRunner) -> dict[str, dict[str, Any]]:
    """Outcomes without their times, which must be near."""
    found = {step: dict(outcome) for step, outcome in runner.outcomes.items()}
    assert all(0 <= time.time() - outcome.pop("began_at") < HANG_S for outcome in found.values())
    return found


def test_outcome_of_a_command_is_kept_in_the_folder(runner: StepRunner, folder: StudioFolder) -> None:
    runner.start("check", PYTHON + "'raise SystemExit(\"DatasetError: no\")'")
    assert runner.running == ("check",)
    wait(runner)
    runner.start("mark", PYTHON + "'print(2)'")
    wait(runner)
    assert outcomes(StepRunner(folder, last_line)) == {
        "check": {"exit_code": 1, "reason": "DatasetError: no"},
        "mark": {"exit_code": 0, "reason": ""},
    }
    assert folder.log("mark").read_text() == "2\n"


def test_command_is_stopped_on_the_page_and_at_the_end_of_the_studio(runner: StepRunner) -> None:
    for stop, reason in ((runner.stop, STOPPED), (runner.close, ENDED)):
        runner.start("generate", PYTHON + "'import time; time.sleep(1000)'")
        stop()
        wait(runner)
        assert runner.outcomes["generate"]["reason"] == reason


PARENT = """import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
print(child.pid, flush=True)
time.sleep(1000)
"""


def test_processes_of_a_stopped_command_end_with_it(runner: StepRunner, folder: StudioFolder, tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    runner.start("generate", f"{sys.executable} {tmp_path / 'parent.py'}")
    while not (text := folder.log("generate").read_text()).endswith("\n"):
        time.sleep(0.01)
    runner.stop()
    wait(runner)
    while start_time(int(text)):
        time.sleep(0.01)


def test_command_of_a_studio_that_was_killed_is_recognized_stopped_and_noted(folder: StudioFolder) -> None:
    killed = StepRunner(folder, last_line)
    killed.start("mark", PYTHON + "'import time; time.sleep(1000)'")
    runner = StepRunner(folder, last_line)
    assert (runner.running, runner.outcomes) == (("mark",), {})
    assert runner.elapsed_s["mark"] > 0
    runner.stop()
    process = killed._jobs["mark"].command.process
    assert process is not None
    process.wait()
    wait(runner)
    assert outcomes(StepRunner(folder, last_line)) == {"mark": {"exit_code": None, "reason": STOPPED, "is_stopped": True}}


def test_command_that_ended_without_a_studio_is_judged_by_its_files(folder: StudioFolder) -> None:
    killed = StepRunner(folder, last_line)
    killed.start("mark", PYTHON + "'print(\"Saved 2 demos\")'")
    process = killed._jobs["mark"].command.process
    assert process is not None
    process.wait()
    runner = StepRunner(folder, last_line)
    assert not runner.running
    assert outcomes(runner)["mark"] == {"exit_code": None, "reason": "Saved 2 demos"}
    step = states(folder, **runner.outcomes)["mark"]
    reason = "the command ended before its output was complete; its last line: Saved 2 demos"
    assert (step.state, step.reason) == (State.FAILED, reason), "it has written nothing"
    write(folder.annotated, 0)
    os.utime(folder.log("mark"), (time.time() + 5,) * 2)
    os.utime(folder.raw, (time.time() - 60,) * 2)
    assert states(folder, **runner.outcomes)["mark"].state is State.DONE
    write(folder.annotated, 30)
    assert states(folder, **runner.outcomes)["mark"].state is State.FAILED, "this file is that of an earlier command"


def test_check_and_generation_of_the_same_contents_are_not_out_of_date(folder: StudioFolder) -> None:
    write(folder.annotated, 0)
    digest = content_digest(folder.annotated)
    write(folder.log("check"), 5, f"{SUMMARY}: ready to generate\n")
    files = PathFiles(folder, "desktop_organizer")
    assert files.facts_of("check") == {"annotated": digest}
    write_progress(folder, age=5, state="ended", stop_reason=TARGET_REACHED, successes=100)
    write(folder.generated, 5)
    store = RunStore(RunFolder(folder.run).store)
    store.set_facts(identity={CONTENT: digest})
    store.commit()
    store.close()

    def found() -> list[State]:
        return [step.state for step in files.states(RECORDED, {"check": {"reason": "", "annotated": digest}})[2:4]]

    assert found() == [State.DONE, State.DONE], "annotated.hdf5 was written again, with the same contents"
    with h5py.File(folder.annotated, "a") as file:
        file["data/demo_0/actions"][0] = 1.0
    os.utime(folder.annotated, (time.time() + 1,) * 2)
    assert found() == [State.OLD, State.OLD]


def test_generation_that_ended_without_a_studio_is_complete_and_later_out_of_date(folder: StudioFolder) -> None:
    write(folder.annotated, 20)
    outcome = {"exit_code": None, "reason": "statistics: 2/2 files", "began_at": time.time() - 9}
    write_progress(folder, age=5, state="ended", stop_reason=TARGET_REACHED, successes=100)
    write(folder.generated, 5)
    write(folder.log("generate"), 3, "statistics: 2/2 files\n")
    assert states(folder, generate=outcome)["generate"].state is State.DONE
    write(folder.annotated, 0)
    step = states(folder, generate=outcome)["generate"]
    assert (step.state, step.figure) == (State.OLD, "100 demos of 125 trials")
    assert step.reason == "annotated.hdf5 was changed after this generation had begun"
    failed = {"exit_code": 2, "reason": "ConfigError: no", "began_at": time.time()}
    write(folder.log("generate"), -1, "ConfigError: no\n")
    assert states(folder, generate=failed)["generate"].state is State.FAILED, "these files are those of the earlier run"
    write_progress(folder, age=5)
    step = states(folder, generate=outcome)["generate"]
    assert (step.state, step.reason) == (State.FAILED, "was interrupted"), "it can be continued"


def test_later_process_with_the_same_id_is_not_taken_for_the_command(folder: StudioFolder) -> None:
    running = {"check": {"pid": os.getpid(), "started": "0", "began_at": 0.0}}
    folder.outcomes.write_text(json.dumps({"running": running}))
    assert not StepRunner(folder, last_line).running


def test_report_that_was_written_before_the_studio_ended_is_done(folder: StudioFolder) -> None:
    write_progress(folder, age=5)
    write(folder.report, 2)
    write(folder.log("report"), 0, "Saved the report\n")
    stopped = {"exit_code": -15, "reason": ENDED, "is_stopped": True, "began_at": time.time() - 3}
    assert states(folder, report=stopped)["report"].state is State.DONE
    stopped["began_at"] = time.time() - 1
    assert states(folder, report=stopped)["report"].state is State.FAILED, "this report is that of an earlier run"


def test_program_that_is_not_found_is_reported(runner: StepRunner) -> None:
    with pytest.raises(OutputError, match="nowhere/mimic: cannot be started: No such file"):
        runner.start("check", "nowhere/mimic check")
    assert not runner.running


@pytest.fixture
def tab(folder: StudioFolder, monkeypatch: pytest.MonkeyPatch) -> PathTab:
    monkeypatch.setattr(program, "words", lambda verb: (sys.executable, "-c", "import time; time.sleep(1000)", verb))
    tab = PathTab(PathFiles(folder, "desktop_organizer"), StepRunner(folder, last_line))
    tab.recorded = lambda: RECORDED
    return tab


def test_page_starts_only_known_steps_one_at_a_time(tab: PathTab) -> None:
    page = Client("page", 1)
    with tab:
        with pytest.raises(Refusal, match="path: another page has control"):
            tab.receive(page, {"do": "start", "step": "mark"})
        page.has_control = True
        refused: list[tuple[dict[str, Any], str]] = [
            ({"do": "start", "step": "rm -rf /"}, r'step: "rm -rf /" is not valid; choices: mark, check, generate, report'),
            ({"do": "start", "step": "mark", "command": "rm"}, "message.command: unknown field"),
            ({"do": "run"}, 'do: "run" is not valid; choices: start, stop, count'),
            ({"do": "count", "count": "5; rm"}, "count: must be an integer from 1 to 1000000"),
            ({"do": "stop"}, "stop: no command runs"),
            ({"do": "start", "step": "check"}, r"check: annotated\.hdf5 does not exist; do the step Annotate first"),
        ]
        for message, text in refused:
            with pytest.raises(Refusal, match=text):
                tab.receive(page, message)
        tab.receive(page, {"do": "start", "step": "mark"})
        while not tab._runner.running:
            time.sleep(0.01)
        with pytest.raises(Refusal, match="mark: 'mark' runs; wait until it has ended, or stop it"):
            tab.receive(page, {"do": "start", "step": "mark"})
        tab.receive(page, {"do": "stop"})
        while tab._runner.running:
            time.sleep(0.01)
    assert tab._runner.outcomes["mark"]["reason"] == STOPPED


def test_files_are_read_again_only_after_a_change(tab: PathTab, folder: StudioFolder) -> None:
    looks: list[StepState] = []
    read = tab._files.states

    def noted(*facts: Any) -> list[StepState]:
        steps = read(*facts)
        looks.append(steps[1])
        return steps

    tab._files.states = noted  # type: ignore[method-assign]
    for _ in range(3):
        tab._look()
    assert len(looks) == 1
    write(folder.annotated, age=0)
    tab._look()
    tab.recorded = lambda: replace(RECORDED, trials=(0, 2, 3))
    tab._look()
    assert [step.state for step in looks] == [State.MISSING, State.DONE, State.DONE]
    with locked(RunFolder(folder.run)):
        for _ in range(2):
            tab._look()
    assert len(looks) == 5, "a run that is written is read each time"


def test_step_that_is_ordered_cannot_be_ordered_again_and_excludes_the_tab_mark(tab: PathTab) -> None:
    tab._look()
    page = Client("page", 1)
    page.has_control = True
    tab.is_annotating = lambda: True
    with pytest.raises(Refusal, match="mark: the tab Mark writes the annotated file; wait until it is written"):
        tab.receive(page, {"do": "start", "step": "mark"})
    tab.is_annotating = lambda: False
    assert tab.started == ()
    tab.receive(page, {"do": "start", "step": "mark"})
    assert tab.started == ("mark",), "before the thread has started the command"
    with pytest.raises(Refusal, match="mark: 'mark' runs"):
        tab.receive(page, {"do": "start", "step": "mark"})


def test_file_is_replaced_only_if_the_request_confirms_it(tab: PathTab, folder: StudioFolder) -> None:
    write(folder.annotated, 0)
    tab._look()
    page = Client("page", 1)
    page.has_control = True
    for unconfirmed in ({}, {"replaces": ""}, {"replaces": True}, {"replaces": str(folder.raw)}):
        with pytest.raises(Refusal, match=r"mark: .*annotated\.hdf5 exists; start the step again, and confirm that it is"):
            tab.receive(page, {"do": "start", "step": "mark", **unconfirmed})
    assert not tab.started
    tab.receive(page, {"do": "start", "step": "mark", "replaces": str(folder.annotated)})
    assert tab.started == ("mark",)


def test_report_is_written_while_a_generation_draws_its_videos(tab: PathTab, folder: StudioFolder) -> None:
    page = Client("page", 1)
    page.has_control = True
    write(folder.annotated, 0)
    write(folder.run / "run.sqlite", 0)
    with tab:
        tab.receive(page, {"do": "start", "step": "generate", "replaces": str(folder.run)})
        while not tab._runner.running:
            time.sleep(0.01)
        with pytest.raises(Refusal, match="report: 'generate' runs; wait until it has ended, or stop it"):
            tab.receive(page, {"do": "start", "step": "report"})
        tab._states = [replace(each, is_written=each.name == "generate") for each in tab._states]
        with pytest.raises(Refusal, match="check: 'generate' runs"):
            tab.receive(page, {"do": "start", "step": "check"})
        tab.receive(page, {"do": "start", "step": "report"})
        while tab._runner.running != ("generate", "report"):
            time.sleep(0.01)
        tab.receive(page, {"do": "stop", "step": "report"})
        while tab._runner.running != ("generate",):
            time.sleep(0.01)
    assert tab._runner.outcomes["report"]["reason"] == STOPPED
    assert tab._runner.outcomes["generate"]["reason"] == ENDED


def test_file_that_appears_between_a_request_and_its_start_is_not_replaced(tab: PathTab, folder: StudioFolder) -> None:
    tab._look()
    page = Client("page", 1)
    page.has_control = True
    tab.receive(page, {"do": "start", "step": "mark"})
    write(folder.annotated, 0)
    with pytest.raises(OutputError, match=r"mark: .*annotated\.hdf5 exists; start the step again, and confirm"):
        tab._carry_out("start", "mark")
    assert not tab._runner.running


def test_studio_that_starts_again_resumes_the_generation_in_its_folder(folder: StudioFolder) -> None:
    write(folder.annotated, 20)
    write_progress(folder, state="ended", target=1000, stop_reason="interrupted")
    tab = PathTab(PathFiles(folder, "desktop_organizer"), StepRunner(folder, last_line))
    tab.recorded = lambda: RECORDED
    tab._look()
    generate = next(step for step in tab._event()["steps"] if step["name"] == "generate")
    assert tab._event()["count"] == 1000
    assert "num_trials=1000" in generate["command"]
    assert generate["command"].endswith("resume=true")
    assert not generate["replaces"]


def test_number_of_demos_changes_the_command(tab: PathTab) -> None:
    page = Client("page", 1)
    page.has_control = True
    answer = tab.receive(page, {"do": "count", "count": 7})
    assert answer["count"] == 7
    assert "num_trials=7" in next(step["command"] for step in answer["steps"] if step["name"] == "generate")


def test_only_the_report_is_served_without_permission_to_run_scripts(tab: PathTab, folder: StudioFolder) -> None:
    assert tab.resource(("report.html",)) is None
    write(folder.report, 0, "<html>")
    page = tab.resource(("report.html",))
    assert page is not None
    assert page.body == b"<html>"
    assert page.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none';")
    write(folder.check_picture, 0, "picture")
    picture = tab.resource(("check.png",))
    assert picture is not None
    assert (picture.body, picture.kind) == (b"picture", "image/png")
    for path in (("..", "raw.hdf5"), ("raw.hdf5",), ("run", "report.html"), ()):
        assert tab.resource(path) is None


def test_commands_to_copy_split_train_and_evaluate(folder: StudioFolder) -> None:
    lines = [line for _, line in PathFiles(folder, "desktop_organizer").next_commands()]
    lines = [line for line in lines if line != "make train-env"]  # Without robomimic, its installation comes first.
    assert [line.split()[1] for line in lines] == ["split", "train", "evaluate"]
    assert f"input_file={folder.generated}" in lines[0]
