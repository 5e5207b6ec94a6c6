"""Pictures of a training in memory, one byte per value."""

# R rows (steps of all demos), T steps of a demo, H x W pixels

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.files.hdf5 import each_demo
from isaaclab_mimic_ext.learn.agents import IMAGES, is_picture

if TYPE_CHECKING:
    from isaaclab_mimic_ext.learn.data import DatasetFacts


class PictureRows:
    """Pictures of one camera in demos, appended demo by demo to memory that is reserved once.

    Attributes:
        shape: shape of one picture, (H, W, 3).

    Raises:
        SourceDataError: the file is damaged.
    """

    def __init__(self, path: Path, names: Sequence[str], key: str):
        lengths, self.shape = [], None
        for _, group in each_demo(path, names):
            found = group.get(f"obs/{key}")
            lengths.append(0 if found is None else len(found))
            self.shape = self.shape or (None if found is None else tuple(found.shape[1:]))
        # Pages that no demo fills, because it is left out, take no memory.
        self._rows = np.empty((sum(lengths), *(self.shape or (0, 0, 3))), np.uint8)
        self._num_rows = 0

    def append(self, pictures: NDArray[np.uint8]) -> None:
        """Append the pictures (T, H, W, 3) of a demo."""
        self._rows[self._num_rows : self._num_rows + len(pictures)] = pictures
        self._num_rows += len(pictures)

    @property
    def rows(self) -> NDArray[np.uint8]:
        """Pictures that have been appended, (R, H, W, 3); a view."""
        return self._rows[: self._num_rows]


def check_pictures(place: str, values: NDArray[Any], shape: tuple[int, ...] | None) -> None:
    """Check that an observation of a demo contains pictures, of the same size as in other demos.

    Raises:
        SourceDataError: the values are not bytes (T, H, W, 3), or have a different size.
    """
    if values.dtype != np.uint8 or values.ndim != 4 or not is_picture(values.shape[1:]):
        found = f"({', '.join(('T', *map(str, values.shape[1:])))}) {values.dtype}"
        raise SourceDataError(
            f"{place}: pictures must have shape (T, H, W, 3) and type uint8 (got {found}); render them again"
        )
    if values.shape[1:] != shape:
        raise SourceDataError(
            f"{place}: pictures must have shape {shape} as in other demos (got {values.shape[1:]}); render them again"
        )


def check_has_pictures(facts: "DatasetFacts", settings: dict[str, Any], pictures: Sequence[str]) -> None:
    """Check that a policy that sees has pictures to learn from.

    Raises:
        ConfigError: the dataset has no pictures, or the agent names none.
    """
    if settings["algo_name"] != IMAGES or (all(key in facts.obs_shapes for key in pictures) and pictures):
        return
    missing = ", ".join(key for key in pictures if key not in facts.obs_shapes) or "pictures (T, H, W, 3)"
    remedy = command_line(
        "render", input_file=facts.path, output_file=facts.path.with_name(f"{facts.path.stem}_pictures.hdf5")
    )
    raise ConfigError(f"algo: {IMAGES}: {missing} not found in {facts.path}; draw them with `{remedy}`")
