"""Demos that a recording has kept, for display."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from isaaclab_mimic_ext.files.demo import read_demo
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.files.writing import store_path
from isaaclab_mimic_ext.run.episodes import stored_fields, unpack
from isaaclab_mimic_ext.run.session import opened_store

_START = "initial_state/rigid_object/{}/root_pose"


@dataclass(frozen=True)
class KeptDemo:
    """A kept demo.

    Attributes:
        trial: number of the attempt.
        num_steps: number of steps.
        start: object -> x, y at the start, env frame [m].
    """

    trial: int
    num_steps: int
    start: dict[str, list[float]]


def read_kept_demos(path: Path, object_names: tuple[str, ...]) -> list[KeptDemo]:
    """Read the demos of a recording, from its store if it is unfinished, else from its file; empty if there is none.

    The store of a continued recording has the episodes of its new demos only; the earlier ones are in the file.

    Raises:
        MimicError: the store or the file is damaged.
    """
    written = _written_demos(path, object_names) if path.is_file() else []
    if store_path(path).exists():
        return _stored_demos(store_path(path), object_names, {demo.trial: demo for demo in written})
    return written


def _stored_demos(path: Path, object_names: tuple[str, ...], written: Mapping[int, KeptDemo]) -> list[KeptDemo]:
    kept = []
    with opened_store(path, "output_file", read_only=True) as store:
        fields = stored_fields(store.facts())
        starts = {name: [each for each in fields if each.path == _START.format(name)] for name in object_names}
        if "identity" not in store.facts():  # The session was killed before it began.
            return list(written.values())
        outcomes = store.outcomes()
        for trial in outcomes.trials[outcomes.success].tolist():
            episode = store.episode(trial)
            if episode is None and trial in written:
                kept.append(written[trial])
            elif episode is not None:
                start = {name: unpack(of_object, episode.rows) for name, of_object in starts.items()}
                positions = {name: next(iter(leaf.values()))[0, :2].tolist() for name, leaf in start.items() if leaf}
                num_steps = max(len(rows) for rows in episode.rows.values())
                kept.append(KeptDemo(trial, num_steps, _rounded(positions)))
    return kept


def _written_demos(path: Path, object_names: tuple[str, ...]) -> list[KeptDemo]:
    kept = []
    with open_hdf5(path) as file:
        for index, name in enumerate(demo_names(file)):
            demo = read_demo(file, name, ["actions", "initial_state"])
            paths = {each: _START.format(each) for each in object_names}
            positions = {each: demo.leaves[leaf][0, :2].tolist() for each, leaf in paths.items() if leaf in demo.leaves}
            kept.append(KeptDemo(int(demo.attributes.get("trial", index)), demo.num_steps, _rounded(positions)))
    return kept


def _rounded(positions: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: [round(value, 4) for value in position] for name, position in positions.items()}
