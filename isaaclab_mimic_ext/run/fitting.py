"""Environments that fit into memory, with what they record."""

import logging
from contextlib import ExitStack
from dataclasses import replace

from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import choose_engine
from isaaclab_mimic_ext.envs.memory import check_memory
from isaaclab_mimic_ext.errors import TooManyEnvs
from isaaclab_mimic_ext.run.build import build_planner, load_pool, start_env
from isaaclab_mimic_ext.run.recorder import bytes_per_env
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

MAX_UNCHECKED_ENVS = 10_000
"""Above this number of environments, memory is checked before the environments are created, which takes minutes."""


def start_fitting_env(cfg: GenerateCfg) -> tuple[MimicEnv, SourcePool]:
    """Create the envs of a run and the pool of its source demos. Without a given number, the envs are as many as fit.

    Isaac Lab can create envs only once per process, so their number is not reduced there.

    Raises:
        TooManyEnvs: the given number does not fit.
    """
    can_be_fewer, num_envs = cfg.num_envs is None and cfg.sim.engine != "isaaclab", cfg.batch_size()
    while True:
        try:
            return _start(replace(cfg, num_envs=num_envs))
        except TooManyEnvs as error:
            if not can_be_fewer or error.max_envs < 1:
                raise
            num_envs = error.max_envs
            log.info("Using %s: %s", counted(num_envs, "env"), str(error).partition(": ")[2])


def _start(cfg: GenerateCfg) -> tuple[MimicEnv, SourcePool]:
    check_memory_before_creation(cfg)
    env = start_env(cfg)
    with ExitStack() as after_failure:
        after_failure.callback(env.close)
        pool = load_pool(cfg, env)
        check_envs_fit(cfg, env, pool)
        after_failure.pop_all()
    return env, pool


def check_envs_fit(cfg: GenerateCfg, env: MimicEnv, pool: SourcePool, num_envs: int | None = None) -> None:
    """Check that the recording buffers of `num_envs` environments (None: of those in `env`) fit into free memory.

    Raises:
        ConfigError: the buffers do not fit.
    """
    horizon = build_planner(cfg, env, pool).horizon
    check_memory(num_envs or env.num_envs, bytes_per_env(env, horizon), "what they record", env.device)


def check_memory_before_creation(cfg: GenerateCfg) -> None:
    """Check that a large number of environments fits into free memory, before the minutes that creating them takes.

    A single environment is created to measure its memory. Isaac Lab can create environments only once per process, so
    for Isaac Lab there is no check.

    Raises:
        ConfigError: the environments do not fit.
    """
    if cfg.batch_size() <= MAX_UNCHECKED_ENVS or choose_engine(cfg.sim, cfg.task.name)[0] == "isaaclab":
        return
    env = start_env(replace(cfg, num_envs=1))
    try:
        check_envs_fit(cfg, env, load_pool(cfg, env), cfg.num_envs)
    finally:
        env.close()
