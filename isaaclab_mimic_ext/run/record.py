"""Record source demos: a scripted operator plans them, or a person commands the robot step by step."""

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from isaaclab_mimic_ext.config import DataGenConfig, RecorderCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import env_task
from isaaclab_mimic_ext.errors import UsageError
from isaaclab_mimic_ext.files.writing import check_output
from isaaclab_mimic_ext.run.build import first_reset
from isaaclab_mimic_ext.run.episodes import Output
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.live import LIVE_REASONS, MAX_STEPS, LiveDevice, LiveRecording
from isaaclab_mimic_ext.run.live_state import LiveLog, LiveMonitor
from isaaclab_mimic_ext.run.operator_plan import MAX_PLAN_STEPS
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder, episode_format
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.teleoperation import OPERATOR_REASONS, Operator, record_demos
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
    recorder: RecorderCfg | None = None,
    overwrite: bool = False,
    operator_name: str | None = None,
    monitor: LiveMonitor | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Record successful demos of an operator.

    Args:
        env: environment of `make_env`. A scripted operator acts in all N scenes at once; a live device requires N = 1.
        output_file: path of the dataset; `annotate` adds the subtask boundaries later.
        operator: `scripted` or `scripted_fluent` (without pauses), from `tasks/<task>/operator.py`; a function of type
            `Operator`; or a device (`LiveDevice`) whose `command()` returns the motion of one step.
        num_demos: number of successful demos to record.
        seed: seed of scenes and operator.
        config: budgets and `num_success_steps`; None: 25 failures in a row end the recording.
        recorder: file options; None: uncompressed, quaternions as xyzw.
        overwrite: replace an existing file.
        operator_name: name of the operator in the file; None: the name of `operator`.
        monitor: display of a recording with a live device; None: lines in the log.
        should_stop: called after every step; returning True ends the recording.

    Raises:
        UsageError: an argument is wrong; no file was written.
        RecorderError: writing failed.
    """
    output, options = Path(output_file), recorder or RecorderCfg()
    rules = replace(config or DataGenConfig(), seed=seed, generation_guarantee=True, generation_num_trials=num_demos)
    check_output(output, overwrite)
    if isinstance(operator, str):
        operator_name = operator_name or operator
        operator = load_operator(env_task(env), operator)
    name = str(operator_name or getattr(operator, "__name__", type(operator).__name__))
    ledger = TrialLedger(rules)
    first_reset(env, rules)
    attributes: dict[str, int | str] = {"teleop_device": name, "seed": seed}
    is_live = isinstance(operator, LiveDevice)
    file = Output(output, attributes=attributes, overwrite=overwrite, commits_at_once=is_live, **asdict(options))
    writer = EpisodeWriter(file, episode_format(env))
    buffers = EpisodeRecorder(env, MAX_STEPS if is_live else MAX_PLAN_STEPS, writer)
    try:
        if isinstance(operator, LiveDevice):
            live = LiveRecording(
                env, operator, buffers, ledger, attributes, rules.num_success_steps, monitor or LiveLog(), should_stop
            )
            live.run(seed)
        else:
            record_demos(env, operator, buffers, ledger, seed, rules.num_success_steps, should_stop)
    finally:
        result = writer.close(ledger.result(output, LIVE_REASONS if is_live else OPERATOR_REASONS))
    demos, attempts = counted(result.num_demos, "demo"), counted(result.num_attempts, "attempt")
    log.info("Saved %s of %s to %s", demos, attempts, output)
    return result


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
