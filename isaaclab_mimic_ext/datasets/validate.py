"""Check a dataset for faults. Demos are read one at a time: memory does not grow with their number."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.datasets.demo_checks import DemoChecker
from isaaclab_mimic_ext.datasets.findings import Findings, ValidationReport
from isaaclab_mimic_ext.errors import MimicError, SourceDataError
from isaaclab_mimic_ext.files import digest
from isaaclab_mimic_ext.files.attributes import attribute
from isaaclab_mimic_ext.files.hdf5 import datasets_below, demo_names, each_demo, format_version, open_hdf5, text_of
from isaaclab_mimic_ext.files.selection import LEAVE_OUT, Chosen, choose_demos, read_masks

OnProgress = Callable[[int, int], None]
"""Called with the number of checked demos and the number of all demos."""
TIME_LIMIT = 120.0
"""Longer than reading a demo of any size takes [s]."""

_NUM_SUCCESS_STEPS = 5
_REQUIRED_ENV_ARGS = {"env_name": str, "type": int}
"""Entries of env_args that robomimic requires, and their types."""
_EXPORTED, _IMPORTED = "env_kwargs", "source_env_args"
"""Entry of env_args that marks a file exported to robomimic's layout; attribute of `data` that marks an imported file."""


@dataclass(frozen=True)
class _CheckedFile:
    """Result of reading a whole file once.

    Attributes:
        names: names of its demos in natural order.
        num_steps: number of steps of all demos.
        env_args: entries of attribute `env_args` of `data`; empty if they cannot be read.
    """

    findings: Findings
    names: list[str]
    num_steps: int
    env_args: dict[str, Any]


@renamed_arguments(path="input_file")
def validate_dataset(
    input_file: str | Path,
    num_replays: int = 0,
    seed: int = 1,
    on_progress: OnProgress = lambda *_: None,
    time_limit: float | None = TIME_LIMIT,
    renew_digests: bool = False,
    demos: Chosen = None,
) -> ValidationReport:
    """Check all data and attributes of a dataset in Isaac Lab's layout.

    A child process reads the file, because HDF5 may crash on damaged files, or read them indefinitely.

    Args:
        num_replays: number of random demos to replay, if the file was generated on an embedded engine.
        seed: seed of the choice of these demos.
        on_progress: see `OnProgress`.
        time_limit: time without a further demo after which the file is reported as damaged [s]; None: read the file in
            this process, without a limit.
        renew_digests: accept changed data: give checked demos with usable data a new digest. The file is changed.
        demos: demos to check: names of demos and masks, with `-` in front to exclude them; None: all. With a choice, the
            attributes of the whole file (numbering, total, masks) are not checked.

    Raises:
        SourceDataError: the file cannot be read: it is missing, damaged, not HDF5, of a newer format, or has no demos.
        OutputError: digests cannot be written.
    """
    checked = _check(input_file, demos, on_progress, time_limit)
    renewed: tuple[str, ...] = ()
    if renew_digests and not checked.findings.number("error", "damage"):
        usable = [name for name in checked.names if name not in checked.findings.unusable]
        renewed = digest.renew_digests(input_file, usable)
        checked = _check(input_file, demos, on_progress, time_limit) if renewed else checked
    findings, replays, note = checked.findings, None, None
    if num_replays:
        replays, note = _replay_demos(findings, input_file, checked.names, checked.env_args, num_replays, seed)
    return ValidationReport(
        path=str(input_file),
        num_demos=len(checked.names),
        num_steps=checked.num_steps,
        num_errors=findings.number("error"),
        num_warnings=findings.number("warning"),
        counts={f"{level}: {check}": count for (level, check), count in findings.counts.items()},
        findings=tuple(findings.kept),
        replays=replays,
        replay_note=note,
        renewed=renewed,
    )


def _check(path: str | Path, demos: Chosen, on_progress: OnProgress, time_limit: float | None) -> _CheckedFile:
    if time_limit is None:
        return _check_file(path, demos, on_progress)
    return _check_in_child(path, demos, on_progress, time_limit)


def _check_file(path: str | Path, demos: Chosen = None, on_progress: OnProgress = lambda *_: None) -> _CheckedFile:
    """Read and check a whole file in this process.

    Raises:
        SourceDataError: as `validate_dataset`.
    """
    findings = Findings()
    with open_hdf5(path) as file:
        format_version(file)
        names = choose_demos(str(path), demo_names(file), read_masks(file), demos)
        # HDF5 stores texts of variable length in heaps. Damaged heaps make it loop or crash: all attributes are read.
        for item in (file, file["data"]):
            dict(item.attrs)
        env_args = _check_env_args(findings, file["data"])
        is_converted = _EXPORTED in env_args or attribute(file["data"], _IMPORTED) is not None
        if not demos:
            _check_names(findings, names)
    num_steps = _check_demos(DemoChecker(findings, env_args, is_converted), path, names, on_progress)
    with open_hdf5(path) as file:
        if not demos:
            _check_total(findings, file["data"], num_steps)
            _check_masks(findings, file, names)
    return _CheckedFile(findings, names, num_steps, env_args)


def _check_in_child(path: str | Path, demos: Chosen, on_progress: OnProgress, time_limit: float) -> _CheckedFile:
    """Run `_check_file` in a separate process."""
    connection, theirs = Pipe()
    # `multiprocessing` would import the user's main module again.
    program = f"from {__name__} import serve; serve({theirs.fileno()})"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        pass_fds=[theirs.fileno()],
        stderr=subprocess.DEVNULL,  # A crash is reported below; errors are sent through the connection.
        env=os.environ | {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
    )
    theirs.close()
    try:
        connection.send((str(path), demos, time_limit))
        while isinstance(answer := connection.recv(), tuple):
            on_progress(*answer)
    except (EOFError, ConnectionError) as error:
        reason = _crash_reason(process.wait(), time_limit)
        raise SourceDataError(f"{path}: {reason}; copy the file again, or create it again") from error
    finally:
        process.kill()
        process.wait()
        connection.close()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _crash_reason(exit_code: int, time_limit: float) -> str:
    """Reason why the child process ended without a result."""
    if exit_code == -signal.SIGALRM:
        return f"the file is damaged: HDF5 does not finish reading it (no progress for {time_limit:g} s)"
    cause = signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"
    return f"the file is damaged: HDF5 crashes when reading it ({cause})"


def serve(descriptor: int) -> None:
    """Main function of the child process. It sends progress, then a `_CheckedFile` or the error."""
    connection = Connection(descriptor)
    path, demos, time_limit = connection.recv()

    def report(*progress: int) -> None:
        # The operating system ends this process if HDF5 never returns, even after the parent has ended.
        signal.setitimer(signal.ITIMER_REAL, time_limit)
        if progress:
            connection.send(progress)

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    report()
    try:
        answer: _CheckedFile | Exception = _check_file(path, demos, report)
    except Exception as error:
        answer = error
    connection.send(answer)


def _check_env_args(findings: Findings, data: h5py.Group) -> dict[str, Any]:
    place, remedy = "data.attrs['env_args']", "write the description of the environment as JSON"
    text = attribute(data, "env_args")
    try:
        env_args = None if text is None else json.loads(text)
    except (ValueError, TypeError):
        env_args = str(text)
    if not isinstance(env_args, dict):
        found = "missing" if env_args is None else repr(env_args)[:60]
        findings.error("env_args", place, found, "a JSON object", remedy)
        return {}
    for key, kind in _REQUIRED_ENV_ARGS.items():
        if not isinstance(env_args.get(key), kind):
            findings.error("env_args", f"{place}: {key}", repr(env_args.get(key)), kind.__name__, remedy)
    return env_args


def _check_names(findings: Findings, names: list[str]) -> None:
    """Check that demos are named `demo_0`, `demo_1`, ... without gaps."""
    remedy = "number its demos with mimic merge: give the file in input_file=[...] and a new output_file"
    numbers = {int(name[5:]) for name in names if re.fullmatch(r"demo_(0|[1-9]\d{0,17})", name)}
    for name in names:
        if not re.fullmatch(r"demo_(0|[1-9]\d{0,17})", name):
            findings.error("numbering", f"data/{name}", "a group with a different name", "demo_<number>", remedy)
    missing = next((number for number in range(len(numbers)) if number not in numbers), None)
    if missing is not None:
        findings.error("numbering", "data", f"no demo_{missing}", f"demo_0 to demo_{len(numbers) - 1}", remedy)


def _check_demos(checker: DemoChecker, path: str | Path, names: list[str], on_progress: OnProgress) -> int:
    """Check all demos, and that no two demos have the same actions. Return the number of steps of all demos."""
    findings, num_steps = checker.findings, 0
    seen: dict[bytes, str] = {}
    for index, (name, demo) in enumerate(each_demo(path, names)):
        actions = checker.check(name, demo)
        if actions is not None:
            num_steps += len(actions)
            key = hashlib.blake2b(np.ascontiguousarray(actions).tobytes(), digest_size=16).digest()
            original = seen.setdefault(key, name)
            if original != name:
                found, remedy = f"the actions of {original}", LEAVE_OUT
                findings.error("duplicate", name, found, "actions that differ from all other demos", remedy)
        on_progress(index + 1, len(names))
    return num_steps


def _check_total(findings: Findings, data: h5py.Group, num_steps: int) -> None:
    total = data.attrs.get("total")
    if total is None or np.ndim(total) or total != num_steps:
        found = "missing" if total is None else str(total)
        findings.error(
            "total", "data.attrs['total']", found, f"{num_steps}, the steps of all demos", "correct the attribute"
        )


def _check_masks(findings: Findings, file: h5py.File, names: list[str]) -> None:
    masks, known = file.get("mask"), {*names}
    remedy = f"split the file again with `{command_line('split', input_file=Path(file.filename))}`"
    if masks is None:
        return
    if not isinstance(masks, h5py.Group):
        findings.error("mask", "mask", "a dataset", "a group of masks", "rename the dataset")
        return
    demos_of: dict[str, list[str]] = {}
    for mask, dataset in datasets_below(masks):
        values = np.ravel(dataset[()] if dataset.shape is not None else [])
        demos = [text_of(value) for value in values]
        demos_of[mask] = demos
        unknown = [name for name in demos if name not in known]
        if unknown:
            findings.error("mask", f"mask/{mask}", f"contains '{unknown[0]}'", "demos of the file", remedy)
        if len({*demos}) < len(demos):
            findings.error("mask", f"mask/{mask}", "a demo twice", "each demo once", remedy)
    both = {*demos_of.get("train", ())} & {*demos_of.get("valid", ())}
    if both:
        findings.error("mask", "mask", f"'{min(both)}' is in train and in valid", "one of the two", remedy)


def _replay_demos(
    findings: Findings, path: str | Path, names: list[str], env_args: Mapping[str, Any], num_replays: int, seed: int
) -> tuple[dict[str, Any] | None, str | None]:
    """Replay random demos. Return a summary, or the reason why no demo was replayed."""
    from isaaclab_mimic_ext.config import SimCfg
    from isaaclab_mimic_ext.datasets.replay import EMBEDDED, is_embedded, make_recorded_env, replay_file, summary

    if not is_embedded(env_args.get("engine")):
        found = f"got '{env_args['engine']}'" if "engine" in env_args else "the file does not name its engine"
        return None, f"env_args.engine: must be {' or '.join(EMBEDDED)} for a replay during validation ({found})"
    chosen = np.random.default_rng(seed).permutation(len(names))[:num_replays]
    try:
        env = make_recorded_env(path, env_args, SimCfg(), len(chosen))
        try:
            results = list(replay_file(env, path, [names[index] for index in sorted(chosen)], _NUM_SUCCESS_STEPS))
        finally:
            env.close()
    except (MimicError, LookupError, RuntimeError, ValueError) as error:
        return None, " ".join(str(error).split())[:300]
    for result in results:
        if result.recorded_success and not result.success:
            distance = "" if result.object_error is None else f" (object error {result.object_error:.2g} m)"
            video = Path(path).with_name("replay.mp4")
            command = command_line("replay", input_file=Path(path), output_file=video)
            remedy = f"watch a video of the demos: `{command}`"
            findings.warning("replay", result.name, f"fails when replayed{distance}", "success, as recorded", remedy)
    return summary(results), None
