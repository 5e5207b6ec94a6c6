"""Warp kernels against their reference implementations in torch, and Philox against published vectors."""

# N envs, E end effectors, D demos, T steps, G gripper entries

import math
import os
import subprocess
import sys

import pytest
import torch

from isaaclab_mimic_ext.kernels.actions import ActionKernels, actions_from_targets_torch, targets_from_actions_torch
from isaaclab_mimic_ext.kernels.philox import philox_words, philox_words_torch
from isaaclab_mimic_ext.kernels.waypoints import Segments, WaypointReader, waypoints_torch
from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot

KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
"""Counter, key and words of philox4x32-10, from `kat_vectors` of Random123."""
PHILOX = {"warp": philox_words, "torch": philox_words_torch}


def plain_philox(counter: list[int], key: list[int]) -> list[int]:
    """philox4x32-10 in Python's integers (Salmon et al. 2011, section 3.4)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        left, right = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(right >> 32) ^ c[1] ^ k[0], right & 0xFFFFFFFF, (left >> 32) ^ c[3] ^ k[1], left & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def _words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_plain_philox_gives_the_published_words(counter: str, key: str, words: str) -> None:
    assert plain_philox(_words(counter), _words(key)) == _words(words)


@pytest.mark.parametrize("name", PHILOX)
def test_philox_gives_the_published_words_of_the_zero_counter(name: str, device: torch.device) -> None:
    zero = torch.zeros(1, dtype=torch.int64, device=device)
    assert PHILOX[name](0, 0, zero, zero, 1)[0, 0].tolist() == _words(KNOWN_ANSWERS[0][2])


@pytest.mark.parametrize("name", PHILOX)
def test_philox_counts_block_step_trial_stream_under_the_seed(name: str, device: torch.device) -> None:
    extremes = [0, 1, 2**31 - 1, 2**31, 2**32 - 1]
    for seed in (0, 1, 2**32, 0x299F31D0A4093822, 2**63, 2**64 - 1):
        for stream in (0, 5, 0x03707344, 2**32 - 1):
            trials, steps = torch.tensor(extremes, device=device), torch.tensor(extremes[::-1], device=device)
            words = PHILOX[name](seed, stream, trials, steps, 3).tolist()
            for row, trial in enumerate(extremes):
                for block in range(3):
                    counter = [block, extremes[-1 - row], trial, stream]
                    assert words[row][block] == plain_philox(counter, [seed & 0xFFFFFFFF, seed >> 32]), (seed, counter)


def test_philox_kernel_and_torch_reference_give_the_same_words(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    for num_rows, num_blocks in ((1, 1), (7, 5), (300, 24)):
        trials, steps = (torch.randint(0, 2**32, (num_rows,), generator=generator).to(device) for _ in range(2))
        arguments = (0x123456789ABCDEF, 4, trials, steps, num_blocks)
        assert torch.equal(philox_words(*arguments), philox_words_torch(*arguments))


def test_philox_kernel_accepts_strided_and_expanded_trials(device: torch.device) -> None:
    trials = torch.arange(20, device=device)
    step = torch.tensor(3, device=device).expand(10)
    assert torch.equal(philox_words(1, 2, trials[::2], step, 2), philox_words_torch(1, 2, trials[::2], step, 2))
    assert philox_words(1, 2, trials[:0], trials[:0], 2).shape == (0, 2, 4)


def random_poses(generator: torch.Generator, shape: tuple[int, ...], angle: float) -> torch.Tensor:
    axis = torch.randn(*shape, 3, generator=generator, dtype=torch.float64)
    vector = angle * torch.rand(*shape, 1, generator=generator) * axis / axis.norm(dim=-1, keepdim=True)
    pos = torch.rand(*shape, 3, generator=generator, dtype=torch.float64) - 0.5
    return pose_from_pos_rot(pos, matrix_from_axis_angle(vector)).float()


def random_segments(generator: torch.Generator, shape: tuple[int, int], num_demos: int, num_steps: int) -> Segments:
    def integers(low: int, high: int) -> torch.Tensor:
        return torch.randint(low, high, shape, generator=generator, dtype=torch.int32)

    start = integers(0, num_steps - 1)
    length = torch.minimum(integers(1, num_steps), num_steps - start)
    segments = Segments(
        integers(0, num_demos), start, length, integers(0, 1), integers(0, 7), integers(0, 4), integers(0, 2),
        random_poses(generator, shape, 2.0), random_poses(generator, shape, 3.0),
    )  # fmt: skip
    last = (segments.num_waypoints - 1).clamp(min=0)
    segments.cursor[:] = (torch.rand(shape, generator=generator) * (last + 1)).int()
    return segments


@pytest.mark.parametrize("angle", [0.0, 1e-4, 0.04, 0.06, 1.0, math.pi])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("planned", [False, True])
def test_waypoint_kernel_and_torch_reference_agree(angle: float, legacy: bool, planned: bool, device: torch.device) -> None:
    generator = torch.Generator().manual_seed(int(1000 * angle) + legacy)
    num_demos, num_steps = 4, 12
    for shape in ((1, 1), (5, 2), (200, 1)):
        pools = (
            random_poses(generator, (shape[1], num_demos, num_steps), angle),
            random_poses(generator, (shape[1], num_demos, num_steps), angle),
            torch.rand(shape[1], num_demos, num_steps, 2, generator=generator),
        )
        segments = random_segments(generator, shape, num_demos, num_steps)
        if angle < 0.1:
            # Small turns from start to goal, around the threshold of the legacy rule.
            segments.transform[:] = torch.eye(4)
            segments.start_pose[:] = random_poses(generator, shape, angle)
        pools = tuple(pool.to(device) for pool in pools)
        for name, tensor in vars(segments).items():
            setattr(segments, name, tensor.to(device))
        paths = random_poses(generator, (*shape, 7), angle).to(device) if planned else None
        reader = WaypointReader(*pools, segments, legacy, paths)
        # Segments at cursor -1 have not begun and keep the previous waypoint.
        segments.cursor[:] = torch.where(segments.demo % 2 == 0, -1, segments.cursor)
        reader.target[:] = segments.start_pose
        for _ in range(3):
            last = reader.target.clone(), reader.gripper.clone()
            target, gripper = reader.read()
            expected_target, expected_gripper = waypoints_torch(*pools, segments, legacy, last, paths)
            assert torch.equal(gripper, expected_gripper)
            torch.testing.assert_close(target, expected_target, atol=3e-6, rtol=0)
            # The reader must see changed cursors.
            segments.cursor[:] = torch.minimum(segments.cursor + 1, segments.num_waypoints - 1)


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Bitwise on the CPU, where datasets must not change; on a GPU, products are fused in torch but not in Warp."""
    tolerance = 0.0 if found.device.type == "cpu" else 1e-5
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0, equal_nan=True)


@pytest.mark.parametrize("angle", [0.0, 1e-4, 0.01, 0.1, 1.0, math.pi])
@pytest.mark.parametrize("shape", [(1, 1), (7, 2), (300, 1)])
def test_action_kernels_and_torch_reference_give_the_same_numbers(
    angle: float, shape: tuple[int, int], device: torch.device
) -> None:
    generator = torch.Generator().manual_seed(int(1e4 * angle))
    scale = torch.tensor([0.05] * 3 + [0.25] * 3, device=device)
    kernels = ActionKernels(*shape, scale)
    for _ in range(3):
        pose = random_poses(generator, shape, 3.0)
        target = (random_poses(generator, shape, angle) @ pose).to(device)
        target[0, 0, 0, 0] = math.nan
        pose, noise = pose.to(device), (0.3 * torch.randn(*shape, 6, generator=generator)).to(device)
        gripper = torch.sign(torch.randn(*shape, 1, generator=generator)).to(device)
        expected = actions_from_targets_torch(target, pose, gripper, noise, scale)
        for found, actions in zip(kernels.from_targets(target, pose, gripper, noise), expected, strict=True):
            assert_same(found, actions)
        assert_same(kernels.from_targets(target, pose, gripper, None)[0], expected[1])
        actions = angle * torch.randn(shape[0], 7 * shape[1], generator=generator).to(device)
        assert_same(kernels.to_targets(actions, pose), targets_from_actions_torch(actions, pose, scale))


@pytest.mark.slow
def test_kernels_run_if_the_cache_is_not_writable() -> None:
    code = "import torch; from isaaclab_mimic_ext.rng import Draws; print(*Draws(1, torch.arange(2)).uniform(0, (1,)).shape)"
    environment = {**os.environ, "WARP_CACHE_PATH": os.path.join(os.devnull, "cache")}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.stdout == "2 1\n", run.stderr
    assert "set WARP_CACHE_PATH" in run.stderr


def test_warp_does_not_start_before_the_first_launch() -> None:
    """The owner of `num_workers` launches no kernel, and Warp takes 110 MB."""
    code = (
        "import torch, isaaclab_mimic_ext.commands.generate; from isaaclab_mimic_ext import kernels; "
        "from isaaclab_mimic_ext.kernels.philox import philox_words; print(kernels.initialize.cache_info().currsize); "
        "philox_words(1, 0, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64), 1); "
        "print(kernels.initialize.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert done.stdout.split() == ["0", "1"]
