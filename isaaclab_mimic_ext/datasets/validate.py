"""Check whether a dataset can be trusted. Demos are read one at a time: memory does not grow with their number."""

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

from isaaclab_mimic_ext.datasets.demo_checks import DemoChecker
from isaaclab_mimic_ext.datasets.findings import Findings, ValidationReport
from isaaclab_mimic_ext.errors import MimicError, SourceDataError
from isaaclab_mimic_ext.files.hdf5 import datasets_below, demo_names, each_demo, format_version, open_hdf5, text_of

OnProgress = Callable[[int, int], None]
"""Called with the number of demos checked, and of all."""
TIME_LIMIT = 120.0
"""More than reading one demo takes, whatever its size [s]."""

_NUM_SUCCESS_STEPS = 5
_ENV_ARGS = {"env_name": str, "type": int}
"""Entries that robomimic needs."""
_EXPORTED, _IMPORTED = "env_kwargs", "source_env_args"
"""Entry of env_args of files exported to robomimic's layout, attribute of `data` of imported ones."""


@dataclass(frozen=True)
class _CheckedFile:
    """Result of reading a whole file once.

    Attributes:
        names: of its demos, in natural order.
        num_steps: of all demos together.
        env_args: of `data`; empty if they cannot be read.
    """

    findings: Findings
    names: list[str]
    num_steps: int
    env_args: dict[str, Any]


def validate_dataset(
    path: str | Path,
    num_replays: int = 0,
    seed: int = 1,
    on_progress: OnProgress = lambda *_: None,
    time_limit: float | None = TIME_LIMIT,
) -> ValidationReport:
    """Check all of a dataset in Isaac Lab's layout.

    A child process reads the file, since HDF5 may crash on damaged files, or read them indefinitely.

    Args:
        num_replays: Number of demos, chosen at random, to replay if the file was made on an embedded engine.
        seed: Seed of that choice.
        time_limit: Time after which a file is reported as damaged if no further demo could be read [s]; None reads it
            in this process.

    Raises:
        SourceDataError: the file cannot be read: it is missing, damaged, not HDF5, of a newer format, or has no demos.
    """
    checked = _check_file(path, on_progress) if time_limit is None else _check_in_child(path, on_progress, time_limit)
    findings, replays, note = checked.findings, None, None
    if num_replays:
        replays, note = _replay_some(findings, path, checked.names, checked.env_args, num_replays, seed)
    return ValidationReport(
        path=str(path),
        num_demos=len(checked.names),
        num_steps=checked.num_steps,
        num_errors=findings.number("error"),
        num_warnings=findings.number("warning"),
        counts={f"{level}: {check}": count for (level, check), count in findings.counts.items()},
        findings=tuple(findings.kept),
        replays=replays,
        replay_note=note,
    )


def _check_file(path: str | Path, on_progress: OnProgress = lambda *_: None) -> _CheckedFile:
    """Read and check a whole file in this process.

    Raises:
        SourceDataError: as `validate_dataset`.
    """
    findings = Findings()
    with open_hdf5(path) as file:
        format_version(file)
        names = demo_names(file)
        # Texts of variable length lie in heaps, where HDF5 may loop or crash: all of them are read.
        for item in (file, file["data"]):
            dict(item.attrs)
        env_args = _check_env_args(findings, file["data"])
        is_converted = _EXPORTED in env_args or _IMPORTED in file["data"].attrs
        _check_names(findings, names)
    num_steps = _check_demos(DemoChecker(findings, env_args, is_converted), path, names, on_progress)
    with open_hdf5(path) as file:
        _check_total(findings, file["data"], num_steps)
        _check_masks(findings, file, names)
    return _CheckedFile(findings, names, num_steps, env_args)


def _check_in_child(path: str | Path, on_progress: OnProgress, time_limit: float) -> _CheckedFile:
    """Run `_check_file` in a process of its own."""
    connection, theirs = Pipe()
    # Not by `multiprocessing`: it would import the user's main module again.
    program = f"from {__name__} import serve; serve({theirs.fileno()})"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        pass_fds=[theirs.fileno()],
        stderr=subprocess.DEVNULL,  # A crash is reported below; errors come through the connection.
        env=os.environ | {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
    )
    theirs.close()
    try:
        connection.send((str(path), time_limit))
        while isinstance(answer := connection.recv(), tuple):
            on_progress(*answer)
    except (EOFError, ConnectionError) as error:
        raise SourceDataError(f"{path}: {_death(process.wait(), time_limit)}; copy or make the file again") from error
    finally:
        process.kill()
        process.wait()
        connection.close()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _death(exit_code: int, time_limit: float) -> str:
    if exit_code == -signal.SIGALRM:
        return f"the file is damaged: HDF5 reads it without end (no progress for {time_limit:g} s)"
    cause = signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"
    return f"the file is damaged: HDF5 crashes reading it ({cause})"


def serve(descriptor: int) -> None:
    """Run by the child process: answer with progress, then with a `_CheckedFile` or the error."""
    connection = Connection(descriptor)
    path, time_limit = connection.recv()

    def report(*progress: int) -> None:
        # The system kills this process where HDF5 never returns, even after the parent is gone.
        signal.setitimer(signal.ITIMER_REAL, time_limit)
        if progress:
            connection.send(progress)

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    report()
    try:
        answer: _CheckedFile | Exception = _check_file(path, report)
    except Exception as error:
        answer = error
    connection.send(answer)


def _check_env_args(findings: Findings, data: h5py.Group) -> dict[str, Any]:
    place, remedy = "data.attrs['env_args']", "write what the environment was as JSON"
    text = data.attrs.get("env_args")
    try:
        env_args = None if text is None else json.loads(text)
    except (ValueError, TypeError):
        env_args = str(text)
    if not isinstance(env_args, dict):
        found = "missing" if env_args is None else repr(env_args)[:60]
        findings.error("env_args", place, found, "a JSON object", remedy)
        return {}
    for key, kind in _ENV_ARGS.items():
        if not isinstance(env_args.get(key), kind):
            findings.error("env_args", f"{place}: {key}", repr(env_args.get(key)), kind.__name__, remedy)
    return env_args


def _check_names(findings: Findings, names: list[str]) -> None:
    """`demo_0`, `demo_1`, ... without gaps."""
    remedy = "merge or export the file anew, which numbers its demos"
    numbers = {int(name[5:]) for name in names if re.fullmatch(r"demo_(0|[1-9]\d{0,17})", name)}
    for name in names:
        if not re.fullmatch(r"demo_(0|[1-9]\d{0,17})", name):
            findings.error("numbering", f"data/{name}", "a group of another name", "demo_<number>", remedy)
    missing = next((number for number in range(len(numbers)) if number not in numbers), None)
    if missing is not None:
        findings.error("numbering", "data", f"no demo_{missing}", f"demo_0 to demo_{len(numbers) - 1}", remedy)


def _check_demos(checker: DemoChecker, path: str | Path, names: list[str], on_progress: OnProgress) -> int:
    """Check every demo, and that no two have the same actions; the number of steps of all."""
    findings, num_steps = checker.findings, 0
    seen: dict[bytes, str] = {}
    for index, (name, demo) in enumerate(each_demo(path, names)):
        actions = checker.check(name, demo)
        if actions is not None:
            num_steps += len(actions)
            key = hashlib.blake2b(np.ascontiguousarray(actions).tobytes(), digest_size=16).digest()
            twin = seen.setdefault(key, name)
            if twin != name:
                findings.error("duplicate", name, f"the actions of {twin}", "actions of its own", "leave one of them out")
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
    masks, known, remedy = file.get("mask"), {*names}, "split the file again (split_dataset)"
    if masks is None:
        return
    if not isinstance(masks, h5py.Group):
        findings.error("mask", "mask", "a dataset", "a group of masks", remedy)
        return
    demos_of: dict[str, list[str]] = {}
    for mask, dataset in datasets_below(masks):
        values = np.ravel(dataset[()] if dataset.shape is not None else [])
        demos = [text_of(value) for value in values]
        demos_of[mask] = demos
        strangers = [name for name in demos if name not in known]
        if strangers:
            findings.error("mask", f"mask/{mask}", f"'{strangers[0]}' is in it", "demos of the file", remedy)
        if len({*demos}) < len(demos):
            findings.error("mask", f"mask/{mask}", "a demo twice", "each demo once", remedy)
    both = {*demos_of.get("train", ())} & {*demos_of.get("valid", ())}
    if both:
        findings.error("mask", "mask", f"'{min(both)}' is in train and in valid", "either", remedy)


def _replay_some(
    findings: Findings, path: str | Path, names: list[str], env_args: Mapping[str, Any], num_replays: int, seed: int
) -> tuple[dict[str, Any] | None, str | None]:
    """Summary of the replays, or why there were none."""
    from isaaclab_mimic_ext.config import SimCfg
    from isaaclab_mimic_ext.datasets.replay import EMBEDDED, make_recorded_env, replay_file, summary

    if env_args.get("engine") not in EMBEDDED:
        return (
            None,
            f"the file was made on '{env_args.get('engine', 'an engine that it does not name')}', not an embedded engine",
        )
    chosen = np.random.default_rng(seed).permutation(len(names))[:num_replays]
    try:
        env = make_recorded_env(env_args, SimCfg(), len(chosen))
        try:
            results = list(replay_file(env, path, [names[index] for index in sorted(chosen)], _NUM_SUCCESS_STEPS))
        finally:
            env.close()
    except (MimicError, LookupError, RuntimeError, ValueError) as error:
        return None, " ".join(str(error).split())[:300]
    for result in results:
        if result.recorded_success and not result.success:
            distance = "" if result.object_error is None else f", objects off by {result.object_error:.2g} m"
            findings.warning(
                "replay",
                result.name,
                f"fails when replayed{distance}",
                "success, as recorded",
                "replay it (replay_demos) and look",
            )
    return summary(results), None
