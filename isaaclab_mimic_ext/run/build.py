"""Build the parts of a generation run from its configuration: environment, source pool, planner, recorder, generator."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from omegaconf import OmegaConf

from isaaclab_mimic_ext.config import DataGenConfig, GenerateCfg, MimicEnvCfg, SubTaskConfig
from isaaclab_mimic_ext.config.cameras import CamerasCfg
from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.config.recorded_task import check_recorded_task
from isaaclab_mimic_ext.config.task import subtask_names
from isaaclab_mimic_ext.demos.boundaries import subtask_ends
from isaaclab_mimic_ext.demos.grippers import check_convention
from isaaclab_mimic_ext.demos.pool import SourcePool, build_pool
from isaaclab_mimic_ext.demos.skills import skill_spans
from isaaclab_mimic_ext.demos.source import SourceDemo, load_source_demos
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.camera_observations import add_cameras
from isaaclab_mimic_ext.envs.factory import choose_engine, config_of, make_scene
from isaaclab_mimic_ext.envs.object_sizes import SCALE
from isaaclab_mimic_ext.envs.panda.kinematics import HAND_BOXES, MAX_REACH, SHOULDER_HEIGHT, WRIST
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError, TaskSpecError, choices
from isaaclab_mimic_ext.files.hdf5 import open_hdf5
from isaaclab_mimic_ext.files.selection import Chosen
from isaaclab_mimic_ext.files.stream import read_env_args
from isaaclab_mimic_ext.files.subtasks import NAMES
from isaaclab_mimic_ext.plan.constraints import build_constraints
from isaaclab_mimic_ext.plan.motion import BoxPlanner, Workspace, hand_boxes
from isaaclab_mimic_ext.plan.motion_geometry import Boxes, Speed
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.plan.subtasks import build_table, check_noise
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.block import first_trial, limits_of, run_rules
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.object_boxes import source_boxes
from isaaclab_mimic_ext.run.provenance import provenance
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder, episode_format
from isaaclab_mimic_ext.run.robot_reach import report_reach
from isaaclab_mimic_ext.run.run_output import RunContents, open_run_writer
from isaaclab_mimic_ext.run.session import RunSession
from isaaclab_mimic_ext.run.watch import TrialWatch
from isaaclab_mimic_ext.task.definition import Task, graspable_radii, load_task

MAX_HEIGHT = 0.60
"""Maximum height of an end effector above the table during a transit [m]."""


def start_env(cfg: GenerateCfg) -> MimicEnv:
    """Create the environment of a run, and reset it once (`first_reset`).

    Raises:
        SimulatorUnavailable: the engine is not installed, or the images of cameras cannot be rendered.
        ConfigError: the objects cannot be placed, or the environment does not support the configuration.
    """
    # Environments of Isaac Lab already have their cameras among their observations.
    adds_cameras = cfg.enable_cameras and choose_engine(cfg.sim, cfg.task.name)[0] != "isaaclab"
    if cfg.cameras != CamerasCfg() and not adds_cameras:
        raise ConfigError("cameras: must not be set with Isaac Lab, whose envs have their own cameras; omit it")
    env = make_scene(cfg, cfg.batch_size())
    if adds_cameras:
        env = add_cameras(env, load_task(cfg.task.name, cfg.robot, cfg.objects), cfg.cameras)
    first_reset(env, cfg.datagen_config)
    return env


def first_reset(env: MimicEnv, config: DataGenConfig) -> None:
    """Reset every environment. Checks that the objects can be placed, and gives observations and states their layout.

    Raises:
        ConfigError: the objects cannot be placed, or the environment does not support the configuration.
    """
    every_env = torch.arange(env.num_envs, device=env.device)
    env.reset(every_env, Draws(config.seed, every_env))
    check_navigation(config, env)


@dataclass(frozen=True)
class SourceDemos(Sequence[SourceDemo]):
    """Annotated source demos of a file, checked against an environment and its task.

    Attributes:
        path: path of the file, in Isaac Lab's layout with `obs/datagen_info`.
        demos: source demos, in natural order of their names.
    """

    path: Path
    demos: tuple[SourceDemo, ...]

    @overload
    def __getitem__(self, index: int) -> SourceDemo: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[SourceDemo]: ...
    def __getitem__(self, index: int | slice) -> SourceDemo | Sequence[SourceDemo]:
        return self.demos[index]

    def __len__(self) -> int:
        return len(self.demos)


@renamed_arguments(path="input_file")
def load_demos(input_file: str | Path, env: MimicEnv, use_skillgen: bool | None = None, demos: Chosen = None) -> SourceDemos:
    """Read annotated source demos, and check that trials in `env` can be generated from them.

    Args:
        input_file: file written by `annotate`, Isaac Lab Mimic or `import_mimicgen`.
        env: environment of `make_env`; its task defines the required objects and signals.
        use_skillgen: also read the start signals of subtasks, for SkillGen; None: if the task uses SkillGen.
        demos: names of demos and masks, with `-` in front to exclude them; None: all demos.

    Raises:
        SourceDataError: the file is missing, damaged, not annotated, or made for different objects or actions.
        TaskSpecError: subtask boundaries of a demo collide under the offset ranges.
    """
    task = config_of(env)
    uses_skillgen = task.datagen_config.use_skillgen if use_skillgen is None else use_skillgen
    task = replace(task, datagen_config=replace(task.datagen_config, use_skillgen=uses_skillgen))
    loaded = SourceDemos(Path(input_file), tuple(_read_demos(input_file, task, env, demos)))
    build_source_pool(task, env, loaded)
    return loaded


def task_of(env: MimicEnv, cfg: GenerateCfg) -> Task:
    """Return the task of an environment of this package, or load the configured task."""
    task: Task | None = getattr(env, "task", None)
    return load_task(cfg.task.name, cfg.robot, cfg.objects) if task is None else task


def load_pool(cfg: GenerateCfg, env: MimicEnv) -> SourcePool:
    """Read the source demos of `input_file`, check them against environment and subtasks, and build their pool.

    Raises:
        SourceDataError: the file does not match the task.
        TaskSpecError: boundaries collide under the offset ranges, or the noise does not fit the environment's actions.
    """
    check_noise(_subtasks(cfg, env), env.pose_dims)
    demos = _read_demos(cfg.input_file, cfg, env, cfg.demos)
    if (task := getattr(env, "task", None)) is not None:
        report_reach(task, demos)
    return build_source_pool(cfg, env, demos)


def _check_own_sizes(path: str | Path, demos: Sequence[str], object_names: Sequence[str]) -> None:
    """Check that no source demo was recorded with another size of an object, to which segments are not adapted."""
    with open_hdf5(path) as file:
        for name, demo in ((name, demo) for name in object_names for demo in demos):
            leaf = f"data/{demo}/initial_state/rigid_object/{name}/{SCALE}"
            if leaf in file and bool((file[leaf][()] != 1.0).any()):
                rule = f"was recorded with another size of '{name}', to which segments are not adapted"
                raise SourceDataError(f"{path}: {demo}: {rule}; record without scale_range")


def _read_demos(path: str | Path, cfg: MimicEnvCfg, env: MimicEnv, chosen: Chosen) -> list[SourceDemo]:
    task: Task | None = getattr(env, "task", None)
    if task is not None:
        check_recorded_task(path, read_env_args(path), task)
    subtasks = _subtasks(cfg, env)

    def check(demo: SourceDemo) -> None:
        _check_boundaries(demo, subtasks, cfg.datagen_config.use_skillgen)
        if task is not None and cfg.datagen_config.check_gripper_convention:
            check_convention(demo, _gripper_commands(env, demo), graspable_radii(task), env.step_dt)

    boundary_signals = [name for configs in subtasks.values() for name in _signals(configs[:-1])]
    loaded = load_source_demos(
        path,
        env.eef_names,
        env.object_names,
        boundary_signals,
        env.action_dim,
        env.env_args().get("action"),
        start_signal_names(cfg.datagen_config, subtasks),
        chosen,
        check,
    )
    _check_own_sizes(path, [demo.name for demo in loaded], env.object_names)
    return loaded


def _gripper_commands(env: MimicEnv, demo: SourceDemo) -> dict[str, np.ndarray]:
    """End effector -> its gripper commands in the actions of a demo, (T, G)."""
    commands = env.actions_to_gripper_actions(torch.from_numpy(demo.actions).to(env.device)).cpu().numpy()
    return {eef: commands[:, index, : env.gripper_dims[index]] for index, eef in enumerate(env.eef_names)}


def _check_boundaries(demo: SourceDemo, subtasks: Mapping[str, list[SubTaskConfig]], use_skillgen: bool) -> None:
    """Check that the signals of a demo mark the ends (and the starts) of its subtasks.

    Raises:
        SourceDataError: a signal does not rise where it must.
    """
    for configs in subtasks.values():
        signals = [config.subtask_term_signal for config in configs]
        subtask_ends(demo, signals)
        if use_skillgen:
            skill_spans(demo, signals)


def build_source_pool(cfg: MimicEnvCfg, env: MimicEnv, demos: Sequence[SourceDemo]) -> SourcePool:
    """Build the pool of source demos on the device of the environment.

    Raises:
        SourceDataError: the signal of a subtask does not mark its end or start in a demo.
        TaskSpecError: boundaries collide under the offset ranges, or the noise does not fit the environment's actions.
    """
    subtasks = _subtasks(cfg, env)
    _check_fits(demos, subtasks, env)
    check_noise(subtasks, env.pose_dims)
    use_skillgen = cfg.datagen_config.use_skillgen
    needed = set(start_signal_names(cfg.datagen_config, subtasks))
    if missing := needed.difference(*(demo.subtask_start_signals for demo in demos[:1])):
        names = ", ".join(sorted(missing))
        raise SourceDataError(
            f"{demos[0].place}: start signals {names} were not read; use load_demos(..., use_skillgen=True)"
        )
    return build_pool(demos, subtasks, env.object_names, env.actions_to_gripper_actions, env.device, use_skillgen)


def _check_fits(demos: Sequence[SourceDemo], subtasks: Mapping[str, list[SubTaskConfig]], env: MimicEnv) -> None:
    """Check that source demos, which may have been read for a different environment, have the data that this one needs.

    Raises:
        SourceDataError: there are no demos, or data are missing.
    """
    if not demos:
        raise SourceDataError("demos: must not be empty; use load_demos(<file>, env)")
    demo = demos[0]
    signals = [name for configs in subtasks.values() for name in _signals(configs[:-1])]
    for kind, needed, present in (
        ("end effector", env.eef_names, demo.eef_pose),
        ("object", env.object_names, demo.object_pose),
        ("term signal", signals, demo.subtask_term_signals),
    ):
        if missing := [name for name in needed if name not in present]:
            raise SourceDataError(
                f"{demo.place}: {kind} '{missing[0]}' not found; {choices(missing[0], present)}; the demos were read for a "
                "different task; read them with load_demos(<file>, env)"
            )


def same_digest_with(engine: Any, device_type: str) -> str:
    """Runs that have the digest of a dataset, for its attribute: other runs with the same seed, on the same machine."""
    if device_type != "cpu":
        return "nothing: physics on a GPU has different bits in each run"
    return "the same command, without resume" if engine == "isaaclab" else "any num_envs, and after resume"


def build_generator(cfg: GenerateCfg, env: MimicEnv, pool: SourcePool, session: RunSession) -> Generator:
    """Build a generator that starts or resumes a run. Its ledger contains the trials of earlier sessions.

    Raises:
        OutputError: a dataset cannot be created.
    """
    rules = run_rules(cfg)
    planner = build_planner(cfg, env, pool)
    watch = TrialWatch(env, rules, term_signals(cfg, env), planner.failure_messages)
    ledger, outcomes = TrialLedger(rules, first_trial(cfg)), session.outcomes(watch.reasons)
    ledger.restore(outcomes.trials, outcomes.reason)
    writer = open_run_writer(cfg, run_contents(cfg, env, pool, watch.reasons), session)
    recorder = EpisodeRecorder(env, planner.horizon, writer, with_clean_actions=True)
    return Generator(env, planner, recorder, ledger, watch, rules, session.elapsed)


def run_contents(cfg: GenerateCfg, env: MimicEnv, pool: SourcePool, reasons: Sequence[str]) -> RunContents:
    """Collect what the files of a run contain, in addition to its episodes.

    Args:
        reasons: names of the reasons of failure, by code.
    """
    attributes = {
        "source_file": cfg.input_file,
        "source_demo_names": list(pool.names),
        "config": config_yaml(cfg),
        NAMES: json.dumps({eef: subtask_names(configs) for eef, configs in _subtasks(cfg, env).items()}),
        "same_digest_with": same_digest_with(env.env_args().get("engine"), env.device.type),
        "provenance": json.dumps(digests := provenance(Path(cfg.input_file), pool.names, cfg.task.name)),
    }
    facts = {"trials": _names_in_records(cfg, env, pool), "provenance": digests, "limits": limits_of(cfg.datagen_config)}
    return RunContents(tuple(reasons), episode_format(env, with_clean_actions=True), attributes, facts)


def build_planner(cfg: GenerateCfg, env: MimicEnv, pool: SourcePool) -> TrialPlanner:
    """Build the planner of the configured subtasks and constraints."""
    subtasks = _subtasks(cfg, env)
    table = build_table(subtasks, env.object_names, env.pose_dims, env.device)
    constraints = build_constraints(cfg.task_constraint_configs, subtasks, env.device)
    motion_planner = None
    if cfg.datagen_config.use_skillgen:
        ramp_steps = cfg.datagen_config.transit_ramp_steps
        motion_planner = build_motion_planner(task_of(env, cfg), env.device, ramp_steps)
    boxes = source_boxes(cfg, env) if cfg.datagen_config.adapt_to_scale else None
    return TrialPlanner(pool, table, constraints, cfg.datagen_config, env.num_envs, motion_planner, boxes)


def term_signals(cfg: GenerateCfg, env: MimicEnv) -> list[list[str | None]]:
    """Term signal of every subtask, by end effector in the env's order; None if the env does not report the signal."""
    reported = env.failure_conditions()
    return [
        [config.subtask_term_signal if config.subtask_term_signal in reported else None for config in configs]
        for configs in _subtasks(cfg, env).values()
    ]


def _names_in_records(cfg: GenerateCfg, env: MimicEnv, pool: SourcePool) -> dict[str, Any]:
    """Names of everything that the records of trials contain only as an index, and `step_dt` [s]."""
    subtasks = _subtasks(cfg, env)
    return {
        "eefs": list(env.eef_names),
        "objects": list(env.object_names),
        "signals": term_signals(cfg, env),
        "descriptions": [[config.description for config in configs] for configs in subtasks.values()],
        "object_refs": [[config.object_ref for config in configs] for configs in subtasks.values()],
        "source_demos": list(pool.names),
        "step_dt": env.step_dt,
    }


def _subtasks(cfg: MimicEnvCfg, env: MimicEnv) -> dict[str, list[SubTaskConfig]]:
    """Subtasks by end effector, in the order of the env's end effectors."""
    return {eef_name: cfg.subtask_configs[eef_name] for eef_name in env.eef_names}


def _signals(configs: list[SubTaskConfig]) -> list[str]:
    return [config.subtask_term_signal for config in configs if config.subtask_term_signal is not None]


def build_motion_planner(task: Task, device: torch.device, ramp_steps: int = 8) -> BoxPlanner:
    """Build the planner of transits around the objects of a task.

    Args:
        ramp_steps: `datagen_config.transit_ramp_steps` [steps].

    Raises:
        TaskSpecError: the bounding box of an object is empty.
    """
    for obj in task.objects:
        if not all(half > 0 for half in obj.box_half_size):
            raise TaskSpecError(
                f"task '{task.name}': object '{obj.name}': transits require a bounding box with half sizes > 0 "
                f"(got {obj.box_half_size}); set half_size and box_center of its SceneObject, or use_skillgen=false"
            )
    center, half_size = zip(*((obj.box_center, obj.box_half_size) for obj in task.objects), strict=True)
    objects = Boxes(torch.tensor(center, device=device), torch.tensor(half_size, device=device))
    base = torch.tensor([arm.base_pos for arm in task.arms], device=device)
    shoulder = base + torch.tensor([0.0, 0.0, SHOULDER_HEIGHT], device=device)
    workspace = Workspace(shoulder, WRIST, MAX_REACH, MAX_HEIGHT)
    return BoxPlanner(objects, hand_boxes(device, HAND_BOXES), workspace, speed=Speed(window=ramp_steps))


def start_signal_names(config: DataGenConfig, subtasks: dict[str, list[SubTaskConfig]]) -> list[str]:
    """Names of the start signals that source demos must contain."""
    if not config.use_skillgen:
        return []
    return [c.subtask_term_signal for configs in subtasks.values() for c in configs if c.subtask_term_signal is not None]


def check_navigation(config: DataGenConfig, env: MimicEnv) -> None:
    """Check that the environment reports the state of its base if trials must wait for the base.

    Raises:
        ConfigError: the environment has no navigation state.
    """
    if config.use_navigation_controller and env.get_navigation_state() is None:
        raise ConfigError(
            "datagen_config.use_navigation_controller: must be false, because this env has no navigation state "
            "(get_navigation_state() is None; got true); set it to false, or use an env whose base has a controller"
        )


def config_yaml(cfg: GenerateCfg) -> str:
    """Convert the configuration to YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(asdict(cfg)))


def config_of_values(values: Any) -> GenerateCfg:
    """Convert the configuration of a run, as read from the YAML of `config_yaml`, to its type.

    OmegaConf raises errors of many types for values of other versions.
    """
    eef_names = OmegaConf.select(values, "subtask_configs")
    schema = OmegaConf.structured(GenerateCfg(subtask_configs={name: [] for name in eef_names}))
    return OmegaConf.to_object(OmegaConf.merge(schema, values))  # type: ignore[return-value]
