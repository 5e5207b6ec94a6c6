"""Draw the moving picture at the start of the README from the software itself.

    python docs/draw_animation.py [--output docs/demos.gif]

The ten source demos of the desktop organizer play first, then demos that were generated from them, all environments at once.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs import drawing
from isaaclab_mimic_ext.envs.playback import demo_states
from isaaclab_mimic_ext.envs.recorded_scene import recorded_scene, take_steps
from isaaclab_mimic_ext.envs.rendering import Renderer
from isaaclab_mimic_ext.envs.views import fit_view, workspace
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5

TASK = "desktop_organizer"
OBJECTS = ("ketchup", "basket")
"""Objects that must be in the picture; distractors may be outside."""
SOURCES = Path(__file__).parents[1] / "tasks" / TASK / "data" / "source_demos.hdf5"
WIDTH, HEIGHT, TITLE = 800, 400, 40
"""Size of the tiles together, and height of the title above them [pixels]."""
STRIDE, FRAME_MS, LAST_MS = 6, 100, 900
"""Steps from one frame to the next, durations of a frame and of the last frame of each part [ms]."""
NUM_COLORS, NUM_VIVID = 96, 32
"""Colors of the palette for all pixels, and for the few with vivid colors."""
NUM_GENERATED = 32
COLUMNS = {10: 5, 32: 8}
"""Number of demos -> number of columns of tiles."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "demos.gif")
    output = parser.parse_args().output
    task = mimic.load_task(TASK)
    with tempfile.TemporaryDirectory() as folder:
        sources, generated = read(SOURCES, task), read(generate(task, Path(folder) / "run"), task)
    source_title = f"{len(sources)} source demos, recorded once"
    parts = [(source_title, sources), (f"Generated from them: {len(generated)} demos in new scenes, all at once", generated)]
    frames: list[Image.Image] = []
    durations: list[int] = []
    for title, demos in parts:
        of_part = [Image.fromarray(frame) for frame in tiled(task, demos, title)]
        frames += of_part
        durations += [FRAME_MS] * (len(of_part) - 1) + [LAST_MS]
    save(frames, durations, output)


def generate(task: Any, folder: Path) -> Path:
    """Generate demos and return their file."""
    env = mimic.make_env(task, engine="mujoco", num_envs=NUM_GENERATED)
    try:
        demos = mimic.load_demos(SOURCES, env)
        return Path(
            mimic.generate(env, demos, mimic.GenerationCfg(num_trials=NUM_GENERATED, seed=1), output_dir=folder).dataset
        )
    finally:
        env.close()


def read(path: Path, task: Any) -> list[dict[str, Any]]:
    with open_hdf5(path) as file:
        return [demo_states(file, name, task) for name in demo_names(file)]


def tiled(task: Any, demos: Sequence[dict[str, Any]], title: str) -> Iterator[np.ndarray]:
    """Yield frames with one tile per demo."""
    columns = COLUMNS[len(demos)]
    width, height = WIDTH // columns, HEIGHT // (len(demos) // columns)
    scenes = [take_steps(recorded_scene(task, demo), 5) for demo in demos]
    view = fit_view(workspace(task, scenes, OBJECTS), width / height)
    last = max(trees.num_rows(demo) for demo in demos) - 1
    speed = STRIDE * 0.05 / (FRAME_MS / 1000)
    head = drawing.bar(WIDTH, title, f"{speed:.0f}x speed", height=TITLE, size=20)
    with Renderer(task, width, height, view, shadows=False) as renderer:
        for step in [*range(0, last, STRIDE), last]:
            tiles = [renderer.frame(trees.take(demo, min(step, trees.num_rows(demo) - 1))) for demo in demos]
            for tile in tiles:
                tile[-1], tile[:, -1] = drawing.DARK, drawing.DARK
            rows = [np.concatenate(tiles[first : first + columns], axis=1) for first in range(0, len(tiles), columns)]
            yield np.concatenate([head, *rows])


def save(frames: Sequence[Image.Image], durations: Sequence[int], path: Path) -> None:
    """Write a GIF with one palette for all frames, so that pixels that do not change cost nothing."""
    palette = make_palette(np.concatenate([np.asarray(frame) for frame in frames[:: max(len(frames) // 8, 1)]]))
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    indexed[0].save(path, save_all=True, append_images=indexed[1:], duration=list(durations), loop=0, optimize=True)


def make_palette(sample: np.ndarray) -> Image.Image:
    """Palette for the pixels (H, W, 3) of a sample. Its second part is for vivid colors: the bottle is small."""
    vivid = sample[np.ptp(sample.astype(int), axis=-1) > 120]
    colors: list[int] = []
    for pixels, count in ((sample, NUM_COLORS), (vivid[None], NUM_VIVID)):
        colors += Image.fromarray(pixels).quantize(count, method=Image.Quantize.MEDIANCUT).getpalette()[: 3 * count]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colors)
    return palette


if __name__ == "__main__":
    main()
