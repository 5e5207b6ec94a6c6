"""Geometry: group axioms, round trips, geodesics, and independence of each row from its batch."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from isaaclab_mimic_ext import math as geometry
from isaaclab_mimic_ext.kernels.waypoints import WaypointReader
from isaaclab_mimic_ext.plan.segments import choose_nearest, pose_distance
from isaaclab_mimic_ext.rng import Draws, Stream
from tests.golden.test_kernels import random_poses, random_segments

QUICK = settings(max_examples=60, deadline=None)
angles = st.one_of(
    st.floats(0.0, math.pi),
    st.floats(0.0, 1e-5),
    st.floats(math.pi - 1e-5, math.pi),
    st.sampled_from([0.0, 1e-9, math.pi / 2, math.pi]),
)
unit = st.floats(-1.0, 1.0)


@st.composite
def directions(draw: st.DrawFn) -> Tensor:
    """Unit vectors (3,) float64, including coordinate axes."""
    vector = torch.tensor(draw(st.one_of(st.tuples(unit, unit, unit), st.sampled_from([(1, 0, 0), (0, -1, 0), (0, 0, 1)]))))
    norm = vector.double().norm()
    return vector.double() / norm if norm > 1e-3 else torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


@st.composite
def rotation_vectors(draw: st.DrawFn) -> Tensor:
    return draw(angles) * draw(directions())


@st.composite
def poses(draw: st.DrawFn) -> Tensor:
    pos = 10.0 * torch.tensor([draw(unit) for _ in range(3)], dtype=torch.float64)
    return geometry.pose_from_pos_rot(pos, geometry.matrix_from_axis_angle(draw(rotation_vectors())))


def _close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> bool:
    return bool((a - b).abs().max() <= tolerance)


@pytest.mark.slow
@QUICK
@given(poses(), poses(), poses())
def test_poses_satisfy_the_group_axioms(a: Tensor, b: Tensor, c: Tensor) -> None:
    identity = torch.eye(4, dtype=torch.float64)
    assert _close(geometry.invert_pose(a) @ a, identity)
    assert _close(a @ geometry.invert_pose(a), identity)
    assert _close(geometry.invert_pose(geometry.invert_pose(a)), a)
    assert _close(geometry.invert_pose(a @ b), geometry.invert_pose(b) @ geometry.invert_pose(a))
    assert _close((a @ b) @ c, a @ (b @ c))


@QUICK
@given(rotation_vectors())
def test_rotations_are_restored_by_all_round_trips(vector: Tensor) -> None:
    rot = geometry.matrix_from_axis_angle(vector)
    assert _close(rot @ rot.T, torch.eye(3, dtype=torch.float64))
    assert abs(float(torch.linalg.det(rot)) - 1.0) < 1e-9
    quat = geometry.quat_xyzw_from_matrix(rot)
    assert abs(float(quat.norm()) - 1.0) < 1e-12
    assert quat[3] >= 0
    assert _close(geometry.matrix_from_quat_xyzw(quat), rot)
    assert _close(geometry.matrix_from_quat_xyzw(-2.5 * quat), rot)
    back = geometry.axis_angle_from_matrix(rot)
    assert float(back.norm()) <= math.pi + 1e-9
    assert _close(geometry.matrix_from_axis_angle(back), rot)
    if vector.norm() < math.pi - 1e-4:
        assert _close(back, vector, 1e-6)


@QUICK
@given(rotation_vectors())
def test_rotations_are_restored_by_round_trips_in_float32(vector: Tensor) -> None:
    rot = geometry.matrix_from_axis_angle(vector.float())
    assert _close(geometry.matrix_from_quat_xyzw(geometry.quat_xyzw_from_matrix(rot)), rot, 1e-6)
    assert _close(geometry.matrix_from_axis_angle(geometry.axis_angle_from_matrix(rot)), rot, 2e-6)


@QUICK
@given(st.floats(-10, 10), st.floats(-10, 10))
def test_yaws_add_up(a: float, b: float) -> None:
    first, second = (geometry.yaw_matrix(torch.tensor(yaw, dtype=torch.float64)) for yaw in (a, b))
    assert _close(first @ second, geometry.yaw_matrix(torch.tensor(a + b, dtype=torch.float64)))
    upright = torch.tensor([0.0, 0.0, a], dtype=torch.float64)
    assert _close(first, geometry.matrix_from_axis_angle(upright))


@QUICK
@given(rotation_vectors(), directions(), angles)
def test_rotation_angle_is_the_angle_of_the_applied_rotation(start: Tensor, axis: Tensor, angle: float) -> None:
    rot = geometry.matrix_from_axis_angle(start)
    turned = geometry.matrix_from_axis_angle(angle * axis) @ rot
    assert abs(float(geometry.rotation_angle(turned, rot)) - angle) <= 1e-6
    # Near a half turn the chord is insensitive to the angle: half of the digits are lost.
    assert abs(float(geometry.rotation_angle(turned.float(), rot.float())) - angle) <= (3e-6 if angle < 2.9 else 1e-3)


@QUICK
@given(poses(), poses(), st.floats(0.0, 1.0))
def test_interpolation_leads_from_start_to_goal_at_constant_speed(start: Tensor, goal: Tensor, fraction: float) -> None:
    def at(value: float) -> Tensor:
        return geometry.interpolate_poses(start, goal, torch.tensor(value, dtype=torch.float64))

    assert _close(at(0.0), start)
    assert _close(at(1.0), goal)
    between = at(fraction)
    assert _close(between[:3, 3], (1 - fraction) * start[:3, 3] + fraction * goal[:3, 3])
    whole = float(geometry.rotation_angle(start[:3, :3], goal[:3, :3]))
    assert abs(float(geometry.rotation_angle(start[:3, :3], between[:3, :3])) - fraction * whole) < 1e-6
    assert abs(float(geometry.rotation_angle(between[:3, :3], goal[:3, :3])) - (1 - fraction) * whole) < 1e-6


# --- no row depends on the batch ---------------------------------------------------------------------------------------

NUM_ROWS = 301
SLICES = [
    slice(0, 1),
    slice(7, 8),
    slice(300, 301),
    slice(0, 7),
    slice(3, 20),
    slice(5, 69),
    slice(1, 300),
    slice(0, 301, 3),
]

Rows = tuple[Tensor, ...]
Function = Callable[..., Tensor]


def _inputs() -> dict[str, tuple[Function, Rows]]:
    """Functions and their inputs, (NUM_ROWS, ...) each, by name."""
    generator = torch.Generator().manual_seed(3)

    def rand(*shape: int) -> Tensor:
        return torch.rand(NUM_ROWS, *shape, generator=generator)

    a, b = (random_poses(generator, (NUM_ROWS, 2), math.pi) for _ in range(2))
    rot_a, rot_b = a[..., :3, :3], b[..., :3, :3]
    quat, pos = torch.randn(NUM_ROWS, 2, 4, generator=generator), rand(2, 3)
    trials = torch.arange(10**6, 10**6 + NUM_ROWS)
    low, high = torch.tensor([[0, -3], [2, 1]]), torch.tensor([[5, 3], [2, 100]])
    return {
        "pose_from_pos_rot": (geometry.pose_from_pos_rot, (pos, rot_a)),
        "pose_from_pos_quat": (geometry.pose_from_pos_quat, (pos, quat)),
        "invert_pose": (geometry.invert_pose, (a,)),
        "matrix_from_quat_xyzw": (geometry.matrix_from_quat_xyzw, (quat,)),
        "rotate": (geometry.rotate, (pos, quat)),
        "quat_xyzw_from_matrix": (geometry.quat_xyzw_from_matrix, (rot_a,)),
        "axis_angle_from_matrix": (geometry.axis_angle_from_matrix, (rot_a,)),
        "matrix_from_axis_angle": (geometry.matrix_from_axis_angle, (3 * pos,)),
        "yaw_matrix": (geometry.yaw_matrix, (6 * rand(2),)),
        "rotation_angle": (geometry.rotation_angle, (rot_a, rot_b)),
        "interpolate_poses": (geometry.interpolate_poses, (a, b, rand(2))),
        "pose_distance": (pose_distance, (a, b, rand(2), rand(2))),
        "choose_nearest": (choose_nearest, (rand(9), torch.randint(1, 12, (NUM_ROWS,), generator=generator), rand())),
        "uniform": (lambda t: Draws(5, t).uniform(Stream.OBJECT_POSE, (3, 5), 2), (trials,)),
        "normal": (lambda t: Draws(5, t).normal(Stream.ACTION_NOISE, (1, 6), 9), (trials,)),
        "normal of odd count": (lambda t: Draws(5, t).normal(Stream.JOINT_POSITION, (1, 7)), (trials,)),
        "uniform by step": (lambda t, s: Draws(5, t).uniform(Stream.SELECTION, (1,), s), (trials, trials % 50)),
        "normal by step": (lambda t, s: Draws(5, t).normal(Stream.ACTION_NOISE, (2, 6), s), (trials, trials % 50)),
        "integers": (lambda t: Draws(5, t).integers(Stream.BOUNDARY, low, high), (trials,)),
    }


def test_all_geometry_functions_are_checked_for_batch_dependence() -> None:
    assert set(geometry.__all__) <= set(_inputs())


@pytest.mark.parametrize("name", _inputs())
def test_row_is_bitwise_the_same_in_any_batch(name: str) -> None:
    function, inputs = _inputs()[name]
    whole = function(*inputs)
    for rows in SLICES:
        for part in (function(*(x[rows] for x in inputs)), function(*(x[rows].clone() for x in inputs))):
            assert torch.equal(part, whole[rows]), f"{name}: rows {rows} differ from the same rows of the whole batch"


def test_waypoint_is_bitwise_the_same_in_any_batch() -> None:
    generator = torch.Generator().manual_seed(4)
    pools = (random_poses(generator, (1, 3, 12), 2.0), random_poses(generator, (1, 3, 12), 2.0), torch.rand(1, 3, 12, 1))
    segments = random_segments(generator, (NUM_ROWS, 1), 3, 12)
    whole = WaypointReader(*pools, segments, False).read()[0]
    for rows in SLICES:
        part = type(segments)(**{name: tensor[rows].clone() for name, tensor in vars(segments).items()})
        assert torch.equal(WaypointReader(*pools, part, False).read()[0], whole[rows])
