"""The command that follows a command, as a line that can be pasted."""

from typing import Any

from isaaclab_mimic_ext.command_lines import command_line, program
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS, SCRIPT_VERBS
from isaaclab_mimic_ext.config.help import has_field


def next_command(verb: str, **fields: Any) -> str:
    """Return the command line of the next command, for the same task on the same engine.

    Args:
        verb: verb of the next command.
        **fields: values of its fields. Paths become absolute.
    """
    schema = next(SCRIPT_SCHEMAS[script] for script, own in SCRIPT_VERBS.items() if own == verb)
    scene = [word for word in program.scene if has_field(schema, word.lstrip("+").partition("=")[0])]
    return command_line(verb, *scene, **fields)
