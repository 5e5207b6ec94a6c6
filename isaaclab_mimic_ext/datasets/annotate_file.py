"""Annotate a file of recorded demos: replay them and write their subtask signals."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.config import AnnotateDemosCfg, FileCfg, MimicEnvCfg
from isaaclab_mimic_ext.config.recorded_task import check_recorded_task
from isaaclab_mimic_ext.datasets.annotate import Annotation, SignalSource, annotate
from isaaclab_mimic_ext.datasets.annotated_from import (
    ANNOTATED_DEMOS,
    ANNOTATED_FROM,
    Contents,
    contents_as_text,
    contents_of,
)
from isaaclab_mimic_ext.datasets.marks import DemoMarks, actions_digest, check_owner, read_marks
from isaaclab_mimic_ext.datasets.replay import AfterStep, read_demos, read_provenance
from isaaclab_mimic_ext.datasets.replay_progress import ReplayProgress
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import config_of
from isaaclab_mimic_ext.errors import ConfigError, MimicError, RecorderError, SourceDataError
from isaaclab_mimic_ext.files.dataset_file import DatasetFile
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.files.hdf5 import format_version, open_hdf5, quaternion_columns
from isaaclab_mimic_ext.files.quaternions import ENTRY, as_entry
from isaaclab_mimic_ext.files.selection import Chosen, read_masks
from isaaclab_mimic_ext.files.stream import read_env_args, read_facts
from isaaclab_mimic_ext.files.writing import HDF5_ERRORS, check_output, write_errors
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

Explain = Callable[[str | Path, Sequence[str]], Mapping[str, str]]


def no_reasons(path: str | Path, names: Sequence[str]) -> Mapping[str, str]:
    """Return no reasons for the rejection of demos."""
    return {}


def annotate_file(
    input_file: str | Path,
    output_file: str | Path,
    env: MimicEnv,
    config: MimicEnvCfg | AnnotateDemosCfg | None = None,
    *,
    auto: bool = True,
    start_signals: bool = False,
    marks_file: str | Path | None = None,
    marks: Mapping[str, DemoMarks] | None = None,
    recorder: FileCfg | None = None,
    overwrite: bool = False,
    demos: Chosen = None,
    explain: Explain = no_reasons,
    after_step: AfterStep = lambda *_: None,
) -> list[Annotation]:
    """Replay recorded demos and write them with the poses, targets and subtask signals that `generate` reads.

    Args:
        input_file: recorded demos.
        output_file: annotated file to write. It contains the demos whose replay succeeds and whose signals are complete.
        env: environment of their task; its N envs replay N demos at a time.
        config: subtasks and `num_success_steps`; None: those of the environment's task.
        auto: take signals from the task; False: only from `marks_file` or `marks`.
        start_signals: annotate start signals, too (SkillGen).
        marks_file: YAML with the steps at which signals rise, `demo_0: {term: {lift: 116}}`; replaces signals of the task.
        marks: the same by demo, used instead of `marks_file`.
        recorder: file options; None: uncompressed, quaternions as xyzw.
        overwrite: replace an existing file.
        demos: demos to annotate: names of demos and masks, with `-` in front to exclude them; None: all.
        explain: called with the file and the names of rejected demos; returns a reason for each, as far as it is known.
        after_step: called after each step of a replay; an exception ends the annotation, and no file is written.

    Returns:
        One annotation per demo that can be replayed; `rejection` states why a demo was left out.

    Raises:
        UsageError: an argument is wrong; no file is written.
        MimicError: all demos were rejected, or the file cannot be written; no partial file remains.
    """
    if not auto and marks_file is None and marks is None:
        raise ConfigError("auto: false requires a marks_file with the steps at which subtasks end; set it, or use auto=true")
    config, options, output = config or config_of(env), recorder or FileCfg(), Path(output_file)
    check_output(output, overwrite)
    if (task := getattr(env, "task", None)) is not None:
        check_recorded_task(input_file, read_env_args(input_file), task)
    recorded = read_demos(input_file, read_facts(input_file, demos).demo_names)
    _warn_if_annotated(input_file)
    if marks_file is not None and marks is None:
        marks = read_marks(str(marks_file), read_facts(input_file).demo_names, signal_names(env, config))
    contents = contents_of({demo.name: actions_digest(demo) for demo in recorded}, marks or {})
    recorded = _without_left_out(recorded, marks or {}, str(marks_file or input_file))
    source = SignalSource(auto, start_signals, marks or {})
    annotations = _annotate_batches(env, recorded, config, source, after_step)
    rejected = [annotation.demo.name for annotation in annotations if annotation.rejection is not None]
    reasons = explain(input_file, rejected) if rejected else {}
    for annotation in annotations:
        _log_annotation(annotation, reasons.get(annotation.demo.name))
    accepted = [annotation for annotation in annotations if annotation.rejection is None]
    for annotation in accepted:
        _warn_about_values(annotation.demo)
    if not accepted:
        raise MimicError(
            f"{input_file}: {counted(len(recorded), 'demo was', 'demos were')} rejected (reasons above); no file was written"
        )
    file_options = _attributes(Path(input_file), contents), options.compression, options.format_version, overwrite
    env_args = _env_args(env, input_file)
    with write_errors(output, errors=HDF5_ERRORS):
        file = DatasetFile(output, env_args, *file_options)
    _write(accepted, file, _renamed_masks(input_file, [annotation.demo.name for annotation in accepted]))
    log.info("Annotated %d of %s; saved to %s", len(accepted), counted(len(recorded), "demo"), output)
    return annotations


def _attributes(recording: Path, contents: Contents) -> dict[str, Any]:
    """Attributes of an annotated file: it stays the same as long as the demos of its recording and their marks do."""
    own = {ANNOTATED_FROM: recording.name, ANNOTATED_DEMOS: contents_as_text(contents)}
    return {name: value for name, value in {**read_provenance(recording), **own}.items() if name != "num_attempts"}


def _without_left_out(recorded: list[Demo], marks: Mapping[str, DemoMarks], place: str) -> list[Demo]:
    """Demos that the marks do not leave out.

    Args:
        place: file of the marks, for messages.

    Raises:
        SourceDataError: marks belong to a different demo, or all demos are left out.
    """
    for demo in recorded:
        check_owner(f"{place}: {demo.name}", marks.get(demo.name, DemoMarks()), demo)
    left_out = {name for name, of_demo in marks.items() if of_demo.leave_out}
    kept = [demo for demo in recorded if demo.name not in left_out]
    if not kept:
        raise SourceDataError(f"{place}: must not leave out all demos; remove leave_out of a demo")
    for demo in recorded:
        if demo.name in left_out:
            log.info("%s: left out", demo.place)
    return kept


def _warn_if_annotated(path: str | Path) -> None:
    if (recording := read_provenance(path).get(ANNOTATED_FROM)) is not None:
        log.warning(
            "%s is already annotated (from %s); annotating it again is needed only for other signals", path, recording
        )


def _annotate_batches(
    env: MimicEnv,
    demos: list[Demo],
    config: MimicEnvCfg | AnnotateDemosCfg,
    source: SignalSource,
    after_step: AfterStep,
) -> list[Annotation]:
    """Replay and annotate demos, N at a time; one annotation per demo."""
    annotations: list[Annotation] = []
    progress = ReplayProgress([demo.num_steps for demo in demos], env.num_envs)
    num_success_steps = config.datagen_config.num_success_steps

    def report(*arguments: Any) -> None:
        after_step(*arguments)
        progress.after_step(*arguments)

    for start in range(0, len(demos), env.num_envs):
        batch = demos[start : start + env.num_envs]
        # Unused envs repeat the last demo.
        padded = batch + [batch[-1]] * (env.num_envs - len(batch))
        found = annotate(env, padded, config.subtask_configs, num_success_steps, source, report)
        annotations += found[: len(batch)]
    return annotations


def _warn_about_values(demo: Demo) -> None:
    """Warn about values that the replay does not need, and that are copied."""
    for path, step in demo.nonfinite():
        log.warning("%s: %s: NaN or infinity at step %d is copied, and makes training fail", demo.place, path, step)


def _renamed_masks(path: str | Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Masks of a file with the names that its accepted demos get in the output; without masks that become empty."""
    with open_hdf5(path) as file:
        masks = read_masks(file)
    renamed = {name: f"demo_{index}" for index, name in enumerate(names)}
    kept = {mask: [renamed[name] for name in demos if name in renamed] for mask, demos in masks.items()}
    for mask in (mask for mask, demos in kept.items() if not demos):
        log.warning("mask/%s: left out, because none of its demos was annotated", mask)
    return {mask: demos for mask, demos in kept.items() if demos}


def _write(accepted: list[Annotation], file: DatasetFile, masks: Mapping[str, Sequence[str]]) -> None:
    try:
        with write_errors(file.path, errors=HDF5_ERRORS):
            for annotation in accepted:
                attributes = {**annotation.demo.attributes, "recorded_as": annotation.demo.name, "success": True}
                file.add_demo(annotation.leaves, attributes)
            file.finish({}, masks)
            file.publish()
    except RecorderError:
        with suppress(OSError, RuntimeError):
            file.discard()
        raise


def _env_args(env: MimicEnv, path: str | Path) -> dict[str, Any]:
    """env_args of the output: those of the env, but with the quaternion columns of the input file.

    Observations are copied from the input file; columns that it does not declare as quaternions are copied unchanged.
    """
    env_args = env.env_args()
    with open_hdf5(path) as file:
        if format_version(file) < 1:
            env_args.pop(ENTRY, None)
            env_args |= as_entry(quaternion_columns(file))
    return env_args


def signal_names(env: MimicEnv, config: MimicEnvCfg | AnnotateDemosCfg) -> tuple[str, ...]:
    """Names of all signals of the task; for a task of Isaac Lab's registry, those that its subtasks name."""
    task = getattr(env, "task", None)
    if task is not None:
        return tuple(task.signal_names)
    named = (subtask.subtask_term_signal for subtasks in config.subtask_configs.values() for subtask in subtasks)
    return tuple(filter(None, named))


def _log_annotation(annotation: Annotation, reason: str | None) -> None:
    name = annotation.demo.place
    if annotation.rejection is not None:
        because = "" if reason is None else f"; {reason}"
        log.warning("%s: rejected: %s%s", name, annotation.rejection, because)
        return
    for eef_name, ends in annotation.ends.items():
        log.info("%s: %s: subtasks end at steps %s", name, eef_name, ", ".join(str(end - 1) for end in ends))
    for eef_name, starts in annotation.starts.items():
        log.info("%s: %s: skills start at steps %s", name, eef_name, ", ".join(map(str, starts)))
