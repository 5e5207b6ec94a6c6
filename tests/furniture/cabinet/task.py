"""A cabinet with a drawer that has a knob, and with a door, next to a cube: a task for tests of objects on joints."""

import torch

from isaaclab_mimic_ext import Graspable, JointedObject, SceneObject, SceneState, Task

CUBE = 0.04
DRAWER_FLOOR = 0.03
"""Height of the upper side of the drawer's bottom above the table [m]."""


class Cabinet(Task):
    name = "cabinet"
    objects = (
        SceneObject("cabinet", 0.23, 0.0, (0.55, 0.25), half_size=(0.20, 0.10, 0.06), box_center=(0, 0, 0.06), fixed=True),
        SceneObject("cube", 0.029, CUBE / 2, (0.5, -0.2), half_size=(CUBE / 2,) * 3),
        JointedObject(
            "drawer",
            base="cabinet",
            axis=(0.0, -1.0, 0.0),
            limits=(0.0, 0.15),
            pos=(-0.1, -0.02, 0.06),
            half_size=(0.09, 0.08, 0.045),
            damping=20.0,
        ),
        JointedObject(
            "knob",
            base="drawer",
            kind="hinge",
            axis=(0.0, 1.0, 0.0),
            limits=(-1.5, 1.5),
            pos=(0.0, -0.15, 0.04),
            half_size=(0.02, 0.02, 0.02),
            damping=0.01,
            friction=0.01,
        ),
        JointedObject(
            "door",
            base="cabinet",
            kind="hinge",
            axis=(0.0, 0.0, -1.0),
            limits=(0.0, 1.8),
            pos=(0.20, -0.10, 0.06),
            half_size=(0.10, 0.01, 0.05),
            box_center=(-0.10, 0.0, 0.0),
            damping=0.2,
        ),
    )
    signal_names = ("open", "turn")
    table_bounds = ((0.20, 0.95), (-0.60, 0.60))

    def signals(self, scene: SceneState) -> dict[str, torch.Tensor]:
        return {"open": self.joint_position(scene, "drawer") > 0.08, "turn": self.joint_position(scene, "door") > 0.5}

    def success(self, scene: SceneState) -> torch.Tensor:
        return self.signals(scene)["open"]

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        grips = Graspable("drawer", 0.009, (0.0, -0.15, 0.04)), Graspable("door", 0.009, (-0.18, -0.03, 0.0))
        return {"franka": (*grips, Graspable("cube", CUBE / 2))}

    def support_height(self, object_name: str, scene: SceneState) -> torch.Tensor:
        drawer, cube = (scene.object_pose[:, self.object_id(name), :3, 3] for name in ("drawer", "cube"))
        inside = ((cube - drawer)[:, :2].abs() < torch.tensor([0.09, 0.08])).all(-1)
        return torch.where(inside, DRAWER_FLOOR, 0.0)


def make_task() -> Cabinet:
    return Cabinet()
