"""Serve requests with the real Isaac Lab 2.3, pickled: (module, function, argument) in, (error or None, result) out.

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
    output = _separate_stdout()
    site = Path(sys.argv[1])
    # The outer package `isaaclab` of the wheel contains the sources; it must come after them.
    sys.path += [*(str(site / "isaaclab" / "source" / project) for project in PROJECTS), str(site)]
    omniverse_stubs.install()
    while True:
        try:
            module, function, argument = pickle.load(sys.stdin.buffer)
        except EOFError:
            # A regular exit would take seconds to release all modules.
            os._exit(0)
        try:
            answer = (None, getattr(import_module(f"{__package__}.{module}"), function)(argument))
        except Exception:
            answer = (traceback.format_exc(), None)
        pickle.dump(answer, output)
        output.flush()


def _separate_stdout() -> BinaryIO:
    """Stream to the original standard output, for results only; prints of Isaac Lab are redirected to standard error."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return output


main()
