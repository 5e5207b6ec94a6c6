"""Find the checkpoints to evaluate: files, folders of training runs, patterns. Output folder of an evaluation."""

import re
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.files.folder import OutputFile, OutputFolder
from isaaclab_mimic_ext.learn.results import Checkpoint

SUFFIX = ".pth"
_EPOCH = re.compile(r"epoch_(\d+)")
_DUPLICATES = ("best", "last")
"""Checkpoints that repeat a numbered one; skipped in folders with numbered checkpoints."""


def find_checkpoints(given: Any) -> list[Checkpoint]:
    """Find the checkpoints of the field `checkpoint`, without duplicates.

    The order is that of the given paths; within a folder, by training run, then by epoch.

    Args:
        given: path of a file or folder, a pattern (`*`), or a list of these.

    Raises:
        ConfigError: `given` is neither a string nor a list of strings.
        SourceDataError: no checkpoint is found.
    """
    places = [given] if isinstance(given, str) else given
    if not isinstance(places, list) or not places or not all(isinstance(place, str) and place for place in places):
        raise ConfigError(
            "checkpoint: must be the path of a .pth file or of the folder of a training run, or a list of these paths (got "
            f"{given!r})"
        )
    paths = list(dict.fromkeys(path for place in places for path in _paths(place)))
    runs = _shortest_names([_run_folder(path) for path in paths])
    checkpoints = []
    for path in paths:
        run = runs[_run_folder(path)]
        name = path.stem if len(runs) == 1 else f"{run}/{path.stem}"
        checkpoints.append(Checkpoint(name, str(path), run, _epoch_of(path)))
    return checkpoints


def _paths(place: str) -> list[Path]:
    """Checkpoint files of one path or pattern."""
    path = Path(place)
    if path.is_dir():
        return _checkpoints_in(path)
    if path.is_file():
        return [path]
    found = [match for name in sorted(glob(place, recursive=True)) for match in _matched(Path(name))]
    if not found:
        raise SourceDataError(
            f"checkpoint: {place} not found; give the path of a {SUFFIX} file, or of the folder of a training run"
        )
    return found


def _matched(path: Path) -> list[Path]:
    return _checkpoints_in(path) if path.is_dir() else [path]


def _checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoint files below a folder, by run and epoch; `best` and `last` only for runs without numbered checkpoints."""
    files = [path for path in sorted(folder.rglob(f"*{SUFFIX}")) if path.is_file()]
    if not files:
        raise SourceDataError(f"checkpoint: {folder} contains no {SUFFIX} file; give the folder of a training run")
    numbered_runs = {_run_folder(path) for path in files if _epoch_of(path) is not None}
    kept = [path for path in files if not (path.stem in _DUPLICATES and _run_folder(path) in numbered_runs)]
    return sorted(kept, key=lambda path: (str(_run_folder(path)), _epoch_of(path) or 0, path.name))


def _epoch_of(path: Path) -> int | None:
    match = _EPOCH.search(path.stem)
    return int(match[1]) if match else None


def _run_folder(path: Path) -> Path:
    """Folder of the training run of a checkpoint, which is in this folder or in its `models/`."""
    folder = path.resolve().parent
    return folder.parent if folder.name == "models" else folder


def _shortest_names(folders: Sequence[Path]) -> dict[Path, str]:
    """Shortest unique name of each folder: as many last parts of its path as make all names different."""
    distinct = list(dict.fromkeys(folders))
    for count in range(1, max(len(folder.parts) for folder in distinct) + 1):
        names = ["/".join(folder.parts[-count:]) for folder in distinct]
        if len(set(names)) == len(distinct):
            break
    return dict(zip(distinct, names, strict=True))


class EvaluationFolder(OutputFolder):
    """Output folder of an evaluation."""

    content = "an evaluation"

    report = OutputFile("evaluation.json")
    config = OutputFile("config.yaml")
    plot = OutputFile("success_over_epochs.png")
    videos = OutputFile("videos")

    def seen(self, checkpoint: str) -> Path:
        """Path of the picture of what a checkpoint saw in its failures."""
        return self.videos / f"{checkpoint.replace('/', '_')}_seen.png"

    def video(self, checkpoint: str, success: bool) -> Path:
        """Path of the video of a checkpoint's successes or failures."""
        kind = "successes" if success else "failures"
        return self.videos / f"{checkpoint.replace('/', '_')}_{kind}.mp4"
