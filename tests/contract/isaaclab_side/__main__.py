"""Answers requests with the real Isaac Lab 2.3: (module, function, argument) in, (error or None, result) out, pickled.

python -m tests.contract.isaaclab_side <folder of packages>
"""

import os
import pickle
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

from tests.contract import omniverse_stubs

PROJECTS = ("isaaclab", "isaaclab_assets", "isaaclab_contrib", "isaaclab_mimic", "isaaclab_tasks")


def main() -> None:
    answers = _own_stdout()
    site = Path(sys.argv[1])
    # The wheel's outer package `isaaclab` holds the sources and must come behind them.
    sys.path += [*(str(site / "isaaclab" / "source" / project) for project in PROJECTS), str(site)]
    omniverse_stubs.install()
    while True:
        try:
            module, function, argument = pickle.load(sys.stdin.buffer)
        except EOFError:
            # Taking down so many modules one by one takes seconds.
            os._exit(0)
        try:
            answer = (None, getattr(import_module(f"{__package__}.{module}"), function)(argument))
        except Exception:
            answer = (traceback.format_exc(), None)
        pickle.dump(answer, answers)
        answers.flush()


def _own_stdout() -> BinaryIO:
    """Standard output for the answers alone; what Isaac Lab prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


main()
