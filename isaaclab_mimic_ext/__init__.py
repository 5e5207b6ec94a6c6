"""GPU-parallel, vectorized generation of robot demos for Isaac Lab.

    import isaaclab_mimic_ext as mimic
    task = mimic.load_task("desktop_organizer")
    env = mimic.make_env(task, engine="mujoco", num_envs=100)
    demos = mimic.load_demos("annotated.hdf5", env)
    run = mimic.generate(env, demos, mimic.GenerationCfg(num_trials=1000, seed=3), output_dir="run", resume=True)

Public names are imported when they are first used, so that `import isaaclab_mimic_ext` takes milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isaaclab_mimic_ext.checks.examine import check_demos as check
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
    from isaaclab_mimic_ext.datasets.convert.lerobot import export_lerobot
    from isaaclab_mimic_ext.datasets.convert.lerobot_features import LeRobotOptions
    from isaaclab_mimic_ext.datasets.convert.mimicgen import ImportOptions, import_mimicgen
    from isaaclab_mimic_ext.datasets.convert.prepare import PrepareOptions
    from isaaclab_mimic_ext.datasets.convert.prepare import prepare_dataset as prepare
    from isaaclab_mimic_ext.datasets.convert.robomimic import export_robomimic
    from isaaclab_mimic_ext.datasets.inspect import inspect_dataset as inspect
    from isaaclab_mimic_ext.datasets.merge import merge_datasets as merge
    from isaaclab_mimic_ext.datasets.replay_dataset import replay_dataset as replay
    from isaaclab_mimic_ext.datasets.split import split_dataset as split
    from isaaclab_mimic_ext.datasets.validate import validate_dataset as validate
    from isaaclab_mimic_ext.envs.base import MimicEnv
    from isaaclab_mimic_ext.envs.factory import make_env
    from isaaclab_mimic_ext.errors import (
        BudgetExhausted,
        ConfigError,
        DependencyMissing,
        FolderInUse,
        Interrupted,
        InvalidDataset,
        MimicError,
        MoreBlocksNeeded,
        OutputError,
        RecorderError,
        SimulationError,
        SimulatorUnavailable,
        SourceDataError,
        TaskCodeError,
        TaskSpecError,
        UsageError,
    )
    from isaaclab_mimic_ext.files.subtasks import read_subtasks
    from isaaclab_mimic_ext.learn.evaluate import evaluate
    from isaaclab_mimic_ext.learn.evaluator import Disturbances
    from isaaclab_mimic_ext.learn.policies import Policy, load_policy
    from isaaclab_mimic_ext.learn.results import CheckpointResult as EvaluationResult
    from isaaclab_mimic_ext.learn.train import train
    from isaaclab_mimic_ext.learn.vector_env import VectorEnv
    from isaaclab_mimic_ext.report.demo_page import ShownDemo, show_demo
    from isaaclab_mimic_ext.report.report import report_run
    from isaaclab_mimic_ext.run.build import SourceDemos, load_demos
    from isaaclab_mimic_ext.run.generate import generate
    from isaaclab_mimic_ext.run.record import record
    from isaaclab_mimic_ext.run.regenerate import Regenerated, regenerate
    from isaaclab_mimic_ext.run.result import RunResult
    from isaaclab_mimic_ext.task.definition import Arm, Graspable, JointedObject, SceneObject, SceneState, Task
    from isaaclab_mimic_ext.task.reasons import FailureReason

__version__ = "0.1.0"

_PUBLIC = {
    # Tasks
    "load_task": "config.compose:load_task",
    "Task": "task.definition:Task",
    "Arm": "task.definition:Arm",
    "SceneObject": "task.definition:SceneObject",
    "JointedObject": "task.definition:JointedObject",
    "Graspable": "task.definition:Graspable",
    "SceneState": "task.definition:SceneState",
    "FailureReason": "task.reasons:FailureReason",
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
    # Source demos: record, annotate, check, load
    "record": "run.record:record",
    "annotate": "datasets.annotate_file:annotate_file",
    "check": "checks.examine:check_demos",
    "load_demos": "run.build:load_demos",
    "SourceDemos": "run.build:SourceDemos",
    # Generation
    "generate": "run.generate:generate",
    "RunResult": "run.result:RunResult",
    "regenerate": "run.regenerate:regenerate",
    "Regenerated": "run.regenerate:Regenerated",
    "report_run": "report.report:report_run",
    "show_demo": "report.demo_page:show_demo",
    "ShownDemo": "report.demo_page:ShownDemo",
    # Datasets
    "split": "datasets.split:split_dataset",
    "merge": "datasets.merge:merge_datasets",
    "inspect": "datasets.inspect:inspect_dataset",
    "validate": "datasets.validate:validate_dataset",
    "replay": "datasets.replay_dataset:replay_dataset",
    "read_subtasks": "files.subtasks:read_subtasks",
    "import_mimicgen": "datasets.convert.mimicgen:import_mimicgen",
    "ImportOptions": "datasets.convert.mimicgen:ImportOptions",
    "export_robomimic": "datasets.convert.robomimic:export_robomimic",
    "export_lerobot": "datasets.convert.lerobot:export_lerobot",
    "LeRobotOptions": "datasets.convert.lerobot_features:LeRobotOptions",
    "prepare": "datasets.convert.prepare:prepare_dataset",
    "PrepareOptions": "datasets.convert.prepare:PrepareOptions",
    # Policies
    "train": "learn.train:train",
    "load_policy": "learn.policies:load_policy",
    "Policy": "learn.policies:Policy",
    "evaluate": "learn.evaluate:evaluate",
    "Disturbances": "learn.evaluator:Disturbances",
    "EvaluationResult": "learn.results:CheckpointResult",
    "VectorEnv": "learn.vector_env:VectorEnv",
    # Errors
    "MimicError": "errors:MimicError",
    "UsageError": "errors:UsageError",
    "ConfigError": "errors:ConfigError",
    "TaskCodeError": "errors:TaskCodeError",
    "TaskSpecError": "errors:TaskSpecError",
    "SourceDataError": "errors:SourceDataError",
    "OutputError": "errors:OutputError",
    "FolderInUse": "errors:FolderInUse",
    "SimulatorUnavailable": "errors:SimulatorUnavailable",
    "DependencyMissing": "errors:DependencyMissing",
    "SimulationError": "errors:SimulationError",
    "RecorderError": "errors:RecorderError",
    "InvalidDataset": "errors:InvalidDataset",
    "BudgetExhausted": "errors:BudgetExhausted",
    "MoreBlocksNeeded": "errors:MoreBlocksNeeded",
    "Interrupted": "errors:Interrupted",
}
"""Public name -> `<module in this package>:<name in the module>`.

Type checkers read the imports above and a literal `__all__`; a test compares the three lists."""

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
    "FolderInUse",
    "GenerationCfg",
    "Graspable",
    "ImportOptions",
    "Interrupted",
    "InvalidDataset",
    "JointedObject",
    "LeRobotOptions",
    "MimicEnv",
    "MimicEnvCfg",
    "MimicError",
    "MoreBlocksNeeded",
    "OutputError",
    "Policy",
    "PrepareOptions",
    "RecorderCfg",
    "RecorderError",
    "Regenerated",
    "RunResult",
    "SceneObject",
    "SceneState",
    "ShownDemo",
    "SimCfg",
    "SimulationError",
    "SimulatorUnavailable",
    "SourceDataError",
    "SourceDemos",
    "SubTaskConfig",
    "SubTaskConstraintConfig",
    "Task",
    "TaskCodeError",
    "TaskSpecError",
    "UsageError",
    "VectorEnv",
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
    "read_subtasks",
    "record",
    "regenerate",
    "replay",
    "report_run",
    "show_demo",
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
