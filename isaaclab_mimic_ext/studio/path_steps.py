"""Steps from a recording to a generated dataset: their states, from the files of a session's folder, and their commands."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.command_lines import words_in_comment
from isaaclab_mimic_ext.config.next_step import evaluate_command, next_command
from isaaclab_mimic_ext.errors import MimicError
from isaaclab_mimic_ext.files.writing import part_path
from isaaclab_mimic_ext.run.result import TARGET_REACHED
from isaaclab_mimic_ext.run.run_state import WRITING, state_of
from isaaclab_mimic_ext.run.session import CONTENT, RunFolder, is_in_use, opened_store
from isaaclab_mimic_ext.studio.annotated_file import AnnotatedFile
from isaaclab_mimic_ext.studio.folder import StudioFolder
from isaaclab_mimic_ext.studio.path_results import (
    NOT_READY,
    SUMMARY,
    drawing_of,
    last_lines,
    num_demos_of,
    result_of,
    short_verdict,
    text_of,
    verdict_of,
)
from isaaclab_mimic_ext.texts import counted, duration

RECORD, MARK, CHECK, GENERATE, REPORT = "record", "mark", "check", "generate", "report"
STEPS = (RECORD, MARK, CHECK, GENERATE, REPORT)
"""Steps, in their order."""
STARTED = (MARK, CHECK, GENERATE, REPORT)
"""Steps whose command the page can start."""
DEFAULT_COUNT = 100
"""Number of demos to generate, unless the page gives another number."""
_FILES_OF_A_RUN = ("progress.json", "config.yaml", "run.sqlite")
_FOR_POLICY = "generation=policy"
_ANNOTATED = "annotated"
"""Name of the digest of the annotated file, in the outcome of a check."""


class State(StrEnum):
    """State of a step."""

    MISSING = "missing"
    RUNNING = "running"
    DONE = "done"
    OLD = "old"
    """Its input has changed since: the recording, the marks, or the files of an earlier step."""
    FAILED = "failed"


@dataclass(frozen=True)
class StepState:
    """A step, for display.

    Attributes:
        name: one of `STEPS`.
        state: its state.
        figure: result or progress, such as "3 of 10 demos".
        short: text of the strip in place of `figure`, where that is long; empty: `figure`.
        reason: reason of a failure, or why the step is out of date.
        command: command line of the step, which the page may start; empty for the recording.
        fault: reason for which the step cannot be started, with the remedy; empty if it can.
        first: step that must be done before this one can be started; empty if it can.
        replaces: files that the command replaces; empty if none.
        lost: what is deleted with them, such as "5 demos of the run my_session/run".
        output: last lines that the command has printed; the result of a check.
        share: completed part of a generation that runs, from 0 to 1; None if it is not known.
        is_written: whether the command runs, but its dataset is complete.
        verdict: result of a check in one or two sentences.
        pictures: names of the picture or video that the page can load (`PathTab.resource`) -> time of its last change.
        is_next: whether the step is the next one that is missing.
    """

    name: str
    state: State = State.MISSING
    figure: str = ""
    short: str = ""
    reason: str = ""
    command: str = ""
    fault: str = ""
    first: str = ""
    replaces: str = ""
    lost: str = ""
    output: tuple[str, ...] = ()
    share: float | None = None
    is_written: bool = False
    verdict: str = ""
    pictures: Mapping[str, int] = field(default_factory=dict)
    is_next: bool = False


@dataclass(frozen=True)
class Recorded:
    """State of the recording.

    Attributes:
        trials: numbers of the attempts whose demos are kept.
        num_wanted: number of demos to record.
        has_ended: whether the recording has ended.
        failure: reason of its failure.
    """

    trials: tuple[int, ...]
    num_wanted: int
    has_ended: bool
    failure: str = ""

    @property
    def num_demos(self) -> int:
        """Number of kept demos."""
        return len(self.trials)

    @property
    def is_complete(self) -> bool:
        """Whether the recording has ended with all its demos, also if an attempt to continue it has failed."""
        return self.has_ended and 0 < self.num_wanted <= self.num_demos


@dataclass
class PathFiles:
    """Reads the states of the steps. Files that have not changed are not read again.

    Attributes:
        folder: folder of the session.
        task_name: name of the task.
        has_starts: whether annotated demos need start signals.
        step_dt: duration of a step [s]; None if it is not known.
    """

    folder: StudioFolder
    task_name: str
    has_starts: bool = False
    step_dt: float | None = None

    def __post_init__(self) -> None:
        self._annotated = AnnotatedFile(self.folder)

    def states(
        self, recorded: Recorded, outcomes: Mapping[str, Any], count: int = DEFAULT_COUNT, for_policy: bool = False
    ) -> list[StepState]:
        """States of all steps.

        Args:
            outcomes: step -> outcome of its last command (`path_jobs.StepRunner`).
            count: number of demos to generate.
            for_policy: whether they train a policy: more noise in their actions.
        """
        steps = [
            self._record(recorded),
            self._mark(recorded),
            self._check(outcomes.get(CHECK, {})),
            self._generate(count, for_policy),
            self._report(),
        ]
        steps = [self._with_failure(step, outcomes.get(step.name, {})) for step in steps]
        complete = {RECORD} if recorded.is_complete and self.folder.raw.is_file() else set()
        complete |= {step.name for step in steps if step.state is State.DONE or step.is_written}
        missing = next((step.name for step in steps if step.name not in complete), None)
        return [replace(step, is_next=step.name == missing) for step in steps]

    def stamps(self) -> tuple[Any, ...] | None:
        """Times and sizes of all files that decide about the states; None while a process writes a run."""
        folder, run = self.folder, self.folder.run
        if is_in_use(RunFolder(run)):
            return None
        files = [folder.raw, folder.marks, folder.annotated, part_path(folder.annotated), folder.generated, folder.report]
        logs = [folder.log(step) for step in STEPS]
        return tuple(_stamp(path) for path in (*files, *logs, run, *(run / name for name in _FILES_OF_A_RUN)))

    def last_count(self) -> int | None:
        """Number of demos of the generation in the folder, so that it is resumed rather than replaced; None without one."""
        count = _json(self.folder.run / "progress.json").get("target")
        return count if isinstance(count, int) and count > 0 else None

    def is_for_policy(self) -> bool:
        """Return whether the demos of the generation in the folder train a policy, by its command line."""
        return _FOR_POLICY in words_in_comment(text_of(self.folder.run / "config.yaml"))[1]

    def next_commands(self) -> list[tuple[str, str]]:
        """Commands that follow the last step: what they do, and the lines to copy."""
        demos, training = self.folder.generated, self.folder.run / "policy"
        install = [] if find_spec("robomimic") else [("Install robomimic, in the folder of this package", "make train-env")]
        return [
            ("Split the demos for training and validation", next_command("split", input_file=demos)),
            *install,
            ("Train a policy", next_command("train", input_file=demos, output_dir=training)),
            ("Measure the success of the policy", evaluate_command(self.task_name, training, demos)),
        ]

    def _record(self, recorded: Recorded) -> StepState:
        figure = f"{recorded.num_demos} of {counted(recorded.num_wanted, 'demo')}"
        if recorded.failure:
            return StepState(RECORD, State.FAILED, figure, recorded.failure)
        if not recorded.has_ended:
            return StepState(RECORD, State.RUNNING, figure)
        return StepState(RECORD, State.DONE if recorded.num_demos else State.MISSING, figure)

    def _mark(self, recorded: Recorded) -> StepState:
        folder = self.folder
        marks = folder.marks if folder.marks.is_file() else None
        replaces = _existing(folder.annotated)
        places = {"input_file": folder.raw, "output_file": folder.annotated, "marks_file": marks}
        starts = {"annotate_subtask_start_signals": True if self.has_starts else None}
        # A command that was killed has left a part of its file.
        is_replaced = replaces or part_path(folder.annotated).exists()
        command = next_command("annotate", **places, **starts, overwrite=True if is_replaced else None)
        fault = ""
        if not recorded.has_ended:
            fault = "the recording runs; end it first (Save and end, on the tab Record)"
        elif not folder.raw.is_file():
            fault = "no demo is recorded; record demos first"
        first = RECORD if fault else ""
        if not fault and marks and self._annotated.is_all_left_out():
            fault = "all demos are left out; use at least one of them, on the tab Mark"
        step = StepState(MARK, command=command, fault=fault, first=first, replaces=replaces)
        if not replaces:
            return step
        figure = self._annotated.num_demos
        lost = f"the file {folder.annotated} ({figure})"
        return replace(_old_or_done(step, self._annotated.change()), figure=figure, lost=lost)

    def _check(self, outcome: Mapping[str, Any]) -> StepState:
        folder = self.folder
        command = next_command("check", input_file=folder.annotated, output_file=folder.check_picture, overwrite=True)
        step = self._after_annotation(StepState(CHECK, command=command))
        log = folder.log(CHECK)
        text = text_of(log)
        found = [*SUMMARY.finditer(text)]
        if not found or step.fault:
            return step
        is_old = _is_newer(folder.annotated, log) and outcome.get(_ANNOTATED) != self._annotated.digest
        return replace(
            _old_or_done(step, f"{folder.annotated.name} was changed after this check" if is_old else ""),
            figure=found[-1]["counts"],
            short=short_verdict(found[-1]),
            output=result_of(text, folder.annotated, self.step_dt),
            verdict="" if is_old else verdict_of(found[-1]),
            pictures={} if is_old else _times(folder.check_picture),
        )

    def _generate(self, count: int, for_policy: bool) -> StepState:
        folder, progress = self.folder, _json(self.folder.run / "progress.json")
        progress |= {"successes": num_demos_of(RunFolder(folder.run), progress)} if progress else {}
        is_old = _is_newer(folder.annotated, folder.run / "config.yaml") and self._source_of_run() != self._annotated.digest
        is_finished = progress.get("stop_reason") == TARGET_REACHED and folder.generated.is_file()
        is_same = progress.get("target") == count and self.is_for_policy() == for_policy
        can_resume = bool(progress) and not is_old and not is_finished and is_same
        mode = {"resume": True} if can_resume else {"overwrite": True if folder.run.exists() else None}
        places = {"input_file": folder.annotated, "output_dir": folder.run}
        purpose = dict([_FOR_POLICY.split("=")]) if for_policy else {}
        command = next_command("generate", **places, num_trials=count, **purpose, **mode)
        replaces = "" if can_resume else _existing(folder.run)
        lost = f"{counted(progress.get('successes') or 0, 'demo')} of the run {replaces}" if replaces else ""
        step = self._after_annotation(StepState(GENERATE, command=command, replaces=replaces, lost=lost))
        if not progress:
            return step
        figure = f"{progress.get('successes', 0)} of {counted(progress.get('target') or 0, 'demo')}"
        if is_in_use(RunFolder(folder.run)):
            return _running(step, RunFolder(folder.run), progress, figure)
        if not is_finished:
            reason = "was interrupted" if progress["state"] == "running" else str(progress.get("stop_reason"))
            return replace(step, state=State.FAILED, figure=figure, reason=reason)
        figure = f"{counted(progress.get('successes') or 0, 'demo')} of {counted(progress.get('trials') or 0, 'trial')}"
        why = f"{folder.annotated.name} was changed after this generation had begun" if is_old else ""
        return replace(_old_or_done(step, why), figure=figure)

    def _source_of_run(self) -> str | None:
        """Digest of the annotated file that the run in the folder has read; None if it is not known."""
        try:
            with opened_store(RunFolder(self.folder.run).store, read_only=True) as store:
                return str(store.facts()["identity"][CONTENT])
        except (MimicError, LookupError, TypeError):
            return None

    def facts_of(self, step: str) -> dict[str, str]:
        """Facts to store with the outcome of a step that starts now: the digest of the file that a check reads."""
        return {_ANNOTATED: self._annotated.digest} if step == CHECK else {}

    def _after_annotation(self, step: StepState) -> StepState:
        """A step that reads the annotated file, with its fault if the file does not exist."""
        if (path := self.folder.annotated).is_file():
            return step
        return replace(step, fault=f"{path.name} does not exist; do the step Annotate first", first=MARK)

    def _report(self) -> StepState:
        folder, page = self.folder, self.folder.report
        command = next_command("report", input_dir=folder.run, overwrite=True if page.is_file() else None)
        exists = (folder.run / "run.sqlite").is_file()
        fault = "" if exists else "no demos were generated; do the step Generate first"
        step = StepState(REPORT, command=command, fault=fault, first="" if exists else GENERATE)
        if not page.is_file():
            return step
        is_old = _is_newer(folder.run / "progress.json", page)
        step = _old_or_done(step, "the generation has changed since the report was written" if is_old else "")
        return replace(step, pictures=_times(folder.video))

    def _with_failure(self, step: StepState, outcome: Mapping[str, Any]) -> StepState:
        """The step as failed if its last command failed after its output was written."""
        if not outcome.get("reason") or step.state is State.RUNNING or self._has_written(step, outcome):
            return step
        if step.verdict.startswith(NOT_READY):  # The check has not failed; the demos have.
            return replace(step, state=State.FAILED, reason="")
        log, reason = self.folder.log(step.name), outcome["reason"]
        if step.name in self._outputs and _is_newer(self._outputs[step.name], log):
            return step
        if outcome.get("exit_code", 1) is None and not outcome.get("is_stopped"):
            reason = f"the command ended before its output was complete; its last line: {reason}"
            if step.name == GENERATE and step.state is State.FAILED:
                return step  # The run can be continued.
        return replace(step, state=State.FAILED, reason=reason, output=last_lines(log), verdict="", short="")

    def _has_written(self, step: StepState, outcome: Mapping[str, Any]) -> bool:
        """Return whether the last command of a step has written its output, although it did not report a success.

        The files decide about a generation whose dataset is complete, also if its videos are not, about a command that was
        stopped when its output was complete, and about a command whose exit code is not known.
        """
        is_decided = step.name == GENERATE or outcome.get("is_stopped") or outcome.get("exit_code", 1) is None
        output = self._outputs.get(step.name, self.folder.log(step.name))
        if not is_decided or step.state not in (State.DONE, State.OLD) or not output.exists():
            return False
        return bool(output.stat().st_mtime >= outcome.get("began_at", 0.0))

    @property
    def _outputs(self) -> dict[str, Path]:
        """Step -> file that its command writes; for a generation, the file with its result."""
        folder = self.folder
        return {MARK: folder.annotated, GENERATE: folder.run / "progress.json", REPORT: folder.report}


def _old_or_done(step: StepState, change: str) -> StepState:
    """The step whose output exists; `change` states why it is out of date, and is empty if it is not."""
    return replace(step, state=State.OLD if change else State.DONE, reason=change)


def _times(path: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns // 1_000_000} if path.is_file() else {}


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _existing(path: Path) -> str:
    return str(path) if path.exists() else ""


def _is_newer(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.stat().st_mtime > other.stat().st_mtime


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and "state" in content else {}


def _running(step: StepState, run: RunFolder, progress: Mapping[str, Any], figure: str) -> StepState:
    """The step of a generation whose process works in its folder."""
    try:
        with opened_store(run.store, read_only=True) as store:
            is_writing = state_of(run, store.facts()) == WRITING
    except MimicError:  # The run creates its store.
        is_writing = False
    if is_writing:
        text, short, share = drawing_of(run)
        long, short = f"{figure}: dataset written; {text}", f"{counted(progress.get('successes') or 0, 'demo')}, {short}"
        return replace(step, state=State.RUNNING, figure=long, short=short, share=share, is_written=True)
    left, target = progress.get("remaining_s"), progress.get("target")
    share = min(1.0, progress.get("successes", 0) / target) if isinstance(target, int) and target > 0 else None
    long = f"{figure}, {duration(left)} left" if left else figure
    return replace(step, state=State.RUNNING, figure=long, short=figure, share=share)
