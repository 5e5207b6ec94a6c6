"""Statistics, videos and picture of a run, written after its dataset; after a kill, written when the run is resumed."""

import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.errors import MimicError
from isaaclab_mimic_ext.files.folder import log_file
from isaaclab_mimic_ext.files.hdf5 import open_hdf5
from isaaclab_mimic_ext.files.stream import read_facts
from isaaclab_mimic_ext.files.writing import write_text
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.robot_reach import reach_stats
from isaaclab_mimic_ext.run.session import RunFolder, locked, run_facts
from isaaclab_mimic_ext.run.summary import summarize
from isaaclab_mimic_ext.run.trial_records import read_records
from isaaclab_mimic_ext.task.definition import Task, load_task
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

_MAX_ROWS = 4
"""Largest number of demos that the scene picture shows one by one."""


def write_stats(cfg: GenerateCfg, folder: RunFolder, result: RunResult, engine: str | None) -> dict[str, int]:
    """Write `important_stats.json`, and return the number of successful trials by each `success_rule`.

    Raises:
        RecorderError: the file cannot be written.
    """
    provenance = {
        "generation_path": str(folder.path),
        "task": cfg.task.name,
        "engine": engine,
        "num_envs": cfg.batch_size(),
        "seed": cfg.datagen_config.seed,
        "source_file": cfg.input_file,
    }
    records = read_records(folder.store, None if result.is_interrupted else result.end_trial)
    summary = summarize(records)
    stats = result.stats() | summary | reach_stats(cfg) | provenance
    write_text(folder.stats, json.dumps(stats, indent=2) + "\n")
    return summary["successes_by_rule"]


def mark_reported(folder: RunFolder) -> None:
    """Note in the store that statistics, videos and picture are complete."""
    run_facts(folder, reported=True)


def write_missing_reports(cfg: GenerateCfg, folder: RunFolder, result: RunResult) -> None:
    """Write the missing statistics, videos and picture of a finished run.

    Raises:
        OutputError: another process works in the folder, or the folder cannot be written to.
    """
    is_reported = run_facts(folder)["reported"]
    draws_video = cfg.video and not cfg.task.is_registered
    lacks_video = draws_video and not folder.video.exists()
    if is_reported and not lacks_video:
        return
    with locked(folder), log_file(folder.log):
        if not is_reported:
            before = folder.stats.read_text(encoding="utf-8") if folder.stats.exists() else ""
            write_stats(cfg, folder, result, read_facts(folder.demos).env_args.get("engine"))
            if folder.stats.read_text(encoding="utf-8") != before:
                log.info("Wrote the missing file %s", folder.stats)
        if draws_video:
            draw_run(folder, load_task(cfg.task.name, cfg.robot, cfg.objects), cfg.num_video_demos)
        mark_reported(folder)


def draw_run(folder: RunFolder, task: Task, num_demos: int) -> None:
    """Render the playback videos and the scene picture of a run, if the run has demos for them.

    A failure to render is only a warning: the dataset is complete, also on machines without OpenGL.
    """
    from isaaclab_mimic_ext.envs.playback import write_video
    from isaaclab_mimic_ext.envs.scene_picture import write_scene_picture

    if _num_demos(folder.demos):
        _draw(write_scene_picture, folder.demos, folder.picture, task, min(num_demos, _MAX_ROWS))
        _draw(write_video, folder.demos, folder.video, task, num_demos)
    if _num_demos(folder.failed_demos):
        write = partial(write_video, failures=_failures(folder))
        _draw(write, folder.failed_demos, folder.failed_video, task, num_demos)


def _failures(folder: RunFolder) -> dict[int, str]:
    """Reason of each failed trial, by its number; empty if the store cannot be read."""
    try:
        records = read_records(folder.store)
    except MimicError:  # Captions without reasons are better than no video.
        return {}
    failed = records.only(~records.success)
    return dict(zip(failed.trials.tolist(), failed.reason.tolist(), strict=True))


def _num_demos(path: Path) -> int:
    if not path.exists():
        return 0
    with open_hdf5(path) as file:
        return len(file["data"])


def _draw(draw: Callable[..., None], dataset: Path, picture: Path, task: Task, num_demos: int) -> None:
    num_drawn = min(num_demos, _num_demos(dataset))
    log.info("Rendering %s (%s); video=false skips this", picture.name, counted(num_drawn, "demo"))
    try:
        draw(dataset, picture, task, num_demos=num_demos)
        log.info("Saved %s", picture)
    except MimicError as error:
        log.warning("%s was not rendered: %s", picture.name, error)
