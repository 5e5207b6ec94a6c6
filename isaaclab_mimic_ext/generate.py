"""The generation loop: N environments wide, one step at a time."""

# N envs, n of them addressed, E end effectors, S subtasks, A action entries

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import DataGenConfig
from isaaclab_mimic_ext.diagnose.watch import TrialWatch
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.plan.noise import ActionNoise
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.record.episodes import EndedTrials
from isaaclab_mimic_ext.record.ledger import TrialLedger
from isaaclab_mimic_ext.record.recorder import EpisodeRecorder
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.stats import INTERRUPTED, Clock, GenerationReport, Progress, failure_counts

log = logging.getLogger(__name__)


class Generator:
    """Turns trials into recorded episodes until the ledger has its verdict.

    Args:
        signals: the term signal of every subtask, by end effector in the env's order; None where it has none.
        elapsed: time of the run's earlier sessions [s].
    """

    def __init__(
        self,
        env: MimicEnv,
        planner: TrialPlanner,
        recorder: EpisodeRecorder,
        config: DataGenConfig,
        signals: Sequence[Sequence[str | None]],
        elapsed: float = 0.0,
    ):
        self.env, self.planner, self.recorder, self.config = env, planner, recorder, config
        self.ledger = TrialLedger(config)
        self.watch = TrialWatch(env, signals, planner.failure_messages)
        self.env_steps = 0
        self._num_ended_before = self._num_successes_before = 0
        self.clock = Clock(elapsed)
        device, num_envs = env.device, env.num_envs
        self._active = np.zeros(num_envs, dtype=bool)
        self._active_ids = torch.zeros(0, dtype=torch.int64, device=device)
        self._is_active = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._draws = Draws(config.seed, planner.trials)
        self._noise = ActionNoise(config, (num_envs, len(env.eef_names), env.action_noise_dim), device)
        self._step = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self._steps_successful = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self._stopped = torch.zeros(num_envs, dtype=torch.bool, device=device)

    def run(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Generate until the target, a budget, or `should_stop`, asked after every step, ends it."""
        self.clock.restart()
        self._num_ended_before, self._num_successes_before = self.ledger.num_ended, self.ledger.num_ended_successes
        if self.ledger.verdict is None:
            self.begin_trials()
        while self._active.any():
            self.step()
            if self._is_out_of_time():
                self.ledger.stop(f"max_time: {self.config.max_time} h have passed")
            if self.ledger.verdict is not None or should_stop():
                return

    def _is_out_of_time(self) -> bool:
        return self.config.max_time is not None and self.clock.elapsed() >= 3600 * self.config.max_time

    def step(self) -> None:
        """One control step of every env that has a trial, and what follows from it."""
        actions, target_eef_pose = self._next_actions()
        self.recorder.before_step(self._step)
        self.env.step(actions, None if self._active.all() else self._active_ids)
        success = self.env.success()
        self.recorder.after_step(self._step, actions, success)
        self._watch(success, target_eef_pose)
        self.env_steps += len(self._active_ids)
        self._observe_navigation()
        due, ended = self.planner.advance()
        ended = ended | self._stop_early(ended)
        # sync: the only one of a step that neither ends nor begins a trial
        events = torch.cat((due & ~ended[:, None], ended[:, None]), dim=1).cpu().numpy() & self._active[:, None]
        if events[:, -1].any():
            self._end_trials(np.flatnonzero(events[:, -1]))
            if self.ledger.verdict is not None:
                return
            self.begin_trials()
        if events[:, :-1].any():
            self._begin_segments(*np.nonzero(events[:, :-1]))

    def begin_trials(self) -> None:
        """Start the next trials in free envs, as far as the target needs them."""
        free = np.flatnonzero(~self._active)
        trials = self.ledger.start(len(free))
        self._active[free[: len(trials)]] = True
        self._active_ids = self._tensor(np.flatnonzero(self._active))
        self._is_active = self._tensor(self._active.copy())
        if not len(trials):
            return
        env_ids = self._tensor(free[: len(trials)])
        draws = Draws(self.config.seed, self._tensor(trials))
        self.env.reset(env_ids, draws)
        self.planner.begin_trials(env_ids, draws, self._eef_pose())
        self._step[env_ids] = 0
        self._steps_successful[env_ids] = 0
        self._stopped[env_ids] = False
        self.watch.begin(env_ids, self._object_pose())
        self.recorder.begin(env_ids)
        first_eefs = np.array(self.planner.first_eefs, dtype=np.int64)
        self._begin_segments(np.repeat(free[: len(trials)], len(first_eefs)), np.tile(first_eefs, len(trials)))

    def progress(self) -> Progress:
        ledger, config = self.ledger, self.config
        done = ledger.num_successes if config.generation_guarantee else ledger.committed
        writer = self.recorder.writer
        return Progress(
            num_done=done,
            num_target=config.generation_num_trials,
            num_successes=ledger.num_ended_successes,
            num_ended=ledger.num_ended,
            num_successes_now=ledger.num_ended_successes - self._num_successes_before,
            env_steps_now=self.env_steps,
            elapsed_now=self.clock.session(),
            num_unsaved=ledger.num_ended - self._num_ended_before - writer.num_saved,
            queue_depth=writer.queue_depth,
            seconds_stalled=writer.seconds_stalled,
        )

    def report(self) -> GenerationReport:
        """Counts so far; of trials 0 .. K-1 once the ledger has its verdict."""
        ledger, verdict, names = self.ledger, self.ledger.verdict, self.watch.failures.names
        return GenerationReport(
            num_successes=ledger.num_successes if verdict else ledger.num_ended_successes,
            num_attempts=ledger.committed if verdict else ledger.num_ended,
            reason=verdict.reason if verdict else INTERRUPTED,
            target_reached=verdict is not None and verdict.target_reached,
            failures=failure_counts(names, ledger.failures_by_stage(len(names))),
            env_steps=self.env_steps,
            elapsed=self.clock.elapsed(),
        )

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.env.device)

    def _eef_pose(self) -> Tensor:
        """(N, E, 4, 4), present, env frame [m]."""
        return torch.stack([self.env.get_robot_eef_pose(name) for name in self.env.eef_names], dim=1)

    def _object_pose(self) -> Tensor:
        """(N, O, 4, 4), present, env frame [m]."""
        return torch.stack(list(self.env.get_object_poses().values()), dim=1)

    def _begin_segments(self, env_ids: np.ndarray, eef_ids: np.ndarray) -> None:
        places = self._tensor(env_ids), self._tensor(eef_ids)
        attached = self.env.get_attached_objects() if self.planner.plans_motion else None
        self.planner.begin_segments(*places, self._eef_pose(), self._object_pose(), attached)

    def _next_actions(self) -> tuple[Tensor, Tensor]:
        """The actions (N, A), and the poses (N, E, 4, 4) that they are to lead to."""
        waypoints = self.planner.waypoints()
        noise = self._noise.sample(self._draws, self._step) * waypoints.noise_std
        target = waypoints.target_eef_pose
        targets, grippers = self._by_eef(target), self._by_eef(waypoints.gripper_action)
        return self.env.target_eef_pose_to_action(targets, grippers, self._by_eef(noise)), target

    def _by_eef(self, stacked: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.env.eef_names, stacked.unbind(1), strict=True))

    def _watch(self, success: Tensor, target_eef_pose: Tensor) -> None:
        self._steps_successful = torch.where(success, self._steps_successful + 1, 0)
        self.watch.after_step(self._step, success, target_eef_pose, self._eef_pose(), self.planner.subtask)
        self._step += self._is_active

    def _observe_navigation(self) -> None:
        navigation = self.planner.navigation
        state = None if navigation is None else self.env.get_navigation_state()
        if navigation is not None and state is not None:
            navigation.observe(state)

    def _stop_early(self, ended: Tensor) -> Tensor:
        """Trials that are not worth going on with, (N,) bool: their planner has failed, or their task gives them up."""
        failure = self.planner.failure
        if failure is not None:
            self.watch.failures.fail_planner(failure)
            self._stopped |= failure > 0
        hopeless = self.watch.hopeless(self.planner.subtask) if self.config.stop_hopeless_trials else None
        if hopeless is not None:
            judged = ended | self.watch.failures.ever_successful if self.config.success_rule == "any_step" else ended
            self._stopped |= hopeless & ~judged
        return self._stopped

    def _end_trials(self, env_ids: np.ndarray) -> None:
        ids = self._tensor(env_ids)
        by_rule = {
            "held": (self._steps_successful >= self.config.num_success_steps)[ids],
            "any_step": self.watch.failures.ever_successful[ids],
        }
        successful = by_rule[self.config.success_rule]
        broken = self.recorder.first_broken_step(ids, self._step[ids])
        codes, steps = self.watch.failures.reasons(ids, self._step[ids], broken)
        sound = (broken < 0) & ~self._stopped[ids]
        success = (successful & sound).cpu().numpy()
        trials, lengths = self.planner.trials[ids].cpu().numpy(), self._step[ids].cpu().numpy()
        if (broken >= 0).any():
            numbers = self.planner.trials[ids[broken >= 0]].tolist()
            log.warning("The physics of trial %s gave numbers that are not finite; it counts as failed", numbers)
        source_demos = self.planner.chosen_demos[ids].cpu().numpy()
        attributes = {"seed": np.full(len(trials), self.config.seed), "source_demos": source_demos}
        records = self.watch.record(ids, codes, steps, self.planner.subtask)
        records["reason"] = np.where(success, "", records["reason"])
        records |= {"source_demos": source_demos, "stopped": self._stopped[ids].cpu().numpy()}
        records |= {rule: (solved & sound).cpu().numpy() for rule, solved in by_rule.items()}
        self.ledger.end(trials, success, codes.cpu().numpy())
        self.recorder.end(ids, EndedTrials(trials, success, lengths, attributes, records), self.ledger.committed)
        self._active[env_ids] = False
        # An idle env records at step 0 until its next trial overwrites it.
        self._step[ids] = 0
