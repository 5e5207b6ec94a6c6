"""`mimic watch`: watch a run on a page in the browser."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import TaskRef, WatchCfg
from isaaclab_mimic_ext.config.recorded_task import find_recorded_task
from isaaclab_mimic_ext.envs.posed_scene import PosedScene, describe_scene
from isaaclab_mimic_ext.errors import MimicError, SourceDataError
from isaaclab_mimic_ext.run.session import RunFolder
from isaaclab_mimic_ext.studio.server import StudioServer
from isaaclab_mimic_ext.studio.session import log_address
from isaaclab_mimic_ext.studio.watch_tab import WatchTab
from isaaclab_mimic_ext.studio.watched_run import facts_of, find_runs
from isaaclab_mimic_ext.task.definition import Task, load_task
from isaaclab_mimic_ext.task.meshes import recorded_objects
from isaaclab_mimic_ext.task.robot import recorded_robot

log = logging.getLogger(__name__)

_POLL_S = 0.2


def main(cfg: WatchCfg) -> None:
    """Serve the page of a run until a signal ends it. The run is not affected.

    Raises:
        SourceDataError: the folder does not contain a run, or its start has failed.
        OutputError: the store of the run is damaged, or the port cannot be used.
    """
    root = Path(cfg.input_dir)
    runs = find_runs(root)
    if not runs:
        raise SourceDataError(f"input_dir: {root} does not contain a run (run.sqlite); give the folder of a generation")
    torch.set_num_threads(1)
    task, scene, no_scene = _scene_of(runs[0], facts_of(runs[0]))
    if no_scene:
        log.warning("The page shows figures only: %s", no_scene)
    with (
        StopRequest() as stop,
        WatchTab(root, task, no_scene) as tab,
        StudioServer([tab], scene, cfg.host, cfg.port) as server,
    ):
        log_address(server, cfg.host)
        while not stop.requested:
            time.sleep(_POLL_S)
    log.info("The page is closed; the run is not affected")


def _scene_of(run: RunFolder, facts: Mapping[str, Any]) -> tuple[Task | None, dict[str, Any], str]:
    """Task of a run, description of its scene, and the reason if there is none."""
    name = str(facts["identity"].get("task.name"))
    if TaskRef(name).is_registered:
        return None, {}, "the task is registered with Isaac Lab, and has no scene that the page could draw"
    try:
        find_recorded_task(name, facts, run.store)
        task = load_task(name, recorded_robot(facts["identity"]), recorded_objects(facts["identity"]))
        return task, describe_scene(PosedScene(task)), ""
    except MimicError as error:
        return None, {}, str(error)
