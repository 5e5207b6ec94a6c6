"""MuJoCo model of a task's scene: `build_spec` of the task, checked for parts that the engine does not support."""

import os
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from isaaclab_mimic_ext.envs.appearance import add_textures
from isaaclab_mimic_ext.envs.cameras import add_cameras_to_spec, pose_cameras
from isaaclab_mimic_ext.envs.robots import arms_of
from isaaclab_mimic_ext.envs.tabletop import STEP_DT
from isaaclab_mimic_ext.errors import SimulatorUnavailable, choices
from isaaclab_mimic_ext.task.cameras import CameraCfg
from isaaclab_mimic_ext.task.definition import JointedObject, SceneObject, Task
from isaaclab_mimic_ext.task.user_code import call_task_code, find_task_module, task_function, wrong_result

_JOINT_TYPES = {"mjJNT_FREE": "free joint", "mjJNT_BALL": "ball joint", "mjJNT_SLIDE": "slide", "mjJNT_HINGE": "hinge"}


def import_mujoco(with_batches: bool = False) -> ModuleType:
    """Import MuJoCo. Rendering also works with older versions, such as the one installed with Isaac Lab's Newton.

    Args:
        with_batches: also import `mujoco.batch`, which the engine needs.

    Raises:
        SimulatorUnavailable: MuJoCo is not installed, is too old, or cannot be imported.
    """
    try:
        import mujoco

        if with_batches:
            import mujoco.batch
    except ImportError as error:
        # Newton 1.6 of Isaac Lab 3.0 requires MuJoCo 3.12.
        place = " in an environment without Isaac Lab 3.0" if find_spec("isaaclab_newton") is not None else ""
        raise SimulatorUnavailable(
            f"mujoco: requires MuJoCo >= 3.17 ({error}); install with `pip install isaaclab-mimic-ext[mujoco]`{place}"
        ) from error
    except Exception as error:  # The import loads the OpenGL bindings of MUJOCO_GL, which raise many types of errors.
        raise SimulatorUnavailable(
            f"mujoco: cannot be imported with MUJOCO_GL={os.environ.get('MUJOCO_GL', '')}: {error}; unset MUJOCO_GL, set it "
            "to a backend that works (egl, glfw, osmesa), or install its library (Debian: libegl1 or libosmesa6)"
        ) from error
    return mujoco


def build_model(task: Task, cameras: Mapping[str, CameraCfg] | None = None, has_looks: bool = False) -> Any:
    """Compile the `mujoco.MjModel` of a task's scene.

    Args:
        cameras: cameras to add or to change; None: only those of the scene, which is enough for physics.
        has_looks: prepare the scene for `Looks`.

    Raises:
        ConfigError: a camera is not valid.
        SimulatorUnavailable: MuJoCo is not installed, or the task has no MuJoCo scene.
        TaskCodeError: `build_spec` of the task has an error, or its scene has parts that are not supported.
    """
    mujoco = import_mujoco()
    scene = find_task_module(task.name, "mujoco_scene")
    if scene is None:
        remedy = f"; define build_spec(task) in tasks/{task.name}/mujoco_scene.py"
        if task.engine is not None:
            remedy = f", only for {task.engine}, whose scenes are not drawn here"
        raise SimulatorUnavailable(f"sim.engine: task '{task.name}' has no scene for MuJoCo{remedy}")
    build_spec = task_function(scene, "build_spec", "task")
    spec = call_task_code(build_spec, task)
    if not isinstance(spec, mujoco.MjSpec):
        raise wrong_result(build_spec, f"must return a mujoco.MjSpec, as build_tabletop does (got {type(spec).__name__})")
    for fault in _faults(spec, task):
        raise wrong_result(build_spec, fault)
    add_cameras_to_spec(spec, task, cameras or {})
    if has_looks:
        add_textures(spec)
    try:
        model = spec.compile()
    except ValueError as error:
        raise wrong_result(build_spec, f"the scene cannot be compiled: {_compile_fault(error, spec)}") from error
    pose_cameras(model, task, cameras or {})
    return model


def arm_joints(task: Task, arm_name: str) -> list[str]:
    """Names of the joints of an arm and its gripper, padded as by `Arms`."""
    return [f"{arm_name}/{joint}" for joint in arms_of(task).joint_names[_arm_index(task, arm_name)]]


def arm_actuators(task: Task, arm_name: str) -> list[str]:
    """Names of the actuators of an arm and its gripper, padded as by `Arms`."""
    return [f"{arm_name}/{actuator}" for actuator in arms_of(task).actuator_names[_arm_index(task, arm_name)]]


def _arm_index(task: Task, arm_name: str) -> int:
    return [arm.name for arm in task.arms].index(arm_name)


def _faults(spec: Any, task: Task) -> Iterator[str]:
    """Faults of a scene: parts that are missing, and parts that are not supported."""
    yield from _arm_faults(spec, task)
    yield from _object_faults(spec, task)
    of_arms = {joint for arm in task.arms for joint in arm_joints(task, arm.name)}
    commanded = {actuator for arm in task.arms for actuator in arm_actuators(task, arm.name)}
    on_objects = {name for name in task.jointed_names if (body := spec.body(name)) is not None and body.joints}
    for joint in spec.joints:
        if joint.name not in of_arms | on_objects:
            yield from _joint_faults(joint, task)
    for actuator in spec.actuators:
        if actuator.name not in commanded:
            yield f"actuator '{actuator.name}' is not supported, only the arms are commanded; remove it"
    num_substeps = STEP_DT / spec.option.timestep
    if abs(num_substeps - round(num_substeps)) > 1e-6 * num_substeps:
        yield f"option.timestep: must divide the control step of {STEP_DT} s (got {spec.option.timestep}); use 0.002"


def _arm_faults(spec: Any, task: Task) -> Iterator[str]:
    for arm in task.arms:
        wanted = [("joint", name, spec.joint) for name in arm_joints(task, arm.name)]
        wanted += [("actuator", name, spec.actuator) for name in arm_actuators(task, arm.name)]
        for kind, name, find in [*wanted, ("site", f"{arm.name}/eef", spec.site)]:
            if find(name) is None:
                yield f"arm '{arm.name}': {kind} '{name}' not found; use build_tabletop, which adds the arms"


def _object_faults(spec: Any, task: Task) -> Iterator[str]:
    bodies = [body.name for body in spec.bodies]
    for name in task.object_names:
        body = spec.body(name)
        if body is None:
            yield f"body of object '{name}' not found; {choices(name, [body for body in bodies if body])}"
            continue
        obj = task.objects[task.object_id(name)]
        if not obj.is_free:
            yield from _bound_faults(spec, body, obj)
            continue
        joints = [joint for joint in body.joints if _kind(joint) == "free joint"]
        if len(joints) > 1:
            yield f"object '{name}' has {len(joints)} free joints ({_names(joints)}); it must have one, named '{name}'"
        elif not joints or joints[0].name != name:
            found = "none" if not joints else f"'{joints[0].name}'"
            yield f"object '{name}' must have a free joint named '{name}' (got {found}); use add_freejoint(name='{name}')"


def _bound_faults(spec: Any, body: Any, obj: SceneObject) -> Iterator[str]:
    """Faults of the body of an object that is fixed or on a joint."""
    if not isinstance(obj, JointedObject):
        if body.joints or not body.mocap:
            yield f"object '{obj.name}' is fixed; its body must have no joint, and mocap=True; use build_tabletop"
        return
    joints = [f"'{joint.name}' ({_kind(joint)})" for joint in body.joints]
    if joints != [f"'{obj.name}' ({obj.kind})"]:
        found = ", ".join(joints) or "none"
        yield f"object '{obj.name}' must have one joint, a {obj.kind} named '{obj.name}' (got {found}); use build_tabletop"
    elif body.parent.name != obj.base:
        yield f"object '{obj.name}' must be a child of body '{obj.base}' (got '{body.parent.name}'); use build_tabletop"


def _joint_faults(joint: Any, task: Task) -> Iterator[str]:
    """Faults of a joint that does not belong to an arm."""
    body, kind = joint.parent.name, _kind(joint)
    if kind != "free joint":
        yield (
            f"body '{body}' has joint '{joint.name}' ({kind}), whose state would not be recorded; add a JointedObject "
            f"'{body}' to `objects`, or remove the joint, which fixes the body to its parent"
        )
    elif body not in task.object_names:
        yield (
            f"body '{body}' has free joint '{joint.name}', but is not one of the task's objects; add a SceneObject to "
            "`objects`, or remove the joint, which fixes the body"
        )


def _kind(joint: Any) -> str:
    return _JOINT_TYPES[joint.type.name]


def _names(items: list[Any]) -> str:
    return ", ".join(f"'{item.name}'" for item in items)


def _compile_fault(error: ValueError, spec: Any) -> str:
    """Text of an error of MuJoCo's compiler in one line, with the body of a geom without a name."""
    text, _, element = str(error).removeprefix("Error: ").partition("\n")
    found = re.match(r"Element name '(.*)', id (\d+)", element)
    if found is None:
        return " ".join(f"{text} {element}".split())
    bodies = [geom.parent.name for geom in spec.geoms if geom.id == int(found[2]) and " geom" in text]
    owner = f"of body '{bodies[0]}'" if bodies else f"'{found[1]}'"
    return f"{text} ({'geom ' if bodies else ''}{owner})"
