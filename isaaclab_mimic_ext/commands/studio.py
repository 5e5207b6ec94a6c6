"""`mimic studio`: record source demos on a page in the browser."""

import logging
import queue
from dataclasses import asdict
from pathlib import Path

import torch

from isaaclab_mimic_ext.command_lines import program
from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import DataGenConfig, StudioCfg
from isaaclab_mimic_ext.config.commands import BROWSER
from isaaclab_mimic_ext.config.next_step import next_command
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_scene
from isaaclab_mimic_ext.errors import ConfigError, MimicError
from isaaclab_mimic_ext.run.record import record
from isaaclab_mimic_ext.studio.device import Phase
from isaaclab_mimic_ext.studio.folder import StudioFolder
from isaaclab_mimic_ext.studio.record_tab import RecordTab
from isaaclab_mimic_ext.studio.session import opened_page, second_env_of
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

_POLL_S = 0.2


def main(cfg: StudioCfg) -> None:
    """Serve the studio until a signal ends it.

    Raises:
        UsageError: the configuration is not valid, or another studio uses the folder.
        Interrupted: a signal ended the studio; all kept demos are in its folder.
    """
    if cfg.task.is_registered:
        raise ConfigError(
            "task: the studio cannot draw tasks registered with Isaac Lab; use teleop_device=keyboard of `record`"
        )
    torch.set_num_threads(1)
    folder = StudioFolder(Path(cfg.output_dir))
    with folder.held():
        env = make_scene(cfg, 1)
        try:
            _serve(cfg, env, folder)
        finally:
            env.close()


def _serve(cfg: StudioCfg, env: MimicEnv, folder: StudioFolder) -> None:
    wishes: queue.Queue[int] = queue.Queue()
    dirs = program.config_dirs
    second = second_env_of(cfg, env)
    page = opened_page(env, folder.raw, cfg.num_demos, cfg.host, cfg.port, dirs, second, wishes.put)
    with StopRequest() as stop, page as (tab, _):
        tab.progress.next_command = next_command("annotate", input_file=folder.raw, output_file=folder.annotated)
        tab.progress.can_continue = True
        while not stop.requested:
            _record(cfg, env, folder.raw, tab, stop)
            tab.progress.num_wanted = len(tab.progress.demos) + _wish(wishes, stop)
    num_demos = counted(len(tab.progress.demos), "demo")
    stop.raise_interrupted(f"the studio has ended with {num_demos}; continue with the same command")


def _wish(wishes: queue.Queue[int], stop: StopRequest) -> int:
    """Number of further demos that the page wants; waits for it. 0 after a signal."""
    while not stop.requested:
        try:
            return wishes.get(timeout=_POLL_S)
        except queue.Empty:
            continue
    return 0


def _record(cfg: StudioCfg, env: MimicEnv, raw: Path, tab: RecordTab, stop: StopRequest) -> None:
    """Record until the wanted number of demos, an order of the person, a signal or an error."""
    device = tab.device
    try:
        result = record(
            env,
            raw,
            device,
            tab.progress.num_wanted,
            seed=cfg.datagen_config.seed,
            config=DataGenConfig(**{**asdict(cfg.datagen_config), "max_num_failures": None}),
            recorder=cfg.recorder,
            resume=True,
            operator_name=BROWSER,
            monitor=tab,
            should_stop=lambda: stop.requested or device.wants_end(),
        )
    except MimicError as error:
        log.error("The recording has stopped: %s", error)
        device.set_phase(Phase.FAILED, str(error))
    else:
        written = f"{counted(result.num_demos, 'demo is', 'demos are')} in {raw}"
        device.set_phase(Phase.DONE, written if result.num_demos else "no demo was recorded")
