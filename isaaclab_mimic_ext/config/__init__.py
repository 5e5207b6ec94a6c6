"""Typed configuration: the schema of a task and of every script, and what a value may be."""

from isaaclab_mimic_ext.config.doctor import CheckDemosCfg
from isaaclab_mimic_ext.config.evaluation import EvaluateCfg, SweepReportCfg
from isaaclab_mimic_ext.config.interchange import ExportDatasetCfg, ImportDatasetCfg, PrepareDatasetCfg
from isaaclab_mimic_ext.config.pipeline import PipelineCfg
from isaaclab_mimic_ext.config.scripts import (
    SCRIPT_SCHEMAS,
    AnnotateDemosCfg,
    GenerateCfg,
    InspectDatasetCfg,
    MergeDatasetsCfg,
    RecordDemosCfg,
    ReplayDemosCfg,
    ReportCfg,
    SplitDatasetCfg,
    ValidateDatasetCfg,
)
from isaaclab_mimic_ext.config.task import (
    DataGenConfig,
    EventCfg,
    MimicEnvCfg,
    RecorderCfg,
    SimCfg,
    SubTaskConfig,
    SubTaskConstraintConfig,
    TaskRef,
)
from isaaclab_mimic_ext.config.training import TrainCfg
from isaaclab_mimic_ext.config.validate import validate
from isaaclab_mimic_ext.config.validate_task import validate_task_cfg

__all__ = [
    "SCRIPT_SCHEMAS",
    "AnnotateDemosCfg",
    "CheckDemosCfg",
    "DataGenConfig",
    "EvaluateCfg",
    "EventCfg",
    "ExportDatasetCfg",
    "GenerateCfg",
    "ImportDatasetCfg",
    "InspectDatasetCfg",
    "MergeDatasetsCfg",
    "MimicEnvCfg",
    "PipelineCfg",
    "PrepareDatasetCfg",
    "RecordDemosCfg",
    "RecorderCfg",
    "ReplayDemosCfg",
    "ReportCfg",
    "SimCfg",
    "SplitDatasetCfg",
    "SubTaskConfig",
    "SubTaskConstraintConfig",
    "SweepReportCfg",
    "TaskRef",
    "TrainCfg",
    "ValidateDatasetCfg",
    "validate",
    "validate_task_cfg",
]
