"""The steps of a pipeline: their command lines, in their order, and the record of those that are finished."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from isaaclab_mimic_ext import __version__
from isaaclab_mimic_ext.config import PipelineCfg
from isaaclab_mimic_ext.config.hydra import conf_dir, utf8_errors
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.files.writing import write_json
from isaaclab_mimic_ext.learn.agents import CHUNKED, IMAGES, has_agent
from isaaclab_mimic_ext.report.pipeline_page import PipelineFolder
from isaaclab_mimic_ext.task.folders import task_dir, task_dirs

STEPS = ("record", "annotate", "generate", "split", "render", "train", "evaluate")
"""Verbs that a pipeline runs; `PipelineCfg` has a field of overrides for each."""

_REASONS = "why"
"""Key of the reasons in a task's `pipeline.json`."""


@dataclass(frozen=True)
class Step:
    """One run of a command.

    Attributes:
        verb: one of `STEPS`.
        arguments: overrides of the command, except `resume` and `overwrite`.
        output: file that exists when the step is finished.
        after: steps whose results this step uses.
        resumes_from: file that an interrupted run leaves; None if the command cannot resume.
        seed: seed of a training; None for other steps.
    """

    verb: str
    arguments: tuple[str, ...]
    output: Path
    after: tuple["Step", ...] = ()
    resumes_from: Path | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        return self.verb if self.seed is None else f"{self.verb} seed {self.seed}"

    @property
    def key(self) -> str:
        """Digest of all inputs that decide the result: version, command line, and the keys of the steps in `after`."""
        decisive = [__version__, self.verb, self.arguments, [step.key for step in self.after]]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()

    def command_line(self, resume: bool) -> tuple[str, ...]:
        """Arguments of `mimic`: the verb and its overrides.

        Args:
            resume: resume an interrupted run if possible, instead of replacing it.
        """
        if self.verb == "split":
            return (self.verb, *self.arguments)  # Always replaces an existing split.
        can_resume = resume and self.resumes_from is not None and self.resumes_from.exists()
        return (self.verb, *self.arguments, "resume=true" if can_resume else "overwrite=true")


class Record:
    """Key and duration of the last run of each step, and digest of its output; saved as a JSON file."""

    def __init__(self, path: Path):
        self._path = path
        try:
            self._steps: dict[str, dict[str, Any]] = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self._steps = {}  # Without a record, no step is up to date.

    def is_up_to_date(self, step: Step) -> bool:
        """Return whether the step has finished with its present key, and its output has not changed since."""
        entry = self._steps.get(step.name, {})
        if entry.get("key") != step.key or entry["seconds"] is None or not step.output.is_file():
            return False
        return entry["output"] is None or entry["output"] == _digest(step.output)

    def is_changed(self, step: Step) -> bool:
        """Return whether the output of the step has changed since the step has finished with its present key."""
        entry = self._steps.get(step.name, {})
        is_finished = entry.get("key") == step.key and entry["seconds"] is not None and entry["output"] is not None
        return is_finished and step.output.is_file() and entry["output"] != _digest(step.output)

    def is_interrupted(self, step: Step) -> bool:
        """Return whether the last run of the step had its present key and did not finish."""
        entry = self._steps.get(step.name, {})
        return entry.get("key") == step.key and entry["seconds"] is None

    def seconds(self, step: Step) -> float | None:
        """Duration of the last run of the step [s]; None if the run did not finish."""
        return self._steps.get(step.name, {}).get("seconds")

    def start(self, step: Step) -> None:
        self._set(step, None, None)

    def finish(self, step: Step, seconds: float) -> None:
        self._set(step, seconds, _digest(step.output))

    def _set(self, step: Step, seconds: float | None, digest: str | None) -> None:
        self._steps[step.name] = {"key": step.key, "seconds": seconds, "output": digest}
        for earlier in step.after:
            # `split` adds masks to the output of `generate`: its digest is unknown until `split` has finished.
            if earlier.output == step.output:
                self._steps[earlier.name]["output"] = digest
        write_json(self._path, self._steps)


def _digest(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def build_steps(cfg: PipelineCfg, folder: PipelineFolder) -> list[Step]:
    """Build the steps of a pipeline, in the order in which they run.

    Raises:
        ConfigError: the pipeline file of the task is not valid.
    """
    if cfg.render and cfg.algo != IMAGES:
        raise ConfigError(f"render: requires algo={IMAGES}, which is trained on pictures (got algo={cfg.algo}); omit render")
    own = task_overrides(task_of(cfg.task_name))
    extra = {verb: _overridden(own.get(verb, ()), getattr(cfg, verb)) for verb in STEPS}
    scene = f"task={cfg.task_name}"
    recorded = (scene, f"num_demos={cfg.num_sources}", f"output_file={folder.raw}", *extra["record"])
    record = Step("record", recorded, folder.raw)
    annotated = (scene, f"input_file={folder.raw}", f"output_file={folder.annotated}", *extra["annotate"])
    annotate = Step("annotate", annotated, folder.annotated, (record,))
    places = (f"input_file={folder.annotated}", f"output_dir={folder.generation}")
    num_envs = "null" if cfg.num_envs is None else cfg.num_envs
    target = (f"num_envs={num_envs}", f"generation_num_trials={cfg.num_demos}")
    generated = (scene, *places, *target, *extra["generate"])
    generate = Step("generate", generated, folder.demos, (annotate,), resumes_from=folder.generation / "run.sqlite")
    split = Step("split", (f"input_file={folder.demos}", *extra["split"]), folder.demos, (generate,))
    render = Step("render", _rendered(cfg, folder, extra["render"]), folder.pictures, (split,), folder.pictures_part)
    drawn = [render] if cfg.algo == IMAGES else []
    data = [split, *drawn][-1]
    trainings = [_training(cfg, folder, seed, data, extra["train"]) for seed in cfg.seeds]
    # Without numbered checkpoints, evaluate the last one.
    name = "last" if "save_every=0" in extra["train"] else f"model_epoch_{cfg.epochs}"
    return [
        record,
        annotate,
        generate,
        split,
        *drawn,
        *trainings,
        _evaluation(cfg, folder, trainings, name, extra["evaluate"]),
    ]


def _rendered(cfg: PipelineCfg, folder: PipelineFolder, extra: tuple[str, ...]) -> tuple[str, ...]:
    return f"task={cfg.task_name}", f"input_file={folder.demos}", f"output_file={folder.pictures}", *extra


def _training(cfg: PipelineCfg, folder: PipelineFolder, seed: int, data: Step, extra: tuple[str, ...]) -> Step:
    run = folder.training(seed)
    last = run / "models" / "last.pth"
    places = (f"input_file={data.output}", f"output_dir={run}")
    settings = (f"algo={cfg.algo}", f"epochs={cfg.epochs}", f"seed={seed}")
    return Step("train", (f"task={cfg.task_name}", *places, *settings, *extra), last, (data,), resumes_from=last, seed=seed)


def _evaluation(
    cfg: PipelineCfg, folder: PipelineFolder, trainings: Sequence[Step], checkpoint: str, extra: tuple[str, ...]
) -> Step:
    paths = ",".join(str(training.output.with_name(f"{checkpoint}.pth")) for training in trainings)
    num_envs = () if cfg.num_envs is None else (f"num_envs={cfg.num_envs}",)
    sizes = (f"checkpoint=[{paths}]", *num_envs, f"num_episodes={cfg.num_episodes}")
    places = (f"input_file={folder.demos}", f"output_dir={folder.evaluation}")
    arguments = (f"task={cfg.task_name}", *sizes, *places, *extra)
    return Step("evaluate", arguments, folder.evaluation / "evaluation.json", tuple(trainings))


def _overridden(own: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """Overrides of the task, except for fields that the user overrides, followed by the overrides of the user."""
    fields = {_field(override) for override in given}
    return (*(override for override in own if _field(override) not in fields), *given)


def _field(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def default_algo(task: str) -> str:
    """Algorithm of a pipeline: `bc`, for which the settings of the included tasks are made, if the task has this agent."""
    return "bc" if has_agent(task, "bc") else CHUNKED


def task_of(preset: str) -> str:
    """Name of the task that `task=<preset>` belongs to: the file of a preset lists the task in its defaults."""
    paths = [folder / "task" / f"{preset}.yaml" for folder in (*task_dirs()[1:], conf_dir())]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return preset
    with utf8_errors(path):
        content: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    bases = [base for base in content.get("defaults", []) if isinstance(base, str) and base != "_self_"]
    own = content.get("task", {}).get("name")
    return own or next((task_of(base) for base in bases), preset)


def task_overrides(task: str) -> Mapping[str, Sequence[str]]:
    """Overrides that a task defines for the commands of its pipeline, by verb.

    Raises:
        ConfigError: the file of the task is not valid JSON, or names an unknown step.
    """
    return {verb: overrides for verb, overrides in _pipeline_file(task).items() if verb != _REASONS}


def task_reasons(task: str) -> Mapping[str, str]:
    """Reasons of a task's overrides: pattern of fields, such as `subtask_configs.*.action_noise` -> reason.

    Raises:
        ConfigError: the file of the task is not valid.
    """
    return _pipeline_file(task).get(_REASONS, {})


def _pipeline_file(task: str) -> dict[str, Any]:
    """Content of a task's `agents/pipeline.json`; empty if the task has none."""
    path = task_dir(task) / "agents" / "pipeline.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"task: {path} is not valid JSON ({error}); correct it") from error
    for name in content:
        if name not in (*STEPS, _REASONS):
            raise ConfigError(f"task: {path}: '{name}' is not a step; {choices(name, STEPS)}")
    reasons = content.get(_REASONS, {})
    if not isinstance(reasons, dict) or not all(isinstance(reason, str) for reason in reasons.values()):
        raise ConfigError(f"task: {path}: '{_REASONS}' must be an object of fields and reasons (got {reasons!r})")
    return content
