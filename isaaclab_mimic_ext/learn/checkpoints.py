"""Which checkpoints are meant: files, training runs' folders, patterns."""

import re
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.files.folder import OutputFile, OutputFolder
from isaaclab_mimic_ext.learn.results import Checkpoint

ENDING = ".pth"

_EPOCH = re.compile(r"epoch_(\d+)")

_DUPLICATES = ("best", "last")

"""Copies of what a run's numbered checkpoints hold; of a folder with such they are left out."""


def find_checkpoints(given: Any) -> list[Checkpoint]:
    """The checkpoints that `checkpoint=` names, each once, in the order of the runs given and then of their epochs.

    Raises:
        ConfigError: it is neither a text nor a list of texts.
        SourceDataError: nothing is there.
    """
    places = [given] if isinstance(given, str) else given
    if not isinstance(places, list) or not places or not all(isinstance(place, str) and place for place in places):
        raise ConfigError(
            f"checkpoint: {given!r} is no path; give that of a checkpoint or of a training run's folder, or a list of them"
        )
    paths = list(dict.fromkeys(path for place in places for path in _paths(place)))
    runs = _shortest_names([_run_of(path) for path in paths])
    checkpoints = []
    for path in paths:
        run = runs[_run_of(path)]
        name = path.stem if len(runs) == 1 else f"{run}/{path.stem}"
        checkpoints.append(Checkpoint(name, str(path), run, _epoch_of(path)))
    return checkpoints


def _paths(place: str) -> list[Path]:
    """The checkpoint files of one place."""
    path = Path(place)
    if path.is_dir():
        return _of_folder(path)
    if path.is_file():
        return [path]
    found = [match for name in sorted(glob(place, recursive=True)) for match in _matched(Path(name))]
    if not found:
        raise SourceDataError(f"checkpoint: {place}: there is no such file or folder; give the path of a {ENDING} file")
    return found


def _matched(path: Path) -> list[Path]:
    return _of_folder(path) if path.is_dir() else [path]


def _of_folder(folder: Path) -> list[Path]:
    """Those below a folder: the numbered ones of each run in the order of their epochs, others where a run has no such."""
    files = [path for path in sorted(folder.rglob(f"*{ENDING}")) if path.is_file()]
    if not files:
        raise SourceDataError(f"checkpoint: {folder}: no {ENDING} file in this folder; give the folder of a training run")
    numbered_runs = {_run_of(path) for path in files if _epoch_of(path) is not None}
    kept = [path for path in files if not (path.stem in _DUPLICATES and _run_of(path) in numbered_runs)]
    return sorted(kept, key=lambda path: (str(_run_of(path)), _epoch_of(path) or 0, path.name))


def _epoch_of(path: Path) -> int | None:
    match = _EPOCH.search(path.stem)
    return int(match[1]) if match else None


def _run_of(path: Path) -> Path:
    """The run's folder: checkpoints lie in it, or in its `models/`."""
    folder = path.resolve().parent
    return folder.parent if folder.name == "models" else folder


def _shortest_names(folders: Sequence[Path]) -> dict[Path, str]:
    """The last parts of each folder's path that tell it from the others."""
    distinct = list(dict.fromkeys(folders))
    for count in range(1, max(len(folder.parts) for folder in distinct) + 1):
        names = ["/".join(folder.parts[-count:]) for folder in distinct]
        if len(set(names)) == len(distinct):
            break
    return dict(zip(distinct, names, strict=True))


class EvaluationFolder(OutputFolder):
    """Paths of an evaluation's files."""

    content = "an evaluation"

    report = OutputFile("evaluation.json")
    config = OutputFile("config.yaml")
    plot = OutputFile("success_over_epochs.png")
    videos = OutputFile("videos")

    def video(self, checkpoint: str, success: bool) -> Path:
        """Path of the video of a checkpoint's successes or failures."""
        kind = "successes" if success else "failures"
        return self.videos / f"{checkpoint.replace('/', '_')}_{kind}.mp4"
