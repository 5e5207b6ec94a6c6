"""Counter-based random numbers, Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

A block maps a counter of four 32-bit words and a key of two words to four random words. The random words depend only on
counter and key. Draws are therefore the same in any order, on any device and with any number of envs.
"""

# n rows (trials)

import torch
import warp as wp
from torch import Tensor

from isaaclab_mimic_ext.kernels import as_array, launch

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10

_M0 = wp.constant(wp.uint64(_MULTIPLIERS[0]))
_M1 = wp.constant(wp.uint64(_MULTIPLIERS[1]))
_W0 = wp.constant(wp.uint64(_WEYL[0]))
_W1 = wp.constant(wp.uint64(_WEYL[1]))
_LOW = wp.constant(wp.uint64(_MASK))
_SHIFT = wp.constant(wp.uint64(32))


@wp.kernel(enable_backward=False)
def _philox_kernel(
    key_low: wp.uint64,
    key_high: wp.uint64,
    stream: wp.uint64,
    trials: wp.array(dtype=wp.int64),
    steps: wp.array(dtype=wp.int64),
    words: wp.array3d(dtype=wp.int64),
):
    row, block = wp.tid()
    c0 = wp.uint64(block)
    c1 = wp.uint64(steps[row])
    c2 = wp.uint64(trials[row])
    c3 = stream
    k0 = key_low
    k1 = key_high
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0 = (p1 >> _SHIFT) ^ c1 ^ k0
        c1 = p1 & _LOW
        c2 = (p0 >> _SHIFT) ^ c3 ^ k1
        c3 = p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    words[row, block, 0] = wp.int64(c0)
    words[row, block, 1] = wp.int64(c1)
    words[row, block, 2] = wp.int64(c2)
    words[row, block, 3] = wp.int64(c3)


def philox_words(seed: int, stream: int, trials: Tensor, steps: Tensor, num_blocks: int) -> Tensor:
    """Random 32-bit words, shape (n, num_blocks, 4) int64, of the counters (block, steps[row], trials[row], stream).

    Args:
        seed: key, 0 <= seed < 2**64.
        stream: purpose of the words, 0 <= stream < 2**32.
        trials, steps: (n,) int64, values from 0 to 2**32 - 1.
        num_blocks: number of blocks of four words per row.
    """
    words = torch.empty((len(trials), num_blocks, 4), dtype=torch.int64, device=trials.device)
    inputs = [seed & _MASK, seed >> 32, stream, as_array(trials.contiguous()), as_array(steps.contiguous())]
    launch(_philox_kernel, (len(trials), num_blocks), inputs, [as_array(words)], trials.device)
    return words


def philox_words_torch(seed: int, stream: int, trials: Tensor, steps: Tensor, num_blocks: int) -> Tensor:
    """Reference implementation of `philox_words` in torch operations, for tests."""
    shape = (len(trials), num_blocks)
    c0 = torch.arange(num_blocks, device=trials.device).expand(shape)
    c1, c2 = steps[:, None].expand(shape), trials[:, None].expand(shape)
    c3 = torch.full(shape, stream, dtype=torch.int64, device=trials.device)
    k0, k1 = seed & _MASK, seed >> 32
    for _ in range(_ROUNDS):
        # int64 products wrap around to the same bits as unsigned products.
        p0, p1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1 = ((p1 >> 32) & _MASK) ^ c1 ^ k0, p1 & _MASK
        c2, c3 = ((p0 >> 32) & _MASK) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return torch.stack((c0, c1, c2, c3), dim=-1)
