"""The page about a pipeline's run: one HTML file that needs nothing but itself."""

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.config import PipelineCfg
from isaaclab_mimic_ext.evaluate.intervals import wilson_interval
from isaaclab_mimic_ext.pipeline.curves import draw_curves
from isaaclab_mimic_ext.pipeline.steps import PipelineFolder
from isaaclab_mimic_ext.report.style import STYLE
from isaaclab_mimic_ext.train.metrics import read_metrics

_MORE_STYLE = """
main video, main img.picture { max-width: 100%; border-radius: 8px; margin: 10px 0; display: block; }
table.rows { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 8px 0 12px; }
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
        (str(len(cfg.seeds)), "trainings", f"{cfg.algo}, {cfg.epochs} epochs"),
    ]
    cells = "".join(
        f"<div class=figure><b>{escape(value)}</b><span>{escape(name)}</span><small>{escape(note)}</small></div>"
        for value, name, note in figures
    )
    return f"<header><h1>{escape(title)}</h1><div class=figures>{cells}</div></header>"


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
        "Loss after each epoch on the training demonstrations (full) and on the validation demonstrations (dashed)."
    )
    return _section("Training", explanation, draw_curves(runs) + table)


def _evaluation(folder: PipelineFolder, evaluation: dict[str, Any]) -> str:
    rows = []
    reasons: Counter[str] = Counter()
    for result in evaluation.get("checkpoints", []):
        low, high = result["interval"]
        length = result["mean_length_of_successes"]
        rate = f"{100 * result['success_rate']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
        rows.append((result["name"], result["num_episodes"], rate, f"{length:.0f}" if length else "-"))
        reasons.update(result["reasons"])
    content = _table(("checkpoint", "episodes", "success", "steps of a success"), rows)
    content += _table(("why episodes failed", "episodes"), reasons.most_common())
    for path in sorted((folder.evaluation / "videos").glob("*.mp4")):
        content += _media(path, "Successes" if path.stem.endswith("successes") else "Failures")
    explanation = "On scenes that no demonstration was made in; intervals hold with 95 % confidence."
    return _section("Evaluation", explanation, content)


def _steps(seconds: Mapping[str, float | None]) -> str:
    rows = [(name, "-" if took is None else f"{took:.0f} s") for name, took in seconds.items()]
    return _section("Steps", "How long each took when it was last done.", _table(("step", "time"), rows))


def _section(title: str, explanation: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2><p class=explanation>{escape(explanation)}</p>{content}</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return ""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table class=rows>{f'<tr>{top}</tr>' if head else ''}{body}</table>"


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
