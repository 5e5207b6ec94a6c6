"""The schemas of the scripts that bring datasets in, hand them on, and prepare them for training."""

from dataclasses import dataclass, field

from omegaconf import MISSING


@dataclass
class RenameCfg:
    """Names in the file -> names in the task; what is not named here keeps its name."""

    objects: dict[str, str] = field(default_factory=dict)
    signals: dict[str, str] = field(default_factory=dict)


@dataclass
class ImportDatasetCfg:
    """`scripts/import_dataset.py`: MimicGen's source files to Isaac Lab's annotated layout."""

    input_file: str = MISSING
    output_file: str = MISSING
    overwrite: bool = False
    eef_name: str = "franka"
    """What the end effector is called from now on; MimicGen's has no name."""
    rename: RenameCfg = field(default_factory=RenameCfg)
    gripper_sign: str = "auto"
    """`keep`, `flip`, or `auto`: flip what robosuite recorded (its +1 closes, Isaac Lab's +1 opens)."""
    compress: bool = False


@dataclass
class ExportDatasetCfg:
    """`scripts/export_dataset.py`: a dataset in robomimic's (MimicGen's) layout or as a LeRobot dataset."""

    format: str = MISSING
    """`robomimic` or `lerobot`."""
    input_file: str = MISSING
    output_file: str | None = None
    """Of `format=robomimic`."""
    output_dir: str | None = None
    """Of `format=lerobot`."""
    overwrite: bool = False
    next_obs: bool = False
    """robomimic: write `next_obs` too."""
    compress: bool = False
    """robomimic: compress with gzip."""
    eef_name: str | None = None
    """robomimic: the end effector whose poses go to `datagen_info`; None: the only one."""
    state_keys: list[str] | None = None
    """lerobot: observations that make `observation.state`, in this order; None: all low-dimensional ones but `actions`."""
    instruction: str | None = None
    """lerobot: the task in words; None: the name of the environment."""
    fps: int | None = None
    """lerobot: frames per second; None: the control rate that the file says."""
    repo_id: str | None = None
    """lerobot: `<user>/<name>`; None: `local/<folder>`."""
    videos: bool = True
    """lerobot: encode images as videos (lossy), or keep them as PNG."""


@dataclass
class PrepareDatasetCfg:
    """`scripts/prepare_dataset.py`: what training of large models wants changed in a dataset."""

    input_file: str = MISSING
    output_file: str = MISSING
    overwrite: bool = False
    add_rtgs: bool = False
    """Write `returns_to_go`: the sum of the rewards from each step on."""
    low_dim_keys: bool = False
    """Drop every image."""
    sparse_reward: bool = False
    """Reward 1 in the last step of a successful demo, 0 everywhere else."""
    compress: bool = False
    """With gzip."""
    img_key: str | None = None
    """Keep this image and drop the others."""
    crop_dim: int | None = None
    """Cut this many pixels, square, out of the middle of `img_key`."""
