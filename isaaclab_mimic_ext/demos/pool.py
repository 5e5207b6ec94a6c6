"""Source demos as padded tensors on one device."""

# E end effectors, D demos, T steps of the longest demo, O objects, A action entries, S and G: subtasks and gripper entries
# of the end effector that has most

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.config import SubTaskConfig
from isaaclab_mimic_ext.demos.boundaries import check_offsets, subtask_ends
from isaaclab_mimic_ext.demos.skills import Span, check_skill_offsets, skill_spans
from isaaclab_mimic_ext.demos.source import SourceDemo

GripperOf = Callable[[Tensor], Tensor]
"""Actions (T, A) -> gripper actions (T, E, G), eefs in the order of the subtasks; `MimicEnv.actions_to_gripper_actions`."""


@dataclass(frozen=True)
class SourcePool:
    """Data of the source demos that trials use. Demos shorter than T are padded with their last step.

    Attributes:
        names: names of the D demos.
        eef_pose, target_eef_pose: (E, D, T, 4, 4), achieved and commanded pose, env frame [m].
        gripper_action: (E, D, T, G); padded with zeros if an end effector has fewer gripper entries.
        object_pose: (O + 1, D, T, 4, 4), env frame [m]; the last object is the identity, for subtasks without an object.
        subtask_ends: (E, D, S) int64, exclusive, without offsets [steps]; subtasks that an end effector does not have end
            with the demo.
        lengths: (D,) int64, number of steps of each demo.
        subtask_starts: (E, D, S) int64, without offsets, under SkillGen [steps]; None: each subtask starts where the
            previous one ends.
    """

    names: tuple[str, ...]
    eef_pose: Tensor
    target_eef_pose: Tensor
    gripper_action: Tensor
    object_pose: Tensor
    subtask_ends: Tensor
    lengths: Tensor
    subtask_starts: Tensor | None = None

    @property
    def num_demos(self) -> int:
        return len(self.names)


def build_pool(
    demos: Sequence[SourceDemo],
    subtasks: dict[str, list[SubTaskConfig]],
    object_names: Sequence[str],
    gripper_of: GripperOf,
    device: torch.device,
    use_skillgen: bool = False,
) -> SourcePool:
    """Build the pool of `demos` for the end effectors and subtasks of a task.

    Args:
        demos: the D source demos.
        subtasks: end effector -> its subtasks, in order.
        object_names: names of the O objects, in the order of the pool.
        gripper_of: extracts gripper actions from actions.
        device: device of the pool's tensors.
        use_skillgen: subtasks start at the rise of their start signals, not at the end of the previous subtask.

    Raises:
        SourceDataError: a signal does not mark the end, or start, of its subtask in a demo.
        TaskSpecError: the offset ranges can make a segment of a demo empty.
    """
    num_steps = max(len(demo.actions) for demo in demos)
    lengths = [len(demo.actions) for demo in demos]
    spans_of = _skills_of_eef if use_skillgen else _subtasks_of_eef
    spans = [spans_of(demos, eef_name, configs) for eef_name, configs in subtasks.items()]
    starts, ends = (_pad_subtasks([[[s[i] for s in demo] for demo in eef] for eef in spans], lengths) for i in (0, 1))

    def padded(rows: Callable[[SourceDemo], np.ndarray]) -> Tensor:
        return torch.stack([_pad(torch.as_tensor(rows(demo)), num_steps) for demo in demos])

    gripper = [_pad(gripper_of(torch.as_tensor(demo.actions, device=device)), num_steps) for demo in demos]
    identity = torch.eye(4).expand(1, len(demos), num_steps, 4, 4)
    objects = [padded(lambda demo, name=name: demo.object_pose[name]) for name in object_names]  # type: ignore[misc]
    return SourcePool(
        names=tuple(demo.name for demo in demos),
        eef_pose=torch.stack([padded(lambda d, e=e: d.eef_pose[e]) for e in subtasks]).to(device),  # type: ignore[misc]
        target_eef_pose=torch.stack([padded(lambda d, e=e: d.target_eef_pose[e]) for e in subtasks]).to(device),  # type: ignore[misc]
        gripper_action=torch.stack(gripper).movedim(2, 0).contiguous(),
        object_pose=torch.cat((torch.stack(objects), identity)).to(device),
        subtask_ends=ends.to(device),
        lengths=torch.tensor(lengths, device=device),
        subtask_starts=starts.to(device) if use_skillgen else None,
    )


def _subtasks_of_eef(demos: Sequence[SourceDemo], eef_name: str, configs: list[SubTaskConfig]) -> list[list[Span]]:
    signals = [config.subtask_term_signal for config in configs]
    ends = {demo.place: subtask_ends(demo, signals) for demo in demos}
    check_offsets(eef_name, configs, ends)
    return [list(pairwise([0, *demo_ends])) for demo_ends in ends.values()]


def _skills_of_eef(demos: Sequence[SourceDemo], eef_name: str, configs: list[SubTaskConfig]) -> list[list[Span]]:
    signals = [config.subtask_term_signal for config in configs]
    spans = {demo.place: skill_spans(demo, signals) for demo in demos}
    check_skill_offsets(eef_name, configs, spans)
    return list(spans.values())


def _pad(rows: Tensor, num_steps: int) -> Tensor:
    return torch.cat((rows, rows[-1:].expand(num_steps - len(rows), *rows.shape[1:])))


def _pad_subtasks(ends: list[list[list[int]]], lengths: list[int]) -> Tensor:
    most = max(len(row) for eef_ends in ends for row in eef_ends)
    return torch.tensor(
        [[row + [length] * (most - len(row)) for row, length in zip(rows, lengths, strict=True)] for rows in ends]
    )
