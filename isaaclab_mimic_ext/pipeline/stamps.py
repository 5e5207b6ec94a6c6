"""Which steps are up to date: what each was run with, and what its outputs were then."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py

from isaaclab_mimic_ext import __version__
from isaaclab_mimic_ext.datasets.hdf5 import DAMAGE, text_of
from isaaclab_mimic_ext.files.writing import write_json
from isaaclab_mimic_ext.pipeline.steps import Step

_BLOCK = 2**20


class Stamps:
    """The stamps of a pipeline's steps, in a file."""

    def __init__(self, path: Path):
        self._path = path
        try:
            self._stamps: dict[str, dict[str, Any]] = json.loads(path.read_text())
        except (OSError, ValueError):
            self._stamps = {}  # Without stamps nothing is up to date.

    def is_done(self, step: Step, signature: str) -> bool:
        """Whether a step was finished with this signature, and its outputs are what they were then."""
        stamp = self._stamps.get(step.name, {})
        return bool(stamp.get("done")) and stamp["signature"] == signature and stamp["outputs"] == fingerprints(step)

    def was_begun(self, step: Step, signature: str) -> bool:
        """Whether what is there of a step was begun with this signature."""
        return self._stamps.get(step.name, {}).get("signature") == signature

    def begin(self, step: Step, signature: str) -> None:
        self._stamps[step.name] = {"signature": signature, "done": False}
        self._write()

    def finish(self, step: Step, signature: str, seconds: float) -> None:
        earlier = self._stamps.get(step.name, {}).get("seconds", 0.0)
        outputs = fingerprints(step)
        self._stamps[step.name] = {
            "signature": signature, "done": True, "outputs": outputs, "seconds": earlier + seconds,
        }  # fmt: skip
        self._write()

    def seconds(self, step: Step) -> float | None:
        """How long a step took."""
        return self._stamps.get(step.name, {}).get("seconds")

    def _write(self) -> None:
        write_json(self._path, self._stamps)


def signatures(steps: Sequence[Step]) -> dict[str, str]:
    """Step -> a digest of all that decides its result: its command line, those of the steps before it, our version."""
    found: dict[str, str] = {}
    shared = __version__
    for step in steps:
        own = hashlib.sha256(json.dumps([shared, step.script, *step.arguments]).encode()).hexdigest()
        found[step.name] = own
        # Trainings stand beside each other: one does not follow from another.
        shared = shared if step.kind == "train" else own
    trainings = [found[step.name] for step in steps if step.kind == "train"]
    last = steps[-1].name
    found[last] = hashlib.sha256(json.dumps([found[last], *trainings]).encode()).hexdigest()
    return found


def fingerprints(step: Step) -> dict[str, str | None]:
    """Output -> digest of its content; None where it is not there.

    A dataset is known by the digests that its writer left in the demos; its masks count for the step that writes them.
    """
    return {str(path.name): _fingerprint(path, step.kind == "split") for path in step.outputs}


def _fingerprint(path: Path, with_masks: bool) -> str | None:
    if not path.is_file():
        return None
    if path.suffix == ".hdf5":
        digest = _of_dataset(path, with_masks)
        if digest is not None:
            return digest
    content = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            content.update(block)
    return content.hexdigest()


def _of_dataset(path: Path, with_masks: bool) -> str | None:
    try:
        with h5py.File(path) as file:
            demos: Mapping[str, Any] = file["data"]
            digests: list[Any] = [text_of(demos[name].attrs["digest"]) for name in sorted(demos)]
            if with_masks:
                digests.append({name: [text_of(each) for each in file["mask"][name][()]] for name in sorted(file["mask"])})
    except DAMAGE:
        return None
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()
