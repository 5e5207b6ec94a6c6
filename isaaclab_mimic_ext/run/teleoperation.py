"""Record demos of a scripted operator in many scenes at once."""

# N envs, D of them with a demo that began together, E end effectors, G gripper entries, T frames of the longest demo
# A action entries

from collections.abc import Callable, Mapping

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
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder
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
                reason = _judge(lanes, lane_ids, watch, recorder, num_success_steps)
                end_attempts(lanes, lane_ids, reason, recorder, ledger, {"seed": seed})
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


def _judge(
    lanes: Lanes, lane_ids: np.ndarray, watch: AttemptWatch, recorder: EpisodeRecorder, num_success_steps: int
) -> np.ndarray:
    """Return the codes of the reasons of the attempts that end in the lanes with these indices, (n,)."""
    env_ids = lanes.upload(lane_ids)
    nonfinite_step = find_nonfinite(lanes, env_ids, recorder)
    codes = watch.codes(env_ids, lanes.step[env_ids], nonfinite_step)
    has_succeeded = lanes.has_held(num_success_steps)[env_ids] & (nonfinite_step < 0)
    reason = torch.where(has_succeeded, SUCCEEDED, codes).cpu().numpy()
    for code, trial in zip(reason.tolist(), lanes.trial[env_ids].tolist(), strict=True):
        if code != SUCCEEDED:
            watch.note_failure(code, trial)
    return reason


def find_nonfinite(lanes: Lanes, env_ids: Tensor, recorder: EpisodeRecorder) -> Tensor:
    """First step with values that are not finite in the attempts of `env_ids` (n,), (n,), which are logged; -1 if none."""
    trials, lengths = lanes.trial[env_ids].cpu().numpy(), lanes.step[env_ids].cpu().numpy()
    episodes = recorder.take(env_ids, lengths)
    nonfinite_step = episodes.first_nonfinite_step()
    if (nonfinite_step >= 0).any():
        episodes.warn_nonfinite(nonfinite_step >= 0, trials, "attempts")
    return lanes.upload(nonfinite_step)


def end_attempts(
    lanes: Lanes,
    lane_ids: np.ndarray,
    reason: np.ndarray,
    recorder: EpisodeRecorder,
    ledger: TrialLedger,
    attributes: Mapping[str, int | str],
) -> None:
    """Pass the attempts that end in the lanes with these indices (n,) to the ledger and the recorder.

    Args:
        reason: (n,), code of the reason of failure; `SUCCEEDED` if the attempt succeeded.
        attributes: attributes of the demos.
    """
    env_ids = lanes.upload(lane_ids)
    trials, lengths = lanes.trial[env_ids].cpu().numpy(), lanes.step[env_ids].cpu().numpy()
    ledger.end(trials, reason)
    of_demos = {name: np.full(len(trials), value) for name, value in attributes.items()}
    recorder.end(env_ids, TrialOutcomes(trials, reason, lengths, of_demos), ledger.committed)
    lanes.end(lane_ids)
