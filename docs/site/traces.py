"""Steps of real trials, for the pictures of the documentation."""

# T steps, E end effectors, O objects

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.demos.pool import SourcePool
from isaaclab_mimic_ext.envs.base import NestedTensors
from isaaclab_mimic_ext.run.build import build_generator, load_pool, start_env
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.session import RunFolder, identity_of, open_run


@dataclass
class Span:
    """Steps of one trial in one env, the last step excluded."""

    env: int
    trial: int
    start: int
    end: int
    success: bool = False
    has_ended: bool = False


@dataclass
class Trace:
    """Steps of one trial.

    Attributes:
        eef_pos: (T, E, 3), env frame [m].
        object_pose: (T, O, 4, 4), env frame [m].
        subtask: (T, E).
        moves: (T, E) bool, the end effector has a segment.
        interpolates: (T, E) bool, the waypoint is interpolated.
        waits: (T, E) bool, the end effector has a segment and repeats its waypoint.
        states: state of the scene before the first step, and after each.
        chosen: (E, S), source demo of each subtask.
        pool: source demos.
    """

    eef_pos: np.ndarray
    object_pose: np.ndarray
    subtask: np.ndarray
    moves: np.ndarray
    interpolates: np.ndarray
    waits: np.ndarray
    states: list[NestedTensors]
    chosen: np.ndarray
    pool: SourcePool


@contextmanager
def _generator(overrides: list[str]) -> Iterator[tuple[Generator, SourcePool]]:
    """Yield a generator that is ready to run. Its files are deleted at the end."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        cfg = load_config("generate", [*overrides, f"output_dir={temporary}"])
        env = start_env(cfg)
        pool = load_pool(cfg, env)
        try:
            identity = identity_of(asdict(cfg), Path(cfg.input_file))
            with open_run(RunFolder(Path(temporary)), identity, resume=False) as session:
                generator = build_generator(cfg, env, pool, session)
                yield generator, pool
                generator.close()
        finally:
            env.close()


def trace_trial(*overrides: str) -> Trace:
    """Run trial 0 with one env and return its steps."""
    rows: dict[str, list[np.ndarray]] = {}
    one_trial = ("datagen_config.generation_guarantee=false", "datagen_config.generation_num_trials=1")
    with _generator(["num_envs=1", *one_trial, *overrides]) as (generator, pool):
        generator.begin_trials()
        env, planner = generator.env, generator.planner
        states = [_first(env.get_state())]
        while generator.lanes.num_active:
            begun, subtask, cursor = (_row(each) for each in (planner.begun, planner.subtask, planner.segments.cursor))
            chosen = _row(planner.chosen_demos)
            num_interpolation = _row(planner.segments.num_interpolation)
            generator.step()
            now = _row(planner.segments.cursor)
            step = {
                "eef_pos": _row(env.eef_pose)[:, :3, 3],
                "object_pose": _row(env.object_pose),
                "subtask": subtask,
                "moves": begun,
                "interpolates": begun & (cursor + 1 < num_interpolation),
                "waits": begun & (now == cursor) & (subtask == _row(planner.subtask)),
            }
            for name, value in step.items():
                rows.setdefault(name, []).append(value)
            states.append(_first(env.get_state()))
        return Trace(**{name: np.array(values) for name, values in rows.items()}, states=states, chosen=chosen, pool=pool)


def trace_lanes(*overrides: str) -> tuple[list[Span], int]:
    """Run trials, and return the steps in which each of them ran, and the number of trials that form the result."""
    spans: dict[int, Span] = {}
    with _generator(list(overrides)) as (generator, _):
        ledger = generator.ledger
        note_end = ledger.end

        def end(trials: np.ndarray, reason: np.ndarray) -> None:
            for trial, code in zip(trials.tolist(), reason.tolist(), strict=True):
                spans[trial].success, spans[trial].has_ended = code < 0, True
            note_end(trials, reason)

        ledger.end = end  # type: ignore[method-assign]
        generator.begin_trials()
        while generator.lanes.num_active and not ledger.is_over:
            step = generator.lanes.num_steps
            for env in np.flatnonzero(generator.lanes.active).tolist():
                trial = int(generator.lanes.trial[env])
                spans.setdefault(trial, Span(env, trial, step, step)).end = step + 1
            generator.step()
        return list(spans.values()), ledger.committed


def _row(values: torch.Tensor) -> np.ndarray:
    return values[0].cpu().numpy().copy()


def _first(state: NestedTensors) -> NestedTensors:
    return trees.take(trees.map(lambda each: each.clone(), state), 0)
