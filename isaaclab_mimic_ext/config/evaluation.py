"""The schema of the script that judges policies."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from isaaclab_mimic_ext.config.task import MimicEnvCfg, SimCfg, TaskRef

VIDEO_CHOICES = ("best", "last", "all")


@dataclass
class EvaluateCfg(MimicEnvCfg):
    """`scripts/evaluate.py`: how often policies solve a task, on scenes that no demonstration was made in.

    Of `datagen_config` it reads the seed, `num_success_steps` and `success_rule`.
    """

    task: TaskRef = field(default_factory=TaskRef)
    sim: SimCfg = field(default_factory=SimCfg)
    checkpoint: Any = None
    """A file, a training run's folder (all checkpoints in it), a pattern such as `runs/*/best.pth`, or a list of these."""
    policy: str = "robomimic"
    """What the checkpoint is of: `robomimic`, or `<module>:<function>`, which may do without one."""
    num_envs: int = 100
    num_episodes: int = 300
    """Of each checkpoint; all of them see the same scenes."""
    horizon: int | None = None
    """Steps after which an episode has failed; None: half as long again as the longest demonstration of `input_file`."""
    input_file: str = MISSING
    """Demonstrations that show how long the task takes; read for `horizon=null` only."""
    stop_at_success: bool = True
    """An episode ends when success has held for `num_success_steps`; False: it goes on, and its last steps are judged."""
    randomization_scale: float = 1.0
    """All ranges of `events` are so many times as wide, about their middles."""
    observation_noise: float = 0.0
    """Standard deviation of what is added to each observation [m, rad, m/s, rad/s]."""
    observation_noise_keys: list[str] = field(default_factory=lambda: ["*"])
    """Which observations get it; `*` stands for any letters."""
    push_probability: float = 0.0
    """That an object is pushed in a step."""
    push_velocity: float = 0.0
    """What a push adds to an object's velocity, in a random horizontal direction [m/s]."""
    push_objects: list[str] | None = None
    """One of them is pushed; None: of all objects."""
    arm_push_probability: float = 0.0
    """That an arm is pushed in a step."""
    arm_push_distance: float = 0.0
    """How far an arm's target is moved for that step, in a random direction [m]."""
    output_dir: str = MISSING
    """For `evaluation.json`, the plot and the videos."""
    overwrite: bool = False
    """Replace an evaluation that is there."""
    video: bool = True
    """Draw successes and failures."""
    video_of: str = "best"
    """Of which checkpoint: `best`, `last`, or `all`."""
    num_video_episodes: int = 6
    """Side by side in a video."""
    device: str = "cpu"
    """Of the tensors and the policy: `cpu`, `cuda` or `cuda:<index>`."""
    headless: bool = False
    """No window (the embedded engines never open one)."""
    enable_cameras: bool = False
    """Cameras of engines that render."""
    json: bool = False
    """Print JSON instead of a table."""
    progress: bool = True


@dataclass
class SweepReportCfg:
    """`scripts/sweep_report.py`: what a sweep says, as a table and a picture."""

    sweep_dir: str = MISSING
    """The sweep's folder, whose folders are its jobs'; `sweep.json` and `sweep.png` are put into it."""
    overwrite: bool = False
    """Replace a report that is there."""
