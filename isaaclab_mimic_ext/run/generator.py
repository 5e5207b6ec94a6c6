"""Generation loop: one iteration per control step, for N environments at once."""

# N envs, n of them addressed, E end effectors, S subtasks, A action entries

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.envs.base import MimicEnv, noisy_and_clean_actions
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.plan.subtasks import ActionNoise
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder
from isaaclab_mimic_ext.run.result import Clock, Progress, RunResult
from isaaclab_mimic_ext.run.share import ShareOfSteps, Steps
from isaaclab_mimic_ext.run.watch import TrialWatch

log = logging.getLogger(__name__)


class Generator:
    """Run trials and record their episodes until the ledger ends the run.

    Args:
        env: N environments that step as one batch.
        planner: computes the waypoints of all trials.
        recorder: records the steps, and passes ended episodes to the writer.
        ledger: decides which trials start, and when the run ends.
        watch: observes the trials, and judges them when they end.
        elapsed: time of the earlier sessions of the run [s].
    """

    def __init__(
        self,
        env: MimicEnv,
        planner: TrialPlanner,
        recorder: EpisodeRecorder,
        ledger: TrialLedger,
        watch: TrialWatch,
        config: DataGenConfig,
        elapsed: float = 0.0,
    ):
        self.env, self.planner, self.recorder, self.config = env, planner, recorder, config
        self.ledger, self.watch = ledger, watch
        self.lanes = Lanes(env.num_envs, env.device)
        self.env_steps = 0
        self._share = ShareOfSteps(self._remaining_steps)
        self._num_ended_before = self._num_successes_before = 0
        self.clock = Clock(elapsed)
        self._draws = Draws(config.seed, self.lanes.trial)
        self._first_eefs = torch.tensor(planner.first_eefs, dtype=torch.int64, device=env.device)
        self._has_noise = planner.has_noise
        self._noise = ActionNoise(config, (env.num_envs, len(env.eef_names), max(env.pose_dims)), env.device)

    def run(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Generate until the target or a budget is reached, or `should_stop()`, called after every step, returns True."""
        self.clock.restart()
        self._num_ended_before, self._num_successes_before = self.ledger.num_ended, self.ledger.num_ended_successes
        if not self.ledger.is_over:
            self.begin_trials()
        while self.lanes.num_active:
            self.step()
            if self._is_out_of_time():
                self.ledger.stop(f"max_time: {self.config.max_time} h have passed")
            if should_stop() or self.ledger.is_over:
                return

    def _is_out_of_time(self) -> bool:
        return self.config.max_time is not None and self.clock.elapsed() >= 3600 * self.config.max_time

    def step(self) -> None:
        """Make one control step in every active lane; then end, begin and continue trials and segments."""
        actions, clean_actions, target_eef_pose = self._next_actions()
        self.recorder.before_step(self.lanes.step)
        self.env.step(actions, self.lanes.env_ids)
        success = self.env.success()
        self.recorder.after_step(self.lanes.step, actions, success, clean_actions)
        self.watch.after_step(self.lanes.step, success, target_eef_pose, self.env.eef_pose, self.planner.subtask)
        self.lanes.advance(success)
        self.env_steps += self.lanes.num_active
        self._observe_navigation()
        due, ended = self.planner.advance()
        ended = ended | self.watch.stop_early(ended, self.planner.subtask, self.planner.failure)
        begins, ends = due & ~ended[:, None] & self.lanes.is_active[:, None], ended & self.lanes.is_active
        # sync: the only one in a step in which no trial ends or begins
        events = torch.cat((begins, ends[:, None]), dim=1).cpu().numpy()
        if events[:, -1].any():
            self._end_trials(np.flatnonzero(events[:, -1]))
            if self.ledger.is_over:
                return
            self.begin_trials()
        if num_begins := int(np.count_nonzero(events[:, :-1])):
            # The number of begins is known on the host, so `nonzero_static` computes the indices without another sync.
            self._begin_segments(*torch.nonzero_static(begins, size=num_begins).unbind(1))

    def begin_trials(self) -> None:
        """Begin the next trials in free lanes, at most as many as the target needs."""
        trials = self.ledger.start(self.lanes.num_free)
        if not len(trials):
            return
        env_ids = self.lanes.begin(trials)
        draws = Draws(self.config.seed, self.lanes.trial[env_ids])
        self.env.reset(env_ids, draws)
        self._noise.begin(env_ids, draws)
        self.planner.begin_trials(env_ids, draws, self.env.eef_pose)
        self.watch.begin(env_ids, self.env.object_pose)
        self.recorder.begin(env_ids)
        num_eefs = len(self._first_eefs)
        self._begin_segments(env_ids.repeat_interleave(num_eefs), self._first_eefs.repeat(len(trials)))

    def progress(self) -> Progress:
        """Return the current progress."""
        ledger, config = self.ledger, self.config
        done = ledger.num_ended_successes if config.generation_guarantee else ledger.num_ended
        writer = self.recorder.writer
        return Progress(
            num_done=min(done, config.generation_num_trials),
            num_target=config.generation_num_trials,
            num_successes=ledger.num_ended_successes,
            num_ended=ledger.num_ended,
            num_successes_now=ledger.num_ended_successes - self._num_successes_before,
            env_steps_now=self.env_steps,
            elapsed_now=self.clock.session(),
            num_unsaved=ledger.num_ended - self._num_ended_before - writer.num_saved,
            queue_depth=writer.queue_depth,
            seconds_stalled=writer.seconds_stalled,
            share=self.share(),
            num_running=self.lanes.num_active,
        )

    def share(self) -> float:
        """Estimated fraction of this session's control steps that are finished, 0 to 1."""
        return 1.0 if self.ledger.is_over else self._share.after(Steps(self.env_steps, self.lanes.num_steps))

    def _remaining_steps(self) -> Steps:
        """Expected number of control steps of running trials, and of trials that have yet to begin."""
        running = self.planner.remaining_steps(self.lanes.step) * self.lanes.is_active
        total, longest = float(running.sum()), float(running.max())
        num_known = self.ledger.num_ended - self._num_ended_before + self.lanes.num_active
        mean_length = (self.env_steps + total) / max(num_known, 1)
        waiting = max(self.ledger.expected_trials() - self.lanes.num_active, 0.0)
        total += waiting * mean_length
        # Lanes do not end together: the last trials take half a trial longer than an even share.
        return Steps(total, max(longest, total / self.env.num_envs + min(waiting, 0.5) * mean_length))

    def result(self) -> RunResult:
        """Return the current result, without the fields that are known only when the writer is closed."""
        result = self.ledger.result(self.recorder.writer.output.path, self.watch.reasons)
        return replace(result, env_steps=self.env_steps, elapsed=self.clock.elapsed())

    def close(self) -> RunResult:
        """Wait until all files are written, and return the result of the run.

        Raises:
            RecorderError: the writer failed.
        """
        written = self.recorder.writer.close(self.result())
        return replace(written, elapsed=self.clock.elapsed())

    def _begin_segments(self, env_ids: Tensor, eef_ids: Tensor) -> None:
        attached = self.env.get_attached_objects() if self.planner.plans_motion else None
        self.planner.begin_segments(env_ids, eef_ids, self.env.eef_pose, self.env.object_pose, attached)

    def _next_actions(self) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the actions with and without noise, (N, A), and their target poses (N, E, 4, 4), env frame [m]."""
        waypoints = self.planner.waypoints()
        noise = self._noise.sample(self._draws, self.lanes.step) * waypoints.noise_std
        target, gripper = waypoints.target_eef_pose, waypoints.gripper_action
        if self._has_noise:
            return *noisy_and_clean_actions(self.env, target, gripper, noise), target
        actions = self.env.target_eef_pose_to_action(target, gripper, noise)
        return actions, actions, target

    def _observe_navigation(self) -> None:
        navigation = self.planner.navigation
        state = None if navigation is None else self.env.get_navigation_state()
        if navigation is not None and state is not None:
            navigation.observe(state)

    def _end_trials(self, lane_ids: np.ndarray) -> None:
        """Judge the trials of these lanes (n,), note them in the ledger, and record their episodes."""
        env_ids = self.lanes.upload(lane_ids)
        nonfinite_step = self.recorder.first_nonfinite_step(env_ids, self.lanes.step[env_ids])
        outcomes = self.watch.end(env_ids, self.lanes, nonfinite_step, self.planner.subtask)
        if (nonfinite_step >= 0).any():
            failed = env_ids[nonfinite_step >= 0]
            self.recorder.warn_nonfinite(failed, self.lanes.step[failed], self.lanes.trial[failed], "trials")
        source_demos = self.planner.chosen_demos[env_ids].cpu().numpy()
        outcomes.attributes = {"seed": np.full(len(lane_ids), self.config.seed), "source_demos": source_demos}
        outcomes.notes["source_demos"] = source_demos
        # The ledger is first, because it determines which trials the writer may write, including these.
        self.ledger.end(outcomes.trials, outcomes.reason)
        self.recorder.end(env_ids, outcomes, self.ledger.committed)
        self.lanes.end(lane_ids)
