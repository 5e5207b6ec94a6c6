"""Outputs of the jobs of a sweep. Two jobs with the same output are refused before the first job starts."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import fields as fields_of
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from isaaclab_mimic_ext.command_lines import unquoted
from isaaclab_mimic_ext.commands.messages import is_config_error
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS
from isaaclab_mimic_ext.config.bounds import bounds_of
from isaaclab_mimic_ext.errors import OutputError

OUTPUTS = ("output_dir", "output_file")
IN_PLACE = {"split_dataset": "input_file", "report": "input_dir", "sweep_report": "input_dir"}
"""Name of a script that writes into its input, unless it has an output -> field of the input."""
_JOB_NUMBER = "hydra:job.num"
_PLAIN_FIELD = re.compile(r"(datagen_config\.)?\w+")
_GROUPS = ("task", "sim", "recorder", "preset")

Compose = Callable[[Sequence[str]], DictConfig]
"""Composes the configuration of a job from its overrides."""


@dataclass(frozen=True)
class SweptJob:
    """One job of a sweep.

    Attributes:
        overrides: name of each overridden field -> value, as text.
        outputs: field -> absolute path, for each output of the job.
    """

    number: int
    overrides: dict[str, str]
    outputs: dict[str, str]


class SweepOutputs:
    """Outputs of the jobs of a sweep, checked before the jobs start: all at once, or one job after the other.

    Args:
        script: name of the script that the jobs run.
    """

    def __init__(self, script: str):
        self._script = script
        self._owners: dict[str, SweptJob] = {}
        self._checked: set[tuple[int, tuple[str, ...]]] = set()

    def check(
        self, config: DictConfig, jobs: Sequence[Sequence[str]], first_number: int, compose: Compose, strict: bool
    ) -> None:
        """Check that no job has the same output as an earlier one. Jobs that were checked before are skipped.

        Args:
            config: configuration of the sweep.
            jobs: overrides of each job.
            first_number: number of the first of these jobs.
            compose: composes the configuration of a job.
            strict: raise errors of the composition. Otherwise, such a job has the outputs that its overrides contain.

        Raises:
            OutputError: two jobs have the same output.
        """
        for number, overrides in enumerate(jobs, first_number):
            if (key := (number, tuple(overrides))) in self._checked:
                continue
            named = dict(_name_and_value(word) for word in overrides)
            job = SweptJob(number, named, _outputs(self._script, config, number, overrides, compose, strict))
            for field, path in job.outputs.items():
                if (owner := self._owners.setdefault(path, job)) is not job:
                    raise OutputError(_fault(self._script, field, owner, job))
            self._checked.add(key)


def _outputs(
    script: str, config: DictConfig, number: int, overrides: Sequence[str], compose: Compose, strict: bool
) -> dict[str, str]:
    try:
        with _as_job(compose(overrides), config, number) as composed:
            found = {field: OmegaConf.select(composed, field) for field in (*OUTPUTS, IN_PLACE.get(script, ""))}
    except Exception as error:
        if strict or not is_config_error(error):
            raise
        found = {name: value for name, value in map(_name_and_value, overrides) if "$" not in value}
    written = [field for field in OUTPUTS if found.get(field)] or [IN_PLACE.get(script, "")]
    return {field: os.path.realpath(str(found[field])) for field in written if found.get(field)}


@contextmanager
def _as_job(composed: DictConfig, sweep: DictConfig, number: int) -> Iterator[DictConfig]:
    """Context in which the configuration of a job resolves as in the job: its number, and its folder."""
    before = HydraConfig.instance().cfg
    with read_write(composed), open_dict(composed):
        composed.hydra.job.num, composed.hydra.job.id = number, str(number)
        folder = os.path.join(str(sweep.hydra.sweep.dir), str(OmegaConf.select(composed, "hydra.sweep.subdir")))
        composed.hydra.runtime.output_dir = os.path.abspath(folder)
    HydraConfig.instance().set_config(composed)
    try:
        yield composed
    finally:
        HydraConfig.instance().cfg = before


def _name_and_value(override: str) -> tuple[str, str]:
    name, _, value = override.partition("=")
    return name.lstrip("+~"), value


def _fault(script: str, field: str, first: SweptJob, second: SweptJob) -> str:
    declared = {item.name: item for item in fields_of(SCRIPT_SCHEMAS[script])}
    path = unquoted(second.overrides.get(field, os.path.relpath(second.outputs[field])))
    numbers = f"{first.number} and {second.number}"
    if field not in OUTPUTS and not declared.keys() & set(OUTPUTS):
        return f"{field}: '{path}' is changed by jobs {numbers} of this sweep; use a different {field} per job"
    output, example = (field, path) if field in OUTPUTS else ("output_file", f"{script}.html")
    remedy = f"use a different {output} per job: {output}='{_varied(Path(example), output, first, second)}'"
    bounds = bounds_of(declared[field])
    if field in OUTPUTS and bounds is not None and bounds.computed:
        remedy = f"leave {field} out, so that each job writes to its own folder, or {remedy}"
    return f"{field}: jobs {numbers} of this sweep would write to '{path}'; {remedy}"


def _varied(path: Path, field: str, one: SweptJob, other: SweptJob) -> str:
    """Return a path that contains a field in which the jobs differ, or else the number of the job."""
    differing = {name: value for name, value in other.overrides.items() if one.overrides.get(name) != value}
    simple = [name for name, value in differing.items() if re.fullmatch(r"[\w.-]+", value)]
    plain = [name for name in simple if _PLAIN_FIELD.fullmatch(name) and name not in _GROUPS]
    suffix = "job_${" + _JOB_NUMBER + "}"
    if plain:
        short = plain[0].rpartition(".")[2]
        suffix = f"{short}_${{{short}}}"
    return str(path / suffix) if field.endswith("_dir") else str(path.with_name(f"{path.stem}_{suffix}{path.suffix}"))
