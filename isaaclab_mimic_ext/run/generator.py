"""Generation loop: one iteration per control step, for N environments at once.

On a GPU the host does not wait for a step before it launches the next one: it reads which trials have ended two steps later,
and these trials rest until then.
"""

# N envs, n of them addressed, E end effectors, S subtasks, A action entries

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.envs.base import MimicEnv, noisy_and_clean_actions
from isaaclab_mimic_ext.files.subtasks import NUM_STEPS
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.plan.sizes import Place
from isaaclab_mimic_ext.plan.subtasks import ActionNoise
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.host_copy import HostCopy
from isaaclab_mimic_ext.run.lanes import Lanes
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder, RecordedEpisodes
from isaaclab_mimic_ext.run.result import Clock, Progress, RunResult
from isaaclab_mimic_ext.run.share import ShareOfSteps, Steps
from isaaclab_mimic_ext.run.watch import TrialWatch, subtask_steps

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EndedTrials:
    """Trials that ended in one step and are not judged yet.

    Attributes:
        trials, lengths: (n,), numbers of the trials, and their numbers of steps.
        facts: see `TrialWatch.facts`; and `source_demos`.
        episodes: recorded episodes.
    """

    trials: np.ndarray
    lengths: np.ndarray
    facts: HostCopy
    episodes: RecordedEpisodes


@dataclass(frozen=True)
class StepEnds:
    """Trials that ended in one step, which the host has not read yet.

    Attributes:
        num_steps: number of steps of the batch after this step.
        ends: `ends` (N,) bool, trials that ended.
    """

    num_steps: int
    ends: HostCopy


_NUM_STEPS_AHEAD = 2
"""Number of steps after which the host reads which trials ended in a step: the device has computed it by then."""


def judges_late(device: torch.device) -> bool:
    """Return whether ended trials are judged in the next step: where the host can work while the device simulates."""
    return device.type == "cuda"


def runs_ahead(env: MimicEnv, planner: TrialPlanner) -> bool:
    """Return whether the next step is launched before the host knows which trials ended in this one.

    Requires an env whose steps do not read the device, and a planner that begins segments without the host.
    """
    return getattr(env, "steps_without_waiting", False) and not planner.plans_motion and planner.navigation is None


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
        self._judges_late, self._runs_ahead = judges_late(env.device), runs_ahead(env, planner)
        self._unread: deque[StepEnds] = deque()
        self._ended: EndedTrials | None = None
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
        self.begin_trials()
        while self.lanes.num_active:
            self.step()
            if self._is_out_of_time():
                self._read_ends(num_left=0)
                self._judge_ended()
                self.ledger.stop(f"max_time: {self.config.max_time} h have passed")
            if should_stop() or self.ledger.is_over:
                break
        self._read_ends(num_left=0)
        self._judge_ended()

    def _is_out_of_time(self) -> bool:
        return self.config.max_time is not None and self.clock.elapsed() >= 3600 * self.config.max_time

    def step(self) -> None:
        """Make one control step in every active lane; then end, begin and continue trials and segments.

        On a GPU, trials that have ended are judged in a later step, while it simulates. If their outcome decides whether
        further trials start, they are judged before the next step.
        """
        actions, clean_actions, target_eef_pose = self._next_actions()
        self.recorder.before_step(self.lanes.step)
        self.env.step(actions, self.lanes.env_ids)
        success = self.env.success()
        self.recorder.after_step(self.lanes.step, actions, success, clean_actions)
        self.watch.after_step(self.lanes, success, target_eef_pose, self.env.eef_pose, self.planner.subtask, self._resting())
        self.lanes.advance(success)
        self.env_steps += self.lanes.num_active
        self._observe_navigation()
        due, ended = self.planner.advance()
        ended = ended | self.watch.stop_early(ended, self.planner.subtask, self.planner.failure, self._resting())
        begins, ends = due & ~ended[:, None] & self.lanes.is_active[:, None], ended & self.lanes.is_active
        self._judge_ended()
        if self.ledger.is_over:
            return
        if self._runs_ahead:
            self._continue_ahead(begins, ends)
        else:
            self._continue(begins, ends)

    def _continue(self, begins: Tensor, ends: Tensor) -> None:
        """End trials, `ends` (N,) bool, and begin trials and segments, `begins` (N, E) bool."""
        # sync: the only one of a step
        events = torch.cat((begins, ends[:, None]), dim=1).cpu().numpy()
        if events[:, -1].any():
            self._replace_trials(np.flatnonzero(events[:, -1]), self.lanes.num_steps)
        if num_begins := int(np.count_nonzero(events[:, :-1])):
            # The number of begins is known on the host, so `nonzero_static` computes the indices without another sync.
            self._begin_segments(*torch.nonzero_static(begins, size=num_begins).unbind(1))

    def _continue_ahead(self, begins: Tensor, ends: Tensor) -> None:
        """As `_continue`, with the trials that ended two steps ago: the host does not wait for this step."""
        self.planner.begin_due(begins, self.env.eef_pose, self.env.object_pose)
        self.lanes.rest(ends)
        self.planner.hold(self.lanes.is_active)
        self._unread.append(StepEnds(self.lanes.num_steps, HostCopy({"ends": ends})))
        self._read_ends(_NUM_STEPS_AHEAD)

    def _resting(self) -> Tensor | None:
        """Return which lanes run no trial, or one whose end is not read yet, (N,) bool; None if all ends are read."""
        return ~self.lanes.is_active if self._runs_ahead else None

    def _read_ends(self, num_left: int) -> None:
        """Read which trials ended in all steps but the last `num_left`, and begin further trials in their lanes."""
        while len(self._unread) > num_left:
            step = self._unread.popleft()
            lane_ids = np.flatnonzero(step.ends.wait()["ends"].numpy())
            if len(lane_ids):
                self._judge_ended()
                self._replace_trials(lane_ids, step.num_steps)

    def _replace_trials(self, lane_ids: np.ndarray, num_steps: int) -> None:
        """End the trials of these lanes (n,), which ended after `num_steps` steps of the batch, and begin others."""
        self._end_trials(lane_ids, num_steps)
        if not self._judges_late:
            self._judge_ended()
        self.begin_trials()
        if self.lanes.num_free:
            self._judge_ended()
            self.begin_trials()

    def begin_trials(self) -> None:
        """Begin the next trials in free lanes, at most as many as the target needs."""
        trials = self.ledger.start(0 if self.ledger.is_over else self.lanes.num_free)
        if not len(trials):
            return
        env_ids = self.lanes.begin(trials)
        draws = Draws(self.config.seed, self.lanes.trial[env_ids], on_host=torch.from_numpy(trials))  # sync: none
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
        num_begun = self.lanes.num_active + (0 if self._ended is None else len(self._ended.trials))
        num_known = self.ledger.num_ended - self._num_ended_before + num_begun
        mean_length = (self.env_steps + total) / max(num_known, 1)
        waiting = max(self.ledger.expected_trials() - num_begun, 0.0)
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
        try:
            self._judge_ended()
        finally:
            written = self.recorder.writer.close(self.result())
        return replace(written, elapsed=self.clock.elapsed())

    def _begin_segments(self, env_ids: Tensor, eef_ids: Tensor) -> None:
        sizes = self.planner.sizes
        attached = self.env.get_attached_objects() if self.planner.plans_motion or sizes is not None else None
        eef_pose, object_pose = self.env.eef_pose, self.env.object_pose
        self.planner.begin_segments(env_ids, eef_ids, eef_pose, object_pose, attached)
        if sizes is not None and attached is not None:
            given: Tensor | None = getattr(self.env, "object_scale", None)
            scale = torch.ones_like(object_pose[..., 0, 0]) if given is None else given
            place = Place(env_ids, eef_ids, self.planner.subtask[env_ids, eef_ids])
            mesh: Tensor | None = getattr(self.env, "object_mesh", None)
            sizes.begin(place, self.planner.segments, eef_pose, object_pose, scale, attached, mesh)

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

    def _end_trials(self, lane_ids: np.ndarray, num_steps: int) -> None:
        """Free these lanes (n,), and start to copy to the host what judges and records their trials."""
        num_rested = self.lanes.num_steps - num_steps
        self.env_steps -= num_rested * len(lane_ids)
        env_ids, lengths = self.lanes.upload(lane_ids), self.lanes.steps_of(lane_ids) - num_rested
        facts = self.watch.facts(env_ids, self.lanes, self.planner.subtask)
        facts["source_demos"] = self.planner.chosen_demos[env_ids]
        trials, episodes = self.lanes.trials_of(lane_ids), self.recorder.take(env_ids, lengths)
        self._ended = EndedTrials(trials, lengths, HostCopy(facts), episodes)
        self.lanes.end(lane_ids)

    def _judge_ended(self) -> None:
        """Judge the trials that have ended, note them in the ledger, and record their episodes."""
        ended, self._ended = self._ended, None
        if ended is None:
            return
        facts = ended.facts.wait()
        source_demos = facts["source_demos"].numpy()
        nonfinite_step = ended.episodes.first_nonfinite_step()
        if (nonfinite_step >= 0).any():
            ended.episodes.warn_nonfinite(nonfinite_step >= 0, ended.trials, "trials")
        outcomes = self.watch.judge(facts, ended.trials, ended.lengths, nonfinite_step)
        outcomes.attributes = {
            "seed": np.full(len(ended.trials), self.config.seed),
            "source_demos": source_demos,
            NUM_STEPS: subtask_steps(facts),
        }
        outcomes.notes["source_demos"] = source_demos
        # The ledger is first, because it determines which trials the writer may write, including these.
        self.ledger.end(outcomes.trials, outcomes.reason)
        self.recorder.put(ended.episodes, outcomes, self.ledger.end_trial)
