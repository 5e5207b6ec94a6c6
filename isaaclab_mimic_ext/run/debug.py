"""Names of debug runs: they are next to the run whose configuration they try out."""

from pathlib import Path

from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.run.session import RunFolder

_MARK = "_debug"


def debug_folder(cfg: GenerateCfg) -> RunFolder:
    """Folder of the debug run of a configuration."""
    return RunFolder(debug_path(Path(cfg.output_dir)))


def debug_path(path: Path) -> Path:
    """Path whose name marks it as that of a debug run."""
    return path if path.stem.endswith(_MARK) else path.with_name(f"{path.stem}{_MARK}{path.suffix}")


def path_without_debug(path: Path) -> Path:
    """Path of the run with all trials, the inverse of `debug_path`."""
    return path.with_name(f"{path.stem.removesuffix(_MARK) or 'run'}{path.suffix}") if path.stem.endswith(_MARK) else path
