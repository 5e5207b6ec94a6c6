"""Recorder terms of a registered task (`mimic_recorder_config`): their values become datasets of the recorded demos."""

# N envs, n of them addressed, K physics steps per control step

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import warp as wp
from isaaclab.managers import DatasetExportMode, RecorderManager, RecorderTerm
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.isaaclab import compat
from isaaclab_mimic_ext.errors import ConfigError

log = logging.getLogger(__name__)

_STANDARD_TERMS = "isaaclab.envs.mdp.recorders"
"""Package of the terms that record actions, observations and states, which demos of this package contain anyway."""
_OWN = {"actions", "actions_clean", "processed_actions", "rewards", "states", "initial_state"}
"""Datasets and groups of a demo that this package writes, in addition to the observations of the group `policy`."""


class RecorderTerms(RecorderManager):
    """Manager of the recorder terms that a task adds to Isaac Lab's, without files; an `ExtraRecords` of the env.

    Replaces the `recorder_manager` of an env, which calls the terms at the usual times.

    Args:
        cfg: `mimic_recorder_config` of the task.
        env: the unwrapped env.
    """

    def __init__(self, cfg: Any, env: Any):
        self._step: dict[str, Tensor] = {}
        self._substeps: dict[str, list[Tensor]] = {}
        self._start: dict[str, Tensor] = {}
        self._paths: set[str] = set()
        super().__init__(cfg.replace(dataset_export_mode=DatasetExportMode.EXPORT_NONE), env)

    def _prepare_terms(self) -> None:
        super()._prepare_terms()
        standard = [name for name, term in self._terms.items() if type(term).__module__.startswith(_STANDARD_TERMS)]
        for name in standard:
            self._term_names.remove(name)
            del self._terms[name]
        for name, term in self._terms.items():
            if type(term).record_pre_reset is not RecorderTerm.record_pre_reset:
                log.warning(
                    "mimic_recorder_config.%s: values that it records before a reset are not written; record them in each "
                    "step",
                    name,
                )

    def begin(self) -> None:
        """Find the datasets of the terms by calling them once, after the first reset of the env."""
        self.record_pre_step()
        is_one_call = getattr(self._env, "_physics_handles_decimation", False)
        for _ in range(1 if is_one_call else self._env.cfg.decimation):
            self.record_post_physics_decimation_step()
        self.record_post_step()
        self._paths = set(self._of_step())
        own = [path for path in (*self._paths, *self._start) if self._is_own(path)]
        if own:
            log.warning("mimic_recorder_config: values named %s are not written; give them other names", ", ".join(own))
        self.reset()

    def of_step(self) -> dict[str, Tensor]:
        """Values of the last step, path -> (N, ...), or (N, K, ...) if recorded after each physics step.

        Raises:
            ConfigError: a term recorded no value in this step.
        """
        values = self._of_step()
        if missing := self._paths - set(values):
            raise ConfigError(
                f"mimic_recorder_config: '{min(missing)}' must be recorded in each step (found a step without it); return a "
                "value in each call"
            )
        return {path: value for path, value in values.items() if not self._is_own(path)}

    def of_start(self) -> dict[str, Tensor]:
        """Values recorded after the last reset of each env, path -> (N, ...); in files, `initial_state` has one row."""
        return {f"initial_state/{path}": value for path, value in self._start.items() if not self._is_own(path)}

    def _of_step(self) -> dict[str, Tensor]:
        return self._step | {path: torch.stack(values, dim=1) for path, values in self._substeps.items()}

    def _is_own(self, path: str) -> bool:
        group, _, term = path.partition("/")
        is_observation = group == "obs" and (term in self._env.obs_buf["policy"] or term.startswith("datagen_info"))
        return group in _OWN or is_observation

    def record_pre_step(self) -> None:
        self._step.clear()
        self._substeps.clear()
        super().record_pre_step()

    def record_post_physics_decimation_step(self) -> None:
        for term in self._terms.values():
            for path, value in _leaves(*term.record_post_physics_decimation_step()):
                self._substeps.setdefault(path, []).append(value.clone())

    def record_pre_reset(self, env_ids: Any, force_export_or_skip: Any = None) -> None:
        """Do nothing: the writer of this package has already received the episodes that end."""

    def add_to_episodes(self, key: str | None, value: Any, env_ids: Any = None) -> None:
        """Note the values of a term, in a step of all envs or after a reset of `env_ids` (n,)."""
        for path, leaf in _leaves(key, value):
            if env_ids is None:
                self._step[path] = leaf.clone()
                continue
            if path not in self._start:
                self._start[path] = leaf.new_zeros(self._env.num_envs, *leaf.shape[1:])
            self._start[path][compat.listed_envs(env_ids, self._env.num_envs, self._env.device)] = leaf

    def close(self) -> None:
        """Do nothing: there are no files."""


def _leaves(key: str | None, value: Any) -> Iterator[tuple[str, Tensor]]:
    """Tensors that a term returned, by path; none if it returned nothing."""
    if key is not None:
        named = trees.flatten(value, prefix=f"{key}/") if isinstance(value, Mapping) else {key: value}
        for path, leaf in named.items():
            yield path, wp.to_torch(leaf) if isinstance(leaf, wp.array) else compat.tensor(leaf)
