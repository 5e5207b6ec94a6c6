"""Results of a sweep: the fields in which its jobs differ, and the success rates for each combination of values."""

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
"""Jobs that differ only in seeds are summed."""
_OUTPUT_FIELDS = re.compile(r"(^|\.)(output_dir|output_file|overwrite|resume|progress)$")
"""Fields about outputs, which do not change results."""


@dataclass
class Job:
    """One job of a sweep.

    Attributes:
        config: value of each field by dotted name.
        generation: contents of `important_stats.json`; None if the job generated no demos.
        evaluation: contents of `evaluation.json`; None if the job evaluated no policy.
    """

    name: str
    config: dict[str, Any]
    generation: dict[str, Any] | None
    evaluation: dict[str, Any] | None


@dataclass(frozen=True)
class Parameter:
    """A swept parameter: fields that always change together.

    Attributes:
        name: name that the fields share.
        fields: dotted names.
    """

    name: str
    fields: tuple[str, ...]

    def value(self, job: Job) -> Any:
        return job.config.get(self.fields[0])


@dataclass
class Outcome:
    """Results for one combination of values, summed over seeds.

    Attributes:
        values: name of each parameter -> value.
        jobs: names of the jobs with these values.
        generation: success rate of trials; None without generation.
        policy: success rate of episodes of the last checkpoints; None without evaluation.
        reasons: `generation` and `policy` -> reason of failure -> count.
    """

    values: dict[str, Any]
    jobs: list[str] = field(default_factory=list)
    generation: Rate | None = None
    policy: Rate | None = None
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)


def read_jobs(folder: Path) -> list[Job]:
    """Read the jobs in the folder of a sweep, in the order of their numbers.

    Raises:
        SourceDataError: the folder is not found, contains no jobs, or a file is damaged.
    """
    if not folder.is_dir():
        raise SourceDataError(
            f"input_dir: {folder} is not a folder; give the folder of a sweep, e.g. multirun/<date>/<time>"
        )
    paths = sorted((path for path in folder.iterdir() if path.is_dir()), key=_natural_key)
    jobs = [job for job in map(_read_job, paths) if job is not None]
    if not jobs:
        raise SourceDataError(
            f"input_dir: {folder} contains no job with {CONFIG} and {GENERATION} or {EVALUATION}; give the folder of a sweep"
        )
    return jobs


def swept_parameters(jobs: Sequence[Job]) -> list[Parameter]:
    """Parameters in which the jobs differ, without seeds and outputs; the parameter with the most values is first."""
    names = dict.fromkeys(name for job in jobs for name in job.config)
    together: dict[tuple[int, ...], list[str]] = {}
    for name in names:
        texts = [repr(job.config.get(name)) for job in jobs]
        distinct = list(dict.fromkeys(texts))
        if len(distinct) > 1 and not _OUTPUT_FIELDS.search(name) and name.rpartition(".")[2] != _SEED:
            together.setdefault(tuple(distinct.index(text) for text in texts), []).append(name)
    parameters = [Parameter(_common_name(fields), tuple(fields)) for fields in together.values()]
    return sorted(parameters, key=lambda parameter: -len({repr(parameter.value(job)) for job in jobs}))


def outcomes(jobs: Sequence[Job], parameters: Sequence[Parameter]) -> list[Outcome]:
    """Outcome of each combination of values, in the order of the jobs."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(repr([parameter.value(job) for parameter in parameters]), []).append(job)
    return [_outcome(group, parameters) for group in groups.values()]


def _outcome(jobs: Sequence[Job], parameters: Sequence[Parameter]) -> Outcome:
    outcome = Outcome({parameter.name: parameter.value(jobs[0]) for parameter in parameters}, [job.name for job in jobs])
    generations = [job.generation for job in jobs if job.generation is not None]
    evaluations = [result for job in jobs if job.evaluation for result in _last_checkpoints(job.evaluation)]
    if generations:
        counts = [sum(int(stats[key]) for stats in generations) for key in ("num_success", "num_attempts")]
        outcome.generation = Rate.of(*counts)
        outcome.reasons["generation"] = _sum_counts(stats.get("failures", {}) for stats in generations)
    if evaluations:
        counts = [sum(int(result[key]) for result in evaluations) for key in ("num_successes", "num_episodes")]
        outcome.policy = Rate.of(*counts)
        outcome.reasons["policy"] = _sum_counts(result["reasons"] for result in evaluations)
    return outcome


def _last_checkpoints(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Results of the checkpoints of the last epoch. Choosing the best would favor jobs with many checkpoints."""
    results = evaluation["checkpoints"]
    longest = max((result["epoch"] or 0 for result in results), default=0)
    return [result for result in results if (result["epoch"] or 0) == longest]


def _read_job(folder: Path) -> Job | None:
    # A job of a pipeline has one configuration per step; compare that of the generation, or else of the evaluation.
    results = [path for name in (GENERATION, EVALUATION) if (path := _find_shallowest(folder, name)) is not None]
    config = next((path.with_name(CONFIG) for path in results if path.with_name(CONFIG).exists()), None)
    generation, evaluation = _read_json(folder, GENERATION), _read_json(folder, EVALUATION)
    if config is None:
        return None
    content: Any = OmegaConf.to_container(OmegaConf.load(config), resolve=False)
    values = trees.flatten(content, ".", _has_named_parts)
    return Job(
        folder.name, {name: _strip_job_folder(value, folder) for name, value in values.items()}, generation, evaluation
    )


def _strip_job_folder(value: Any, folder: Path) -> Any:
    """Make paths inside the folder of the job relative to it, so that they are the same in all jobs."""
    _, inside, rest = value.partition(f"{folder.parent.name}/{folder.name}/") if isinstance(value, str) else ("", "", "")
    return rest if inside else value


def _read_json(folder: Path, name: str) -> dict[str, Any] | None:
    path = _find_shallowest(folder, name)
    if path is None:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SourceDataError(f"{path}: is not valid JSON ({error}); run this job again") from error


def _find_shallowest(folder: Path, name: str) -> Path | None:
    """Path of the file `name` below the folder; of several, the least nested one."""
    return min(folder.rglob(name), key=lambda path: (len(path.parts), str(path)), default=None)


def _has_named_parts(value: Any) -> bool:
    """Return whether a value of a configuration has named parts. A list of numbers counts as a single value."""
    is_list_of_mappings = isinstance(value, list) and any(isinstance(item, dict) for item in value)
    return is_list_of_mappings or (isinstance(value, dict) and bool(value))


def _common_name(fields: Sequence[str]) -> str:
    """Name of a group of fields: their common last part, else their common first parts, else the name of the first field."""
    last = {name.rpartition(".")[2] for name in fields}
    if len(last) == 1:
        return last.pop()
    parts = list(zip(*(name.split(".") for name in fields), strict=False))
    shared = takewhile(lambda same: len(set(same)) == 1, parts)
    return ".".join(same[0] for same in shared) or fields[0]


def _sum_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for count in counts:
        for reason, number in count.items():
            total[reason] = total.get(reason, 0) + number
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def _natural_key(path: Path) -> list[Any]:
    """Sort key by which "job_2" precedes "job_10"."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


_NUM_REASONS = 2
"""Number of reasons of failure per row of a table."""


def result_table(results: Sequence[CheckpointResult], title: str) -> Table:
    """Table with one row per checkpoint."""
    table = Table(title=title, title_justify="left")
    table.add_column("checkpoint", overflow="fold")
    table.add_column("epoch", justify="right")
    table.add_column("episodes", justify="right")
    table.add_column("success (95 %)", no_wrap=True)
    table.add_column("any step", justify="right")
    table.add_column("steps", justify="right")
    table.add_column("reasons of failure", overflow="fold")
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


def sweep_title(jobs: Sequence[Job], parameters: Sequence[Parameter]) -> str:
    """Title of the plot of a sweep: its tasks and parameters."""
    tasks = dict.fromkeys(str(name) for job in jobs if (name := job.config.get("task.name")) is not None)
    against = f"success against {', '.join(parameter.name for parameter in parameters)}"
    return f"{', '.join(tasks)}: {against}" if tasks else against


def sweep_table(outcomes: Sequence[Outcome], parameters: Sequence[Parameter], title: str) -> Table:
    """Table with one row per combination of values."""
    table = Table(title=title, title_justify="left")
    for parameter in parameters:
        table.add_column(parameter.name, overflow="fold")
    table.add_column("jobs", justify="right")
    table.add_column("generation (95 %)", no_wrap=True)
    table.add_column("policy (95 %)", no_wrap=True)
    subject = "policy" if any(outcome.policy for outcome in outcomes) else "generation"
    table.add_column(f"reasons of failure ({subject})", overflow="fold")
    for outcome in outcomes:
        values = [str(outcome.values[parameter.name]) for parameter in parameters]
        rates = ["-" if rate is None else str(rate) for rate in (outcome.generation, outcome.policy)]
        table.add_row(*values, str(len(outcome.jobs)), *rates, _outcome_reasons(outcome))
    return table


def _outcome_reasons(outcome: Outcome) -> str:
    reasons = outcome.reasons.get("policy", outcome.reasons.get("generation", {}))
    return ", ".join(f"{count} {reason}" for reason, count in list(reasons.items())[:_NUM_REASONS])
