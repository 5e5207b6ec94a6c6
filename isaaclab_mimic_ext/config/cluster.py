"""Schema of `+cluster=slurm`: generation by a job array."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from isaaclab_mimic_ext.config.bounds import bounded, folder_rule

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


@dataclass
class CollectDataGenCfg:
    """Target of a run whose blocks are collected."""

    generation_num_trials: int | None = bounded(None, at_least=1, like=("num_demos",))
    """Number of successful trials, or of all trials, as in `mimic generate`; null: the largest number with which a block
    was started."""


@dataclass
class CollectCfg:
    """Collect the blocks of a run (`mimic generate block=`) into one dataset.

    The dataset is that of one process with the same seed and target: `demo.hdf5` in `output_dir`, with statistics. Exit
    code 4: further blocks are needed, which the message lists.
    """

    output_dir: str = bounded(MISSING, **folder_rule("datasets/my_run"))
    """Folder of the run, which contains the folder `blocks`."""
    mode: str = bounded("copy", choices=COLLECT_MODES)
    """`copy`: the demos are copied into `demo.hdf5`, which then does not need the blocks. `shards`: the files of the blocks
    are copied to `demo_shards`, several times faster, and `demo.hdf5` contains links to their demos. `links`: `demo.hdf5`
    contains links to the demos in the files of the blocks: keep and move them together. Links take seconds and no space.
    `manifest`: only `manifest.json` is written, which lists the files of the blocks; for your own loader."""
    datagen_config: CollectDataGenCfg = field(default_factory=CollectDataGenCfg)
    overwrite: bool = False
    """Replace a run in `output_dir` that was not collected from its blocks."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
    """Show a progress bar."""
