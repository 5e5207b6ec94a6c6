"""`scripts/replay_demos.py`: recorded actions once more, and what becomes of them."""

import json
import logging
from dataclasses import asdict
from typing import Any

import torch

from isaaclab_mimic_ext.commands.progress import ProgressBar
from isaaclab_mimic_ext.config import ReplayDemosCfg
from isaaclab_mimic_ext.datasets.engine import make_recorded_env, recorded_engine
from isaaclab_mimic_ext.datasets.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.datasets.playback import check_picture, write_states_video
from isaaclab_mimic_ext.datasets.replay import Replayed, replay_file, summary
from isaaclab_mimic_ext.datasets.replay_states import StateHistory
from isaaclab_mimic_ext.datasets.stream import read_facts
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.isaaclab.launch import launch
from isaaclab_mimic_ext.task import load_task

log = logging.getLogger(__name__)


def main(cfg: ReplayDemosCfg) -> list[Replayed]:
    """Replay a file's demos as configured, and report.

    Raises:
        UsageError: the file cannot be replayed on the engine asked for, or the video cannot be written.
    """
    facts, task = read_facts(cfg.input_file), None
    if cfg.video_file is not None:
        check_picture(cfg.video_file, ".mp4", cfg.overwrite)
        task = load_task(facts.env_args.get("task", facts.env_args["env_name"]))
    with open_hdf5(cfg.input_file) as file:
        names = demo_names(file)[: cfg.num_demos]
    num_envs = min(cfg.num_envs, len(names))
    if recorded_engine(facts.env_args, cfg.sim) == "isaaclab":
        cfg.sim = launch(cfg.sim, cfg.device, cfg.headless, enable_cameras=False)
    env = make_recorded_env(facts.env_args, cfg.sim, num_envs, torch.device(cfg.device))
    try:
        history = StateHistory(env, cfg.num_video_demos if cfg.video_file is not None else 0)
        results = _replay(cfg, env, names, history)
    finally:
        env.close()
    if cfg.video_file is not None and task is not None:
        write_states_video(history.demos(), cfg.video_file, task, overwrite=cfg.overwrite)
        log.info("Drew %s", cfg.video_file)
    report = {"path": cfg.input_file, "engine": env.env_args().get("engine"), **summary(results)}
    print(_as_json(report, results) if cfg.json else _as_text(report, results))
    return results


def _replay(cfg: ReplayDemosCfg, env: MimicEnv, names: list[str], history: StateHistory) -> list[Replayed]:
    results = []
    with ProgressBar("replaying", cfg.progress, log_period=None) as bar:
        for result in replay_file(env, cfg.input_file, names, cfg.num_success_steps, history.after_step):
            results.append(result)
            bar.update(len(results), len(names))
    return results


def _as_json(report: dict[str, Any], results: list[Replayed]) -> str:
    return json.dumps({**report, "demos": [asdict(result) for result in results]}, indent=2)


def _as_text(report: dict[str, Any], results: list[Replayed]) -> str:
    rate = f"{report['num_successes']} of {report['num_demos']} demos succeed ({report['success_rate']:.1%})"
    lines = [f"{report['path']}: replayed on {report['engine']}: {rate}"]
    if report["largest_object_error"] is not None:
        largest, mean = report["largest_object_error"], report["mean_object_error"]
        lines.append(f"  objects are off their recorded places by at most {largest:.2g} m (mean over demos {mean:.2g} m)")
    for result in results:
        if not result.success and result.recorded_success:
            error = "" if result.object_error is None else f", objects off by {result.object_error:.2g} m"
            lines.append(f"  {result.name}: recorded as a success, fails when replayed{error}")
    return "\n".join(lines)
