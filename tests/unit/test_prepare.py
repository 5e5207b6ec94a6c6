"""Preparation changes what its options state, and copies all other data unchanged."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.config import PrepareDatasetCfg
from isaaclab_mimic_ext.datasets.convert.prepare import PrepareOptions, prepare_dataset, returns_to_go
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError
from tests.interchange_files import CAMERAS, make_image_dataset, make_mimicgen_file
from tests.jobs import command
from tests.kinematic_sources import read_tree
from tests.left_out import left_out


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_image_dataset(tmp_path / "demo.hdf5")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "prepared.hdf5"


def test_returns_to_go_are_sums_of_remaining_rewards():
    assert returns_to_go(np.array([1.0, 0.0, 2.0, 4.0], np.float32)).tolist() == [7.0, 6.0, 6.0, 4.0]


def test_preparation_without_options_copies_the_file(dataset, output):
    prepare_dataset(dataset, output, PrepareOptions())
    with h5py.File(dataset) as before, h5py.File(output) as after:
        old, new = read_tree(before), read_tree(after)
        assert old.keys() == new.keys()
        assert all(np.array_equal(old[path], new[path]) and old[path].dtype == new[path].dtype for path in old)
        assert dict(before.attrs) == dict(after.attrs)
        for name in before["data"]:
            assert dict(before["data"][name].attrs).items() <= dict(after["data"][name].attrs).items()


def test_compressed_file_is_smaller_with_the_same_values(dataset, output):
    prepare_dataset(dataset, output, PrepareOptions(), compress=True)
    with h5py.File(dataset) as before, h5py.File(output) as after:
        old, new = read_tree(before), read_tree(after)
        assert all(np.array_equal(old[path], new[path]) for path in old)
        assert after["data/demo_0/obs/agentview_image"].compression == "gzip"
    assert output.stat().st_size < dataset.stat().st_size


def test_low_dim_keys_drops_only_images_and_lists_the_other_observations(dataset, output):
    done = prepare_dataset(dataset, output, PrepareOptions(low_dim_keys=True))
    with h5py.File(dataset) as before, h5py.File(output) as after:
        old, new = read_tree(before), read_tree(after)
        assert json.loads(after["data"].attrs["obs_keys"]) == list(done.obs_keys) == ["actions", "eef_pos"]
        assert [name for name in after["data/demo_0/obs"] if name != "datagen_info"] == list(done.obs_keys)
    dropped = set(old) - set(new)
    assert dropped == {f"data/demo_{index}/obs/{camera}" for index in range(3) for camera in CAMERAS}
    assert all(np.array_equal(old[path], new[path]) for path in new)


def test_selected_image_is_kept_and_cropped_around_its_center(dataset, output):
    prepare_dataset(dataset, output, PrepareOptions(img_key=CAMERAS[1], crop_dim=16))
    with h5py.File(dataset) as before, h5py.File(output) as after:
        demo = after["data/demo_1/obs"]
        assert CAMERAS[0] not in demo
        assert np.array_equal(demo[CAMERAS[1]][()], before[f"data/demo_1/obs/{CAMERAS[1]}"][:, 2:18, 4:20])


def test_sparse_reward_is_1_in_the_last_step_of_successful_demos(dataset, output):
    prepare_dataset(dataset, output, PrepareOptions(sparse_reward=True, add_rtgs=True))
    with h5py.File(output) as file:
        for index, success in enumerate((1.0, 1.0, 0.0)):
            demo = file[f"data/demo_{index}"]
            num_steps = len(demo["actions"])
            assert demo["rewards"][()].tolist() == [0.0] * (num_steps - 1) + [success]
            assert demo["returns_to_go"][()].tolist() == [success] * num_steps


def test_success_and_returns_of_a_robosuite_file_are_derived_from_its_rewards(tmp_path, output):
    source = make_mimicgen_file(tmp_path / "square.hdf5", annotated=False)
    with h5py.File(source, "r+") as file:
        file["data/demo_1/rewards"][...] = 0.25
    prepare_dataset(source, output, PrepareOptions(sparse_reward=True))
    with h5py.File(output) as file:
        assert [file[f"data/demo_{index}/rewards"][-1] for index in (0, 1)] == [1.0, 0.0]
    prepare_dataset(source, output, PrepareOptions(add_rtgs=True), overwrite=True)
    with h5py.File(output) as file:
        assert file["data/demo_0/returns_to_go"][[0, -3, -1]].tolist() == [3.0, 3.0, 1.0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (PrepareOptions(low_dim_keys=True, img_key="agentview_image"), ConfigError, "low_dim_keys=true drops all images"),
        (PrepareOptions(crop_dim=8), ConfigError, "crop_dim: 8 requires img_key"),
        (PrepareOptions(img_key="agentview_image", crop_dim=0), ConfigError, r"crop_dim: must be >= 1 pixel \(got 0\)"),
        (
            PrepareOptions(img_key="agentview_image", crop_dim=64),
            ConfigError,
            r"must be <= 20 \(got 64\); .* has 20 x 24 pixels",
        ),
        (PrepareOptions(img_key="agentview"), ConfigError, "did you mean 'agentview_image'"),
        (PrepareOptions(img_key="eef_pos"), ConfigError, "'eef_pos' is not an image"),
        (
            PrepareOptions(add_rtgs=True),
            SourceDataError,
            "demo_0: add_rtgs requires a dataset 'rewards'.*sparse_reward=true",
        ),
    ],
)
def test_invalid_options_are_refused_and_no_file_is_written(dataset, output, options, error, message):
    with pytest.raises(error, match=message):
        prepare_dataset(dataset, output, options)
    assert {path.name for path in output.parent.iterdir()} == {"demo.hdf5"}


def test_sparse_reward_requires_success_or_rewards(dataset, output, caplog):
    with h5py.File(dataset, "r+") as file:
        del file["data/demo_1"].attrs["success"]
    _, message = left_out(lambda: prepare_dataset(dataset, output, PrepareOptions(sparse_reward=True)), caplog)
    assert "demo_1 is left out: sparse_reward requires attribute 'success' or dataset 'rewards'" in message


def test_success_must_be_a_boolean(dataset, output, caplog):
    with h5py.File(dataset, "r+") as file:
        file["data/demo_1"].attrs["success"] = "perhaps"
    _, message = left_out(lambda: prepare_dataset(dataset, output, PrepareOptions(sparse_reward=True)), caplog)
    assert "demo_1 is left out: attribute 'success': must be true or false (got 'perhaps')" in message


def test_existing_output_is_kept_without_overwrite(dataset, output):
    output.write_bytes(b"precious")
    with pytest.raises(OutputError, match="overwrite=true"):
        prepare_dataset(dataset, output, PrepareOptions())
    assert output.read_bytes() == b"precious"


def test_returns_to_go_follow_new_rewards(dataset, output, tmp_path):
    with h5py.File(dataset, "r+") as file:
        for demo in file["data"].values():
            demo["rewards"] = np.full(len(demo["actions"]), 0.5, np.float32)
    prepare_dataset(dataset, tmp_path / "returns.hdf5", PrepareOptions(add_rtgs=True))
    prepare_dataset(tmp_path / "returns.hdf5", output, PrepareOptions(sparse_reward=True))
    with h5py.File(output) as file:
        assert np.array_equal(file["data/demo_0/returns_to_go"], np.ones(len(file["data/demo_0/actions"])))


def test_many_files_are_prepared_to_a_folder(tmp_path, capsys):
    inputs = [make_image_dataset(tmp_path / f"{name}.hdf5") for name in "ab"]
    cfg = PrepareDatasetCfg(input_file=[str(path) for path in inputs], output_dir=str(tmp_path / "out"), low_dim_keys=True)
    command("prepare", cfg)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.hdf5", "b.hdf5"}
    assert capsys.readouterr().out.count("Prepared 3 demos") == 2
    with pytest.raises(OutputError, match=r"a\.hdf5 already exists"):
        command("prepare", cfg)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "output_file: set output_file=<file> for one input, or output_dir=<folder>"),
        ({"output_file": "x.hdf5", "output_dir": "x"}, "output_file: set output_file=<file>"),
        ({"output_file": "x.hdf5"}, r"output_file: is for one input \(got 2\)"),
        ({"output_dir": "x"}, "output_dir: two inputs would be written to 'a.hdf5'"),
    ],
)
def test_outputs_of_many_files_must_be_clear(tmp_path, fields, message):
    cfg = PrepareDatasetCfg(input_file=[str(tmp_path / "a.hdf5"), str(tmp_path / "b" / "a.hdf5")], **fields)
    with pytest.raises(ConfigError, match=message):
        command("prepare", cfg)
