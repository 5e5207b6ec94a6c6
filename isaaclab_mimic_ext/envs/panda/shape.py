"""Shapes and physical constants of table and Panda, from which all engines with physics build their scenes."""

# Frames: link i is the Denavit-Hartenberg frame of joint i; hand: z points out of the palm, fingers slide along y

import math
from dataclasses import dataclass

Vec3 = tuple[float, float, float]

Rgba = tuple[float, float, float, float]

_COS, _SIN = math.cos(math.pi / 4), math.sin(math.pi / 4)
_AXIS_QUAT_WXYZ = {
    "x": (_COS, 0.0, -_SIN, 0.0),
    "y": (_COS, _SIN, 0.0, 0.0),
    "z": (1.0, 0.0, 0.0, 0.0),
}
"""Rotation of the z axis to the axis of a part."""


@dataclass(frozen=True, slots=True)
class Part:
    """One shape of a rigid body, aligned with the axes of the body's frame, or rotated about z.

    Attributes:
        kind: `box`, `cylinder` or `ellipsoid`.
        size: half sizes along x, y, z [m].
        pos: position of the center, in the body's frame [m].
        rgba: color and opacity; None: invisible.
        mass: mass, distributed evenly [kg].
        solid: whether the part collides with other bodies; if not, it is only visible.
        grips: whether contacts have torsional friction, so that objects do not spin between two fingers.
        axis: axis of a cylinder, in the frame of the body: `x`, `y` or `z`.
        yaw: rotation about the z axis of the body, after `axis` [rad].
    """

    kind: str
    size: Vec3
    pos: Vec3 = (0.0, 0.0, 0.0)
    rgba: Rgba | None = None
    mass: float = 0.0
    solid: bool = False
    grips: bool = False
    axis: str = "z"
    yaw: float = 0.0

    @property
    def size_along_axis(self) -> Vec3:
        """Half sizes in a frame with its z axis along `axis` [m]: for a cylinder its radius, radius and half length."""
        x, y, z = self.size
        return {"x": (z, y, x), "y": (x, z, y), "z": (x, y, z)}[self.axis]

    @property
    def quat_wxyz(self) -> tuple[float, float, float, float]:
        """Rotation from the frame of `size_along_axis` to the body's frame."""
        w, x, y, z = _AXIS_QUAT_WXYZ[self.axis]
        cos, sin = math.cos(self.yaw / 2), math.sin(self.yaw / 2)
        return cos * w - sin * z, cos * x - sin * y, cos * y + sin * x, cos * z + sin * w


TABLE_CENTER, TABLE_HALF_SIZE = (0.40, 0.0), (0.60, 0.65)
"""Center and half size of the table top, x and y, env frame [m]. Its surface is z = 0."""

TABLE_THICKNESS, TABLE_HEIGHT = 0.04, 0.75
"""Thickness of the table top, and length of the legs below it [m]."""

WOOD, LEG = (0.80, 0.68, 0.52, 1.0), (0.35, 0.35, 0.37, 1.0)


def table_legs() -> tuple[Part, ...]:
    """The four legs of the table, in the env frame."""
    half = (0.03, 0.03, TABLE_HEIGHT / 2)
    height = -TABLE_THICKNESS - TABLE_HEIGHT / 2
    xs = [TABLE_CENTER[0] + sign * (TABLE_HALF_SIZE[0] - 0.05) for sign in (-1, 1)]
    ys = [TABLE_CENTER[1] + sign * (TABLE_HALF_SIZE[1] - 0.05) for sign in (-1, 1)]
    return tuple(Part("box", half, (x, y, height), LEG) for x in xs for y in ys)


WHITE = (0.93, 0.93, 0.94, 1.0)

GREY = (0.28, 0.29, 0.31, 1.0)

PAD = (0.12, 0.12, 0.13, 1.0)

LINK_MASS = (4.97, 0.65, 3.23, 3.59, 1.23, 1.67, 0.74)
"""Mass of links 1 to 7 [kg]."""

HAND_MASS, FINGER_MASS = 0.73, 0.02
"""Mass of the hand without fingers, and of one finger [kg]."""

STIFFNESS = (4500.0, 4500.0, 3500.0, 3500.0, 2000.0, 2000.0, 2000.0)
"""Stiffness of the position controllers of the arm joints [N m/rad]."""

DAMPING_TIME = 0.05
"""Ratio of damping to stiffness of the position controllers of the arm joints [s]."""

TORQUE_LIMIT = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)
"""Largest torque of the arm joints [N m]."""

FINGER_STIFFNESS, FINGER_DAMPING, FINGER_FORCE = 2000.0, 40.0, 20.0
"""Stiffness [N/m], damping [N s/m] and largest force [N] of the position controllers of the fingers."""

FINGER_BASE = 0.0584
"""Distance from the hand frame to the finger frames, along z [m]."""

FINGER_COUPLING_TIME = 0.005
"""Time constant of the constraint that couples the two fingers [s]."""

ARMATURE, JOINT_DAMPING = 0.1, 1.0
"""Armature [kg m^2, fingers: kg] and damping [N m s/rad, fingers: N s/m] of all joints."""

# (link, from, to, radius) [m]: capsules along the links. Link 0 is the base.
SHELLS = (
    (0, (-0.10, 0.0, 0.05), (0.01, 0.0, 0.05), 0.075),
    (0, (0.0, 0.0, 0.05), (0.0, 0.0, 0.12), 0.075),
    (1, (0.0, 0.0, -0.19), (0.0, 0.0, -0.02), 0.062),
    (1, (0.0, -0.06, 0.0), (0.0, 0.05, 0.0), 0.062),
    (2, (0.0, 0.0, -0.01), (0.0, 0.0, 0.07), 0.060),
    (2, (0.0, -0.17, 0.05), (0.0, -0.03, 0.05), 0.060),
    (3, (0.0, 0.0, -0.14), (0.0, 0.0, -0.05), 0.060),
    (3, (0.0825, -0.05, 0.0), (0.0825, 0.05, 0.0), 0.055),
    (3, (0.0, 0.0, -0.06), (0.0825, 0.0, 0.0), 0.055),
    (4, (0.0, 0.0, -0.06), (0.0, 0.0, 0.06), 0.055),
    (4, (0.0, 0.0, 0.0), (-0.0825, 0.10, 0.0), 0.052),
    (5, (0.0, 0.0, -0.29), (0.0, 0.0, -0.20), 0.055),
    (5, (0.0, 0.075, -0.20), (0.0, 0.08, -0.05), 0.026),
    (5, (0.0, 0.02, -0.22), (0.0, 0.07, -0.16), 0.045),
    (6, (0.0, 0.0, -0.07), (0.0, 0.0, 0.03), 0.050),
    (6, (0.0, 0.0, 0.0), (0.088, 0.0, 0.0), 0.046),
    (7, (0.0, 0.0, -0.02), (0.0, 0.0, 0.07), 0.042),
)

# (link, center, axis, radius, half length) [m]: gray discs on the joints.
DISCS = (
    (1, (0.0, 0.0, 0.0), (0.0, 1.0, 0.0), 0.056, 0.117),
    (3, (0.0825, 0.0, 0.0), (0.0, 1.0, 0.0), 0.046, 0.108),
    (5, (0.0, 0.0, -0.262), (0.0, 0.0, 1.0), 0.050, 0.094),
    (6, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 0.038, 0.094),
    (7, (0.0, 0.0, 0.089), (0.0, 0.0, 1.0), 0.040, 0.018),
)

FIRST_COLLIDING_LINK = 5
"""First link that collides. Links below it cannot reach objects on the table."""

HAND_PARTS = (
    Part("box", (0.022, 0.100, 0.026), (0.0, 0.0, 0.034), WHITE, mass=HAND_MASS, solid=True),
    Part("box", (0.016, 0.085, 0.0035), (0.0, 0.0, 0.0615), GREY),
)

FINGER_PARTS = (
    Part("box", (0.0095, 0.0075, 0.018), (0.0, 0.0145, 0.018), GREY, mass=FINGER_MASS / 2),
    Part("box", (0.0085, 0.0060, 0.0105), (0.0, 0.0100, 0.043), GREY, mass=FINGER_MASS / 2),
    Part("box", (0.011, 0.003, 0.0105), (0.0, 0.003, 0.0435), PAD, solid=True, grips=True),
)
"""Shank, tip and pad of the finger that slides along +y. The other finger is turned by 180 degrees about z."""
