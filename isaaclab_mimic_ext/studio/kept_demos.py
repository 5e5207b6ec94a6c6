"""Demos that a recording has kept, for display."""

from dataclasses import dataclass
from pathlib import Path

from isaaclab_mimic_ext.studio.recorded_demos import RecordedDemos


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
    """Read the demos of a recording, unfinished or finished; empty if there is none.

    Raises:
        MimicError: the store or the file is damaged.
    """
    demos = RecordedDemos(path)
    demos.update()
    return [
        KeptDemo(demo.trial, demo.num_steps, {name: demo.start[name] for name in object_names if name in demo.start})
        for demo in demos.demos.values()
        if not demo.fault
    ]
