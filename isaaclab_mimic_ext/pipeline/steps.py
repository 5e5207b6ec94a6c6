"""The steps of a pipeline as command lines of the scripts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from isaaclab_mimic_ext.config import PipelineCfg
from isaaclab_mimic_ext.config.hydra import conf_dir
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.files.folder import OutputFile, OutputFolder
from isaaclab_mimic_ext.files.lock import FolderLock
from isaaclab_mimic_ext.task import task_dir, task_dirs

STEPS = ("record", "annotate", "generate", "split", "train", "evaluate")
_START_OVER, _GO_ON = ("overwrite=true",), ("resume=true",)


@dataclass(frozen=True)
class Step:
    """One script's run.

    Attributes:
        kind: of `STEPS`.
        arguments: what decides the result.
        outputs: files that are there when it is done.
        fresh, resumed: arguments for a start over what is there, and to go on with what is there.
        goes_on_with: the file without which there is nothing to go on with; None: the script always starts anew.
    """

    name: str
    kind: str
    script: str
    arguments: tuple[str, ...]
    outputs: tuple[Path, ...]
    fresh: tuple[str, ...] = ()
    resumed: tuple[str, ...] = ()
    goes_on_with: Path | None = None

    @property
    def can_go_on(self) -> bool:
        """Whether it was interrupted after it had left something to go on with."""
        return self.goes_on_with is not None and self.goes_on_with.exists()


class PipelineFolder(OutputFolder):
    """Paths of each step's outputs."""

    content = "a pipeline"

    raw = OutputFile("raw.hdf5")
    annotated = OutputFile("annotated.hdf5")
    generation = OutputFile("generation")
    demos = OutputFile("generation/demo.hdf5")
    evaluation = OutputFile("evaluation")
    page = OutputFile("report.html")
    stamps = OutputFile("stamps.json")

    @property
    def lock(self) -> FolderLock:
        """Lock of the pipeline and of the step that it runs, which is not waited for if it outlives the pipeline."""
        note = " (a pipeline, or a step that it left running)"
        return FolderLock(self.path / "pipeline.lock", grace_of_the_dead=0.0, note=note)

    def training(self, seed: int) -> Path:
        return self.path / "training" / f"seed_{seed}"

    def log(self, step: str) -> Path:
        return self.path / "logs" / f"{step}.txt"


def build_steps(cfg: PipelineCfg, folder: PipelineFolder) -> list[Step]:
    """The steps in their order.

    Raises:
        ConfigError: the task's own overrides are broken.
    """
    own = task_overrides(task_of(cfg.task_name))
    extra = {kind: _overridden(own.get(kind, ()), getattr(cfg, kind)) for kind in STEPS}
    trainings = [_training(cfg, folder, seed, extra["train"]) for seed in cfg.seeds]
    # Without numbered checkpoints the last one has a name of its own.
    name = "last" if "save_every=0" in extra["train"] else f"model_epoch_{cfg.epochs}"
    return [*_data_steps(cfg, folder, extra), *trainings, _evaluation(cfg, folder, name, extra["evaluate"])]


def _overridden(own: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """A task's overrides, but for the fields that the user gives, and the user's."""
    fields = {_field(override) for override in given}
    return (*(override for override in own if _field(override) not in fields), *given)


def _field(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _data_steps(cfg: PipelineCfg, folder: PipelineFolder, extra: Mapping[str, tuple[str, ...]]) -> list[Step]:
    scene = f"task={cfg.task_name}"
    recorded = (scene, f"num_demos={cfg.num_sources}", f"output_file={folder.raw}", *extra["record"])
    annotated = (scene, f"input_file={folder.raw}", f"output_file={folder.annotated}", *extra["annotate"])
    target = (f"num_envs={cfg.num_envs}", f"generation_num_trials={cfg.num_demos}")
    places = (f"input_file={folder.annotated}", f"output_dir={folder.generation}")
    split = (f"input_file={folder.demos}", *extra["split"])
    generated = (scene, *places, *target, *extra["generate"])
    return [
        Step("record", "record", "record_demos", recorded, (folder.raw,), _START_OVER),
        Step("annotate", "annotate", "annotate_demos", annotated, (folder.annotated,), _START_OVER),
        Step(
            "generate",
            "generate",
            "generate",
            generated,
            (folder.demos,),
            _START_OVER,
            _GO_ON,
            folder.generation / "run.sqlite",
        ),
        Step("split", "split", "split_dataset", split, (folder.demos,)),
    ]


def _training(cfg: PipelineCfg, folder: PipelineFolder, seed: int, extra: tuple[str, ...]) -> Step:
    run = folder.training(seed)
    what = (f"task={cfg.task_name}", f"algo={cfg.algo}", f"dataset={folder.demos}", f"epochs={cfg.epochs}", f"seed={seed}")
    arguments = (*what, f"output_dir={run}", *extra)
    last = run / "models" / "last.pth"
    return Step(f"train seed {seed}", "train", "train", arguments, (last,), _START_OVER, _GO_ON, last)


def _evaluation(cfg: PipelineCfg, folder: PipelineFolder, name: str, extra: tuple[str, ...]) -> Step:
    checkpoints = ",".join(str(folder.training(seed) / "models" / f"{name}.pth") for seed in cfg.seeds)
    judged = (f"checkpoint=[{checkpoints}]", f"num_envs={cfg.num_envs}", f"num_episodes={cfg.num_episodes}")
    places = (f"input_file={folder.demos}", f"output_dir={folder.evaluation}")
    report = folder.evaluation / "evaluation.json"
    arguments = (f"task={cfg.task_name}", *judged, *places, *extra)
    return Step("evaluate", "evaluate", "evaluate", arguments, (report,), _START_OVER)


def task_of(preset: str) -> str:
    """The task whose preset `task=<preset>` is: presets name it among their defaults."""
    paths = [folder / "task" / f"{preset}.yaml" for folder in (*task_dirs()[1:], conf_dir())]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return preset
    content: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    bases = [base for base in content.get("defaults", []) if isinstance(base, str) and base != "_self_"]
    own = content.get("task", {}).get("name")
    return own or next((task_of(base) for base in bases), preset)


def task_overrides(task: str) -> Mapping[str, Sequence[str]]:
    """What a task's pipeline changes of the scripts' defaults: step -> overrides.

    Raises:
        ConfigError: its file names no step, or is no JSON.
    """
    path = task_dir(task) / "agents" / "pipeline.json"
    if not path.is_file():
        return {}
    try:
        overrides = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"task: {path} is no JSON ({error}); correct it") from error
    for kind in overrides:
        if kind not in STEPS:
            raise ConfigError(f"task: {path}: there is no step '{kind}'; {choices(kind, STEPS)}")
    return overrides
