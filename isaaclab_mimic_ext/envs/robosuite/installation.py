"""Python environment that has robosuite, found without importing it."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import SimulatorUnavailable

FOLDER = ".venv-robosuite"
"""Environment that `make robosuite-env` creates."""
REMEDY = (
    f"run `make robosuite-env`, which creates {FOLDER}, or set sim.robosuite.python to a Python with robosuite 1.5 or 1.4.1"
)

MIMICGEN = "https://github.com/NVlabs/mimicgen"
_RELEASES = ("1.5.", "1.4.1")
"""Beginnings of the versions of robosuite that the worker supports; tests run 1.5 only."""


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


def check_release(version: str) -> None:
    """Check the version of robosuite.

    Raises:
        SimulatorUnavailable: the worker does not support it.
    """
    if not version.startswith(_RELEASES):
        raise SimulatorUnavailable(_release_fault(version))


def _release_fault(version: str) -> str:
    return f"sim.robosuite.python: its robosuite must be 1.5 or 1.4.1 (got {version}); run `make robosuite-env`"


def start_fault(python: str, answer: Mapping[str, Any]) -> str:
    """Message about a worker that cannot create its environment.

    Args:
        answer: `error`, type of the exception; `reason`, its text; `missing`, name of a module that is not found, or None;
            `version` of robosuite, None if it cannot be imported; `unrelated`, name of a package that is not the one
            with this name that a task needs, or None.
    """
    if (name := answer["unrelated"]) is not None:
        return (
            f"sim.robosuite.python: '{name}' of {python} is an unrelated package of PyPI, not NVIDIA's MimicGen; uninstall "
            f"it, then install MimicGen with `pip install git+{MIMICGEN}`"
        )
    version, missing = answer["version"], answer["missing"]
    if version is not None and not version.startswith(_RELEASES):
        return _release_fault(version)
    if answer["error"] == "UnsupportedControl":
        return f"sim.robosuite.control: {answer['reason']}; use sim.robosuite.control=own"
    if answer["error"] == "ModuleNotFoundError" and missing is not None:
        remedy = REMEDY if missing != "mimicgen" else f"install MimicGen with `pip install git+{MIMICGEN}`"
        return f"sim.robosuite.python: {python} has no module '{missing}'; {remedy}"
    return f"sim.engine: robosuite cannot create the environment: {answer['error']}: {answer['reason']} (Python: {python})"


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


def exit_text(process: "subprocess.Popen[bytes]") -> str:
    """How a process ended, for messages."""
    code = process.wait()
    return f"signal {-code}" if code < 0 else f"exit code {code}"
