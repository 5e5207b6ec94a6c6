"""Advice after an evaluation with few successes: its failures, and the settings of the training to change first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from omegaconf import OmegaConf

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.config.hydra import conf_dir
from isaaclab_mimic_ext.learn.agents import CHUNK_ALGORITHMS, CHUNKED
from isaaclab_mimic_ext.learn.data import CLEAN_ACTIONS
from isaaclab_mimic_ext.learn.results import CheckpointResult
from isaaclab_mimic_ext.learn.training_data import Memory, TrainingData
from isaaclab_mimic_ext.texts import counted

FEW_SUCCESSES = 0.5
"""Upper end of the interval of the success rate below which advice is given."""
MANY_DEMOS = 1000
"""Number of generated demos with which policies of the included tasks reach their best results (docs/training.md)."""
_USED_FRACTION = 0.75
"""Smallest fraction of a dataset that counts as all of it: `mimic split` keeps a part for validation."""
_FEW_GRADIENT_STEPS, _GRADIENT_STEPS = 5_000, 10_000
"""Number of gradient steps below which a training is short, and number of the default settings of bc_chunk."""
_LARGE_NOISE = 0.1
"""Noise from which plain behavior cloning should learn the actions without noise: 62 % instead of 18 % of success."""
_NEAR = 15
"""Largest distance of the step in which a policy stops from a pause of the demos [steps]; policies are slower than demos."""

_NOTHING_TO_CHANGE = (
    "No recorded setting of the training differs from those that are known to work: look at the videos of the failures, "
    "and at the observations of the agent"
)


@dataclass(frozen=True)
class Training:
    """Properties of the training of a policy.

    Attributes:
        algo_name: name of the algorithm.
        config: complete configuration of robomimic, as nested dicts.
        facts: metadata of the checkpoint.
    """

    algo_name: str
    config: Mapping[str, Any]
    facts: Mapping[str, Any]

    @property
    def data(self) -> TrainingData:
        return TrainingData.of_facts(self.facts)

    @property
    def memory(self) -> Memory:
        return Memory.of(self.algo_name, self.config)


@dataclass(frozen=True)
class Conditions:
    """Conditions of an evaluation.

    Attributes:
        horizon: largest number of steps of an episode.
        harder: settings that make the evaluation harder than the demos, as overrides.
    """

    horizon: int
    harder: list[str] = field(default_factory=list)


def advise(result: CheckpointResult, training: Training | None, conditions: Conditions) -> list[str]:
    """Advice for a policy with few successes, one sentence per line; empty if it has more.

    Args:
        training: properties of the training; None: not known.
    """
    if not result.reasons or result.success.high >= FEW_SUCCESSES:
        return []
    data = training.data if training is not None else TrainingData()
    lines = [_most_failures(result, data), *_conditions(conditions, data)]
    if training is not None:
        changes = list(_changes(training))
        lines.append(f"Change first: {'; '.join(changes)}" if changes else _NOTHING_TO_CHANGE)
        lines += _next_training(training)
    return lines


def _most_failures(result: CheckpointResult, data: TrainingData) -> str:
    reason, count = next(iter(result.reasons.items()))
    text = f"Most failures: {reason} ({count} of {counted(result.num_episodes, 'episode')})"
    failures = [episode for episode in result.episodes if episode.reason == reason]
    stopped = [episode.still_from for episode in failures if episode.still_from is not None]
    if 2 * len(stopped) < len(failures):
        return text
    step = round(median(stopped))
    near = any(first - _NEAR <= step <= first + num_steps + _NEAR for first, num_steps in data.pause_spans)
    where = f"step {step} on (median)" + (", where the demos rest" if near else "")
    return f"{text}; in {len(stopped)} of these, no hand moves from {where}"


def _conditions(conditions: Conditions, data: TrainingData) -> Iterator[str]:
    if conditions.harder:
        yield f"The evaluation is harder than the demos: {' '.join(conditions.harder)}; evaluate without this first"
    if data.mean_length is not None and conditions.horizon < data.mean_length:
        yield (
            f"The horizon of {counted(conditions.horizon, 'step')} is shorter than a demo (mean {data.mean_length:.0f} "
            "steps): use a larger horizon"
        )


def _changes(training: Training) -> Iterator[str]:
    """Settings that differ from those with which policies succeed, the most effective first."""
    yield from _change_of_algorithm(training)
    yield from _change_of_epochs(training)
    num_demos = training.facts.get("num_train_demos")
    if num_demos is not None and num_demos < _USED_FRACTION * MANY_DEMOS:
        yield f"more demos: mimic generate num_trials={MANY_DEMOS} (this policy was trained on {num_demos})"
    yield from _change_of_noise(training)


def _change_of_algorithm(training: Training) -> Iterator[str]:
    if training.data.longest_pause > training.memory.num_steps:
        if training.memory.plans_ahead:
            num_actions = 2 * training.data.longest_pause
            yield f"predict more actions than a pause is long: mimic train agent.train.seq_length={num_actions}"
        else:
            yield f"mimic train algo={CHUNKED} ({_name(training)} {training.memory.text}, and {training.data.pauses})"


def _change_of_epochs(training: Training) -> Iterator[str]:
    epoch, num_epochs = training.facts.get("epoch"), training.config["train"]["num_epochs"]
    steps = training.config["experiment"]["epoch_every_n_steps"]
    if epoch is not None and epoch < num_epochs:
        yield f"evaluate the last epoch (this is epoch {epoch} of {num_epochs})"
    elif epoch is not None and steps and epoch * steps < _FEW_GRADIENT_STEPS:
        yield f"train longer: mimic train epochs={ceil(_GRADIENT_STEPS / steps)} (this policy was trained for {epoch})"


def _change_of_noise(training: Training) -> Iterator[str]:
    data, key = training.data, training.facts.get("action_key")
    noise, usual = data.action_noise, _noise_for_policies()
    # With noise in the labels, plain behavior cloning fails: first change the algorithm, or keep the noise.
    chunked = training.algo_name in CHUNK_ALGORITHMS or data.longest_pause > training.memory.num_steps
    if noise is not None and chunked and noise < usual:
        yield f"more noise: mimic generate generation=policy (action_noise is {usual:g} there, {noise:g} in these demos)"
    elif noise == 0:
        yield "noise, so that the demos show how to recover: mimic generate all_subtasks.action_noise=0.03"
    is_noisy = noise is not None and noise > 0 and (training.algo_name in CHUNK_ALGORITHMS or noise >= _LARGE_NOISE)
    if key == "actions" and data.has_clean_actions and is_noisy:
        yield f"labels without noise: mimic train action_key={CLEAN_ACTIONS}"


def _next_training(training: Training) -> Iterator[str]:
    """Command that trains on the same demos with the algorithm that carries through their pauses."""
    dataset = training.facts.get("dataset")
    is_chunked = training.algo_name in CHUNK_ALGORITHMS
    if is_chunked or training.data.longest_pause <= training.memory.num_steps or not dataset or not Path(dataset).is_file():
        return
    task = training.facts.get("task")
    yield f"On the same demos: {command_line('train', task=task, input_file=Path(dataset), algo=CHUNKED)}"


def _name(training: Training) -> str:
    return "bc_rnn" if training.algo_name == "bc" and training.memory.num_steps > 1 else training.algo_name


def _noise_for_policies() -> float:
    """Noise of `generation=policy`."""
    settings: Any = OmegaConf.to_container(OmegaConf.load(conf_dir() / "generation" / "policy.yaml"))
    return float(settings["all_subtasks"]["action_noise"])
