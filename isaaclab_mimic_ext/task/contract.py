"""Checks of a task's definition: its attributes, and the values that its functions return, by shape and dtype."""

# N envs, E end effectors

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext.errors import TaskCodeError, choices
from isaaclab_mimic_ext.task.joint_contract import joint_faults
from isaaclab_mimic_ext.task.reasons import FailureReason
from isaaclab_mimic_ext.task.user_code import call_error, call_task_code, shown_path, task_code_error, wrong_result

if TYPE_CHECKING:
    from isaaclab_mimic_ext.task.definition import SceneObject, SceneState, Task

Check = Callable[["Task", "SceneState", Any], str | None]
"""Returns the fault of a value that a function of a task returned, or None."""


def _found(value: Any) -> str:
    """Description of a value for messages: shape and dtype of a tensor, otherwise its type."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return "None" if value is None else type(value).__name__


def _tensor_fault(
    value: Any, num_envs: int, dtype: torch.dtype, shape: str = "(N,)", num_eefs: int | None = None
) -> str | None:
    expected = (num_envs,) if num_eefs is None else (num_envs, num_eefs)
    # `isinstance` takes longer for tensors than for other values, and this is checked several times per step.
    if (type(value) is Tensor or isinstance(value, Tensor)) and value.dtype is dtype and value.shape == expected:
        return None
    sizes = f"N = {num_envs}" if num_eefs is None else f"N = {num_envs}, E = {num_eefs}"
    name = str(dtype).removeprefix("torch.")
    return f"must be a tensor {shape} {name}, {sizes} (got {_found(value)})"


def _is_bool(task: "Task", scene: "SceneState", value: Any) -> str | None:
    return _tensor_fault(value, scene.object_pose.shape[0], torch.bool)


def _is_bool_or_none(task: "Task", scene: "SceneState", value: Any) -> str | None:
    return None if value is None else _is_bool(task, scene, value)


def _is_height(task: "Task", scene: "SceneState", value: Any) -> str | None:
    return _tensor_fault(value, len(scene.object_pose), torch.float32)


def _is_attached(task: "Task", scene: "SceneState", value: Any) -> str | None:
    return _tensor_fault(value, len(scene.object_pose), torch.int64, "(N, E)", scene.eef_pose.shape[1])


def _are_bools(task: "Task", scene: "SceneState", value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return f"must be a dict, name -> (N,) bool (got {_found(value)})"
    num_envs = scene.object_pose.shape[0]
    for name, each in value.items():
        if fault := _tensor_fault(each, num_envs, torch.bool):
            return f"'{name}' {fault}"
    return None


def _are_signals(task: "Task", scene: "SceneState", value: Any) -> str | None:
    if fault := _are_bools(task, scene, value):
        return fault
    missing = next((name for name in task.signal_names if name not in value), None)
    return None if missing is None else f"'{missing}' of signal_names not found; {choices(missing, value)}"


def _are_observations(task: "Task", scene: "SceneState", value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return f"must be a dict, name -> (N, ...) (got {_found(value)})"
    num_envs = len(scene.object_pose)
    for name, each in value.items():
        if not isinstance(name, str) or not name or "/" in name:
            return f"{name!r} must be a name, a text without '/'"
        if not isinstance(each, Tensor) or each.ndim < 1 or len(each) != num_envs:
            return f"'{name}' must be a tensor (N, ...), N = {num_envs} (got {_found(each)})"
    return None


_RESULTS: Mapping[str, Check] = {
    "success": _is_bool,
    "violates": _is_bool_or_none,
    "hopeless": _is_bool_or_none,
    "signals": _are_signals,
    "start_signals": _are_bools,
    "conditions": _are_bools,
    "attached_objects": _is_attached,
    "observations": _are_observations,
    "support_height": _is_height,
}
"""Function of the scene in a task -> check of its result."""


def guard_functions(task_type: type) -> None:
    """Replace the functions of a subclass of `Task`, in place, by functions that report errors and wrong results."""
    for name, check in _RESULTS.items():
        function = vars(task_type).get(name)
        if inspect.isfunction(function):
            setattr(task_type, name, _guarded(function, check, scene_at=1 if name == "support_height" else 0))


def _guarded(function: Callable[..., Any], check: Check, scene_at: int) -> Callable[..., Any]:
    @functools.wraps(function)
    def guarded(task: "Task", *arguments: Any, **named: Any) -> Any:
        try:
            value = function(task, *arguments, **named)
        except (TaskCodeError, MemoryError):
            raise
        except Exception as error:
            raise call_error(error, function) from error
        scene = named["scene"] if "scene" in named else arguments[scene_at]
        if fault := check(task, scene, value):
            raise wrong_result(function, fault)
        return value

    return guarded


def check_definition(task: "Task") -> None:
    """Check the attributes of a task.

    Raises:
        TaskCodeError: an attribute is missing, or has a wrong type or value.
    """
    for fault in _faults(task):
        raise TaskCodeError(f"{_place(type(task))}: {type(task).__name__}.{fault}")


def _faults(task: "Task") -> Iterator[str]:
    from isaaclab_mimic_ext.task.definition import Arm, SceneObject

    if not isinstance(getattr(task, "name", None), str):
        yield f"name: must be the name of the task's folder (got {getattr(task, 'name', None)!r})"
    yield from _item_faults("arms", getattr(task, "arms", None), Arm, lambda arm: arm.name)
    yield from _item_faults("objects", getattr(task, "objects", None), SceneObject, lambda obj: obj.name)
    for obj in task.objects:
        yield from _object_faults(obj)
    yield from joint_faults(task)
    yield from _item_faults("signal_names", getattr(task, "signal_names", None), str, str)
    bounds: Any = getattr(task, "table_bounds", None)
    if not _is_numbers(bounds, (2, 2)) or any(low >= high for low, high in bounds):
        yield f"table_bounds: must be ((lowest x, highest x), (lowest y, highest y)) [m] (got {bounds!r})"
    for name, columns in dict(task.quaternion_columns).items():
        if not isinstance(columns, Sequence) or not all(isinstance(column, int) for column in columns):
            yield f"quaternion_columns: '{name}' must be a tuple of the first column of each quaternion (got {columns!r})"
    yield from _graspable_faults(task)
    reasons = _evaluated(task, "failure_reasons")
    yield from _item_faults("failure_reasons", reasons, FailureReason, lambda reason: reason.name, may_be_empty=True)


def _item_faults(
    name: str, items: Any, item_type: type, key: Callable[[Any], str], may_be_empty: bool = False
) -> Iterator[str]:
    """Faults of an attribute that must be a tuple of items with different names."""
    if not isinstance(items, tuple | list):
        found = "not found" if items is None else f"got {type(items).__name__}; a tuple of one item ends with a comma"
        yield f"{name}: must be a tuple of {item_type.__name__} ({found})"
    if not items and not may_be_empty:
        yield f"{name}: must not be empty"
    for item in items:
        if not isinstance(item, item_type):
            yield f"{name}: must contain only {item_type.__name__} (got {item!r})"
    keys = [key(item) for item in items]
    if twice := next((each for each in keys if keys.count(each) > 1), None):
        yield f"{name}: names must be different from each other (got '{twice}' twice)"


def _object_faults(obj: "SceneObject") -> Iterator[str]:
    place = f"objects: '{obj.name}'"
    if not _is_numbers(obj.default_pos, (2,)):
        yield f"{place}: default_pos must be (x, y) [m] (got {obj.default_pos!r})"
    for name in ("footprint_radius", "rest_height"):
        if not _is_numbers(getattr(obj, name), ()):
            yield f"{place}: {name} must be a number [m] (got {getattr(obj, name)!r})"
    for name in ("half_size", "box_center"):
        if getattr(obj, name) is not None and not _is_numbers(getattr(obj, name), (3,)):
            yield f"{place}: {name} must be (x, y, z) [m] (got {getattr(obj, name)!r})"
    if obj.half_size is not None and _is_numbers(obj.half_size, (3,)) and min(obj.half_size) <= 0:
        yield f"{place}: half_size must be > 0 along each axis (got {obj.half_size!r})"


def _graspable_faults(task: "Task") -> Iterator[str]:
    from isaaclab_mimic_ext.task.definition import Graspable

    graspable = call_task_code(task.graspable)
    if not isinstance(graspable, Mapping):
        yield f"graspable: must return a dict, end effector -> tuple of Graspable (got {_found(graspable)})"
    for eef_name, items in graspable.items():
        if eef_name not in task.eef_names:
            yield f"graspable: '{eef_name}' is not an end effector; {choices(eef_name, task.eef_names)}"
        if not isinstance(items, tuple | list) or not all(isinstance(item, Graspable) for item in items):
            yield f"graspable: '{eef_name}' must be a tuple of Graspable (got {items!r})"
        for item in items:
            if item.object_name not in task.object_names:
                names = choices(item.object_name, task.object_names)
                yield f"graspable: object '{item.object_name}' is not in the scene; {names}"
            if task.objects[task.object_id(item.object_name)].fixed:
                yield f"graspable: object '{item.object_name}' is fixed; name the part of it that moves"


def _is_numbers(value: Any, shape: tuple[int, ...]) -> bool:
    """Return whether a value is a nested sequence of numbers with this shape."""
    try:
        array = np.asarray(value)
    except ValueError:  # Sequences of different lengths.
        return False
    return array.shape == shape and array.dtype.kind in "iuf"


def _evaluated(task: "Task", name: str) -> Any:
    """Value of a property of a task."""
    try:
        return getattr(task, name)
    except (TaskCodeError, MemoryError):
        raise
    except Exception as error:
        raise task_code_error(error, _file(type(task)), name) from error


def _place(task_type: type) -> str:
    """File and line of the class of a task."""
    try:
        return f"{shown_path(_file(task_type))}:{inspect.getsourcelines(task_type)[1]}"
    except (OSError, TypeError):  # The source is not available, as in an interactive session.
        return shown_path(_file(task_type))


def _file(task_type: type) -> str:
    return getattr(sys.modules.get(task_type.__module__), "__file__", None) or task_type.__module__
