"""The schema of a task, with Isaac Lab's field names and defaults (`isaaclab.envs.mimic_env_cfg`).

Values live in `conf/`. `DataGenConfig` and `SubTaskConfig` are built from parts, since most commands read only some of their
fields: the schema of a command (`config.commands`) has the parts that it reads.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from omegaconf import MISSING

from isaaclab_mimic_ext.config.bounds import a_range, bounded

GYM_ID = re.compile(r"([\w.]+:)?[\w.-]+-v\d+")
"""A name in Isaac Lab's registry, `Isaac-Stack-Cube-Franka-IK-Rel-Mimic-v0`, or `module:name` with what to import before."""
BODY = "body"
"""The end effector that is a mobile base."""
SELECTION_STRATEGIES = ("random", "nearest_neighbor_object", "nearest_neighbor_robot_distance")
CONSTRAINT_TYPES = ("sequential", "coordination")
COORDINATION_SCHEMES = ("replay", "transform", "translate")
MAX_SEED = 2**64 - 1


@dataclass
class SeedCfg:
    """Random numbers."""

    seed: int = bounded(1, at_least=0, at_most=MAX_SEED)
    """Seed of the scenes, and in generation of everything random in a trial."""


@dataclass
class SuccessCfg:
    """The end of a trial that counts as success."""

    num_success_steps: int = bounded(5, at_least=1)
    """Number of last steps of a trial in each of which success must be true."""


@dataclass
class SuccessRuleCfg(SuccessCfg):
    """Success of a trial."""

    success_rule: str = bounded("held", choices=("held", "any_step"))
    """`held` (true in all of the last `num_success_steps`), or `any_step` (true in any, as in Isaac Lab and MimicGen)."""


@dataclass
class BudgetCfg:
    """Failures after which a run ends. Trials count in the order of their numbers."""

    max_num_failures: int | None = bounded(25, at_least=1, remedy="null disables the limit")
    """Number of failures in a row that ends the run."""
    max_total_failures: int | None = bounded(None, at_least=1, remedy="null disables the limit")
    """Total number of failures that ends the run."""
    max_trials: int | None = bounded(None, at_least=1, remedy="null disables the limit")
    """Number of trials, successful or not, that ends the run."""
    min_success_rate: float | None = bounded(None, above=0, at_most=1, remedy="null disables the limit")
    """The run ends as soon as its success rate is certainly below this (0 to 1)."""


@dataclass
class SelectionCfg:
    """Selection of source demos."""

    generation_select_src_per_subtask: bool = True
    """Select a source demo for each subtask. False: one for the whole trial."""
    generation_select_src_per_arm: bool = False
    """Let each end effector select its own source demo. False: the same demo for subtask i of all end effectors."""
    compat_select: str = bounded("mimic", choices=("mimic", "isaaclab"))
    """`mimic`, or `isaaclab` (keep the first choice for a whole trial unless `generation_select_src_per_arm`)."""
    use_skillgen: bool = False
    """Plan the motion between segments instead of interpolating it; the demos need subtask start signals."""


@dataclass
class DataGenConfig(SelectionCfg, BudgetCfg, SuccessRuleCfg, SeedCfg):
    """How trials are made and counted. Source: MimicGen's `experiment.generation`, Isaac Lab's `DataGenConfig`."""

    generation_guarantee: bool = True
    """Run until `generation_num_trials` trials have succeeded. False: run that many trials."""
    generation_num_trials: int = bounded(100, at_least=1, like=("num_demos", "num_episodes"))
    """Number of trials, see `generation_guarantee`."""
    generation_keep_failed: bool = False
    """Write failed trials too, to `demo_failed.hdf5`."""
    max_time: float | None = bounded(None, above=0, unit="h", remedy="null disables the limit")
    """Running time that ends the run, including earlier sessions [h]."""
    generation_transform_first_robot_pose: bool = False
    """Prepend the source demo's end effector pose to every segment, not only to the first of a trial."""
    generation_interpolate_from_last_target_pose: bool = True
    """Interpolate to a segment from the last target pose. False: from the pose that the end effector has reached."""
    num_final_hold_steps: int = bounded(10, at_least=0)
    """Number of steps at the last waypoint, without noise, before a trial is judged."""
    stop_hopeless_trials: bool = False
    """End a trial as soon as its task knows that it can no longer succeed."""
    action_noise_process: str = bounded("white", choices=("white", "ornstein_uhlenbeck"))
    """`white` (independent at every step), or `ornstein_uhlenbeck` (correlated over time, same standard deviation)."""
    action_noise_correlation_steps: float = bounded(10.0, above=0)
    """Number of steps after which the correlation of `ornstein_uhlenbeck` has fallen to 1/e."""
    transit_ramp_steps: int = bounded(8, at_least=1)
    """Number of steps over which a planned path accelerates, decelerates and rounds its corners; 1: not at all."""
    use_navigation_controller: bool = False
    """Repeat the waypoint of end effector `body` until the env reports that its navigation goal is reached."""
    max_navigation_wait_steps: int = bounded(200, at_least=0)
    """A trial that has waited longer than this for its base fails [steps]."""
    legacy_small_rotation: bool = False
    """Jump to the goal rotation where it is closer than 0.05 rad, as Isaac Lab and MimicGen do."""


def _noise_fault(value: Any) -> str | None:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    deviations = list(value) if is_list else [value]
    is_number = [isinstance(item, int | float) and not isinstance(item, bool) for item in deviations]
    if deviations and all(is_number) and all(0 <= item < math.inf for item in deviations):
        return None
    shown = deviations if is_list else value
    return f"must be a number >= 0, or a list with one for every pose entry of the action (got {shown!r})"


@dataclass
class SubTaskBoundsCfg:
    """Boundaries of a subtask."""

    subtask_term_signal: str | None = None
    """Signal whose first rise ends the subtask; the last subtask needs none."""
    subtask_term_offset_range: tuple[int, int] = bounded((0, 0), rule=a_range)
    """Range of the random shift of the end, both bounds included [steps]."""
    first_subtask_start_offset_range: tuple[int, int] = bounded((0, 0), rule=a_range)
    """Range of the random shift of the start, first subtask only [steps]."""
    subtask_start_offset_range: tuple[int, int] = bounded((0, 0), rule=a_range)
    """Range of the random shift of the start that SkillGen's start signal marks, both bounds included [steps]."""

    def __post_init__(self) -> None:
        # OmegaConf hands out lists for tuples.
        self.subtask_term_offset_range = cast(tuple[int, int], tuple(self.subtask_term_offset_range))
        self.first_subtask_start_offset_range = cast(tuple[int, int], tuple(self.first_subtask_start_offset_range))
        self.subtask_start_offset_range = cast(tuple[int, int], tuple(self.subtask_start_offset_range))

    @property
    def label(self) -> str:
        """Name of the subtask in messages; may be empty."""
        return self.subtask_term_signal or str(getattr(self, "description", ""))


@dataclass
class SubTaskObjectCfg:
    """Object of a subtask."""

    object_ref: str | None = None
    """Object that the motion is relative to; None: the segment is not transformed."""


@dataclass
class SubTaskDemoCfg(SubTaskBoundsCfg, SubTaskObjectCfg):
    """What a subtask demands of source demos: boundaries, selection, and how the gripper may move."""

    selection_strategy: str = bounded("random", choices=SELECTION_STRATEGIES)
    """`random`, `nearest_neighbor_object` or `nearest_neighbor_robot_distance`."""
    selection_strategy_kwargs: dict[str, Any] = field(default_factory=dict)
    """`nn_k` (3), `pos_weight` (1), `rot_weight` (1); `random` ignores them."""
    num_settle_steps_before_gripper: int = bounded(0, at_least=0)
    """Number of steps to hold the target before the gripper's action changes, for the arm to come to rest."""
    description: str = ""
    """The subtask in words."""


@dataclass
class SubTaskConfig(SubTaskDemoCfg):
    """One subtask of one end effector. Source: MimicGen's `task_spec`, Isaac Lab's `SubTaskConfig`."""

    action_noise: Any = bounded(0.03, rule=_noise_fault)
    """Standard deviation in the action's own units: one number, or one for every pose entry of the action."""
    num_interpolation_steps: int = bounded(5, at_least=0)
    """Number of waypoints interpolated from the current pose to the start of the segment."""
    num_fixed_steps: int = bounded(0, at_least=0)
    """Number of steps at the first pose of the segment before it is followed."""
    apply_noise_during_interpolation: bool = False
    """Add noise to interpolated waypoints too."""


def _time_diff_fault(value: int) -> str | None:
    if value == -1 or value >= 1:
        return None
    return (
        f"must be -1 (the latter starts when the former has finished) or >= 1 (it waits this many steps before its end) "
        f"(got {value})"
    )


@dataclass
class SubTaskConstraintConfig:
    """How two subtasks of different end effectors depend on each other. Source: Isaac Lab's `SubTaskConstraintConfig`."""

    eef_subtask_constraint_tuple: list[Any] = field(default_factory=list)
    """[[end effector, subtask index], [end effector, subtask index]]; `sequential`: the former, then the latter."""
    constraint_type: str = bounded(MISSING, choices=CONSTRAINT_TYPES)
    """`sequential`, or `coordination` (both move as in one source demo, and end together)."""
    sequential_min_time_diff: int = bounded(-1, rule=_time_diff_fault)
    """-1: the latter starts when the former has finished. m >= 1: it waits m steps before its own end for that."""
    coordination_scheme: str = bounded("replay", choices=COORDINATION_SCHEMES)
    """How both paths are moved: `replay` (not at all), `transform` (with the object) or `translate` (its position only)."""
    coordination_scheme_pos_noise_scale: float = bounded(0.0, at_least=0)
    """Largest uniform noise on the common transform, along each axis [m]."""
    coordination_scheme_rot_noise_scale: float = bounded(0.0, at_least=0)
    """Largest uniform noise on the common transform, about each axis [rad]."""
    coordination_synchronize_start: bool = False
    """Both begin together."""


@dataclass
class EventCfg:
    """Randomization of one asset at a reset."""

    asset: str = MISSING
    """Name of an object or a robot of the scene."""
    pose_range: dict[str, list[float]] = field(default_factory=dict)
    """x, y [m] and yaw [rad]: [lowest, highest], relative to the object's default pose."""
    min_separation: float = bounded(0.0, at_least=0)
    """Free space around the object's footprint [m]."""
    joint_std: float = bounded(0.0, at_least=0)
    """Robots only: standard deviation of the arm's joints around its home position [rad]."""


@dataclass
class EventsCfg:
    """Randomization at resets."""

    events: dict[str, EventCfg] = field(default_factory=dict)
    """Randomization of each asset, by the name of the event."""


@dataclass
class MimicEnvCfg(EventsCfg):
    """A Mimic task: what is generated, from which subtasks, under which randomization."""

    datagen_config: DataGenConfig = field(default_factory=DataGenConfig)
    subtask_configs: dict[str, list[SubTaskConfig]] = field(default_factory=dict)
    """Subtasks of each end effector."""
    all_subtasks: dict[str, Any] = field(default_factory=dict)
    """Values for every subtask of every end effector, in place of its own: `all_subtasks.action_noise=0.01`."""
    task_constraint_configs: list[SubTaskConstraintConfig] = field(default_factory=list)
    """Constraints between subtasks of different end effectors."""


@dataclass
class SimCfg:
    """The engine that runs the scene."""

    engine: str = "auto"
    """`auto`, `mujoco`, `kinematic` or `isaaclab`."""
    num_threads: int = bounded(0, at_least=0, remedy="0 means one per core")
    """Physics threads of the embedded engines; 0: one per core."""
    physics: str = "default"
    """Isaac Lab: `default` (as the env's configuration has it) or `newton` (needs no Isaac Sim)."""
    robot_usd: str | None = None
    """Isaac Lab: a local USD file of the robot in place of the one from NVIDIA's servers."""
    env: dict[str, Any] = field(default_factory=dict)
    """Isaac Lab: fields of the env's own configuration, as its scripts take them: `env.scene.env_spacing=3`."""
    launcher_args: list[str] = field(default_factory=list)
    """Isaac Lab: flags of its launcher, as they stood on the command line."""


@dataclass
class FileCfg:
    """Layout of a written dataset."""

    compression: str = bounded("none", choices=("none", "lzf", "gzip"))
    """`none`, `lzf` or `gzip`."""
    format_version: int = bounded(1, choices=(0, 1), remedy="0 is the format of Isaac Lab 2.3, 1 that of Isaac Lab 3")
    """1: quaternions xyzw (Isaac Lab 3). 0: wxyz, no attribute (Isaac Lab 2.3)."""


@dataclass
class RecorderCfg(FileCfg):
    """How episodes are written."""

    queue_megabytes: int = bounded(256, at_least=1)
    """Recorded episodes that may wait for the writer before generation waits too [MiB]."""


@dataclass
class TaskRef:
    """The task."""

    name: str = MISSING
    """A folder of `tasks/`; or `isaaclab`, any Mimic task that is registered with Isaac Lab."""
    id: str | None = None
    """Its gym id there."""

    @property
    def is_registered(self) -> bool:
        """Whether it is a task of Isaac Lab's registry, which is no folder of ours."""
        return self.name == "isaaclab"
