"""One schema per command, with the fields that the command reads. A task's own fields are at the top level."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

from omegaconf import MISSING

from isaaclab_mimic_ext.config.bounds import a_device, a_file, a_folder, bounded
from isaaclab_mimic_ext.config.task import (
    MAX_SEED,
    BudgetCfg,
    EventsCfg,
    FileCfg,
    MimicEnvCfg,
    RecorderCfg,
    SeedCfg,
    SelectionCfg,
    SimCfg,
    SubTaskBoundsCfg,
    SubTaskDemoCfg,
    SuccessCfg,
    SuccessRuleCfg,
    TaskRef,
)

TELEOP_DEVICES = ("scripted", "scripted_fluent", "keyboard")


@dataclass
class SceneCfg:
    """A task's scene on an engine."""

    task: TaskRef = field(default_factory=TaskRef)
    sim: SimCfg = field(default_factory=SimCfg)
    device: str = bounded("cpu", rule=a_device)
    """Device of the tensors: `cpu`, `cuda` or `cuda:<index>`."""
    headless: bool = False
    """Open no window (the embedded engines never open one)."""


@dataclass
class GenerateCfg(MimicEnvCfg, SceneCfg):
    """Generate a dataset from source demos."""

    recorder: RecorderCfg = field(default_factory=RecorderCfg)
    num_envs: int = bounded(100, at_least=1)
    """Number of environments."""
    input_file: str = MISSING
    """Annotated source demos."""
    output_dir: str = bounded(MISSING, rule=a_folder("datasets/my_run"), like=("output_file",))
    """The run's folder: demos, statistics, log, configuration, videos."""
    overwrite: bool = False
    """Replace the run that is in the folder."""
    resume: bool = False
    """Resume the run that is in the folder; in an empty folder, start it."""
    enable_cameras: bool = False
    """Record what the cameras see, 128x128 each; embedded engines draw scene by scene, which is slow."""
    video: bool = True
    """Draw `playback.mp4` and `scene.png`."""
    num_video_demos: int = bounded(6, at_least=1, like=("num_video_episodes",))
    """Number of demos side by side in the video."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class RecordDataGenCfg(BudgetCfg, SuccessCfg, SeedCfg):
    """How recorded trials are counted."""


@dataclass
class RecordDemosCfg(EventsCfg, SceneCfg):
    """Record an operator's demos."""

    datagen_config: RecordDataGenCfg = field(default_factory=RecordDataGenCfg)
    recorder: RecorderCfg = field(default_factory=RecorderCfg)
    teleop_device: str = bounded("scripted", choices=TELEOP_DEVICES)
    """Operator: `scripted`, `scripted_fluent` (does not pause), or `keyboard` (Isaac Lab only)."""
    num_demos: int = bounded(10, at_least=1, like=("generation_num_trials", "num_episodes", "num_envs"))
    """Number of successful demos to record."""
    output_file: str = bounded(MISSING, rule=a_file("datasets/demos.hdf5"), like=("output_dir",))
    """Dataset to write."""
    overwrite: bool = False
    """Replace an existing output file."""
    enable_cameras: bool = False
    """Isaac Lab: let the env's cameras render."""


@dataclass
class AnnotateDemosCfg(SceneCfg):
    """Add subtask boundaries to recorded demos by replaying them."""

    datagen_config: SuccessCfg = field(default_factory=SuccessCfg)
    subtask_configs: dict[str, list[SubTaskBoundsCfg]] = field(default_factory=dict)
    """Subtasks of each end effector."""
    all_subtasks: dict[str, Any] = field(default_factory=dict)
    """Values for every subtask of every end effector, in place of its own."""
    recorder: FileCfg = field(default_factory=FileCfg)
    auto: bool = True
    """Take the boundaries from the task's signals. False: from `marks_file` alone."""
    annotate_subtask_start_signals: bool = False
    """Also mark where skills start: SkillGen (`datagen_config.use_skillgen`) needs it."""
    marks_file: str | None = None
    """YAML with the step at which each signal rises, `demo_0: {term: {lift: 116}, start: {lift: 106}}`; else the task's."""
    input_file: str = MISSING
    """Recorded demos."""
    output_file: str = bounded(MISSING, rule=a_file("datasets/demos.hdf5"), like=("output_dir",))
    """Annotated dataset to write."""
    overwrite: bool = False
    """Replace an existing output file."""
    enable_cameras: bool = False
    """Isaac Lab: let the env's cameras render."""


@dataclass
class CheckDataGenCfg(SelectionCfg, SuccessCfg, SeedCfg):
    """How generation would select demos and judge success."""


@dataclass
class CheckedTaskCfg(EventsCfg):
    """The part of a task's configuration that source demos are checked against."""

    datagen_config: CheckDataGenCfg = field(default_factory=CheckDataGenCfg)
    subtask_configs: dict[str, list[SubTaskDemoCfg]] = field(default_factory=dict)
    """Subtasks of each end effector."""
    all_subtasks: dict[str, Any] = field(default_factory=dict)
    """Values for every subtask of every end effector, in place of its own."""


def _picture_fault(value: str) -> str | None:
    suffixes = (".png", ".html")
    if Path(value).suffix in suffixes:
        return None
    return f"'{value}' is not a picture; choices: {', '.join(suffixes)}"


@dataclass
class CheckDemosCfg(CheckedTaskCfg):
    """Find what would make generation from source demos fail."""

    task: TaskRef = field(default_factory=TaskRef)
    input_file: str = MISSING
    """Annotated source demos."""
    num_draws: int = bounded(1000, at_least=1)
    """Number of scenes drawn to find out which demos would be selected."""
    picture_file: str | None = bounded(None, rule=_picture_fault)
    """A timeline of every demo, `.png` or `.html`."""
    overwrite: bool = False
    """Replace an existing picture."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class EvaluationDataGenCfg(SuccessRuleCfg, SeedCfg):
    """How episodes are drawn and judged."""


@dataclass
class TrainCfg(EventsCfg, SceneCfg):
    """Train a policy on a dataset.

    `datagen_config` and `events` are those of evaluations during training.
    """

    datagen_config: EvaluationDataGenCfg = field(default_factory=EvaluationDataGenCfg)
    algo: str = "bc"
    """The task's agent `tasks/<task>/agents/robomimic/<algo>.json`, or the path of a .json."""
    dataset: str = bounded(MISSING, rule=a_file("datasets/run/demo.hdf5"), like=("input_file",))
    """Dataset with `mask/train` and `mask/valid` (`split`)."""
    epochs: int | None = bounded(None, at_least=1, remedy="null takes the agent's")
    """Number of epochs; None: the agent's."""
    full_pass: bool = False
    """Let an epoch be one pass over all training steps, in place of the agent's number of gradient steps."""
    seed: int = bounded(1, at_least=0, at_most=2**32 - 1)
    """Seed of the initial parameters and the order of the batches."""
    normalize_actions: str = bounded("min_max", choices=("min_max", "none"))
    """`min_max`: each entry's range in the training demos becomes [-1, 1], or `none`."""
    agent: dict[str, Any] = field(default_factory=dict)
    """Values that replace the agent's settings: `agent.train.batch_size=256`."""
    save_every: int = bounded(50, at_least=0)
    """Epochs between checkpoints; 0: only the last."""
    evaluate_every: int = bounded(0, at_least=0)
    """Epochs between evaluations, the best of which goes to `models/best.pth`; 0: none."""
    num_eval_episodes: int = bounded(100, at_least=1, like=("num_episodes",))
    """Episodes of an evaluation during training, on scenes that neither `generate` nor `evaluate` uses."""
    num_eval_envs: int = bounded(50, at_least=1, like=("num_envs",))
    """Environments of an evaluation during training."""
    output_dir: str = bounded(MISSING, rule=a_folder("logs/robomimic/mine"), like=("output_file",))
    """The run's folder: checkpoints, TensorBoard logs, configuration."""
    overwrite: bool = False
    """Replace the run that is in the folder."""
    resume: bool = False
    """Resume the run that is in the folder; in an empty folder, start it."""
    num_threads: int = bounded(1, at_least=0, remedy="0 means one per core")
    """CPU threads for the network; 0: one per core."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class EvaluateCfg(EventsCfg, SceneCfg):
    """Measure how often policies solve a task, on scenes in which no demo was made."""

    datagen_config: EvaluationDataGenCfg = field(default_factory=EvaluationDataGenCfg)
    checkpoint: Any = None
    """A file, a training run's folder (all checkpoints in it), a pattern such as `runs/*/best.pth`, or a list of these."""
    policy: str = "robomimic"
    """Kind of policy: `robomimic`, or `<module>:<function>`, which may need no checkpoint."""
    num_envs: int = bounded(100, at_least=1)
    """Number of environments."""
    num_episodes: int = bounded(300, at_least=1, like=("num_demos", "generation_num_trials", "num_rollouts"))
    """Number of episodes per checkpoint; all checkpoints get the same scenes."""
    horizon: int | None = None
    """Steps after which an episode has failed; None: 1.5 times the longest demo of `input_file`."""
    input_file: str = MISSING
    """Demos that show how long the task takes; read for `horizon=null` only."""
    stop_at_success: bool = True
    """End an episode when success has held for `num_success_steps`. False: go on, and judge its last steps."""
    randomization_scale: float = bounded(1.0, at_least=0)
    """Factor on the width of all ranges of `events`, around their centres."""
    observation_noise: float = bounded(0.0, at_least=0)
    """Standard deviation of the noise on each observation [m, rad, m/s, rad/s]."""
    observation_noise_keys: list[str] = field(default_factory=lambda: ["*"])
    """Observations that get noise; `*` stands for any letters."""
    push_probability: float = bounded(0.0, at_least=0, at_most=1)
    """Probability per step that an object is pushed."""
    push_velocity: float = bounded(0.0, at_least=0)
    """Velocity that a push adds to an object, in a random horizontal direction [m/s]."""
    push_objects: list[str] | None = None
    """Objects of which one is pushed; None: all."""
    arm_push_probability: float = bounded(0.0, at_least=0, at_most=1)
    """Probability per step that an arm is pushed."""
    arm_push_distance: float = bounded(0.0, at_least=0)
    """Distance by which an arm's target is moved for that step, in a random direction [m]."""
    output_dir: str = bounded(MISSING, rule=a_folder("logs/evaluation/mine"), like=("output_file",))
    """Folder for `evaluation.json`, the plot and the videos."""
    overwrite: bool = False
    """Replace an existing evaluation."""
    video: bool = True
    """Draw successes and failures."""
    video_of: str = bounded("best", choices=("best", "last", "all"))
    """Checkpoint to draw: `best`, `last`, or `all`."""
    num_video_episodes: int = bounded(6, at_least=1, like=("num_video_demos",))
    """Number of episodes side by side in a video."""
    enable_cameras: bool = False
    """Isaac Lab: let the env's cameras render."""
    json: bool = False
    """Print JSON instead of a table."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class SweepReportCfg:
    """Summarize a sweep as a table and a picture."""

    sweep_dir: str = MISSING
    """The sweep's folder, whose folders are its jobs'; `sweep.json` and `sweep.png` are put into it."""
    overwrite: bool = False
    """Replace an existing report."""


@dataclass
class PipelineCfg:
    """Record, annotate, generate, split, train and evaluate, each step as its own command does it.

    Fields of the steps are changed by lists of overrides, as on those commands' command lines:
    `generate=["seed=3","all_subtasks.action_noise=0.01"]`. They come after the task's own,
    `tasks/<task>/agents/pipeline.json`.
    """

    task_name: str = "desktop_organizer"
    """The task; `task=` on the command line, as everywhere (Hydra itself takes that for its group of configurations)."""
    num_sources: int = bounded(MISSING, at_least=1)
    """Number of demos to record."""
    num_demos: int = bounded(MISSING, at_least=1, like=("generation_num_trials",))
    """Number of demos to generate."""
    epochs: int = bounded(MISSING, at_least=1)
    """Number of epochs of each training."""
    algo: str = "bc"
    """The task's agent, or the path of a .json."""
    seeds: list[int] = field(default_factory=lambda: [1])
    """Seeds of the trainings, one each."""
    num_episodes: int = bounded(300, at_least=1)
    """Number of episodes on which each training's last checkpoint is evaluated."""
    num_envs: int = bounded(100, at_least=1)
    """Number of environments in generation and evaluation."""
    record: list[str] = field(default_factory=list)
    """Overrides of the step `record`; likewise for the other steps."""
    annotate: list[str] = field(default_factory=list)
    generate: list[str] = field(default_factory=list)
    split: list[str] = field(default_factory=list)
    train: list[str] = field(default_factory=list)
    evaluate: list[str] = field(default_factory=list)
    output_dir: str = bounded(MISSING, rule=a_folder("datasets/pipeline/mine"))
    """Folder of all outputs; steps whose outputs are up to date are skipped."""


@dataclass
class SplitDatasetCfg:
    """Write `mask/train` and `mask/valid` into a dataset."""

    input_file: str = MISSING
    """Dataset to change."""
    ratio: float = 0.8
    """Fraction of the demos that goes to `train`."""
    seed: int = bounded(1, at_least=0, at_most=MAX_SEED)
    """Seed of the split."""
    by_source_demo: bool = False
    """Hold out source demos: `train` has no demo made from them, `valid` has all the others."""


@dataclass
class InspectDatasetCfg:
    """Show what is in a dataset."""

    input_file: str = MISSING
    """Dataset to read."""
    digest: bool = False
    """SHA-256 of all data: reads all of it (10,000 demos: a minute instead of seconds)."""
    json: bool = False
    """Print JSON instead of text."""


@dataclass
class ValidateDatasetCfg:
    """Check whether a dataset can be trusted."""

    input_file: str = MISSING
    """Dataset to read."""
    strict: bool = False
    """Treat warnings as faults."""
    num_replays: int = bounded(5, at_least=0)
    """Number of demos to replay, if the file was made with an embedded engine."""
    seed: int = bounded(1, at_least=0, at_most=MAX_SEED)
    """Seed of the choice of these demos."""
    time_limit: float = bounded(120.0, at_least=1, unit="s")
    """Time after which the file is reported as damaged if no further demo could be read [s]."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class MergeDatasetsCfg:
    """Merge several datasets into one."""

    input_file: list[str] = MISSING
    """Datasets to read, `input_file=[a.hdf5,b.hdf5]`."""
    output_file: str = bounded(MISSING, rule=a_file("datasets/demos.hdf5"))
    """Dataset to write."""
    overwrite: bool = False
    """Replace an existing output file."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class ReplayDemosCfg:
    """Replay recorded actions and compare the outcome."""

    input_file: str = MISSING
    """Dataset to replay."""
    sim: SimCfg = field(default_factory=SimCfg)
    """`auto`: the engine that the file was made with, if that is an embedded one."""
    num_demos: int | None = bounded(None, at_least=1, remedy="null replays all")
    """Number of demos, from the first; None: all."""
    num_envs: int = bounded(50, at_least=1)
    """Number of demos replayed at a time."""
    num_success_steps: int = bounded(5, at_least=1)
    """Number of last steps in each of which success must be true."""
    video_file: str | None = None
    """An mp4 of the first demos as they were replayed."""
    num_video_demos: int = bounded(6, at_least=1)
    """Number of demos side by side in the video."""
    overwrite: bool = False
    """Replace an existing video."""
    device: str = bounded("cpu", rule=a_device)
    """Device of the tensors: `cpu`, `cuda` or `cuda:<index>`."""
    headless: bool = False
    """Open no window (the embedded engines never open one)."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class ReportCfg:
    """Write a page about the outcome of a run's trials."""

    output_dir: str = MISSING
    """The run's folder."""
    report_file: str | None = None
    """The page; None: `report.html` in the run's folder. An existing page is replaced."""
    pictures: bool = True
    """Run some failed trials again and draw them."""
    num_failures: int = bounded(3, at_least=1, remedy="pictures=false draws none")
    """Number of failed trials to draw for each reason."""
    clips: bool = True
    """Also make videos of them."""


@dataclass
class RenameCfg:
    """New names of objects and signals: names in the file -> names in the task. Others keep their names."""

    objects: dict[str, str] = field(default_factory=dict)
    signals: dict[str, str] = field(default_factory=dict)


@dataclass
class ImportDatasetCfg:
    """Convert MimicGen's source files to Isaac Lab's annotated layout."""

    input_file: str = MISSING
    """MimicGen's file."""
    output_file: str = MISSING
    """Dataset to write."""
    overwrite: bool = False
    """Replace an existing output file."""
    eef_name: str = "franka"
    """Name of the end effector; MimicGen's has none."""
    rename: RenameCfg = field(default_factory=RenameCfg)
    gripper_sign: str = "auto"
    """`keep`, `flip`, or `auto`: flip what robosuite recorded (its +1 closes, Isaac Lab's +1 opens)."""
    compress: bool = False
    """Compress with gzip."""


@dataclass
class ExportDatasetCfg:
    """Convert a dataset to robomimic's (MimicGen's) layout or to a LeRobot dataset."""

    format: str = MISSING
    """`robomimic` or `lerobot`."""
    input_file: str = MISSING
    """Dataset to read."""
    output_file: str | None = None
    """File to write, `format=robomimic`."""
    output_dir: str | None = None
    """Folder to write, `format=lerobot`."""
    overwrite: bool = False
    """Replace an existing output."""
    next_obs: bool = False
    """robomimic: also write `next_obs`."""
    compress: bool = False
    """robomimic: compress with gzip."""
    eef_name: str | None = None
    """robomimic: the end effector whose poses go to `datagen_info`; None: the only one."""
    state_keys: list[str] | None = None
    """lerobot: observations that make `observation.state`, in this order; None: all low-dimensional ones but `actions`."""
    instruction: str | None = None
    """lerobot: the task in words; None: the name of the environment."""
    fps: int | None = None
    """lerobot: frames per second; None: the control rate of the file."""
    repo_id: str | None = None
    """lerobot: `<user>/<name>`; None: `local/<folder>`."""
    videos: bool = True
    """lerobot: encode images as videos (lossy). False: keep them as PNG."""


@dataclass
class PrepareDatasetCfg:
    """Change a dataset as the training of large models needs it."""

    input_file: str = MISSING
    """Dataset to read."""
    output_file: str = MISSING
    """Dataset to write."""
    overwrite: bool = False
    """Replace an existing output file."""
    add_rtgs: bool = False
    """Write `returns_to_go`: the sum of the rewards from each step on."""
    low_dim_keys: bool = False
    """Drop every image."""
    sparse_reward: bool = False
    """Set the reward to 1 in the last step of a successful demo, 0 everywhere else."""
    compress: bool = False
    """Compress with gzip."""
    img_key: str | None = None
    """Keep this image and drop the others."""
    crop_dim: int | None = None
    """Cut this many pixels, square, from the middle of `img_key`."""


SCRIPT_SCHEMAS: dict[str, type] = {
    "record_demos": RecordDemosCfg,
    "annotate_demos": AnnotateDemosCfg,
    "check_demos": CheckDemosCfg,
    "generate": GenerateCfg,
    "report": ReportCfg,
    "split_dataset": SplitDatasetCfg,
    "merge_datasets": MergeDatasetsCfg,
    "inspect_dataset": InspectDatasetCfg,
    "validate_dataset": ValidateDatasetCfg,
    "replay_demos": ReplayDemosCfg,
    "import_dataset": ImportDatasetCfg,
    "export_dataset": ExportDatasetCfg,
    "prepare_dataset": PrepareDatasetCfg,
    "train": TrainCfg,
    "evaluate": EvaluateCfg,
    "pipeline": PipelineCfg,
    "sweep_report": SweepReportCfg,
}
"""Script name (also of its file in `conf/`) -> schema, in the order in which a user needs them."""


def subtask_type(schema: Any) -> Any:
    """The dataclass of the subtasks in a schema; None if it has none."""
    subtasks = get_type_hints(schema).get("subtask_configs")  # dict[str, list[...]]
    return None if subtasks is None else get_args(get_args(subtasks)[1])[0]


def verb_of(script: str) -> str:
    """The command of a script: `record` for `record_demos`."""
    return script if script == "sweep_report" else script.partition("_")[0]
