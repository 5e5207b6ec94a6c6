"""The schema of each script. A task's own fields stand at the top level, so that overrides are short."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from isaaclab_mimic_ext.config.doctor import CheckDemosCfg
from isaaclab_mimic_ext.config.evaluation import EvaluateCfg, SweepReportCfg
from isaaclab_mimic_ext.config.interchange import ExportDatasetCfg, ImportDatasetCfg, PrepareDatasetCfg
from isaaclab_mimic_ext.config.pipeline import PipelineCfg
from isaaclab_mimic_ext.config.task import MimicEnvCfg, RecorderCfg, SimCfg, TaskRef
from isaaclab_mimic_ext.config.training import TrainCfg


@dataclass
class SceneScriptCfg(MimicEnvCfg):
    """What the scripts that run a task's scene share."""

    task: TaskRef = field(default_factory=TaskRef)
    sim: SimCfg = field(default_factory=SimCfg)
    recorder: RecorderCfg = field(default_factory=RecorderCfg)
    overwrite: bool = False
    """Replace what is there."""
    device: str = "cpu"
    """Of the tensors: `cpu`, `cuda` or `cuda:<index>`."""
    headless: bool = False
    """No window (the embedded engines never open one)."""
    enable_cameras: bool = False
    """`generate.py`: record what the cameras see, 128x128 each; embedded engines draw scene by scene, which is slow."""


@dataclass
class GenerateCfg(SceneScriptCfg):
    """`scripts/generate.py`: source demonstrations to a dataset."""

    num_envs: int = 100
    input_file: str = MISSING
    """Annotated source demonstrations."""
    output_dir: str = MISSING
    """The run's folder: demos, statistics, log, configuration, videos."""
    resume: bool = False
    """Go on with a run that is in the folder; on an empty one, start it."""
    video: bool = True
    """Draw `playback.mp4` and `scene.png`."""
    num_video_demos: int = 6
    """Side by side in the video."""
    progress: bool = True


@dataclass
class RecordDemosCfg(SceneScriptCfg):
    """`scripts/record_demos.py`: an operator's demonstrations.

    Of `datagen_config` it reads the seed, the budgets and `num_success_steps`.
    """

    teleop_device: str = "scripted"
    num_demos: int = 10
    output_file: str = MISSING


@dataclass
class AnnotateDemosCfg(SceneScriptCfg):
    """`scripts/annotate_demos.py`: subtask boundaries into recorded demonstrations, by replaying them."""

    auto: bool = True
    """Take the boundaries from the task's signals; false: from `marks_file` alone."""
    annotate_subtask_start_signals: bool = False
    """Mark where skills start, too: SkillGen (`datagen_config.use_skillgen`) needs it."""
    marks_file: str | None = None
    """YAML: at which step which signal rises, `demo_0: {term: {lift: 116}, start: {lift: 106}}`; goes before the task's."""
    input_file: str = MISSING
    output_file: str = MISSING


@dataclass
class SplitDatasetCfg:
    """`scripts/split_dataset.py`: `mask/train` and `mask/valid` into a dataset."""

    input_file: str = MISSING
    ratio: float = 0.8
    """Part of the demos that goes to `train`."""
    seed: int = 1
    by_source_demo: bool = False
    """Hold source demos out: `train` has no demo made from them, `valid` has all the others."""


@dataclass
class InspectDatasetCfg:
    """`scripts/inspect_dataset.py`: what is in a dataset."""

    input_file: str = MISSING
    digest: bool = False
    """Of all data, SHA-256: reads all of it (10,000 demos: a minute instead of seconds)."""
    json: bool = False
    """Print JSON instead of text."""


@dataclass
class ValidateDatasetCfg:
    """`scripts/validate_dataset.py`: whether a dataset can be trusted."""

    input_file: str = MISSING
    strict: bool = False
    """Warnings are faults too."""
    num_replays: int = 5
    """So many demos are replayed, where the file is of an embedded engine."""
    seed: int = 1
    """Of the choice which."""
    time_limit: float = 120.0
    """Time after which the file is reported as damaged if no further demo could be read [s]."""
    json: bool = False
    progress: bool = True


@dataclass
class MergeDatasetsCfg:
    """`scripts/merge_datasets.py`: several datasets into one."""

    input_file: list[str] = MISSING
    output_file: str = MISSING
    overwrite: bool = False
    progress: bool = True


@dataclass
class ReplayDemosCfg:
    """`scripts/replay_demos.py`: recorded actions once more, and what becomes of them."""

    input_file: str = MISSING
    sim: SimCfg = field(default_factory=SimCfg)
    """`auto`: the engine that the file was made with, where it is an embedded one."""
    num_demos: int | None = None
    """The first so many; None: all."""
    num_envs: int = 50
    """How many are replayed at a time."""
    num_success_steps: int = 5
    """In each of the last so many steps success must be true."""
    video_file: str | None = None
    """An mp4 of the first demos as they were replayed."""
    num_video_demos: int = 6
    overwrite: bool = False
    device: str = "cpu"
    headless: bool = False
    json: bool = False
    progress: bool = True


@dataclass
class ReportCfg:
    """`scripts/report.py`: what became of a run's trials, as a page."""

    output_dir: str = MISSING
    """The run's folder."""
    report_file: str | None = None
    """The page; None: `report.html` in the run's folder. What is there is replaced."""
    pictures: bool = True
    """Run some failed trials again and draw them."""
    num_failures: int = 3
    """So many of each reason."""
    clips: bool = True
    """Videos of them beside the pictures."""


SCRIPT_SCHEMAS: dict[str, type] = {
    "generate": GenerateCfg,
    "record_demos": RecordDemosCfg,
    "annotate_demos": AnnotateDemosCfg,
    "split_dataset": SplitDatasetCfg,
    "inspect_dataset": InspectDatasetCfg,
    "validate_dataset": ValidateDatasetCfg,
    "merge_datasets": MergeDatasetsCfg,
    "replay_demos": ReplayDemosCfg,
    "report": ReportCfg,
    "import_dataset": ImportDatasetCfg,
    "export_dataset": ExportDatasetCfg,
    "prepare_dataset": PrepareDatasetCfg,
    "check_demos": CheckDemosCfg,
    "evaluate": EvaluateCfg,
    "train": TrainCfg,
    "pipeline": PipelineCfg,
    "sweep_report": SweepReportCfg,
}
"""Script name (also of its file in `conf/`) -> schema."""
