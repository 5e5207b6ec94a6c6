"""The schema of `scripts/check_demos.py`."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from isaaclab_mimic_ext.config.task import MimicEnvCfg, TaskRef


@dataclass
class CheckDemosCfg(MimicEnvCfg):
    """`scripts/check_demos.py`: what would make generation from source demonstrations fail."""

    task: TaskRef = field(default_factory=TaskRef)
    input_file: str = MISSING
    """Annotated source demonstrations."""
    num_draws: int = 1000
    """So many scenes are drawn to find out which demos would be selected."""
    picture_file: str | None = None
    """A timeline of every demo, `.png` or `.html`."""
    overwrite: bool = False
    """Replace a picture that is there."""
    json: bool = False
    """Print JSON instead of text."""
    progress: bool = True
