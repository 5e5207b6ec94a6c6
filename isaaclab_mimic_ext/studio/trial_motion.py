"""Motion of an ended trial: from the store, from a dataset, or by running the trial again."""

# T steps of the trial, B bodies that move

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.errors import MimicError, SourceDataError
from isaaclab_mimic_ext.files.shards import shard_path
from isaaclab_mimic_ext.progress import shown
from isaaclab_mimic_ext.run.episodes import stored_fields, unpack
from isaaclab_mimic_ext.run.rerun import read_failed_demos, rerun_trials
from isaaclab_mimic_ext.run.session import RunFolder, opened_store
from isaaclab_mimic_ext.run.trial_records import RunRecords
from isaaclab_mimic_ext.task.definition import Task

_NEEDS_LAUNCH = "isaaclab"
"""Engine that a process starts once, so that trials cannot be run again in the process of a page."""
_STATES = "states/"


def read_motion(
    run: RunFolder, records: RunRecords, trial: int, task: Task, after_step: Callable[[], None] = lambda: None
) -> tuple[dict[str, Any], str]:
    """States after each step of an ended trial, leaves (T, ...), and their origin, for display.

    Args:
        after_step: called after each step of a trial that runs again; an exception ends the trial.

    Raises:
        MimicError: the trial has not ended, its motion is not stored and it cannot be run again, or a file is damaged.
    """
    if trial not in records.trials:
        raise SourceDataError(f"trial: {trial} has not ended; choose a trial that has ended")
    if (states := _stored_states(run.store, trial)) is not None:
        return states, "stored in run.sqlite"
    for path in _files_with(run, records, trial):
        for motion in read_failed_demos(path, [trial], task):
            return motion.states, f"stored in {path.name}"
    return _rerun_states(run, records, trial, after_step), "simulated again, with the same motion"


def _files_with(run: RunFolder, records: RunRecords, trial: int) -> list[Path]:
    """Files that may contain the demo of a trial."""
    size, paths = records.facts["identity"].get("recorder.shard_demos"), [run.demos, run.failed_demos]
    first = int(records.trials.min(initial=trial))
    return paths if size is None else [shard_path(path, (trial - first) // size) for path in paths]


def _stored_states(store_path: Path, trial: int) -> dict[str, Any] | None:
    with opened_store(store_path, "input_dir", read_only=True) as store:
        episode = store.episode(trial)
        if episode is None:
            return None
        fields = stored_fields(store.facts())
    leaves = unpack([each for each in fields if each.path.startswith(_STATES)], episode.rows)
    return trees.unflatten({path.removeprefix(_STATES): leaf for path, leaf in leaves.items()})


def _rerun_states(run: RunFolder, records: RunRecords, trial: int, after_step: Callable[[], None]) -> dict[str, Any]:
    identity = records.facts["identity"]
    remedy = "generate with generation_keep_failed=true to keep failed trials"
    if identity.get("sim.engine") == _NEEDS_LAUNCH:
        raise SourceDataError(f"trial {trial}: its motion is not stored, and Isaac Lab cannot run it again here; {remedy}")
    try:
        with shown(False):
            (motion,) = rerun_trials(run, identity, [trial], after_step)
    except MimicError as error:
        raise SourceDataError(f"trial {trial}: its motion is not stored, and {error}; {remedy}") from error
    return motion.states


def poses_of(scene: PosedScene, states: dict[str, Any]) -> NDArray[np.float32]:
    """Poses of all bodies after each step, (T, B, 7): position [m] and quaternion xyzw."""
    poses = []
    for step in range(trees.num_rows(states)):
        scene.set_state(trees.take(states, step))
        poses.append(scene.body_poses())
    return np.stack(poses)
