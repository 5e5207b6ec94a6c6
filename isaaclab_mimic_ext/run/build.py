"""Build the parts of a generation run from its configuration: environment, source pool, planner, recorder, generator."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, overload

import torch
from omegaconf import OmegaConf

from isaaclab_mimic_ext.config import DataGenConfig, GenerateCfg, MimicEnvCfg, SubTaskConfig
from isaaclab_mimic_ext.demos.pool import SourcePool, build_pool
from isaaclab_mimic_ext.demos.source import SourceDemo, load_source_demos
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import choose_engine, config_of, make_scene
from isaaclab_mimic_ext.envs.memory import check_memory
from isaaclab_mimic_ext.envs.panda.kinematics import HAND_BOXES, MAX_REACH, SHOULDER_HEIGHT, WRIST
from isaaclab_mimic_ext.envs.rendering import with_cameras
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError, TaskSpecError
from isaaclab_mimic_ext.plan.constraints import build_constraints
from isaaclab_mimic_ext.plan.motion import BoxPlanner, Workspace, hand_boxes
from isaaclab_mimic_ext.plan.motion_geometry import Boxes, Speed
from isaaclab_mimic_ext.plan.planner import TrialPlanner
from isaaclab_mimic_ext.plan.subtasks import build_table, check_noise
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.episodes import Output
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.ledger import TrialLedger
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder, bytes_per_env, episode_format
from isaaclab_mimic_ext.run.session import RunSession
from isaaclab_mimic_ext.run.watch import TrialWatch
from isaaclab_mimic_ext.run.writer import EpisodeWriter
from isaaclab_mimic_ext.task.definition import Task, load_task

MANY_ENVS = 10_000
"""Number of environments from which creating them takes so long that memory is checked before."""
MAX_HEIGHT = 0.60
"""Of an end effector on its way, above the table [m]."""


def start_env(cfg: GenerateCfg) -> MimicEnv:
    """The env of a run, reset once: that shows whether the scene has room, and what there is to record.

    Raises:
        SimulatorUnavailable: its engine is not installed, or nothing can draw what its cameras see.
        ConfigError: its objects cannot be placed, or it lacks what the configuration asks of it.
    """
    env = make_scene(cfg, cfg.num_envs)
    # Isaac Lab's envs have cameras of their own, among their observations.
    if cfg.enable_cameras and env.env_args().get("engine") != "isaaclab":
        env = with_cameras(env, load_task(cfg.task.name))
    first_reset(env, cfg.datagen_config)
    return env


def first_reset(env: MimicEnv, config: DataGenConfig) -> None:
    """Reset every environment: shows whether the scene has room for its objects, and what there is to record.

    Raises:
        ConfigError: the objects cannot be placed, or the environment lacks what the settings ask of it.
    """
    every_env = torch.arange(env.num_envs, device=env.device)
    env.reset(every_env, Draws(config.seed, every_env))
    check_navigation(config, env)


@dataclass(frozen=True)
class SourceDemos(Sequence[SourceDemo]):
    """The annotated demonstrations of a file, checked against an environment and its task.

    Attributes:
        path: the file, in Isaac Lab's layout with `obs/datagen_info`.
        demos: its demonstrations, in natural order of their names.
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


def load_demos(path: str | Path, env: MimicEnv, use_skillgen: bool | None = None) -> SourceDemos:
    """Read annotated source demonstrations, and check that trials in `env` can be generated from them.

    Args:
        path: a file that `annotate`, Isaac Lab Mimic or `import_mimicgen` wrote.
        env: an environment of `make_env`; its task says which objects and signals are needed.
        use_skillgen: read the subtask start signals too, for SkillGen; None: if the task uses it.

    Raises:
        SourceDataError: the file is missing, damaged, not annotated, or made for other objects or actions.
        TaskSpecError: subtask boundaries of a demo collide under the offset ranges.
    """
    task = config_of(env)
    uses_skillgen = task.datagen_config.use_skillgen if use_skillgen is None else use_skillgen
    task = replace(task, datagen_config=replace(task.datagen_config, use_skillgen=uses_skillgen))
    demos = SourceDemos(Path(path), tuple(_read_demos(path, task, env)))
    build_source_pool(task, env, demos)
    return demos


def task_of(env: MimicEnv, cfg: GenerateCfg) -> Task:
    """The task of an environment of ours."""
    task: Task | None = getattr(env, "task", None)
    return load_task(cfg.task.name) if task is None else task


def load_pool(cfg: GenerateCfg, env: MimicEnv) -> SourcePool:
    """The source demonstrations of `input_file`, checked against the environment and the subtasks.

    Raises:
        SourceDataError: the file does not fit this task.
        TaskSpecError: boundaries collide under the offset ranges, or the noise does not fit the environment's actions.
    """
    check_noise(_subtasks(cfg, env), env.pose_dims)
    return build_source_pool(cfg, env, _read_demos(cfg.input_file, cfg, env))


def _read_demos(path: str | Path, cfg: MimicEnvCfg, env: MimicEnv) -> list[SourceDemo]:
    subtasks = _subtasks(cfg, env)
    boundary_signals = [name for configs in subtasks.values() for name in _signals(configs[:-1])]
    return load_source_demos(
        path,
        env.eef_names,
        env.object_names,
        boundary_signals,
        env.action_dim,
        env.env_args().get("action"),
        start_signal_names(cfg.datagen_config, subtasks),
    )


def build_source_pool(cfg: MimicEnvCfg, env: MimicEnv, demos: Sequence[SourceDemo]) -> SourcePool:
    """The pool of source demonstrations on the environment's device.

    Raises:
        SourceDataError: a subtask's signal does not mark its end or start in some demo.
        TaskSpecError: boundaries collide under the offset ranges, or the noise does not fit the environment's actions.
    """
    subtasks = _subtasks(cfg, env)
    check_noise(subtasks, env.pose_dims)
    use_skillgen = cfg.datagen_config.use_skillgen
    needed = set(start_signal_names(cfg.datagen_config, subtasks))
    if missing := needed.difference(*(demo.subtask_start_signals for demo in demos[:1])):
        raise SourceDataError(
            f"{demos[0].place}: start signals {', '.join(sorted(missing))} were not read; load_demos(..., use_skillgen=True)"
        )
    return build_pool(demos, subtasks, env.object_names, env.actions_to_gripper_actions, env.device, use_skillgen)


def build_generator(cfg: GenerateCfg, env: MimicEnv, pool: SourcePool, session: RunSession) -> Generator:
    """A generator ready to run, or to go on, with the trials of earlier sessions in its ledger.

    Raises:
        OutputError: a dataset cannot be created.
    """
    folder = session.folder
    planner = build_planner(cfg, env, pool)
    watch = TrialWatch(env, cfg.datagen_config, term_signals(cfg, env), planner.failure_messages)
    ledger, outcomes = TrialLedger(cfg.datagen_config), session.outcomes(watch.reasons)
    ledger.restore(outcomes.trials, outcomes.reason)
    output = Output(
        path=folder.demos,
        failed_path=folder.failed_demos if cfg.datagen_config.generation_keep_failed else None,
        attributes={"source_file": cfg.input_file, "source_demo_names": list(pool.names), "config": config_yaml(cfg)},
        overwrite=True,  # The session has made sure that what is there is this run's.
        store_path=folder.store,
        lock=session.lock,
        elapsed=session.elapsed,
        facts={"trials": _facts(cfg, env, pool)},
        **asdict(cfg.recorder),
    )
    recorder = EpisodeRecorder(env, planner.horizon, EpisodeWriter(output, episode_format(env)))
    return Generator(env, planner, recorder, ledger, watch, cfg.datagen_config, session.elapsed)


def build_planner(cfg: GenerateCfg, env: MimicEnv, pool: SourcePool) -> TrialPlanner:
    """The planner of the configured subtasks and constraints."""
    subtasks = _subtasks(cfg, env)
    table = build_table(subtasks, env.object_names, env.pose_dims, env.device)
    constraints = build_constraints(cfg.task_constraint_configs, subtasks, env.device)
    motion_planner = None
    if cfg.datagen_config.use_skillgen:
        ramp_steps = cfg.datagen_config.transit_ramp_steps
        motion_planner = build_motion_planner(task_of(env, cfg), env.device, ramp_steps)
    return TrialPlanner(pool, table, constraints, cfg.datagen_config, env.num_envs, motion_planner)


def term_signals(cfg: GenerateCfg, env: MimicEnv) -> list[list[str | None]]:
    """The term signal of every subtask, by end effector in the env's order; None where the env does not tell it."""
    told = env.failure_conditions()
    return [
        [config.subtask_term_signal if config.subtask_term_signal in told else None for config in configs]
        for configs in _subtasks(cfg, env).values()
    ]


def _facts(cfg: GenerateCfg, env: MimicEnv, pool: SourcePool) -> dict[str, Any]:
    """What the records of trials speak of only by index."""
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
    """In the order that the env has its end effectors in."""
    return {eef_name: cfg.subtask_configs[eef_name] for eef_name in env.eef_names}


def _signals(configs: list[SubTaskConfig]) -> list[str]:
    return [config.subtask_term_signal for config in configs if config.subtask_term_signal is not None]


def build_motion_planner(task: Task, device: torch.device, ramp_steps: int = 8) -> BoxPlanner:
    """The planner of ways between the objects of a task, for its arms; `ramp_steps`: `transit_ramp_steps`.

    Raises:
        TaskSpecError: an object has no bounding box.
    """
    for obj in task.objects:
        if not all(half > 0 for half in obj.box_half_size):
            raise TaskSpecError(
                f"task '{task.name}': object '{obj.name}' has no height that ways could pass over: its box is "
                f"{obj.box_half_size}; give its SceneObject a half_size and a box_center, or set use_skillgen=false"
            )
    center, half_size = zip(*((obj.box_center, obj.box_half_size) for obj in task.objects), strict=True)
    objects = Boxes(torch.tensor(center, device=device), torch.tensor(half_size, device=device))
    base = torch.tensor([arm.base_pos for arm in task.arms], device=device)
    shoulder = base + torch.tensor([0.0, 0.0, SHOULDER_HEIGHT], device=device)
    workspace = Workspace(shoulder, WRIST, MAX_REACH, MAX_HEIGHT)
    return BoxPlanner(objects, hand_boxes(device, HAND_BOXES), workspace, speed=Speed(window=ramp_steps))


def start_signal_names(config: DataGenConfig, subtasks: dict[str, list[SubTaskConfig]]) -> list[str]:
    """The start signals that source demos must have."""
    if not config.use_skillgen:
        return []
    return [c.subtask_term_signal for configs in subtasks.values() for c in configs if c.subtask_term_signal is not None]


def check_navigation(config: DataGenConfig, env: MimicEnv) -> None:
    """Refuse to wait for a base that the env says nothing of.

    Raises:
        ConfigError: it has no navigation state.
    """
    if config.use_navigation_controller and env.get_navigation_state() is None:
        raise ConfigError(
            "datagen_config.use_navigation_controller: true, but this env has no navigation state "
            "(get_navigation_state() is None); set it to false, or use an env whose base is driven by a controller"
        )


def check_envs_fit(env: MimicEnv, pool: SourcePool, num_envs: int | None = None) -> None:
    """Refuse more environments than memory has room for; `num_envs`: of `env`, unless given.

    Raises:
        ConfigError: their buffers do not fit.
    """
    # The longest source demo stands for the horizon, which only a plan tells.
    check_memory(num_envs or env.num_envs, bytes_per_env(env, int(pool.lengths.max())), "what they record", env.device)


def check_room_for_many(cfg: GenerateCfg) -> None:
    """Refuse more environments than memory has room for, before minutes pass in creating them: one shows what they take.

    Isaac Lab creates environments only once per process, so there it is not checked.

    Raises:
        ConfigError: they do not fit.
    """
    if cfg.num_envs <= MANY_ENVS or choose_engine(cfg.sim, cfg.task.name)[0] == "isaaclab":
        return
    env = start_env(replace(cfg, num_envs=1))
    try:
        check_envs_fit(env, load_pool(cfg, env), cfg.num_envs)
    finally:
        env.close()


def config_yaml(cfg: GenerateCfg) -> str:
    """The configuration as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(asdict(cfg)))
