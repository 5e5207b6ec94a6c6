"""Objects of a task: free bodies, fixed bodies, and parts of other objects that move on a joint."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isaaclab_mimic_ext.task.mesh_shape import MeshShape

SLIDE, HINGE = "slide", "hinge"
JOINT_KINDS = (SLIDE, HINGE)


@dataclass(frozen=True)
class SceneObject:
    """An object that can move freely, or that is fixed to the world.

    Attributes:
        name: name of the rigid object.
        footprint_radius: radius of a vertical cylinder about the z axis of its frame that contains the upright object [m].
        rest_height: height of its frame above the table when it stands upright [m].
        default_pos: (x, y) of its frame before randomization, env frame [m].
        half_size: half the size of its bounding box along the axes of its frame [m]; None: from footprint and rest height.
        box_center: center of the bounding box in its frame [m].
        fixed: whether the object stays where a reset places it.
        mesh: shape from a mesh file, which replaces the parts that the task's scene adds; see `mesh_object`.
        variants: the object with each of several meshes, of which a trial draws one; empty: it has one shape. Its footprint
            and box contain all of them, its mesh is the first.
    """

    name: str
    footprint_radius: float
    rest_height: float
    default_pos: tuple[float, float]
    half_size: tuple[float, float, float] | None = None
    box_center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    fixed: bool = False
    mesh: "MeshShape | None" = field(default=None, kw_only=True)
    variants: tuple["SceneObject", ...] = field(default=(), kw_only=True)

    def variant(self, number: int) -> "SceneObject":
        """The object with the mesh of this number; the last if it has fewer, and itself if it has one shape."""
        return self.variants[min(number, len(self.variants) - 1)] if self.variants else self

    @property
    def box_half_size(self) -> tuple[float, float, float]:
        """Half the size of the bounding box [m]: `half_size`, or that of a box around the footprint, symmetric in height."""
        return self.half_size or (self.footprint_radius, self.footprint_radius, self.rest_height)

    @property
    def is_free(self) -> bool:
        """Whether the object can move in all directions."""
        return not self.fixed


@dataclass(frozen=True)
class JointedObject(SceneObject):
    """A part of another object that slides or turns on a joint, such as a drawer, a door, a lid or a knob.

    At joint position 0, its frame has the axes of the frame of its base, and its origin at `pos`. A hinge turns it about
    `axis` through its origin.

    Attributes:
        base: name of the object that carries the joint; it must precede this object in `Task.objects`.
        kind: `slide` or `hinge`.
        axis: direction of the motion, or axis of the rotation, in the frame of the base.
        limits: smallest and largest joint position [m, rad].
        pos: origin of its frame at joint position 0, in the frame of the base [m].
        default_joint_pos: joint position at a reset without randomization [m, rad]; None: 0, or the nearest limit.
        damping: damping of the joint [N s/m, N m s/rad]. The kinematic engine ignores it.
        friction: friction of the joint [N, N m]. The kinematic engine ignores it.
    """

    footprint_radius: float = field(default=0.0, init=False)
    rest_height: float = field(default=0.0, init=False)
    default_pos: tuple[float, float] = field(default=(0.0, 0.0), init=False)
    fixed: bool = field(default=False, init=False)
    mesh: "MeshShape | None" = field(default=None, init=False)
    variants: tuple[SceneObject, ...] = field(default=(), init=False)
    base: str = field(default="", kw_only=True)
    kind: str = field(default=SLIDE, kw_only=True)
    axis: tuple[float, float, float] = field(default=(1.0, 0.0, 0.0), kw_only=True)
    limits: tuple[float, float] = field(default=(0.0, 0.0), kw_only=True)
    pos: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0), kw_only=True)
    default_joint_pos: float | None = field(default=None, kw_only=True)
    damping: float = field(default=1.0, kw_only=True)
    friction: float = field(default=0.0, kw_only=True)

    @property
    def start_joint_pos(self) -> float:
        """Joint position at a reset without randomization [m, rad]."""
        low, high = self.limits
        return min(max(0.0, low), high) if self.default_joint_pos is None else self.default_joint_pos

    @property
    def is_free(self) -> bool:
        return False


def jointed_objects(objects: Sequence[SceneObject]) -> tuple[JointedObject, ...]:
    """Objects that move on joints, in the order of `objects`."""
    return tuple(obj for obj in objects if isinstance(obj, JointedObject))


def num_variants(objects: Sequence[SceneObject]) -> int:
    """Largest number of meshes of an object; at least 1."""
    return max([1, *(len(obj.variants) for obj in objects)])


def articulations(objects: Sequence[SceneObject]) -> dict[str, tuple[str, ...]]:
    """Objects on joints by the object that carries them: name of the root -> names, in the order of the joint state."""
    root_of: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    for obj in jointed_objects(objects):
        root_of[obj.name] = root_of.get(obj.base, obj.base)
        groups.setdefault(root_of[obj.name], []).append(obj.name)
    return {root: tuple(names) for root, names in groups.items()}


@dataclass(frozen=True)
class Graspable:
    """An object that a gripper can hold.

    Attributes:
        object_name: name of the object.
        half_width: position of each finger, measured from the middle, while it holds the object [m].
        grip_pos: position of the end effector while it holds the object, in the object's frame [m].
    """

    object_name: str
    half_width: float
    grip_pos: tuple[float, float, float] = (0.0, 0.0, 0.0)
