"""Record N envs at once: buffer their episodes on the device, and pass ended episodes to the writer."""

# N envs, n of them addressed, A action entries

import logging

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors, extra_records
from isaaclab_mimic_ext.run.episodes import EpisodeBatch, EpisodeFormat, TrialOutcomes, unpack
from isaaclab_mimic_ext.run.rows import RowBuffer, RowLayout
from isaaclab_mimic_ext.run.writer import EpisodeWriter
from isaaclab_mimic_ext.texts import listed

log = logging.getLogger(__name__)


class EpisodeRecorder:
    """Buffers the steps of each environment on the device, and passes complete episodes to the writer.

    Args:
        env: environment after its first reset, which defines the layout of observations and states.
        horizon: largest number of steps of an episode.
        writer: writer of the episodes, created for the `episode_format` of `env`.
        with_clean_actions: also record the actions before noise was added (`actions_clean`).
    """

    def __init__(self, env: MimicEnv, horizon: int, writer: EpisodeWriter, with_clean_actions: bool = False):
        self._env, self.writer, self._with_clean_actions = env, writer, with_clean_actions
        self._keeps_failed = writer.output.failed_path is not None
        before, after, initial = _layouts(env, with_clean_actions)
        self._before = RowBuffer(before, env.num_envs, horizon, env.device)
        self._after = RowBuffer(after, env.num_envs, horizon, env.device)
        self._initial = RowBuffer(initial, env.num_envs, 1, env.device)

    def begin(self, env_ids: Tensor) -> None:
        """Record the initial state of episodes that start now in `env_ids` (n,)."""
        self._initial.write_envs(env_ids, 0, _at_start(self._env))

    def before_step(self, step: Tensor) -> None:
        """Record the observations at `step` (N,) of each env's episode."""
        self._before.write(step, {"obs": self._env.observations()})

    def after_step(self, step: Tensor, actions: Tensor, success: Tensor, clean_actions: Tensor | None = None) -> None:
        """Record executed actions (N, A), the states after them, and success (N,) bool, at `step` (N,).

        Args:
            clean_actions: (N, A), the actions before noise was added; None: they had no noise.
        """
        clean = (actions if clean_actions is None else clean_actions) if self._with_clean_actions else None
        self._after.write(step, _after_step(self._env, actions, success, clean))

    def first_nonfinite_step(self, env_ids: Tensor, num_steps: Tensor) -> Tensor:
        """First step with recorded values that are not finite, in the episodes of `env_ids` (n,), (n,); -1 if none.

        Args:
            num_steps: (n,), numbers of steps of the episodes.
        """
        finite = self._before.is_finite(env_ids, num_steps) & self._after.is_finite(env_ids, num_steps)
        finite[:, :1] &= self._initial.is_finite(env_ids, torch.ones_like(num_steps))
        first = finite.int().argmin(1)
        return torch.where(finite.all(1), -1, first)

    def warn_nonfinite(self, env_ids: Tensor, num_steps: Tensor, trials: Tensor, what: str) -> None:
        """Log the values that are not finite in the episodes of `env_ids` (n,), which count as failed.

        Args:
            num_steps, trials: (n,), numbers of steps, and numbers of the trials.
            what: plural of the noun for an episode: "trials".
        """
        leaves = self._before.nonfinite_leaves(env_ids, num_steps) + self._after.nonfinite_leaves(env_ids, num_steps)
        leaves += self._initial.nonfinite_leaves(env_ids, torch.ones_like(num_steps))
        of_task = all(leaf.startswith("obs/") for leaf in leaves)
        remedy = "; correct the observations of the task (Task.observations)" if of_task else ""
        numbers = ", ".join(map(str, trials.tolist()))
        log.warning(
            "Values are NaN or infinite in %s, in %s %s, which count as failed%s", listed(leaves), what, numbers, remedy
        )

    def leaves(self, env_id: int, num_steps: int) -> dict[str, np.ndarray]:
        """Values of the first `num_steps` steps of the running episode of an env: path -> (T, ...)."""
        env_ids = torch.tensor([env_id], device=self._env.device)
        leaves: dict[str, np.ndarray] = {}
        for buffer, length in ((self._before, num_steps), (self._after, num_steps), (self._initial, 1)):
            rows = {name: values[0] for name, values in buffer.take(env_ids, length).items()}
            leaves |= unpack(buffer.layout.fields, rows)
        return leaves

    def end(self, env_ids: Tensor, outcomes: TrialOutcomes, committed: int) -> None:
        """Pass the episodes of `env_ids` (n,) to the writer.

        Args:
            outcomes: outcomes of their trials.
            committed: trials below this number may be written to the dataset.

        Raises:
            SimulationError: the physics of earlier steps failed.
            RecorderError: the writer failed.
        """
        self._env.check()
        kept = outcomes.success | self._keeps_failed
        kept_ids = env_ids[torch.from_numpy(kept).to(env_ids.device)]
        longest = int(outcomes.lengths[kept].max(initial=1))
        rows = self._before.take(kept_ids, longest) | self._after.take(kept_ids, longest)
        self.writer.put(EpisodeBatch(outcomes, kept, rows, self._initial.take(kept_ids, 1), committed))


def episode_format(env: MimicEnv, with_clean_actions: bool = False) -> EpisodeFormat:
    """Return the layout of the recorded episodes of an environment after its first reset."""
    before, after, initial = _layouts(env, with_clean_actions)
    return EpisodeFormat(env.env_args(), before.fields + after.fields, initial.fields)


def bytes_per_env(env: MimicEnv, horizon: int) -> int:
    """Size of the buffers of one environment for episodes of at most `horizon` steps [bytes]."""
    before, after, initial = _layouts(env, with_clean_actions=True)
    return horizon * (before.num_bytes + after.num_bytes) + initial.num_bytes


def _layouts(env: MimicEnv, with_clean_actions: bool) -> tuple[RowLayout, RowLayout, RowLayout]:
    """Layouts of the rows that are recorded before a step, after a step, and at the start of an episode."""
    actions = torch.zeros(env.num_envs, env.action_dim, device=env.device)
    after = _after_step(env, actions, torch.zeros(env.num_envs, device=env.device), actions if with_clean_actions else None)
    before, initial = {"obs": env.observations()}, _at_start(env)
    return RowLayout("before", before), RowLayout("after", after), RowLayout("initial", initial)


def _at_start(env: MimicEnv) -> NestedTensors:
    extra = extra_records(env)
    return {"initial_state": env.get_state(), **({} if extra is None else extra.of_start())}


def _after_step(env: MimicEnv, actions: Tensor, success: Tensor, clean_actions: Tensor | None) -> NestedTensors:
    tree: NestedTensors = {"actions": actions, "rewards": success.float(), "states": env.get_state()}
    if clean_actions is not None:
        tree["actions_clean"] = clean_actions
    processed = env.processed_actions()
    if processed is not None:
        tree["processed_actions"] = processed
    extra = extra_records(env)
    return tree if extra is None else {**tree, **extra.of_step()}
