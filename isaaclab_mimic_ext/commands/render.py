"""`mimic render`: add pictures to a dataset."""

from isaaclab_mimic_ext.commands.results import print_result
from isaaclab_mimic_ext.config import RenderDatasetCfg
from isaaclab_mimic_ext.config.cameras import camera_cfgs
from isaaclab_mimic_ext.datasets.render import Rendered, RenderOptions, render_dataset
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.texts import counted


def main(cfg: RenderDatasetCfg) -> Rendered:
    """Render a dataset as configured and report the result.

    Raises:
        UsageError: an option or the file is not valid, or no OpenGL backend works; no file is written.
    """
    if len(cfg.size) != 2:
        raise ConfigError(f"size: must be [height,width] in pixels (got {cfg.size})")
    height, width = cfg.size
    options = RenderOptions(
        tuple(cfg.cameras),
        (height, width),
        cfg.rendering_mode,
        camera_cfgs(cfg.camera_cfgs),
        cfg.copies,
        tuple(cfg.appearance),
        cfg.seed,
        tuple(cfg.modalities),
    )
    done = render_dataset(
        cfg.input_file,
        cfg.output_file,
        options,
        task=cfg.task_name,
        num_workers=cfg.num_workers,
        compress=cfg.compress,
        overwrite=cfg.overwrite,
        resume=cfg.resume,
        demos=cfg.demos,
    )
    demos = f"{counted(done.num_demos, 'demo')}, {counted(done.num_steps, 'step')}"
    lines = [
        f"Rendered {demos}, {height}x{width} pixels; saved to {cfg.output_file}",
        f"Pictures: {', '.join(done.observations)}; drawn by {done.renderer}",
        *([f"Replaced pictures of the input: {', '.join(done.replaced)}"] if done.replaced else []),
    ]
    print_result(cfg.json, {"input_file": cfg.input_file, "output_file": cfg.output_file}, done, lines)
    return done
