"""Pictures of a source demo: its signals and subtasks, and photographs of its steps."""

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from themes import SUBTASKS, Theme, in_both_themes, write_photo

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config.compose import load_task
from isaaclab_mimic_ext.config.hydra import conf_dir
from isaaclab_mimic_ext.demos.boundaries import subtask_ends
from isaaclab_mimic_ext.demos.source import SourceDemo, load_source_demos
from isaaclab_mimic_ext.envs.rendering import Renderer
from isaaclab_mimic_ext.task.definition import Task

TASK = "desktop_organizer"


def source_demo(name: str = "demo_0") -> SourceDemo:
    """Return a source demo of the desktop organizer."""
    task = load_task(TASK)
    path = conf_dir().parent / "tasks" / TASK / "data" / "source_demos.hdf5"
    demos = load_source_demos(path, task.eef_names, task.object_names, task.signal_names, 7)
    return next(demo for demo in demos if demo.name == name)


def draw_signals() -> None:
    """Source demo: height of the hand, signals, and the subtasks that they end."""
    demo, task = source_demo(), load_task(TASK)
    configs = task.config.subtask_configs["franka"]
    ends = subtask_ends(demo, [config.subtask_term_signal for config in configs])
    spans = list(zip([0, *ends[:-1]], ends, strict=True))

    def draw(theme: Theme) -> Figure:
        figure = Figure(figsize=(7.6, 3.9), layout="constrained")
        top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(2.2, 2.4, 0.7))
        top.plot(100 * demo.eef_pose["franka"][:, 2, 3], color=theme.ink, linewidth=1.6)
        top.set_ylabel("hand [cm]\nabove table")
        is_closed = demo.actions[:, -1] < 0
        _strip(top, is_closed, 0.0, 1.6, theme.muted)
        top.text(int(np.flatnonzero(is_closed)[0]) + 3, 2.4, "gripper closed", color=theme.muted, fontsize=8.5)
        for row, (config, (_, end)) in enumerate(zip(configs, spans, strict=True)):
            signal = config.subtask_term_signal
            _strip(middle, demo.subtask_term_signals[signal], 3 - row - 0.3, 0.6, SUBTASKS[row])
            if row < len(configs) - 1:
                for axes in (top, middle, bottom):
                    axes.axvline(end, color=SUBTASKS[row], linewidth=1.2, linestyle=(0, (4, 2)))
        middle.set(yticks=range(4), ylim=(-0.6, 3.6), ylabel="signals")
        middle.set_yticklabels([config.subtask_term_signal for config in reversed(configs)], color=theme.ink)
        for row, (start, end) in enumerate(spans):
            bottom.add_patch(Rectangle((start, 0), end - start, 1, facecolor=SUBTASKS[row]))
            label = str(row)
            bottom.text((start + end) / 2, 0.5, label, ha="center", va="center", color="white", fontsize=9, weight="bold")
        bottom.set(yticks=[], ylim=(0, 1), xlim=(0, demo.num_steps), xlabel="step")
        bottom.set_ylabel("subtasks", rotation=0, ha="right", va="center")
        for axes in (top, middle, bottom):
            axes.spines[["top", "right"]].set_visible(False)
        return figure

    in_both_themes("signals", draw)
    frames = [(start + end) // 2 if index else start + 4 for index, (start, end) in enumerate(spans)]
    write_photo("source_demo", _frames_of_file(task, demo.name, [*frames, demo.num_steps - 1]))


def _strip(axes: Axes, values: np.ndarray, y: float, height: float, color: str) -> None:
    """Draw where a row of booleans is true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], values, [False])).astype(int)))
    for start, end in edges.reshape(-1, 2):
        axes.add_patch(Rectangle((start, y), end - start, height, facecolor=color, linewidth=0))


def _frames_of_file(task: Task, name: str, steps: Sequence[int]) -> np.ndarray:
    """Pictures of a source demo side by side, from the states in its file."""
    path = conf_dir().parent / "tasks" / task.name / "data" / "source_demos.hdf5"
    with h5py.File(path) as file, Renderer(task, 560, 480) as renderer:
        states = trees.unflatten({key: value[()] for key, value in _leaves(file[f"data/{name}/states"])})
        return np.hstack([renderer.frame(trees.take(states, step))[60:420, 90:470] for step in steps])


def _leaves(group: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    group.visititems(lambda key, value: found.append((key, value)) if isinstance(value, h5py.Dataset) else None)
    return found
