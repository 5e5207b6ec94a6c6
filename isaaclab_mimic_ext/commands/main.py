"""The command `mimic <verb> [field=value ...]`: its verbs, their help, and the function of each verb.

This module must be fast to import: each verb imports its code when it runs.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from isaaclab_mimic_ext.command_lines import command_line, program
from isaaclab_mimic_ext.commands.program import accept_any_text, find_program
from isaaclab_mimic_ext.config import SCRIPT_VERBS
from isaaclab_mimic_ext.errors import choices

if TYPE_CHECKING:
    from isaaclab_mimic_ext import config

USAGE_ERROR = 2
_OWN_FOLDER = {"output_dir": "datasets/demo", "resume": "true"}
DEMO = {"task": "desktop_organizer", "num_envs": "100", "headless": "true", **_OWN_FOLDER}
"""Default arguments of `mimic demo`. A second demo returns the result of the first one."""
ROBOMIMIC = "robomimic"
"""Verb whose arguments are the name and the arguments of one of robomimic's programs."""


def record(cfg: "config.RecordDemosCfg") -> None:
    """Record source demos, by a scripted operator or by keyboard"""
    from isaaclab_mimic_ext.commands.record import main

    main(cfg)


def studio(cfg: "config.StudioCfg") -> None:
    """Record source demos on a page in the browser, with keyboard, gamepad, touch or mouse"""
    from isaaclab_mimic_ext.commands.studio import main

    main(cfg)


def annotate(cfg: "config.AnnotateDemosCfg") -> None:
    """Replay recorded demos and mark where their subtasks end"""
    from isaaclab_mimic_ext.commands.annotate import main

    main(cfg)


def check(cfg: "config.CheckDemosCfg") -> None:
    """Check annotated source demos for faults before generation"""
    from isaaclab_mimic_ext.commands.check import main

    main(cfg)


def generate(cfg: "config.GenerateCfg") -> None:
    """Generate demos from annotated source demos"""
    from isaaclab_mimic_ext.commands.generate import main

    main(cfg)


def collect(cfg: "config.CollectCfg") -> None:
    """Collect the blocks of a run into one dataset"""
    from isaaclab_mimic_ext.commands.collect import main

    main(cfg)


def watch(cfg: "config.WatchCfg") -> None:
    """Watch a run on a page in the browser: envs in motion, success, failed trials"""
    from isaaclab_mimic_ext.commands.watch import main

    main(cfg)


def regenerate(cfg: "config.RegenerateCfg") -> None:
    """Generate a dataset again from what it records, and compare"""
    from isaaclab_mimic_ext.commands.regenerate import main

    main(cfg)


def report(cfg: "config.ReportCfg") -> None:
    """Write a page about a run: success by subtask, reasons of failure"""
    from isaaclab_mimic_ext.commands.report import main

    main(cfg)


def split(cfg: "config.SplitDatasetCfg") -> None:
    """Split a dataset into training and validation demos"""
    from isaaclab_mimic_ext.commands.datasets import split

    split(cfg)


def merge(cfg: "config.MergeDatasetsCfg") -> None:
    """Merge datasets of the same task into one"""
    from isaaclab_mimic_ext.commands.datasets import merge

    merge(cfg)


def inspect(cfg: "config.InspectDatasetCfg") -> None:
    """Show the contents of a dataset"""
    from isaaclab_mimic_ext.commands.datasets import inspect

    inspect(cfg)


def show(cfg: "config.ShowDemoCfg") -> None:
    """Write a page about one demo (frames, subtasks, signals, actions), or draw a robot"""
    from isaaclab_mimic_ext.commands.show import main

    main(cfg)


def render(cfg: "config.RenderDatasetCfg") -> None:
    """Add pictures to a dataset: draw its recorded states, with any cameras and sizes"""
    from isaaclab_mimic_ext.commands.render import main

    main(cfg)


def validate(cfg: "config.ValidateDatasetCfg") -> None:
    """Check the structure and values of a dataset, and replay some demos"""
    from isaaclab_mimic_ext.commands.datasets import validate

    validate(cfg)


def replay(cfg: "config.ReplayDemosCfg") -> None:
    """Replay the actions of a dataset and compare the outcome"""
    from isaaclab_mimic_ext.commands.datasets import replay

    replay(cfg)


def import_(cfg: "config.ImportDatasetCfg") -> None:
    """Import source demos of MimicGen"""
    from isaaclab_mimic_ext.commands.datasets import import_

    import_(cfg)


def import_config(cfg: "config.ImportConfigCfg") -> None:
    """Import the JSON configuration of a task of MimicGen"""
    from isaaclab_mimic_ext.commands.datasets import import_config

    import_config(cfg)


def export(cfg: "config.ExportDatasetCfg") -> None:
    """Export a dataset to robomimic's layout or as a LeRobot dataset"""
    from isaaclab_mimic_ext.commands.datasets import export

    export(cfg)


def prepare(cfg: "config.PrepareDatasetCfg") -> None:
    """Add returns-to-go or sparse rewards, drop or crop images"""
    from isaaclab_mimic_ext.commands.datasets import prepare

    prepare(cfg)


def train(cfg: "config.TrainCfg") -> None:
    """Train a policy on a split dataset, with robomimic"""
    from isaaclab_mimic_ext.commands.train import main

    main(cfg)


def evaluate(cfg: "config.EvaluateCfg") -> None:
    """Measure the success rate of policies on held-out scenes"""
    from isaaclab_mimic_ext.commands.evaluate import main

    main(cfg)


def pipeline(cfg: "config.PipelineCfg") -> None:
    """Record, annotate, generate, split, train and evaluate"""
    from isaaclab_mimic_ext.commands.pipeline import main

    main(cfg)


def sweep_report(cfg: "config.SweepReportCfg") -> None:
    """Report the results of a sweep as a table and a plot"""
    from isaaclab_mimic_ext.commands.report import sweep

    sweep(cfg)


def check_engine(cfg: "config.CheckEngineCfg") -> None:
    """Check that an engine of your own keeps the contract of all engines"""
    from isaaclab_mimic_ext.commands.check_engine import main

    main(cfg)


@dataclass(frozen=True)
class Verb:
    """One verb of the command line.

    Attributes:
        config: name of the schema, of `conf/<config>.yaml` and of `scripts/<config>.py`.
        run: function of the typed configuration.
        defaults: (field, value) pairs that the command line may override.
    """

    config: str
    run: Callable[..., None]
    defaults: tuple[tuple[str, str], ...] = ()

    @property
    def summary(self) -> str:
        """One line for `mimic --help`."""
        return "Generate 100 demos of the desktop organizer" if self.defaults else str(self.run.__doc__)


_FUNCTIONS: dict[str, Callable[..., None]] = {
    "studio": studio,
    "record": record,
    "annotate": annotate,
    "check": check,
    "generate": generate,
    "collect": collect,
    "watch": watch,
    "regenerate": regenerate,
    "report": report,
    "split": split,
    "merge": merge,
    "inspect": inspect,
    "show": show,
    "render": render,
    "validate": validate,
    "replay": replay,
    "import": import_,
    "import-config": import_config,
    "export": export,
    "prepare": prepare,
    "train": train,
    "evaluate": evaluate,
    "pipeline": pipeline,
    "sweep-report": sweep_report,
    "check-engine": check_engine,
}
VERBS = {"demo": Verb("generate", generate, tuple(DEMO.items()))} | {
    verb: Verb(script, _FUNCTIONS[verb]) for script, verb in SCRIPT_VERBS.items()
}
"""Name of a verb -> verb, in the order in which a user needs them."""


def main() -> NoReturn:
    """Run `mimic` with the command line of this process, and exit with the exit code of the verb."""
    accept_any_text()
    words = sys.argv[1:]
    program.words = find_program()
    if not words or words[0] in ("-h", "--help", "help"):
        _print_and_exit(help_text(), 0 if words else USAGE_ERROR)
    if words[0] == "--version":
        from isaaclab_mimic_ext import __version__

        _print_and_exit(__version__, 0)
    name = words[0]
    if name == ROBOMIMIC:
        from isaaclab_mimic_ext.commands import robomimic

        sys.exit(robomimic.main(words[1:]))
    if name not in VERBS:
        names = [*VERBS, ROBOMIMIC]
        print(f"UsageError: '{name}' is not a verb of mimic; {choices(name, names)}; see mimic --help", file=sys.stderr)
        sys.exit(USAGE_ERROR)
    verb = VERBS[name]
    if verb.defaults and "--help" in words:
        defaults = " ".join(f"{field}={value}" for field, value in verb.defaults)
        print(f"mimic {name} is mimic {verb.config} with {defaults}.\n")
    sys.argv[1:] = _with_defaults(words[1:], verb.defaults)
    # -P: modules in the working directory must not shadow installed modules.
    _run(verb, (sys.executable, "-P", "-m", "isaaclab_mimic_ext", name))


def _print_and_exit(text: str, exit_code: int) -> NoReturn:
    """Print a text and exit; a reader that has ended (`| head`) is not an error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Prevents a second error at exit.
    sys.exit(exit_code)


def run_script(config: str) -> NoReturn:
    """Run `scripts/<config>.py` with the command line of this process, and exit with the exit code of the verb."""
    accept_any_text()
    verb = next(verb for verb in VERBS.values() if verb.config == config and not verb.defaults)
    program.words = find_program()
    _run(verb, (sys.executable, sys.argv[0]))


def _run(verb: Verb, words: Sequence[str]) -> NoReturn:
    from isaaclab_mimic_ext.commands.app import run_command

    run_command(verb.config, verb.run, words)


def _with_defaults(words: Sequence[str], defaults: Sequence[tuple[str, str]]) -> list[str]:
    """Return the words with the defaults of the fields that they do not set."""
    given = {word.lstrip("-+").partition("=")[0] for word in words}
    if "overwrite" in given:
        given.add("resume")
    if given & {"m", "multirun"} or any(name.startswith("hydra.") for name in given):
        given.update(_OWN_FOLDER)  # Each job of a sweep has its own folder.
    return [*(f"{key}={value}" for key, value in defaults if key not in given), *words]


def help_text() -> str:
    """Return the text of `mimic --help`, with one line per verb."""
    width = max(map(len, VERBS))
    lines = [f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items()]
    lines.append(f"  {ROBOMIMIC:<{width}}  Run one of robomimic's own programs on a dataset")
    return "\n".join(
        (
            "usage: mimic <verb> [field=value ...]",
            "",
            "Generate robot demonstrations from a few recorded ones, and train policies on them.",
            "",
            *lines,
            "",
            "mimic <verb> --help shows the fields of a verb with their defaults and choices. Example:",
            f"  {command_line('generate', task='stack_cube', num_envs=100, num_trials=1000, seed=3)}",
        )
    )
