"""Frames of a running attempt: what changes in every step, as bytes."""

# E end effectors, B bodies that move

import struct

import numpy as np
from numpy.typing import NDArray

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
    targets: NDArray[np.float32],
    bodies: NDArray[np.float32],
) -> bytes:
    """Encode a frame.

    Args:
        targets, bodies: (E, 7) and (B, 7), position [m] and quaternion xyzw of the target of each hand, and of each body.
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
    return head + targets.astype("<f4").tobytes() + bodies.astype("<f4").tobytes()
