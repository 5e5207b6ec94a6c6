"""Properties of a dataset that decide which policies can imitate it. Checkpoints contain them, for advice later."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from isaaclab_mimic_ext.datasets.pauses import dataset_pauses
from isaaclab_mimic_ext.demos.pauses import pauses_text
from isaaclab_mimic_ext.files.hdf5 import open_hdf5, text_of
from isaaclab_mimic_ext.files.stream import read_facts
from isaaclab_mimic_ext.learn.agents import CHUNK_ALGORITHMS
from isaaclab_mimic_ext.learn.data import CLEAN_ACTIONS
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.task.folders import available_tasks


@dataclass(frozen=True)
class TrainingData:
    """Properties of the demos that a policy is trained on.

    Attributes:
        pauses: sentence about the pauses that at least half of the demos have; empty: none, or not known.
        pause_spans: first step and number of steps of each of these pauses, medians over the demos.
        mean_length: mean number of steps of a demo.
        action_noise: largest standard deviation of the noise that generation added to an entry of the actions; None: not
            known.
        has_clean_actions: whether the dataset contains the actions without noise.
    """

    pauses: str = ""
    pause_spans: Sequence[Sequence[int]] = ()
    mean_length: float | None = None
    action_noise: float | None = None
    has_clean_actions: bool = False

    @property
    def longest_pause(self) -> int:
        """Number of steps of the longest pause; 0 without pauses."""
        return max((num_steps for _, num_steps in self.pause_spans), default=0)

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> "TrainingData":
        """Properties in the metadata of a checkpoint; defaults for those that an earlier version did not save."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in facts.get("data", {}).items() if name in known})

    def as_facts(self) -> dict[str, Any]:
        """Properties as metadata of a checkpoint."""
        return asdict(self)


def examine_training_data(path: Path, task_name: str, names: Sequence[str]) -> TrainingData:
    """Read the properties of a dataset, from its demos `names`.

    Raises:
        SourceDataError: the file is damaged.
    """
    arms = load_task(task_name).arms if task_name in available_tasks() else ()
    pauses = [pause for pause in dataset_pauses(path, names, arms) if pause.is_common]
    with open_hdf5(path) as file:
        has_clean_actions = CLEAN_ACTIONS in file["data"][names[0]]
        lengths = [len(file["data"][name]["actions"]) for name in names]
    return TrainingData(
        pauses=pauses_text(pauses, "the hand" if len(arms) == 1 else "all hands") if pauses else "",
        pause_spans=[[pause.first, pause.num_steps] for pause in pauses],
        mean_length=sum(lengths) / len(lengths),
        action_noise=_action_noise(read_facts(path).data_attributes.get("config")),
        has_clean_actions=has_clean_actions,
    )


def _action_noise(config: Any) -> float | None:
    """Largest noise of the subtasks in the configuration of a generation, YAML; None if the dataset has none."""
    if config is None:
        return None
    try:
        values: Any = OmegaConf.to_container(OmegaConf.create(text_of(config)), resolve=False)
        noise = [subtask["action_noise"] for subtasks in values["subtask_configs"].values() for subtask in subtasks]
        return max(float(entry) for each in noise for entry in (each if isinstance(each, Sequence) else [each]))
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError, YAMLError, OmegaConfBaseException):
        return None  # OmegaConf raises an AssertionError for a number.


@dataclass(frozen=True)
class Memory:
    """Number of steps that a policy looks back or plans ahead: the longest pause that it can carry through.

    Attributes:
        num_steps: number of steps.
        text: how the policy acts, as a part of a sentence.
        plans_ahead: whether these are planned actions.
    """

    num_steps: int
    text: str
    plans_ahead: bool = False

    @classmethod
    def of(cls, algo_name: str, config: Mapping[str, Any]) -> "Memory":
        """Memory of a policy with a complete configuration of robomimic."""
        if algo_name in CHUNK_ALGORITHMS:
            num_steps = int(config["train"]["seq_length"])
            return cls(num_steps, f"predicts {num_steps} actions at once", plans_ahead=True)
        rnn = config["algo"].get("rnn", {})
        if rnn.get("enabled"):
            return cls(int(rnn["horizon"]), f"remembers {rnn['horizon']} steps")
        return cls(1, "acts on one observation")


def pause_warning(algo: str, memory: Memory, data: TrainingData) -> str | None:
    """Sentence about pauses that are longer than the memory of a policy, with the remedy; None if there are none."""
    if data.longest_pause <= memory.num_steps:
        return None
    remedy = "use algo=bc_chunk, the default, which predicts 32 actions at once"
    if memory.plans_ahead:
        remedy = f"predict more actions: agent.train.seq_length={2 * data.longest_pause}"
    return f"algo={algo} {memory.text}, and {data.pauses}; the policy tends to stop there: {remedy}"
