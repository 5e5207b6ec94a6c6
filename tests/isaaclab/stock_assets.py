"""Stand-ins for the assets of Isaac Lab's cube stack, which are stored on NVIDIA's servers.

The arm is that of the included tasks. The cubes have the size in the task's success term, and the mass of `stack_cube`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pxr import Usd, UsdGeom, UsdPhysics

from isaaclab_mimic_ext.envs.isaaclab.panda_usd import write_panda_usd
from isaaclab_mimic_ext.envs.isaaclab.usd_bodies import Solid, add_body, add_shapes
from isaaclab_mimic_ext.envs.panda.shape import WOOD, Part
from isaaclab_mimic_ext.tasks.stack_cube.parts import OBJECT_PARTS
from isaaclab_mimic_ext.tasks.stack_cube.task import CUBE_SIZE

TASK_ID = "Isaac-Stack-Cube-Franka-IK-Rel-Mimic-v0"

_CUBE_HEIGHT = 0.0203
"""Height at which the task places the centers of the cubes [m]."""
_TABLE = Part("box", (0.65, 0.6, 0.02), (0.0, 0.0, _CUBE_HEIGHT - CUBE_SIZE / 2 - 0.02), WOOD, mass=20.0, solid=True)
_BLOCKS = {"blue_block": "cube_1", "red_block": "cube_2", "green_block": "cube_3"}


def write_stock_assets(root: Path) -> None:
    """Write the files below the folder that `ISAACSIM_ASSET_ROOT` names."""
    isaac = root / "Isaac"
    write_panda_usd(isaac / "IsaacLab/Robots/FrankaEmika/franka_panda.usda")
    _write(isaac / "IsaacLab/Environments/Grid/default_ground_plane_checker_v1/default_ground_plane.usda", _add_ground)
    _write(isaac / "Props/Mounts/SeattleLabTable/table_instanceable.usd", _add_table)
    for name, cube in _BLOCKS.items():
        _write(isaac / f"Props/Blocks/{name}.usd", partial(_add_block, cube=cube))


def _write(path: Path, add: Callable[[Usd.Stage, str], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    add(stage, "/asset")
    stage.SetDefaultPrim(stage.GetPrimAtPath("/asset"))
    stage.GetRootLayer().Export(str(path))


def _add_ground(stage: Usd.Stage, path: str) -> None:
    UsdGeom.Xform.Define(stage, path)
    plane = UsdGeom.Plane.Define(stage, f"{path}/plane")
    plane.CreateAxisAttr(UsdGeom.Tokens.z)
    UsdPhysics.CollisionAPI.Apply(plane.GetPrim())


def _add_table(stage: Usd.Stage, path: str) -> None:
    add_shapes(UsdGeom.Xform.Define(stage, path).GetPrim(), [Solid.from_part(_TABLE)])


def _add_block(stage: Usd.Stage, path: str, cube: str) -> None:
    add_body(stage, path, [Solid.from_part(part) for part in OBJECT_PARTS[cube]])
