"""The schema of a task, with Isaac Lab's field names and defaults (`isaaclab.envs.mimic_env_cfg`).

The values are in `conf/`. `DataGenConfig` and `SubTaskConfig` consist of smaller classes, because most commands read only a
part of their fields. The schema of a command (`config.commands`) contains the classes that the command reads.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast

from omegaconf import MISSING

from isaaclab_mimic_ext.config.bounds import AUTO, bounded, range_fault, scene_device_fault
from isaaclab_mimic_ext.task.meshes import ObjectCfg
from isaaclab_mimic_ext.task.robot import RobotCfg

GYM_ID = re.compile(r"([\w.]+:)?[\w.-]+-v\d+")
"""Name in Isaac Lab's registry: `Isaac-Stack-Cube-Franka-IK-Rel-Mimic-v0`, or `<module>:<name>` to import a module first."""
BODY = "body"
"""Name of the end effector that is a mobile base."""
SELECTION_STRATEGIES = ("random", "nearest_neighbor_object", "nearest_neighbor_robot_distance")
CONSTRAINT_TYPES = ("sequential", "coordination")
COORDINATION_SCHEMES = ("replay", "transform", "translate")
MAX_SEED = 2**64 - 1


@dataclass
class SeedCfg:
    """Seed of random numbers."""

    seed: int = bounded(1, at_least=0, at_most=MAX_SEED)
    """Seed of the initial scenes. In generation also of offsets, selection and noise."""


@dataclass
class SuccessCfg:
    """Duration of held success."""

    num_success_steps: int = bounded(5, at_least=1)
    """The task must be solved in each of the last `num_success_steps` steps of a trial or episode."""


@dataclass
class SuccessRuleCfg(SuccessCfg):
    """Criterion for a successful trial."""

    success_rule: str = bounded("held", choices=("held", "any_step"))
    """`held` (solved in each of the last `num_success_steps` steps) or `any_step` (solved in at least one step, as in Isaac
    Lab and MimicGen)."""


@dataclass
class BudgetCfg:
    """Budgets: limits that end a run. Trials are counted in the order of their numbers."""

    max_num_failures: int | None = bounded(25, at_least=1, remedy="null disables the limit")
    """End the run after this many failures in a row; null: no limit."""
    max_total_failures: int | None = bounded(None, at_least=1, remedy="null disables the limit")
    """End the run after this many failures in total; null: no limit."""
    max_trials: int | None = bounded(None, at_least=1, remedy="null disables the limit")
    """End the run after this many trials, successful or not; null: no limit."""
    min_success_rate: float | None = bounded(None, above=0, at_most=1, remedy="null disables the limit")
    """End the run when it is 99 % certain that its success rate is below this value (0 to 1); null: no limit."""


BUDGETS = (*(budget.name for budget in fields(BudgetCfg)), "max_time")
"""Names of all budgets of `datagen_config`."""


@dataclass
class SelectionCfg:
    """Selection of source demos."""

    generation_select_src_per_subtask: bool = True
    """true: select a source demo for each subtask. false: select one for the whole trial."""
    generation_select_src_per_arm: bool = False
    """true: each end effector selects its own source demo. false: all end effectors use the same source demo for subtasks
    with the same index."""
    compat_select: str = bounded("mimic", choices=("mimic", "isaaclab"))
    """`mimic` (select as the two fields above specify) or `isaaclab` (unless `generation_select_src_per_arm`, keep the first
    source demo for the whole trial, as Isaac Lab does)."""
    use_skillgen: bool = False
    """Use SkillGen: plan transits around obstacles between skills instead of interpolating. The source demos need start
    signals (`mimic annotate annotate_subtask_start_signals=true`)."""
    check_gripper_convention: bool = True
    """Leave out source demos whose grippers lift objects while they are commanded to open (>= 0). false: do not compare the
    commands with objects and fingers, for a task whose open gripper lifts objects."""


@dataclass
class DataGenConfig(SelectionCfg, BudgetCfg, SuccessRuleCfg, SeedCfg):
    """Settings of generation. Source: MimicGen's `experiment.generation`, Isaac Lab's `DataGenConfig`."""

    generation_guarantee: bool = True
    """true: run until `generation_num_trials` trials have succeeded. false: run `generation_num_trials` trials."""
    generation_num_trials: int = bounded(100, at_least=1, like=("num_demos", "num_episodes"))
    """Number of successful trials, or of all trials: see `generation_guarantee`."""
    generation_keep_failed: bool = False
    """Also write failed trials, to `demo_failed.hdf5`."""
    max_time: float | None = bounded(None, above=0, unit="h", remedy="null disables the limit")
    """End the run after this time, including the time before a resume [h]; null: no limit."""
    generation_transform_first_robot_pose: bool = False
    """true: prepend the end effector pose of the source demo to all segments. false: only to the first one of a trial."""
    generation_interpolate_from_last_target_pose: bool = True
    """true: interpolation starts at the last target pose. false: at the current pose of the end effector."""
    num_final_hold_steps: int = bounded(10, at_least=0)
    """Number of steps to hold the last waypoint, without noise, at the end of a trial."""
    adapt_to_scale: bool = True
    """Move waypoints with the surface of objects whose size `events.<name>.scale_range` changes."""
    stop_hopeless_trials: bool = False
    """End a trial as soon as its task knows that the trial can no longer succeed."""
    action_noise_process: str = bounded("white", choices=("white", "ornstein_uhlenbeck"))
    """`white` (independent in each step) or `ornstein_uhlenbeck` (correlated over time, same standard deviation)."""
    action_noise_correlation_steps: float = bounded(10.0, above=0)
    """Number of steps after which the correlation of `ornstein_uhlenbeck` noise has fallen to 1/e."""
    transit_ramp_steps: int = bounded(8, at_least=1)
    """Number of steps over which a transit accelerates, decelerates and rounds its corners; 1: full speed, sharp corners."""
    use_navigation_controller: bool = False
    """Mobile base: repeat the waypoint of end effector `body` until the env reports that its navigation goal is reached."""
    max_navigation_wait_steps: int = bounded(200, at_least=0)
    """Largest number of steps to wait for the mobile base; a trial that waits longer fails."""
    legacy_small_rotation: bool = False
    """Do not interpolate rotations below 0.05 rad: jump to the goal rotation, as Isaac Lab and MimicGen do."""


def _noise_fault(value: Any) -> str | None:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    deviations = list(value) if is_list else [value]
    is_number = [isinstance(item, int | float) and not isinstance(item, bool) for item in deviations]
    if deviations and all(is_number) and all(0 <= item < math.inf for item in deviations):
        return None
    shown = deviations if is_list else value
    return f"must be a number >= 0, or a list with one number per pose entry of the action (got {shown!r})"


@dataclass
class SubTaskBoundsCfg:
    """Boundaries of a subtask."""

    subtask_term_signal: str | None = None
    """Term signal: its first rise ends the subtask. The last subtask needs none, except with `use_skillgen`."""
    subtask_term_offset_range: tuple[int, int] = bounded((0, 0), rule=range_fault)
    """Range of the random offset of the end, bounds included [steps]."""
    first_subtask_start_offset_range: tuple[int, int] = bounded((0, 0), rule=range_fault)
    """Range of the random offset of the start, bounds included, first subtask only [steps]."""
    subtask_start_offset_range: tuple[int, int] = bounded((0, 0), rule=range_fault)
    """SkillGen: range of the random offset of the start of the skill, bounds included [steps]."""

    def __post_init__(self) -> None:
        # OmegaConf returns lists for tuples.
        self.subtask_term_offset_range = cast(tuple[int, int], tuple(self.subtask_term_offset_range))
        self.first_subtask_start_offset_range = cast(tuple[int, int], tuple(self.first_subtask_start_offset_range))
        self.subtask_start_offset_range = cast(tuple[int, int], tuple(self.subtask_start_offset_range))

    @property
    def label(self) -> str:
        """Name of the subtask in messages: its term signal or description, or empty."""
        return self.subtask_term_signal or str(getattr(self, "description", ""))


@dataclass
class SubTaskObjectCfg:
    """Object of a subtask."""

    object_ref: str | None = None
    """Object that the motion is relative to; null: the segment is not transformed."""


@dataclass
class SubTaskMarksCfg(SubTaskBoundsCfg, SubTaskObjectCfg):
    """Settings of a subtask that annotation checks: its boundaries, and that its object is in the scene."""


@dataclass
class SubTaskDemoCfg(SubTaskMarksCfg):
    """Settings of a subtask that concern source demos: boundaries, selection and settling."""

    selection_strategy: str = bounded("random", choices=SELECTION_STRATEGIES)
    """Selection of the source demo: `random`, `nearest_neighbor_object` (the object's pose is similar) or
    `nearest_neighbor_robot_distance` (the start of the segment is near the end effector)."""
    selection_strategy_kwargs: dict[str, Any] = field(default_factory=dict)
    """Arguments of the strategy: `nn_k` (default 3; draw from the k best source demos), `pos_weight` (default 1) and
    `rot_weight` (default 1); `random` ignores them."""
    num_settle_steps_before_gripper: int = bounded(0, at_least=0)
    """Settling: number of steps to hold the target before the gripper action changes."""
    description: str = ""
    """Description of the subtask, for messages and charts."""


@dataclass
class SubTaskConfig(SubTaskDemoCfg):
    """One subtask of one end effector. Source: MimicGen's `task_spec`, Isaac Lab's `SubTaskConfig`."""

    action_noise: Any = bounded(0.03, rule=_noise_fault)
    """Standard deviation of the noise, in units of the action: one number, or a list with one per pose entry."""
    num_interpolation_steps: int = bounded(5, at_least=0)
    """Number of waypoints interpolated from the current pose to the start of the segment."""
    num_fixed_steps: int = bounded(0, at_least=0)
    """Number of steps to hold the first pose of the segment before the segment is executed."""
    apply_noise_during_interpolation: bool = False
    """Also add noise to interpolated waypoints."""


def subtask_names(configs: Sequence[SubTaskDemoCfg]) -> list[str]:
    """Names of the subtasks of an end effector: description, otherwise term signal, otherwise number."""
    numbered = enumerate(configs, start=1)
    return [config.description or config.subtask_term_signal or f"subtask {number}" for number, config in numbered]


def _time_diff_fault(value: int) -> str | None:
    if value == -1 or value >= 1:
        return None
    return (
        "must be -1 (the latter subtask begins after the former has finished) or >= 1 (it waits this many steps before its "
        f"end) (got {value})"
    )


@dataclass
class SubTaskConstraintConfig:
    """Constraint between two subtasks of different end effectors. Source: Isaac Lab's `SubTaskConstraintConfig`."""

    eef_subtask_constraint_tuple: list[Any] = field(default_factory=list)
    """The two subtasks, by end effector and index: `[[left, 0], [right, 1]]`. `sequential`: the former subtask is first."""
    constraint_type: str = bounded(MISSING, choices=CONSTRAINT_TYPES)
    """`sequential` (one subtask after the other) or `coordination` (both subtasks use the same source demo and end
    together)."""
    sequential_min_time_diff: int = bounded(-1, rule=_time_diff_fault)
    """-1: the latter subtask begins after the former has finished. m >= 1: the latter waits m steps before its end until the
    former has finished."""
    coordination_scheme: str = bounded("replay", choices=COORDINATION_SCHEMES)
    """Common transform of both segments: `replay` (none), `transform` (with the pose of the object) or `translate` (with the
    position of the object)."""
    coordination_scheme_pos_noise_scale: float = bounded(0.0, at_least=0)
    """Largest uniform noise of the common transform, along each axis [m]."""
    coordination_scheme_rot_noise_scale: float = bounded(0.0, at_least=0)
    """Largest uniform noise of the common transform, about each axis [rad]."""
    coordination_synchronize_start: bool = False
    """Begin both subtasks in the same step."""


@dataclass
class EventCfg:
    """Randomization of one object or robot at resets."""

    asset: str = MISSING
    """Name of an object or a robot of the scene."""
    pose_range: dict[str, list[float]] = field(default_factory=dict)
    """Objects only: ranges [lowest, highest] of x, y [m] and yaw [rad], relative to the default pose of the object."""
    min_separation: float = bounded(0.0, at_least=0)
    """Objects only: smallest distance between the footprint of the object and those of other objects [m]."""
    joint_range: list[float] | None = None
    """Objects on joints only: range [lowest, highest] of the joint position [m, rad]; null: the default of the object."""
    scale_range: list[float] | None = None
    """Objects only, `sim=mujoco`: range [lowest, highest] of the factor of the size of the object; null: 1."""
    joint_std: float = bounded(0.0, at_least=0)
    """Robots only: standard deviation of the joint positions around the home position [rad]."""


@dataclass
class EventsCfg:
    """Randomization at resets."""

    events: dict[str, EventCfg] = field(default_factory=dict)
    """Name of an event -> randomization of one object or robot."""


@dataclass
class MimicEnvCfg(EventsCfg):
    """Configuration of a Mimic task: generation settings, subtasks, constraints and randomization."""

    datagen_config: DataGenConfig = field(default_factory=DataGenConfig)
    subtask_configs: dict[str, list[SubTaskConfig]] = field(default_factory=dict)
    """Name of an end effector -> its subtasks, in their order."""
    all_subtasks: dict[str, Any] = field(default_factory=dict)
    """Values that replace those of all subtasks of all end effectors: `all_subtasks.action_noise=0.01`."""
    task_constraint_configs: list[SubTaskConstraintConfig] = field(default_factory=list)
    """Constraints between subtasks of different end effectors."""


@dataclass
class RobosuiteCfg:
    """Worker processes of the engine `robosuite`."""

    python: str | None = None
    """Python that has robosuite 1.5 or 1.4.1; null: `.venv-robosuite` in the working folder or next to the package."""
    num_processes: int = bounded(0, at_least=0, remedy="0 means one per core")
    """Number of worker processes that share the envs; 0: one per core. The dataset does not depend on it."""
    control: str = bounded("own", choices=("own", "compiled"))
    """Control step: `own` (robosuite's, in Python in each substep) or `compiled` (the same equations in one compiled
    function; robosuite 1.5)."""
    max_wait: float = bounded(300.0, above=0.0, unit="s")
    """Longest wait for an answer of a worker [s]. A worker that takes longer is ended and replaced, and its trials are run
    again."""


@dataclass
class SimCfg:
    """Engine that simulates the scene."""

    engine: str = "auto"
    """`mujoco`, `mujoco_warp` (on a GPU), `kinematic` (no physics), `isaaclab`, `robosuite` (for its own tasks),
    `<module>:<class>` (an engine outside of this package; `sim=` is short for it), or `auto`: the only engine of the task,
    else `isaaclab` if `isaaclab -p` started the process, else `mujoco_warp` for `generate` and `evaluate` on a machine with
    a GPU, else `mujoco`."""
    num_threads: int = bounded(0, at_least=0, remedy="0 means one per core")
    """MuJoCo: number of physics threads; 0: one per core."""
    contacts: int | None = bounded(None, at_least=1)
    """MuJoCo Warp: buffer of contacts per env, shared by the envs; null: from the task's scene."""
    constraints: int | None = bounded(None, at_least=1)
    """MuJoCo Warp: largest number of constraint rows of an env; null: from the task's scene."""
    convex_contacts: int | None = bounded(None, at_least=1)
    """MuJoCo Warp: buffer of pairs of convex shapes per env, shared by the envs; null: from the task's scene."""
    physics: str = "default"
    """Isaac Lab: `default` (that of the env's configuration with Isaac Sim, `ovphysx` without), `ovphysx` (PhysX without
    Isaac Sim), `newton` (without Isaac Sim), or another physics preset of the env; `physics=ovphysx` is short for it."""
    renderer: str | None = None
    """Isaac Lab 3: renderer preset of the env's cameras; `renderer=newton_renderer` is short for it."""
    presets: list[str] = field(default_factory=list)
    """Isaac Lab 3: other presets of the env; `presets=rgb,depth` is short for it."""
    robot_usd: str | None = None
    """Isaac Lab: local USD file of the robot; null: the file on NVIDIA's servers."""
    env: dict[str, Any] = field(default_factory=dict)
    """Isaac Lab: values that replace fields of the env's configuration; `env.scene.env_spacing=3` is short for
    `sim.env.scene.env_spacing=3`."""
    launcher_args: list[str] = field(default_factory=list)
    """Isaac Lab: arguments of its launcher. Flags of the launcher on the command line are added here."""
    robosuite: RobosuiteCfg = field(default_factory=RobosuiteCfg)


@dataclass
class FileCfg:
    """Format of a written dataset."""

    compression: str = bounded("none", choices=("none", "lzf", "gzip"))
    """Compression of the dataset: `none`, `lzf` or `gzip`."""
    format_version: int = bounded(1, choices=(0, 1), remedy="0 is the format of Isaac Lab 2.3, 1 that of Isaac Lab 3")
    """Format of the dataset. 1: quaternions xyzw, as in Isaac Lab 3. 0: quaternions wxyz, no attribute `format_version`,
    as in Isaac Lab 2.3."""


@dataclass
class WriterCfg(FileCfg):
    """Format of a written dataset, and memory of its writer."""

    queue_megabytes: int = bounded(256, at_least=1)
    """Size of the queue of episodes that wait for the writer [MiB]. When it is full, generation waits."""


@dataclass
class RecorderCfg(WriterCfg):
    """Format of the dataset of a run, its shards, and memory of its writer."""

    shard_demos: int | None = bounded(None, at_least=1)
    """Largest number of demos in one file. The demos of this many consecutive trials are in a file in the folder
    `demo_shards`, and `demo.hdf5` presents these files as one dataset. null: all demos are in `demo.hdf5`."""
    num_writers: int | None = bounded(None, at_least=1)
    """Number of processes that write shards. The dataset does not depend on it. null: one without shards, otherwise one per
    four CPU cores, at most four."""


@dataclass
class TaskRef:
    """Task, set by `task=<name>`."""

    name: str = bounded(MISSING, computed="desktop_organizer")
    """Name of a folder in `tasks/`, or `isaaclab` for a Mimic task registered with Isaac Lab; `task=<name>` sets it."""
    id: str | None = None
    """Gym id of the task that is registered with Isaac Lab; `task=<gym id>` sets it."""
    preset: str | None = None
    """Name of the task file that was composed; `task=<name>` sets it, other values are ignored."""

    @property
    def is_registered(self) -> bool:
        """Return whether the task is registered with Isaac Lab, instead of a folder in `tasks/`."""
        return self.name == "isaaclab"


@dataclass
class SceneCfg:
    """Scene of a task on an engine."""

    task: TaskRef = field(default_factory=TaskRef)
    robot: RobotCfg = field(default_factory=RobotCfg)
    objects: dict[str, ObjectCfg] = field(default_factory=dict)
    """Meshes that replace the shapes of objects, by object: `objects.ketchup.mesh=bottle.obj`."""
    sim: SimCfg = field(default_factory=SimCfg)
    device: str = bounded(AUTO, rule=scene_device_fault)
    """Device of all tensors: `cpu`, `cuda`, `cuda:<index>`, or `auto` (CUDA if the engine and the machine have it)."""
    headless: bool = False
    """Isaac Lab: open no window. The other engines never open one."""
