"""Hydra's sweeper without its check that every job can be composed: `hydra/sweeper=process`."""

from collections.abc import Sequence

# Hydra loads its plugins anew when it looks for them: this module must not be imported before `Plugins.instance()`.
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class UncheckedSweeper(BasicSweeper):
    """What each job's overrides mean is left to its process: a registered task's fields are known where Isaac Lab runs."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing is refused before a job has run."""
