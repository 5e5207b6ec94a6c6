"""Record demos of a scripted operator in many scenes at once."""

# N envs, D of them with a demo that began together, E end effectors, G gripper entries, T frames of the longest demo
# A action entries

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.progress import phase
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.attempts import AttemptWatch, Operator, frames_of, plan_attempts
from isaaclab_mimic_ext.run.episodes import TrialOutcomes
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder, RecordedEpisodes
from isaaclab_mimic_ext.run.share import ShareOfSteps, Steps
from isaaclab_mimic_ext.task.reasons import SUCCEEDED


def record_demos(
    env: MimicEnv,
    operator: Operator,
    watch: AttemptWatch,
    recorder: EpisodeRecorder,
    ledger: TrialLedger,
    seed: int,
    num_success_steps: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run attempts of a scripted operator until the ledger ends the recording.

    Args:
        watch: finds the reasons of failed attempts.
        num_success_steps: an attempt succeeds if the task is solved in each of its last `num_success_steps` steps.
        should_stop: called after every step; returning True ends the recording and discards the running attempts.
    """
    lanes = Lanes(env.num_envs, env.device)
    progress = _RecordingProgress(lanes, ledger)
    while not ledger.is_over:
        # The operator plans for scenes that begin together, so the next attempts begin when all current ones have ended.
        env_ids = lanes.begin(ledger.start(lanes.num_free))
        draws = Draws(seed, lanes.trial[env_ids])
        env.reset(env_ids, draws)
        recorder.begin(env_ids)
        watch.begin(env_ids)
        plan = plan_attempts(env, operator, draws)
        length = torch.zeros_like(lanes.step)
        length[env_ids] = plan.length.to(length)
        progress.lengths = plan.length.cpu().numpy()
        for target_pose, gripper_action in frames_of(env, plan):
            advance_demos(env, lanes, recorder, env.target_eef_pose_to_action(target_pose, gripper_action), watch)
            if should_stop():
                return
            lane_ids = lanes.active_among(lanes.step >= length)
            if len(lane_ids):
                ended = take_attempts(lanes, lane_ids, recorder)
                reason = _judge(lanes, ended, watch, num_success_steps)
                end_attempts(lanes, ended, reason, recorder, ledger, {"seed": seed})
            progress.after_step()


class _RecordingProgress:
    """Reports the control steps of a recording, for a progress bar.

    Attributes:
        lengths: (D,), numbers of frames of the demos that began together, in the first D lanes.
    """

    def __init__(self, lanes: Lanes, ledger: TrialLedger):
        self._lanes, self._ledger = lanes, ledger
        self._env_steps = 0
        self._update, self._share = phase("recording"), ShareOfSteps(self._remaining_steps)
        self.lengths = np.zeros(0, dtype=np.int64)

    def after_step(self) -> None:
        """Report a step of the batch."""
        ledger = self._ledger
        self._env_steps += self._lanes.num_active
        share = self._share.after(Steps(self._env_steps, self._lanes.num_steps))
        self._update(ledger.num_ended_successes, ledger.config.generation_num_trials, share=share)

    def _remaining_steps(self) -> Steps:
        """Planned steps of the running attempts, and expected steps of attempts that have yet to begin."""
        active = self._lanes.active[: len(self.lengths)]
        running = self.lengths[active] - self._lanes.active_steps
        waiting = max(self._ledger.expected_trials() - len(running), 0.0) * float(self.lengths.mean())
        return Steps(float(running.sum()) + waiting, float(running.max(initial=0)) + waiting / len(self._lanes.active))


def advance_demos(
    env: MimicEnv, lanes: Lanes, recorder: EpisodeRecorder, actions: Tensor, watch: AttemptWatch | None = None
) -> None:
    """Make one control step of the active lanes with actions (N, A), and record it."""
    recorder.before_step(lanes.step)
    env.step(actions, lanes.env_ids)
    success = env.success()
    recorder.after_step(lanes.step, actions, success)
    if watch is not None:
        watch.after_step(lanes.step, success)
    lanes.advance(success)


@dataclass(frozen=True)
class EndedAttempts:
    """Attempts that have ended.

    Attributes:
        lane_ids, trials, lengths: (n,), indices of their lanes, their numbers, and their numbers of steps.
        episodes: recorded episodes.
    """

    lane_ids: np.ndarray
    trials: np.ndarray
    lengths: np.ndarray
    episodes: RecordedEpisodes

    def first_nonfinite_step(self) -> np.ndarray:
        """First step with values that are not finite, (n,), which are logged; -1 if all are finite."""
        found = self.episodes.first_nonfinite_step()
        if (found >= 0).any():
            self.episodes.warn_nonfinite(found >= 0, self.trials, "attempts")
        return found


def take_attempts(lanes: Lanes, lane_ids: np.ndarray, recorder: EpisodeRecorder) -> EndedAttempts:
    """Copy the attempts in the lanes with these indices (n,) to the host."""
    env_ids = lanes.upload(lane_ids)
    trials, lengths = lanes.trial[env_ids].cpu().numpy(), lanes.step[env_ids].cpu().numpy()
    return EndedAttempts(lane_ids, trials, lengths, recorder.take(env_ids, lengths))


def _judge(lanes: Lanes, ended: EndedAttempts, watch: AttemptWatch, num_success_steps: int) -> np.ndarray:
    """Return the codes of the reasons of attempts, (n,)."""
    env_ids, nonfinite_step = lanes.upload(ended.lane_ids), lanes.upload(ended.first_nonfinite_step())
    codes = watch.codes(env_ids, lanes.step[env_ids], nonfinite_step)
    has_succeeded = lanes.has_held(num_success_steps)[env_ids] & (nonfinite_step < 0)
    reason = torch.where(has_succeeded, SUCCEEDED, codes).cpu().numpy()
    for code, trial in zip(reason.tolist(), ended.trials.tolist(), strict=True):
        if code != SUCCEEDED:
            watch.note_failure(code, trial)
    return reason


def end_attempts(
    lanes: Lanes,
    ended: EndedAttempts,
    reason: np.ndarray,
    recorder: EpisodeRecorder,
    ledger: TrialLedger,
    attributes: Mapping[str, int | str],
) -> None:
    """Pass attempts to the ledger and the recorder, and free their lanes.

    Args:
        reason: (n,), code of the reason of failure; `SUCCEEDED` if the attempt succeeded.
        attributes: attributes of the demos.
    """
    ledger.end(ended.trials, reason)
    of_demos = {name: np.full(len(ended.trials), value) for name, value in attributes.items()}
    recorder.put(ended.episodes, TrialOutcomes(ended.trials, reason, ended.lengths, of_demos), ledger.committed)
    lanes.end(ended.lane_ids)
