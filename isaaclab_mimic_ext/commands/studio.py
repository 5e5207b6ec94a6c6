"""`mimic studio`: record source demos on a page in the browser, and make a dataset from them."""

import logging
import queue
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import torch

from isaaclab_mimic_ext.command_lines import program, same_command_line
from isaaclab_mimic_ext.commands.pipeline import error_text
from isaaclab_mimic_ext.commands.signals import StopRequest
from isaaclab_mimic_ext.config import DataGenConfig, MimicEnvCfg, StudioCfg
from isaaclab_mimic_ext.config.commands import BROWSER
from isaaclab_mimic_ext.config.compose import load_task_config
from isaaclab_mimic_ext.config.next_step import next_command
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import env_task, make_scene
from isaaclab_mimic_ext.errors import ConfigError, MimicError, NotContinuable, RecorderError
from isaaclab_mimic_ext.run.record import record
from isaaclab_mimic_ext.run.recording import recorded_facts
from isaaclab_mimic_ext.studio.device import Phase
from isaaclab_mimic_ext.studio.folder import StudioFolder
from isaaclab_mimic_ext.studio.mark_jobs import MarkSettings
from isaaclab_mimic_ext.studio.mark_session import Marking, in_thread, make_marking
from isaaclab_mimic_ext.studio.path_jobs import StepRunner
from isaaclab_mimic_ext.studio.path_steps import MARK, PathFiles, Recorded
from isaaclab_mimic_ext.studio.path_tab import PathTab
from isaaclab_mimic_ext.studio.record_tab import RecordTab
from isaaclab_mimic_ext.studio.recorded_demos import RecordedDemos
from isaaclab_mimic_ext.studio.session import opened_page, second_env_of
from isaaclab_mimic_ext.studio.watch_tab import WatchTab
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
    watch = WatchTab(folder.path, env_task(env))
    path = PathTab(PathFiles(folder, cfg.task.name, _has_starts(cfg), env.step_dt), StepRunner(folder, error_text))
    with StopRequest() as stop, watch, in_thread(_marking(cfg, env, folder)) as mark, ExitStack() as stack:
        # Both write the annotated file.
        path.is_annotating = lambda: mark.is_annotating
        mark.is_annotating_elsewhere = lambda: MARK in path.started
        tabs = [mark, watch, path]
        page = opened_page(env, folder.raw, cfg.num_demos, cfg.host, cfg.port, dirs, second, wishes.put, tabs)
        tab, _ = stack.enter_context(page)
        stack.enter_context(path)
        path.recorded = lambda: _recorded(tab)
        tab.progress.can_continue = True
        is_interrupted = _begin(cfg, env, folder.raw, tab, stop)
        while count := _wish(wishes, stop):
            tab.progress.num_wanted = len(tab.progress.demos) + count
            is_interrupted = _record(cfg, env, folder.raw, tab, stop)
    _end(tab, folder, is_interrupted, stop)


def _begin(cfg: StudioCfg, env: MimicEnv, raw: Path, tab: RecordTab, stop: StopRequest) -> bool:
    """Record, as `_record`. A recording that was ended stays ended: the page offers to record the demos that are missing."""
    progress = tab.progress
    if not progress.demos or not RecordedDemos(raw).is_finished:
        return _record(cfg, env, raw, tab, stop)
    num_wanted, progress.num_wanted = progress.num_wanted, len(progress.demos)
    is_interrupted = _record(cfg, env, raw, tab, stop)
    if progress.can_continue:
        progress.num_wanted = max(num_wanted, len(progress.demos))
        tab.publish_state()
    return is_interrupted


def _end(tab: RecordTab, folder: StudioFolder, is_interrupted: bool, stop: StopRequest) -> None:
    """Report the end of the studio. It is an error only while a recording runs, or after one that has failed."""
    num_demos, again = counted(len(tab.progress.demos), "demo"), same_command_line("studio", output_dir=folder.path)
    ended = f"the studio has ended with {num_demos}; continue with: {again}"
    if is_interrupted:
        stop.raise_interrupted(ended)
    if tab.device.phase is Phase.FAILED:
        raise RecorderError(f"{tab.device.reason}; {ended}")
    log.info("The studio has ended with %s; continue with: %s", num_demos, again)


def _marking(cfg: StudioCfg, env: MimicEnv, folder: StudioFolder) -> Marking:
    """The tab Mark for the demos of the session."""
    config, starts = _task_config(cfg), _has_starts(cfg)
    settings = MarkSettings(folder.raw, folder.annotated, folder.marks, config, with_starts=starts, recorder=cfg.recorder)
    return make_marking(settings, env, second_env_of(cfg, env), next_command("check", input_file=folder.annotated))


def _task_config(cfg: StudioCfg) -> MimicEnvCfg:
    return load_task_config(cfg.task.preset or cfg.task.name, program.config_dirs)[1]


def _has_starts(cfg: StudioCfg) -> bool:
    """Return whether annotated demos need start signals."""
    return bool(_task_config(cfg).datagen_config.use_skillgen)


def _recorded(tab: RecordTab) -> Recorded:
    """State of the recording, for the path."""
    phase, progress = tab.device.phase, tab.progress
    failure = tab.device.reason if phase is Phase.FAILED else ""
    trials = tuple(demo.trial for demo in progress.demos)
    return Recorded(trials, progress.num_wanted, phase in (Phase.DONE, Phase.FAILED), failure)


def _wish(wishes: queue.Queue[int], stop: StopRequest) -> int:
    """Number of further demos that the page wants; waits for it. 0 after a signal."""
    while not stop.requested:
        try:
            return wishes.get(timeout=_POLL_S)
        except queue.Empty:
            continue
    return 0


def _record(cfg: StudioCfg, env: MimicEnv, raw: Path, tab: RecordTab, stop: StopRequest) -> bool:
    """Record until the wanted number of demos, an order of the person, a signal or an error.

    Returns:
        Whether a signal has ended the recording.
    """
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
    except NotContinuable as error:
        _show_complete(tab, raw, error)
    except MimicError as error:
        kept = "" if device.unsaved is None else "; the finished demo is not lost: 'Try again' makes its steps again"
        log.error("The recording has stopped: %s%s", error, kept)
        device.set_phase(Phase.FAILED, f"{error}{kept}")
    else:
        tab.show_scene()
        written = f"{counted(result.num_demos, 'demo is', 'demos are')} in {raw}"
        device.set_phase(Phase.DONE, written if result.num_demos else "no demo was recorded")
        if result.num_demos and not stop.requested:
            log.info("Next, mark the demos: tab Mark of the page. The page can record more. Ctrl-C ends the studio")
    return stop.requested


def _show_complete(tab: RecordTab, raw: Path, error: NotContinuable) -> None:
    """Show that the page cannot add demos to a recording: one of another device, or with other settings."""
    device = recorded_facts(raw).get("teleop_device", BROWSER)
    why = error.reason if device == BROWSER else f"was recorded with teleop_device={device}"
    progress, elsewhere = tab.progress, "start the studio with another output_dir"
    if not progress.demos or not raw.is_file():
        finish = "use the old values" if device == BROWSER else "finish it with the command that started it and resume=true"
        text = f"the recording in {raw} {why}; {finish}, or {elsewhere}"
        log.error("The recording has stopped: %s", text)
        tab.device.set_phase(Phase.FAILED, text)
        return
    progress.num_wanted, progress.can_continue = len(progress.demos), False
    written = counted(len(progress.demos), "demo is", "demos are")
    text = f"{written} in {raw}. The page cannot add demos, because the file {why}. To record here, {elsewhere}"
    tab.show_scene()
    tab.device.set_phase(Phase.DONE, text)
    log.warning("%s. Next, mark the demos: tab Mark of the page. Ctrl-C ends the studio", text)
