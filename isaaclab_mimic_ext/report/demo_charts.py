"""Charts of one demo over its steps: subtasks, signals and grippers; actions; positions of the hands and fingers."""

# T steps, A action entries, E end effectors. Sizes are in CSS pixels, y down.

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.envs.recorded_scene import eef_paths
from isaaclab_mimic_ext.report.charts import (
    CELL_INK,
    EMPTY,
    GOOD,
    INK,
    MUTED,
    PALETTE,
    SMALL,
    SUBTASK_COLORS,
    WIDTH,
    Canvas,
    add_legend,
    canvas,
    shorten,
)
from isaaclab_mimic_ext.report.demo_content import DemoContent, SubtaskSpan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT, _RIGHT, _ROW, _FOOT = 150.0, 90.0, 26.0, 42.0
_CLOSED = "#4a5560"
_LETTER = 6.5
"""Approximate width of a letter in a bar [px]."""
_PART_HEIGHT, _PART_GAP = 104.0, 18.0


def timeline(content: DemoContent) -> str:
    """Draw one row per end effector with its subtasks, per signal and per gripper, and return the SVG element."""
    eefs = list(dict.fromkeys(span.eef for span in content.spans))
    rows = [*eefs, *content.signals, *content.grippers]
    if not rows:
        return ""
    names = [
        *(f"subtasks: {eef}" if len(eefs) > 1 else "subtasks" for eef in eefs),
        *content.signals,
        *(f"gripper: {eef}" if len(content.grippers) > 1 else "gripper closes" for eef in content.grippers),
    ]
    height = _ROW * len(rows)
    with canvas(WIDTH, height + _FOOT) as board:
        axes = board.axes(_LEFT, 0, WIDTH - _LEFT - _RIGHT, height)
        axes.set(xlim=(0, content.num_steps), ylim=(len(rows) - 0.5, -0.5), yticks=range(len(rows)), xlabel="step")
        axes.set_yticklabels([shorten(name, 22) for name in names], color=INK)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for index, eef in enumerate(eefs):
            for span in [span for span in content.spans if span.eef == eef]:
                _draw_span(board, axes, index, span, (WIDTH - _LEFT - _RIGHT) / content.num_steps)
        for offset, (name, values) in enumerate(content.signals.items()):
            _draw_intervals(board, axes, len(eefs) + offset, name, values, GOOD)
        for offset, (name, values) in enumerate(content.grippers.items()):
            row = len(eefs) + len(content.signals) + offset
            _draw_intervals(board, axes, row, f"gripper of {name} closes", values, _CLOSED)
        axes.grid(axis="x")
        return board.svg("subtasks, signals and grippers over the steps")


def _draw_span(board: Canvas, axes: "Axes", row: int, span: SubtaskSpan, px_per_step: float) -> None:
    if span.end <= span.start:
        return
    name = span.signal or span.description or f"subtask {span.index + 1}"
    color = SUBTASK_COLORS[span.index % len(SUBTASK_COLORS)]
    bar = axes.barh(row, span.end - span.start, 0.78, span.start, color=color, edgecolor="white", linewidth=1.0)[0]
    source = f", from {span.source}" if span.source else ""
    board.add_tooltip(bar, f"{name}: steps {span.start} to {span.end - 1}{source}")
    room = int(((span.end - span.start) * px_per_step - 10) / _LETTER)
    full = f"{name} ({span.source})" if span.source else name
    text = full if len(full) <= room else name
    if room >= 4:
        axes.annotate(
            shorten(text, room), (span.start, row), (4, 0), textcoords="offset points", va="center_baseline",
            color=CELL_INK, size=SMALL,
        )  # fmt: skip


def _draw_intervals(board: Canvas, axes: "Axes", row: int, name: str, values: NDArray[np.bool_], color: str) -> None:
    """Draw the intervals in which a signal is true, on a pale line."""
    axes.barh(row, len(values), 0.3, 0, color=EMPTY)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], values, [False])).astype(int)))
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        bar = axes.barh(row, end - start, 0.5, start, color=color)[0]
        board.add_tooltip(bar, f"{name}: steps {start} to {end - 1}")


def action_chart(content: DemoContent) -> str:
    """Draw the actions over the steps, one part per kind of entry, and return the SVG element.

    If actions without noise are recorded, the actions with noise are thin pale lines.
    """
    actions, clean = content.demo.leaves["actions"], content.demo.leaves.get("actions_clean")
    clean = None if clean is None or clean.shape != actions.shape else clean
    parts = []
    for title, entries in _groups(content):
        lines = [
            (content.action_names[entry], actions[:, entry], None if clean is None else clean[:, entry]) for entry in entries
        ]
        parts.append((title, lines))
    return _line_parts(parts, content.num_steps, "actions over the steps")


def _groups(content: DemoContent) -> list[tuple[str, list[int]]]:
    """Title and entries of each part: translation, rotation and gripper of each arm; else all entries together."""
    names = content.action_names
    if names[:3] != ["x", "y", "z"]:
        return [("actions", list(range(len(names))))]
    eefs = [str(name) for name in content.env_args.get("eef_names", ())]
    groups = []
    for arm in range(len(names) // 7):
        prefix = f"{eefs[arm] if arm < len(eefs) else arm}: " if len(names) > 7 else ""
        first = 7 * arm
        groups += [(f"{prefix}translation", [first, first + 1, first + 2])]
        groups += [(f"{prefix}rotation", [first + 3, first + 4, first + 5]), (f"{prefix}gripper", [first + 6])]
    return groups


def motion_chart(content: DemoContent) -> str:
    """Draw the positions of hands and fingers over the steps and return the SVG element; empty without states."""
    if content.scene is None or content.task is None:
        return ""
    parts = []
    fingers = 1000 * content.scene.finger_pos.sum(-1).double().numpy()
    for index, (eef, path) in enumerate(zip(content.task.eef_names, eef_paths(content.scene), strict=True)):
        parts.append((f"{eef} [m]", [(name, path[:, axis], None) for axis, name in enumerate("xyz")]))
        parts.append((f"{eef}: fingers [mm]", [("opening", fingers[:, index], None)]))
    return _line_parts(parts, content.num_steps, "motion over the steps")


def _line_parts(parts: Sequence[tuple[str, list[Any]]], num_steps: int, label: str) -> str:
    height = (_PART_HEIGHT + _PART_GAP) * len(parts)
    with canvas(WIDTH, height + 30) as board:
        for index, (title, lines) in enumerate(parts):
            top = index * (_PART_HEIGHT + _PART_GAP) + 8
            axes = board.axes(_LEFT, top, WIDTH - _LEFT - _RIGHT, _PART_HEIGHT - 8)
            axes.set(xlim=(0, num_steps))
            handles = []
            for (_, values, clean), color in zip(lines, (GOOD, *PALETTE) * len(lines), strict=False):
                main = values if clean is None else clean
                handles += axes.plot(np.arange(len(main)), main, color=color, linewidth=1.4)
                if clean is not None:
                    axes.plot(np.arange(len(values)), values, color=color, linewidth=0.7, alpha=0.4, zorder=1.5)
            axes.locator_params(axis="y", nbins=4)
            axes.grid(True)
            axes.annotate(
                shorten(title, 22), (0, 0.5), (-0.75 * (_LEFT - 2), 0), xycoords="axes fraction",
                textcoords="offset points", va="center", color=INK,
            )  # fmt: skip
            if index < len(parts) - 1:
                axes.set_xticklabels([])
            else:
                axes.set_xlabel("step", color=MUTED)
            add_legend(
                axes, handles, [name for name, *_ in lines], loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=SMALL
            )
        return board.svg(label)
