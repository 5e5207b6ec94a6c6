"""Run selected trials of a run again, to render them. A trial is a function of its number, so its motion is the same."""

# N envs, one per trial, n of them addressed, T steps

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.command_lines import unquoted, words_in_comment
from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors
from isaaclab_mimic_ext.envs.playback import demo_states
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.progress import phase
from isaaclab_mimic_ext.run.build import build_planner, config_of_values, load_pool, start_env, term_signals
from isaaclab_mimic_ext.run.episodes import TrialOutcomes
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.session import RunFolder, changed_fields, identity_of
from isaaclab_mimic_ext.run.watch import TrialWatch
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.task.reasons import SUCCEEDED

_NO_LIMITS: dict[str, Any] = dict.fromkeys(
    ("max_num_failures", "max_total_failures", "max_trials", "max_time", "min_success_rate")
)


@dataclass(frozen=True)
class RecordedMotion:
    """Recorded motion of a trial, for rendering.

    Attributes:
        trial: number of the trial.
        reason: reason of failure in the rerun; empty if the trial succeeded; None if the trial was not run again.
        states: states after each step, leaves (T, ...).
    """

    trial: int
    reason: str | None
    states: dict[str, Any]


def rerun_trials(
    folder: RunFolder, identity: Mapping[str, Any], trials: Sequence[int], after_step: Callable[[], None] = lambda: None
) -> list[RecordedMotion]:
    """Run trials of a run again, all in parallel, and record their states.

    Args:
        identity: everything that the trials depend on, from the run's store (`identity_of`).
        trials: numbers of the trials.
        after_step: called after each step; an exception ends the trials.

    Raises:
        SourceDataError: the configuration or the source demos of the run are missing or have changed.
        SimulatorUnavailable: the engine is not installed.
    """
    cfg = _run_config(folder)
    cfg = replace(cfg, input_file=str(_source_file(folder, cfg.input_file)))
    _check_same(identity, identity_of(asdict(cfg), Path(cfg.input_file)))
    rules = replace(cfg.datagen_config, **_NO_LIMITS, generation_guarantee=False, generation_num_trials=max(trials) + 1)
    cfg = replace(cfg, num_envs=len(trials), datagen_config=rules)
    env = start_env(cfg)
    try:
        recorder = _StateRecorder(env)
        planner = build_planner(cfg, env, load_pool(cfg, env))
        watch = TrialWatch(env, rules, term_signals(cfg, env), planner.failure_messages)
        others = np.setdiff1d(np.arange(max(trials) + 1), trials)
        ledger = TrialLedger(rules)
        ledger.restore(others, np.full(len(others), SUCCEEDED))
        generator = Generator(env, planner, recorder, ledger, watch, rules)  # type: ignore[arg-type]
        update, num_before = phase("running failed trials again", "trials"), len(others)

        def report() -> bool:
            after_step()
            update(ledger.num_ended - num_before, len(trials), share=generator.share())
            return False

        generator.run(report)
    finally:
        env.close()
    names = dict(enumerate(watch.reasons)) | {SUCCEEDED: ""}
    return [RecordedMotion(trial, names[recorder.reasons[trial]], recorder.states[trial]) for trial in trials]


def read_failed_demos(path: Path, trials: Sequence[int], task: Task) -> list[RecordedMotion]:
    """Read trials that a run wrote as failed demos, if the trials cannot be run again. Other trials are left out.

    Raises:
        SourceDataError: the file is damaged, or belongs to a different task.
    """
    if not path.is_file():
        return []
    with open_hdf5(path) as file:
        names = {int(file["data"][name].attrs["trial"]): name for name in demo_names(file)}
        return [RecordedMotion(trial, None, demo_states(file, names[trial], task)) for trial in trials if trial in names]


class _StateRecorder:
    """Recorder (as `EpisodeRecorder`) that keeps the states of every step in memory. All trials must begin together."""

    def __init__(self, env: MimicEnv):
        self._env = env
        self._steps: list[NestedTensors] = []
        self.reasons: dict[int, int] = {}
        self.states: dict[int, dict[str, Any]] = {}

    def begin(self, env_ids: Tensor) -> None:
        assert not self._steps, "all trials must begin together"

    def before_step(self, step: Tensor) -> None:
        pass

    def after_step(self, step: Tensor, actions: Tensor, success: Tensor, clean_actions: Tensor | None = None) -> None:
        self._steps.append(trees.map(Tensor.clone, self._env.get_state()))

    def take(self, env_ids: Tensor, lengths: np.ndarray) -> "_Motions":
        steps = [self._steps[:length] for length in lengths.tolist()]
        return _Motions(
            [trees.stack([trees.take(each, row) for each in of_trial]) for row, of_trial in zip(env_ids, steps, strict=True)]
        )

    def put(self, episodes: "_Motions", outcomes: TrialOutcomes, committed: int) -> None:
        self.reasons |= zip(outcomes.trials.tolist(), outcomes.reason.tolist(), strict=True)
        for trial, states in zip(outcomes.trials.tolist(), episodes.states, strict=True):
            self.states[trial] = trees.map(lambda leaf: leaf.cpu().numpy(), states)


@dataclass(frozen=True)
class _Motions:
    """States of trials that have ended, leaves (T, ...); in the place of `RecordedEpisodes`."""

    states: list[NestedTensors]

    def first_nonfinite_step(self) -> np.ndarray:
        return np.full(len(self.states), -1)


def _run_config(folder: RunFolder) -> GenerateCfg:
    try:
        return config_of_values(OmegaConf.load(folder.config))
    except FileNotFoundError as error:
        raise SourceDataError(f"{folder.config}: not found; it is required to run trials again") from error
    except Exception as error:  # YAML and OmegaConf raise errors of many types.
        raise SourceDataError(f"{folder.config}: is not a configuration of this version ({error})") from error


def _source_file(folder: RunFolder, input_file: str) -> Path:
    """Find the source demos of a run, whose path may be relative to the folder in which the run was started.

    `_check_same` compares their content.

    Raises:
        SourceDataError: the file is not found.
    """
    _, words = words_in_comment(folder.config.read_text("utf-8", errors="replace"))
    absolute = [unquoted(word.removeprefix("input_file=")) for word in words if word.startswith("input_file=")]
    candidates = [*map(Path, absolute), Path(input_file), folder.path.parent / input_file]
    if found := next((path for path in candidates if path.is_file()), None):
        return found
    remedy = "start this command in the folder in which the run was started"
    raise SourceDataError(f"input_file: {input_file}, the source demos of the run, is not found; {remedy}")


def _check_same(then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if changed := changed_fields(then, now):
        raise SourceDataError(f"trials cannot be run again with the same motion; changed: {', '.join(changed[:5])}")
