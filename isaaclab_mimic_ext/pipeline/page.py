"""The page about a pipeline's run: one HTML file that needs nothing but itself."""

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.config import PipelineCfg
from isaaclab_mimic_ext.datasets.hdf5 import DAMAGE, demo_names, open_hdf5
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.evaluate.intervals import wilson_interval
from isaaclab_mimic_ext.pipeline.bars import draw_counts, draw_rates
from isaaclab_mimic_ext.pipeline.curves import draw_curves
from isaaclab_mimic_ext.pipeline.steps import PipelineFolder
from isaaclab_mimic_ext.report.style import STYLE
from isaaclab_mimic_ext.train.metrics import read_metrics

_MORE_STYLE = """
main video, main img.picture { max-width: 100%; border-radius: 8px; margin: 10px 0; display: block; }
table.rows { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 8px 0 12px; }
main figure, main h3 { margin-top: 16px; }
table.rows th, table.rows td { text-align: left; padding: 4px 22px 4px 0; border-bottom: 1px solid #e3e8ed; }
"""
_MIME = {".mp4": "video/mp4", ".png": "image/png"}


def render_page(cfg: PipelineCfg, folder: PipelineFolder, seconds: Mapping[str, float | None]) -> str:
    """The page.

    Args:
        seconds: step -> how long it took; None: unknown.
    """
    stats, evaluation = _read(folder.generation / "important_stats.json"), _read(folder.evaluation / "evaluation.json")
    title = f"{cfg.task_name}: {cfg.num_sources} sources, {cfg.num_demos} demonstrations, {cfg.epochs} epochs"
    sections = [
        _heading(title, cfg, stats, evaluation),
        _sources(folder),
        _generation(folder, stats),
        _training(cfg, folder),
        _evaluation(folder, evaluation),
        _steps(seconds),
    ]
    head = f'<head><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}{_MORE_STYLE}</style></head>'
    return f'<!doctype html>\n<html lang="en">{head}\n<body><main>\n{"".join(sections)}\n</main></body></html>\n'


def _heading(title: str, cfg: PipelineCfg, stats: dict[str, Any], evaluation: dict[str, Any]) -> str:
    results = evaluation.get("checkpoints", [])
    successes, episodes = (sum(result[name] for result in results) for name in ("num_successes", "num_episodes"))
    low, high = wilson_interval(successes, episodes)
    figures = [
        (f"{100 * successes / max(episodes, 1):.1f} %", "policy success", f"95 %: {100 * low:.1f} to {100 * high:.1f}"),
        (f"{stats.get('success_rate', 0):.1f} %", "generation success", f"of {stats.get('num_attempts', 0)} trials"),
        (str(stats.get("num_success", 0)), "demonstrations", f"{stats.get('ep_length_mean', 0):.0f} steps each"),
        (str(len(cfg.seeds)), "training" + "s" * (len(cfg.seeds) > 1), f"{cfg.algo}, {cfg.epochs} epochs"),
    ]
    cells = "".join(
        f"<div class=figure><b>{escape(value)}</b><span>{escape(name)}</span><small>{escape(note)}</small></div>"
        for value, name, note in figures
    )
    return f"<header><h1>{escape(title)}</h1><div class=figures>{cells}</div></header>"


def _sources(folder: PipelineFolder) -> str:
    rows = []
    for name, path in (("recorded", folder.raw), ("annotated", folder.annotated)):
        lengths = _lengths(path)
        if lengths:
            rows.append((name, len(lengths), f"{sum(lengths) / len(lengths):.0f} ({min(lengths)} to {max(lengths)})"))
    table = _table(("source demonstrations", "number", "steps"), rows)
    return _section("Source demonstrations", "What the operator showed, and what of it could be cut into subtasks.", table)


def _generation(folder: PipelineFolder, stats: dict[str, Any]) -> str:
    rows = [
        ("trials", stats.get("num_attempts")),
        ("successful", stats.get("num_success")),
        ("steps of a demonstration", f"{stats.get('ep_length_mean', 0):.0f} ± {stats.get('ep_length_std', 0):.0f}"),
        *((f"failed: {reason}", count) for reason, count in stats.get("failures", {}).items()),
    ]
    media = _media(folder.generation / "scene.png", "The scene") + _media(
        folder.generation / "playback.mp4", "Demonstrations"
    )
    return _section("Generation", "What was made of the source demonstrations.", _table((), rows) + media)


def _training(cfg: PipelineCfg, folder: PipelineFolder) -> str:
    runs = {f"seed {seed}": read_metrics(folder.training(seed) / "metrics.csv") for seed in cfg.seeds}
    rows = [
        (name, metrics[-1]["epoch"], f"{float(metrics[-1]['train_loss']):.5f}", f"{float(metrics[-1]['valid_loss']):.5f}")
        for name, metrics in runs.items()
        if metrics
    ]
    table = _table(("training", "epochs", "loss", "on validation demos"), rows)
    explanation = (
        "Loss after each epoch, the squared distance between the policy's actions and the demonstrations', normalized: on "
        f"the demonstrations trained on (full{_of_mask(folder, 'train')}) and on those held back (dashed"
        f"{_of_mask(folder, 'valid')})."
    )
    return _section("Training", explanation, draw_curves(runs) + table)


def _evaluation(folder: PipelineFolder, evaluation: dict[str, Any]) -> str:
    rows, rates = [], []
    reasons: Counter[str] = Counter()
    for result in evaluation.get("checkpoints", []):
        length = result["mean_length_of_successes"]
        rates.append((result["name"], result["success_rate"], *result["interval"]))
        rows.append((result["name"], result["num_episodes"], result["num_successes"], f"{length:.0f}" if length else "-"))
        reasons.update(result["reasons"])
    content = draw_rates(rates) + _table(("checkpoint", "episodes", "successes", "steps of a success"), rows)
    if reasons:
        content += f"<h3>Why episodes failed</h3>{draw_counts(dict(reasons.most_common()))}"
    names = {result["name"].replace("/", "_"): result["name"] for result in evaluation.get("checkpoints", [])}
    for path in sorted((folder.evaluation / "videos").glob("*.mp4"), reverse=True):
        name, _, kind = path.stem.rpartition("_")
        content += _media(path, f"The first {kind} of {names.get(name, name)}")
    explanation = "On scenes that no demonstration was made in; lines across the bars' ends are 95 % intervals."
    return _section("Evaluation", explanation, content)


def _steps(seconds: Mapping[str, float | None]) -> str:
    rows = [(name, "-" if took is None else _duration(took)) for name, took in seconds.items()]
    return _section("Steps", "How long each took when it was last done.", _table(("step", "time"), rows))


def _section(title: str, explanation: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2><p class=explanation>{escape(explanation)}</p>{content}</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return ""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=wide><table class=rows>{f'<tr>{top}</tr>' if head else ''}{body}</table></div>"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _lengths(path: Path) -> list[int]:
    """Steps of each demonstration of a file; none where it cannot be read."""
    try:
        with open_hdf5(path) as file:
            return [len(file["data"][name]["actions"]) for name in demo_names(file)]
    except (SourceDataError, *DAMAGE):
        return []


def _of_mask(folder: PipelineFolder, name: str) -> str:
    """How many demonstrations a mask of the dataset names; nothing where it cannot be read."""
    try:
        with open_hdf5(folder.demos) as file:
            return f", {len(file['mask'][name])} demonstrations"
    except (SourceDataError, *DAMAGE):
        return ""


def _media(path: Path, caption: str) -> str:
    """A video or picture, whole in the page; nothing where it was not drawn."""
    if not path.is_file():
        return ""
    source = f"data:{_MIME[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
    tag = f'<video src="{source}" controls muted loop autoplay playsinline></video>'
    if path.suffix == ".png":
        tag = f'<img class=picture src="{source}" alt="{escape(caption)}">'
    return f"<figure><figcaption>{escape(caption)}</figcaption>{tag}</figure>"


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
