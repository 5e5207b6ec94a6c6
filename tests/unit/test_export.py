"""Exported files contain the same values in another layout, and an import restores them."""

import importlib.util
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.config import ExportDatasetCfg
from isaaclab_mimic_ext.datasets.convert.lerobot import export_lerobot
from isaaclab_mimic_ext.datasets.convert.lerobot_features import LeRobotOptions
from isaaclab_mimic_ext.datasets.convert.mimicgen import ImportOptions, import_mimicgen
from isaaclab_mimic_ext.datasets.convert.robomimic import export_robomimic
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.errors import ConfigError, DependencyMissing, OutputError, SourceDataError
from isaaclab_mimic_ext.files.digest import dataset_digest
from tests import requires
from tests.builders import EEF_NAME, OBJECT_NAMES, SIGNAL_NAMES, make_source_file
from tests.interchange_files import CAMERAS, make_image_dataset, make_mimicgen_file
from tests.jobs import command
from tests.kinematic_sources import read_tree

TWO_ARMS = Path(mimic.__file__).parents[1] / "tasks/two_arm_lift_tray/data/source_demos.hdf5"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_image_dataset(tmp_path / "demo.hdf5")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "exported.hdf5"


def test_datagen_info_is_next_to_obs_with_mimicgens_names(dataset, output):
    assert export_robomimic(dataset, output).has_info
    with h5py.File(dataset) as before, h5py.File(output) as after:
        for name, demo in after["data"].items():
            info, old = demo["datagen_info"], before[f"data/{name}/obs/datagen_info"]
            assert np.array_equal(info["eef_pose"][()], old[f"eef_pose/{EEF_NAME}"][()])
            assert np.array_equal(info["target_pose"][()], old[f"target_eef_pose/{EEF_NAME}"][()])
            assert np.array_equal(info["gripper_action"][()], demo["actions"][:, -1:])
            assert all(np.array_equal(info[f"object_poses/{key}"], old[f"object_pose/{key}"]) for key in OBJECT_NAMES)
            for key in SIGNAL_NAMES:
                signal = info[f"subtask_term_signals/{key}"][()]
                # MimicGen's computation of the end of a subtask.
                rise = int((signal[1:] - signal[:-1]).nonzero()[0][0]) + 1
                assert rise == int(old[f"subtask_term_signals/{key}"][()].argmax())
            assert "datagen_info" not in demo["obs"]
            assert info.attrs["env_interface_type"] == "isaaclab"


def test_env_args_masks_rewards_and_dones_are_in_robomimics_layout(dataset, output):
    export_robomimic(dataset, output)
    with h5py.File(dataset) as before, h5py.File(output) as after:
        env_args = json.loads(after["data"].attrs["env_args"])
        assert (env_args["type"], env_args["env_name"]) == (2, "desktop_organizer")
        assert env_args["env_kwargs"] == {"preset": "desktop_organizer", "engine": "synthetic", "task_dirs": []}
        assert after["mask/train"][()].tolist() == [b"demo_0", b"demo_2"]
        assert after["data"].attrs["total"] == before["data"].attrs["total"]
        for index, success in enumerate((1.0, 1.0, 0.0)):
            old, new = before[f"data/demo_{index}"], after[f"data/demo_{index}"]
            assert new.attrs["num_samples"] == len(old["actions"])
            for key in ("actions", "obs/actions", "obs/eef_pos", *(f"obs/{camera}" for camera in CAMERAS)):
                assert np.array_equal(new[key][()], old[key][()]) and new[key].dtype == old[key].dtype
            assert new["rewards"][()].tolist() == [0.0] * (len(old["actions"]) - 1) + [success]
            assert new["dones"][()].tolist() == [0] * (len(old["actions"]) - 1) + [1]


def test_states_are_concatenated_states_before_each_action(dataset, output):
    export_robomimic(dataset, output)
    with h5py.File(dataset) as before, h5py.File(output) as after:
        widths = json.loads(after["data"].attrs["states_columns"])
        states, start = after["data/demo_0/states"][()], 0
        for path, width in widths.items():
            column = states[:, start : start + width]
            assert np.array_equal(column[:1], before[f"data/demo_0/initial_state/{path}"][()])
            assert np.array_equal(column[1:], before[f"data/demo_0/states/{path}"][:-1])
            start += width
        assert start == states.shape[1]


def test_next_obs_is_obs_one_step_later(dataset, output):
    export_robomimic(dataset, output, next_obs=True)
    with h5py.File(output) as file:
        demo = file["data/demo_1"]
        assert set(demo["next_obs"]) == set(demo["obs"])
        for name, values in demo["next_obs"].items():
            assert np.array_equal(values[:-1], demo[f"obs/{name}"][1:])
            assert np.array_equal(values[-1], demo[f"obs/{name}"][-1])


def test_export_and_import_restore_the_annotated_file(dataset, output, tmp_path):
    back = tmp_path / "back.hdf5"
    export_robomimic(dataset, output)
    import_mimicgen(output, back, ImportOptions(EEF_NAME))
    with h5py.File(dataset) as before, h5py.File(back) as after:
        old, new = read_tree(before["data"]), read_tree(after["data"])
    kept = {path: values for path, values in old.items() if "/states/" not in path and "/initial_state/" not in path}
    assert all(np.array_equal(values, new[path]) and values.dtype == new[path].dtype for path, values in kept.items())


def test_import_and_export_restore_mimicgens_file(tmp_path, output):
    source, between = make_mimicgen_file(tmp_path / "square.hdf5"), tmp_path / "between.hdf5"
    import_mimicgen(source, between, ImportOptions(gripper_sign="keep"))
    export_robomimic(between, output)
    with h5py.File(source) as before, h5py.File(output) as after:
        old, new = read_tree(before["data"]), read_tree(after["data"])
    assert {path for path in old if "src_demo_inds" not in path} == set(new)
    for path, values in new.items():
        assert np.array_equal(values, old[path].astype(values.dtype)), path


def test_file_without_annotation_is_exported_without_datagen_info(dataset, output):
    with h5py.File(dataset, "r+") as file:
        for demo in file["data"].values():
            del demo["obs/datagen_info"]
    assert not export_robomimic(dataset, output).has_info
    with h5py.File(output) as file:
        assert "datagen_info" not in file["data/demo_0"]


def test_file_with_several_end_effectors_requires_eef_name(dataset, output):
    with h5py.File(dataset, "r+") as file:
        for demo in file["data"].values():
            for part in ("eef_pose", "target_eef_pose"):
                info = demo[f"obs/datagen_info/{part}"]
                info["left"] = info[EEF_NAME][()] + np.float32(0.0)
            demo["obs/datagen_info/gripper_action/left"] = demo["actions"][:, -1:]
    with pytest.raises(ConfigError, match=r"several end effectors.*franka, left"):
        export_robomimic(dataset, output)
    with pytest.raises(ConfigError, match=r"'lift' is not an end effector.*did you mean 'left'"):
        export_robomimic(dataset, output, eef_name="lift")
    export_robomimic(dataset, output, eef_name="left")


def test_observations_with_the_same_new_name_are_refused(dataset, output):
    with h5py.File(dataset, "r+") as file:
        for demo in file["data"].values():
            demo["obs/eef/pos"] = demo["obs/eef_pos"][()]
    with pytest.raises(SourceDataError, match=r"demo_0.*'eef_pos'"):
        export_robomimic(dataset, output)
    assert {path.name for path in output.parent.iterdir()} == {"demo.hdf5"}


def test_existing_files_are_not_overwritten(dataset, output):
    digest = dataset_digest(dataset)
    with pytest.raises(OutputError, match="must differ from input_file"):
        export_robomimic(dataset, dataset, overwrite=True)
    output.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists"):
        export_robomimic(dataset, output)
    assert (dataset_digest(dataset), output.read_bytes()) == (digest, b"precious")


@requires.mark("no-lerobot", importlib.util.find_spec("lerobot") is None, "lerobot is installed")
def test_missing_lerobot_is_reported_with_a_remedy(dataset, tmp_path):
    with pytest.raises(DependencyMissing, match=r"pip install .*\[lerobot\]"):
        export_lerobot(dataset, tmp_path / "lerobot", LeRobotOptions())
    assert not (tmp_path / "lerobot").exists()


def test_robomimics_reader_loads_the_export(tmp_path, output):
    dataset_module = requires.module("robomimic.utils.dataset", "train")
    obs_utils = requires.module("robomimic.utils.obs_utils", "train")
    source = make_source_file(tmp_path / "demo.hdf5", num_demos=3)
    export_robomimic(source, output, next_obs=True)
    obs_utils.initialize_obs_utils_with_obs_specs([{"obs": {"low_dim": ["eef_pos", "actions"], "rgb": []}}])
    keys = ("actions", "rewards", "dones")
    loaded = dataset_module.SequenceDataset(str(output), ("eef_pos", "actions"), keys, hdf5_cache_mode="all")
    with h5py.File(source) as file:
        lengths = [len(file[f"data/demo_{index}/actions"]) for index in range(3)]
        assert len(loaded) == sum(lengths)
        item, demo = loaded[lengths[0] + 7], file["data/demo_1"]
        assert np.array_equal(item["actions"][0], demo["actions"][7])
        assert np.array_equal(item["obs"]["eef_pos"][0], demo["obs/eef_pos"][7])
        assert np.array_equal(item["next_obs"]["eef_pos"][0], demo["obs/eef_pos"][8])


def test_exported_file_without_states_of_the_scene_is_valid(dataset, output):
    export_robomimic(dataset, output)
    report = validate_dataset(output)
    assert report.is_valid()
    assert {finding.place for finding in report.findings if finding.check == "structure"} >= {"demo_0/initial_state"}
    assert not report.is_valid(strict=True)


def test_gripper_of_the_chosen_arm_is_exported(output):
    for eef_name, column in (("left", 6), ("right", 13)):
        export_robomimic(TWO_ARMS, output, eef_name=eef_name, overwrite=True)
        with h5py.File(output) as file:
            demo = file["data/demo_0"]
            gripper, actions = demo["datagen_info/gripper_action"][:, 0], demo["actions"][()]
        assert [index for index in range(14) if np.array_equal(gripper, actions[:, index])] == [column]


def test_unknown_gripper_of_one_of_several_arms_is_refused(dataset, output):
    with h5py.File(dataset, "r+") as file:
        env_args = json.loads(file["data"].attrs["env_args"])
        file["data"].attrs["env_args"] = json.dumps(env_args | {"eef_names": ["left", "right"]})
        for demo in file["data"].values():
            for part in ("eef_pose", "target_eef_pose"):
                info = demo[f"obs/datagen_info/{part}"]
                info["left"] = info[EEF_NAME][()]
                info.move(EEF_NAME, "right")
    with pytest.raises(SourceDataError, match=r"demo_0: actions: the entries of the gripper of 'left' are not known"):
        export_robomimic(dataset, output, eef_name="left")


def test_data_that_need_no_conversion_are_kept(tmp_path, output):
    source = make_mimicgen_file(tmp_path / "square.hdf5")
    with h5py.File(source, "r+") as file:
        for demo in file["data"].values():
            demo["action_dict/gripper"] = demo["actions"][:, -1:]
            demo["obs/robot/joint"] = demo["actions"][()]
            demo["next_obs/robot/joint"] = demo["actions"][()]
    done = export_robomimic(source, output)
    assert done.has_info
    assert done.left_out == ()
    with h5py.File(source) as before, h5py.File(output) as after:
        for name, demo in after["data"].items():
            old, new = read_tree(before[f"data/{name}"]), read_tree(demo)
            renamed = {path.replace("robot/joint", "robot_joint") for path in old}
            assert set(new) == renamed
            assert demo["datagen_info"].attrs["env_interface_name"] == "MG_Square"
        assert json.loads(after["data"].attrs["env_args"])["type"] == 1


def test_unknown_success_stays_unknown(tmp_path, output):
    source = make_mimicgen_file(tmp_path / "square.hdf5")
    with h5py.File(source, "r+") as file:
        for demo in file["data"].values():
            del demo["rewards"], demo["dones"]
    assert export_robomimic(source, output).num_unknown == 2
    with h5py.File(output) as file:
        assert "rewards" not in file["data/demo_0"]
        assert file["data/demo_0/dones"][-2:].tolist() == [0, 1]


def test_data_that_robomimics_layout_lacks_are_named(dataset, output, capsys):
    with h5py.File(dataset, "r+") as file:
        for demo in file["data"].values():
            del demo["initial_state"]
    command("export", ExportDatasetCfg(format="robomimic", input_file=str(dataset), output_file=str(output)))
    assert capsys.readouterr().out.splitlines()[-1].endswith(": states")
    export_robomimic(TWO_ARMS, output, eef_name="left", overwrite=True)
    done = export_robomimic(TWO_ARMS, output, eef_name="left", overwrite=True)
    assert done.left_out == ("obs/datagen_info/eef_pose/right", "obs/datagen_info/target_eef_pose/right")


def test_start_signals_are_exported_and_imported(dataset, output, tmp_path):
    with h5py.File(dataset, "r+") as file:
        for demo in file["data"].values():
            demo["obs/datagen_info/subtask_start_signals/grasp"] = np.arange(len(demo["actions"])) > 5
    export_robomimic(dataset, output)
    import_mimicgen(output, tmp_path / "back.hdf5", ImportOptions(EEF_NAME))
    with h5py.File(tmp_path / "back.hdf5") as file:
        signal = file["data/demo_0/obs/datagen_info/subtask_start_signals/grasp"]
        assert signal.dtype == bool
        assert int(signal[()].argmax()) == 6


def test_declared_quaternions_follow_the_new_names(dataset, output):
    with h5py.File(dataset, "r+") as file:
        env_args = json.loads(file["data"].attrs["env_args"])
        file["data"].attrs["env_args"] = json.dumps(env_args | {"quaternion_columns": {"cubes/orientation": [0]}})
        for demo in file["data"].values():
            demo["obs/cubes/orientation"] = np.tile(np.float32([0, 0, 0, 1]), (len(demo["actions"]), 1))
    export_robomimic(dataset, output)
    with h5py.File(output) as file:
        assert json.loads(file["data"].attrs["env_args"])["quaternion_columns"] == {"cubes_orientation": [0]}
