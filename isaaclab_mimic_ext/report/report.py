"""Write the page of a run: success of its trials, and the reasons of failures."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.config.recorded_task import find_recorded_task
from isaaclab_mimic_ext.errors import MimicError, OutputError, UsageError
from isaaclab_mimic_ext.files.writing import check_output, write_text
from isaaclab_mimic_ext.report.pages import media
from isaaclab_mimic_ext.report.pictures import Pictures, choose_failures
from isaaclab_mimic_ext.report.run_page import Heading, RunFiles, render_run_page
from isaaclab_mimic_ext.run.run_state import IN_PROGRESS, WRITING, counted_records, state_of
from isaaclab_mimic_ext.run.session import RunFolder
from isaaclab_mimic_ext.run.summary import count_reasons
from isaaclab_mimic_ext.run.trial_records import RunRecords, read_records
from isaaclab_mimic_ext.task.meshes import recorded_objects
from isaaclab_mimic_ext.task.robot import recorded_robot
from isaaclab_mimic_ext.texts import counted, duration

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunReport:
    """The page of a run.

    Attributes:
        path: the HTML file.
        num_trials: number of trials that the page covers.
        num_failed: number of them that failed.
        no_pictures: reason why the page has no pictures of failed trials; empty if it has them, or if no trial failed.
    """

    path: Path
    num_trials: int
    num_failed: int
    no_pictures: str = ""


@renamed_arguments(output_dir="input_dir", report_file="output_file")
def report_run(
    input_dir: str | Path,
    output_file: str | Path | None = None,
    *,
    pictures: bool = True,
    num_failures: int = 3,
    clips: bool = True,
    overwrite: bool = False,
) -> RunReport:
    """Write a page about a run, finished or in progress: success by subtask, place and source demo, failure reasons.

    Args:
        input_dir: folder of the run.
        output_file: file of the page; None: `report.html` in the folder of the run, which is replaced.
        pictures: run some failed trials again and draw them.
        num_failures: number of trials that are drawn per failure reason.
        clips: draw a video of each of these trials, too.
        overwrite: replace an existing `output_file`.

    Raises:
        SourceDataError: the folder does not contain a run, or its store cannot be read.
        OutputError: the page exists (without `overwrite`), or cannot be written.
    """
    folder = RunFolder(Path(input_dir))
    path = folder.report if output_file is None else Path(output_file)
    if output_file is not None:
        check_output(path, overwrite)
    records = read_records(folder.store)
    state = state_of(folder, records.facts)
    records = counted_records(records, state)
    drawn, no_pictures = _draw_failures(folder, records, num_failures if pictures else 0, clips)
    page = render_run_page(_heading(folder, records.facts, state), records, drawn, no_pictures, _files(folder))
    _write(path, page)
    return RunReport(path, len(records), int((~records.success).sum()), no_pictures)


def _draw_failures(
    folder: RunFolder, records: RunRecords, num_failures: int, clips: bool
) -> tuple[dict[int, Pictures], str]:
    """Draw failed trials. Return their pictures, and the reason if there are none."""
    rows = choose_failures(records, list(count_reasons(records)), max(num_failures, 1))
    if not rows:
        return {}, ""
    if not num_failures:
        return {}, "pictures=false"
    try:
        return _rerun_and_draw(folder, records, rows, clips), ""
    except MimicError as error:  # The page is also useful without pictures.
        return {}, str(error)


def _rerun_and_draw(folder: RunFolder, records: RunRecords, rows: Sequence[int], clips: bool) -> dict[int, Pictures]:
    """Run trials again and draw them. If they cannot be run again, draw the kept failed demos of the run."""
    from isaaclab_mimic_ext.report.pictures import draw_trials
    from isaaclab_mimic_ext.run.rerun import RecordedMotion, read_failed_demos, rerun_trials
    from isaaclab_mimic_ext.task.definition import load_task

    trials = records.trials[list(rows)].tolist()
    task_name = records.facts["identity"]["task.name"]
    find_recorded_task(task_name, records.facts, folder.store)
    task = load_task(task_name, recorded_robot(records.facts["identity"]), recorded_objects(records.facts["identity"]))
    log.info("Running %s again to draw them", counted(len(rows), "failed trial"))
    films: list[RecordedMotion]
    try:
        films = rerun_trials(folder, records.facts["identity"], trials)
    except UsageError:
        films = read_failed_demos(folder.failed_demos, trials, task)
        if not films:
            raise
    reasons = dict(zip(trials, records.reason[list(rows)].tolist(), strict=True))
    differing = [film.trial for film in films if film.reason not in (None, reasons[film.trial])]
    if differing:
        log.warning(
            "Trials %s failed for a different reason than in the run; check whether the code has changed since", differing
        )
    steps = dict(zip(trials, records.step[list(rows)].tolist(), strict=True))
    return draw_trials(task, [(film.trial, steps[film.trial], film.states) for film in films], clips)


def _heading(folder: RunFolder, facts: dict[str, Any], state: str) -> Heading:
    identity = facts.get("identity", {})
    elapsed = facts.get("elapsed")
    settings = {
        "run": str(folder.path),
        "engine": str(identity.get("sim.engine", "unknown")),
        "seed": str(identity.get("datagen_config.seed", "unknown")),
        **({} if elapsed is None else {"time": duration(float(elapsed))}),
        "watch it": command_line("watch", input_dir=folder.path),
    }
    shown = f"{IN_PROGRESS}, writing files" if state == WRITING else state
    return Heading(str(identity.get("task.name", folder.path.name)), shown, settings)


def _files(folder: RunFolder) -> RunFiles:
    """Pictures, videos and configuration of the run, as far as they exist."""
    captions = (
        (folder.picture, "Demos at start, grasp and end, and the starts of all demos"),
        (folder.video, "The first demos"),
        (folder.failed_video, "The first failed trials"),
    )
    try:
        config = folder.config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # The page is also useful without it.
        config = ""
    return RunFiles(media(*captions), config)


def _write(path: Path, page: str) -> None:
    write_text(path, page, "output_file", "use a writable folder", OutputError)
