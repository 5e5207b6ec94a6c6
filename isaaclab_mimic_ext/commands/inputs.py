"""Check of the inputs of a command, before it loads or launches anything."""

from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.config import EvaluateCfg
from isaaclab_mimic_ext.errors import SourceDataError


def check_inputs(cfg: Any) -> None:
    """Check that the files of `input_file` and the folder `input_dir` of a command's configuration exist.

    Raises:
        SourceDataError: a path does not exist, is a folder in place of a file, or a file in place of a folder.
    """
    from isaaclab_mimic_ext.files.hdf5 import check_is_file  # Imports h5py, which `--help` must not wait for.

    # An evaluation reads demos only to compute the horizon.
    files = None if isinstance(cfg, EvaluateCfg) and cfg.horizon is not None else getattr(cfg, "input_file", None)
    for path in [files] if isinstance(files, str) else files or ():
        try:
            check_is_file(Path(path))
        except SourceDataError as error:
            horizon = "; or set horizon=<steps>, which requires no demos" if isinstance(cfg, EvaluateCfg) else ""
            raise SourceDataError(f"input_file: {error}{horizon}") from error
    folder = getattr(cfg, "input_dir", None)
    if folder is not None and not Path(folder).is_dir():
        fault = f"{folder} is a file" if Path(folder).exists() else f"{folder} not found"
        raise SourceDataError(f"input_dir: {fault}; use the path of an existing folder")
