"""Demos that pages have opened: what is known about each, until it is displaced by others."""

# T steps of a demo

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from isaaclab_mimic_ext.config import SubTaskBoundsCfg
from isaaclab_mimic_ext.datasets.annotate import INFO, Annotation, ReplayedDemo, find_boundaries
from isaaclab_mimic_ext.datasets.marks import KINDS, DemoMarks, SignalToMark, signals_to_mark
from isaaclab_mimic_ext.demos.boundaries import rising_steps
from isaaclab_mimic_ext.studio.demo_views import DemoView, encode_image, hand_speeds
from isaaclab_mimic_ext.studio.mark_jobs import MarkSettings
from isaaclab_mimic_ext.studio.recorded_demos import RecordedDemo
from isaaclab_mimic_ext.studio.tabs import Resource

_MAX_SIZE = 40
"""Number of demos that are kept in memory; a demo with images counts as `_SIZE_WITH_IMAGES`."""
_SIZE_WITH_IMAGES = 10

Steps = dict[str, dict[str, int]]


@dataclass
class OpenedDemo:
    """A demo that was opened.

    Attributes:
        demo: entry of the list of demos.
        gripper: end effector -> steps in which the gripper command closes, [first, last + 1].
        is_replayed: whether its signals are those of a replay.
        replay: `running`, `done` or `failed`.
        note: reason why it cannot be replayed; empty if it can.
        annotation: boundaries that its marks give; None without a replay.
        to_mark: reason why the marks give no boundaries, in words of the page; empty for all other reasons.
        findings: findings of the doctor, values of JSON; None while they are computed.
    """

    demo: RecordedDemo
    view: DemoView
    gripper: dict[str, list[list[int]]]
    is_replayed: bool = True
    replay: str = "running"
    note: str = ""
    replayed: ReplayedDemo | None = None
    annotation: Annotation | None = None
    to_mark: str = ""
    findings: list[dict[str, Any]] | None = None

    @property
    def size(self) -> int:
        """Size in memory, compared with a demo without images."""
        return _SIZE_WITH_IMAGES if self.view.images else 1

    @property
    def verdict(self) -> dict[str, Any] | None:
        """Result of an annotation with the present marks; None while it is not known."""
        if self.annotation is None:
            return None
        rejection = self.annotation.rejection
        text = (rejection or "").removeprefix(f"{self.demo.name}: ")
        return {
            "is_good": rejection is None,
            "text": self.to_mark or text,
            "was_replayed": self.is_replayed and self.replay == "done",
        }


class OpenedDemos:
    """Demos that pages have opened, the latest last. Methods may be called from any thread.

    Args:
        marks_of: returns the marks of a demo.
        step_dt: duration of a step [s].
        can_replay: whether demos are replayed; else, signals are computed from states.
    """

    def __init__(
        self, settings: MarkSettings, marks_of: Callable[[str], DemoMarks], step_dt: float, can_replay: bool = True
    ):
        self._settings, self._marks_of, self._step_dt, self._can_replay = settings, marks_of, step_dt, can_replay
        self._lock = threading.RLock()
        self._opened: OrderedDict[str, OpenedDemo] = OrderedDict()
        self._unread: set[str] = set()

    @property
    def names(self) -> list[str]:
        """Names of all opened demos."""
        with self._lock:
            return list(self._opened)

    def add(self, demo: RecordedDemo, view: DemoView, gripper: dict[str, list[list[int]]]) -> None:
        """Keep a demo that was read. The oldest ones are displaced."""
        has_failed = bool(view.reason) and not demo.num_steps
        with self._lock:
            self._unread.discard(demo.name)
            self._opened[demo.name] = OpenedDemo(
                demo, view, gripper, self._can_replay, "failed" if has_failed else "running"
            )
            self._opened.move_to_end(demo.name)
            while len(self._opened) > 1 and sum(each.size for each in self._opened.values()) > _MAX_SIZE:
                self._opened.popitem(last=False)

    def fail(self, demo: RecordedDemo, reason: str) -> None:
        """Keep a demo that cannot be read, for display."""
        with self._lock:
            self._unread.add(demo.name)
            self._opened[demo.name] = OpenedDemo(demo, DemoView(reason=reason), {}, False, "failed", reason)

    def touch(self, name: str) -> bool:
        """Mark a demo as used; return whether it is kept. A demo that could not be read is read again."""
        with self._lock:
            if name in self._unread:
                return False
            if name in self._opened:
                self._opened.move_to_end(name)
            return name in self._opened

    def forget_changed(self, demos: Mapping[str, RecordedDemo]) -> None:
        """Forget demos that are no longer in the recording, or differ from those that were opened."""
        with self._lock:
            for name, opened in list(self._opened.items()):
                if name not in demos or demos[name].actions != opened.demo.actions:
                    del self._opened[name]

    def note_replay(self, name: str, replayed: ReplayedDemo | None, note: str) -> None:
        """Note the replay of a demo, or the reason why it cannot be replayed."""
        with self._lock:
            if (opened := self._opened.get(name)) is not None:
                opened.replay, opened.note, opened.replayed = "failed" if note else "done", note, replayed

    def judge(self, name: str) -> Annotation | None:
        """Find the boundaries that the present marks of a demo give; None if that is not possible."""
        with self._lock:
            opened = self._opened.get(name)
            if opened is None or (replayed := opened.replayed) is None:
                return None
            settings = self._settings
            if not settings.auto:
                info = {path: leaf for path, leaf in replayed.info.items() if "_signals/" not in path}
                replayed = replace(replayed, info=info)
            marks = self._marks_of(name)
            opened.annotation = find_boundaries(replayed, settings.config.subtask_configs, settings.source({name: marks}))
            opened.to_mark = self._to_mark(replayed, marks) if opened.annotation.rejection is not None else ""
            opened.findings = None
            return opened.annotation

    def note_findings(self, annotation: Annotation, findings: list[dict[str, Any]]) -> None:
        """Note the findings of a demo, unless its marks have changed since."""
        with self._lock:
            opened = self._opened.get(annotation.demo.name)
            if opened is not None and opened.annotation is annotation:
                opened.findings = findings

    def verdict(self, name: str) -> dict[str, Any] | None:
        """Result of an annotation of a demo; None while it is not known."""
        with self._lock:
            opened = self._opened.get(name)
            return None if opened is None else opened.verdict

    def event(self, name: str) -> dict[str, Any] | None:
        """Everything about a demo that a page shows, as JSON; None if it is not kept."""
        with self._lock:
            if (opened := self._opened.get(name)) is None:
                return None
            replayed = opened.replayed
            return {
                "event": "demo",
                "demo": name,
                "num_steps": opened.demo.num_steps,
                "actions": opened.demo.actions,
                "has_poses": opened.view.poses is not None,
                "cameras": sorted(opened.view.images),
                "reason": opened.view.reason,
                "gripper": opened.gripper,
                "speeds": {} if replayed is None else hand_speeds(replayed.info, self._step_dt),
                "suggestions": {kind: {} for kind in KINDS}
                if replayed is None
                else self._suggestions(replayed, self._marks_of(name)),
                "replay": opened.replay,
                "note": opened.note,
                "verdict": opened.verdict,
                "findings": opened.findings,
            }

    def _suggestions(self, replayed: ReplayedDemo, marks: DemoMarks) -> Steps:
        """Steps at which the signals of the task rise, each after the boundary before it, by kind and name."""
        found: Steps = {kind: {} for kind in KINDS}
        for signals in self._signals():
            earliest = 0
            for signal in signals:
                rises = [step for step in _rises(replayed, signal) if step >= earliest]
                if rises:
                    found[signal.kind][signal.name] = rises[0]
                step = signal.step(marks)
                if step is not None or rises:
                    earliest = (rises[0] if step is None else step) + (signal.kind == "term")
        return found

    def _signals(self) -> list[tuple[SignalToMark, ...]]:
        """Signals of each end effector in the order of their steps."""
        subtasks, with_starts = self._settings.config.subtask_configs, self._settings.with_starts
        return [signals_to_mark(of_eef, with_starts) for of_eef in subtasks.values()]

    def _to_mark(self, replayed: ReplayedDemo, marks: DemoMarks) -> str:
        """First boundary that is missing, out of order or too near to the one before, and what to do; empty if none is."""
        suggested = self._suggestions(replayed, marks) if self._settings.auto else {kind: {} for kind in KINDS}
        subtask_configs: Mapping[str, Sequence[SubTaskBoundsCfg]] = self._settings.config.subtask_configs
        for subtasks, signals in zip(subtask_configs.values(), self._signals(), strict=True):
            offsets = {each.subtask_term_signal: each.subtask_term_offset_range for each in subtasks}
            before: tuple[SignalToMark, int] | None = None
            for signal in signals:
                step = signal.step(marks)
                step = suggested[signal.kind].get(signal.name) if step is None else step
                if step is None:
                    return f"{signal.boundary} is not known; go to its step, and mark it"
                if before is not None and (fault := _distance_fault(*before, signal, step, offsets)):
                    return fault
                before = signal, step
        return ""

    def resource(self, path: tuple[str, ...]) -> Resource | None:
        """Poses (`poses/<demo>`) or an image (`image/<demo>/<camera>/<step>`) of an opened demo."""
        with self._lock:
            opened = self._opened.get(path[1]) if len(path) > 1 else None
        if opened is None:
            return None
        poses, images = opened.view.poses, opened.view.images
        if path[0] == "poses" and len(path) == 2 and poses is not None:
            return Resource(poses.astype("<f4").tobytes())
        if path[0] == "image" and len(path) == 4 and path[2] in images and path[3].isdecimal():
            index = int(path[3][:9])
            if index < len(images[path[2]]):
                return Resource(encode_image(images[path[2]][index]), "image/jpeg")
        return None


def _distance_fault(
    before: SignalToMark, from_step: int, signal: SignalToMark, step: int, offsets: Mapping[str | None, Sequence[int]]
) -> str:
    """Fault of two boundaries that are out of order, or so near that random offsets leave no steps between them."""
    earlier = f"{before.boundary} (step {from_step})"
    if step < from_step + (before.kind == "term"):
        return f"{signal.boundary} (step {step}) is before {earlier}; move one of them"
    if before.kind != "term" or signal.kind != "term":
        return ""
    least = offsets[before.name][1] - offsets[signal.name][0] + 1
    if step - from_step >= least:
        return ""
    reason = f"must be at least {least} steps after {earlier}, because generation moves both at random"
    return f"{signal.boundary} (step {step}) {reason}; move one of them"


def _rises(replayed: ReplayedDemo, signal: SignalToMark) -> list[int]:
    """Steps at which a signal rises and may be marked, ascending."""
    values = replayed.info.get(f"{INFO}/subtask_{signal.kind}_signals/{signal.name}")
    if values is None:
        return []
    values = np.asarray(values, bool)
    if signal.kind == "start":
        return [*([0] if values[0] else []), *rising_steps(values).tolist()]
    return [step for step in rising_steps(values).tolist() if step + 1 < len(values)]
