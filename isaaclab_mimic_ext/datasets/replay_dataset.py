"""Replay a dataset on the engine that it was recorded on, or on another engine."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.config.recorded_task import find_recorded_task
from isaaclab_mimic_ext.datasets.replay import Replayed, StateHistory, make_recorded_env, replay_file, summary, with_task
from isaaclab_mimic_ext.envs.playback import check_picture, write_states_video
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.files.selection import Chosen
from isaaclab_mimic_ext.files.stream import read_facts
from isaaclab_mimic_ext.files.writing import check_output
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.meshes import recorded_objects
from isaaclab_mimic_ext.task.robot import recorded_robot
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReplayResult:
    """The result of replaying a dataset.

    Attributes:
        engine: the engine that replayed it.
        demos: one result per demo, in the order of the file.
    """

    engine: str
    demos: list[Replayed]

    @property
    def success_rate(self) -> float:
        """Fraction of the demos that succeed when they are replayed, 0 to 1."""
        return float(summary(self.demos)["success_rate"])

    @property
    def largest_object_error(self) -> float | None:
        """Largest distance of an object from its recorded position [m]; None without recorded states."""
        error: float | None = summary(self.demos)["largest_object_error"]
        return error


@renamed_arguments(path="input_file", video_file="output_file")
def replay_dataset(
    input_file: str | Path,
    engine: str | SimCfg = "auto",
    *,
    task: str | None = None,
    select_episodes: Sequence[int] = (),
    num_demos: int | None = None,
    num_envs: int = 50,
    device: str | torch.device = "cpu",
    num_success_steps: int = 5,
    output_file: str | Path | None = None,
    num_video_demos: int = 6,
    overwrite: bool = False,
    on_progress: Callable[[int, int], Any] = lambda done, total: None,
    demos: Chosen = None,
) -> ReplayResult:
    """Replay the recorded actions of a dataset from the recorded initial states.

    Args:
        input_file: the dataset.
        engine: name of an engine, or its settings; `auto`: the engine that the file was recorded on.
        task: name of an included task, gym id, or `<module>:<gym id>`; None: the task that the file records.
        select_episodes: indices of the demos to replay, in natural order of their names; empty: all.
        num_demos: number of demos to replay, from the first one; None: all.
        num_envs: number of demos that are replayed at a time.
        num_success_steps: the task must be solved in each of this many last steps.
        output_file: mp4 file for a video of the first `num_video_demos` demos; None: no video.
        overwrite: replace an existing video.
        on_progress: called after each demo with the number of replayed demos and of all demos.
        demos: demos to replay: names of demos and masks, with `-` in front to exclude them; None: all.

    Raises:
        SourceDataError: the file is damaged, or its demos have a different action space.
        OutputError: the video cannot be written.
        SimulatorUnavailable: the engine is not installed.
    """
    facts = read_facts(input_file, demos)
    env_args, video_task = with_task(facts.env_args, task), None
    if output_file is not None:
        check_output(Path(output_file), overwrite)
        check_picture(str(output_file), ".mp4", overwrite)
        task_name = str(env_args.get("task", env_args["env_name"]))
        find_recorded_task(task_name, env_args, input_file)
        video_task = load_task(task_name, recorded_robot(env_args), recorded_objects(env_args))
    names = _selected(input_file, facts.demo_names, select_episodes)[:num_demos]
    sim = SimCfg(engine=engine) if isinstance(engine, str) else engine
    env = make_recorded_env(input_file, env_args, sim, min(num_envs, len(names)), torch.device(device))
    replayed: list[Replayed] = []
    try:
        history = StateHistory(env, num_video_demos if output_file is not None else 0)
        for result in replay_file(env, input_file, names, num_success_steps, history.after_step):
            replayed.append(result)
            on_progress(len(replayed), len(names))
        used_engine = str(env.env_args().get("engine"))
    finally:
        env.close()
    if output_file is not None and video_task is not None:
        log.info("Rendering %s (%s)", output_file, counted(min(num_video_demos, len(replayed)), "demo"))
        shown = history.demos()
        captions = [f"replay of {result.name}" for result in replayed[: len(shown)]]
        write_states_video(shown, str(output_file), video_task, overwrite=overwrite, captions=captions)
        log.info("Saved the video to %s", output_file)
    return ReplayResult(used_engine, replayed)


def _selected(path: str | Path, names: list[str], indices: Sequence[int]) -> list[str]:
    """Return the demos with these indices; all without indices.

    Raises:
        ConfigError: the file has no demo with an index.
    """
    for index in indices:
        if not 0 <= index < len(names):
            raise ConfigError(f"select_episodes: must be from 0 to {len(names) - 1}, the demos of {path} (got {index})")
    return [names[index] for index in indices] if indices else names
