"""Figures of a run, running or ended, for the page: read from its folder."""

# K trials, O objects, X and Y bins of a place

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.errors import MimicError, OutputError, SourceDataError
from isaaclab_mimic_ext.learn.results import wilson_interval
from isaaclab_mimic_ext.report.charts import EMPTY, FEW_TRIALS, colors_of, rate_color, text_color
from isaaclab_mimic_ext.run.progress_file import ENDED, RUNNING
from isaaclab_mimic_ext.run.result import INTERRUPTED
from isaaclab_mimic_ext.run.run_state import FINISHED, IN_PROGRESS, UNFINISHED, WRITING, counted_records, state_of
from isaaclab_mimic_ext.run.session import RunFolder, is_in_use, opened_store
from isaaclab_mimic_ext.run.summary import Bins, count_reasons, place_bins
from isaaclab_mimic_ext.run.trial_records import RunRecords, read_records
from isaaclab_mimic_ext.texts import counted

_MAX_FAILED = 400
"""Largest number of failed trials that are sent: the latest ones."""
_MAX_RECENT = 400
"""Number of trials whose outcomes are sent, for the environments that ran them: the latest ones."""
_DAMAGED = "unreadable"
_FROM_PROGRESS = ("target", "demos_per_hour", "elapsed_s", "remaining_s")


def find_runs(root: Path) -> list[RunFolder]:
    """Runs in a folder: the folder itself, and the folders in it; the run that was changed last is the first."""
    try:
        folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
        runs = [run for run in map(RunFolder, folders) if run.store.is_file()]
        return sorted(runs, key=lambda run: -_changed_at(run))
    except OSError:
        return []


def _changed_at(run: RunFolder) -> float:
    journal = run.store.with_name(f"{run.store.name}-wal")
    return max(path.stat().st_mtime for path in (run.store, journal) if path.exists())


def facts_of(run: RunFolder) -> dict[str, Any]:
    """Facts in the store of a run.

    Raises:
        OutputError: the store is damaged, or a different version of this package wrote it.
        SourceDataError: no run has started in the folder, and no process works in it.
    """
    with opened_store(run.store, "input_dir", read_only=True) as store:
        facts = store.facts()
    if "identity" not in facts or ("trials" not in facts and not is_in_use(run)):
        raise SourceDataError(f"input_dir: {run.path}: {_NO_TRIALS}; continue with: {_resume_command(run)}")
    return facts


@dataclass(frozen=True)
class RunFigures:
    """Figures of a run at one instant.

    Attributes:
        state: state for the page, values of JSON.
        records: records of its trials; None if they cannot be read.
        is_running: whether a process works in the folder.
    """

    state: dict[str, Any]
    records: RunRecords | None
    is_running: bool


def read_figures(run: RunFolder) -> RunFigures:
    """Read the figures of a run. Errors become a state with a sentence."""
    is_running = is_in_use(run)
    try:
        records = read_records(run.store)
        state = state_of(run, records.facts)
        if state == UNFINISHED:  # The run may have ended since its records were read.
            records = read_records(run.store)
            state = state_of(run, records.facts)
    except SourceDataError as error:
        if _is_young(run):
            young = {"state": IN_PROGRESS, "text": "No trial has ended yet.", "elapsed_s": _age(run)}
            ended = {"state": UNFINISHED, "text": f"The run {_NO_TRIALS}.", "command": _resume_command(run)}
            return RunFigures(young if is_running else ended, None, is_running)
        return RunFigures({"state": _DAMAGED, "text": str(error)}, None, is_running)
    except MimicError as error:
        return RunFigures({"state": _DAMAGED, "text": str(error)}, None, is_running)
    records = counted_records(records, state)
    progress = _read_progress(run)
    figures = {**_counts(records), **_of_progress(progress), **_charts(records)}
    facts = records.facts["identity"]
    names = {"task": str(facts.get("task.name")), "engine": str(facts.get("sim.engine"))}
    names["target_unit"] = "demos" if facts.get("datagen_config.generation_guarantee", True) else "trials"
    state, text = _stage(state, progress, figures, names["target_unit"])
    figures["remaining_s"] = figures["remaining_s"] if state == IN_PROGRESS else None
    step_dt = float(records.facts["trials"]["step_dt"])
    command = {"command": _resume_command(run)} if state in (INTERRUPTED, UNFINISHED) else {}
    return RunFigures({"state": state, "text": text, "step_dt": step_dt, **names, **figures, **command}, records, is_running)


_NO_TRIALS = "ended before its first trial: its start has failed, or its process was killed"


def _resume_command(run: RunFolder) -> str:
    return command_line("generate", resume=True, output_dir=run.path)


def _age(run: RunFolder) -> float:
    """Time since the configuration of the run was written, at its start [s]."""
    try:
        return max(0.0, round(time.time() - run.config.stat().st_mtime))
    except OSError:
        return 0.0


def _is_young(run: RunFolder) -> bool:
    """Return whether the store of a run has no trials yet: it gets its facts with the first ended trial."""
    try:
        with opened_store(run.store, "input_dir", read_only=True) as store:
            return "trials" not in store.facts()
    except OutputError:
        return False


def _stage(state: str, progress: Mapping[str, Any], figures: Mapping[str, Any], unit: str) -> tuple[str, str]:
    """State of a run and a sentence about the state; empty for a run that is finished or in progress."""
    kept = f"{counted(figures['trials'], 'trial is', 'trials are')} kept"
    target = figures["target"] if progress.get("state") == RUNNING else None
    if state == IN_PROGRESS and target and figures["successes" if unit == "demos" else "trials"] >= target:
        return WRITING, "All trials have ended. The dataset is being written."
    if state == WRITING:
        return state, "All trials have ended, and the dataset is written. Statistics, pictures and videos are being written."
    if state in (IN_PROGRESS, FINISHED):
        return state, ""
    if state == INTERRUPTED:
        return state, f"The run was interrupted; {kept}."
    if state == UNFINISHED:
        reason = progress.get("stop_reason") if progress.get("state") == ENDED else None
        return state, f"The run ended without a result ({reason or 'its process was killed'}); {kept}."
    return state, f"The run ended before its target: {state}"


def _read_progress(run: RunFolder) -> dict[str, Any]:
    try:
        content = json.loads(run.progress.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _of_progress(progress: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of `progress.json`: numbers, or null where they are not known."""
    values = {name: progress.get(name) for name in _FROM_PROGRESS}
    return {name: value if isinstance(value, int | float) else None for name, value in values.items()}


def _counts(records: RunRecords) -> dict[str, Any]:
    successes = int(records.success.sum())
    interval = wilson_interval(successes, len(records))
    return {"trials": len(records), "successes": successes, "interval": [round(each, 4) for each in interval]}


def _charts(records: RunRecords) -> dict[str, Any]:
    reasons = count_reasons(records)
    colors = colors_of(list(reasons))
    objects = _placed(records)
    successes = records.trials[records.success]
    return {
        "reasons": [{"name": name, "count": count, "color": colors[name]} for name, count in reasons.items()],
        "places": [_place(records.objects[index], place_bins(records, index)) for index in objects],
        "failed": _failed(records, list(reasons), objects),
        "recent": _recent(records, list(reasons)),
        "last_success": int(successes[-1]) if len(successes) else -1,
        "last_trial": int(records.trials[-1]) if len(records) else -1,
    }


def places_of(records: RunRecords, row: int) -> list[list[float]]:
    """Initial x, y [m] of each object of the maps in a trial."""
    return _xy(records, row, _placed(records))


def _placed(records: RunRecords) -> list[int]:
    """Indices of the objects that have a map: those whose initial places differ."""
    return [index for index in range(len(records.objects)) if place_bins(records, index) is not None]


def _xy(records: RunRecords, row: int, objects: Sequence[int]) -> list[list[float]]:
    places: list[list[float]] = records.scene[row][list(objects), :2].round(3).tolist()
    return places


def _place(name: str, bins: Bins | None) -> dict[str, Any]:
    assert bins is not None
    cells = [
        [_cell(int(trials), int(successes)) for trials, successes in zip(*rows, strict=True)]
        for rows in zip(bins.trials, bins.successes, strict=True)
    ]
    edges = [[round(float(edge), 4) for edge in edges] for edges in bins.edges]
    return {"object": name, "edges": edges, "cells": cells, "few": FEW_TRIALS}


def _cell(trials: int, successes: int) -> dict[str, Any]:
    """Cell of a map of places: its counts, color and color of text, as on the page of `mimic report`."""
    rate = successes / max(trials, 1)
    colors = {"color": rate_color(rate, trials) if trials else EMPTY, "ink": text_color(rate, trials)}
    return {"trials": trials, "successes": successes, **colors}


def _recent(records: RunRecords, reasons: Sequence[str]) -> list[list[int]]:
    """Number of each of the latest trials, and the index of its reason of failure; -1 if it succeeded."""
    latest = slice(-_MAX_RECENT, None)
    outcomes = zip(records.trials[latest], records.success[latest], records.reason[latest], strict=True)
    return [[int(trial), -1 if success else reasons.index(str(reason))] for trial, success, reason in outcomes]


def _failed(records: RunRecords, reasons: Sequence[str], objects: Sequence[int]) -> list[dict[str, Any]]:
    """The latest failed trials: number, index of the reason, step of the failure, and x, y of each object in `places`."""
    rows = np.flatnonzero(~records.success)[-_MAX_FAILED:]
    return [
        {
            "trial": int(records.trials[row]),
            "reason": reasons.index(str(records.reason[row])),
            "step": int(records.step[row]),
            "places": _xy(records, row, objects),
        }
        for row in rows
    ]
