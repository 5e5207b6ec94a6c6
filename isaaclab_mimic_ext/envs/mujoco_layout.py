"""Where a task's arms and objects are in MuJoCo's arrays, and the scene's model itself."""

# E arms, O objects, J = 9 joints of an arm (7 and two fingers)

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.panda import NUM_ARM_JOINTS
from isaaclab_mimic_ext.errors import SimulatorUnavailable
from isaaclab_mimic_ext.task import Task

_QPOS_OF_POSE_XYZW = (0, 1, 2, 4, 5, 6, 3)


def import_mujoco(with_batches: bool = False) -> ModuleType:
    """MuJoCo; to draw an older one is enough, such as that which comes with Isaac Lab's Newton.

    Args:
        with_batches: `mujoco.batch`, too, which the engine steps.

    Raises:
        SimulatorUnavailable: it is not installed, too old, or does not start.
    """
    try:
        import mujoco

        if with_batches:
            import mujoco.batch
    except ImportError as error:
        raise SimulatorUnavailable(
            f"the engine 'mujoco' needs MuJoCo 3.17 or later ({error}); run: pip install isaaclab-mimic-ext[mujoco]"
        ) from error
    except Exception as error:  # It loads the OpenGL of MUJOCO_GL, whose bindings raise errors of many kinds.
        raise SimulatorUnavailable(
            f"MuJoCo does not start: {error}; unset MUJOCO_GL, or give one that works here: egl, osmesa, glfw"
        ) from error
    return mujoco


def build_model(task: Task) -> Any:
    """The compiled `mujoco.MjModel` of the task's scene.

    Raises:
        SimulatorUnavailable: MuJoCo is not installed, or the task has no scene for it.
    """
    import_mujoco()
    name = f"isaaclab_mimic_ext.tasks.{task.name}.mujoco_scene"
    try:
        scene = import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise SimulatorUnavailable(
            f"task '{task.name}' has no scene for the engine 'mujoco'; write build_spec(task) in "
            f"tasks/{task.name}/mujoco_scene.py"
        ) from error
    return scene.build_spec(task).compile()


@dataclass(frozen=True)
class SceneLayout:
    """Indices into MuJoCo's arrays, int64.

    Attributes:
        joint_qpos, joint_dof: (E, J), arm joints and fingers.
        arm_joint: (E, 7), the arm joints' ids.
        ctrl: (E, J), the joints' actuators.
        eef_site: (E,).
        body: (O,).
        root_qpos: (O, 7), in the order position, quaternion xyzw.
        root_dof: (O, 6), linear, angular.
    """

    joint_qpos: Tensor
    joint_dof: Tensor
    arm_joint: Tensor
    ctrl: Tensor
    eef_site: Tensor
    body: Tensor
    root_qpos: Tensor
    root_dof: Tensor

    @classmethod
    def of(cls, model: Any, task: Task) -> "SceneLayout":
        """The places of the task's arms and objects in a `mujoco.MjModel`."""
        arm_joints = [f"joint{index + 1}" for index in range(NUM_ARM_JOINTS)]
        names = [[f"{arm.name}/{joint}" for joint in (*arm_joints, "finger1", "finger2")] for arm in task.arms]
        joints = _ids(model.joint, names)
        roots = _ids(model.joint, task.object_names)
        qpos, dof = torch.from_numpy(model.jnt_qposadr).long(), torch.from_numpy(model.jnt_dofadr).long()
        return cls(
            joint_qpos=qpos[joints],
            joint_dof=dof[joints],
            arm_joint=joints[:, :NUM_ARM_JOINTS],
            ctrl=_ids(model.actuator, names),
            eef_site=_ids(model.site, [f"{arm.name}/eef" for arm in task.arms]),
            body=_ids(model.body, task.object_names),
            root_qpos=qpos[roots][:, None] + torch.tensor(_QPOS_OF_POSE_XYZW),
            root_dof=dof[roots][:, None] + torch.arange(6),
        )


def _ids(lookup: Any, names: Any) -> Tensor:
    """Ids of a nested sequence of names."""
    return torch.tensor([lookup(name).id if isinstance(name, str) else _ids(lookup, name).tolist() for name in names])
