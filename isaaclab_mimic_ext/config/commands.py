"""One schema per command, with the fields that the command reads. Fields of the task are at the top level.

Schemas of the commands for finished files are in `dataset_commands.py`, those for policies in `learning_commands.py`.
"""

from dataclasses import dataclass, field
from typing import Any, get_args, get_type_hints

from omegaconf import MISSING

from isaaclab_mimic_ext.config.bounds import bounded, file_rule, folder_rule, scene_device_fault, suffix_rule
from isaaclab_mimic_ext.config.cameras import CamerasCfg
from isaaclab_mimic_ext.config.cluster import ClusterCfg, CollectCfg
from isaaclab_mimic_ext.config.dataset_commands import (
    ExportDatasetCfg,
    ImportConfigCfg,
    ImportDatasetCfg,
    InspectDatasetCfg,
    MergeDatasetsCfg,
    PrepareDatasetCfg,
    RenderDatasetCfg,
    ReplayDemosCfg,
    ShowDemoCfg,
    SplitDatasetCfg,
    ValidateDatasetCfg,
)
from isaaclab_mimic_ext.config.learning_commands import EvaluateCfg, PipelineCfg, SweepReportCfg, TrainCfg
from isaaclab_mimic_ext.config.task import (
    BudgetCfg,
    EventsCfg,
    FileCfg,
    MimicEnvCfg,
    RecorderCfg,
    SceneCfg,
    SeedCfg,
    SelectionCfg,
    SubTaskDemoCfg,
    SubTaskMarksCfg,
    SuccessCfg,
    TaskRef,
    WriterCfg,
)
from isaaclab_mimic_ext.task.meshes import ObjectCfg
from isaaclab_mimic_ext.task.robot import RobotCfg

BROWSER = "browser"
"""Device of a person at the page of the studio."""
LIVE_DEVICES = ("keyboard", BROWSER, "spacemouse", "gamepad")
"""Devices of a person."""
BLOCKS = "blocks"
"""Name of the folder of the blocks, in the folder of their run."""
BLOCK_SIZE = 1000
"""Number of trials of a block."""
MIN_BATCH_SIZE, MAX_BATCH_SIZE = 100, 4096
"""Number of environments on a CPU, and the largest one on a GPU, unless a number is given."""
TELEOP_DEVICES = ("scripted", "scripted_fluent", *LIVE_DEVICES)


@dataclass
class GenerateCfg(MimicEnvCfg, SceneCfg):
    """Generate demos from annotated source demos."""

    recorder: RecorderCfg = field(default_factory=RecorderCfg)
    num_envs: int | None = bounded(None, at_least=1, remedy="null chooses the number for the device")
    """Number of environments that are simulated at the same time; null or `auto`: 100 on a CPU; on a GPU the number of
    trials, between 100 and 4096, or as many as fit into its memory."""
    num_workers: int = bounded(1, at_least=1)
    """Number of processes that run trials, each in its own `num_envs` environments: one per GPU, or with a share of the CPU
    cores. The dataset does not depend on it. A process that dies or hangs is replaced."""
    ray_address: str | None = bounded(None, example="auto")
    """Address of a Ray cluster that starts these processes, one per GPU or CPU of the cluster; `auto`: the cluster of this
    machine; null: processes of this machine."""
    input_file: str = bounded(MISSING, computed="source demos of the task")
    """Dataset of annotated source demos."""
    demos: list[str] | None = None
    """Source demos to use: names, or names of masks (filter keys); with `-` in front: all but these; null: all."""
    output_dir: str = bounded(MISSING, computed="datasets/<task>/<date>", **folder_rule("datasets/my_run"))
    """Output folder of the run: demos, statistics, log, configuration, videos. With `output_file`: its name without
    `.hdf5`."""
    output_file: str | None = bounded(None, rule=suffix_rule(".hdf5"))
    """Second name of the dataset `demo.hdf5` in `output_dir`; null: none."""
    overwrite: bool = False
    """Replace a run that exists in `output_dir`."""
    resume: bool = False
    """Resume the run in `output_dir`; start it if the folder is empty."""
    block: int | None = bounded(None, at_least=0)
    """Generate only the trials of this block, from `block` * `block_size`, in `output_dir`/blocks, for `mimic collect`. null
    with `block_size`: the index of the job in a job array of Slurm, Kubernetes or PBS. A block that exists is resumed."""
    block_size: int | None = bounded(None, at_least=1)
    """Number of trials of a block; null: 1000. All blocks of a run have the same size."""
    cluster: ClusterCfg = field(default_factory=ClusterCfg)
    """Job array that generates the run in blocks: `+cluster=slurm`."""
    enable_cameras: bool = False
    """Record pictures of cameras. `sim=mujoco_warp` draws all envs together; the other engines draw one env after the
    other with OpenGL, which is slow."""
    cameras: CamerasCfg = field(default_factory=CamerasCfg)
    """Pictures of `enable_cameras`."""
    video: bool = True
    """Render `playback.mp4` and `scene.png`."""
    num_video_demos: int = bounded(6, at_least=1, like=("num_video_episodes",))
    """Number of demos shown side by side in the video."""
    debug: bool = False
    """Try out a configuration: at most 4 trials, successful or not, in at most 4 environments. The run is in a folder with
    the ending `_debug`; an earlier debug run in it is replaced. The flag `--debug` shows tracebacks instead."""
    progress: bool = True
    """Show a progress bar."""

    def batch_size(self) -> int:
        """Number of environments: `num_envs`, or the number for `device`, before memory is considered."""
        if self.num_envs is not None:
            return self.num_envs
        largest = MAX_BATCH_SIZE if self.device.startswith("cuda") else MIN_BATCH_SIZE
        if self.block is not None or self.block_size is not None:
            return min(max((self.block_size or BLOCK_SIZE) // 2, 1), largest)
        return min(max(self.datagen_config.generation_num_trials, MIN_BATCH_SIZE), largest)


@dataclass
class RecordDataGenCfg(BudgetCfg, SuccessCfg, SeedCfg):
    """Budgets, success and seed of a recording."""


@dataclass
class PageCfg:
    """Address of a page that is served."""

    host: str = "127.0.0.1"
    """Address that the page of the studio is served on. `127.0.0.1`: only this machine can open it."""
    port: int = bounded(8765, at_least=0, at_most=65535)
    """First port to try for the page of the studio; the next free one is used. 0: any free port."""


@dataclass
class RecordDemosCfg(PageCfg, EventsCfg, SceneCfg):
    """Record source demos of an operator."""

    datagen_config: RecordDataGenCfg = field(default_factory=RecordDataGenCfg)
    recorder: WriterCfg = field(default_factory=WriterCfg)
    teleop_device: str = bounded("scripted", choices=TELEOP_DEVICES)
    """Operator: `scripted`, `scripted_fluent` (scripted, without pauses), `keyboard` (in the terminal, or in Isaac Sim's
    window), `browser` (the page of the studio), or a device of Isaac Lab: `spacemouse`, `gamepad` (Isaac Sim)."""
    step_hz: float | None = bounded(None, above=0, unit="Hz", remedy="null records in real time")
    """Largest number of steps per second with a device of a person; null: real time."""
    num_demos: int = bounded(10, at_least=1, like=("generation_num_trials", "num_episodes", "num_envs"))
    """Number of demos to record. Failed attempts are not recorded."""
    output_file: str = bounded(
        MISSING, computed="datasets/<task>_raw.hdf5", **file_rule("datasets/demos.hdf5"), like=("output_dir",)
    )
    """Output dataset."""
    overwrite: bool = False
    """Replace an existing output file."""
    resume: bool = False
    """Continue the recording in `output_file`, whether it was killed or is finished; start it if there is none."""
    video: bool = True
    """Render a video of a failed attempt, `<output file>_failed.mp4`, if a scripted operator does not reach `num_demos`."""
    enable_cameras: bool = False
    """Isaac Lab: render the cameras of the env."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class StudioCfg(PageCfg, EventsCfg, SceneCfg):
    """Record source demos on a page in the browser.

    The command prints an address; open it in a browser of this machine, or forward the port first:
    `ssh -L 8765:127.0.0.1:8765 <host>`. The page has the tabs Record, Mark and Watch. A strip at its top shows the steps
    to a dataset: record demos, mark where their subtasks end, check them, generate, and report. The page starts the
    commands of these steps. All files are in `output_dir`: the same command continues a session. Ctrl-C ends the studio
    and its running step.
    """

    datagen_config: RecordDataGenCfg = field(default_factory=RecordDataGenCfg)
    recorder: WriterCfg = field(default_factory=WriterCfg)
    num_demos: int = bounded(10, at_least=1, like=("generation_num_trials", "num_episodes", "num_envs"))
    """Number of demos to record; the page can ask for more."""
    output_dir: str = bounded(MISSING, computed="datasets/<task>_studio", **folder_rule("datasets/my_session"))
    """Folder of the session. A session that exists is continued."""
    enable_cameras: bool = False
    """Isaac Lab: render the cameras of the env."""


@dataclass
class AnnotateDemosCfg(PageCfg, SceneCfg):
    """Replay recorded demos and mark the boundaries of their subtasks."""

    datagen_config: SuccessCfg = field(default_factory=SuccessCfg)
    subtask_configs: dict[str, list[SubTaskMarksCfg]] = field(default_factory=dict)
    """Name of an end effector -> its subtasks, in their order."""
    all_subtasks: dict[str, Any] = field(default_factory=dict)
    """Values that replace those of all subtasks of all end effectors."""
    recorder: FileCfg = field(default_factory=FileCfg)
    auto: bool = True
    """true: read the signals from the task; marks in `marks_file` replace them. false: use only `marks_file`, or
    mark the signals with keys if it is null."""
    annotate_subtask_start_signals: bool = False
    """Also write start signals, which SkillGen (`datagen_config.use_skillgen`) requires."""
    marks_file: str | None = None
    """YAML file with the step in which each signal rises: `demo_0: {term: {lift: 116}, start: {lift: 106}}`."""
    gui: bool = False
    """Mark on a page in the browser, with the signals of the task as suggestions. Marks are written to `marks_file`; null:
    next to `output_file`, `<name>.marks.yaml`."""
    pause_subtask: bool = False
    """Pause the replay after each signal that is marked with a key."""
    step_hz: float | None = bounded(None, above=0, unit="Hz", remedy="null replays in real time")
    """Largest number of steps per second while signals are marked with keys; null: real time."""
    input_file: str = bounded(MISSING, computed="datasets/<task>_raw.hdf5")
    """Dataset of recorded demos."""
    demos: list[str] | None = None
    """Demos to annotate: names, or names of masks (filter keys); with `-` in front: all but these; null: all."""
    output_file: str = bounded(
        MISSING, computed="datasets/<task>_annotated.hdf5", **file_rule("datasets/demos.hdf5"), like=("output_dir",)
    )
    """Output dataset of annotated demos."""
    overwrite: bool = False
    """Replace an existing output file."""
    enable_cameras: bool = False
    """Isaac Lab: render the cameras of the env."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class CheckDataGenCfg(SelectionCfg, SuccessCfg, SeedCfg):
    """Settings of generation that checks depend on: selection, success and seed."""


@dataclass
class CheckedTaskCfg(EventsCfg):
    """Fields of a task's configuration that checks of source demos read."""

    datagen_config: CheckDataGenCfg = field(default_factory=CheckDataGenCfg)
    subtask_configs: dict[str, list[SubTaskDemoCfg]] = field(default_factory=dict)
    """Name of an end effector -> its subtasks, in their order."""
    all_subtasks: dict[str, Any] = field(default_factory=dict)
    """Values that replace those of all subtasks of all end effectors."""


@dataclass
class CheckDemosCfg(CheckedTaskCfg):
    """Check annotated source demos for faults before generation."""

    task: TaskRef = field(default_factory=TaskRef)
    robot: RobotCfg = field(default_factory=RobotCfg)
    objects: dict[str, ObjectCfg] = field(default_factory=dict)
    """Meshes that replace the shapes of objects, by object: `objects.ketchup.mesh=bottle.obj`."""
    input_file: str = bounded(MISSING, computed="source demos of the task")
    """Dataset of annotated source demos, or of recorded demos."""
    demos: list[str] | None = None
    """Demos to check: names, or names of masks (filter keys); with `-` in front: all but these; null: all."""
    num_draws: int = bounded(1000, at_least=1)
    """Number of random scenes in which the selection of source demos is simulated."""
    output_file: str | None = bounded(None, rule=suffix_rule(".png", ".html"))
    """Output picture with a timeline of each demo, `.png` or `.html`; null: none."""
    overwrite: bool = False
    """Replace an existing output file."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class CheckEngineCfg:
    """Check that an engine keeps the contract of all engines: shapes, units, frames, resets, actions, states."""

    engine: str = bounded(MISSING, example="planar:PlanarEnv")
    """Engine: `<module>:<class>`, the name of an entry point, or one of `mujoco`, `mujoco_warp` and `kinematic`. The name
    of the field may be left out."""
    task_name: str = "stack_cube"
    """Name of the task that the engine simulates. `task=<name>` sets the field."""
    device: str = bounded("cpu", rule=scene_device_fault)
    """Device of all tensors: `cpu`, `cuda` or `cuda:<index>`."""
    json: bool = False
    """Print JSON instead of text."""


@dataclass
class RegenerateCfg:
    """Generate a dataset again from what it records, and compare the digests of its demos."""

    input_file: str = bounded(MISSING, example="datasets/run/demo.hdf5")
    """Dataset of `mimic generate`: configuration, seed, engine, and digests of source demos and code are read from it."""
    source_file: str | None = None
    """Annotated source demos; null: the path that the dataset records."""
    demos: list[str] | None = None
    """Demos to compare: names, or names of masks (filter keys); with `-` in front: all but these; null: all. The new run
    ends with the trial of the last one."""
    output_dir: str = bounded(MISSING, computed="datasets/regenerated/<date>", **folder_rule("datasets/again"))
    """Output folder of the new run."""
    num_envs: int | None = bounded(None, at_least=1, remedy="null uses the recorded number")
    """Number of environments; null: as recorded."""
    headless: bool = False
    """Isaac Lab: open no window. The other engines never open one."""
    overwrite: bool = False
    """Replace a run that exists in `output_dir`."""
    resume: bool = False
    """Resume the run in `output_dir`; start it if the folder is empty."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class ReportCfg:
    """Write an HTML page about a run: success by subtask, reasons of failure."""

    input_dir: str = bounded(MISSING, **folder_rule("datasets/run"))
    """Folder of the run, finished or in progress."""
    output_file: str | None = bounded(None, rule=suffix_rule(".html"))
    """Output page (.html); null: `report.html` in the folder of the run, which is replaced."""
    overwrite: bool = False
    """Replace an existing output file."""
    pictures: bool = True
    """Run some failed trials again, and show pictures of them."""
    num_failures: int = bounded(3, at_least=1, remedy="pictures=false draws none")
    """Number of failed trials with pictures per reason of failure."""
    clips: bool = True
    """Show videos of these trials in addition to pictures."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class WatchCfg(PageCfg):
    """Watch a run on a page in the browser: environments in motion, success, reasons of failure, ended trials again."""

    input_dir: str = bounded(MISSING, **folder_rule("datasets/run"))
    """Folder of the run, running or ended; or a folder that contains runs."""


_COMMANDS: tuple[tuple[str, str, type], ...] = (
    ("studio", "studio", StudioCfg),
    ("record", "record_demos", RecordDemosCfg),
    ("annotate", "annotate_demos", AnnotateDemosCfg),
    ("check", "check_demos", CheckDemosCfg),
    ("generate", "generate", GenerateCfg),
    ("collect", "collect", CollectCfg),
    ("watch", "watch", WatchCfg),
    ("regenerate", "regenerate", RegenerateCfg),
    ("report", "report", ReportCfg),
    ("split", "split_dataset", SplitDatasetCfg),
    ("merge", "merge_datasets", MergeDatasetsCfg),
    ("inspect", "inspect_dataset", InspectDatasetCfg),
    ("show", "show_demo", ShowDemoCfg),
    ("render", "render_dataset", RenderDatasetCfg),
    ("validate", "validate_dataset", ValidateDatasetCfg),
    ("replay", "replay_demos", ReplayDemosCfg),
    ("import", "import_dataset", ImportDatasetCfg),
    ("import-config", "import_config", ImportConfigCfg),
    ("export", "export_dataset", ExportDatasetCfg),
    ("prepare", "prepare_dataset", PrepareDatasetCfg),
    ("train", "train", TrainCfg),
    ("evaluate", "evaluate", EvaluateCfg),
    ("pipeline", "pipeline", PipelineCfg),
    ("sweep-report", "sweep_report", SweepReportCfg),
    ("check-engine", "check_engine", CheckEngineCfg),
)
"""Verb of `mimic`, name of its script and of its file in `conf/`, and schema, in the order in which a user needs them."""

SCRIPT_SCHEMAS = {script: schema for _, script, schema in _COMMANDS}
"""Name of a script -> schema."""
SCRIPT_VERBS = {script: verb for verb, script, _ in _COMMANDS}
"""Name of a script -> verb of `mimic`."""


def subtask_type(schema: Any) -> Any:
    """Return the dataclass of the subtasks in a schema; None if the schema has no subtasks."""
    subtasks = get_type_hints(schema).get("subtask_configs")  # dict[str, list[...]]
    return None if subtasks is None else get_args(get_args(subtasks)[1])[0]
