"""The schema of a task, with Isaac Lab's field names and defaults (`isaaclab.envs.mimic_env_cfg`).

Values live in `conf/`; what is wrong with a value is said by `validate_task_cfg`.
"""

import re
from dataclasses import dataclass, field
from typing import Any, cast

from omegaconf import MISSING

GYM_ID = re.compile(r"([\w.]+:)?[\w.-]+-v\d+")
"""A name in Isaac Lab's registry, `Isaac-Stack-Cube-Franka-IK-Rel-Mimic-v0`, or `module:name` with what to import before."""


@dataclass
class DataGenConfig:
    """How trials are made and counted. Source: MimicGen's `experiment.generation`, Isaac Lab's `DataGenConfig`."""

    name: str = "demo"
    seed: int = 1
    generation_guarantee: bool = True
    """True: until `generation_num_trials` trials succeeded. False: that many trials."""
    generation_num_trials: int = 100
    generation_keep_failed: bool = False
    """Write failed trials too, to `demo_failed.hdf5`."""
    max_num_failures: int | None = 25
    """This many failures in a row, in trial order, end the run."""
    max_total_failures: int | None = None
    """This many failures altogether end the run."""
    max_trials: int | None = None
    """This many trials, successful or not, end the run."""
    max_time: float | None = None
    """So much time ends the run, that of earlier sessions included [h]."""
    min_success_rate: float | None = None
    """The run ends when its success rate is surely below this (0 to 1)."""
    generation_select_src_per_subtask: bool = True
    generation_select_src_per_arm: bool = False
    generation_transform_first_robot_pose: bool = False
    generation_interpolate_from_last_target_pose: bool = True
    num_final_hold_steps: int = 10
    """Steps at the last waypoint, without noise, before a trial is judged."""
    num_success_steps: int = 5
    """In each of the last so many steps success must be true (`success_rule=held`)."""
    success_rule: str = "held"
    """`held`, or `any_step` (one true step anywhere, as in Isaac Lab and MimicGen)."""
    compat_select: str = "mimic"
    """`mimic`, or `isaaclab` (keep the first choice for a whole trial unless `generation_select_src_per_arm`)."""
    stop_hopeless_trials: bool = False
    """End a trial as soon as its task knows that it cannot succeed any more."""
    action_noise_process: str = "white"
    """`white` (new at every step), or `ornstein_uhlenbeck` (correlated over time, of the same standard deviation)."""
    action_noise_correlation_steps: float = 10.0
    """Of `ornstein_uhlenbeck`: after so many steps the correlation has fallen to 1/e."""
    use_skillgen: bool = False
    """Plan the motion between segments instead of interpolating it; the demos need subtask start signals."""
    transit_ramp_steps: int = 8
    """Over so many steps a planned way speeds up, slows down and rounds its corners; 1: not at all."""
    use_navigation_controller: bool = False
    """Repeat the waypoint of end effector `body` until the env says that its navigation goal is reached."""
    max_navigation_wait_steps: int = 200
    """A trial that has waited longer than this for its base fails [steps]."""
    legacy_small_rotation: bool = False
    """Jump to the goal rotation where it is nearer than 0.05 rad, as Isaac Lab and MimicGen do."""


@dataclass
class SubTaskConfig:
    """One subtask of one end effector. Source: MimicGen's `task_spec`, Isaac Lab's `SubTaskConfig`."""

    object_ref: str | None = None
    """The object that the motion relates to; None: the segment is not moved."""
    subtask_term_signal: str | None = None
    """Its first rise ends the subtask; the last subtask needs none."""
    subtask_term_offset_range: tuple[int, int] = (0, 0)
    """Random shift of the end, both bounds included [steps]."""
    first_subtask_start_offset_range: tuple[int, int] = (0, 0)
    """Random shift of the start, first subtask only [steps]."""
    subtask_start_offset_range: tuple[int, int] = (0, 0)
    """Random shift of the start that SkillGen's start signal marks, both bounds included [steps]."""
    selection_strategy: str = "random"
    """`random`, `nearest_neighbor_object` or `nearest_neighbor_robot_distance`."""
    selection_strategy_kwargs: dict[str, Any] = field(default_factory=dict)
    """`nn_k` (3), `pos_weight` (1), `rot_weight` (1); `random` ignores them."""
    action_noise: Any = 0.03
    """Standard deviation, in the action's own units: one number, or one for every pose entry of the action."""
    num_interpolation_steps: int = 5
    num_fixed_steps: int = 0
    num_settle_steps_before_gripper: int = 0
    """Hold the target so long before the gripper's action changes, for the arm to come to rest [steps]."""
    apply_noise_during_interpolation: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        # OmegaConf hands out lists for tuples.
        self.subtask_term_offset_range = cast(tuple[int, int], tuple(self.subtask_term_offset_range))
        self.first_subtask_start_offset_range = cast(tuple[int, int], tuple(self.first_subtask_start_offset_range))
        self.subtask_start_offset_range = cast(tuple[int, int], tuple(self.subtask_start_offset_range))


@dataclass
class SubTaskConstraintConfig:
    """How two subtasks of different end effectors depend on each other. Source: Isaac Lab's `SubTaskConstraintConfig`."""

    eef_subtask_constraint_tuple: list[Any] = field(default_factory=list)
    """[[end effector, subtask index], [end effector, subtask index]]; `sequential`: the former, then the latter."""
    constraint_type: str = MISSING
    """`sequential`, or `coordination` (both move as in one source demo, and end together)."""
    sequential_min_time_diff: int = -1
    """-1: the latter starts when the former has finished. m >= 1: it waits m steps before its own end for that."""
    coordination_scheme: str = "replay"
    """How both paths are moved: `replay` (not at all), `transform` (with the object) or `translate` (its position only)."""
    coordination_scheme_pos_noise_scale: float = 0.0
    """Uniform noise on the common transform, up to so far along each axis [m]."""
    coordination_scheme_rot_noise_scale: float = 0.0
    """Uniform noise on the common transform, up to so far about each axis [rad]."""
    coordination_synchronize_start: bool = False
    """Both begin together."""


@dataclass
class EventCfg:
    """Randomization of one asset at a reset."""

    asset: str = MISSING
    pose_range: dict[str, list[float]] = field(default_factory=dict)
    """x, y [m] and yaw [rad]: [lowest, highest], relative to the object's default pose."""
    min_separation: float = 0.0
    """Free space about the object's footprint [m]."""
    joint_std: float = 0.0
    """Of a robot: standard deviation of the arm's joints about its home [rad]."""


@dataclass
class MimicEnvCfg:
    """A Mimic task: what is generated, from which subtasks, under which randomization."""

    datagen_config: DataGenConfig = field(default_factory=DataGenConfig)
    subtask_configs: dict[str, list[SubTaskConfig]] = field(default_factory=dict)
    all_subtasks: dict[str, Any] = field(default_factory=dict)
    """What every subtask of every end effector gets in place of its own value: `all_subtasks.action_noise=0.01`."""
    task_constraint_configs: list[SubTaskConstraintConfig] = field(default_factory=list)
    events: dict[str, EventCfg] = field(default_factory=dict)


@dataclass
class SimCfg:
    """Which engine runs the scene."""

    engine: str = "auto"
    """`auto`, `mujoco`, `kinematic` or `isaaclab`."""
    num_threads: int = 0
    """Physics threads of the embedded engines; 0: one a core."""
    physics: str = "default"
    """Isaac Lab's: `default` (as the env's configuration has it) or `newton` (needs no Isaac Sim)."""
    robot_usd: str | None = None
    """Isaac Lab: a local USD file of the robot in place of the one from NVIDIA's servers."""
    env: dict[str, Any] = field(default_factory=dict)
    """Isaac Lab: fields of the env's own configuration, as its scripts take them: `env.scene.env_spacing=3`."""
    launcher_args: list[str] = field(default_factory=list)
    """Isaac Lab: flags of its launcher, as they stood on the command line."""


@dataclass
class RecorderCfg:
    """How episodes are written."""

    compression: str = "none"
    """`none`, `lzf` or `gzip`."""
    format_version: int = 1
    """1: quaternions xyzw (Isaac Lab 3). 0: wxyz, no attribute (Isaac Lab 2.3)."""
    queue_megabytes: int = 256
    """Recorded episodes that may wait for the writer before generation waits too [MiB]."""


@dataclass
class TaskRef:
    """Which task is meant."""

    name: str = MISSING
    """A folder of `tasks/`; or `isaaclab`, any Mimic task that is registered with Isaac Lab."""
    id: str | None = None
    """Its gym id there."""

    @property
    def is_registered(self) -> bool:
        """Whether it is a task of Isaac Lab's registry, which is no folder of ours."""
        return self.name == "isaaclab"
