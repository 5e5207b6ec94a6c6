"""`mimic split`, `merge`, `inspect`, `validate`, `replay`, `import`, `export`, `prepare`: tools for finished datasets."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext import config
from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.commands.results import print_result
from isaaclab_mimic_ext.config.compose import load_task as load_task_with_config
from isaaclab_mimic_ext.config.recorded_task import recorded_preset
from isaaclab_mimic_ext.datasets.convert.lerobot import export_lerobot
from isaaclab_mimic_ext.datasets.convert.lerobot_features import LeRobotOptions
from isaaclab_mimic_ext.datasets.convert.mimicgen import Imported, ImportOptions, import_mimicgen
from isaaclab_mimic_ext.datasets.convert.mimicgen_config import ImportedConfig
from isaaclab_mimic_ext.datasets.convert.mimicgen_config import import_config as convert_config
from isaaclab_mimic_ext.datasets.convert.prepare import Prepared, PrepareOptions, prepare_dataset
from isaaclab_mimic_ext.datasets.convert.robomimic import export_robomimic
from isaaclab_mimic_ext.datasets.findings import ValidationReport
from isaaclab_mimic_ext.datasets.inspect import DatasetSummary, inspect_dataset, summary_as_json, summary_as_text
from isaaclab_mimic_ext.datasets.merge import Merged, merge_datasets
from isaaclab_mimic_ext.datasets.replay import Replayed, recorded_engine, summary, with_task
from isaaclab_mimic_ext.datasets.replay_dataset import replay_dataset
from isaaclab_mimic_ext.datasets.split import Split, split_dataset
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.envs.devices import resolve_device
from isaaclab_mimic_ext.envs.isaaclab.launch import launch
from isaaclab_mimic_ext.errors import ConfigError, InvalidDataset, choices
from isaaclab_mimic_ext.files.stream import read_facts
from isaaclab_mimic_ext.files.writing import check_output
from isaaclab_mimic_ext.progress import phase
from isaaclab_mimic_ext.texts import counted

FORMATS = ("robomimic", "lerobot")


def _size(num_demos: int, num_steps: int) -> str:
    return f"{counted(num_demos, 'demo')}, {counted(num_steps, 'step')}"


def split(cfg: config.SplitDatasetCfg) -> Split:
    """Split a dataset as configured and report the result.

    Raises:
        UsageError: the file or the ratio is not valid; the file is unchanged.
    """
    split = split_dataset(cfg.input_file, cfg.ratio, cfg.seed, cfg.by_source_demo, cfg.demos)
    verb = "Replaced the split of" if split.replaced else "Split"
    lines = [f"{verb} {cfg.input_file}: {counted(len(split.train), 'demo')} in mask/train, {len(split.valid)} in mask/valid"]
    if len(split.train) < len(split.valid):
        lines.append("ratio is the fraction in mask/train; in robomimic's scripts, it is that of the validation")
    if split.held_out:
        lines.append(f"Held out: {', '.join(split.held_out)}; no demo of mask/train was generated from them")
    env_args = read_facts(cfg.input_file).env_args
    task = recorded_preset(env_args) or env_args.get("task", env_args.get("env_name"))
    lines.append(f"Next, train a policy: {command_line('train', task=task, input_file=Path(cfg.input_file))}")
    print_result(cfg.json, {"input_file": cfg.input_file}, split, lines)
    return split


def merge(cfg: config.MergeDatasetsCfg) -> Merged:
    """Merge datasets as configured and report the result.

    Raises:
        UsageError: the files differ in format, environment or datasets, or the output cannot be written; no file is
            written.
    """
    merged = merge_datasets(
        cfg.input_file, cfg.output_file, cfg.overwrite, phase("merging"), cfg.env_name, cfg.demos, cfg.allow_copies
    )
    lines = [
        f"Merged {counted(len(cfg.input_file), 'file')}: {_size(merged.num_demos, merged.num_steps)} in {cfg.output_file}"
    ]
    lines += [f"  mask/{name}: {counted(count, 'demo')}" for name, count in merged.masks.items()]
    lines += [f"  mask/{name}: left out, not all files have it" for name in merged.dropped_masks]
    print_result(cfg.json, {"input_file": list(cfg.input_file), "output_file": cfg.output_file}, merged, lines)
    return merged


def inspect(cfg: config.InspectDatasetCfg) -> DatasetSummary:
    """Print a summary of a dataset, as text or JSON.

    Raises:
        SourceDataError: the file is missing, damaged, or has no demos.
    """
    summary = inspect_dataset(cfg.input_file, cfg.digest, cfg.demos)
    print(summary_as_json(summary) if cfg.json else summary_as_text(summary))
    return summary


def validate(cfg: config.ValidateDatasetCfg) -> ValidationReport:
    """Check a dataset as configured and print the report.

    Raises:
        InvalidDataset: the dataset has errors or, with `strict`, warnings.
        SourceDataError: the file cannot be read.
    """
    report = validate_dataset(
        cfg.input_file, cfg.num_replays, cfg.seed, phase("checking"), cfg.time_limit, cfg.renew_digests, cfg.demos
    )
    print(report.as_json() if cfg.json else report.as_text())
    if not report.is_valid(cfg.strict):
        raise InvalidDataset(
            f"{cfg.input_file}: {counted(report.num_errors, 'error')}, {counted(report.num_warnings, 'warning')}; "
            "see the remedies in the report"
        )
    return report


def replay(cfg: config.ReplayDemosCfg) -> list[Replayed]:
    """Replay the demos of a file as configured and report the result.

    Raises:
        UsageError: the file cannot be replayed on this engine, or the video cannot be written.
    """
    env_args = with_task(read_facts(cfg.input_file).env_args, cfg.task_name)
    engine = recorded_engine(env_args, cfg.sim)
    cfg.device = resolve_device(cfg.device, engine)[0]
    if engine == "isaaclab":
        cfg.sim = launch(cfg.sim, cfg.device, cfg.headless, enable_cameras=False)
    results = replay_dataset(
        cfg.input_file,
        cfg.sim,
        task=cfg.task_name,
        select_episodes=cfg.select_episodes,
        num_demos=cfg.num_demos,
        num_envs=cfg.num_envs,
        device=cfg.device,
        num_success_steps=cfg.num_success_steps,
        output_file=cfg.output_file,
        num_video_demos=cfg.num_video_demos,
        overwrite=cfg.overwrite,
        demos=cfg.demos,
    )
    report = {"path": cfg.input_file, "engine": results.engine, **summary(results.demos)}
    print(_replay_json(report, results.demos) if cfg.json else _replay_text(report, results.demos))
    return results.demos


def _replay_json(report: dict[str, Any], results: list[Replayed]) -> str:
    return json.dumps({**report, "demos": [asdict(result) for result in results]}, indent=2)


def _replay_text(report: dict[str, Any], results: list[Replayed]) -> str:
    rate = f"{report['num_successes']} of {counted(report['num_demos'], 'demo')} succeed ({report['success_rate']:.1%})"
    lines = [f"{report['path']}: replayed on {report['engine']}: {rate}"]
    if report["largest_object_error"] is not None:
        largest, mean = report["largest_object_error"], report["mean_object_error"]
        lines.append(
            f"  largest distance of an object from its recorded position: {largest:.2g} m (mean of demos {mean:.2g} m)"
        )
    for result in results:
        if not result.success and result.recorded_success:
            error = "" if result.object_error is None else f" (object error {result.object_error:.2g} m)"
            lines.append(f"  {result.name}: recorded as a success, fails when replayed{error}")
    return "\n".join(lines)


def import_(cfg: config.ImportDatasetCfg) -> Imported:
    """Import a file as configured and report the result.

    Raises:
        UsageError: an option or the file is not valid; no file is written.
    """
    options = ImportOptions(cfg.eef_name, cfg.rename.objects, cfg.rename.signals, cfg.gripper_sign, cfg.eef_names)
    done = import_mimicgen(cfg.input_file, cfg.output_file, options, cfg.compress, cfg.overwrite, cfg.demos)
    lines = [
        f"Imported {_size(done.num_demos, done.num_steps)}; saved to {cfg.output_file}",
        f"End effectors: {', '.join(done.eef_names)}; objects: {', '.join(done.object_names)}; "
        f"signals: {', '.join(done.signal_names)}",
    ]
    if done.gripper_flipped:
        lines.append(
            "Flipped the sign of gripper actions: +1 closes in robosuite and opens in Isaac Lab; "
            "gripper_sign=keep disables this"
        )
    print_result(cfg.json, _paths(cfg), done, lines)
    return done


def import_config(cfg: config.ImportConfigCfg) -> ImportedConfig:
    """Import a configuration of MimicGen as configured and report the result.

    Raises:
        UsageError: an option or the file is not valid; no file is written.
    """
    task = load_task_with_config(cfg.base_task)
    output = Path(cfg.output_file)
    done = convert_config(Path(cfg.input_file), output, task, cfg.rename.objects, cfg.rename.signals, cfg.overwrite)
    lines = [f"Imported {counted(done.num_subtasks, 'subtask')}; saved to {output}"]
    for place, ours in done.not_imported.items():
        lines.append(f"Not imported: {place}" + (f"; here: {ours}" if ours else ""))
    if output.resolve().parent.name == "task":
        words = command_line("generate", task=output.stem)
        lines.append(f"Next, generate demos: {words} --config-dir {output.resolve().parents[1]}")
    else:
        lines.append(f"To use it, move it to a folder named task: my_tasks/task/{output.name}")
    print_result(cfg.json, {"input_file": cfg.input_file, "output_file": cfg.output_file}, done, lines)
    return done


def export(cfg: config.ExportDatasetCfg) -> None:
    """Export a dataset as configured and report the result.

    Raises:
        UsageError: an option or the file is not valid; no file is written.
    """
    if cfg.format not in FORMATS:
        raise ConfigError(f"format: '{cfg.format}' is not a valid format; {choices(cfg.format, FORMATS)}")
    required, other = ("output_file", "output_dir") if cfg.format == "robomimic" else ("output_dir", "output_file")
    if getattr(cfg, other):
        raise ConfigError(f"{other}: must not be set with format={cfg.format}; use {required}")
    if not getattr(cfg, required):
        raise ConfigError(f"{required}: no value; set {required}=<path>")
    if cfg.format == "robomimic":
        _export_robomimic(cfg, str(cfg.output_file))
    else:
        _export_lerobot(cfg, str(cfg.output_dir))


def _export_robomimic(cfg: config.ExportDatasetCfg, output: str) -> None:
    done = export_robomimic(cfg.input_file, output, cfg.next_obs, cfg.eef_name, cfg.compress, cfg.overwrite, cfg.demos)
    info = "With datagen_info" if done.has_info else "Without datagen_info: the file is not annotated"
    lines = [f"Exported {_size(done.num_demos, done.num_steps)}; saved to {output}", info]
    if done.num_unknown:
        lines.append(
            f"Without rewards in {counted(done.num_unknown, 'demo')}: whether they succeed is not known; "
            "attribute 'success' of a demo states it"
        )
    if done.left_out:
        lines.append(f"Left out, robomimic's layout does not have them: {', '.join(done.left_out)}")
    print_result(cfg.json, _paths(cfg), done, lines)


def _export_lerobot(cfg: config.ExportDatasetCfg, output: str) -> None:
    chosen = (cfg.state_keys, cfg.camera_keys, cfg.environment_keys)
    state_keys, camera_keys, environment_keys = (None if keys is None else tuple(keys) for keys in chosen)
    options = LeRobotOptions(
        state_keys, cfg.instruction, cfg.fps, cfg.repo_id, cfg.videos, camera_keys, environment_keys,
        tuple(cfg.instructions), cfg.video_codec, cfg.actions, cfg.action_key,
    )  # fmt: skip
    done = export_lerobot(cfg.input_file, output, options, cfg.overwrite, cfg.demos)
    episodes, frames = counted(done.num_episodes, "episode"), counted(done.num_frames, "frame")
    lines = [
        f"Exported {episodes}, {frames} at {done.fps} fps; saved to {output}",
        "Features: " + ", ".join(done.features),
        "Splits, by episode: " + ", ".join(f"{name} {episodes}" for name, episodes in done.splits.items()),
        *([f"Left out: {', '.join(done.left_out)}"] if done.left_out else []),
        f"Read it: LeRobotDataset('{done.repo_id}', root='{output}')",
    ]
    print_result(cfg.json, {"input_file": cfg.input_file, "output_dir": output}, done, lines)


def prepare(cfg: config.PrepareDatasetCfg) -> list[Prepared]:
    """Prepare datasets as configured and report the results.

    Raises:
        UsageError: an option or the file is not valid; no file is written.
    """
    options = PrepareOptions(
        cfg.add_rtgs, cfg.low_dim_keys, cfg.sparse_reward, cfg.img_key, cfg.crop_dim, cfg.gripper, cfg.quaternions
    )
    outputs = _outputs(cfg)
    done: list[Prepared] = []
    for path, output in outputs.items():
        done.append(prepare_dataset(path, output, options, cfg.compress, cfg.overwrite, cfg.demos))
        if not cfg.json:
            print(f"Prepared {_size(done[-1].num_demos, done[-1].num_steps)}; saved to {output}")
    if len(done) == 1:
        lines = ["Observations: " + ", ".join(done[0].obs_keys)]
        [(path, output)] = outputs.items()
        print_result(cfg.json, {"input_file": path, "output_file": str(output)}, done[0], lines)
    elif cfg.json:
        rows = zip(outputs.items(), done, strict=True)
        print(
            json.dumps([{"input_file": path, "output_file": str(to), **asdict(each)} for (path, to), each in rows], indent=2)
        )
    return done


def _outputs(cfg: config.PrepareDatasetCfg) -> dict[str, Path]:
    """Input -> output of `prepare`. All outputs are checked before the first one is written.

    Raises:
        ConfigError: not one of output_file and output_dir, output_file with several inputs, or two outputs of the same name.
        OutputError: an output exists.
    """
    inputs = list(cfg.input_file)
    if (cfg.output_file is None) == (cfg.output_dir is None):
        raise ConfigError("output_file: set output_file=<file> for one input, or output_dir=<folder> for any number")
    if cfg.output_file is not None and len(inputs) != 1:
        raise ConfigError(f"output_file: is for one input (got {len(inputs)}); use output_dir=<folder>")
    if cfg.output_dir is None:
        return {inputs[0]: Path(str(cfg.output_file))}
    outputs = {path: Path(cfg.output_dir) / Path(path).name for path in inputs}
    names = [output.name for output in outputs.values()]
    if doubled := sorted({name for name in names if names.count(name) > 1}) or len(outputs) < len(inputs):
        name = doubled[0] if isinstance(doubled, list) else "a file"
        raise ConfigError(f"output_dir: two inputs would be written to '{name}'; prepare them to different folders")
    for output in outputs.values():
        check_output(output, cfg.overwrite)
    return outputs


def _paths(cfg: config.ImportDatasetCfg | config.ExportDatasetCfg) -> dict[str, str | None]:
    return {"input_file": cfg.input_file, "output_file": cfg.output_file}
