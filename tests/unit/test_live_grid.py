"""Frames of all environments of a run, as bytes for the page."""

# n environments, B bodies that move

import numpy as np

from isaaclab_mimic_ext.run.live_poses import LiveFrame
from isaaclab_mimic_ext.studio.live_grid import HEAD, MAX_BYTES_PER_S, POS_UNIT, QUAT_UNIT, encode_grid


def frame(count: int) -> LiveFrame:
    numbers = np.arange(count, dtype=np.int32)
    return LiveFrame(numbers + 5, 2 * numbers, numbers % 2 == 0, {})


def test_frame_keeps_positions_to_a_tenth_of_a_millimeter_and_rotations_to_a_hundredth_of_a_degree() -> None:
    rng = np.random.default_rng(1)
    bodies = rng.uniform(-1, 1, (3, 4, 7)).astype(np.float32)
    bodies[..., 3:] /= np.linalg.norm(bodies[..., 3:], axis=-1, keepdims=True)
    encoded = encode_grid(9, frame(3), bodies)
    assert HEAD.unpack_from(encoded) == (9, 3, 4, 0)
    heads = np.frombuffer(encoded, "<i4", 9, HEAD.size).reshape(3, 3)
    assert heads.tolist() == [[5, 0, 1], [6, 2, 0], [7, 4, 1]]
    poses = np.frombuffer(encoded, "<i2", offset=HEAD.size + heads.nbytes).reshape(3, 4, 7)
    assert np.abs(poses[..., :3] * POS_UNIT - bodies[..., :3]).max() <= 1e-4
    assert np.abs(poses[..., 3:] * QUAT_UNIT - bodies[..., 3:]).max() <= 1e-4


def test_poses_that_are_not_finite_or_far_away_become_numbers() -> None:
    bodies = np.full((1, 2, 7), np.nan, dtype=np.float32)
    bodies[0, 1, :3] = (np.inf, -100.0, 100.0)
    poses = np.frombuffer(encode_grid(1, frame(1), bodies), "<i2", offset=HEAD.size + 12).reshape(2, 7)
    assert poses.tolist() == [[0] * 7, [32767, -32767, 32767, 0, 0, 0, 0]]


def test_100_environments_are_sent_at_least_10_times_per_second_within_300_kb() -> None:
    size = len(encode_grid(1, frame(100), np.zeros((100, 15, 7), dtype=np.float32)))
    assert MAX_BYTES_PER_S <= 300_000
    assert MAX_BYTES_PER_S / size >= 10
