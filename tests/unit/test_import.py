"""Import of MimicGen's source files: generation reads the same values from the imported files."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.datasets.convert.mimicgen import ImportOptions, import_mimicgen
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.demos.source import load_source_demos
from isaaclab_mimic_ext.errors import ConfigError, MimicError, OutputError, SourceDataError
from tests.builders import OBJECT_NAMES, SIGNAL_NAMES, make_source_file
from tests.interchange_files import ROBOSUITE_ARGS, SRC_DEMO_INDS, make_mimicgen_file
from tests.left_out import left_out

RENAMED = ImportOptions("arm", {"ketchup": "nut"}, {"grasp": "grasped"})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_mimicgen_file(tmp_path / "square.hdf5")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "imported.hdf5"


def test_generation_reads_the_same_values_with_the_new_names(source, output):
    done = import_mimicgen(source, output, RENAMED)
    objects = ["nut" if name == "ketchup" else name for name in OBJECT_NAMES]
    signals = ["grasped" if name == "grasp" else name for name in SIGNAL_NAMES]
    assert (set(done.object_names), set(done.signal_names)) == (set(objects), set(signals))
    demos = load_source_demos(output, ["arm"], objects, signals, action_dim=7)
    with h5py.File(source) as file:
        for demo in demos:
            info = file[f"data/{demo.name}/datagen_info"]
            assert np.array_equal(demo.eef_pose["arm"], info["eef_pose"][()].astype(np.float32))
            assert np.array_equal(demo.target_eef_pose["arm"], info["target_pose"][()].astype(np.float32))
            for old, new in zip(OBJECT_NAMES, objects, strict=True):
                assert np.array_equal(demo.object_pose[new], info[f"object_poses/{old}"][()].astype(np.float32))
            for old, new in zip(SIGNAL_NAMES, signals, strict=True):
                assert np.array_equal(demo.subtask_term_signals[new], info[f"subtask_term_signals/{old}"][()] == 1)


def test_other_data_of_a_demo_are_kept(source, output):
    import_mimicgen(source, output, RENAMED)
    with h5py.File(source) as before, h5py.File(output) as after:
        for name, old in before["data"].items():
            new = after["data"][name]
            assert np.array_equal(new["source_states"][()], old["states"][()])
            assert np.array_equal(new["obs/agentview_image"][()], old["obs/agentview_image"][()])
            assert np.array_equal(new["obs/robot0_eef_pos"][()], old["obs/robot0_eef_pos"][()].astype(np.float32))
            assert np.array_equal(new["rewards"][()], old["rewards"][()])
            assert new["dones"].dtype == bool and np.array_equal(new["dones"][()], old["dones"][()])
            assert new.attrs["model_file"] == old.attrs["model_file"]
            assert new.attrs["env_interface_name"] == "MG_Square"
            assert new.attrs["src_demo_inds"].tolist() == SRC_DEMO_INDS.tolist()
            assert new.attrs["success"]
        assert after["mask/train"][()].tolist() == [b"demo_1"]
        assert after["data"].attrs["total"] == before["data"].attrs["total"]


def test_env_args_describe_the_new_file_and_the_source_file(source, output):
    import_mimicgen(source, output, RENAMED)
    with h5py.File(output) as file:
        now, then = (json.loads(file["data"].attrs[name]) for name in ("env_args", "source_env_args"))
        assert file.attrs["format_version"] == 1
    assert then == ROBOSUITE_ARGS
    assert (now["env_name"], now["type"], now["sim_args"]["dt"], now["eef_names"]) == ("Square_D0", 2, 0.05, ["arm"])


@pytest.mark.parametrize(
    ("env_type", "gripper_sign", "sign"), [(1, "auto", -1), (1, "keep", 1), (2, "auto", 1), (2, "flip", -1)]
)
def test_gripper_sign_is_flipped_for_robosuite_or_as_configured(tmp_path, output, env_type, gripper_sign, sign):
    source = make_mimicgen_file(tmp_path / "source.hdf5", {**ROBOSUITE_ARGS, "type": env_type})
    done = import_mimicgen(source, output, ImportOptions(gripper_sign=gripper_sign))
    assert done.gripper_flipped == (sign < 0)
    with h5py.File(source) as before, h5py.File(output) as after:
        old, new = before["data/demo_0/actions"][()].astype(np.float32), after["data/demo_0/actions"][()]
        assert np.array_equal(new[:, :-1], old[:, :-1])
        assert np.array_equal(new[:, -1], sign * old[:, -1])
        assert np.array_equal(after["data/demo_0/obs/datagen_info/gripper_action/franka"][:, 0], sign * old[:, -1])


def test_signals_of_shape_t_1_are_accepted(source, output):
    with h5py.File(source, "r+") as file:
        for demo in file["data"].values():
            info = demo["datagen_info/subtask_term_signals"]
            values = info["grasp"][()]
            del info["grasp"]
            info["grasp"] = values[:, None].astype(np.float64)
    import_mimicgen(source, output, ImportOptions())
    with h5py.File(output) as file:
        signal = file["data/demo_1/obs/datagen_info/subtask_term_signals/grasp"]
        assert signal.dtype == bool and np.array_equal(signal[()], values == 1)


def _delete(path: str) -> Callable[[h5py.Group], None]:
    return lambda demo: demo.__delitem__(path)


def _replace(path: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[h5py.Group], None]:
    def damage(demo: h5py.Group) -> None:
        values = demo[path][()]
        del demo[path]
        demo[path] = change(values)

    return damage


DAMAGES = [
    (_delete("datagen_info"), "datagen_info/eef_pose: not found, but demo_0"),
    (_delete("datagen_info/eef_pose"), "eef_pose: not found"),
    (_delete("datagen_info/target_pose"), "target_pose: not found"),
    (_delete("datagen_info/gripper_action"), "gripper_action: not found"),
    (_delete("datagen_info/object_poses"), "object_poses/basket: not found"),
    (_delete("datagen_info/object_poses/basket"), "object_poses/basket: not found, but demo_0"),
    (_delete("datagen_info/subtask_term_signals"), "subtask_term_signals/grasp: not found"),
    (_delete("datagen_info/subtask_term_signals/grasp"), "subtask_term_signals/grasp: not found, but demo_0"),
    (_delete("actions"), "dataset 'actions' of floats, .* not found"),
    (_replace("actions", lambda values: values[:, :, None]), "dataset .actions. of floats, shape .* not found"),
    (_replace("actions", lambda values: values[:-1]), "must have .* rows.*; create the demo again"),
    (_replace("datagen_info/eef_pose", lambda values: values[1:]), "datagen_info/eef_pose: must have"),
    (_replace("datagen_info/eef_pose", lambda values: values * np.nan), "eef_pose.*must be finite"),
    (_replace("datagen_info/target_pose", lambda values: values * 2), "must be a rigid pose"),
    (
        _replace("datagen_info/object_poses/basket", lambda values: values[:, :3]),
        r"object_poses/basket: must be .* per step as in demo_0 \(got \(3, 4\) float64\)",
    ),
    (
        _replace("datagen_info/subtask_term_signals/lift", lambda values: values + 1),
        r"must have shape \(T,\) and values 0 and 1",
    ),
    (_replace("datagen_info/gripper_action", lambda values: values + 0.5), "differs from the last 1 entries"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_damaged_demo_is_named_and_left_out(source, output, caplog, damage, message):
    with h5py.File(source, "r+") as file:
        damage(file["data/demo_1"])
    done, warning = left_out(lambda: import_mimicgen(source, output, ImportOptions()), caplog)
    assert re.search(f"demo_1.*{message}", warning)
    with h5py.File(output) as file:
        assert [*file["data"]] == ["demo_0"]
        assert file["mask/train"][()].tolist() == []
        assert file["data"].attrs["total"] == done.num_steps == len(file["data/demo_0/actions"])


def test_file_without_a_usable_demo_is_refused_and_no_file_is_written(source, output):
    with h5py.File(source, "r+") as file:
        for demo in file["data"].values():
            _replace("datagen_info/eef_pose", lambda values: values * np.nan)(demo)
    with pytest.raises(SourceDataError, match=r"demo_0: datagen_info/eef_pose: must be finite.*none of the 2 demos"):
        import_mimicgen(source, output, ImportOptions())
    assert {path.name for path in output.parent.iterdir()} == {"square.hdf5"}


def test_invalid_converted_demo_is_reported_under_the_name_of_the_source(source, output, caplog):
    with h5py.File(source, "r+") as file:
        _replace("datagen_info/target_pose", lambda values: values * 2)(file["data/demo_1"])
    _, warning = left_out(lambda: import_mimicgen(source, output, ImportOptions()), caplog)
    assert warning.startswith(f"{source}: demo_1 is left out: the converted demo is not valid: ")


@pytest.mark.parametrize("part", ["eef_pose", "target_pose", "gripper_action", "object_poses", "subtask_term_signals"])
def test_part_that_all_demos_lack_is_reported_with_a_remedy(source, output, part):
    with h5py.File(source, "r+") as file:
        for demo in file["data"].values():
            del demo[f"datagen_info/{part}"]
    with pytest.raises(SourceDataError, match=f"demo_0: datagen_info/{part}: missing.*annotate it first"):
        import_mimicgen(source, output, ImportOptions())


def test_plain_robomimic_file_must_be_annotated_first(tmp_path, output):
    source = make_mimicgen_file(tmp_path / "plain.hdf5", annotated=False)
    with pytest.raises(
        SourceDataError, match=r"datagen_info: not found; the file is a plain robomimic file.*annotate it first"
    ):
        import_mimicgen(source, output, ImportOptions())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ImportOptions(objects={"ketchop": "nut"}), "rename.objects.*'ketchop'.*did you mean 'ketchup'"),
        (ImportOptions(objects={"ketchup": "basket"}), "rename.objects.*both be called 'basket'"),
        (ImportOptions(signals={"grasped": "x"}), "rename.signals.*did you mean 'grasp'"),
        (ImportOptions(signals={"grasp": "a/b"}), "rename.signals.*'a/b'"),
        (ImportOptions(eef_name=""), "eef_name"),
        (ImportOptions(gripper_sign="flipped"), "gripper_sign.*did you mean 'flip'"),
    ],
)
def test_invalid_options_are_refused(source, output, options, message):
    with pytest.raises(ConfigError, match=message):
        import_mimicgen(source, output, options)
    assert not output.exists()


def test_file_in_isaac_labs_layout_is_refused(tmp_path, output):
    with pytest.raises(SourceDataError, match="already in Isaac Lab's layout"):
        import_mimicgen(make_source_file(tmp_path / "ours.hdf5"), output, ImportOptions())


def test_output_is_replaced_only_with_overwrite_and_the_input_never(source, output):
    output.write_bytes(b"precious")
    with pytest.raises(OutputError, match="already exists"):
        import_mimicgen(source, output, ImportOptions())
    assert output.read_bytes() == b"precious"
    with pytest.raises(OutputError, match="must differ from input_file"):
        import_mimicgen(source, source, ImportOptions(), overwrite=True)
    import_mimicgen(source, output, ImportOptions(), overwrite=True)
    assert h5py.is_hdf5(output)


def test_damaged_and_newer_files_are_refused(source, output):
    with h5py.File(source, "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(SourceDataError, match="format_version is 2"):
        import_mimicgen(source, output, ImportOptions())
    source.write_bytes(source.read_bytes()[:5000])
    with pytest.raises(MimicError, match=r"damaged|truncated"):
        import_mimicgen(source, output, ImportOptions())


def test_imported_file_without_states_of_the_scene_is_valid(source, output):
    import_mimicgen(source, output, ImportOptions())
    report = validate_dataset(output)
    assert report.is_valid()
    assert any(finding.place == "demo_0/states" and finding.level == "warning" for finding in report.findings)


def test_every_copy_of_the_gripper_commands_is_flipped(source, output):
    with h5py.File(source, "r+") as file:
        for demo in file["data"].values():
            actions = demo["actions"][()]
            for path in ("actions_abs", "obs/actions"):
                demo[path] = actions
            demo["action_dict/gripper"], demo["action_dict/abs_pos"] = actions[:, -1:], actions[:, :3]
    import_mimicgen(source, output, ImportOptions())
    with h5py.File(source) as before, h5py.File(output) as after:
        old, new = before["data/demo_1"], after["data/demo_1"]
        flipped = -old["actions"][:, -1].astype(np.float32)
        for path in ("actions", "actions_abs", "obs/actions", "action_dict/gripper"):
            assert np.array_equal(new[path][:, -1], flipped), path
        assert np.array_equal(new["action_dict/abs_pos"][()], old["action_dict/abs_pos"][()].astype(np.float32))
        assert np.array_equal(new["actions_abs"][:, :-1], old["actions"][:, :-1].astype(np.float32))


def _as_two_arms(file: h5py.File, layout: str) -> None:
    """Change a file of one arm such that a second arm repeats the first one, 1 m to the side, with the other gripper."""
    for demo in file["data"].values():
        arm = demo["actions"][()]
        other = np.concatenate((arm[:, :6], np.roll(arm[:, 6:], 3, axis=0)), axis=1)
        del demo["actions"]
        demo["actions"] = np.concatenate((arm, other), axis=1)
        info = demo["datagen_info"]
        for name in ("eef_pose", "target_pose"):
            pose = info[name][()]
            shifted = pose.copy()
            shifted[:, 1, 3] += 1.0
            del info[name]
            if layout == "groups":
                info[f"{name}/left"], info[f"{name}/right"] = pose, shifted
            else:
                stacked = np.stack((pose, shifted), axis=1)
                info[name] = stacked.reshape(len(pose), 8, 4) if layout == "rows" else stacked
        del info["gripper_action"]
        if layout == "groups":
            info["gripper_action/left"], info["gripper_action/right"] = arm[:, 6:], other[:, 6:]
        else:
            info["gripper_action"] = np.concatenate((arm[:, 6:], other[:, 6:]), axis=1)


@pytest.mark.parametrize("layout", ["stacked", "rows", "groups"])
def test_several_end_effectors_are_imported(source, output, layout):
    with h5py.File(source, "r+") as file:
        _as_two_arms(file, layout)
    options = ImportOptions() if layout == "groups" else ImportOptions(eef_names=["left", "right"])
    done = import_mimicgen(source, output, options)
    assert done.eef_names == ("left", "right")
    demos = load_source_demos(output, ("left", "right"), done.object_names, done.signal_names, 14)
    with h5py.File(source) as before, h5py.File(output) as after:
        old, new = before["data/demo_0/actions"][()].astype(np.float32), after["data/demo_0/actions"][()]
        env_args = json.loads(after["data"].attrs["env_args"])
        for name, column in (("left", 6), ("right", 13)):
            assert env_args["gripper_columns"][name] == [column]
            assert np.array_equal(new[:, column], -old[:, column])
            assert np.array_equal(after[f"data/demo_0/obs/datagen_info/gripper_action/{name}"][:, 0], -old[:, column])
    assert np.allclose(demos[0].eef_pose["right"][:, 1, 3], demos[0].eef_pose["left"][:, 1, 3] + 1.0)


def test_end_effectors_without_names_must_be_named(source, output):
    with h5py.File(source, "r+") as file:
        _as_two_arms(file, "stacked")
    with pytest.raises(ConfigError, match=r"has 2 end effectors.*eef_names=\[left,right\]"):
        import_mimicgen(source, output, ImportOptions())


def test_unknown_parts_of_datagen_info_are_kept(source, output):
    with h5py.File(source, "r+") as file:
        for demo in file["data"].values():
            demo["datagen_info/base_pose"] = demo["datagen_info/eef_pose"][()]
    import_mimicgen(source, output, ImportOptions())
    with h5py.File(output) as file:
        assert "base_pose" in file["data/demo_1/obs/datagen_info"]
