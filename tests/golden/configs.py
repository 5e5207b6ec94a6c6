"""Configurations and source demos of the package, built from those of the oracle."""

from collections.abc import Sequence

import numpy as np

from isaaclab_mimic_ext.config import SubTaskConfig, SubTaskConstraintConfig
from isaaclab_mimic_ext.demos.source import SourceDemo
from tests.golden import oracle

Subtasks = dict[str, list[oracle.Subtask]]


def constraint_configs(
    sequentials: Sequence[oracle.Sequential], coordinations: Sequence[oracle.Coordination]
) -> list[SubTaskConstraintConfig]:
    """Constraint configurations of a spec."""
    return [
        *(
            SubTaskConstraintConfig(
                eef_subtask_constraint_tuple=[list(c.former), list(c.latter)],
                constraint_type="sequential",
                sequential_min_time_diff=c.min_time_diff,
            )
            for c in sequentials
        ),
        *(
            SubTaskConstraintConfig(
                eef_subtask_constraint_tuple=[list(member) for member in c.members],
                constraint_type="coordination",
                coordination_scheme=c.scheme,
                coordination_scheme_pos_noise_scale=c.pos_noise,
                coordination_scheme_rot_noise_scale=c.rot_noise,
                coordination_synchronize_start=c.synchronize_start,
            )
            for c in coordinations
        ),
    ]


def subtask_configs(subtasks: Subtasks, rules: oracle.Rules) -> dict[str, list[SubTaskConfig]]:
    """Subtask configurations of a spec."""
    return {
        eef: [
            _subtask_config(
                f"{eef}_{i}" if i < len(items) - 1 or rules.skillgen else None,
                subtask,
                rules.start_offsets[eef] if i == 0 else (0, 0),
            )
            for i, subtask in enumerate(items)
        ]
        for eef, items in subtasks.items()
    }


def _subtask_config(signal: str | None, subtask: oracle.Subtask, start_offsets: tuple[int, int]) -> SubTaskConfig:
    kwargs = {"nn_k": subtask.nn_k, "pos_weight": subtask.pos_weight, "rot_weight": subtask.rot_weight}
    return SubTaskConfig(
        object_ref=subtask.object_ref,
        subtask_term_signal=signal,
        subtask_term_offset_range=subtask.end_offsets,
        first_subtask_start_offset_range=start_offsets,
        subtask_start_offset_range=subtask.skill_start_offsets,
        selection_strategy=subtask.strategy,
        selection_strategy_kwargs={} if subtask.strategy == "random" else kwargs,
        action_noise=subtask.action_noise,
        num_interpolation_steps=subtask.num_interpolation,
        num_fixed_steps=subtask.num_fixed,
        num_settle_steps_before_gripper=subtask.num_settle,
        apply_noise_during_interpolation=subtask.noise_during_interpolation,
    )


def source_demo(index: int, demo: oracle.Demo) -> SourceDemo:
    return SourceDemo(
        name=f"demo_{index}",
        actions=np.concatenate(list(demo.gripper.values()), axis=1).astype(np.float32),
        eef_pose={eef: poses.astype(np.float32) for eef, poses in demo.eef.items()},
        target_eef_pose={eef: poses.astype(np.float32) for eef, poses in demo.target.items()},
        object_pose={name: poses.astype(np.float32) for name, poses in demo.objects.items()},
        subtask_term_signals={f"{eef}_{i}": s for eef, of_eef in demo.signals.items() for i, s in enumerate(of_eef)},
        subtask_start_signals={f"{eef}_{i}": s for eef, of_eef in demo.starts.items() for i, s in enumerate(of_eef)},
    )
