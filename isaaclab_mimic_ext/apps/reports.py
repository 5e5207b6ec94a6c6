"""What a run says of itself once its demos have their names, made up for later where a kill came before it."""

import logging
from dataclasses import asdict
from typing import Any

from isaaclab_mimic_ext.apps.logs import log_file
from isaaclab_mimic_ext.apps.pictures import draw_run
from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.record.run_folder import RunFolder
from isaaclab_mimic_ext.record.session import locked, run_facts
from isaaclab_mimic_ext.report.records import read_records
from isaaclab_mimic_ext.report.summary import summarize
from isaaclab_mimic_ext.stats import INTERRUPTED, GenerationReport, stats_json
from isaaclab_mimic_ext.task import load_task

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
    folder.write(folder.stats, stats_json(report, summary | provenance))
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
            _write_stats_late(cfg, folder, facts)
            log.info("Wrote %s, which was missing", folder.stats)
        if draws_video:
            draw_run(folder, load_task(cfg.task.name), cfg.num_video_demos)
        note_reported(folder)


def _write_stats_late(cfg: GenerateCfg, folder: RunFolder, facts: dict[str, Any]) -> None:
    from isaaclab_mimic_ext.datasets.hdf5 import demo_names, open_hdf5
    from isaaclab_mimic_ext.datasets.stream import read_facts

    with open_hdf5(folder.demos) as file:
        lengths = [int(file["data"][name].attrs["num_samples"]) for name in demo_names(file)]
    report = GenerationReport(**facts["report"] | {"lengths": lengths, "elapsed": facts["elapsed"]})
    write_stats(cfg, folder, report, read_facts(folder.demos).env_args.get("engine"))
