"""What a sweep was about: which fields its jobs differ in, and what each combination of their values gave."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.table import Table

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.learn.results import CheckpointResult, Rate

CONFIG, GENERATION, EVALUATION = "config.yaml", "important_stats.json", "evaluation.json"

_SEED = "seed"

"""Jobs that differ in it alone are added up."""

_OUTPUTS = re.compile(r"(^|\.)(output_dir|output_file|overwrite|resume|progress)$")

"""Fields that say where things go, not what they are."""


@dataclass
class Job:
    """One job of a sweep: the values of its configuration by dotted name, and what it left behind."""

    name: str
    config: dict[str, Any]
    generation: dict[str, Any] | None
    evaluation: dict[str, Any] | None


@dataclass(frozen=True)
class Parameter:
    """Something that was swept: fields that always change together, under the name that they share."""

    name: str
    fields: tuple[str, ...]

    def value(self, job: Job) -> Any:
        return job.config.get(self.fields[0])


@dataclass
class Outcome:
    """What a combination of values gave, all seeds together.

    Attributes:
        values: by the parameters' names.
        reasons: of generation and of the policy, reason -> count.
    """

    values: dict[str, Any]
    jobs: list[str] = field(default_factory=list)
    generation: Rate | None = None
    policy: Rate | None = None
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)


def read_jobs(folder: Path) -> list[Job]:
    """The jobs of a sweep's folder, in order.

    Raises:
        SourceDataError: there is no such folder, or nothing of a sweep in it.
    """
    if not folder.is_dir():
        raise SourceDataError(f"sweep_dir: {folder} is no folder; give that of a sweep, e.g. multirun/<date>/<time>")
    paths = sorted((path for path in folder.iterdir() if path.is_dir()), key=_natural)
    jobs = [job for job in map(_read_job, paths) if job is not None]
    if not jobs:
        raise SourceDataError(
            f"sweep_dir: {folder}: no job in it has a {CONFIG} and a {GENERATION} or {EVALUATION}; give a sweep's folder"
        )
    return jobs


def swept_parameters(jobs: Sequence[Job]) -> list[Parameter]:
    """What the jobs differ in, the one with the most values first; seeds and outputs are left out."""
    names = dict.fromkeys(name for job in jobs for name in job.config)
    together: dict[tuple[int, ...], list[str]] = {}
    for name in names:
        texts = [repr(job.config.get(name)) for job in jobs]
        kinds = list(dict.fromkeys(texts))
        if len(kinds) > 1 and not _OUTPUTS.search(name) and name.rpartition(".")[2] != _SEED:
            together.setdefault(tuple(kinds.index(text) for text in texts), []).append(name)
    parameters = [Parameter(_common_name(fields), tuple(fields)) for fields in together.values()]
    return sorted(parameters, key=lambda parameter: -len({repr(parameter.value(job)) for job in jobs}))


def outcomes(jobs: Sequence[Job], parameters: Sequence[Parameter]) -> list[Outcome]:
    """One outcome a combination of values, in the order of the jobs."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(repr([parameter.value(job) for parameter in parameters]), []).append(job)
    return [_outcome(group, parameters) for group in groups.values()]


def _outcome(jobs: Sequence[Job], parameters: Sequence[Parameter]) -> Outcome:
    outcome = Outcome({parameter.name: parameter.value(jobs[0]) for parameter in parameters}, [job.name for job in jobs])
    made = [job.generation for job in jobs if job.generation is not None]
    judged = [result for job in jobs if job.evaluation for result in _last_checkpoints(job.evaluation)]
    if made:
        counts = [sum(int(stats[key]) for stats in made) for key in ("num_success", "num_attempts")]
        outcome.generation = Rate.of(*counts)
        outcome.reasons["generation"] = _added(stats.get("failures", {}) for stats in made)
    if judged:
        counts = [sum(int(result[key]) for result in judged) for key in ("num_successes", "num_episodes")]
        outcome.policy = Rate.of(*counts)
        outcome.reasons["policy"] = _added(result["reasons"] for result in judged)
    return outcome


def _last_checkpoints(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those trained longest, of each run: to take the best would favour jobs with many checkpoints."""
    results = evaluation["checkpoints"]
    longest = max((result["epoch"] or 0 for result in results), default=0)
    return [result for result in results if (result["epoch"] or 0) == longest]


def _read_job(folder: Path) -> Job | None:
    # A pipeline's job has one of each step: what was generated, if anything was, is what the sweep was about.
    results = [path for path in (_first_below(folder, GENERATION), _first_below(folder, EVALUATION)) if path is not None]
    config = next((path.with_name(CONFIG) for path in results if path.with_name(CONFIG).exists()), None)
    generation, evaluation = _read_json(folder, GENERATION), _read_json(folder, EVALUATION)
    if config is None:
        return None
    content: Any = OmegaConf.to_container(OmegaConf.load(config), resolve=False)
    values = trees.flatten(content, ".", _has_parts)
    return Job(folder.name, {name: _without_job(value, folder) for name, value in values.items()}, generation, evaluation)


def _without_job(value: Any, folder: Path) -> Any:
    """A path within the job's own folder is no difference between jobs."""
    _, inside, rest = value.partition(f"{folder.parent.name}/{folder.name}/") if isinstance(value, str) else ("", "", "")
    return rest if inside else value


def _read_json(folder: Path, name: str) -> dict[str, Any] | None:
    path = _first_below(folder, name)
    if path is None:
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise SourceDataError(f"{path}: damaged ({error}); run that job again") from error


def _first_below(folder: Path, name: str) -> Path | None:
    """The file of that name that is least deep."""
    return min(folder.rglob(name), key=lambda path: (len(path.parts), str(path)), default=None)


def _has_parts(value: Any) -> bool:
    """Whether a value of a configuration is made of named ones: lists of numbers are one value."""
    is_list_of_mappings = isinstance(value, list) and any(isinstance(item, dict) for item in value)
    return is_list_of_mappings or (isinstance(value, dict) and bool(value))


def _common_name(fields: Sequence[str]) -> str:
    """The last part where the fields share it, else the first parts that they share, else the first field's name."""
    last = {name.rpartition(".")[2] for name in fields}
    if len(last) == 1:
        return last.pop()
    parts = list(zip(*(name.split(".") for name in fields), strict=False))
    shared = takewhile(lambda same: len(set(same)) == 1, parts)
    return ".".join(same[0] for same in shared) or fields[0]


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for count in counts:
        for reason, number in count.items():
            total[reason] = total.get(reason, 0) + number
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def _natural(path: Path) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


_NUM_REASONS = 2

"""The most frequent ones, so that a row stays a row."""


def result_table(results: Sequence[CheckpointResult], title: str) -> Table:
    """A row for each checkpoint."""
    table = Table(title=title, title_justify="left")
    table.add_column("checkpoint", overflow="fold")
    table.add_column("epoch", justify="right")
    table.add_column("episodes", justify="right")
    table.add_column("success (95 %)", no_wrap=True)
    table.add_column("any step", justify="right")
    table.add_column("steps", justify="right")
    table.add_column("fails for", overflow="fold")
    for result in results:
        epoch, length = result.checkpoint.epoch, result.mean_length(of_successes=True)
        table.add_row(
            result.checkpoint.name,
            "-" if epoch is None else str(epoch),
            str(result.num_episodes),
            str(result.success),
            f"{100 * result.any_step.rate:.1f} %",
            "-" if length is None else f"{length:.0f}",
            _reasons(result),
        )
    return table


def _reasons(result: CheckpointResult) -> str:
    reasons = list(result.reasons.items())
    named = [f"{count} {reason}" for reason, count in reasons[:_NUM_REASONS]]
    others = sum(count for _, count in reasons[_NUM_REASONS:])
    return ", ".join([*named, f"{others} other"] if others else named)


def sweep_table(outcomes: Sequence[Outcome], parameters: Sequence[Parameter], title: str) -> Table:
    """A row for each combination of values."""
    table = Table(title=title, title_justify="left")
    for parameter in parameters:
        table.add_column(parameter.name, overflow="fold")
    table.add_column("jobs", justify="right")
    table.add_column("generation (95 %)", no_wrap=True)
    table.add_column("policy (95 %)", no_wrap=True)
    table.add_column("the policy fails for" if any(o.policy for o in outcomes) else "trials fail for", overflow="fold")
    for outcome in outcomes:
        values = [str(outcome.values[parameter.name]) for parameter in parameters]
        rates = ["-" if rate is None else str(rate) for rate in (outcome.generation, outcome.policy)]
        table.add_row(*values, str(len(outcome.jobs)), *rates, _outcome_reasons(outcome))
    return table


def _outcome_reasons(outcome: Outcome) -> str:
    reasons = outcome.reasons.get("policy", outcome.reasons.get("generation", {}))
    return ", ".join(f"{count} {reason}" for reason, count in list(reasons.items())[:2])
