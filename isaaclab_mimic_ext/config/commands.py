"""One schema per command, with the fields that the command reads. Fields of the task are at the top level."""

from dataclasses import dataclass, field
from typing import Any, get_args, get_type_hints

from omegaconf import MISSING

from isaaclab_mimic_ext.config.bounds import AUTO, bounded, file_rule, folder_rule, scene_device_fault, suffix_rule
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
    SubTaskDemoCfg,
    SubTaskMarksCfg,
    SuccessCfg,
    SuccessRuleCfg,
    TaskRef,
)
from isaaclab_mimic_ext.task.cameras import RENDERING_MODES

BROWSER = "browser"
"""Device of a person at the page of the studio."""
LIVE_DEVICES = ("keyboard", BROWSER, "spacemouse", "gamepad")
"""Devices of a person."""
TELEOP_DEVICES = ("scripted", "scripted_fluent", *LIVE_DEVICES)


@dataclass
class SceneCfg:
    """Scene of a task on an engine."""

    task: TaskRef = field(default_factory=TaskRef)
    sim: SimCfg = field(default_factory=SimCfg)
    device: str = bounded(AUTO, rule=scene_device_fault)
    """Device of all tensors: `cpu`, `cuda`, `cuda:<index>`, or `auto` (CUDA if the engine and the machine have it)."""
    headless: bool = False
    """Isaac Lab: open no window. The other engines never open one."""


@dataclass
class GenerateCfg(MimicEnvCfg, SceneCfg):
    """Generate demos from annotated source demos."""

    recorder: RecorderCfg = field(default_factory=RecorderCfg)
    num_envs: int = bounded(100, at_least=1)
    """Number of environments that are simulated at the same time."""
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
    enable_cameras: bool = False
    """Record camera images, 128x128 pixels each. MuJoCo renders one scene after the other, which is slow."""
    video: bool = True
    """Render `playback.mp4` and `scene.png`."""
    num_video_demos: int = bounded(6, at_least=1, like=("num_video_episodes",))
    """Number of demos shown side by side in the video."""
    debug: bool = False
    """Try out a configuration: at most 4 trials, successful or not, in at most 4 environments. The run is in a folder with
    the ending `_debug`; an earlier debug run in it is replaced. The flag `--debug` shows tracebacks instead."""
    progress: bool = True
    """Show a progress bar."""


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
    recorder: RecorderCfg = field(default_factory=RecorderCfg)
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
    """Record source demos on a page in the browser."""

    datagen_config: RecordDataGenCfg = field(default_factory=RecordDataGenCfg)
    recorder: RecorderCfg = field(default_factory=RecorderCfg)
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
class EvaluationDataGenCfg(SuccessRuleCfg, SeedCfg):
    """Success and seed of an evaluation."""


@dataclass
class TrainCfg(EventsCfg, SceneCfg):
    """Train a policy on a split dataset, with robomimic.

    `datagen_config` and `events` apply to evaluations during training.
    """

    datagen_config: EvaluationDataGenCfg = field(default_factory=EvaluationDataGenCfg)
    algo: str = "bc_chunk"
    """Agent settings: the name of a file `tasks/<task>/agents/robomimic/<algo>.json`, or the path of a .json file. A task
    without a file for `bc_chunk` uses its defaults and all low-dimensional observations."""
    input_file: str = bounded(MISSING, **file_rule("datasets/run/demo.hdf5"))
    """Dataset that `mimic split` has split into `mask/train` and `mask/valid`."""
    demos: list[str] | None = None
    """Demos of both masks to use: names, or names of masks (filter keys); with `-` in front: all but these; null: all."""
    epochs: int | None = bounded(None, at_least=1, remedy="null uses the agent settings")
    """Number of epochs; null: as in the agent settings."""
    full_pass: bool = False
    """true: an epoch is one pass over all training steps. false: an epoch has the number of gradient steps in the agent
    settings."""
    seed: int = bounded(1, at_least=0, at_most=2**32 - 1)
    """Seed of the initial weights and of the order of batches."""
    normalize_actions: str = bounded("min_max", choices=("min_max", "none"))
    """`min_max` (scale the range of each action entry in the training demos to [-1, 1]) or `none`."""
    action_key: str | None = bounded(None, choices=("actions", "actions_clean"), remedy="null uses the default")
    """What the policy learns to predict: `actions` (as executed, with noise) or `actions_clean` (without noise); null:
    `actions_clean` for bc_chunk if the dataset has it, otherwise `actions`."""
    agent: dict[str, Any] = field(default_factory=dict)
    """Values that replace agent settings: `agent.train.batch_size=256`."""
    save_every: int = bounded(50, at_least=0)
    """Number of epochs between checkpoints; 0: save only the last epoch."""
    evaluate_every: int = bounded(0, at_least=0)
    """Number of epochs between evaluations; 0: none. The best checkpoint is saved as `models/best.pth`."""
    num_eval_episodes: int = bounded(100, at_least=1, like=("num_episodes",))
    """Number of episodes per evaluation, on scenes that neither `mimic generate` nor `mimic evaluate` uses."""
    num_eval_envs: int = bounded(50, at_least=1, like=("num_envs",))
    """Number of environments in evaluations."""
    output_dir: str = bounded(
        MISSING, computed="logs/robomimic/<task>/<algo>/<date>", **folder_rule("logs/robomimic/mine"), like=("output_file",)
    )
    """Output folder of the training: checkpoints, TensorBoard logs, configuration."""
    overwrite: bool = False
    """Replace a training that exists in `output_dir`."""
    resume: bool = False
    """Resume the training in `output_dir`; start it if the folder is empty."""
    num_threads: int = bounded(1, at_least=0, remedy="0 means one per core")
    """Number of CPU threads of the network; 0: one per core."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class EvaluateCfg(EventsCfg, SceneCfg):
    """Measure the success rate of policies on held-out scenes."""

    datagen_config: EvaluationDataGenCfg = field(default_factory=EvaluationDataGenCfg)
    checkpoint: Any = None
    """Checkpoint file, folder of a training (all its checkpoints), pattern such as `runs/*/best.pth`, or a list of these."""
    policy: str = "robomimic"
    """Kind of policy: `robomimic`, or `<module>:<function>` of a function that makes the policy, with or without a
    checkpoint."""
    num_envs: int = bounded(100, at_least=1)
    """Number of environments that are simulated at the same time."""
    num_episodes: int = bounded(300, at_least=1, like=("num_demos", "generation_num_trials", "num_rollouts"))
    """Number of episodes per checkpoint. All checkpoints are evaluated on the same scenes."""
    horizon: int | None = None
    """Largest number of steps of an episode; null: 1.5 times the longest demo in `input_file`."""
    input_file: str = bounded(MISSING, computed="source demos of the task")
    """Dataset from which the horizon is computed if `horizon=null`."""
    stop_at_success: bool = True
    """true: end an episode at held success. false: run it to the horizon, and judge its last `num_success_steps` steps."""
    randomization_scale: float = bounded(1.0, at_least=0)
    """Factor for the width of all ranges in `events`; their centers stay."""
    observation_noise: float = bounded(0.0, at_least=0)
    """Standard deviation of the noise of observations, in the units of each observation [m, rad, m/s, rad/s]."""
    observation_noise_keys: list[str] = field(default_factory=lambda: ["*"])
    """Patterns of names of the observations with noise; `*` matches any characters."""
    push_probability: float = bounded(0.0, at_least=0, at_most=1)
    """Probability per step that an object is pushed."""
    push_velocity: float = bounded(0.0, at_least=0)
    """Velocity that a push adds to an object, in a random horizontal direction [m/s]."""
    push_objects: list[str] | None = None
    """Objects that may be pushed, one per push; null: all."""
    arm_push_probability: float = bounded(0.0, at_least=0, at_most=1)
    """Probability per step that an arm is pushed."""
    arm_push_distance: float = bounded(0.0, at_least=0)
    """Distance by which a push shifts the target of an arm for one step, in a random direction [m]."""
    output_dir: str = bounded(
        MISSING, computed="logs/evaluation/<task>/<date>", **folder_rule("logs/evaluation/mine"), like=("output_file",)
    )
    """Output folder: `evaluation.json`, plot, videos."""
    overwrite: bool = False
    """Replace an evaluation that exists in `output_dir`."""
    video: bool = True
    """Render videos of successes and failures."""
    video_of: str = bounded("best", choices=("best", "last", "all"))
    """Checkpoints with a video of successes: `best`, `last` or `all`. Failures are shown of every checkpoint."""
    num_video_episodes: int = bounded(6, at_least=1, like=("num_video_demos",))
    """Number of episodes shown side by side in a video."""
    enable_cameras: bool = False
    """Isaac Lab: render the cameras of the env."""
    json: bool = False
    """Print JSON instead of a table."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class SweepReportCfg:
    """Report the results of a sweep as a table and a plot."""

    input_dir: str = bounded(MISSING, **folder_rule("datasets/sweep"))
    """Folder of the sweep, with one folder per job. `sweep.json` and `sweep.png` are written to it."""
    overwrite: bool = False
    """Replace an existing report."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass
class PipelineCfg:
    """Record, annotate, generate, split, train and evaluate. Each step is the command of the same name.

    A list of overrides changes fields of a step: `generate=["seed=3","all_subtasks.action_noise=0.01"]`. They are applied
    after the overrides of the task in `tasks/<task>/agents/pipeline.json`.
    """

    task_name: str = "desktop_organizer"
    """Name of the task. `task=<name>` on the command line sets it, as in all commands."""
    num_sources: int = bounded(MISSING, at_least=1)
    """Number of source demos to record."""
    num_demos: int = bounded(MISSING, at_least=1, like=("generation_num_trials",))
    """Number of demos to generate."""
    epochs: int = bounded(MISSING, at_least=1)
    """Number of epochs per training."""
    size_reason: str = ""
    """Reason for the numbers of demos and epochs, for the report; each preset has one."""
    algo: str | None = None
    """Agent settings, as in `mimic train`; null: bc if the task has this agent, otherwise bc_chunk."""
    seeds: list[int] = field(default_factory=lambda: [1])
    """Seeds of the trainings, one training per seed."""
    num_episodes: int = bounded(300, at_least=1)
    """Number of episodes in the evaluation of the last checkpoint of each training."""
    num_envs: int = bounded(100, at_least=1)
    """Number of environments in generation and evaluation."""
    record: list[str] = field(default_factory=list)
    """Overrides of the step `record`."""
    annotate: list[str] = field(default_factory=list)
    """Overrides of the step `annotate`."""
    generate: list[str] = field(default_factory=list)
    """Overrides of the step `generate`."""
    split: list[str] = field(default_factory=list)
    """Overrides of the step `split`."""
    train: list[str] = field(default_factory=list)
    """Overrides of the step `train`."""
    evaluate: list[str] = field(default_factory=list)
    """Overrides of the step `evaluate`."""
    output_dir: str = bounded(MISSING, computed="datasets/pipeline/<task>_<preset>", **folder_rule("datasets/pipeline/mine"))
    """Output folder of all steps. Steps whose outputs are up to date are skipped."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class SplitDatasetCfg:
    """Split a dataset into training and validation demos: write `mask/train` and `mask/valid` into the file."""

    input_file: str = bounded(MISSING, example="datasets/run/demo.hdf5")
    """Dataset to split. The file is changed."""
    demos: list[str] | None = None
    """Demos to split: names, or names of masks (filter keys); with `-` in front: all but these; null: all. The others are in
    neither mask."""
    ratio: float = 0.8
    """Fraction of the demos in `mask/train`, > 0 and < 1."""
    seed: int = bounded(1, at_least=0, at_most=MAX_SEED)
    """Seed of the split."""
    by_source_demo: bool = False
    """Hold out source demos: all demos generated from them are in `mask/valid`, all others in `mask/train`."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class InspectDatasetCfg:
    """Show the contents of a dataset."""

    input_file: str = bounded(MISSING, example="datasets/run/demo.hdf5")
    """Dataset to read."""
    demos: list[str] | None = None
    """Demos to describe: names, or names of masks (filter keys); with `-` in front: all but these; null: all."""
    digest: bool = False
    """Compute a SHA-256 digest of all data. This reads the complete file: a minute instead of seconds for 10,000 demos."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class ShowDemoCfg:
    """Write an HTML page about one demo: frames, subtasks, signals, actions, source demos, trial and seed."""

    input_file: str = bounded(MISSING, example="datasets/run/demo.hdf5")
    """Dataset, annotated source demos, or recorded demos."""
    demo: str | None = None
    """Name of the demo, such as `demo_12`; null: the first one."""
    demos: list[str] | None = None
    """Demos with a page each: names, or names of masks (filter keys); with `-` in front: all but these; null: `demo`."""
    output_file: str | None = bounded(None, rule=suffix_rule(".html"))
    """Output page (.html) of one demo; null: `<input_file>_<demo>.html` next to the file."""
    overwrite: bool = False
    """Replace an existing output file."""
    pictures: bool = True
    """Draw frames at the start, at the ends of subtasks, and at the end."""
    json: bool = False
    """Print JSON instead of text."""


@dataclass
class RenderDatasetCfg:
    """Copy a dataset and add pictures: its recorded states are drawn again, with any cameras and sizes."""

    input_file: str = bounded(MISSING, example="datasets/run/demo.hdf5")
    """Dataset to read."""
    demos: list[str] | None = None
    """Demos to copy: names, or names of masks (filter keys); with `-` in front: all but these; null: all."""
    output_file: str = bounded(MISSING, **file_rule("datasets/run/demo_pictures.hdf5"))
    """Output dataset. Until it is complete, pictures are kept in `<output_file>.pictures`."""
    task_name: str | None = None
    """Task whose scene is drawn; null: as recorded in the file. `task=<name>` sets the field."""
    cameras: list[str] = field(default_factory=lambda: ["agentview", "wrist"])
    """Cameras, which are the names of the new observations. `wrist` stands for the cameras at the hands of all arms."""
    size: list[int] = field(default_factory=lambda: [84, 84])
    """Height and width of a picture [pixels]."""
    rendering_mode: str = bounded("policy", choices=RENDERING_MODES)
    """`policy` (less than a quarter of the time without a GPU; hard edges) or `film` (as `enable_cameras=true`)."""
    camera_cfgs: dict[str, Any] = field(default_factory=dict)
    """Name of a camera -> values that replace its own: `camera_cfgs.agentview.fovy=40`. A new name with `pos` and `target`
    adds a camera. Fields: `frame`, `pos` [m], `target` [m], `up`, `fovy` [deg]."""
    num_workers: int = bounded(2, at_least=1)
    """Number of processes that draw, one demo at a time each. The output does not depend on it."""
    compress: bool = False
    """Compress the output with gzip."""
    overwrite: bool = False
    """Replace an existing output file."""
    resume: bool = False
    """Continue a rendering that was killed; start it if there is none."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class ValidateDatasetCfg:
    """Check the structure and values of a dataset, and replay some of its demos."""

    input_file: str = bounded(MISSING, example="datasets/run/demo.hdf5")
    """Dataset to read."""
    demos: list[str] | None = None
    """Demos to check: names, or names of masks (filter keys); with `-` in front: all but these; null: all."""
    strict: bool = False
    """Exit with 1 also for warnings, instead of only for errors."""
    num_replays: int = bounded(5, at_least=0)
    """Number of demos to replay, if the dataset was generated with MuJoCo or the kinematic engine; 0: none."""
    seed: int = bounded(1, at_least=0, at_most=MAX_SEED)
    """Seed of the selection of the demos to replay."""
    time_limit: float = bounded(120.0, at_least=1, unit="s")
    """Largest time between two demos that are read; after it, the file is reported as damaged [s]."""
    renew_digests: bool = False
    """Accept changed data: give demos whose data differ from their digests new digests. The file is changed."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class MergeDatasetsCfg:
    """Merge several datasets of the same task into one."""

    input_file: list[str] = bounded(MISSING, example="[a.hdf5,b.hdf5]")
    """Datasets to merge: `input_file=[a.hdf5,b.hdf5]`; with `demos`, also a single one."""
    demos: list[str] | None = None
    """Demos of each file to copy: names, or names of masks (filter keys); with `-` in front: all but these; null: all."""
    output_file: str = bounded(MISSING, **file_rule("datasets/demos.hdf5"))
    """Output dataset."""
    overwrite: bool = False
    """Replace an existing output file."""
    env_name: str | None = None
    """Name of the environment in the output, for files with different names of the same task; null: as in the files."""
    allow_copies: bool = False
    """Also merge demos with the same data as another one; otherwise, they are refused."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class ReplayDemosCfg:
    """Replay the actions of a dataset, and compare success and object poses with the recorded ones.

    `sim.engine=auto` uses the engine that the dataset was recorded with, if it is MuJoCo or the kinematic engine.
    """

    input_file: str = bounded(MISSING, example="datasets/run/demo.hdf5")
    """Dataset to replay."""
    demos: list[str] | None = None
    """Demos to replay: names, or names of masks (filter keys); with `-` in front: all but these; null: all."""
    sim: SimCfg = field(default_factory=SimCfg)
    task_name: str | None = None
    """Task: name of an included task, gym id, or `<module>:<gym id>`; null: as recorded in the file. `task=<name>` sets the
    field."""
    select_episodes: list[int] = field(default_factory=list)
    """Indices of the demos to replay, from 0: `--select_episodes 0 3`; empty: all."""
    num_demos: int | None = bounded(None, at_least=1, remedy="null replays all")
    """Number of demos to replay, from the first; null: all."""
    num_envs: int = bounded(50, at_least=1)
    """Number of demos that are replayed at the same time."""
    num_success_steps: int = bounded(5, at_least=1)
    """The task must be solved in each of the last `num_success_steps` steps of a replayed demo."""
    output_file: str | None = bounded(None, rule=suffix_rule(".mp4"))
    """Output video (.mp4) of the first replayed demos; null: none."""
    num_video_demos: int = bounded(6, at_least=1)
    """Number of demos shown side by side in the video."""
    overwrite: bool = False
    """Replace an existing output file."""
    device: str = bounded(AUTO, rule=scene_device_fault)
    """Device of all tensors: `cpu`, `cuda`, `cuda:<index>`, or `auto` (CUDA if the engine and the machine have it)."""
    headless: bool = False
    """Isaac Lab: open no window. The other engines never open one."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


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


@dataclass
class RenameCfg:
    """New names of objects and signals."""

    objects: dict[str, str] = field(default_factory=dict)
    """Name of an object in the file -> its name in the task: `rename.objects.square_nut=nut`. Others keep their names."""
    signals: dict[str, str] = field(default_factory=dict)
    """Name of a signal in the file -> its name in the task: `rename.signals.grasp=grasped`. Others keep their names."""


@dataclass
class ImportDatasetCfg:
    """Import source demos of MimicGen: convert them to annotated source demos in Isaac Lab's layout."""

    input_file: str = bounded(MISSING, example="datasets/mimicgen.hdf5")
    """Source dataset of MimicGen (robomimic layout with `datagen_info`)."""
    demos: list[str] | None = None
    """Demos to import: names, or names of masks (filter keys); with `-` in front: all but these; null: all."""
    output_file: str = bounded(MISSING, example="datasets/source_demos.hdf5")
    """Output dataset."""
    overwrite: bool = False
    """Replace an existing output file."""
    eef_name: str = "franka"
    """Name of the end effector in the output; files of MimicGen do not name it."""
    eef_names: list[str] = field(default_factory=list)
    """Names of several end effectors, in the order of the file's arrays: `[left,right]`; empty: `eef_name`, or the names in
    the file."""
    rename: RenameCfg = field(default_factory=RenameCfg)
    gripper_sign: str = "auto"
    """Sign of gripper actions: `keep`, `flip`, or `auto` (flip robosuite's, where +1 closes; Isaac Lab's +1 opens)."""
    compress: bool = False
    """Compress the output with gzip."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class ExportDatasetCfg:
    """Export a dataset to robomimic's (MimicGen's) layout or as a LeRobot dataset."""

    format: str = bounded(MISSING, example="robomimic")
    """Format of the output: `robomimic` or `lerobot`."""
    input_file: str = bounded(MISSING, example="datasets/run/demo.hdf5")
    """Dataset to read."""
    demos: list[str] | None = None
    """Demos to export: names, or names of masks (filter keys); with `-` in front: all but these; null: all."""
    output_file: str | None = None
    """robomimic: output file."""
    output_dir: str | None = None
    """lerobot: output folder."""
    overwrite: bool = False
    """Replace an existing output."""
    next_obs: bool = False
    """robomimic: also write `next_obs`, the observations after each step."""
    compress: bool = False
    """robomimic: compress the output with gzip."""
    eef_name: str | None = None
    """robomimic: end effector whose poses are written to `datagen_info`; null: the only end effector."""
    state_keys: list[str] | None = None
    """lerobot: observations that are concatenated to `observation.state`, in this order; null: all low-dimensional
    observations except `actions`."""
    camera_keys: list[str] | None = None
    """lerobot: image observations to export, converted to RGB of uint8; null: all."""
    instruction: str | None = None
    """lerobot: instruction in natural language; null: the name of the environment."""
    fps: int | None = None
    """lerobot: frames per second; null: the control rate of the dataset."""
    repo_id: str | None = None
    """lerobot: name of the dataset, `<user>/<name>`; null: `local/<folder>`."""
    videos: bool = True
    """lerobot: true: encode images as videos (lossy). false: write them as PNG."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class PrepareDatasetCfg:
    """Copy a dataset with changes: chosen demos, another gripper convention, returns-to-go, sparse rewards, fewer images."""

    input_file: list[str] = bounded(MISSING, example="datasets/run/demo.hdf5")
    """Dataset to read, or a list of datasets: `input_file=[a.hdf5,b.hdf5]`."""
    demos: list[str] | None = None
    """Demos of each file to copy: names, or names of masks (filter keys); with `-` in front: all but these; null: all."""
    output_file: str | None = None
    """Output dataset, for one input."""
    output_dir: str | None = None
    """Folder of the output datasets, which have the names of the inputs."""
    overwrite: bool = False
    """Replace an existing output file."""
    add_rtgs: bool = False
    """Add `returns_to_go`: in each step, the sum of the rewards from this step to the end of the demo."""
    low_dim_keys: bool = False
    """Drop all images."""
    sparse_reward: bool = False
    """Set the reward to 1 in the last step of each successful demo, and to 0 in all other steps."""
    compress: bool = False
    """Compress the output with gzip."""
    img_key: str | None = None
    """Name of the image observation to keep; all other images are dropped."""
    crop_dim: int | None = None
    """Crop `img_key` to a square of this width and height around the center [pixels]."""
    gripper: str = bounded("keep", choices=("keep", "flip", "zero_one", "one_zero", "zero_closes"))
    """Convention of the gripper commands in the file, which are converted to Isaac Lab's (negative closes): `flip` (positive
    closes), `zero_one` (0 closes), `one_zero` (0 opens), `zero_closes` (0 and negative close), or `keep`."""
    quaternions: str = bounded("keep", choices=("keep", "xyzw", "wxyz"))
    """Order in which the file contains its quaternions, if its `format_version` is wrong; `keep` leaves it as it is."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""


_COMMANDS: tuple[tuple[str, str, type], ...] = (
    ("studio", "studio", StudioCfg),
    ("record", "record_demos", RecordDemosCfg),
    ("annotate", "annotate_demos", AnnotateDemosCfg),
    ("check", "check_demos", CheckDemosCfg),
    ("generate", "generate", GenerateCfg),
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
    ("export", "export_dataset", ExportDatasetCfg),
    ("prepare", "prepare_dataset", PrepareDatasetCfg),
    ("train", "train", TrainCfg),
    ("evaluate", "evaluate", EvaluateCfg),
    ("pipeline", "pipeline", PipelineCfg),
    ("sweep-report", "sweep_report", SweepReportCfg),
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
