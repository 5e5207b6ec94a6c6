"""Record source demonstrations: an operator plans them, or a person commands the robot step by step."""

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from isaaclab_mimic_ext.config import DataGenConfig, RecorderCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import env_task
from isaaclab_mimic_ext.errors import UsageError
from isaaclab_mimic_ext.files.writing import check_output
from isaaclab_mimic_ext.run.build import first_reset
from isaaclab_mimic_ext.run.episodes import Output
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder, episode_format
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.teleoperation import (
    MAX_STEPS,
    OPERATOR_REASONS,
    LiveDevice,
    Operator,
    record_demos,
    record_live_demos,
)
from isaaclab_mimic_ext.run.writer import EpisodeWriter
from isaaclab_mimic_ext.task.definition import Task

log = logging.getLogger(__name__)

MAX_PLAN_STEPS = 1000
"""Longest demo of a planning operator [steps]."""


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
    should_stop: Callable[[], bool] = lambda: False,
) -> RunResult:
    """Record successful demonstrations of an operator.

    Args:
        env: an environment of `make_env`; a planning operator acts in all its N scenes at once, a live device in one.
        output_file: the dataset to write; `annotate` marks its subtasks afterwards.
        operator: `scripted` or `scripted_fluent` (without pauses), from `tasks/<task>/operator.py`; a function of that
            form; or a device whose `command()` gives one step's motion.
        num_demos: record until this many demos have succeeded.
        seed: of scenes and operator.
        config: budgets and `num_success_steps`; None: 25 failures in a row end the recording.
        recorder: file options; None: uncompressed, quaternions as xyzw.
        overwrite: replace a file that exists.
        operator_name: noted in the file; None: the name of the operator.
        should_stop: asked after every step.

    Raises:
        UsageError: an argument is wrong; nothing was written.
        RecorderError: writing failed.
    """
    output, options = Path(output_file), recorder or RecorderCfg()
    rules = replace(config or DataGenConfig(), seed=seed, generation_guarantee=True, generation_num_trials=num_demos)
    check_output(output, overwrite)
    if isinstance(operator, str):
        operator_name = operator_name or operator
        operator = load_operator(env_task(env), operator)
    name = operator_name or getattr(operator, "__name__", type(operator).__name__)
    ledger = TrialLedger(rules)
    first_reset(env, rules)
    attributes = {"teleop_device": name, "seed": seed}
    file = Output(output, attributes=attributes, overwrite=overwrite, **asdict(options))
    writer = EpisodeWriter(file, episode_format(env))
    buffers = EpisodeRecorder(env, MAX_STEPS if isinstance(operator, LiveDevice) else MAX_PLAN_STEPS, writer)
    try:
        if isinstance(operator, LiveDevice):
            record_live_demos(env, operator, buffers, ledger, seed, rules.num_success_steps, should_stop)
        else:
            record_demos(env, operator, buffers, ledger, seed, rules.num_success_steps, should_stop)
    finally:
        result = writer.close(ledger.result(output, OPERATOR_REASONS))
    log.info("Recorded %d demos in %d attempts; saved to %s", result.num_demos, result.num_attempts, output)
    return result


def load_operator(task: Task, teleop_device: str) -> Operator:
    """The scripted operator of a task: `scripted`, or `scripted_fluent`, who does not pause.

    Raises:
        UsageError: it has none.
    """
    module = f"isaaclab_mimic_ext.tasks.{task.name}.operator"
    if find_spec(module) is None:
        raise UsageError(f"teleop_device: task '{task.name}' has no scripted operator (tasks/{task.name}/operator.py)")
    name = "plan_demos" if teleop_device == "scripted" else "plan_fluent_demos"
    planner = getattr(import_module(module), name, None)
    if planner is None:
        raise UsageError(f"teleop_device: the operator of task '{task.name}' has no '{teleop_device}'; choices: scripted")
    return planner
