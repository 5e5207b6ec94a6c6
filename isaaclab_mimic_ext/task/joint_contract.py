"""Checks of the objects on joints in a task's definition."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from isaaclab_mimic_ext.errors import choices
from isaaclab_mimic_ext.task.objects import JOINT_KINDS, JointedObject, jointed_objects

if TYPE_CHECKING:
    from isaaclab_mimic_ext.task.definition import Task


def joint_faults(task: "Task") -> Iterator[str]:
    """Faults of the objects on joints, and names that arms and objects share: both are articulations of recorded states."""
    arms = {arm.name for arm in task.arms}
    for name in task.object_names:
        if name in arms:
            yield f"objects: '{name}' is the name of an arm; use a different name"
    for obj in jointed_objects(task.objects):
        yield from (f"objects: '{obj.name}': {fault}" for fault in _faults(task, obj))


def _faults(task: "Task", obj: JointedObject) -> Iterator[str]:
    earlier = task.object_names[: task.object_id(obj.name)]
    if obj.base not in earlier:
        known = choices(obj.base, earlier) if earlier else "add the base before it"
        yield f"base must be an object that precedes it in `objects` (got '{obj.base}'); {known}"
    if obj.kind not in JOINT_KINDS:
        yield f"kind must be 'slide' or 'hinge' (got {obj.kind!r})"
    if not _is_finite(obj.axis, 3) or not any(obj.axis):
        yield f"axis must be (x, y, z), not zero (got {obj.axis!r})"
    if not _is_finite(obj.pos, 3):
        yield f"pos must be (x, y, z) [m] (got {obj.pos!r})"
    if not _is_finite(obj.limits, 2) or obj.limits[0] >= obj.limits[1]:
        yield f"limits must be (lowest, highest) joint position [m, rad], lowest < highest (got {obj.limits!r})"
    if not _is_finite([obj.start_joint_pos], 1) or not obj.limits[0] <= obj.start_joint_pos <= obj.limits[1]:
        yield f"default_joint_pos must be within limits {obj.limits!r} (got {obj.default_joint_pos!r})"
    if obj.half_size is None:
        yield "half_size must be set, half the size of its bounding box [m]"
    for name in ("damping", "friction"):
        if not _is_finite([getattr(obj, name)], 1) or getattr(obj, name) < 0:
            yield f"{name} must be a number >= 0 (got {getattr(obj, name)!r})"


def _is_finite(value: Any, length: int) -> bool:
    """Return whether a value is a sequence of finite numbers with this length."""
    if not isinstance(value, Sequence) or len(value) != length:
        return False
    return all(isinstance(each, int | float) and math.isfinite(each) for each in value)
