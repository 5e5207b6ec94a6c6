"""Pictures of trials: segments in a source demo and in a generated demo, trials of a run, subtasks of two arms."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from demos import TASK, source_demo
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from themes import BAD, GOOD, OBJECT, SUBTASKS, Theme, in_both_themes, runs
from traces import Trace, trace_lanes, trace_trial

from isaaclab_mimic_ext.config.compose import load_task
from isaaclab_mimic_ext.task.definition import Task


def draw_segments() -> None:
    """Source demo and generated demo: the same segments, moved with their objects."""
    noise = [
        "+all_subtasks.action_noise=0",
        "datagen_config.generation_select_src_per_subtask=false",
        "datagen_config.seed=38",
    ]
    trace = trace_trial(f"task={TASK}", "sim=mujoco", *noise)
    task = load_task(TASK)
    pool, demo_id = trace.pool, int(trace.chosen[0, 0])
    demo = source_demo(pool.names[demo_id])
    ends = pool.subtask_ends[0, demo_id].tolist()
    source_subtask = np.searchsorted(ends, np.arange(demo.num_steps), side="right").clip(max=len(ends) - 1)

    def draw(theme: Theme) -> Figure:
        figure = Figure(figsize=(7.6, 3.55), layout="constrained")
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        _draw_scene(left, task, {name: pose[0] for name, pose in demo.object_pose.items()}, theme)
        _draw_path(left, demo.eef_pose["franka"][:, :3, 3], source_subtask, None, theme)
        left.set_title(f"source demo ({demo.name})", fontsize=11)
        _draw_scene(right, task, dict(zip(task.object_names, trace.object_pose[0], strict=True)), theme)
        _draw_path(right, trace.eef_pos[:, 0], trace.subtask[:, 0], trace.interpolates[:, 0], theme)
        right.set_title("generated demo", fontsize=11)
        names = [config.description for config in task.config.subtask_configs["franka"]]
        handles = [left.plot([], [], color=SUBTASKS[row], linewidth=3, label=name)[0] for row, name in enumerate(names)]
        dots = left.plot([], [], color=theme.ink, linestyle="none", marker=".", label="interpolation")
        figure.legend(handles=[*handles, *dots], loc="outside lower center", ncols=3, fontsize=9)
        return figure

    in_both_themes("segments", draw)


def _project(points: np.ndarray) -> np.ndarray:
    """Project points (..., 3), env frame [m], to the picture (..., 2): seen by the robot, from above at an angle."""
    return np.stack((-points[..., 1], 0.62 * points[..., 0] + 0.78 * points[..., 2]), axis=-1)


def _draw_scene(axes: Axes, task: Task, poses: dict[str, np.ndarray], theme: Theme) -> None:
    """Draw the bounding boxes of the objects."""
    for obj in sorted(task.objects, key=lambda each: -poses[each.name][0, 3]):
        signs = np.array([[(-1, -1), (1, -1), (1, 1), (-1, 1)]]).reshape(4, 2)
        color = BAD if obj.name == "ketchup" else theme.muted
        corners = []
        for side in (-1, 1):
            local = np.column_stack((signs, np.full(4, side))) * obj.box_half_size + obj.box_center
            corners.append(_project(local @ poses[obj.name][:3, :3].T + poses[obj.name][:3, 3]))
        for face in corners:
            axes.add_patch(Polygon(face, facecolor=color, alpha=0.18, edgecolor="none"))
            axes.add_patch(Polygon(face, facecolor="none", edgecolor=color, linewidth=1.1))
        for low, high in zip(*corners, strict=True):
            axes.plot(*np.stack((low, high), axis=-1), color=color, linewidth=1.1)
        outline = np.concatenate(corners)
        is_far = outline[:, 1].min() > 0.4  # The path is below objects at the far end of the table.
        edge, side = (outline[:, 1].max(), 1) if is_far else (outline[:, 1].min(), -1)
        axes.annotate(
            obj.name.replace("_", " "), (outline[:, 0].mean(), edge), (0, 3 * side), textcoords="offset points", ha="center",
            va="bottom" if is_far else "top", fontsize=8.5, color=theme.muted,
        )  # fmt: skip
    axes.set(aspect="equal", xlim=(-0.38, 0.44), ylim=(0.10, 0.66), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color(theme.line)


def _draw_path(axes: Axes, path: np.ndarray, subtask: np.ndarray, interpolates: np.ndarray | None, theme: Theme) -> None:
    """Draw the path of a hand (T, 3), colored by subtask."""
    points = _project(path)
    for start, end in runs(subtask):
        axes.plot(*points[start : end + 1].T, color=SUBTASKS[subtask[start]], linewidth=3, solid_capstyle="round")
    if interpolates is not None:
        axes.plot(*points[interpolates].T, color=theme.ink, linestyle="none", marker=".", markersize=5)
    axes.plot(*points[0], marker="o", color=theme.ink, markersize=5)
    axes.annotate("start", points[0], (7, 2), textcoords="offset points", fontsize=8.5, color=theme.ink)


def draw_trials() -> None:
    """Run with six environments: the steps of each trial, and its outcome."""
    settings = [
        "num_envs=6",
        "datagen_config.generation_num_trials=12",
        "datagen_config.seed=2",
        "datagen_config.max_num_failures=null",
    ]
    spans, committed = trace_lanes(f"task={TASK}", "sim=mujoco", "+all_subtasks.action_noise=0.2", *settings)

    def draw(theme: Theme) -> Figure:
        figure = Figure(figsize=(7.6, 3.1), layout="constrained")
        axes = figure.subplots()
        for span in spans:
            counts = span.has_ended and span.trial < committed
            color = (GOOD if span.success else BAD) if counts else OBJECT
            axes.add_patch(Rectangle((span.start + 1, span.env - 0.36), span.end - span.start - 2, 0.72, facecolor=color))
            label = f"trial {span.trial}" if span.end - span.start > 60 else str(span.trial)
            middle = (span.start + span.end) / 2
            axes.text(middle, span.env, label, ha="center", va="center", color="white", fontsize=9)
        last = max(span.end for span in spans)
        axes.set(xlim=(0, last), ylim=(5.6, -0.6), yticks=range(6), xlabel="step")
        axes.set_yticklabels([f"env {index}" for index in range(6)], color=theme.ink)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        names = {GOOD: "success: becomes a demo", BAD: "failed", OBJECT: "unfinished at the end: not part of the result"}
        used = {(GOOD if s.success else BAD) if s.has_ended and s.trial < committed else OBJECT for s in spans}
        patches = [Rectangle((0, 0), 1, 1, facecolor=color, label=text) for color, text in names.items() if color in used]
        figure.legend(handles=patches, loc="outside lower center", ncols=3, fontsize=9)
        return figure

    in_both_themes("trials", draw)


def draw_constraints() -> None:
    """Two arms: the subtasks of each end effector over the steps of a trial, with waiting, and the constraints."""
    trace = trace_trial("task=two_arm_lift_tray", "sim=mujoco", "datagen_config.seed=1")
    task = load_task("two_arm_lift_tray")

    def draw(theme: Theme) -> Figure:
        figure = Figure(figsize=(7.6, 2.9), layout="constrained")
        axes = figure.subplots()
        for row, eef_name in enumerate(task.eef_names):
            _draw_eef(axes, trace, row, [each.description for each in task.config.subtask_configs[eef_name]], theme)
        axes.set(xlim=(0, len(trace.subtask)), ylim=(1.75, -0.85), yticks=range(len(task.eef_names)), xlabel="step")
        axes.set_yticklabels(task.eef_names, color=theme.ink)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        for constraint in task.config.task_constraint_configs:
            _draw_constraint(axes, trace, task, constraint, theme)
        waits = Rectangle(
            (0, 0),
            1,
            1,
            facecolor="none",
            edgecolor=theme.ink,
            hatch="////",
            linewidth=0.6,
            label="waits, or holds at the end",
        )
        figure.legend(handles=[waits], loc="outside lower center", fontsize=9)
        return figure

    in_both_themes("constraints", draw)


def _draw_eef(axes: Axes, trace: Trace, row: int, names: Sequence[str], theme: Theme) -> None:
    for start, end in runs(trace.subtask[:, row]):
        index = int(trace.subtask[start, row])
        axes.add_patch(Rectangle((start, row - 0.3), end - start, 0.6, facecolor=SUBTASKS[index], edgecolor=theme.page))
        if end - start > 15:
            axes.text((start + end) / 2, row, str(index), ha="center", va="center", color="white", weight="bold", fontsize=9)
    idle = trace.waits[:, row] | ~trace.moves[:, row]
    for start, end in runs(idle):
        if idle[start] and end - start > 1:
            hatch = {"facecolor": "none", "edgecolor": theme.page, "hatch": "////", "linewidth": 0}
            axes.add_patch(Rectangle((start, row - 0.3), end - start, 0.6, **hatch))


def _draw_constraint(axes: Axes, trace: Trace, task: Task, constraint: Any, theme: Theme) -> None:
    (first, one), (second, other) = constraint.eef_subtask_constraint_tuple
    rows = [task.eef_names.index(name) for name in (first, second)]
    begins = [_first_step(trace, row, index) for row, index in zip(rows, (one, other), strict=True)]
    ends = [_last_step(trace, row, index) for row, index in zip(rows, (one, other), strict=True)]
    if constraint.constraint_type == "coordination":
        bracket = [min(begins) + 1, min(begins) + 1, max(ends) - 1, max(ends) - 1]
        axes.plot(bracket, [-0.38, -0.46, -0.46, -0.38], color=theme.ink, linewidth=1.2)
        axes.text((min(begins) + max(ends)) / 2, -0.52, "together", ha="center", va="bottom", fontsize=8.5, color=theme.ink)
        return
    arrow = {"arrowstyle": "-|>", "color": theme.ink, "linewidth": 1.3}
    axes.annotate("", (begins[1], rows[1] - 0.3), (ends[0], rows[0] + 0.3), arrowprops=arrow)
    axes.text(ends[0] + 4, 0.5, "first left, then right", va="center", fontsize=8.5, color=theme.ink)


def _first_step(trace: Trace, row: int, index: int) -> int:
    return int(np.flatnonzero((trace.subtask[:, row] == index) & trace.moves[:, row])[0])


def _last_step(trace: Trace, row: int, index: int) -> int:
    return int(np.flatnonzero(trace.subtask[:, row] == index)[-1])
