"""What a run says of itself once its demos have their names, made up for later where a kill came before it."""

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.errors import MimicError
from isaaclab_mimic_ext.files.logs import log_file
from isaaclab_mimic_ext.files.writing import write_text
from isaaclab_mimic_ext.record.run_folder import RunFolder
from isaaclab_mimic_ext.record.session import locked, run_facts
from isaaclab_mimic_ext.report.records import read_records
from isaaclab_mimic_ext.report.summary import summarize
from isaaclab_mimic_ext.stats import INTERRUPTED, GenerationReport, stats_json
from isaaclab_mimic_ext.task import Task, load_task

log = logging.getLogger(__name__)


def closing_facts(report: GenerationReport, target: int) -> dict[str, Any]:
    """What the run's store notes with the end: `report` may have to be written by a later process.

    Args:
        target: `generation_num_trials`.
    """
    facts: dict[str, Any] = {"complete": report.target_reached, "stop_reason": report.reason, "reported": False}
    return facts | {"target": target, "num_counted": report.num_attempts, "report": asdict(report)}


def write_stats(cfg: GenerateCfg, folder: RunFolder, report: GenerationReport, engine: str | None) -> dict[str, int]:
    """Write `important_stats.json`; how many trials succeeded by each `success_rule`.

    Raises:
        RecorderError: it cannot be written.
    """
    provenance = {
        "generation_path": str(folder.path),
        "task": cfg.task.name,
        "engine": engine,
        "num_envs": cfg.num_envs,
        "seed": cfg.datagen_config.seed,
        "source_file": cfg.input_file,
    }
    records = read_records(folder.store, None if report.reason == INTERRUPTED else report.num_attempts)
    summary = summarize(records)
    write_text(folder.stats, stats_json(report, summary | provenance))
    return summary["successes_by_rule"]


def note_reported(folder: RunFolder) -> None:
    """Note that nothing is left to be made up for."""
    run_facts(folder, reported=True)


def report_late(cfg: GenerateCfg, folder: RunFolder) -> None:
    """Write what is missing of a finished run: statistics, videos, picture.

    Raises:
        OutputError: another process works on the run, or the folder cannot be written to.
    """
    facts = run_facts(folder)
    is_reported = facts.get("reported", True)  # Of an earlier version's run nothing more is known.
    draws_video = cfg.video and not cfg.task.is_registered
    lacks_video = draws_video and not folder.video.exists()
    if is_reported and not lacks_video:
        return
    with locked(folder), log_file(folder.log):
        if not is_reported:
            _write_stats_late(cfg, folder)
            log.info("Wrote %s, which was missing", folder.stats)
        if draws_video:
            draw_run(folder, load_task(cfg.task.name), cfg.num_video_demos)
        note_reported(folder)


def stored_report(folder: RunFolder) -> GenerationReport:
    """The report of a finished run, from its store and its dataset.

    Raises:
        SourceDataError: the dataset is damaged.
        OutputError: the store is damaged.
    """
    from isaaclab_mimic_ext.datasets.hdf5 import demo_names, open_hdf5

    facts = run_facts(folder)
    with open_hdf5(folder.demos) as file:
        lengths = [int(file["data"][name].attrs["num_samples"]) for name in demo_names(file)]
    known = facts.get("report") or {
        "num_successes": len(lengths),
        "num_attempts": facts.get("num_counted", len(lengths)),
        "reason": facts.get("stop_reason", ""),
        "target_reached": True,
        "failures": {},
        "env_steps": 0,
    }
    changes = {"lengths": lengths, "elapsed": facts.get("elapsed", 0.0), "output_dir": str(folder.path)}
    return GenerationReport(**known | changes)


def _write_stats_late(cfg: GenerateCfg, folder: RunFolder) -> None:
    from isaaclab_mimic_ext.datasets.stream import read_facts

    write_stats(cfg, folder, stored_report(folder), read_facts(folder.demos).env_args.get("engine"))


def draw_run(folder: RunFolder, task: Task, num_demos: int) -> None:
    """Draw the playback videos and the scene picture of a run, those that there are demos for.

    What cannot be drawn is warned about only: the dataset is what the run was for, and a machine without OpenGL has it too.
    """
    from isaaclab_mimic_ext.datasets.playback import write_scene_picture, write_video

    if _has_demos(folder.demos):
        _draw(write_scene_picture, folder.demos, folder.picture, task, num_demos)
        _draw(write_video, folder.demos, folder.video, task, num_demos)
    if _has_demos(folder.failed_demos):
        _draw(write_video, folder.failed_demos, folder.failed_video, task, num_demos)


def _has_demos(path: Path) -> bool:
    import h5py

    if not path.exists():
        return False
    with h5py.File(path, "r") as file:
        return len(file["data"]) > 0


def _draw(draw: Callable[..., None], dataset: Path, picture: Path, task: Task, num_demos: int) -> None:
    try:
        draw(dataset, picture, task, num_demos=num_demos)
        log.info("Drew %s", picture)
    except MimicError as error:
        log.warning("No %s: %s", picture.name, error)
