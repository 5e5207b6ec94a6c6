"""Rigid bodies of primitives as USD prims, for PhysX and Newton alike. Needs USD's own library only (PyPI: usd-core)."""

# Quaternions in pxr are (w, x, y, z); USD's angles are degrees; half sizes [m] become a cube's or sphere's scale

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics, UsdShade

from isaaclab_mimic_ext.envs.panda.shape import Part, Rgba, Vec3

_IDENTITY = (1.0, 0.0, 0.0, 0.0)
_CONTACT_TIME = 0.004
"""Time constant of contacts under Newton [s], critically damped: by default what fingers hold squirts out."""
_GRIP_GAP, _GAP = 0.005, 0.0005
"""How near shapes are when Newton begins to watch them [m]: it looks once in 10 ms, and every contact costs."""
_FRICTION, _TORSIONAL_FRICTION, _ROLLING_FRICTION = 1.0, 0.02, 0.0001


@dataclass(frozen=True)
class Solid:
    """A shape that has been placed: what is drawn, collided with and weighed.

    Attributes:
        kind: `box`, `cylinder`, `ellipsoid` or `capsule` (both along z).
        size: half sizes along its own axes [m]; of a capsule the last one is half the way between its centres.
        quat_wxyz: from its own axes to the body's.
    """

    kind: str
    size: Vec3
    pos: Vec3
    quat_wxyz: tuple[float, float, float, float] = _IDENTITY
    rgba: Rgba | None = None
    mass: float = 0.0
    touches: bool = False
    grips: bool = False

    @classmethod
    def of(cls, part: Part, mirrored: bool = False) -> "Solid":
        """A part of a body; `mirrored`: turned by 180 degrees about the body's z."""
        x, y, z = part.pos
        pos = (-x, -y, z) if mirrored else part.pos
        return cls(part.kind, part.size, pos, _IDENTITY, part.rgba, part.mass, part.solid, part.grips)

    @classmethod
    def between(cls, kind: str, start: Vec3, end: Vec3, radius: float, rgba: Rgba, mass: float, touches: bool) -> "Solid":
        """A capsule or cylinder whose axis goes from one point to another [m]."""
        axis = Gf.Vec3d(*end) - Gf.Vec3d(*start)
        rotation = Gf.Rotation(Gf.Vec3d.ZAxis(), axis).GetQuat()
        middle = (Gf.Vec3d(*end) + Gf.Vec3d(*start)) / 2
        quat = (rotation.GetReal(), *rotation.GetImaginary())
        return cls(kind, (radius, radius, axis.GetLength() / 2), tuple(middle), quat, rgba, mass, touches)


def add_body(
    stage: Usd.Stage, path: str, solids: Sequence[Solid], pos: Vec3 = (0.0, 0.0, 0.0), mass: float | None = None
) -> Usd.Prim:
    """A rigid body at a prim path: its shapes, its mass and inertia.

    Args:
        mass: in place of the sum of the solids' [kg], where none of them weighs anything.
    """
    prim = UsdGeom.Xform.Define(stage, path).GetPrim()
    set_pose(prim, pos, _IDENTITY)
    UsdPhysics.RigidBodyAPI.Apply(prim)
    _set_mass(prim, solids, mass)
    add_shapes(prim, solids)
    return prim


def add_shapes(prim: Usd.Prim, solids: Sequence[Solid]) -> None:
    """Draw solids below a prim, and give those that touch a collider.

    Newton shows no collider of a body that has anything else to show, and of scenery nothing but colliders: what touches is
    there twice in a body, to be seen and to be touched, and once in scenery.
    """
    stage, path = prim.GetStage(), str(prim.GetPath())
    is_body = prim.HasAPI(UsdPhysics.RigidBodyAPI)
    material = _grip_material(stage, f"{path}/material") if any(solid.touches for solid in solids) else None
    for index, solid in enumerate(solids):
        name = f"{path}/{solid.kind}_{index}"
        if solid.rgba is not None:
            shape = _add_geom(stage, name, solid)
        if solid.touches and is_body:
            shape = _add_geom(stage, f"{name}_collider", replace(solid, rgba=None))
        if solid.touches:
            _make_collider(shape, solid, material)


def set_pose(prim: Usd.Prim, pos: Vec3, quat_wxyz: Sequence[float], scale: Vec3 | None = None) -> None:
    """Where a prim is in its parent's frame [m], with the operations that Isaac Lab expects: translate, orient, scale."""
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
    """Of radius 1: Newton does not scale a sphere along one axis alone."""
    polar = np.linspace(0.0, np.pi, num_rings)[:, None]
    around = np.linspace(0.0, 2 * np.pi, num_sides, endpoint=False)
    points = np.stack(np.broadcast_arrays(np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)), -1)
    corner = np.arange((num_rings - 1) * num_sides).reshape(num_rings - 1, num_sides)
    beside = np.roll(corner, -1, axis=1)
    faces = np.stack((corner, corner + num_sides, beside + num_sides, beside), axis=-1)
    mesh = UsdGeom.Mesh.Define(stage, path)
    mesh.CreatePointsAttr([Gf.Vec3f(*point) for point in points.reshape(-1, 3).tolist()])
    mesh.CreateFaceVertexCountsAttr([4] * corner.size)
    mesh.CreateFaceVertexIndicesAttr(faces.ravel().tolist())
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    return mesh


def _make_collider(shape: Usd.Prim, solid: Solid, material: UsdShade.Material) -> None:
    UsdPhysics.CollisionAPI.Apply(shape)
    UsdShade.MaterialBindingAPI.Apply(shape).Bind(material, UsdShade.Tokens.weakerThanDescendants, "physics")
    # Newton's own, which PhysX does not read.
    _set(shape, "newton:contact_ke", 1.0 / _CONTACT_TIME**2)
    _set(shape, "newton:contact_kd", 2.0 / _CONTACT_TIME)
    _set(shape, "newton:contactGap", _GRIP_GAP if solid.grips else _GAP)
    shape.CreateAttribute("mjc:condim", Sdf.ValueTypeNames.Int, custom=True).Set(4 if solid.grips else 3)


def _grip_material(stage: Usd.Stage, path: str) -> UsdShade.Material:
    material = UsdShade.Material.Define(stage, path)
    physics = UsdPhysics.MaterialAPI.Apply(material.GetPrim())
    physics.CreateStaticFrictionAttr(_FRICTION)
    physics.CreateDynamicFrictionAttr(_FRICTION)
    physics.CreateRestitutionAttr(0.0)
    _set(material.GetPrim(), "newton:torsionalFriction", _TORSIONAL_FRICTION)
    _set(material.GetPrim(), "newton:rollingFriction", _ROLLING_FRICTION)
    return material


def _set(prim: Usd.Prim, name: str, value: float) -> None:
    prim.CreateAttribute(name, Sdf.ValueTypeNames.Float, custom=True).Set(value)


def _set_mass(prim: Usd.Prim, solids: Sequence[Solid], mass: float | None) -> None:
    """Mass, centre and principal moments, told in full: an engine would take them from the colliders alone."""
    weights = np.array([solid.mass for solid in solids])
    if mass is not None:
        weights = np.full(len(solids), mass / len(solids))
    centre = weights @ np.array([solid.pos for solid in solids]) / weights.sum()
    inertia = sum(_inertia(solid, weight, centre) for solid, weight in zip(solids, weights, strict=True))
    moments, axes = np.linalg.eigh(inertia)
    axes[:, 2] *= np.linalg.det(axes)
    quat = Gf.Matrix3d(*axes.T.ravel().tolist()).ExtractRotation().GetQuat()
    api = UsdPhysics.MassAPI.Apply(prim)
    api.CreateMassAttr(float(weights.sum()))
    api.CreateCenterOfMassAttr(Gf.Vec3f(*centre.tolist()))
    api.CreateDiagonalInertiaAttr(Gf.Vec3f(*moments.tolist()))
    api.CreatePrincipalAxesAttr(Gf.Quatf(quat))


def _inertia(solid: Solid, mass: float, centre: np.ndarray) -> np.ndarray:
    """Inertia (3, 3) of one solid about a point of the body, along the body's axes [kg m^2]."""
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
    # Of row vectors, hence transposed.
    rot = np.array(Gf.Matrix3d(Gf.Quatd(*solid.quat_wxyz))).T
    offset = np.array(solid.pos) - centre
    return rot @ np.diag(own) @ rot.T + mass * (offset @ offset * np.eye(3) - np.outer(offset, offset))
