"""`scripts/export_dataset.py`: a dataset in robomimic's layout or as a LeRobot dataset."""

from isaaclab_mimic_ext.config import ExportDatasetCfg
from isaaclab_mimic_ext.datasets.export_lerobot import LeRobotOptions, export_lerobot
from isaaclab_mimic_ext.datasets.export_robomimic import export_robomimic
from isaaclab_mimic_ext.errors import ConfigError, choices

FORMATS = ("robomimic", "lerobot")


def main(cfg: ExportDatasetCfg) -> None:
    """Export a dataset as configured and say what was written.

    Raises:
        UsageError: something asked for is wrong; nothing was written.
    """
    if cfg.format not in FORMATS:
        raise ConfigError(f"format: '{cfg.format}' is unknown; {choices(cfg.format, FORMATS)}")
    wanted, other = ("output_file", "output_dir") if cfg.format == "robomimic" else ("output_dir", "output_file")
    if getattr(cfg, other):
        raise ConfigError(f"{other}: format={cfg.format} writes no such thing; give {wanted}")
    if not getattr(cfg, wanted):
        raise ConfigError(f"{wanted}: no value; give one, {wanted}=<path>")
    if cfg.format == "robomimic":
        _export_robomimic(cfg, str(cfg.output_file))
    else:
        _export_lerobot(cfg, str(cfg.output_dir))


def _export_robomimic(cfg: ExportDatasetCfg, output: str) -> None:
    done = export_robomimic(cfg.input_file, output, cfg.next_obs, cfg.eef_name, cfg.compress, cfg.overwrite)
    print(f"Exported {done.num_demos} demos, {done.num_steps} steps; saved to {output}")
    print("With datagen_info" if done.has_info else "Without datagen_info: the file has none")


def _export_lerobot(cfg: ExportDatasetCfg, output: str) -> None:
    options = LeRobotOptions(
        tuple(cfg.state_keys) if cfg.state_keys is not None else None, cfg.instruction, cfg.fps, cfg.repo_id, cfg.videos
    )
    done = export_lerobot(cfg.input_file, output, options, cfg.overwrite)
    print(f"Exported {done.num_episodes} episodes, {done.num_frames} frames at {done.fps} fps; saved to {output}")
    print("Features: " + ", ".join(done.features))
    print(f"Read it: LeRobotDataset('{done.repo_id}', root='{output}')")
