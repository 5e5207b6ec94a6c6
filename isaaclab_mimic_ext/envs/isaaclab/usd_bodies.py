"""Rigid bodies made of primitives, as USD prims for PhysX and Newton. Requires only the USD library (PyPI: usd-core)."""

# Quaternions in pxr are (w, x, y, z); angles in USD are degrees; the half sizes [m] of a cube or sphere are its scale

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics, UsdShade

from isaaclab_mimic_ext.envs.panda.shape import Part, Rgba, Vec3

_IDENTITY = (1.0, 0.0, 0.0, 0.0)
_CONTACT_TIME = 0.004
"""Time constant of critically damped contacts in Newton [s]. With Newton's default, held objects slip out of the fingers."""
_GRIP_GAP, _GAP = 0.005, 0.0005
"""Distances [m] below which Newton creates contacts, of gripping shapes and of others.

Newton detects contacts once per 10 ms, which sets the lower limit; each contact costs time, which sets the upper limit."""
_FRICTION, _TORSIONAL_FRICTION, _ROLLING_FRICTION = 1.0, 0.02, 0.0001


@dataclass(frozen=True)
class Solid:
    """A primitive with its pose in a body, its color, mass and contacts.

    Attributes:
        kind: `box`, `cylinder`, `ellipsoid` or `capsule` (cylinders and capsules along z).
        size: half sizes along the axes of the primitive [m]; for a capsule, the last is half the distance between the
            centers of its caps.
        pos: position of the center in the frame of the body [m].
        quat_wxyz: rotation from the axes of the primitive to those of the body.
        rgba: color; None: not drawn.
        mass: [kg].
        collides: whether the primitive has a collider.
        grips: whether the collider grips objects: a larger contact distance, and torsional friction.
    """

    kind: str
    size: Vec3
    pos: Vec3
    quat_wxyz: tuple[float, float, float, float] = _IDENTITY
    rgba: Rgba | None = None
    mass: float = 0.0
    collides: bool = False
    grips: bool = False

    @classmethod
    def from_part(cls, part: Part, mirrored: bool = False) -> "Solid":
        """Make a solid of a part of a body; `mirrored`: rotated by 180 degrees about the z axis of the body.

        The shapes of parts are symmetric under this rotation, so only the position changes.
        """
        x, y, z = part.pos
        pos = (-x, -y, z) if mirrored else part.pos
        size, quat = part.size_along_axis, part.quat_wxyz
        return cls(part.kind, size, pos, quat, part.rgba, part.mass, part.solid, part.grips)

    @classmethod
    def between(cls, kind: str, start: Vec3, end: Vec3, radius: float, rgba: Rgba, mass: float, collides: bool) -> "Solid":
        """Make a capsule or cylinder whose axis runs from `start` to `end` [m]."""
        axis = Gf.Vec3d(*end) - Gf.Vec3d(*start)
        rotation = Gf.Rotation(Gf.Vec3d.ZAxis(), axis).GetQuat()
        middle = (Gf.Vec3d(*end) + Gf.Vec3d(*start)) / 2
        quat = (rotation.GetReal(), *rotation.GetImaginary())
        return cls(kind, (radius, radius, axis.GetLength() / 2), tuple(middle), quat, rgba, mass, collides)


def add_body(
    stage: Usd.Stage, path: str, solids: Sequence[Solid], pos: Vec3 = (0.0, 0.0, 0.0), mass: float | None = None
) -> Usd.Prim:
    """Define a rigid body at a prim path, with its shapes, mass and inertia.

    Args:
        mass: mass of the body [kg], distributed equally over the solids; None: the solids have their own masses.
    """
    prim = UsdGeom.Xform.Define(stage, path).GetPrim()
    set_pose(prim, pos, _IDENTITY)
    UsdPhysics.RigidBodyAPI.Apply(prim)
    _set_mass(prim, solids, mass)
    add_shapes(prim, solids)
    return prim


def add_shapes(prim: Usd.Prim, solids: Sequence[Solid]) -> None:
    """Define the shapes of solids below a prim, with colliders for those that collide.

    Newton's renderer does not draw colliders of prims that have other shapes. So a solid that collides has two shapes: one
    is drawn, the other one is the collider.
    """
    stage, path = prim.GetStage(), str(prim.GetPath())
    material = _grip_material(stage, f"{path}/material") if any(solid.collides for solid in solids) else None
    for index, solid in enumerate(solids):
        name = f"{path}/{solid.kind}_{index}"
        if solid.rgba is not None:
            _add_geom(stage, name, solid)
        if solid.collides:
            _make_collider(_add_geom(stage, f"{name}_collider", replace(solid, rgba=None)), solid, material)


def set_pose(prim: Usd.Prim, pos: Vec3, quat_wxyz: Sequence[float], scale: Vec3 | None = None) -> None:
    """Set a prim's pose in its parent's frame [m], by the operations that Isaac Lab expects: translate, orient, scale."""
    xform = UsdGeom.Xformable(prim)
    xform.ClearXformOpOrder()
    xform.AddTranslateOp(UsdGeom.XformOp.PrecisionDouble).Set(Gf.Vec3d(*pos))
    xform.AddOrientOp(UsdGeom.XformOp.PrecisionDouble).Set(Gf.Quatd(*quat_wxyz))
    xform.AddScaleOp(UsdGeom.XformOp.PrecisionDouble).Set(Gf.Vec3d(*(scale or (1.0, 1.0, 1.0))))


def _add_geom(stage: Usd.Stage, path: str, solid: Solid) -> Usd.Prim:
    scale: Vec3 | None = None
    if solid.kind == "box":
        geom = UsdGeom.Cube.Define(stage, path)
        geom.CreateSizeAttr(2.0)
        scale = solid.size
    elif solid.kind == "ellipsoid":
        geom = _add_sphere_mesh(stage, path)
        scale = solid.size
    else:
        geom = (UsdGeom.Capsule if solid.kind == "capsule" else UsdGeom.Cylinder).Define(stage, path)
        geom.CreateAxisAttr(UsdGeom.Tokens.z)
        geom.CreateRadiusAttr(solid.size[0])
        geom.CreateHeightAttr(2 * solid.size[2])
    extent = UsdGeom.Boundable.ComputeExtentFromPlugins(geom, Usd.TimeCode.Default())
    geom.CreateExtentAttr(extent)
    set_pose(geom.GetPrim(), solid.pos, solid.quat_wxyz, scale)
    if solid.rgba is None:
        geom.CreatePurposeAttr(UsdGeom.Tokens.guide)
        geom.MakeInvisible()
    else:
        geom.CreateDisplayColorAttr([Gf.Vec3f(*solid.rgba[:3])])
    return geom.GetPrim()


def _add_sphere_mesh(stage: Usd.Stage, path: str, num_rings: int = 9, num_sides: int = 20) -> UsdGeom.Mesh:
    """Define a mesh of the unit sphere: Newton does not scale a USD sphere by different factors per axis."""
    polar = np.linspace(0.0, np.pi, num_rings)[:, None]
    around = np.linspace(0.0, 2 * np.pi, num_sides, endpoint=False)
    points = np.stack(np.broadcast_arrays(np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)), -1)
    corner = np.arange((num_rings - 1) * num_sides).reshape(num_rings - 1, num_sides)
    neighbor = np.roll(corner, -1, axis=1)
    faces = np.stack((corner, corner + num_sides, neighbor + num_sides, neighbor), axis=-1)
    mesh = UsdGeom.Mesh.Define(stage, path)
    mesh.CreatePointsAttr([Gf.Vec3f(*point) for point in points.reshape(-1, 3).tolist()])
    mesh.CreateFaceVertexCountsAttr([4] * corner.size)
    mesh.CreateFaceVertexIndicesAttr(faces.ravel().tolist())
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    return mesh


def _make_collider(shape: Usd.Prim, solid: Solid, material: UsdShade.Material) -> None:
    UsdPhysics.CollisionAPI.Apply(shape)
    UsdShade.MaterialBindingAPI.Apply(shape).Bind(material, UsdShade.Tokens.weakerThanDescendants, "physics")
    # Attributes of Newton, which PhysX does not read.
    _set(shape, "newton:contactGap", _GRIP_GAP if solid.grips else _GAP)
    shape.CreateAttribute("mjc:condim", Sdf.ValueTypeNames.Int, custom=True).Set(4 if solid.grips else 3)


def _grip_material(stage: Usd.Stage, path: str) -> UsdShade.Material:
    material = UsdShade.Material.Define(stage, path)
    physics = UsdPhysics.MaterialAPI.Apply(material.GetPrim())
    physics.CreateStaticFrictionAttr(_FRICTION)
    physics.CreateDynamicFrictionAttr(_FRICTION)
    physics.CreateRestitutionAttr(0.0)
    material.GetPrim().AddAppliedSchema("NewtonMaterialAPI")
    _set(material.GetPrim(), "newton:contactStiffness", 1.0 / _CONTACT_TIME**2)
    _set(material.GetPrim(), "newton:contactDamping", 2.0 / _CONTACT_TIME)
    _set(material.GetPrim(), "newton:torsionalFriction", _TORSIONAL_FRICTION)
    _set(material.GetPrim(), "newton:rollingFriction", _ROLLING_FRICTION)
    return material


def _set(prim: Usd.Prim, name: str, value: float) -> None:
    prim.CreateAttribute(name, Sdf.ValueTypeNames.Float, custom=True).Set(value)


def _set_mass(prim: Usd.Prim, solids: Sequence[Solid], mass: float | None) -> None:
    """Write mass, center of mass and principal moments. Otherwise engines compute them from the colliders only."""
    weights = np.array([solid.mass for solid in solids])
    if mass is not None:
        weights = np.full(len(solids), mass / len(solids))
    center = weights @ np.array([solid.pos for solid in solids]) / weights.sum()
    inertia = sum(_inertia(solid, weight, center) for solid, weight in zip(solids, weights, strict=True))
    moments, axes = np.linalg.eigh(inertia)
    axes[:, 2] *= np.linalg.det(axes)
    quat = Gf.Matrix3d(*axes.T.ravel().tolist()).ExtractRotation().GetQuat()
    api = UsdPhysics.MassAPI.Apply(prim)
    api.CreateMassAttr(float(weights.sum()))
    api.CreateCenterOfMassAttr(Gf.Vec3f(*center.tolist()))
    api.CreateDiagonalInertiaAttr(Gf.Vec3f(*moments.tolist()))
    api.CreatePrincipalAxesAttr(Gf.Quatf(quat))


def _inertia(solid: Solid, mass: float, center: np.ndarray) -> np.ndarray:
    """Inertia (3, 3) of one solid about the point `center` of the body, along the axes of the body [kg m^2]."""
    x, y, z = solid.size
    if solid.kind == "box":
        own = mass / 3 * np.array([y * y + z * z, x * x + z * z, x * x + y * y])
    elif solid.kind == "ellipsoid":
        own = mass / 5 * np.array([y * y + z * z, x * x + z * z, x * x + y * y])
    else:
        caps = mass * 2 * x / (2 * x + 3 * z) if solid.kind == "capsule" else 0.0
        tube = mass - caps
        across = tube * (x * x / 4 + z * z / 3) + caps * (0.4 * x * x + z * z + 0.75 * x * z)
        own = np.array([across, across, tube * x * x / 2 + caps * 0.4 * x * x])
    # Transposed: pxr multiplies row vectors.
    rot = np.array(Gf.Matrix3d(Gf.Quatd(*solid.quat_wxyz))).T
    offset = np.array(solid.pos) - center
    return rot @ np.diag(own) @ rot.T + mass * (offset @ offset * np.eye(3) - np.outer(offset, offset))
