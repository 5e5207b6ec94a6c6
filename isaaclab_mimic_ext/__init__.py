"""GPU-parallel, vectorised generation of robot demonstrations for Isaac Lab.

    import isaaclab_mimic_ext as mimic
    task = mimic.load_task("stack_cube")
    env = mimic.make_env(task, engine="mujoco", num_envs=100)
    demos = mimic.load_demos("annotated.hdf5", env)
    run = mimic.generate(env, demos, mimic.GenerationCfg(num_trials=1000, seed=3), output_dir="run", resume=True)

The public names are imported when they are first used, so that `import isaaclab_mimic_ext` takes milliseconds.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isaaclab_mimic_ext.config.compose import load_task
    from isaaclab_mimic_ext.config.generation import GenerationCfg
    from isaaclab_mimic_ext.config.task import (
        DataGenConfig,
        EventCfg,
        MimicEnvCfg,
        RecorderCfg,
        SimCfg,
        SubTaskConfig,
        SubTaskConstraintConfig,
    )
    from isaaclab_mimic_ext.datasets.annotate_file import annotate_file as annotate
    from isaaclab_mimic_ext.datasets.export_lerobot import LeRobotOptions, export_lerobot
    from isaaclab_mimic_ext.datasets.export_robomimic import export_robomimic
    from isaaclab_mimic_ext.datasets.import_mimicgen import ImportOptions, import_mimicgen
    from isaaclab_mimic_ext.datasets.inspect import inspect_dataset as inspect
    from isaaclab_mimic_ext.datasets.merge import merge_datasets as merge
    from isaaclab_mimic_ext.datasets.prepare import PrepareOptions
    from isaaclab_mimic_ext.datasets.prepare import prepare_dataset as prepare
    from isaaclab_mimic_ext.datasets.replay_dataset import replay_dataset as replay
    from isaaclab_mimic_ext.datasets.split import split_dataset as split
    from isaaclab_mimic_ext.datasets.validate import validate_dataset as validate
    from isaaclab_mimic_ext.diagnose.reasons import FailureReason
    from isaaclab_mimic_ext.doctor.examine import check_demos as check
    from isaaclab_mimic_ext.envs.base import MimicEnv
    from isaaclab_mimic_ext.envs.factory import make_env
    from isaaclab_mimic_ext.errors import (
        BudgetExhausted,
        ConfigError,
        DependencyMissing,
        Interrupted,
        InvalidDataset,
        MimicError,
        OutputError,
        RecorderError,
        SimulationError,
        SimulatorUnavailable,
        SourceDataError,
        TaskSpecError,
        UsageError,
    )
    from isaaclab_mimic_ext.evaluate.evaluator import Disturbances
    from isaaclab_mimic_ext.evaluate.results import CheckpointResult as EvaluationResult
    from isaaclab_mimic_ext.learn.evaluate import evaluate
    from isaaclab_mimic_ext.learn.train import train
    from isaaclab_mimic_ext.policies.base import Policy
    from isaaclab_mimic_ext.report.report import report_run
    from isaaclab_mimic_ext.run.build import SourceDemos, load_demos
    from isaaclab_mimic_ext.run.generate import generate
    from isaaclab_mimic_ext.run.record import record
    from isaaclab_mimic_ext.run.result import RunResult
    from isaaclab_mimic_ext.task import Arm, Graspable, SceneObject, SceneState, Task
    from isaaclab_mimic_ext.train.policy import load_policy

__version__ = "0.1.0"

_PUBLIC = {
    # Tasks
    "load_task": "config.compose:load_task",
    "Task": "task:Task",
    "Arm": "task:Arm",
    "SceneObject": "task:SceneObject",
    "Graspable": "task:Graspable",
    "SceneState": "task:SceneState",
    "FailureReason": "diagnose.reasons:FailureReason",
    # Configuration of a task, a run and its files
    "MimicEnvCfg": "config.task:MimicEnvCfg",
    "SubTaskConfig": "config.task:SubTaskConfig",
    "SubTaskConstraintConfig": "config.task:SubTaskConstraintConfig",
    "DataGenConfig": "config.task:DataGenConfig",
    "EventCfg": "config.task:EventCfg",
    "SimCfg": "config.task:SimCfg",
    "RecorderCfg": "config.task:RecorderCfg",
    "GenerationCfg": "config.generation:GenerationCfg",
    # Environments
    "make_env": "envs.factory:make_env",
    "MimicEnv": "envs.base:MimicEnv",
    # Source demonstrations: record, annotate, check, load
    "record": "run.record:record",
    "annotate": "datasets.annotate_file:annotate_file",
    "check": "doctor.examine:check_demos",
    "load_demos": "run.build:load_demos",
    "SourceDemos": "run.build:SourceDemos",
    # Generation
    "generate": "run.generate:generate",
    "RunResult": "run.result:RunResult",
    "report_run": "report.report:report_run",
    # Datasets
    "split": "datasets.split:split_dataset",
    "merge": "datasets.merge:merge_datasets",
    "inspect": "datasets.inspect:inspect_dataset",
    "validate": "datasets.validate:validate_dataset",
    "replay": "datasets.replay_dataset:replay_dataset",
    "import_mimicgen": "datasets.import_mimicgen:import_mimicgen",
    "ImportOptions": "datasets.import_mimicgen:ImportOptions",
    "export_robomimic": "datasets.export_robomimic:export_robomimic",
    "export_lerobot": "datasets.export_lerobot:export_lerobot",
    "LeRobotOptions": "datasets.export_lerobot:LeRobotOptions",
    "prepare": "datasets.prepare:prepare_dataset",
    "PrepareOptions": "datasets.prepare:PrepareOptions",
    # Policies
    "train": "learn.train:train",
    "load_policy": "train.policy:load_policy",
    "Policy": "policies.base:Policy",
    "evaluate": "learn.evaluate:evaluate",
    "Disturbances": "evaluate.evaluator:Disturbances",
    "EvaluationResult": "evaluate.results:CheckpointResult",
    # Errors
    "MimicError": "errors:MimicError",
    "UsageError": "errors:UsageError",
    "ConfigError": "errors:ConfigError",
    "TaskSpecError": "errors:TaskSpecError",
    "SourceDataError": "errors:SourceDataError",
    "OutputError": "errors:OutputError",
    "SimulatorUnavailable": "errors:SimulatorUnavailable",
    "DependencyMissing": "errors:DependencyMissing",
    "SimulationError": "errors:SimulationError",
    "RecorderError": "errors:RecorderError",
    "InvalidDataset": "errors:InvalidDataset",
    "BudgetExhausted": "errors:BudgetExhausted",
    "Interrupted": "errors:Interrupted",
}
"""Public name -> module below this package, and the name there."""

__all__ = [
    "Arm",
    "BudgetExhausted",
    "ConfigError",
    "DataGenConfig",
    "DependencyMissing",
    "Disturbances",
    "EvaluationResult",
    "EventCfg",
    "FailureReason",
    "GenerationCfg",
    "Graspable",
    "ImportOptions",
    "Interrupted",
    "InvalidDataset",
    "LeRobotOptions",
    "MimicEnv",
    "MimicEnvCfg",
    "MimicError",
    "OutputError",
    "Policy",
    "PrepareOptions",
    "RecorderCfg",
    "RecorderError",
    "RunResult",
    "SceneObject",
    "SceneState",
    "SimCfg",
    "SimulationError",
    "SimulatorUnavailable",
    "SourceDataError",
    "SourceDemos",
    "SubTaskConfig",
    "SubTaskConstraintConfig",
    "Task",
    "TaskSpecError",
    "UsageError",
    "annotate",
    "check",
    "evaluate",
    "export_lerobot",
    "export_robomimic",
    "generate",
    "import_mimicgen",
    "inspect",
    "load_demos",
    "load_policy",
    "load_task",
    "make_env",
    "merge",
    "prepare",
    "record",
    "replay",
    "report_run",
    "split",
    "train",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    module, _, attribute = _PUBLIC[name].partition(":")
    value = getattr(import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps Python from hiding the function `generate` by the submodule `generate` when that is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
