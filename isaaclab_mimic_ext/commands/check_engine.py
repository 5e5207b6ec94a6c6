"""`mimic check-engine`: check an engine against the contract of all engines."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from isaaclab_mimic_ext.checks.engine import KEPT, Bench, RuleResult, check_engine
from isaaclab_mimic_ext.command_lines import program
from isaaclab_mimic_ext.config import CheckEngineCfg, SimCfg
from isaaclab_mimic_ext.config.compose import load_task
from isaaclab_mimic_ext.envs.external import PAGE, create_env, is_external, load_engine
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import InvalidEngine


def main(cfg: CheckEngineCfg) -> list[RuleResult]:
    """Check all rules and print one line per rule.

    Raises:
        ConfigError: the engine or the task is not found, or the engine lacks a method.
        InvalidEngine: a rule is violated.
    """
    task = load_task(cfg.task_name, next(iter(program.config_dirs), None))
    results = check_engine(Bench(_maker(cfg, task), task, task.config.events))
    print(json.dumps([asdict(result) for result in results], indent=2) if cfg.json else _as_text(results))
    num_kept = sum(result.outcome == KEPT for result in results)
    if num_kept < len(results):
        raise InvalidEngine(f"{cfg.engine}: keeps {num_kept} of {len(results)} rules; {PAGE} explains them")
    return results


def _maker(cfg: CheckEngineCfg, task: Any) -> Callable[[int], Any]:
    events = task.config.events
    if is_external(cfg.engine):
        load_engine(cfg.engine)
        # Without the checks at the start of a run, so that a fault is reported by its rule.
        return lambda num_envs: create_env(cfg.engine, task, events, num_envs, cfg.device)
    sim = SimCfg(engine=cfg.engine, num_threads=1)
    return lambda num_envs: make_env(task, sim, events, num_envs, cfg.device)


def _as_text(results: list[RuleResult]) -> str:
    width = max(len(result.rule) for result in results)
    lines = [f"  {result.outcome:8}  {result.rule:{width}}  {result.fault or ''}".rstrip() for result in results]
    num_kept = sum(result.outcome == KEPT for result in results)
    return "\n".join((*lines, f"{num_kept} of {len(results)} rules kept"))
