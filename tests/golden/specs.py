"""Random tasks and source demonstrations, as the oracle and as the planner take them."""

# T steps of a demo, D demos, S subtasks, O objects, N envs

from dataclasses import dataclass

import numpy as np
import torch

from isaaclab_mimic_ext.config import DataGenConfig, SubTaskConfig
from isaaclab_mimic_ext.demos.pool import SourcePool, build_pool
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.plan.subtasks import SubtaskTable, build_table
from isaaclab_mimic_ext.rng import Draws, Stream
from tests.golden import oracle

EEF = "franka"
OBJECTS = ("mug", "tray", "box")
STRATEGIES = ("random", "nearest_neighbor_object", "nearest_neighbor_robot_distance")
GRIPPER_DIM = 1


@dataclass(frozen=True)
class Spec:
    """One random task.

    Attributes:
        rotation: the most that a random pose is turned [rad]; small enough for angles to be exact in float32.
    """

    demos: list[oracle.Demo]
    subtasks: list[oracle.Subtask]
    rules: oracle.Rules
    config: DataGenConfig
    rotation: float

    @property
    def configs(self) -> dict[str, list[SubTaskConfig]]:
        return {EEF: [_subtask_config(i, s, self) for i, s in enumerate(self.subtasks)]}

    def pool(self, device: torch.device) -> SourcePool:
        def gripper_of(actions: torch.Tensor) -> dict[str, torch.Tensor]:
            return {EEF: actions[..., -GRIPPER_DIM:]}

        demos = [_source_demo(i, demo) for i, demo in enumerate(self.demos)]
        return build_pool(demos, self.configs, OBJECTS, gripper_of, device)

    def table(self, device: torch.device) -> SubtaskTable:
        return build_table(self.configs, OBJECTS, device)

    def chance(self, trial: int) -> oracle.Chance:
        """A trial's numbers, from the streams and steps that they are documented to come from."""
        draws = Draws(self.config.seed, torch.tensor([trial]))
        num_demos, num_subtasks = len(self.demos), len(self.subtasks)
        return oracle.Chance(
            start=draws.uniform(Stream.BOUNDARY, (1, num_demos), step=1)[0, 0].double().numpy(),
            ends=draws.uniform(Stream.BOUNDARY, (1, num_demos, num_subtasks), step=0)[0, 0].double().numpy(),
            selection=np.array([float(draws.uniform(Stream.SELECTION, (1,), step=i)[0, 0]) for i in range(num_subtasks)]),
        )


def random_spec(seed: int) -> Spec:
    rng = np.random.default_rng(seed)
    num_subtasks = int(rng.integers(1, 6))
    rotation = float(rng.choice([0.0, 0.02, 0.6], p=[0.1, 0.2, 0.7]))
    rules = oracle.Rules(
        start_offsets=_range(rng, 0, 2),
        select_per_subtask=bool(rng.integers(2)),
        select_per_arm=bool(rng.integers(2)),
        compat_select=str(rng.choice(["mimic", "isaaclab"])),
        transform_first_robot_pose=bool(rng.integers(2)),
        interpolate_from_last_target=bool(rng.integers(2)),
        legacy_small_rotation=bool(rng.integers(2)),
        num_final_hold=int(rng.integers(0, 5)),
        num_success_steps=int(rng.integers(1, 5)),
        success_rule=str(rng.choice(["held", "any_step"])),
    )
    config = DataGenConfig(
        seed=int(rng.integers(0, 2**63)),
        generation_select_src_per_subtask=rules.select_per_subtask,
        generation_select_src_per_arm=rules.select_per_arm,
        generation_transform_first_robot_pose=rules.transform_first_robot_pose,
        generation_interpolate_from_last_target_pose=rules.interpolate_from_last_target,
        num_final_hold_steps=rules.num_final_hold,
        num_success_steps=rules.num_success_steps,
        success_rule=rules.success_rule,
        compat_select=rules.compat_select,
        legacy_small_rotation=rules.legacy_small_rotation,
    )
    demos = [_random_demo(rng, num_subtasks, rotation) for _ in range(int(rng.integers(1, 9)))]
    subtasks = [_random_subtask(rng, is_last=i == num_subtasks - 1) for i in range(num_subtasks)]
    return Spec(demos, subtasks, rules, config, rotation)


def random_poses(rng: np.random.Generator, shape: tuple[int, ...], rotation: float) -> np.ndarray:
    """Rigid poses (*shape, 4, 4), as float32 has them."""
    poses = np.tile(np.eye(4), (*shape, 1, 1))
    poses[..., :3, 3] = rng.uniform(-0.5, 0.5, (*shape, 3))
    for index in np.ndindex(*shape):
        axis = rng.normal(size=3)
        poses[index][:3, :3] = oracle.rotation(rotation * rng.uniform() * axis / np.linalg.norm(axis))
    return poses.astype(np.float32).astype(np.float64)


def _random_subtask(rng: np.random.Generator, is_last: bool) -> oracle.Subtask:
    object_ref = None if rng.uniform() < 0.2 else str(rng.choice(OBJECTS))
    return oracle.Subtask(
        object_ref=object_ref,
        strategy="random" if object_ref is None else str(rng.choice(STRATEGIES)),
        nn_k=int(rng.integers(1, 6)),
        pos_weight=float(rng.choice([0.5, 1.0, 2.0])),
        rot_weight=float(rng.choice([0.0, 1.0, 3.0])),
        end_offsets=(0, 0) if is_last else _range(rng, -1, 2),
        num_interpolation=int(rng.integers(0, 8)),
        num_fixed=int(rng.integers(0, 5)),
        action_noise=float(rng.choice([0.0, 0.03, 0.1])),
        noise_during_interpolation=bool(rng.integers(2)),
    )


def _random_demo(rng: np.random.Generator, num_subtasks: int, rotation: float) -> oracle.Demo:
    # Four steps a segment: what is left of it under the worst offsets of -1 and 2 is one step.
    ends = np.cumsum(rng.integers(4, 9, num_subtasks)).tolist()
    num_steps = ends[-1]
    signals = [
        _random_signal(rng, num_steps, previous, end) for previous, end in zip([0, *ends[:-2]], ends[:-1], strict=False)
    ]
    return oracle.Demo(
        eef=random_poses(rng, (num_steps,), rotation),
        target=random_poses(rng, (num_steps,), rotation),
        gripper=rng.choice([-1.0, 1.0], (num_steps, GRIPPER_DIM)),
        objects={name: random_poses(rng, (num_steps,), rotation) for name in OBJECTS},
        signals=signals,
    )


def _random_signal(rng: np.random.Generator, num_steps: int, previous: int, end: int) -> np.ndarray:
    """Rises at `end - 1`; perhaps before the previous end too, which does not count, and perhaps again later."""
    signal = np.zeros(num_steps, dtype=bool)
    signal[end - 1 : end - 1 + int(rng.integers(1, num_steps))] = True
    if previous >= 2 and rng.integers(2):
        rise = int(rng.integers(1, previous))
        signal[rise : int(rng.integers(rise + 1, end - 1))] = True
    if rng.integers(2):
        signal[end:] = rng.integers(0, 2, num_steps - end)
    return signal


def _range(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    bounds = sorted(rng.integers(low, high + 1, 2).tolist())
    return bounds[0], bounds[1]


def _subtask_config(index: int, subtask: oracle.Subtask, spec: Spec) -> SubTaskConfig:
    is_last = index == len(spec.subtasks) - 1
    kwargs = {"nn_k": subtask.nn_k, "pos_weight": subtask.pos_weight, "rot_weight": subtask.rot_weight}
    return SubTaskConfig(
        object_ref=subtask.object_ref,
        subtask_term_signal=None if is_last else f"signal_{index}",
        subtask_term_offset_range=subtask.end_offsets,
        first_subtask_start_offset_range=spec.rules.start_offsets if index == 0 else (0, 0),
        selection_strategy=subtask.strategy,
        selection_strategy_kwargs={} if subtask.strategy == "random" else kwargs,
        action_noise=subtask.action_noise,
        num_interpolation_steps=subtask.num_interpolation,
        num_fixed_steps=subtask.num_fixed,
        apply_noise_during_interpolation=subtask.noise_during_interpolation,
    )


def _source_demo(index: int, demo: oracle.Demo) -> SourceDemo:
    return SourceDemo(
        name=f"demo_{index}",
        actions=np.concatenate((np.zeros((len(demo.gripper), 6)), demo.gripper), axis=1).astype(np.float32),
        eef_pose={EEF: demo.eef.astype(np.float32)},
        target_eef_pose={EEF: demo.target.astype(np.float32)},
        object_pose={name: poses.astype(np.float32) for name, poses in demo.objects.items()},
        subtask_term_signals={f"signal_{i}": signal for i, signal in enumerate(demo.signals)},
    )
