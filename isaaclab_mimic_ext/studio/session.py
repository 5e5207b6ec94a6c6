"""A recording at a page: environment, tab, server and doctor together."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from isaaclab_mimic_ext.config import SceneCfg
from isaaclab_mimic_ext.config.compose import load_task_config
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import env_task, make_scene
from isaaclab_mimic_ext.envs.posed_scene import PosedScene, describe_scene
from isaaclab_mimic_ext.studio.doctor import Doctor
from isaaclab_mimic_ext.studio.kept_demos import read_kept_demos
from isaaclab_mimic_ext.studio.record_tab import Progress, RecordTab
from isaaclab_mimic_ext.studio.server import StudioServer
from isaaclab_mimic_ext.studio.tabs import Tab

log = logging.getLogger(__name__)


@contextmanager
def opened_page(
    env: MimicEnv,
    output_file: Path,
    num_demos: int,
    host: str,
    port: int,
    config_dirs: Sequence[Path] = (),
    make_second_env: Callable[[], MimicEnv] | None = None,
    more: Callable[[int], None] | None = None,
    other_tabs: Sequence[Tab] = (),
    overwrite: bool = False,
) -> Iterator[tuple[RecordTab, StudioServer]]:
    """Serve the page of a recording during the block, and yield its tab and its server.

    Args:
        env: environment with one scene.
        output_file: path of the recording.
        num_demos: number of demos to record.
        host, port: see `StudioServer`.
        config_dirs: folders with the user's own tasks.
        make_second_env: makes an environment for the doctor; None: demos are not examined.
        more: see `RecordTab`.
        other_tabs: tabs after Record.
        overwrite: whether the recording replaces the demos in `output_file`.

    Raises:
        SimulatorUnavailable: the task has no scene that the page could draw.
        OutputError: the port cannot be used.
    """
    task = env_task(env)
    scene = PosedScene(task)
    kept = [] if overwrite else read_kept_demos(output_file, env.object_names)
    progress = Progress(str(output_file), num_demos, kept)
    config = None if task.preset is None else load_task_config(task.preset, config_dirs)[1]
    tab = RecordTab(env, scene, progress, config.subtask_configs if config else None, more)
    doctor = None
    if make_second_env is not None and config is not None:
        progress.has_doctor = True
        doctor = Doctor(make_second_env, task, config, tab.show_findings)
        tab.examine = doctor.examine
    try:
        with StudioServer([tab, *other_tabs], describe_scene(scene), host, port) as server:
            log_address(server, host)
            yield tab, server
    finally:
        if doctor is not None:
            doctor.close()


def second_env_of(cfg: SceneCfg, env: MimicEnv) -> Callable[[], MimicEnv] | None:
    """Function that makes a second environment like that of a command; None with Isaac Lab, which a process starts once."""
    return None if env.env_args().get("engine") == "isaaclab" else lambda: make_scene(cfg, 1)


def log_address(server: StudioServer, host: str) -> None:
    """Log the address of the page, and how to reach it from another machine."""
    log.info("Open this page in a browser: %s", server.url)
    for url in server.urls[1:]:
        log.info("From other machines: %s", url)
    if "SSH_CONNECTION" in os.environ and server.access.is_local:
        log.info(
            "From your own machine, forward the port first: ssh -L %d:%s:%d <this host>", server.port, host, server.port
        )
    if not server.access.is_local:
        log.warning(
            "host: %s is open to the network, and the page is not encrypted; prefer host=127.0.0.1 with ssh -L", host
        )
