"""The other end of `isaaclab_side`, in the process of the tests."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.processes import HANG_S

ROOT = Path(__file__).resolve().parents[3]


class IsaacLabProcess:
    """Isaac Lab 2.3 beside the tests.

    A process rather than stand-ins in `sys.modules` that are taken out again: what was imported while they were there (Isaac
    Lab, gymnasium's registry, half of `pxr`) would keep them, and whoever looks for `scipy` meanwhile would find one.

    Args:
        site: the folder of packages.
        tmp_dir: for its log and what it writes.
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

    def ask(self, module: str, function: str, argument: Any) -> Any:
        """`function(argument)` of a module of `isaaclab_side`; arguments and results are plain data and NumPy's.

        Raises:
            AssertionError: it failed there.
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
