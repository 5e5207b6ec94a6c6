"""Page of one demo: frames, subtasks, signals, actions, and the facts that the file records about it."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.playback import TileOptions, add_eef_paths, demos_view, open_renderer
from isaaclab_mimic_ext.envs.tabletop import STEP_DT
from isaaclab_mimic_ext.errors import MimicError, OutputError
from isaaclab_mimic_ext.files.writing import check_output, created_folder, write_text
from isaaclab_mimic_ext.report.demo_charts import action_chart, motion_chart, timeline
from isaaclab_mimic_ext.report.demo_content import DemoContent, read_content
from isaaclab_mimic_ext.report.pages import render
from isaaclab_mimic_ext.report.pictures import jpeg

log = logging.getLogger(__name__)

_TILES = TileOptions(320, 240)
_MAX_FRAMES = 12
_MAX_VALUE = 120
"""Largest length of the text of an attribute [characters]."""


@dataclass(frozen=True)
class ShownDemo:
    """The page of a demo.

    Attributes:
        path: the HTML file.
        demo: name of the demo.
        num_steps: number of its steps.
        missing: what the file does not contain.
    """

    path: Path
    demo: str
    num_steps: int
    missing: tuple[str, ...]


def show_demo(
    input_file: str | Path,
    demo: str | None = None,
    output_file: str | Path | None = None,
    *,
    pictures: bool = True,
    overwrite: bool = False,
) -> ShownDemo:
    """Write a page about one demo: frames at the ends of its subtasks, signals, actions, source demos, trial and seed.

    Args:
        input_file: dataset, annotated source demos, or recorded demos.
        demo: name of the demo; None: the first one that can be read.
        output_file: file of the page; None: `<input_file>_<demo>.html` next to the file.
        pictures: draw frames.
        overwrite: replace an existing page.

    Raises:
        ConfigError: the file does not contain the demo.
        SourceDataError: the file is missing, or the demo is damaged.
        OutputError: the page exists (without `overwrite`), or cannot be written.
    """
    if output_file is not None:
        check_output(Path(output_file), overwrite)
    content = read_content(input_file, demo)
    path = Path(output_file or page_path(content.path, content.demo.name))
    check_output(path, overwrite)
    frames = _frames(content) if pictures else []
    page = render(
        "demo.html",
        title=f"{content.demo.name} of {content.path.name}",
        state=_state(content),
        figures=_figures(content),
        frames=frames,
        spans=_rows(content),
        has_sources=any(span.source for span in content.spans),
        has_clean="actions_clean" in content.demo.leaves,
        timeline=timeline(content),
        actions=action_chart(content),
        motion=motion_chart(content),
        missing=content.missing,
        facts=_facts(content),
        leaves=[(name, f"{leaf.shape} {leaf.dtype}") for name, leaf in content.demo.leaves.items()],
    )
    with created_folder(path.parent, "output_file", kind=OutputError):
        write_text(path, page, "output_file", "use a writable folder", OutputError)
    return ShownDemo(path, content.demo.name, content.num_steps, tuple(content.missing))


def page_path(input_file: str | Path, demo: str) -> Path:
    """Default path of the page of a demo."""
    path = Path(input_file)
    return path.with_name(f"{path.stem}_{demo}.html")


def _state(content: DemoContent) -> str:
    success = content.demo.success
    return "success not recorded" if success is None else "succeeded" if success else "failed"


def _figures(content: DemoContent) -> list[tuple[str, str, str]]:
    """Figures at the top of the page: (value, name, note)."""
    attributes, seconds = content.demo.attributes, f"{content.num_steps * STEP_DT:.1f} s" if content.task else ""
    figures = [(str(content.num_steps), "steps", seconds)]
    figures += [(str(attributes[name]), name, "") for name in ("trial", "seed") if name in attributes]
    if content.sources:
        names = ", ".join(content.sources)
        figures.append((str(len(content.sources)), "source demos" if len(content.sources) > 1 else "source demo", names))
    if content.task is not None:
        figures.append((content.task.preset or content.task.name, "task", str(content.env_args.get("engine", ""))))
    return figures


def _frames(content: DemoContent) -> list[dict[str, Any]]:
    """Frames at the start, at the ends of subtasks, and at the end; empty if they cannot be drawn."""
    if content.task is None or content.states is None or content.scene is None:
        return []
    try:
        view = demos_view(content.task, [content.scene], _TILES)
        with open_renderer(content.task, _TILES, view) as renderer:
            frames = []
            for moment in content.moments()[:_MAX_FRAMES]:
                frame = renderer.frame(trees.take(content.states, moment.step))
                frame = add_eef_paths(frame, view, content.scene, moment.step)
                frames.append({"name": moment.name, "step": moment.step, "jpeg": jpeg(frame)})
            return frames
    except MimicError as error:  # The page is also useful without frames.
        log.warning("Frames were not drawn: %s", error)
        content.missing.append(f"No frames: {error}.")
        return []


def _rows(content: DemoContent) -> list[tuple[Any, ...]]:
    """Rows of the table of subtasks; the last column is the source demo, where one is recorded."""
    rows = []
    for span in content.spans:
        place = (span.eef, span.description or f"subtask {span.index + 1}", span.object_ref or "-")
        steps = (span.signal or "end of the demo", span.start, max(span.end - 1, span.start))
        rows.append((*place, *steps, *([span.source] if span.source else [])))
    return rows


def _facts(content: DemoContent) -> list[tuple[str, str]]:
    """Attributes of the demo as text."""
    facts = []
    for name, value in content.demo.attributes.items():
        text = value.decode(errors="replace") if isinstance(value, bytes) else " ".join(str(value).split())
        facts.append((name, text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}..."))
    return facts
