"""Worker process of a run with `num_workers`: runs leased trials in its own envs, and sends their episodes to the owner."""

import os
import pickle
import signal
import sys
import traceback
from contextlib import closing, suppress
from dataclasses import replace
from multiprocessing.connection import Connection

import torch

from isaaclab_mimic_ext.command_lines import program
from isaaclab_mimic_ext.config.hydra import find_tasks_in
from isaaclab_mimic_ext.errors import ConfigError, MimicError, TooManyEnvs
from isaaclab_mimic_ext.run.block import run_folder, run_rules
from isaaclab_mimic_ext.run.build import build_planner, run_contents, term_signals
from isaaclab_mimic_ext.run.episodes import Output, receive_message, send_message
from isaaclab_mimic_ext.run.fitting import start_fitting_env
from isaaclab_mimic_ext.run.generator import Generator
from isaaclab_mimic_ext.run.leases import EpisodeSender, Failed, LeasedTrials, Ready, WorkerJob
from isaaclab_mimic_ext.run.recorder import EpisodeRecorder
from isaaclab_mimic_ext.run.watch import TrialWatch


def main(connection: Connection) -> None:
    """Run trials until the owner ends this process, or has ended itself."""
    # A signal to the whole job reaches the owner, too, which then ends this process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        _work(receive_message(connection), connection)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)
    except BaseException as error:
        with suppress(OSError):
            send_message(connection, Failed(_sendable(error)))
        os._exit(1)


def _work(job: WorkerJob, connection: Connection) -> None:
    for each in job.task_dirs:
        find_tasks_in(each)
    program.config_dirs = job.config_dirs
    torch.set_num_threads(1)
    env, pool = start_fitting_env(job.cfg)
    with closing(env):
        cfg = replace(job.cfg, num_envs=env.num_envs)
        rules, planner = run_rules(cfg), build_planner(cfg, env, pool)
        watch = TrialWatch(env, rules, term_signals(cfg, env), planner.failure_messages)
        send_message(connection, Ready(run_contents(cfg, env, pool, watch.reasons), env.num_envs))
        folder, keeps_failed = run_folder(cfg), cfg.datagen_config.generation_keep_failed
        sender = EpisodeSender(connection, Output(folder.demos, folder.failed_demos if keeps_failed else None))
        recorder = EpisodeRecorder(env, planner.horizon, sender, with_clean_actions=True)
        ledger = LeasedTrials(rules, connection)
        generator = Generator(env, planner, recorder, ledger, watch, ledger.config)

        def show_life() -> bool:
            sender.show_life(generator.env_steps)
            return False

        generator.run(show_life)


def _sendable(error: BaseException) -> Exception:
    """Error for the owner: an error for users as it is, any other one with its traceback."""
    if isinstance(error, TooManyEnvs):
        return ConfigError(str(error))
    if isinstance(error, MimicError):
        with suppress(Exception):
            pickle.loads(pickle.dumps(error))
            return error
    return MimicError(f"a worker process failed:\n{''.join(traceback.format_exception(error))}")


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
