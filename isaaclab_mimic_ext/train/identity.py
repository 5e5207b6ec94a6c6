"""What makes two trainings the same run, so that one may go on where the other stopped."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.config import TrainCfg
from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.train.settings import flat

_FREE = ("train.num_epochs", "train.data", "train.cuda", "experiment.save", "experiment.name")
"""May change: how long, where the same data lies, on what, how often it is saved."""


def identity_of(settings: Mapping[str, Any], cfg: TrainCfg, dataset_digest: str) -> dict[str, Any]:
    """All that the parameters after an epoch depend on: name -> value."""
    values = {name: deepcopy(value) for name, value in flat(settings).items() if not name.startswith(_FREE)}
    return {
        "task": cfg.task.name,
        "dataset": dataset_digest,
        "normalize_actions": cfg.normalize_actions,
        **{f"agent.{name}": value for name, value in sorted(values.items())},
    }


def check_same_run(made: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    """Make sure that a run may go on as what is asked for.

    Raises:
        OutputError: it was started as something else; names the first thing that differs.
    """
    different = [name for name in {**made, **wanted} if made.get(name) != wanted.get(name)]
    if different:
        name = different[0]
        raise OutputError(
            f"output_dir: {folder} holds another run: {name} is {made.get(name)!r} there, {wanted.get(name)!r} is asked "
            "for; give another output_dir, or overwrite=true"
        )
