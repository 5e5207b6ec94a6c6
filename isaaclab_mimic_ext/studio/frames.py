"""Frames of a running attempt: what changes in every step, as bytes."""

# E end effectors, B bodies that move

import struct

import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext.math import quat_xyzw_from_matrix
from isaaclab_mimic_ext.run.live_state import LiveState

HEAD = struct.Struct("<8I")
"""Sequence of the frame, steps, made steps, solved steps, signals (one bit each), sequence of the last command, epoch,
speed [parts of a thousand of real time]. Then float32: targets of the hands (E, 7), poses of the bodies (B, 7)."""


def encode_frame(
    sequence: int,
    state: LiveState,
    command_sequence: int,
    epoch: int,
    rate: float,
    targets: torch.Tensor,
    bodies: NDArray[np.float32],
) -> bytes:
    """Encode a frame.

    Args:
        targets: (E, 4, 4), targets of the hands, env frame [m].
        bodies: (B, 7), position [m] and quaternion xyzw of each body.
    """
    signals = sum(int(value) << index for index, value in enumerate(list(state.signals.values())[:32]))
    head = HEAD.pack(
        sequence,
        state.step,
        state.num_made_steps,
        state.num_solved_steps,
        signals,
        command_sequence & 0xFFFFFFFF,
        epoch,
        round(1000 * rate),
    )
    poses = torch.cat((targets[..., :3, 3], quat_xyzw_from_matrix(targets[..., :3, :3])), dim=-1)
    return head + poses.cpu().numpy().astype("<f4").tobytes() + bodies.astype("<f4").tobytes()
