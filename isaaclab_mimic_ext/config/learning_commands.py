"""Schemas of the commands that train and evaluate policies, and of the path to them; all others are in `commands.py`."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from isaaclab_mimic_ext.config.bounds import bounded, file_rule, folder_rule
from isaaclab_mimic_ext.config.task import EventsCfg, SceneCfg, SeedCfg, SuccessRuleCfg


@dataclass
class EvaluationDataGenCfg(SuccessRuleCfg, SeedCfg):
    """Success and seed of an evaluation."""


@dataclass
class TrainCfg(EventsCfg, SceneCfg):
    """Train a policy on a split dataset, with robomimic.

    `datagen_config` and `events` apply to evaluations during training.
    """

    datagen_config: EvaluationDataGenCfg = field(default_factory=EvaluationDataGenCfg)
    algo: str = "bc_chunk"
    """Agent settings: the name of a file `tasks/<task>/agents/robomimic/<algo>.json`, or the path of a .json file. A task
    without a file for `bc_chunk` uses its defaults and all low-dimensional observations; `bc_image` sees the pictures of the
    dataset and the grippers; `act` is LeRobot's ACT, in an environment with lerobot."""
    input_file: str = bounded(MISSING, **file_rule("datasets/run/demo.hdf5"))
    """Dataset that `mimic split` has split into `mask/train` and `mask/valid`."""
    demos: list[str] | None = None
    """Demos of both masks to use: names, or names of masks (filter keys); with `-` in front: all but these; null: all."""
    epochs: int | None = bounded(None, at_least=1, remedy="null uses the agent settings")
    """Number of epochs; null: as in the agent settings."""
    full_pass: bool = False
    """true: an epoch is one pass over all training steps. false: an epoch has the number of gradient steps in the agent
    settings."""
    seed: int = bounded(1, at_least=0, at_most=2**32 - 1)
    """Seed of the initial weights and of the order of batches."""
    normalize_actions: str | None = bounded(None, choices=("min_max", "none"), remedy="null uses the default")
    """`min_max` (scale the range of each action entry in the training demos to [-1, 1]) or `none`; null: `none` for
    bc_image, otherwise `min_max`."""
    action_key: str | None = bounded(None, choices=("actions", "actions_clean"), remedy="null uses the default")
    """What the policy learns to predict: `actions` (as executed, with noise) or `actions_clean` (without noise); null:
    `actions_clean` for bc_chunk and bc_image if the dataset has it, otherwise `actions`."""
    agent: dict[str, Any] = field(default_factory=dict)
    """Values that replace agent settings: `agent.train.batch_size=256`."""
    save_every: int = bounded(50, at_least=0)
    """Number of epochs between checkpoints; 0: save only the last epoch."""
    evaluate_every: int = bounded(0, at_least=0)
    """Number of epochs between evaluations; 0: none. The best checkpoint is saved as `models/best.pth`."""
    num_eval_episodes: int = bounded(100, at_least=1, like=("num_episodes",))
    """Number of episodes per evaluation, on scenes that neither `mimic generate` nor `mimic evaluate` uses."""
    num_eval_envs: int = bounded(50, at_least=1, like=("num_envs",))
    """Number of environments in evaluations."""
    output_dir: str = bounded(
        MISSING, computed="logs/robomimic/<task>/<algo>/<date>", **folder_rule("logs/robomimic/mine"), like=("output_file",)
    )
    """Output folder of the training: checkpoints, TensorBoard logs, configuration."""
    overwrite: bool = False
    """Replace a training that exists in `output_dir`."""
    resume: bool = False
    """Resume the training in `output_dir`; start it if the folder is empty."""
    num_threads: int = bounded(1, at_least=0, remedy="0 means one per core")
    """Number of CPU threads of the network; 0: one per core."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class EvaluateCfg(EventsCfg, SceneCfg):
    """Measure the success rate of policies on held-out scenes."""

    datagen_config: EvaluationDataGenCfg = field(default_factory=EvaluationDataGenCfg)
    checkpoint: Any = None
    """Checkpoint file, folder of a training (all its checkpoints), pattern such as `runs/*/best.pth`, or a list of these."""
    policy: str = "robomimic"
    """Kind of policy: `robomimic`, `lerobot` (checkpoints of `lerobot-train`), or `<module>:<function>` of a function that
    makes the policy, with or without a checkpoint."""
    n_action_steps: int | None = bounded(None, at_least=1)
    """`policy=lerobot`: number of actions of a chunk that are executed; null: as in the checkpoint."""
    num_envs: int = bounded(100, at_least=1)
    """Number of environments that are simulated at the same time."""
    num_episodes: int = bounded(300, at_least=1, like=("num_demos", "generation_num_trials", "num_rollouts"))
    """Number of episodes per checkpoint. All checkpoints are evaluated on the same scenes."""
    horizon: int | None = None
    """Largest number of steps of an episode; null: 1.5 times the longest demo in `input_file`."""
    input_file: str = bounded(MISSING, computed="source demos of the task")
    """Dataset from which the horizon is computed if `horizon=null`."""
    stop_at_success: bool = True
    """true: end an episode at held success. false: run it to the horizon, and judge its last `num_success_steps` steps."""
    randomization_scale: float = bounded(1.0, at_least=0)
    """Factor for the width of all ranges in `events`; their centers stay."""
    observation_noise: float = bounded(0.0, at_least=0)
    """Standard deviation of the noise of observations, in the units of each observation [m, rad, m/s, rad/s]."""
    observation_noise_keys: list[str] = field(default_factory=lambda: ["*"])
    """Patterns of names of the observations with noise; `*` matches any characters."""
    push_probability: float = bounded(0.0, at_least=0, at_most=1)
    """Probability per step that an object is pushed."""
    push_velocity: float = bounded(0.0, at_least=0)
    """Velocity that a push adds to an object, in a random horizontal direction [m/s]."""
    push_objects: list[str] | None = None
    """Objects that may be pushed, one per push; null: all."""
    arm_push_probability: float = bounded(0.0, at_least=0, at_most=1)
    """Probability per step that an arm is pushed."""
    arm_push_distance: float = bounded(0.0, at_least=0)
    """Distance by which a push shifts the target of an arm for one step, in a random direction [m]."""
    appearance: list[str] = field(default_factory=list)
    """Policies that see: evaluate them again with a random look per episode, once for each entry: `light`, `color` (of the
    light), `table`, `arm`, `objects`, `camera` (poses), `all`."""
    num_appearance_episodes: int = bounded(50, at_least=1)
    """Number of episodes per checkpoint and entry of `appearance`."""
    output_dir: str = bounded(
        MISSING, computed="logs/evaluation/<task>/<date>", **folder_rule("logs/evaluation/mine"), like=("output_file",)
    )
    """Output folder: `evaluation.json`, plot, videos."""
    overwrite: bool = False
    """Replace an evaluation that exists in `output_dir`."""
    video: bool = True
    """Render videos of successes and failures."""
    video_of: str = bounded("best", choices=("best", "last", "all"))
    """Checkpoints with a video of successes: `best`, `last` or `all`. Failures are shown of every checkpoint."""
    num_video_episodes: int = bounded(6, at_least=1, like=("num_video_demos",))
    """Number of episodes shown side by side in a video."""
    enable_cameras: bool = False
    """Isaac Lab: render the cameras of the env."""
    json: bool = False
    """Print JSON instead of a table."""
    progress: bool = True
    """Show a progress bar."""


@dataclass
class SweepReportCfg:
    """Report the results of a sweep as a table and a plot."""

    input_dir: str = bounded(MISSING, **folder_rule("datasets/sweep"))
    """Folder of the sweep, with one folder per job. `sweep.json` and `sweep.png` are written to it."""
    overwrite: bool = False
    """Replace an existing report."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass
class PipelineCfg:
    """Record, annotate, generate, split, (render,) train and evaluate. Each step is the command of the same name.

    A list of overrides changes fields of a step: `generate=["seed=3","all_subtasks.action_noise=0.01"]`. They are applied
    after the overrides of the task in `tasks/<task>/agents/pipeline.json`.
    """

    task_name: str = "desktop_organizer"
    """Name of the task. `task=<name>` on the command line sets it, as in all commands."""
    num_sources: int = bounded(MISSING, at_least=1)
    """Number of source demos to record."""
    num_demos: int = bounded(MISSING, at_least=1, like=("generation_num_trials",))
    """Number of demos to generate."""
    epochs: int = bounded(MISSING, at_least=1)
    """Number of epochs per training."""
    size_reason: str = ""
    """Reason for the numbers of demos and epochs, for the report; each preset has one."""
    algo: str | None = None
    """Agent settings, as in `mimic train`; null: bc if the task has this agent, otherwise bc_chunk."""
    seeds: list[int] = field(default_factory=lambda: [1])
    """Seeds of the trainings, one training per seed."""
    num_episodes: int = bounded(300, at_least=1)
    """Number of episodes in the evaluation of the last checkpoint of each training."""
    num_envs: int | None = bounded(None, at_least=1, remedy="null uses the default of each step")
    """Number of environments in generation and evaluation; null or `auto`: the default of each step."""
    record: list[str] = field(default_factory=list)
    """Overrides of the step `record`."""
    annotate: list[str] = field(default_factory=list)
    """Overrides of the step `annotate`."""
    generate: list[str] = field(default_factory=list)
    """Overrides of the step `generate`."""
    split: list[str] = field(default_factory=list)
    """Overrides of the step `split`."""
    render: list[str] = field(default_factory=list)
    """Overrides of the step `render`, which `algo=bc_image` has: it draws the pictures of the demos."""
    train: list[str] = field(default_factory=list)
    """Overrides of the step `train`."""
    evaluate: list[str] = field(default_factory=list)
    """Overrides of the step `evaluate`."""
    output_dir: str = bounded(MISSING, computed="datasets/pipeline/<task>_<preset>", **folder_rule("datasets/pipeline/mine"))
    """Output folder of all steps. Steps whose outputs are up to date are skipped."""
    progress: bool = True
    """Show a progress bar."""
