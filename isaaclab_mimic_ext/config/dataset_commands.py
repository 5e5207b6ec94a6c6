"""Schemas of the commands that read, change or convert finished files; all others are in `commands.py`."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from isaaclab_mimic_ext.config.bounds import AUTO, bounded, file_rule, scene_device_fault, suffix_rule
from isaaclab_mimic_ext.config.cameras import modalities_fault
from isaaclab_mimic_ext.config.task import MAX_SEED, SimCfg
from isaaclab_mimic_ext.task.cameras import RENDERING_MODES, RGB
from isaaclab_mimic_ext.task.robot import RobotCfg


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
    """Write an HTML page about one demo (frames, subtasks, signals, actions, source demos, trial, seed), or draw a robot."""

    input_file: str | None = bounded(None, example="datasets/run/demo.hdf5")
    """Dataset, annotated source demos, or recorded demos; null only with `robot`."""
    robot: RobotCfg = field(default_factory=lambda: RobotCfg(name=""))
    """Robot to draw instead of a demo, with the frames of its base and its end effector: `robot=<name>`, or
    `robot.mjcf=<file>` with further fields."""
    demo: str | None = None
    """Name of the demo, such as `demo_12`; null: the first one."""
    demos: list[str] | None = None
    """Demos with a page each: names, or names of masks (filter keys); with `-` in front: all but these; null: `demo`."""
    output_file: str | None = bounded(None, rule=suffix_rule(".html", ".png"))
    """Output page (.html) of one demo; null: `<input_file>_<demo>.html` next to the file. Picture (.png) of a robot; null:
    `robot_<name>.png`."""
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
    modalities: list[str] = bounded([RGB], rule=modalities_fault)
    """Pictures of each camera: `rgb`, `depth` [m], `segmentation` (number of the object). Depth and segmentation are the
    observations `<camera>_depth` and `<camera>_segmentation`."""
    rendering_mode: str = bounded("policy", choices=RENDERING_MODES)
    """`policy` (less than a quarter of the time without a GPU; hard edges) or `film` (as `enable_cameras=true`)."""
    camera_cfgs: dict[str, Any] = field(default_factory=dict)
    """Name of a camera -> values that replace its own: `camera_cfgs.agentview.fovy=40`. A new name with `pos` and `target`
    adds a camera. Fields: `frame`, `pos` [m], `target` [m], `up`, `fovy` [deg]."""
    copies: int = bounded(0, at_least=0)
    """Number of copies of each demo, each in a random look; the demo itself keeps the scene's own look."""
    appearance: list[str] = field(default_factory=lambda: ["all"])
    """Random parts of the looks of copies: `light`, `color` (of the light), `table`, `arm`, `objects`, `camera` (poses),
    `all`."""
    seed: int = bounded(1, at_least=0)
    """With the name of a demo and the number of a copy, decides its look."""
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

    `sim.engine=auto` uses the engine that the dataset was recorded with; MuJoCo for datasets of `mujoco_warp`.
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
class ImportConfigCfg:
    """Import the JSON configuration of a task of MimicGen as a task file."""

    input_file: str = bounded(MISSING, example="core_configs/square.json")
    """JSON file of MimicGen."""
    base_task: str = bounded(MISSING, example="robosuite_square")
    """Task, or preset of a task, that the task file extends: its objects, signals, success and randomization."""
    output_file: str = bounded(MISSING, example="my_tasks/task/square.yaml")
    """Task file to write. A file `<folder>/task/<name>.yaml` is used with `--config-dir <folder> task=<name>`."""
    overwrite: bool = False
    """Replace an existing output file."""
    rename: RenameCfg = field(default_factory=RenameCfg)
    json: bool = False
    """Print JSON instead of text."""


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
    """lerobot: observations that are concatenated to `observation.state`, in this order; null: those of the robot itself."""
    environment_keys: list[str] | None = None
    """lerobot: observations that are concatenated to `observation.environment_state`; null: without pictures all other
    low-dimensional observations except `actions`, with pictures none."""
    camera_keys: list[str] | None = None
    """lerobot: image observations to export, converted to RGB of uint8; null: all."""
    actions: str = bounded("delta", choices=("delta", "joint", "eef_absolute"))
    """lerobot: form of the actions: `delta` (as the env executes them), `joint` (joint positions after each step, and the
    gripper) or `eef_absolute` (target position of the hand, first two columns of its rotation matrix, and the gripper)."""
    action_key: str | None = None
    """lerobot: dataset of the actions; null: `actions_clean` if the demos have it, otherwise `actions`."""
    instruction: str | None = None
    """lerobot: instruction in natural language; null: the name of the environment."""
    instructions: list[str] = field(default_factory=list)
    """lerobot: several instructions in natural language; one is drawn for each demo."""
    fps: int | None = None
    """lerobot: frames per second; null: the control rate of the dataset."""
    repo_id: str | None = None
    """lerobot: name of the dataset, `<user>/<name>`; null: `local/<folder>`."""
    videos: bool = True
    """lerobot: true: encode images as videos (lossy). false: write them as PNG."""
    video_codec: str = bounded("libsvtav1", choices=("libsvtav1", "h264", "hevc", "auto"))
    """lerobot: codec of the videos; `auto`: an encoder of the hardware if there is one, otherwise `libsvtav1` (AV1)."""
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
