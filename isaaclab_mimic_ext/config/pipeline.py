"""The schema of the script that does everything, from recording to evaluation."""

from dataclasses import dataclass, field

from omegaconf import MISSING


@dataclass
class PipelineCfg:
    """`scripts/pipeline.py`: record, annotate, generate, split, train, evaluate; each step as its own script does it.

    The steps' own fields are changed by lists of overrides, as they stand on those scripts' command lines:
    `generate=["seed=3","all_subtasks.action_noise=0.01"]`. They come after the task's own,
    `tasks/<task>/agents/pipeline.json`.
    """

    task_name: str = "desktop_organizer"
    """`task=` on the command line, as of every script; Hydra itself takes that for its group of configurations."""
    num_sources: int = MISSING
    """Demonstrations that are recorded."""
    num_demos: int = MISSING
    """Demonstrations that are generated."""
    epochs: int = MISSING
    algo: str = "bc"
    seeds: list[int] = field(default_factory=lambda: [1])
    """One training each."""
    num_episodes: int = 300
    """Of the evaluation of each training's last checkpoint."""
    num_envs: int = 100
    record: list[str] = field(default_factory=list)
    annotate: list[str] = field(default_factory=list)
    generate: list[str] = field(default_factory=list)
    split: list[str] = field(default_factory=list)
    train: list[str] = field(default_factory=list)
    evaluate: list[str] = field(default_factory=list)
    output_dir: str = MISSING
    """Of everything; steps whose outputs are there and up to date are skipped."""
