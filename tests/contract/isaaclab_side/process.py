"""Client of `isaaclab_side` in the process of the tests."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.processes import HANG_S

ROOT = Path(__file__).resolve().parents[3]


class IsaacLabProcess:
    """Isaac Lab 2.3 in a separate process, with stubs for missing modules.

    Stubs in `sys.modules` of the test process are no alternative: modules imported in the meantime (Isaac Lab, gymnasium's
    registry, parts of `pxr`) would keep references to them, and other code would import the stub of `scipy`.

    Args:
        site: folder of the packages.
        tmp_dir: folder of its log and temporary files.
    """

    def __init__(self, site: Path, tmp_dir: Path):
        self._log = tmp_dir / "isaaclab_side.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.contract.isaaclab_side", str(site)],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(tmp_dir), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def call(self, module: str, function: str, argument: Any) -> Any:
        """Call `function(argument)` of a module of `isaaclab_side`; arguments and results are plain data and NumPy arrays.

        Raises:
            AssertionError: the function raised an error, or the process ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            pickle.dump((module, function, argument), self._process.stdin)
            self._process.stdin.flush()
            error, result = pickle.load(self._process.stdout)
        except (BrokenPipeError, EOFError):
            raise AssertionError(f"the process with Isaac Lab ended:\n{self._log.read_text()[-4000:]}") from None
        assert error is None, f"{module}.{function} failed in the process with Isaac Lab:\n{error}"
        return result

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(HANG_S)
