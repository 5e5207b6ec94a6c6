"""Write a LeRobot dataset (v3) with the `lerobot` library: episodes, videos, subtasks, splits and provenance."""

# T steps of one demo

import inspect
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from isaaclab_mimic_ext.datasets.convert.lerobot_features import CAMERA, ENVIRONMENT, STATE, SUBTASK
from isaaclab_mimic_ext.datasets.convert.lerobot_language import language_rows, subtask_starts, write_language
from isaaclab_mimic_ext.errors import ConfigError, DependencyMissing, OutputError
from isaaclab_mimic_ext.files.writing import write_json
from isaaclab_mimic_ext.texts import counted

_FORMAT = "v3."
"""Beginning of the version of LeRobot's format that is written."""
_INFO, _SUBTASKS = Path("meta/info.json"), Path("meta/subtasks.parquet")
_STATS, _EPISODES, _SOURCE = Path("meta/stats.json"), Path("meta/provenance.jsonl"), Path("meta/source.json")
_LEAST_SPREAD = 1e-3
"""Smallest spread of an observation in the statistics: 1 mm, or 1 mrad."""


@dataclass(frozen=True)
class Layout:
    """Properties of a LeRobot dataset that are known before its first episode.

    Attributes:
        features: LeRobot's description of the features of a frame.
        robot: type of the robot; None: not known.
        longest: number of steps of the longest episode.
        instructions: sentences from which that of an episode is drawn.
    """

    repo_id: str
    fps: int
    features: dict[str, dict[str, Any]]
    robot: str | None
    videos: bool
    codec: str
    longest: int
    instructions: tuple[str, ...]


def lerobot_dataset(needed_by: str = "format: lerobot") -> Any:
    """Return the class `LeRobotDataset`.

    Args:
        needed_by: field and value that need it, for the message.

    Raises:
        DependencyMissing: `lerobot` cannot be imported.
    """
    os.environ.setdefault("SVT_LOG", "1")  # Otherwise the encoder writes its settings to stderr, for each episode.
    try:
        from datasets import disable_progress_bars
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
    except (ImportError, RuntimeError) as error:  # torchvision without its operators raises RuntimeError.
        raise DependencyMissing(
            f"{needed_by} requires the lerobot library, which cannot be imported ({error}); install with "
            '`pip install -e ".[lerobot]"` (in the checkout) in a separate environment, because it requires an older torch'
        ) from error
    disable_progress_bars()  # They would write one line per episode to a log.
    return LeRobotDataset


class LeRobotWriter:
    """LeRobot dataset in a new folder. One episode at a time is in memory.

    Raises:
        ConfigError: the installed lerobot writes a different format, or a codec cannot encode the pictures.
    """

    def __init__(self, folder: Path, layout: Layout):
        self._folder, self._layout = folder, layout
        self._cameras = [name for name in layout.features if name.startswith(CAMERA)]
        self._episodes: list[str] = []
        self._starts: list[list[tuple[int, int]]] = []
        self.num_frames = 0
        create = lerobot_dataset().create
        if layout.videos:
            for name in self._cameras:
                check_codec(layout.codec, layout.features[name]["shape"], name)
        self._dataset = create(
            repo_id=layout.repo_id, fps=layout.fps, features=layout.features, root=folder, robot_type=layout.robot,
            use_videos=layout.videos, **self._encoder_options(create),
        )  # fmt: skip
        found = str(json.loads((folder / _INFO).read_text()).get("codebase_version"))
        if not found.startswith(_FORMAT):
            raise ConfigError(
                f"format: lerobot {version('lerobot')} writes {found}, not {_FORMAT}0; install lerobot 0.4.4 or newer"
            )

    def _encoder_options(self, create: Any) -> dict[str, Any]:
        """Options of the encoder that this release of lerobot has. Its queue holds an episode, otherwise frames are lost."""
        wanted = {
            "vcodec": self._layout.codec,  # lerobot 0.4
            "rgb_encoder": rgb_encoder(self._layout.codec) if self._layout.videos else None,  # lerobot 0.6
            "streaming_encoding": self._layout.videos,
            "encoder_queue_maxsize": self._layout.longest + 1,
        }
        known = inspect.signature(create).parameters
        return {name: value for name, value in wanted.items() if name in known}

    def add_episode(self, rows: Mapping[str, np.ndarray], instruction: str, provenance: Mapping[str, Any]) -> None:
        """Append an episode: values of each feature, name -> (T, ...), and the attributes of its demo."""
        num_steps = len(next(iter(rows.values())))
        for step in range(num_steps):
            self._dataset.add_frame({name: values[step] for name, values in rows.items()} | {"task": instruction})
        with warnings.catch_warnings():
            # lerobot computes histograms of booleans, and pyarrow converts arrays of one element.
            warnings.simplefilter("ignore", category=RuntimeWarning)
            warnings.simplefilter("ignore", category=DeprecationWarning)
            self._dataset.save_episode()
        line = {"episode_index": len(self._episodes), "instruction": instruction, **provenance}
        self._episodes.append(json.dumps(line))
        self._starts.append(subtask_starts(rows[SUBTASK]) if SUBTASK in rows else [])
        self.num_frames += num_steps

    @property
    def num_episodes(self) -> int:
        """Number of written episodes."""
        return len(self._episodes)

    def finish(self, splits: Mapping[str, str], subtasks: Sequence[str], source: Mapping[str, Any]) -> None:
        """Close the dataset, and write splits, subtasks and provenance.

        Args:
            splits: name -> range of episodes, such as `0:90`.
            subtasks: names by index; empty: not known.
            source: facts about the file that the dataset was made from.

        Raises:
            OutputError: frames are missing.
        """
        self._dataset.finalize()
        self._check_frames()
        features = self._write_language(subtasks)
        info = json.loads((self._folder / _INFO).read_text())
        info["features"] |= features
        write_json(self._folder / _INFO, info | ({"splits": dict(splits)} if splits else {}))
        (self._folder / _EPISODES).write_text("".join(f"{line}\n" for line in self._episodes), encoding="utf-8")
        write_json(self._folder / _SOURCE, dict(source))
        stats = json.loads((self._folder / _STATS).read_text())
        states = [name for name in (STATE, ENVIRONMENT) if name in stats]
        write_json(self._folder / _STATS, stats | {name: widened(stats[name]) for name in states})
        if subtasks:
            import pandas

            index = pandas.Index(subtasks, name="subtask")
            pandas.DataFrame({"subtask_index": range(len(subtasks))}, index=index).to_parquet(self._folder / _SUBTASKS)

    def _write_language(self, subtasks: Sequence[str]) -> dict[str, Any]:
        """Write the language columns, and return their features; without text, none are written."""
        texts = self._layout.instructions, self._layout.fps
        found = {number: language_rows(starts, subtasks, *texts) for number, starts in enumerate(self._starts)}
        return write_language(self._folder, found) if any(found.values()) else {}

    def abort(self) -> None:
        """Close the dataset after an error: otherwise it writes again when it is garbage-collected."""
        with suppress(Exception):
            self._dataset.finalize()

    def _check_frames(self) -> None:
        """Compare the number of frames of each camera with the number of steps."""
        import av

        for name in self._cameras if self._layout.videos else ():
            count = 0
            for path in sorted((self._folder / "videos" / name).rglob("*.mp4")):
                with av.open(str(path)) as container:
                    count += container.streams.video[0].frames
            if count != self.num_frames:
                missing = f"the videos contain {count} of {counted(self.num_frames, 'frame')}"
                raise OutputError(f"output_dir: {name}: {missing}; export again, or use videos=false")


def widened(stats: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Statistics of a state with a spread of at least 1e-3 in each entry.

    Policies divide by the spread. A constant entry, such as the height of an object that nobody moves, would turn 0.1 mm
    into thousands of standard deviations.
    """
    mean = np.array(stats["mean"])
    found = {"std": np.maximum(stats["std"], _LEAST_SPREAD)}
    for lowest, highest in (("min", "max"), ("q01", "q99"), ("q10", "q90")):
        if lowest in stats:
            found[lowest] = np.minimum(stats[lowest], mean - _LEAST_SPREAD)
            found[highest] = np.maximum(stats[highest], mean + _LEAST_SPREAD)
    return {**stats, **{name: values.tolist() for name, values in found.items()}}


def rgb_encoder(codec: str) -> Any:
    """Return LeRobot's settings of an encoder; None if this release of lerobot takes the name of the codec.

    Raises:
        ValueError: LeRobot does not know the codec, or it is not available.
    """
    try:
        from lerobot.configs.video import RGBEncoderConfig
    except ImportError:
        return None
    return RGBEncoderConfig(vcodec=codec)


def encoder_name(codec: str) -> str:
    """Return the name of the encoder that LeRobot chooses for a codec, such as `auto`.

    Raises:
        ValueError: LeRobot does not know the codec, or it is not available.
    """
    if (settings := rgb_encoder(codec)) is not None:
        return str(settings.vcodec)
    from lerobot.datasets.video_utils import resolve_vcodec

    return str(resolve_vcodec(codec))


def check_codec(codec: str, shape: Sequence[int], name: str) -> None:
    """Check that a codec can encode pictures of a size, by encoding two of them.

    Args:
        shape: height, width and channels of a picture.
        name: feature of the pictures, for messages.

    Raises:
        ConfigError: it cannot.
    """
    import av

    height, width = int(shape[0]), int(shape[1])
    remedy = f"render pictures of {_even(height)}x{_even(width)}, or use another video_codec or videos=false"
    try:
        with av.open(BytesIO(), "w", format="mp4") as container:
            stream = container.add_stream(encoder_name(codec), 20)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            picture = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24")
            for packet in (*stream.encode(picture), *stream.encode(picture), *stream.encode()):
                container.mux(packet)
    except (av.FFmpegError, ValueError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"video_codec: '{codec}' cannot encode pictures of {height}x{width} ({name}): {first}; {remedy}"
        ) from error


def _even(side: int) -> int:
    return max(64, side + side % 2)
