"""Camera images of other layouts and dtypes as RGB images of uint8."""

# T steps, H x W pixels, C channels

from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.task.cameras import DEPTH, SEGMENTATION

_CHANNELS = (1, 3, 4)
"""Numbers of channels of gray images, RGB and RGBA."""
_MAX = 255


@dataclass(frozen=True)
class ImageLayout:
    """Layout of the images of a camera, the same in all demos.

    Attributes:
        key: path of the images below a demo.
        is_channels_first: (T, C, H, W); otherwise (T, H, W, C).
        has_unit_range: floats from 0 to 1; otherwise values from 0 to 255.
        remedy: end of the message about images that cannot be converted.
    """

    key: str
    is_channels_first: bool
    has_unit_range: bool
    remedy: str

    @classmethod
    def of(cls, demo: Demo, key: str, remedy: str) -> "ImageLayout":
        """Layout of the images of a demo.

        Raises:
            SourceDataError: the images have no RGB colors, or no known layout.
        """
        leaf = demo.leaves[key]
        shape, kind = f"got {leaf.dtype} {('T', *leaf.shape[1:])}".replace("'", ""), leaf.dtype.kind
        if leaf.ndim != 4 or not ({leaf.shape[1], leaf.shape[3]} & {*_CHANNELS}) or kind not in "iuf":
            demo.refuse(f"{key}: must be images (T, H, W, C) or (T, C, H, W) with 1, 3 or 4 channels ({shape}); {remedy}")
        is_channels_first = leaf.shape[3] not in _CHANNELS
        channels = leaf.shape[1] if is_channels_first else leaf.shape[3]
        if channels == 1 and (leaf.dtype != np.uint8 or key.endswith(f"_{SEGMENTATION}")):
            kind = DEPTH if leaf.dtype != np.uint8 else SEGMENTATION
            demo.refuse(f"{key}: has one channel of {leaf.dtype}, as {kind} has, which has no colors ({shape}); {remedy}")
        layout = cls(key, is_channels_first, kind == "f" and float(leaf.max(initial=0)) <= 1.0, remedy)
        layout.to_rgb(demo)
        return layout

    def to_rgb(self, demo: Demo) -> np.ndarray:
        """RGB images of a demo, (T, H, W, 3) uint8. An alpha channel is left out.

        Raises:
            SourceDataError: a value is outside of the range.
        """
        images = demo.leaves[self.key]
        if self.is_channels_first:
            images = np.moveaxis(images, 1, -1)
        images = images[..., :3] if images.shape[-1] > 1 else np.repeat(images, 3, axis=-1)
        if images.dtype == np.uint8:
            return np.ascontiguousarray(images)
        low, high = float(images.min(initial=0)), float(images.max(initial=0))
        if not (low >= 0 and high <= (1 if self.has_unit_range else _MAX)):
            self._refuse_range(demo, low, high)
        return np.rint(images * (_MAX if self.has_unit_range else 1)).astype(np.uint8)

    def _refuse_range(self, demo: Demo, low: float, high: float) -> NoReturn:
        limits = "0 to 1, as in the first demo," if self.has_unit_range else "0 to 255"
        cause = " (Isaac Lab's image term subtracts the mean with normalize=True)" if low < 0 else ""
        demo.refuse(f"{self.key}: must be from {limits} (got {low:.3g} to {high:.3g}){cause}; {self.remedy}")
