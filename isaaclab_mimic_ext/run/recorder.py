"""Record N envs at once: buffer their episodes on the device, and pass ended episodes to the writer."""

# N envs, n of them addressed, A action entries

import logging
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors, extra_records
from isaaclab_mimic_ext.run.episodes import EpisodeBatch, EpisodeFormat, EpisodeSink, Field, TrialOutcomes, unpack
from isaaclab_mimic_ext.run.host_copy import HostCopy
from isaaclab_mimic_ext.run.rows import RowBuffer, RowLayout
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

    def __init__(self, env: MimicEnv, horizon: int, writer: EpisodeSink, with_clean_actions: bool = False):
        self._env, self.writer, self._with_clean_actions = env, writer, with_clean_actions
        self._keeps_failed = writer.output.failed_path is not None
        before, after, initial = _layouts(env, with_clean_actions)
        # The row after the last one is for steps between the end of a trial and its recording.
        self._before = RowBuffer(before, env.num_envs, horizon + 1, env.device)
        self._after = RowBuffer(after, env.num_envs, horizon + 1, env.device)
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

    def leaves(self, env_id: int, num_steps: int) -> dict[str, np.ndarray]:
        """Values of the first `num_steps` steps of the running episode of an env: path -> (T, ...)."""
        env_ids = torch.tensor([env_id], device=self._env.device)
        leaves: dict[str, np.ndarray] = {}
        for buffer, length in ((self._before, num_steps), (self._after, num_steps), (self._initial, 1)):
            rows = {name: values[0] for name, values in buffer.take(env_ids, length).items()}
            leaves |= unpack(buffer.layout.fields, rows)
        return leaves

    def take(self, env_ids: Tensor, lengths: np.ndarray) -> "RecordedEpisodes":
        """Start to copy the episodes of `env_ids` (n,) to the host. `lengths` (n,): their numbers of steps."""
        longest = int(lengths.max(initial=1))
        steps = self._before.select(env_ids, longest) | self._after.select(env_ids, longest)
        fields = self._before.layout.fields + self._after.layout.fields, self._initial.layout.fields
        return RecordedEpisodes(HostCopy(steps), HostCopy(self._initial.select(env_ids, 1)), fields, lengths)

    def put(self, episodes: "RecordedEpisodes", outcomes: TrialOutcomes, committed: int) -> None:
        """Pass episodes to the writer.

        Args:
            outcomes: outcomes of their trials.
            committed: trials below this number may be written to the dataset.

        Raises:
            SimulationError: the physics of earlier steps failed.
            RecorderError: the writer failed.
        """
        kept = outcomes.success | self._keeps_failed
        rows, initial_rows = episodes.chosen(kept)
        self._env.check()
        self.writer.put(EpisodeBatch(outcomes, kept, rows, initial_rows, committed))


class RecordedEpisodes:
    """Episodes that have ended, on their way to the host.

    Args:
        steps, initial: rows of all steps, and of the initial states, (n, T, W) and (n, 1, W) by name.
        fields: columns of both.
        lengths: (n,), numbers of steps.
    """

    def __init__(
        self, steps: HostCopy, initial: HostCopy, fields: tuple[tuple[Field, ...], tuple[Field, ...]], lengths: np.ndarray
    ):
        self._steps, self._initial, self._fields, self._lengths = steps, initial, fields, lengths

    def _rows(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        copies = self._steps.wait(), self._initial.wait()
        return tuple({name: rows.numpy() for name, rows in copy.items()} for copy in copies)  # type: ignore[return-value]

    def chosen(self, chosen: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Rows of the steps and of the initial states of the episodes in a mask (n,), by name."""
        steps, initial = self._rows()
        if chosen.all():
            return steps, initial
        longest = int(self._lengths[chosen].max(initial=1))
        steps = {name: np.ascontiguousarray(rows[chosen, :longest]) for name, rows in steps.items()}
        return steps, {name: rows[chosen] for name, rows in initial.items()}

    def first_nonfinite_step(self) -> np.ndarray:
        """First step with values that are not finite (NaN, infinity), (n,) int64; -1 if none."""
        steps, initial = self._rows()
        finite = np.ones((len(self._lengths), int(self._lengths.max(initial=1))), dtype=bool)
        for rows in _floating(steps):
            finite &= np.isfinite(rows).all(-1)
        finite |= self._late(finite.shape[1])
        for rows in _floating(initial):
            finite[:, 0] &= np.isfinite(rows).all((1, 2))
        return np.where(finite.all(1), -1, finite.argmin(1))

    def warn_nonfinite(self, faulty: np.ndarray, trials: np.ndarray, what: str) -> None:
        """Log the values that are not finite in the episodes of a mask (n,), which count as failed.

        Args:
            trials: (n,), numbers of the trials.
            what: plural of the noun for an episode: "trials".
        """
        leaves = self._nonfinite_leaves(faulty)
        of_task = all(leaf.startswith("obs/") for leaf in leaves)
        remedy = "; correct the observations of the task (Task.observations)" if of_task else ""
        numbers = ", ".join(map(str, trials[faulty].tolist()))
        log.warning(
            "Values are NaN or infinite in %s, in %s %s, which count as failed%s", listed(leaves), what, numbers, remedy
        )

    def _nonfinite_leaves(self, faulty: np.ndarray) -> list[str]:
        """Paths of the leaves with values that are not finite in the episodes of a mask (n,)."""
        found = []
        for rows, fields in zip(self._rows(), self._fields, strict=True):
            for field in fields:
                values = rows[field.rows][faulty, :, field.start : field.stop]
                late = self._late(values.shape[1])[faulty]
                if _is_floating(values) and not (np.isfinite(values).all(-1) | late).all():
                    found.append(field.path)
        return found

    def _late(self, num_steps: int) -> np.ndarray:
        """Return which of the first `num_steps` steps are after the end of each episode, (n, num_steps) bool."""
        return np.arange(num_steps) >= np.maximum(self._lengths, 1)[:, None]


def _floating(rows: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    return (values for values in rows.values() if _is_floating(values))


def _is_floating(values: np.ndarray) -> bool:
    return bool(np.issubdtype(values.dtype, np.floating))


def episode_format(env: MimicEnv, with_clean_actions: bool = False) -> EpisodeFormat:
    """Return the layout of the recorded episodes of an environment after its first reset."""
    before, after, initial = _layouts(env, with_clean_actions)
    return EpisodeFormat(env.env_args(), before.fields + after.fields, initial.fields)


def bytes_per_env(env: MimicEnv, horizon: int) -> int:
    """Size of the buffers of one environment for episodes of at most `horizon` steps [bytes]."""
    before, after, initial = _layouts(env, with_clean_actions=True)
    return (horizon + 1) * (before.num_bytes + after.num_bytes) + initial.num_bytes


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
