"""Tracking errors computed on the device, compared with a plain loop over envs and steps."""

# N envs, E end effectors, S subtasks, T steps

import numpy as np
import torch

from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot
from isaaclab_mimic_ext.run.failures import TrackingError

NUM_ENVS, NUM_EEFS, NUM_SUBTASKS, NUM_STEPS = 5, 2, 3, 17
CPU = torch.device("cpu")


def random_poses(generator: torch.Generator, angle: float) -> torch.Tensor:
    shape = (NUM_ENVS, NUM_EEFS, 3)
    axis = torch.randn(shape, generator=generator)
    axis /= axis.norm(dim=-1, keepdim=True)
    rotation = axis * angle * torch.rand(*shape[:-1], 1, generator=generator)
    return pose_from_pos_rot(torch.randn(shape, generator=generator), matrix_from_axis_angle(rotation))


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    rot = a[:3, :3].astype(np.float64).T @ b[:3, :3].astype(np.float64)
    sine = np.linalg.norm([rot[2, 1] - rot[1, 2], rot[0, 2] - rot[2, 0], rot[1, 0] - rot[0, 1]]) / 2
    return float(np.arctan2(sine, (np.trace(rot) - 1) / 2))


def test_means_and_maxima_by_subtask_equal_a_plain_loop() -> None:
    generator = torch.Generator().manual_seed(3)
    tracking = TrackingError(NUM_ENVS, NUM_EEFS, NUM_SUBTASKS, CPU)
    env_ids = torch.arange(NUM_ENVS)
    for scale in (3.0, 1e-3):  # The second trials begin anew in the same envs; small angles need their digits.
        errors: dict[tuple[int, int, int], list[tuple[float, float]]] = {}
        tracking.begin(env_ids)
        for _ in range(NUM_STEPS):
            target, offset = random_poses(generator, 3.0), random_poses(generator, scale)
            eef = target @ offset
            subtask = torch.randint(0, NUM_SUBTASKS - 1, (NUM_ENVS, NUM_EEFS), generator=generator)
            tracking.add(target, eef, subtask)
            for env, arm in np.ndindex(NUM_ENVS, NUM_EEFS):
                pair = target[env, arm].numpy(), eef[env, arm].numpy()
                distance = float(np.linalg.norm(pair[0][:3, 3] - pair[1][:3, 3]))
                errors.setdefault((env, arm, int(subtask[env, arm])), []).append((distance, angle_between(*pair)))
        summary = tracking.summary(env_ids).numpy()
        for place in np.ndindex(NUM_ENVS, NUM_EEFS, NUM_SUBTASKS):
            if place not in errors:
                assert np.isnan(summary[place]).all()
                continue
            distance, angle = np.array(errors[place]).T
            expected = [distance.mean(), distance.max(), angle.mean(), angle.max()]
            np.testing.assert_allclose(summary[place], expected, rtol=2e-3, atol=2e-6)


def test_error_of_a_half_turn_is_pi() -> None:
    tracking = TrackingError(1, 1, 1, CPU)
    tracking.begin(torch.tensor([0]))
    target = torch.eye(4).expand(1, 1, 4, 4)
    turned = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0])).expand(1, 1, 4, 4)
    tracking.add(target, turned, torch.zeros(1, 1, dtype=torch.int64))
    np.testing.assert_allclose(tracking.summary(torch.tensor([0])).flatten(), [0, 0, np.pi, np.pi], atol=1e-6)


def test_beginning_a_trial_does_not_change_other_envs() -> None:
    tracking = TrackingError(2, 1, 1, CPU)
    off = torch.eye(4).repeat(2, 1, 1, 1)
    off[..., 0, 3] = 0.5
    tracking.add(torch.eye(4).expand(2, 1, 4, 4), off, torch.zeros(2, 1, dtype=torch.int64))
    tracking.begin(torch.tensor([1]))
    summary = tracking.summary(torch.arange(2))
    assert summary[0, 0, 0, 0] == 0.5
    assert summary[1].isnan().all()
