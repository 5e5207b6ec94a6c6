"""Images of all cameras are exported to LeRobot as RGB of uint8, or refused by name."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.datasets.convert.lerobot_features import (
    Columns,
    LeRobotOptions,
    choose_columns,
    features,
    left_out,
    rows,
)
from isaaclab_mimic_ext.datasets.convert.prepare import PrepareOptions, prepare_demo
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.files.stream import read_facts, stream_demos
from tests.interchange_files import CAMERAS, make_image_dataset

CAMERA = CAMERAS[0]
FEATURE = f"observation.images.{CAMERA}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_image_dataset(tmp_path / "demo.hdf5", num_demos=1)


@pytest.fixture
def demo(path: Path) -> Demo:
    return next(stream_demos(path))


def with_images(demo: Demo, images: np.ndarray) -> Demo:
    return replace(demo, leaves={**demo.leaves, f"obs/{CAMERA}": images})


def columns_of(demo: Demo, **options: object) -> Columns:
    return choose_columns(demo, read_facts(demo.file), LeRobotOptions(**options))


def exported(demo: Demo, **options: object) -> np.ndarray:
    columns = columns_of(demo, **options)
    values = rows(demo, columns)
    assert features(demo, columns, videos=True)[FEATURE]["shape"] == values[FEATURE].shape[1:]
    return values[FEATURE]


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images,
        lambda images: (images / 255).astype(np.float32),
        lambda images: images.astype(np.float32),
        lambda images: images.astype(np.int64),
        lambda images: np.moveaxis(images, -1, 1),
        lambda images: (np.moveaxis(images, -1, 1) / 255).astype(np.float16).astype(np.float64),
        lambda images: np.concatenate((images, np.full_like(images[..., :1], 7)), axis=-1),
    ],
    ids=["uint8", "floats to 1", "floats to 255", "integers", "channels first", "floats, channels first", "rgba"],
)
def test_images_of_any_layout_are_exported_as_rgb(demo: Demo, change) -> None:
    images = demo.leaves[f"obs/{CAMERA}"]
    found = exported(with_images(demo, change(images)))
    assert found.dtype == np.uint8 and found.shape == images.shape
    assert np.abs(found.astype(int) - images).max() <= 1  # float16 rounds.


def test_gray_images_get_three_equal_channels(demo: Demo) -> None:
    found = exported(with_images(demo, demo.leaves[f"obs/{CAMERA}"][..., :1]))
    assert found.shape[-1] == 3 and (found == found[..., :1]).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros((60, 20, 24, 1), np.float32),
            "has one channel of float32, as depth has.*\\(T, 20, 24, 1\\)",
        ),
        (np.zeros((60, 20, 24), np.uint8), "must be images \\(T, H, W, C\\) or \\(T, C, H, W\\)"),
        (np.zeros((60, 2, 20, 24, 3), np.uint8), "must be images .*\\(T, 2, 20, 24, 3\\)"),
        (
            np.full((60, 20, 24, 3), -0.4, np.float32),
            "must be from 0 to 1.*got -0.4 to 0.*subtracts the mean",
        ),
        (np.full((60, 20, 24, 3), 300, np.int32), "must be from 0 to 255 \\(got 0 to 300\\)"),
    ],
)
def test_images_without_rgb_colors_are_refused_by_name(demo: Demo, images: np.ndarray, message: str) -> None:
    with pytest.raises(SourceDataError, match=rf"demo_0: obs/{CAMERA}: {message}.*; choose .*camera_keys="):
        exported(with_images(demo, images))
    columns = columns_of(with_images(demo, images), camera_keys=CAMERAS[1:])
    assert [*columns.cameras] == [CAMERAS[1]]


def test_floats_of_a_later_demo_are_in_the_range_of_the_first_one(demo: Demo) -> None:
    images = demo.leaves[f"obs/{CAMERA}"].astype(np.float32)
    columns = columns_of(with_images(demo, images / 255))
    with pytest.raises(SourceDataError, match="must be from 0 to 1, as in the first demo"):
        rows(with_images(demo, images), columns)


def test_unknown_camera_is_refused_with_the_cameras(demo: Demo) -> None:
    with pytest.raises(ConfigError, match=f"camera_keys: 'eef_pos' is not an image of .*{CAMERA}"):
        columns_of(demo, camera_keys=("eef_pos",))


def test_matrices_are_part_of_the_state(demo: Demo) -> None:
    demo = replace(demo, leaves={**demo.leaves, "obs/pose": np.zeros((demo.num_steps, 4, 4), np.float32)})
    names = features(demo, columns_of(demo, state_keys=("eef_pos", "pose")), videos=True)
    assert "pose.15" in names["observation.state"]["names"]


def test_contents_that_are_left_out_are_named(demo: Demo, path: Path) -> None:
    with h5py.File(path) as file:
        assert "states" in file["data/demo_0"]
    demo = replace(demo, attributes={"num_samples": 3, "digest": b"0", "trial": 4, "success": True})
    with h5py.File(path, "r+") as file:
        file["mask/easy"] = file["mask/train"][()]
    found = left_out(demo, columns_of(demo, camera_keys=()))
    of_obs = ("obs/actions", *(f"obs/{camera}" for camera in CAMERAS))
    assert found == ("initial_state", *of_obs, "states", "obs/datagen_info", "mask/easy")


def test_center_of_channels_first_images_is_cropped_along_height_and_width(demo: Demo) -> None:
    images = demo.leaves[f"obs/{CAMERA}"]
    options = PrepareOptions(img_key=CAMERA, crop_dim=8)
    expected = prepare_demo(demo, options)[f"obs/{CAMERA}"]
    found = prepare_demo(with_images(demo, np.moveaxis(images, -1, 1)), options)[f"obs/{CAMERA}"]
    assert found.shape == (len(images), 3, 8, 8) and np.array_equal(np.moveaxis(found, 1, -1), expected)


def test_matrices_are_not_dropped_with_the_images(demo: Demo) -> None:
    leaves = {**demo.leaves, "obs/pose": np.zeros((demo.num_steps, 4, 4), np.float32)}
    kept = prepare_demo(replace(demo, leaves=leaves), PrepareOptions(low_dim_keys=True))
    assert "obs/pose" in kept and f"obs/{CAMERA}" not in kept
