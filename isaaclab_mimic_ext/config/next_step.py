"""The command that follows a command, as a line that can be pasted."""

from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.command_lines import command_line, program
from isaaclab_mimic_ext.config.commands import SCRIPT_SCHEMAS, SCRIPT_VERBS
from isaaclab_mimic_ext.config.help import has_field
from isaaclab_mimic_ext.task.folders import task_dir


def next_command(verb: str, **fields: Any) -> str:
    """Return the command line of the next command, for the same task on the same engine.

    Args:
        verb: verb of the next command.
        **fields: values of its fields. Paths become absolute.
    """
    schema = next(SCRIPT_SCHEMAS[script] for script, own in SCRIPT_VERBS.items() if own == verb)
    # `+robot@robot.arms.left=ur5e` selects a file for a field of `robot`.
    scene = [word for word in program.scene if has_field(schema, word.lstrip("+").partition("=")[0].partition("@")[0])]
    return command_line(verb, *scene, **fields)


def evaluate_command(task_name: str, training: Path, demos: Path) -> str:
    """Return the command line that evaluates the last checkpoint of a training.

    Args:
        task_name: name of the task.
        training: output folder of the training.
        demos: dataset that the horizon is computed from if the task has no source demos.
    """
    has_source_demos = (task_dir(task_name) / "data" / "source_demos.hdf5").is_file()
    places = {"checkpoint": training / "models" / "last.pth", "input_file": None if has_source_demos else demos}
    return next_command("evaluate", **places)
