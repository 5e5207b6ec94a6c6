"""`mimic robomimic <program> [arguments]`: robomimic's own programs, which find the tasks of this package."""

import pkgutil
import runpy
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.errors import MimicError, SourceDataError, UsageError, choices

_PACKAGE = "robomimic.scripts"
_READ_STATES = ("playback_dataset", "dataset_states_to_obs")
"""Programs that need the states of a dataset as one array per demo."""


def main(words: Sequence[str]) -> int:
    """Run one of robomimic's programs with its own arguments; return the exit code.

    Args:
        words: name of the program (a module of `robomimic.scripts`), then its arguments. Without words, or with `--help`,
            the programs are listed.
    """
    try:
        programs = _programs()
        if not words or words[0] in ("-h", "--help"):
            print(_help(programs))
            return 0 if words else UsageError.exit_code
        name = words[0].removesuffix(".py")
        if name not in programs:
            raise UsageError(f"'{words[0]}' is not a program of robomimic; {choices(name, programs)}")
        if name in _READ_STATES and "--use-obs" not in words and (dataset := _option(words, "--dataset")) is not None:
            _check_states(Path(dataset))
        _run(name, words[1:])
    except MimicError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _programs() -> list[str]:
    """Names of robomimic's programs.

    Raises:
        DependencyMissing: robomimic is not installed.
    """
    from isaaclab_mimic_ext.learn.robomimic import require_robomimic

    require_robomimic()
    package = __import__(_PACKAGE, fromlist=["__path__"])
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg)


def _run(name: str, arguments: Sequence[str]) -> None:
    from isaaclab_mimic_ext.learn import robomimic_env

    robomimic_env.register()
    sys.argv = [f"mimic robomimic {name}", *arguments]
    terminal = sys.stdout
    try:
        runpy.run_module(f"{_PACKAGE}.{name}", run_name="__main__")
    finally:
        terminal.flush()  # The training replaces sys.stdout by an object that does not flush the last lines at exit.


def _option(words: Sequence[str], flag: str) -> str | None:
    """Value of a flag, written as `flag value` or `flag=value`; None without it."""
    joined = (word.removeprefix(f"{flag}=") for word in words if word.startswith(f"{flag}="))
    return dict(pairwise(words)).get(flag) or next(joined, None)


def _check_states(path: Path) -> None:
    """Check that a file has robomimic's layout of states.

    Raises:
        SourceDataError: it has Isaac Lab's layout, is missing or is damaged.
    """
    from h5py import Dataset

    from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5

    with open_hdf5(path) as file:
        has_arrays = all(file[f"data/{name}"].get("states", getclass=True) is Dataset for name in demo_names(file)[:1])
    if not has_arrays:
        output = path.with_stem(f"{path.stem}_robomimic")
        export = command_line("export", format="robomimic", input_file=path, output_file=output)
        raise SourceDataError(f"{path}: does not have robomimic's layout of states; run `{export}` and use its output")


def _help(programs: Sequence[str]) -> str:
    lines = "\n".join(f"  {name}" for name in programs)
    return f"usage: mimic robomimic <program> [arguments]\n\nRun one of robomimic's programs on exported datasets:\n{lines}"
