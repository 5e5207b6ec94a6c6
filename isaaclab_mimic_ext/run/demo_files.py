"""Datasets of a run, in one file or in shards. Imported by the writer process: no torch here.

Demos are written in the order of their trials. Shard i contains the demos of the i-th n trials of the run, so its contents
depend on these trials only. A dataset in one file is one shard of unlimited size, with the name of the dataset.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np

from isaaclab_mimic_ext.files.dataset_file import DatasetFile
from isaaclab_mimic_ext.files.hdf5 import open_hdf5
from isaaclab_mimic_ext.files.shards import NUM_SHARDS, shard_folder, shard_path
from isaaclab_mimic_ext.files.writing import part_path
from isaaclab_mimic_ext.run.episodes import EpisodeFormat, Output
from isaaclab_mimic_ext.run.result import RunResult
from isaaclab_mimic_ext.run.store import Episode, Outcomes


class DemoFiles:
    """Files with the demos of successful trials and, if they are kept, of failed trials.

    Args:
        output: output files and their options.
        contents: layout of the episodes.
        outcomes: outcomes of the trials of earlier sessions.
        lengths: number of steps of these trials.
    """

    def __init__(self, output: Output, contents: EpisodeFormat, outcomes: Outcomes, lengths: Mapping[int, int]):
        self._output, self._contents, self._earlier, self._lengths = output, contents, outcomes, lengths
        self._paths = {True: output.path}
        if output.failed_path is not None:
            self._paths[False] = output.failed_path
        self._size = output.shard_demos
        self._shard = -1
        self._num_written = 0
        """Number of trials of the open shard that were written, or have no demo."""
        self._files: dict[bool, DatasetFile] = {}
        if self._size is None:
            self._open(0)

    def trials_of_shard(self, trial: int) -> range | None:
        """Trials of the shard of a trial; None for a dataset in one file."""
        if self._size is None:
            return None
        first = self._output.first_trial + self._index(trial) * self._size
        return range(first, first + self._size)

    def owns(self, trial: int) -> bool:
        """Return whether this process writes the shard of a trial."""
        return self._index(trial) % (self._output.num_writers or 1) == self._output.writer

    def path_of(self, trial: int) -> Path:
        """Path of the file of the successful demo of a trial."""
        return self._file(self._output.path, self._index(trial))

    def _index(self, trial: int) -> int:
        return 0 if self._size is None else (trial - self._output.first_trial) // self._size

    def _file(self, path: Path, index: int) -> Path:
        return path if self._size is None else shard_path(path, index)

    def has_closed(self, trials: range) -> bool:
        """Return whether an earlier session has closed the files of a shard, whose trials have all ended."""
        is_inside = (self._earlier.trials >= trials.start) & (self._earlier.trials < trials.stop)
        if is_inside.sum() < len(trials):
            return False
        inside = Outcomes(self._earlier.trials[is_inside], self._earlier.reason[is_inside])
        index = self._index(trials.start)
        return all(
            _contains(self._file(path, index), with_demos(inside, kind, self._lengths)) for kind, path in self._paths.items()
        )

    def begin(self, trial: int) -> None:
        """Open the files that the demo of a trial belongs to. Files of an incomplete shard remain unfinished."""
        shard = self._index(trial)
        if shard != self._shard:
            self.close_shard(is_final=False)
            self._open(shard)
        self._num_written += 1

    def add(self, episode: Episode, leaves: Mapping[str, np.ndarray]) -> None:
        """Write the demo of a trial, after `begin`."""
        attributes = {"success": episode.success, "trial": episode.trial, **episode.attributes}
        self._files[episode.success].add_demo(leaves, attributes)

    def copy(self, trial: int) -> bool:
        """Write the demo of a trial from the finished file of an earlier session; return False if no file contains it."""
        return any(file.copy_demo(trial) for file in self._files.values())

    def close_shard(self, is_final: bool = True) -> bool:
        """Close the files of the open shard. Return whether they got their names.

        Args:
            is_final: the files get their names although trials of the shard are missing.
        """
        if self._size is None or not self._files:
            return False  # A dataset in one file is closed by `close`.
        is_named = is_final or self._num_written == self._size
        for file in self._files.values():
            file.finish({})
            if is_named:
                file.publish()
        self._files = {}
        return is_named

    def discard(self) -> None:
        """Delete the unfinished files."""
        for file in self._files.values():
            file.discard()
        self._files = {}

    def close(self, result: RunResult, outcomes: Outcomes, lengths: Mapping[int, int]) -> RunResult:
        """Complete the datasets, and return `result` with the path of the dataset.

        Args:
            outcomes: outcomes of all trials whose demos are in the datasets.
            lengths: number of steps of each trial.
        """
        is_named = not result.is_interrupted or self._output.names_interrupted
        if self._size is not None:
            self.close_shard(is_final=is_named)
            self._files = {kind: self._linked(kind, outcomes, lengths, is_named) for kind in self._paths}
        attributes = result.dataset_attributes()
        if self._size is not None and is_named:
            attributes[NUM_SHARDS] = -(-result.num_attempts // self._size)
        kept = [file for file in self._files.values() if file.lengths or self._output.keeps_empty]
        for file in self._files.values():
            file.finish(attributes) if file in kept else file.discard()
        if not is_named:
            return replace(result, dataset=self._files[True].part_path)
        for file in kept:
            file.publish()
        return result

    def remove_others(self, result: RunResult) -> None:
        """Delete files of shards that are not a part of the result, such as unfinished ones of a killed session."""
        for path in self._paths.values():
            if self._size is None:  # Shards of a collected run, whose demos are in one file now.
                shutil.rmtree(shard_folder(path), ignore_errors=True)
                continue
            used = {shard_path(path, index) for index in range(-(-result.num_attempts // self._size))}
            for other in {*shard_folder(path).glob(f"{path.stem}_*")} - used:
                other.unlink(missing_ok=True)

    def _open(self, shard: int) -> None:
        self._shard, self._num_written = shard, 0
        self._files = {kind: self._created(self._file(path, shard)) for kind, path in self._paths.items()}

    def _created(self, path: Path) -> DatasetFile:
        output, env_args = self._output, self._contents.env_args
        overwrite = output.overwrite
        return DatasetFile(path, env_args, output.attributes, output.compression, output.format_version, overwrite)

    def _linked(self, kind: bool, outcomes: Outcomes, lengths: Mapping[int, int], is_named: bool) -> DatasetFile:
        """Create the file that presents the shards of a dataset as one dataset."""
        file = self._created(self._paths[kind])
        trials = with_demos(outcomes, kind, lengths)
        for shard, of_shard in groupby(trials.tolist(), self._index):
            in_shard = np.array([*of_shard])
            target = self._file(file.path, shard)
            if not is_named and not _contains(target, in_shard):
                target = part_path(target)  # A shard that is not complete keeps the name of an unfinished file.
            for number, trial in enumerate(in_shard.tolist()):
                file.add_link(target, f"demo_{number}", lengths[trial])
        return file


def with_demos(outcomes: Outcomes, success: bool, lengths: Mapping[int, int]) -> np.ndarray:
    """Return the trials with a demo in the dataset of successful or of failed trials, (F,): those that have steps."""
    trials = outcomes.trials[outcomes.success == success]
    return trials[np.array([lengths[trial] > 0 for trial in trials.tolist()], dtype=bool)]


def _contains(path: Path, trials: np.ndarray) -> bool:
    """Return whether a file contains the demos of the given trials, by their number and the first and the last one."""
    if not path.is_file():
        return False
    with open_hdf5(path) as file:
        data = file["data"]
        ends = {0, len(trials) - 1} if len(trials) else set()
        return len(data) == len(trials) and all(data[f"demo_{i}"].attrs["trial"] == trials[i] for i in ends)
