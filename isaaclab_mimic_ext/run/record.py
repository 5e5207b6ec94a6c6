"""Record source demonstrations: an operator plans them, or a person commands the robot step by step."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from isaaclab_mimic_ext.config import DataGenConfig, RecorderCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import env_task
from isaaclab_mimic_ext.errors import UsageError
from isaaclab_mimic_ext.files.writing import check_output
from isaaclab_mimic_ext.record.episodes import Closing
from isaaclab_mimic_ext.record.ledger import TrialLedger
from isaaclab_mimic_ext.record.recorder import EpisodeRecorder, Output
from isaaclab_mimic_ext.run.build import first_reset
from isaaclab_mimic_ext.stats import INTERRUPTED
from isaaclab_mimic_ext.task import Task
from isaaclab_mimic_ext.teleoperate import Operator, record_demos
from isaaclab_mimic_ext.teleoperate_live import MAX_STEPS, LiveDevice, record_live_demos

log = logging.getLogger(__name__)

MAX_PLAN_STEPS = 1000
"""Longest demo of a planning operator [steps]."""


@dataclass(frozen=True)
class RecordingResult:
    """The result of recording demonstrations.

    Attributes:
        dataset: the file.
        num_demos: successful demos in it.
        num_attempts: demos that were tried.
        reason: why the recording ended.
        target_reached: whether as many demos as asked for were recorded.
    """

    dataset: Path
    num_demos: int
    num_attempts: int
    reason: str
    target_reached: bool


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
) -> RecordingResult:
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
    file = Output(output, None, {"teleop_device": name, "seed": seed}, overwrite)
    buffers = EpisodeRecorder(env, options, MAX_STEPS if isinstance(operator, LiveDevice) else MAX_PLAN_STEPS, file)
    try:
        if isinstance(operator, LiveDevice):
            record_live_demos(env, operator, buffers, ledger, seed, rules.num_success_steps, should_stop)
        else:
            record_demos(env, operator, buffers, ledger, seed, rules.num_success_steps, should_stop)
    finally:
        summary = buffers.close(Closing(ledger.committed, {"num_attempts": ledger.committed}, {}, is_final=True))
    verdict, recorded = ledger.verdict, len(summary.lengths)
    log.info("Recorded %d demos in %d attempts; saved to %s", recorded, ledger.committed, output)
    if verdict is None:
        return RecordingResult(output, recorded, ledger.committed, INTERRUPTED, False)
    return RecordingResult(output, recorded, ledger.committed, verdict.reason, verdict.target_reached)


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
