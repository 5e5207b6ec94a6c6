"""Recorded state of the objects on joints: one articulation per object that carries joints, as in Isaac Lab."""

# N envs or steps, Q objects on joints, K of them in one articulation

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.base import NestedTensors
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task.definition import SceneState, Task
from isaaclab_mimic_ext.task.objects import articulations


class Articulations:
    """Articulations of a task's objects: `joint_position` and `joint_velocity` (N, K), and the state of the root.

    Attributes:
        widths: name of the object that carries the joints -> K.
        entry: names of the joints by articulation, for the env_args of a dataset; empty without objects on joints.
    """

    def __init__(self, task: Task):
        names = articulations(task.objects)
        self._columns = {root: [task.jointed_names.index(name) for name in jointed] for root, jointed in names.items()}
        self._root_ids = {root: task.object_id(root) for root in names}
        self._num_joints = len(task.jointed_names)
        self.widths = {root: len(jointed) for root, jointed in names.items()}
        self.entry = {"joint_names": {root: list(jointed) for root, jointed in names.items()}} if names else {}

    def states(self, scene: SceneState) -> NestedTensors:
        """Recorded state of the articulations, leaves (N, ...)."""
        return {
            root: {
                "joint_position": scene.object_joint_pos[:, columns],
                "joint_velocity": scene.object_joint_vel[:, columns],
                "root_pose": scene.root_pose[:, self._root_ids[root]],
                "root_velocity": scene.root_velocity[:, self._root_ids[root]],
            }
            for root, columns in self._columns.items()
        }

    def joints_of(
        self, state: Mapping[str, Any], num_rows: int, device: torch.device | None = None
    ) -> tuple[Tensor, Tensor]:
        """Positions and velocities (N, Q) of the joints in a recorded state with N rows.

        Raises:
            ConfigError: the state does not contain an articulation.
        """
        position, velocity = torch.zeros(2, num_rows, self._num_joints, device=device)
        found = state.get("articulation", {})
        for root, columns in self._columns.items():
            if root not in found:
                raise ConfigError(f"state.articulation: '{root}' not found; {choices(root, found)}")
            position[:, columns] = torch.as_tensor(found[root]["joint_position"]).to(position)
            if "joint_velocity" in found[root]:
                velocity[:, columns] = torch.as_tensor(found[root]["joint_velocity"]).to(velocity)
        return position, velocity
