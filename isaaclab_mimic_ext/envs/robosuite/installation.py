"""Python environment that has robosuite, found without importing it."""

import shutil
import subprocess
from pathlib import Path

from isaaclab_mimic_ext.errors import SimulatorUnavailable

FOLDER = ".venv-robosuite"
"""Environment that `make robosuite-env` creates."""
REMEDY = (
    f"run `make robosuite-env`, which creates {FOLDER}, or set sim.robosuite.python to a Python with robosuite 1.5 or 1.4.1"
)


def find_python(given: str | None) -> str:
    """Path of the Python that runs the workers.

    Args:
        given: `sim.robosuite.python`; None: that of `.venv-robosuite` in the working folder or next to this package.

    Raises:
        SimulatorUnavailable: it is not found.
    """
    if given is not None:
        found = shutil.which(given)
        if found is None:
            raise SimulatorUnavailable(f"sim.robosuite.python: '{given}' is not a program; {REMEDY}")
        return found
    folders = (Path.cwd(), Path(__file__).resolve().parents[3])
    for folder in folders:
        if (python := folder / FOLDER / "bin" / "python").is_file():
            return str(python)
    raise SimulatorUnavailable(f"sim.engine: robosuite is not installed; {REMEDY}")


def start_fault(python: str, error: str, reason: str, missing: str | None) -> str:
    """Message about a worker that cannot create its environment."""
    if error == "ModuleNotFoundError" and missing is not None:
        return f"sim.robosuite.python: {python} has no module '{missing}'; {REMEDY}"
    return f"sim.engine: robosuite cannot create the environment: {error}: {reason} (Python: {python})"


def child_environment(variables: dict[str, str]) -> dict[str, str]:
    """Environment variables of a worker: packages of this process are not visible, and one thread per worker."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    kept = {name: value for name, value in variables.items() if name not in hidden}
    return {**kept, **dict.fromkeys(threads, "1")}


def last_line(log: Path) -> str:
    """Last line that a worker printed, for messages."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.is_file() else []
    return lines[-1].strip() if lines else "nothing printed"


def exit_text(process: "subprocess.Popen[str]") -> str:
    """How a process ended, for messages."""
    code = process.wait()
    return f"signal {-code}" if code < 0 else f"exit code {code}"
