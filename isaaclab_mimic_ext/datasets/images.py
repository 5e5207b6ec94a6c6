"""What is an image among the observations."""

# T steps of one demo, H x W pixels, C channels

import numpy as np


def is_image(leaf: np.ndarray) -> bool:
    """Whether a leaf (T, ...) is no vector: an RGB or depth image, or a stack of them."""
    return leaf.ndim >= 3


def is_rgb(leaf: np.ndarray) -> bool:
    """Whether a leaf is (T, H, W, 3) uint8."""
    return leaf.ndim == 4 and leaf.shape[-1] == 3 and leaf.dtype == np.uint8


def crop_center(images: np.ndarray, size: int) -> np.ndarray:
    """The middle of (T, H, W, ...), (T, size, size, ...). With an odd margin the smaller part is above and left."""
    top, left = ((side - size) // 2 for side in images.shape[1:3])
    return images[:, top : top + size, left : left + size]
