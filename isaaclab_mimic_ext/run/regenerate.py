"""Generate a dataset again from what it records, and compare the digests of its demos."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
from omegaconf import OmegaConf

from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.config.bounds import scene_device_fault
from isaaclab_mimic_ext.config.recorded_task import find_recorded_task
from isaaclab_mimic_ext.config.task import BUDGETS
from isaaclab_mimic_ext.errors import OutputError, SourceDataError
from isaaclab_mimic_ext.files.attributes import whole_number
from isaaclab_mimic_ext.files.dataset_file import DIGEST, installed_versions
from isaaclab_mimic_ext.files.digest import ORIGINAL_DIGEST, demo_digest, matches_digest
from isaaclab_mimic_ext.files.hdf5 import damage_errors, each_demo, plain_value, text_of, texts_of
from isaaclab_mimic_ext.files.selection import Chosen
from isaaclab_mimic_ext.files.stream import FileFacts, read_facts
from isaaclab_mimic_ext.run.build import config_of_values
from isaaclab_mimic_ext.run.generate import ShouldStop, generate_run, progress_bar
from isaaclab_mimic_ext.run.provenance import CODE, SOURCE_DEMOS, TASK, provenance
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.session import RunFolder

log = logging.getLogger(__name__)

_ANY_RUN = "any num_envs, and after resume"
"""Attribute `same_digest_with` of datasets whose digests do not depend on the machine's load or the number of envs."""
_CONVERTED = {"merged_from": "mimic merge", "env_kwargs": "mimic export", "source_env_args": "mimic import"}
"""Attribute of a file that was not written by a generation -> command that wrote the file."""


@dataclass(frozen=True)
class Recipe:
    """What a dataset was generated from.

    Attributes:
        path: the dataset.
        cfg: configuration of the run that generates the dataset again.
        digests: trial -> digest of its demo, as it was generated.
        names: trial -> name of its demo.
        changes: what differs now from the time when the dataset was generated, as parts of a sentence.
        is_promised: whether an unchanged machine generates the same digests.
        edited: names of the demos whose data do not match their digests.
        num_removed: number of generated demos that are no longer in the dataset.
        not_compared: trials of the other demos in the dataset.
    """

    path: Path
    cfg: GenerateCfg
    digests: dict[int, str]
    names: dict[int, str]
    changes: tuple[str, ...]
    is_promised: bool
    edited: tuple[str, ...] = ()
    num_removed: int = 0
    not_compared: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Regenerated:
    """Result of generating a dataset again.

    Attributes:
        dataset: the new dataset.
        num_demos: number of demos in the old dataset that were compared.
        num_same: number of demos of the old dataset whose trials have the same digests now.
        first_difference: name of the first demo that differs; None if there is none.
        is_same: whether the compared demos are in both datasets, and no others but those that were removed from the old one.
        is_promised: whether the same digests are promised on this engine and device.
        changes: what differs from the time when the old dataset was generated.
        edited: names of the demos in the old dataset whose data do not match their digests; they count as different.
        num_additional: number of demos in the new dataset whose trials are not in the old one.
    """

    dataset: str
    num_demos: int
    num_same: int
    first_difference: str | None
    is_same: bool
    is_promised: bool
    changes: tuple[str, ...]
    edited: tuple[str, ...] = ()
    num_additional: int = 0


def regenerate(
    input_file: str | Path,
    output_dir: str | Path,
    *,
    source_file: str | Path | None = None,
    num_envs: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
    demos: Chosen = None,
) -> Regenerated:
    """Generate a dataset again from the configuration, source demos and seed that it records.

    Args:
        input_file: dataset of `generate`.
        output_dir: folder of the new run.
        source_file: source demos; None: the file that the dataset records.
        num_envs: number of environments; None: as recorded.
        resume, overwrite: resume or replace the run in `output_dir`.
        progress: show a progress bar.
        demos: demos to compare: names of demos and masks, with `-` in front to exclude them; None: all. The new run ends
            with the trial of the last one.

    Raises:
        ConfigError: a chosen demo is not in the dataset.
        SourceDataError: the dataset does not record its generation, or its source demos are not found.
        UsageError: the folder cannot be used or contains the dataset, or the task or engine is not available.
    """
    recipe = read_recipe(input_file, source_file, demos)
    cfg = replace(recipe.cfg, output_dir=str(output_dir), num_envs=num_envs or recipe.cfg.num_envs)
    recipe = replace(recipe, cfg=replace(cfg, resume=resume, overwrite=overwrite))
    return compare(recipe, generate_again(recipe, lambda: _unmonitored(progress)))


def generate_again(recipe: Recipe, monitor: Callable[[], AbstractContextManager[ShouldStop]]) -> RunResult:
    """Run the generation of a recipe, as `generate_run`.

    Raises:
        OutputError: the dataset is in the folder of the new run.
    """
    folder = RunFolder(Path(recipe.cfg.output_dir))
    is_same_file = folder.demos.exists() and folder.demos.samefile(recipe.path)
    if is_same_file or folder.path.resolve() in recipe.path.resolve().parents:
        raise OutputError(
            f"output_dir: {folder.path} contains the dataset to compare with ({recipe.path}); use another output_dir"
        )
    return generate_run(recipe.cfg, monitor)


@contextmanager
def _unmonitored(is_shown: bool) -> Iterator[ShouldStop]:
    with progress_bar(is_shown, lambda _: False) as should_stop:
        yield should_stop


def read_recipe(input_file: str | Path, source_file: str | Path | None = None, demos: Chosen = None) -> Recipe:
    """Read what a dataset records about its generation, and collect what has changed since.

    Args:
        demos: as `regenerate`.

    Raises:
        ConfigError, SourceDataError: as `regenerate`.
    """
    facts, chosen = read_facts(input_file), {*read_facts(input_file, demos).demo_names}
    attributes = facts.data_attributes
    _check_generated(facts)
    cfg = _config(facts)
    if cfg.block is not None:
        raise SourceDataError(f"{facts.path}: is a block of a run; collect its blocks, and regenerate the collected dataset")
    if scene_device_fault(cfg.device):
        raise SourceDataError(
            f"{facts.path}: was generated on device {cfg.device}, which this machine does not have; regenerate the dataset "
            "on a machine with this device"
        )
    find_recorded_task(cfg.task.name, facts.env_args, facts.path)
    source = Path(source_file or text_of(attributes.get("source_file", cfg.input_file)))
    if not source.is_file():
        place = f"{facts.path}: was generated from {source}"
        raise SourceDataError(f"{place}, which is not found; give the present path with source_file=<file>")
    all_names = _demos_by_trial(facts)
    names = {trial: name for trial, name in all_names.items() if name in chosen}
    return Recipe(
        facts.path,
        _new_run(cfg, facts, source, _num_trials(facts, all_names, names)),
        _digests(facts.path, names),
        names,
        changes=tuple(_changes(facts, source, cfg.task.name)),
        is_promised=text_of(attributes.get("same_digest_with", "")) == _ANY_RUN,
        edited=tuple(_edited(facts, [*names.values()])),
        num_removed=max(0, (whole_number(attributes.get("num_successes")) or 0) - len(all_names)),
        not_compared=frozenset(all_names.keys() - names.keys()),
    )


def _num_trials(facts: FileFacts, all_names: Mapping[int, str], names: Mapping[int, str]) -> int:
    """Number of trials of the new run: those of the old run, or those until the last demo that is compared."""
    num_attempts = _number(str(facts.path), facts.data_attributes, "num_attempts")
    return max(num_attempts, 1) if names == all_names else max(names) + 1


def _new_run(cfg: GenerateCfg, facts: FileFacts, source: Path, num_trials: int) -> GenerateCfg:
    """Configuration of the new run. A dataset consists of the first trials: the same trials give the same demos."""
    limits: dict[str, Any] = {**dict.fromkeys(BUDGETS), "max_trials": num_trials}
    rules = replace(cfg.datagen_config, **limits)
    sim = replace(cfg.sim, engine=str(facts.env_args.get("engine", cfg.sim.engine)))
    # The workers of the old run, maybe on a cluster, are not needed for the same demos.
    cfg = replace(cfg, num_workers=1, ray_address=None, output_file=None, video=False, debug=False)
    return replace(cfg, sim=sim, datagen_config=rules, input_file=str(source))


def compare(recipe: Recipe, result: RunResult) -> Regenerated:
    """Compare the demos of a dataset with those that were generated again, trial by trial."""
    found = _digests(result.dataset, _demos_by_trial(read_facts(result.dataset))) if result.num_demos else {}
    differing = [
        recipe.names[trial]
        for trial, digest in recipe.digests.items()
        if found.get(trial) != digest or recipe.names[trial] in recipe.edited
    ]
    num_additional = len(found.keys() - recipe.digests.keys() - recipe.not_compared)
    return Regenerated(
        str(result.dataset),
        num_demos=len(recipe.digests),
        num_same=len(recipe.digests) - len(differing),
        first_difference=next(iter(differing), None),
        is_same=not differing and num_additional <= recipe.num_removed,
        is_promised=recipe.is_promised,
        changes=recipe.changes,
        edited=recipe.edited,
        num_additional=num_additional,
    )


def _check_generated(facts: FileFacts) -> None:
    """Refuse files that no single generation wrote."""
    attributes = {**facts.data_attributes, **facts.env_args}
    for name, command in _CONVERTED.items():
        if name in attributes:
            raise SourceDataError(f"{facts.path}: was written by `{command}`; regenerate the files that it was made from")
    if not {"config", "num_attempts"} <= facts.data_attributes.keys():
        raise SourceDataError(
            f"{facts.path}: does not record how it was generated (attributes 'config' and 'num_attempts' of 'data'); use a "
            "finished dataset of `mimic generate`"
        )


def _config(facts: FileFacts) -> GenerateCfg:
    try:
        return config_of_values(OmegaConf.create(text_of(facts.data_attributes["config"])))
    except Exception as error:  # YAML and OmegaConf raise errors of many types.
        reason = next(iter(str(error).splitlines()), "it is not a mapping")
        version = _recorded(facts, "versions").get("isaaclab-mimic-ext", "an earlier version")
        raise SourceDataError(
            f"{facts.path}: its configuration is not one of this version ({reason}); regenerate it with isaaclab_mimic_ext "
            f"{version}, which generated it"
        ) from error


def _recorded(facts: FileFacts, name: str) -> Mapping[str, Any]:
    """Attribute of `data` that contains a JSON object; empty if it is missing or damaged."""
    try:
        found = json.loads(text_of(facts.data_attributes.get(name, "{}")))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _changes(facts: FileFacts, source: Path, task_name: str) -> Iterator[str]:
    names = texts_of(facts.data_attributes.get("source_demo_names", ()))
    recorded, now = _recorded(facts, "provenance"), provenance(source, names, task_name)
    if not recorded:
        yield "whether source demos and code have changed is not known: the dataset records no digests of them"
    for name in (SOURCE_DEMOS, TASK, CODE):
        if name in recorded and recorded[name] != now.get(name):
            yield f"the {name} {'have' if name == SOURCE_DEMOS else 'has'} changed"
    versions, installed = _recorded(facts, "versions"), installed_versions()
    for name in sorted({*versions, *installed}):
        then, present = versions.get(name, "not installed"), installed.get(name, "not installed")
        if then != present:
            yield f"{name} was {then}, now {present}"
    if "prepared" in facts.data_attributes:
        yield "the dataset was changed by `mimic prepare` after it was generated"


def _demos_by_trial(facts: FileFacts) -> dict[int, str]:
    """Trial -> name of its demo.

    Raises:
        SourceDataError: a demo has no valid attribute `trial`, or two demos have the same.
    """
    found: dict[int, str] = {}
    for name, demo in each_demo(facts.path, facts.demo_names):
        trial = _number(f"{facts.path}: {name}", demo.attrs, "trial")
        if trial in found:
            raise SourceDataError(
                f"{facts.path}: {name}: attribute 'trial' is {trial}, like that of {found[trial]}; leave out one of them "
                f"(demos=-{name})"
            )
        found[trial] = name
    return found


def _number(place: str, attributes: Mapping[str, Any], name: str) -> int:
    """Attribute that is a whole number >= 0.

    Raises:
        SourceDataError: the attribute is missing, or is something else.
    """
    if name not in attributes:
        raise SourceDataError(f"{place}: attribute '{name}' not found; use a dataset of `mimic generate`")
    number = whole_number(attributes[name])
    if number is None or number < 0:
        found = plain_value(attributes[name])
        raise SourceDataError(
            f"{place}: attribute '{name}' must be a whole number >= 0 (got {found!r}); use a dataset of `mimic generate`"
        )
    return number


def _edited(facts: FileFacts, names: Sequence[str]) -> Iterator[str]:
    """Yield the names of the demos whose data do not match their digests."""
    for name, demo in each_demo(facts.path, names):
        with damage_errors(facts.path):
            is_edited = not matches_digest(demo)
        if is_edited:
            yield name


def _digests(path: Path, names: Mapping[int, str]) -> dict[int, str]:
    """Trial -> digest of its demo as it was written, also if the demo was changed later."""
    found = {}
    for trial, (_, demo) in zip(names, each_demo(path, list(names.values())), strict=True):
        with damage_errors(path):
            found[trial] = _written_digest(demo)
    return found


def _written_digest(demo: h5py.Group) -> str:
    written = demo.attrs.get(ORIGINAL_DIGEST, demo.attrs.get(DIGEST))
    return demo_digest(demo) if written is None else text_of(written)
