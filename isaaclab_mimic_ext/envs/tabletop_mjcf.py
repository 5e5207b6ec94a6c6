"""Common parts of the tasks' MuJoCo scenes: table, lights, cameras, and properties of objects."""

# `size` in MuJoCo: half sizes [m]; the surface of the table is z = 0

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import mujoco
import numpy as np

from isaaclab_mimic_ext.envs.object_meshes import mesh_prefix
from isaaclab_mimic_ext.envs.panda.mjcf import COLLISION_GROUP, GRIP_SOLREF, VISUAL_GROUP, add_finger_sites, add_part
from isaaclab_mimic_ext.envs.panda.shape import (
    LEG,
    TABLE_CENTER,
    TABLE_HALF_SIZE,
    TABLE_HEIGHT,
    TABLE_THICKNESS,
    WOOD,
    Part,
    table_legs,
)
from isaaclab_mimic_ext.envs.robots import arms_of
from isaaclab_mimic_ext.errors import TaskSpecError, choices
from isaaclab_mimic_ext.task.definition import JointedObject, SceneObject, Task
from isaaclab_mimic_ext.task.mesh_shape import MeshShape
from isaaclab_mimic_ext.task.objects import SLIDE

TIMESTEP = 0.002
"""Duration of a physics substep [s]."""
BOX, CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
MESH = mujoco.mjtGeom.mjGEOM_MESH
_AIR_DAMPING = 5e-4
"""Damping of the free motion of objects [N s/m, N m s]. Negligible in a grasp, but stops fallen bottles from rolling."""


def build_tabletop(task: Task, builders: Mapping[str, Callable[[mujoco.MjsBody], None]]) -> mujoco.MjSpec:
    """Build a table with the task's arms and objects. Each object is a body with the name of the object.

    A fixed object is a mocap body, which each env places at its resets. An object on a joint is a child of its base; its
    joint has the name of the object.

    Args:
        builders: for each of the task's objects without a mesh: name -> function that adds geoms to its body.

    Raises:
        TaskSpecError: the names of `builders` differ from those of the task's objects.
    """
    _check_builders(task, builders)
    spec = mujoco.MjSpec()
    spec.modelname = task.name
    spec.compiler.degree = False
    set_options(spec)
    _add_surroundings(spec)
    arms = arms_of(task)
    for arm, robot in zip(task.arms, arms.robots, strict=True):
        robot.add_to(spec, arm)
        if arms.has_finger_sites and not robot.finger_sites:
            add_finger_sites(spec, arm)
    for obj in task.objects:
        body = _add_body(spec, obj)
        if obj.mesh is None:
            builders[obj.name](body)
        else:
            _add_meshes(spec, body, obj)
    return spec


def _add_body(spec: mujoco.MjSpec, obj: SceneObject) -> mujoco.MjsBody:
    if isinstance(obj, JointedObject):
        return _add_jointed_body(spec, obj)
    body = spec.worldbody.add_body(name=obj.name, pos=(*obj.default_pos, obj.rest_height))
    if obj.fixed:
        body.mocap = True
    else:
        body.add_freejoint(name=obj.name).damping = (_AIR_DAMPING, 0.0, 0.0)
    return body


def _add_meshes(spec: mujoco.MjSpec, body: mujoco.MjsBody, obj: SceneObject) -> None:
    """Add the shape of a mesh to a body, or those of all its meshes. Its mass is that of the first."""
    assert obj.mesh is not None
    shape, inertia = obj.mesh, obj.mesh.inertia
    body.explicitinertial, body.mass, body.ipos = True, shape.mass, shape.center_of_mass
    body.fullinertia = [*np.diag(inertia), inertia[0, 1], inertia[0, 2], inertia[1, 2]]
    _add_mesh(spec, body, shape, f"{body.name}/", body.name)
    for number, other in enumerate(obj.variants[1:], start=1):
        assert other.mesh is not None
        prefix = mesh_prefix(body.name, number)
        _add_mesh(spec, body, other.mesh, prefix, f"{prefix}part_0")


def _add_mesh(spec: mujoco.MjSpec, body: mujoco.MjsBody, shape: MeshShape, prefix: str, first_name: str) -> None:
    """Add the geoms of a mesh to a body: its convex parts for contacts, and its surface for pictures."""
    is_other = first_name != body.name
    for index, part in enumerate(shape.parts):
        name = first_name if index == 0 else f"{prefix}part_{index}" if is_other else ""
        geom = body.add_geom(name=name, group=COLLISION_GROUP, rgba=(0.5, 0.5, 0.5, 1.0))
        if part.kind == "mesh":
            geom.type, geom.meshname = MESH, f"{prefix}part_{index}"
            spec.add_mesh(name=geom.meshname, uservert=part.vertices.ravel(), userface=part.faces.ravel())
        else:
            geom.type = BOX if part.kind == "box" else CYLINDER
            geom.pos = part.center
            geom.size = part.half_size if part.kind == "box" else (part.half_size[0], part.half_size[2], 0.0)
        make_solid(geom, 0.0, condim=4)
    surface = spec.add_mesh(name=f"{prefix}surface", uservert=shape.vertices.ravel(), userface=shape.faces.ravel())
    surface.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    make_visual(body.add_geom(name=surface.name if is_other else "", type=MESH, meshname=surface.name, rgba=shape.rgba))


def _add_jointed_body(spec: mujoco.MjSpec, obj: JointedObject) -> mujoco.MjsBody:
    body = spec.body(obj.base).add_body(name=obj.name, pos=obj.pos)
    kind = mujoco.mjtJoint.mjJNT_SLIDE if obj.kind == SLIDE else mujoco.mjtJoint.mjJNT_HINGE
    joint = body.add_joint(name=obj.name, type=kind, axis=obj.axis, range=obj.limits, limited=True)
    joint.damping, joint.frictionloss = (obj.damping, 0.0, 0.0), obj.friction
    # Limits stop the object, so that it may overlap its base, as a drawer in its rails does.
    spec.add_exclude(bodyname1=obj.base, bodyname2=obj.name)
    return body


def _check_builders(task: Task, builders: Mapping[str, object]) -> None:
    for name in (obj.name for obj in task.objects if obj.mesh is None):
        if name not in builders:
            raise TaskSpecError(f"builders: no builder for object '{name}'; add '{name}': <function of its body>")
    for name in builders:
        if name not in task.object_names:
            raise TaskSpecError(f"builders: '{name}' is not an object of the task; {choices(name, task.object_names)}")


def parts_builders(parts: Mapping[str, Sequence[Part]]) -> dict[str, Callable[[mujoco.MjsBody], None]]:
    """Builders for `build_tabletop`, object -> function that adds the object's parts to its body."""
    return {name: partial(add_parts, parts=of_object) for name, of_object in parts.items()}


def add_parts(body: mujoco.MjsBody, parts: Sequence[Part]) -> None:
    """Add the geoms of parts to a body. The first geom gets the name of the body."""
    for index, part in enumerate(parts):
        geom = add_part(body, part)
        if index == 0:
            geom.name = body.name
        if part.solid:
            make_solid(geom, part.mass, condim=4 if part.grips else 3)
        else:
            make_visual(geom)
        if part.rgba is None:
            geom.group = COLLISION_GROUP


def make_visual(geom: mujoco.MjsGeom) -> mujoco.MjsGeom:
    """Make a geom visual only: without contacts and without mass."""
    geom.contype, geom.conaffinity, geom.group, geom.mass = 0, 0, VISUAL_GROUP, 0.0
    return geom


def make_solid(geom: mujoco.MjsGeom, mass: float, condim: int = 3) -> mujoco.MjsGeom:
    """Set contact properties of a geom that fingers can hold.

    Args:
        mass: mass of the geom [kg].
        condim: MuJoCo's contact dimension; 4 adds torsional friction, so that the geom does not spin between two pads.
    """
    geom.condim, geom.solref, geom.mass = condim, GRIP_SOLREF, mass
    geom.friction = (1.0, 0.02, 0.0001)
    return geom


def set_options(spec: mujoco.MjSpec) -> None:
    """Set the physics options of all scenes."""
    option = spec.option
    option.timestep = TIMESTEP
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10.0
    # An unstable simulation must stay unstable, so that its trial fails. An automatic reset would restart it mid-trial.
    option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    _add_materials(spec)
    _add_lights_and_cameras(spec)
    world = spec.worldbody
    thickness, height = TABLE_THICKNESS, TABLE_HEIGHT
    # An infinite plane replaces the table top in collisions: its contacts are exact and cheap.
    plane = world.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(1, 1, 0.1), group=COLLISION_GROUP)
    plane.friction = (1.0, 0.005, 0.0001)
    plane.rgba = (0, 0, 0, 0)
    top = world.add_geom(
        type=BOX, size=(*TABLE_HALF_SIZE, thickness / 2), pos=(*TABLE_CENTER, -thickness / 2), material="wood"
    )
    make_visual(top)
    for part in table_legs():
        make_visual(world.add_geom(type=BOX, size=part.size, pos=part.pos, material="leg"))
    floor = world.add_geom(
        type=mujoco.mjtGeom.mjGEOM_PLANE, size=(4, 4, 0.1), pos=(0, 0, -thickness - height), material="floor"
    )
    make_visual(floor)


def _add_materials(spec: mujoco.MjSpec) -> None:
    texture, builtin = mujoco.mjtTexture, mujoco.mjtBuiltin
    spec.add_texture(
        name="sky", type=texture.mjTEXTURE_SKYBOX, builtin=builtin.mjBUILTIN_GRADIENT,
        rgb1=(0.85, 0.89, 0.93), rgb2=(0.55, 0.62, 0.70), width=256, height=256,
    )  # fmt: skip
    spec.add_texture(
        name="floor", type=texture.mjTEXTURE_2D, builtin=builtin.mjBUILTIN_CHECKER,
        rgb1=(0.62, 0.64, 0.66), rgb2=(0.58, 0.60, 0.62), width=256, height=256,
    )  # fmt: skip
    spec.add_material(name="floor", textures=["", "floor"], texrepeat=(8, 8), specular=0.1)
    spec.add_material(name="wood", rgba=WOOD, specular=0.25, shininess=0.3)
    spec.add_material(name="leg", rgba=LEG, specular=0.2)


def _add_lights_and_cameras(spec: mujoco.MjSpec) -> None:
    world, visual = spec.worldbody, spec.visual
    lamp, fill = mujoco.mjtLightType.mjLIGHT_SPOT, mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    key = world.add_light(
        type=lamp, pos=(1.3, 0.9, 2.4), dir=(-0.37, -0.38, -1), diffuse=(0.58, 0.56, 0.53), castshadow=True
    )
    key.cutoff, key.exponent, key.specular = 60.0, 2.0, (0.2, 0.2, 0.2)
    world.add_light(type=fill, pos=(1.5, -1.0, 1.5), dir=(-1, 0.6, -0.8), diffuse=(0.28, 0.29, 0.32), castshadow=False)
    visual.headlight.ambient, visual.headlight.diffuse = (0.30, 0.30, 0.31), (0.12, 0.12, 0.12)
    visual.headlight.specular = (0.0, 0.0, 0.0)
    visual.global_.offwidth, visual.global_.offheight = 1920, 1080
    visual.quality.shadowsize = 4096
    visual.map.znear = 0.01
    spec.stat.center, spec.stat.extent = (0.4, 0.0, 0.2), 1.5
    world.add_camera(name="front", pos=(1.75, 0.0, 1.00), xyaxes=(0, 1, 0, -0.477, 0, 0.879), fovy=45)
    world.add_camera(name="side", pos=(1.15, -1.15, 0.90), xyaxes=(0.843, 0.538, 0, -0.237, 0.372, 0.897), fovy=42)
    world.add_camera(name="top", pos=(0.50, 0.0, 1.35), xyaxes=(0, -1, 0, 1, 0, 0), fovy=45)
