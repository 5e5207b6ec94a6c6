"""Record source demos: a scripted operator plans them, or a person commands the robot step by step."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from isaaclab_mimic_ext.config import DataGenConfig, RecorderCfg, WriterCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import env_task
from isaaclab_mimic_ext.errors import ConfigError, RecorderError, UsageError
from isaaclab_mimic_ext.run.attempts import AttemptWatch, FailedAttempt, Operator, rerun_attempt
from isaaclab_mimic_ext.run.build import first_reset
from isaaclab_mimic_ext.run.episodes import Output
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.live import LIVE_REASONS, MAX_STEPS, LiveDevice, LiveRecording
from isaaclab_mimic_ext.run.live_state import LiveLog, LiveMonitor
from isaaclab_mimic_ext.run.operator_plan import MAX_PLAN_STEPS
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder, episode_format
from isaaclab_mimic_ext.run.recording import EarlierAttempts, RecordingFiles, identity_of
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.teleoperation import record_demos
from isaaclab_mimic_ext.run.writer import EpisodeWriter
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.task.user_code import find_task_module, task_function
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)


def record(
    env: MimicEnv,
    output_file: str | Path,
    operator: str | Operator | LiveDevice = "scripted",
    num_demos: int = 10,
    *,
    seed: int = 1,
    config: DataGenConfig | None = None,
    recorder: WriterCfg | None = None,
    overwrite: bool = False,
    resume: bool = False,
    operator_name: str | None = None,
    monitor: LiveMonitor | None = None,
    on_failure: Callable[[FailedAttempt], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    step_hz: float | None = None,
) -> RunResult:
    """Record successful demos of an operator.

    Args:
        env: environment of `make_env`. A scripted operator acts in all N scenes at once; a live device requires N = 1.
        output_file: path of the dataset; `annotate` adds the subtask boundaries later.
        operator: `scripted` or `scripted_fluent` (without pauses), from `tasks/<task>/operator.py`; a function of type
            `Operator`; or a device (`LiveDevice`) whose `command()` returns the motion of one step.
        num_demos: number of successful demos in the file; a continued recording keeps all its demos.
        seed: seed of scenes and operator.
        config: budgets and `num_success_steps`; None: 25 failures in a row end the recording.
        recorder: file options; None: uncompressed, quaternions as xyzw.
        overwrite: replace an existing file or an unfinished recording.
        resume: continue the recording of the file, whether it was killed or is finished; start it if there is none.
        operator_name: name of the operator in the file; None: the name of `operator`.
        monitor: display of a recording with a live device; None: lines in the log.
        on_failure: called with a failed attempt if a scripted operator does not reach `num_demos`, to show it.
        should_stop: called after every step; returning True ends the recording.
        step_hz: largest number of steps per second with a live device; None: real time.

    Returns:
        The result. A recording without a demo writes no file.

    Raises:
        UsageError: an argument is wrong; no file was written.
        TaskCodeError: the operator or the task has an error; demos that were finished before are in the file.
        RecorderError: writing failed.
    """
    files, options = RecordingFiles(Path(output_file)), recorder or WriterCfg()
    if isinstance(options, RecorderCfg) and options.shard_demos is not None:
        raise ConfigError("recorder: must not ask for shards, because a recording is written to one file")
    rules = replace(config or DataGenConfig(), seed=seed, generation_guarantee=True, generation_num_trials=num_demos)
    files.check(overwrite, resume)
    if isinstance(operator, str):
        operator_name = operator_name or operator
        operator = load_operator(env_task(env), operator)
    name = str(operator_name or getattr(operator, "__name__", type(operator).__name__))
    first_reset(env, rules)
    watch = None if isinstance(operator, LiveDevice) else AttemptWatch(env)
    session = _Session(env, operator, watch, name, rules, options, files, monitor or LiveLog(), should_stop, step_hz)
    identity = identity_of(env, name, rules, options)
    datasets = episode_format(env).datasets
    with files.opened(identity, datasets, session.reasons, overwrite, resume) as recording:
        ledger = _continued_ledger(rules, recording.earlier)
        if recording.earlier.is_written and ledger.target_reached:
            files.delete_store()
            log.info("The recording in %s is already finished (%s)", files.path, counted(ledger.num_successes, "demo"))
            lengths = recording.earlier.lengths[recording.earlier.outcomes.success].tolist()
            return replace(ledger.result(files.path, session.reasons), lengths=lengths)
        result = session.run(ledger, recording.lock)
    _log_result(result, files.path)
    if on_failure is not None and not result.target_reached and not result.is_interrupted:
        session.report_failure(result, on_failure)
    return result


def _log_result(result: RunResult, path: Path) -> None:
    demos, attempts = counted(result.num_demos, "demo"), counted(result.num_attempts, "attempt")
    if result.num_demos:
        log.info("Saved %s of %s to %s", demos, attempts, path)
    if result.failures and result.target_reached:
        log.info("Failed attempts by reason: %s", failures_text(result.failures))


def failures_text(failures: Mapping[str, int]) -> str:
    """Format numbers of failed attempts by reason, most frequent first."""
    ordered = sorted(failures.items(), key=lambda entry: -entry[1])
    return ", ".join(f"{reason} ({count})" for reason, count in ordered)


def _continued_ledger(rules: DataGenConfig, earlier: EarlierAttempts) -> TrialLedger:
    """Return the ledger after the earlier attempts. All their demos are kept, even if `rules` wants fewer."""
    num_demos = int(earlier.outcomes.success.sum())
    ledger = TrialLedger(replace(rules, generation_num_trials=max(rules.generation_num_trials, num_demos)))
    ledger.restore(earlier.outcomes.trials, earlier.outcomes.reason)
    if earlier.identity and not ledger.target_reached:
        lost = "" if earlier.is_written else "; attempts that had not ended are lost, and begin again"
        log.info("Continuing the recording with %s%s", counted(num_demos, "finished demo"), lost)
    return ledger


@dataclass(frozen=True)
class _Session:
    """One session of a recording; attributes as the arguments of `record`. `watch` is None for a live device."""

    env: MimicEnv
    operator: Operator | LiveDevice
    watch: AttemptWatch | None
    name: str
    rules: DataGenConfig
    options: WriterCfg
    files: RecordingFiles
    monitor: LiveMonitor
    should_stop: Callable[[], bool]
    step_hz: float | None

    @property
    def is_live(self) -> bool:
        """Return whether a person commands the robot."""
        return self.watch is None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Names of the reasons of failed attempts, by code."""
        return LIVE_REASONS if self.watch is None else self.watch.reasons

    def run(self, ledger: TrialLedger, lock: int) -> RunResult:
        """Run the missing attempts and write the dataset. The store is deleted if it contains nothing else.

        Args:
            lock: file descriptor of the lock of the files.
        """
        writer = self._make_writer(lock)
        try:
            self._run_attempts(ledger, writer)
        except BaseException:
            with suppress(RecorderError):  # The writer may be the cause of the failure.
                self._close(ledger, writer)
            raise
        return self._close(ledger, writer)

    def _close(self, ledger: TrialLedger, writer: EpisodeWriter) -> RunResult:
        result = writer.close(ledger.result(self.files.path, self.reasons))
        # Only an interrupted scripted operator leaves attempts that ended after a running one; the store keeps them.
        if result.is_written and result.num_attempts == ledger.committed:
            self.files.delete_store()
        return result

    def report_failure(self, result: RunResult, on_failure: Callable[[FailedAttempt], None]) -> None:
        """Run an attempt with the most frequent reason of failure of this session again, and pass it on."""
        if isinstance(self.operator, LiveDevice) or self.watch is None or not self.watch.failed:
            return
        code = max(self.watch.failed, key=lambda code: result.failures.get(self.reasons[code], 0))
        trial, reason = self.watch.failed[code], self.reasons[code]
        on_failure(rerun_attempt(self.env, self.operator, self.rules.seed, trial, reason))

    def _make_writer(self, lock: int) -> EpisodeWriter:
        output = Output(
            self.files.path,
            attributes={"teleop_device": self.name, "seed": self.rules.seed},
            overwrite=True,  # `RecordingFiles.check` has checked it.
            store_path=self.files.store,
            lock=lock,
            commits_at_once=self.is_live,
            keeps_empty=False,
            **asdict(self.options),
        )
        return EpisodeWriter(output, episode_format(self.env))

    def _run_attempts(self, ledger: TrialLedger, writer: EpisodeWriter) -> None:
        env, operator, seed, num_success_steps = self.env, self.operator, self.rules.seed, self.rules.num_success_steps
        if isinstance(operator, LiveDevice):
            recorder = EpisodeRecorder(env, MAX_STEPS, writer)
            attributes: dict[str, int | str] = {"seed": seed, "teleop_device": self.name}
            rules = (attributes, num_success_steps)
            live = LiveRecording(env, operator, recorder, ledger, *rules, self.monitor, self.should_stop, self.step_hz)
            live.run(seed)
        elif self.watch is not None:
            recorder = EpisodeRecorder(env, MAX_PLAN_STEPS, writer)
            record_demos(env, operator, self.watch, recorder, ledger, seed, num_success_steps, self.should_stop)


def load_operator(task: Task, teleop_device: str) -> Operator:
    """Load the scripted operator of a task.

    Args:
        teleop_device: `scripted`, or `scripted_fluent` (without pauses).

    Raises:
        UsageError: the task does not have this operator.
        TaskCodeError: the module of the operator has an error.
    """
    module = find_task_module(task.name, "operator")
    if module is None:
        raise UsageError(
            f"teleop_device: scripted operator of task '{task.name}' not found; "
            f"add tasks/{task.name}/operator.py, or use another teleop_device"
        )
    if teleop_device == "scripted":
        return task_function(module, "plan_demos", "object_poses, eef_pose, draws")
    planner = getattr(module, "plan_fluent_demos", None)
    if planner is None:
        raise UsageError(f"teleop_device: '{teleop_device}' is not an operator of task '{task.name}'; choices: scripted")
    return planner
