"""Folder of a pipeline, and its report: one HTML page about its demos, training runs and evaluation."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.config import PipelineCfg
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.faults import DAMAGE
from isaaclab_mimic_ext.files.folder import OutputFile, OutputFolder
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.files.lock import FolderLock
from isaaclab_mimic_ext.learn.results import wilson_interval
from isaaclab_mimic_ext.learn.trainer import read_metrics
from isaaclab_mimic_ext.report.charts import count_bars, for_each_window, rate_bars
from isaaclab_mimic_ext.report.curves import loss_curves
from isaaclab_mimic_ext.report.pages import media, render
from isaaclab_mimic_ext.texts import counted, duration


class PipelineFolder(OutputFolder):
    """Output folder of a pipeline: the outputs and logs of its steps, the record of finished steps, and the page."""

    content = "a pipeline"

    raw = OutputFile("raw.hdf5")
    annotated = OutputFile("annotated.hdf5")
    generation = OutputFile("generation")
    demos = OutputFile("generation/demo.hdf5")
    generation_page = OutputFile("generation/report.html")
    pictures = OutputFile("pictures.hdf5")
    pictures_part = OutputFile("pictures.hdf5.pictures")
    evaluation = OutputFile("evaluation")
    page = OutputFile("report.html")
    record = OutputFile("steps.json")
    logs = OutputFile("logs", is_kept=True)
    lock_file = OutputFile("pipeline.lock", is_kept=True)

    @property
    def lock(self) -> FolderLock:
        """Lock of the pipeline and of the step that it runs. A step that outlives the pipeline is not waited for."""
        note = " (a pipeline, or one of its steps that is still running)"
        return FolderLock(self.lock_file, dead_holder_timeout=0.0, note=note)

    def training(self, seed: int) -> Path:
        return self.path / "training" / f"seed_{seed}"

    def log(self, step: str) -> Path:
        return self.logs / f"{step.replace(' ', '_')}.txt"


def render_pipeline_page(
    cfg: PipelineCfg,
    folder: PipelineFolder,
    seconds: Mapping[str, float | None],
    settings: Sequence[tuple[str, str, str, str, str]] = (),
) -> str:
    """Render the page. Results of unfinished steps are left out.

    Args:
        settings: settings that differ from the defaults of the commands: steps, field, default, value, reason.
        seconds: step -> duration [s]; None if unknown.
    """
    stats, evaluation = _read(folder.generation / "important_stats.json"), _read(folder.evaluation / "evaluation.json")
    results = evaluation.get("checkpoints", [])
    reasons: Counter[str] = Counter()
    for result in results:
        reasons.update(result["reasons"])
    rates = [(result["name"], result["success_rate"], *result["interval"]) for result in results]
    sizes = counted(cfg.num_sources, "source"), counted(cfg.num_demos, "demo"), counted(cfg.epochs, "epoch")
    return render(
        "pipeline.html",
        title=f"{cfg.task_name}: {', '.join(sizes)}",
        figures=_figures(cfg, stats, results),
        settings=settings,
        advice=[(result["name"], line) for result in results for line in result.get("advice", [])],
        sources=_sources(folder),
        generation=_generation(stats),
        generation_page="generation/report.html" if folder.generation_page.is_file() else "",
        watch=command_line("watch", input_dir=folder.generation) if folder.generation.is_dir() else "",
        generation_media=media(
            (folder.generation / "scene.png", "Demos at start, grasp and end, and the starts of all demos"),
            (folder.generation / "playback.mp4", "The first demos"),
        ),
        **_training(cfg, folder),
        num_train=_size_of_mask(folder, "train"),
        num_valid=_size_of_mask(folder, "valid"),
        rates_chart=for_each_window(lambda width: rate_bars(rates, "success by checkpoint", width)),
        reasons_chart=for_each_window(
            lambda width: count_bars(dict(reasons.most_common()), {}, "failed episodes by reason", width=width)
        ),
        checkpoints=[_checkpoint(result) for result in results],
        evaluation_media=_videos(folder, results),
        looks=_looks(evaluation),
        seen=_seen(folder, results),
        steps=[(name, "-" if took is None else duration(took)) for name, took in seconds.items()],
    )


def _figures(cfg: PipelineCfg, stats: dict[str, Any], results: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Figures at the top of the page: (value, name, note)."""
    successes, episodes = (sum(result[name] for result in results) for name in ("num_successes", "num_episodes"))
    low, high = wilson_interval(successes, episodes)
    num_runs, trials = len(cfg.seeds), counted(stats.get("num_attempts", 0), "trial")
    return [
        (f"{100 * successes / max(episodes, 1):.1f} %", "policy success", f"95 %: {100 * low:.1f} to {100 * high:.1f}"),
        (f"{stats.get('success_rate', 0):.1f} %", "generation success", f"of {trials}"),
        (str(stats.get("num_success", 0)), "demos", f"{stats.get('ep_length_mean', 0):.0f} steps each"),
        (str(num_runs), counted(num_runs, "training run").partition(" ")[2], f"{cfg.algo}, {counted(cfg.epochs, 'epoch')}"),
    ]


def _sources(folder: PipelineFolder) -> list[tuple[str, int, str]]:
    rows = []
    for name, path in (("recorded", folder.raw), ("annotated", folder.annotated)):
        lengths = _lengths(path)
        if lengths:
            rows.append((name, len(lengths), f"{sum(lengths) / len(lengths):.0f} ({min(lengths)} to {max(lengths)})"))
    return rows


def _generation(stats: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("trials", stats.get("num_attempts", "-")),
        ("successful", stats.get("num_success", "-")),
        ("steps per demo", f"{stats.get('ep_length_mean', 0):.0f} ± {stats.get('ep_length_std', 0):.0f}"),
        *((f"failed: {reason}", count) for reason, count in stats.get("failures", {}).items()),
    ]


def _training(cfg: PipelineCfg, folder: PipelineFolder) -> dict[str, Any]:
    runs = {f"seed {seed}": read_metrics(folder.training(seed) / "metrics.csv") for seed in cfg.seeds}
    last = {name: metrics[-1] for name, metrics in runs.items() if metrics}
    rows = [
        (name, row["epoch"], f"{float(row['train_loss']):.5f}", f"{float(row['valid_loss']):.5f}")
        for name, row in last.items()
    ]
    return {"loss_chart": loss_curves(runs), "trainings": rows}


def _checkpoint(result: dict[str, Any]) -> tuple[str, int, int, str]:
    length = result["mean_length_of_successes"]
    return result["name"], result["num_episodes"], result["num_successes"], f"{length:.0f}" if length else "-"


def _videos(folder: PipelineFolder, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {result["name"].replace("/", "_"): result["name"] for result in results}
    captions = []
    for path in sorted((folder.evaluation / "videos").glob("*.mp4"), reverse=True):
        name, _, kind = path.stem.rpartition("_")
        captions.append((path, f"The first {kind} of {names.get(name, name)}"))
    return media(*captions)


def _seen(folder: PipelineFolder, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pictures of what policies saw in their failures."""
    names = {result["name"].replace("/", "_"): result["name"] for result in results}
    paths = sorted((folder.evaluation / "videos").glob("*_seen.png"))
    found = ((path, path.stem.removesuffix("_seen")) for path in paths)
    return media(*((path, f"What {names.get(name, name)} saw in its first failures") for path, name in found))


def _looks(evaluation: dict[str, Any]) -> list[tuple[str, str, int, int, str]]:
    """Rows of the table of random looks."""
    return [
        (
            each["checkpoint"], each["appearance"], each["num_episodes"], each["num_successes"],
            "{:.0f} % ({:.0f} to {:.0f})".format(*(100 * rate for rate in (each["success_rate"], *each["interval"]))),
        )
        for each in evaluation.get("appearance", [])
    ]  # fmt: skip


def _lengths(path: Path) -> list[int]:
    """Number of steps of each demo in a file; empty if the file cannot be read."""
    try:
        with open_hdf5(path) as file:
            return [len(file["data"][name]["actions"]) for name in demo_names(file)]
    except (SourceDataError, *DAMAGE):
        return []


def _size_of_mask(folder: PipelineFolder, name: str) -> int | None:
    """Number of demos in a mask of the dataset; None if it cannot be read."""
    try:
        with open_hdf5(folder.demos) as file:
            return len(file["mask"][name])
    except (SourceDataError, *DAMAGE):
        return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
