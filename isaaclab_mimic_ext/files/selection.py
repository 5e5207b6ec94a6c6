"""Demos of a file that a command uses: those that were chosen, without those that cannot be used."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from isaaclab_mimic_ext.errors import ConfigError, SourceDataError, choices
from isaaclab_mimic_ext.files.faults import DAMAGE, fault_of, is_of_machine, link_fault
from isaaclab_mimic_ext.files.hdf5 import datasets_below, demo_names, text_of
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

T = TypeVar("T")
Chosen = Sequence[str] | str | None
"""Choice of demos, see `choose_demos`."""
LEAVE_OUT = "leave out the demo (demos=-<name>)"
"""Remedy for a demo that cannot be used."""
_NUM_SHOWN = 5
"""Number of demos that are left out with a warning each; further ones are counted."""
_EXCEPT = "-"
"""Start of a name that excludes the demo or the demos of a mask."""


def read_masks(file: h5py.File) -> dict[str, list[str]]:
    """Return the masks of a file (robomimic's filter keys): name -> names of demos."""
    masks = file.get("mask")
    found = datasets_below(masks) if isinstance(masks, h5py.Group) else ()
    return {name: [text_of(each) for each in np.ravel(mask[()])] for name, mask in found if mask.shape is not None}


def choose_demos(path: str, names: Sequence[str], masks: Mapping[str, Sequence[str]], chosen: Chosen) -> list[str]:
    """Return the chosen demos of a file, in the order of `names`.

    Args:
        names: names of all demos.
        masks: name of a mask -> names of its demos.
        chosen: names of demos and of masks; with `-` in front, they are excluded. None or empty: all demos.

    Raises:
        ConfigError: a name is neither a demo nor a mask, or no demo is chosen.
    """
    words = [chosen] if isinstance(chosen, str) else [str(word) for word in chosen or ()]

    def expanded(words: Iterable[str]) -> set[str]:
        return {demo for word in words for demo in _named(path, word, names, masks)}

    included = [word for word in words if not word.startswith(_EXCEPT)]
    excluded = expanded(word[1:] for word in words if word.startswith(_EXCEPT))
    wanted = (expanded(included) if included else {*names}) - excluded
    if words and not wanted & {*names}:
        raise ConfigError(f"demos: must choose at least one demo of {path} (got {', '.join(words)})")
    return [name for name in names if name in wanted]


def _named(path: str, word: str, names: Sequence[str], masks: Mapping[str, Sequence[str]]) -> Sequence[str]:
    if word in names:
        return [word]
    if word in masks:
        return masks[word]
    raise ConfigError(f"demos: '{word}' is neither a demo nor a mask of {path}; {choices(word, [*masks, *names][:20])}")


def usable_demos(file: h5py.File, chosen: Chosen = None, is_quiet: bool = False) -> list[str]:
    """Return the chosen demos of a file that have actions, in natural order; the others are left out with a warning.

    Args:
        chosen: see `choose_demos`.
        is_quiet: do not warn: the command has warned before.

    Raises:
        ConfigError: a chosen name is not in the file.
        SourceDataError: the file has no demos, or none of the chosen demos has actions.
    """
    path = str(file.filename)
    left_out = LeftOut(path, is_quiet)
    names = choose_demos(path, demo_names(file), read_masks(file), chosen)
    return [name for name, _ in left_out.usable(names, lambda name: check_has_actions(file, name))]


def check_has_actions(file: h5py.File, name: str) -> None:
    """Check that a group of `data` is a demo.

    Raises:
        SourceDataError: it is a link without a target, or has no actions.
    """
    data = file["data"]
    if link := link_fault(data, name):
        raise SourceDataError(f"{file.filename}: {name}: {link}")
    actions = data[name].get("actions")
    if not isinstance(actions, h5py.Dataset) or not actions.shape or not actions.shape[0]:
        what = "is not a demo" if not name.startswith("demo") else "has no steps"
        found = f"{what}: dataset 'actions' not found or empty"
        raise SourceDataError(f"{file.filename}: {name}: {found}; record the demo again, or leave it out (demos=-{name})")


@dataclass
class LeftOut:
    """Demos of a file that cannot be used. Each costs only itself; if no demo is left, the first fault is the error.

    Attributes:
        path: the file, for messages.
        is_quiet: do not warn.
        faults: name of a demo -> reason.
        num_used: number of demos that could be read.
    """

    path: str
    is_quiet: bool = False
    faults: dict[str, str] = field(default_factory=dict)
    num_used: int = 0
    _first: Exception | None = None
    _num_reported: int = 0

    def usable(self, names: Iterable[str], read: Callable[[str], T], is_last: bool = True) -> Iterator[tuple[str, T]]:
        """Yield name and result of `read` of each demo that can be read.

        Args:
            is_last: no further names follow in another call.

        Raises:
            SourceDataError: no demo can be read.
            OSError, MemoryError: the machine is the cause, not a demo.
        """
        for name in names:
            try:
                result = read(name)
            except (SourceDataError, *DAMAGE) as error:
                if is_of_machine(error):
                    raise
                self._add(name, error)
                continue
            self.num_used += 1
            self._report()
            yield name, result
        if not is_last:
            return
        if not self.num_used and self._first is not None:
            raise self._error() from self._first
        self._report()
        if len(self.faults) > _NUM_SHOWN and not self.is_quiet:
            log.warning("%s: %s left out in all", self.path, counted(len(self.faults), "demo is", "demos are"))

    def _add(self, name: str, error: Exception) -> None:
        self._first = self._first or error
        text = str(error) if isinstance(error, SourceDataError) else fault_of(Path(self.path), error)
        reason, separator, remedy = text.removeprefix(f"{self.path}: ").removeprefix(f"{name}: ").partition("; ")
        self.faults[name] = reason if "leave" in remedy else f"{reason}{separator}{remedy}"

    def _report(self) -> None:
        """Warn about faults that were found. As long as no demo can be used, they are kept: they may be one error."""
        for name, fault in [*self.faults.items()][self._num_reported : _NUM_SHOWN]:
            if not self.is_quiet:
                log.warning("%s: %s is left out: %s", self.path, name, fault)
        self._num_reported = len(self.faults)

    def _error(self) -> Exception:
        several = len(self.faults) > 1
        number = f" (none of the {counted(len(self.faults), 'demo')} can be used)" if several else ""
        if not isinstance(self._first, SourceDataError):
            name, fault = next(iter(self.faults.items()))
            return SourceDataError(f"{self.path}: {name}: {fault}{number}")
        return SourceDataError(f"{self._first}{number}", self._first.step)
