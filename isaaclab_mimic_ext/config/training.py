"""The schema of the script that trains policies."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from isaaclab_mimic_ext.config.task import MimicEnvCfg, SimCfg, TaskRef


@dataclass
class TrainCfg(MimicEnvCfg):
    """`scripts/train.py`: a dataset to a policy.

    Of the task's own fields it reads `events` and `datagen_config`'s success rule, for evaluations during training.
    """

    task: TaskRef = field(default_factory=TaskRef)
    sim: SimCfg = field(default_factory=SimCfg)
    algo: str = "bc"
    """The task's agent `tasks/<task>/agents/robomimic/<algo>.json`, or the path of a .json."""
    dataset: str = MISSING
    """With `mask/train` and `mask/valid` (`scripts/split_dataset.py`)."""
    epochs: int | None = None
    """None: as many as the agent says."""
    full_pass: bool = False
    """An epoch is one pass over all training steps, in place of the agent's number of gradient steps."""
    seed: int = 1
    """Of the initial parameters and the order of the batches."""
    normalize_actions: str = "min_max"
    """`min_max`: each entry's range in the training demos becomes [-1, 1], or `none`."""
    agent: dict[str, Any] = field(default_factory=dict)
    """What replaces the agent's settings: `agent.train.batch_size=256`."""
    save_every: int = 50
    """Epochs between checkpoints; 0: only the last."""
    evaluate_every: int = 0
    """Epochs between evaluations, the best of which goes to `models/best.pth`; 0: none."""
    num_eval_episodes: int = 100
    """Of an evaluation during training, on scenes that neither generation nor `scripts/evaluate.py` uses."""
    num_eval_envs: int = 50
    output_dir: str = MISSING
    """The run's folder: checkpoints, TensorBoard logs, configuration."""
    overwrite: bool = False
    """Replace a run that is there."""
    resume: bool = False
    """Go on with the run that is in `output_dir`; on an empty folder, start it."""
    device: str = "cpu"
    """`cpu`, `cuda` or `cuda:<index>`."""
    num_threads: int = 1
    """Of the CPU, for the network; 0: one a core."""
    headless: bool = False
    """No window (training opens none)."""
    progress: bool = True
