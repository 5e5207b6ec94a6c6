"""Schema of `+cluster=slurm`: generation by a job array."""

from dataclasses import dataclass, field

from isaaclab_mimic_ext.config.bounds import bounded

SCHEDULERS = ("slurm",)
COLLECT_MODES = ("copy", "shards", "links", "manifest")
"""Form of the dataset of collected blocks: demos in one file, copies of files, links to demos, or a list of files."""


@dataclass
class ClusterCfg:
    """Job array that generates the blocks of a run."""

    scheduler: str | None = bounded(None, choices=SCHEDULERS)
    """Scheduler whose job array generates the run in blocks; `+cluster=slurm` sets it. null: this process generates."""
    options: list[str] = field(default_factory=list)
    """Options of `sbatch` for each job, such as `[--partition=gpu,--gpus=1,--time=04:00:00]`."""
    num_blocks: int | None = bounded(None, at_least=1)
    """Number of blocks of the first job array; null: the number that the target needs if all trials succeed. Further
    arrays follow until the target is reached."""
    mode: str = bounded("copy", choices=COLLECT_MODES)
    """Form of the collected dataset, as `mode` of `mimic collect`."""
