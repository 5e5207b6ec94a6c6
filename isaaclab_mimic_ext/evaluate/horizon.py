"""How long an episode may take, from how long demonstrations took."""

from math import ceil

from isaaclab_mimic_ext.datasets.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.errors import SourceDataError

_PATIENCE = 1.5
"""A policy hesitates where its teacher did not."""
_STEP = 50


def horizon_of(path: str) -> int:
    """Half as long again as the longest demo of a file, up to the next multiple of 50 [steps].

    Raises:
        SourceDataError: the file is missing, damaged or empty.
    """
    try:
        with open_hdf5(path) as file:
            longest = max((len(file["data"][name]["actions"]) for name in demo_names(file)), default=0)
    except SourceDataError as error:
        raise SourceDataError(f"{error}; or give horizon=<steps>, which needs no demonstrations") from error
    if longest == 0:
        raise SourceDataError(f"{path}: no demonstrations, so that no horizon follows from them; give horizon=<steps>")
    return _STEP * ceil(_PATIENCE * longest / _STEP)
