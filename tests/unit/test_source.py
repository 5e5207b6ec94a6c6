"""Source demos: data that is read, and errors for files that cannot be used."""

import random
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.demos.source import SourceDemo, load_source_demos
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.run.provenance import provenance
from tests.builders import ACTION_DIM, ACTION_SPEC, EEF_NAME, OBJECT_NAMES, make_source_file
from tests.left_out import left_out

INFO = "obs/datagen_info"
SIGNALS = ("reach", "grasp", "lift")


def load(path: Path, **changes) -> list[SourceDemo]:
    arguments = {
        "eef_names": [EEF_NAME],
        "object_names": OBJECT_NAMES,
        "signal_names_needed": SIGNALS,
        "action_dim": ACTION_DIM,
        "action_spec": ACTION_SPEC,
        **changes,
    }
    return load_source_demos(path, **arguments)


@pytest.fixture
def source_file(tmp_path: Path) -> Path:
    return make_source_file(tmp_path / "source.hdf5")


def refusal(path: Path, **changes) -> str:
    with pytest.raises(SourceDataError) as caught:
        load(path, **changes)
    assert str(path) in str(caught.value)
    return str(caught.value)


def replace(group: h5py.Group, key: str, values: object) -> None:
    del group[key]
    group[key] = values


def test_every_array_of_the_file_is_read(source_file):
    demo = load(source_file)[1]
    with h5py.File(source_file) as file:
        group = file["data/demo_1"]
        info = group[INFO]
        np.testing.assert_array_equal(demo.actions, group["actions"])
        np.testing.assert_array_equal(demo.eef_pose[EEF_NAME], info["eef_pose"][EEF_NAME])
        np.testing.assert_array_equal(demo.target_eef_pose[EEF_NAME], info["target_eef_pose"][EEF_NAME])
        for name in OBJECT_NAMES:
            np.testing.assert_array_equal(demo.object_pose[name], info["object_pose"][name])
        for name in SIGNALS:
            np.testing.assert_array_equal(demo.subtask_term_signals[name], info["subtask_term_signals"][name])
    assert demo.actions.dtype == np.float32
    assert demo.subtask_term_signals["reach"].dtype == bool
    assert list(demo.subtask_term_signals) == list(SIGNALS)


def test_demos_are_read_in_natural_order_of_their_names(tmp_path):
    path = make_source_file(tmp_path / "source.hdf5", num_demos=12)
    assert [demo.name for demo in load(path)] == [f"demo_{index}" for index in range(12)]


def test_both_format_versions_give_the_same_poses(tmp_path):
    old = load(make_source_file(tmp_path / "old.hdf5", format_version=0))
    new = load(make_source_file(tmp_path / "new.hdf5", format_version=1))
    for demo_old, demo_new in zip(old, new, strict=True):
        np.testing.assert_array_equal(demo_old.object_pose["ketchup"], demo_new.object_pose["ketchup"])


def test_signals_of_zeros_and_ones_in_a_column_are_accepted(source_file):
    expected = load(source_file)[0].subtask_term_signals["reach"]
    with h5py.File(source_file, "r+") as file:
        replace(file[f"data/demo_0/{INFO}/subtask_term_signals"], "reach", expected[:, None].astype(np.int64))
    np.testing.assert_array_equal(load(source_file)[0].subtask_term_signals["reach"], expected)


def test_actions_in_double_precision_are_accepted(source_file):
    expected = load(source_file)[0].actions
    with h5py.File(source_file, "r+") as file:
        replace(file["data/demo_0"], "actions", expected.astype(np.float64))
    np.testing.assert_array_equal(load(source_file)[0].actions, expected)


def test_missing_file_is_refused(tmp_path):
    assert "nothing.hdf5: not found; use the path of an existing HDF5 file" in refusal(tmp_path / "nothing.hdf5")


def test_folder_is_refused(tmp_path):
    assert "folder" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", bytes(4096)])
def test_file_that_is_not_hdf5_is_refused(tmp_path, content):
    path = tmp_path / "text.hdf5"
    path.write_bytes(content)
    assert "not an HDF5 file" in refusal(path)


def test_file_without_data_is_refused(tmp_path):
    path = tmp_path / "empty.hdf5"
    with h5py.File(path, "w") as file:
        file.create_group("episodes")
    message = refusal(path)
    assert "group 'data' not found" in message
    assert "episodes" in message


def test_file_without_demos_is_refused(tmp_path):
    assert "no demos" in refusal(make_source_file(tmp_path / "none.hdf5", num_demos=0))


def test_error_for_a_file_without_annotations_names_the_command(source_file, caplog):
    with h5py.File(source_file, "r+") as file:
        del file[f"data/demo_1/{INFO}"]
    _, message = left_out(lambda: load(source_file), caplog)
    output = source_file.with_stem(f"{source_file.stem}_annotated")
    assert "demo_1" in message
    assert f"`mimic annotate input_file={source_file} output_file={output}`" in message


def test_error_for_a_missing_object_lists_the_objects_of_the_file(source_file):
    message = refusal(source_file, object_names=["ketchop"])
    assert "object 'ketchop' not found" in message
    assert all(name in message for name in OBJECT_NAMES)
    assert "did you mean 'ketchup'" in message


def test_error_for_a_missing_signal_lists_the_signals_of_the_file(source_file):
    message = refusal(source_file, signal_names_needed=["pour"])
    assert "signal 'pour' not found" in message
    assert "reach" in message


def test_error_for_a_missing_end_effector_lists_the_end_effectors_of_the_file(source_file):
    assert "end effector 'left' not found; choices: franka" in refusal(source_file, eef_names=["left"])


def test_actions_with_a_different_number_of_entries_are_refused(source_file):
    message = refusal(source_file, action_dim=14)
    assert "actions: must have 14 entries per action, like those of this env (got 7); use demos recorded" in message


def test_actions_with_a_different_scale_are_refused(tmp_path):
    path = make_source_file(tmp_path / "other.hdf5", env_args={"action": {**ACTION_SPEC, "pos_scale": 1.0}})
    message = refusal(path)
    assert "was recorded with a different action space" in message
    assert "'pos_scale': 1.0" in message
    assert "'pos_scale': 0.05" in message


def test_file_without_a_description_of_its_actions_is_accepted(tmp_path):
    assert load(make_source_file(tmp_path / "isaac.hdf5", env_args={"action": None}))


@pytest.mark.parametrize("text", ["{", "[1]", "7", b"\xff\xfe"])
def test_env_args_that_are_not_a_json_object_are_refused(source_file, text):
    with h5py.File(source_file, "r+") as file:
        file["data"].attrs["env_args"] = text
    assert "env_args" in refusal(source_file)


def _not_finite(demo: h5py.Group) -> None:
    demo["actions"][3, 2] = np.nan


def _extra_action(demo: h5py.Group) -> None:
    actions = demo["actions"][()]
    replace(demo, "actions", np.concatenate((actions, actions[-1:])))


def _short_signal(demo: h5py.Group) -> None:
    signals = demo[f"{INFO}/subtask_term_signals"]
    replace(signals, "grasp", signals["grasp"][:-1])


def _quaternion_poses(demo: h5py.Group) -> None:
    replace(demo[f"{INFO}/eef_pose"], EEF_NAME, np.zeros((len(demo["actions"]), 7), np.float32))


def _scaled_rotation(demo: h5py.Group) -> None:
    demo[f"{INFO}/object_pose/ketchup"][5, :3, :3] *= np.float32(1.01)


def _mirrored_rotation(demo: h5py.Group) -> None:
    demo[f"{INFO}/object_pose/ketchup"][5, 0, :3] *= -1


def _transposed(demo: h5py.Group) -> None:
    dataset = demo[f"{INFO}/target_eef_pose/{EEF_NAME}"]
    dataset[...] = dataset[()].swapaxes(1, 2)


def _huge(demo: h5py.Group) -> None:
    demo[f"{INFO}/object_pose/ketchup"][0, 0, 0] = np.finfo(np.float32).max


def _text(demo: h5py.Group) -> None:
    replace(demo, "actions", np.full((60, ACTION_DIM), b"left"))


def _numbers_for_signal(demo: h5py.Group) -> None:
    replace(demo[f"{INFO}/subtask_term_signals"], "lift", np.linspace(0, 1, len(demo["actions"])))


def _no_steps(demo: h5py.Group) -> None:
    replace(demo, "actions", np.zeros((0, ACTION_DIM), np.float32))


def _no_actions(demo: h5py.Group) -> None:
    del demo["actions"]


def _actions_group(demo: h5py.Group) -> None:
    del demo["actions"]
    demo["actions/franka"] = np.zeros((60, ACTION_DIM), np.float32)


def _empty_actions_group(demo: h5py.Group) -> None:
    del demo["actions"]
    demo.create_group("actions")


def _empty_actions(demo: h5py.Group) -> None:
    replace(demo, "actions", h5py.Empty("f"))


def _too_many_steps(demo: h5py.Group) -> None:
    del demo["actions"]
    demo.create_dataset("actions", shape=(10**12, ACTION_DIM), dtype="f4", chunks=(1024, ACTION_DIM))


@pytest.mark.parametrize(
    ("damage", "fragments"),
    [
        (_not_finite, ["actions: must be finite (got NaN or infinity at step 3)"]),
        (_extra_action, ["eef_pose", "one row for each of the demo's", "actions"]),
        (_short_signal, ["subtask_term_signals/grasp: must have the shape"]),
        (_quaternion_poses, ["eef_pose/franka: must have the shape", ", 7))"]),
        (_scaled_rotation, ["object_pose/ketchup: must be a rigid pose, but is not at step 5"]),
        (_mirrored_rotation, ["step 5", "mirrored"]),
        (_transposed, ["target_eef_pose/franka: must be a rigid pose"]),
        (_huge, ["must be a rigid pose, but is not at step 0"]),
        (_text, ["actions: must have the dtype float32 (got |S4)"]),
        (_numbers_for_signal, ["lift: must contain only false and true"]),
        (_no_steps, ["must have at least one step (got 0)"]),
        (_no_actions, ["actions: not found"]),
        (_actions_group, ["actions: must be a dataset (got a group)"]),
        (_empty_actions_group, ["actions: not found"]),
        (_empty_actions, ["actions: must not be empty"]),
        (_too_many_steps, ["got 1000000000000)"]),
    ],
)
def test_damaged_demo_is_left_out_with_its_name(
    source_file, caplog, damage: Callable[[h5py.Group], None], fragments: list[str]
):
    with h5py.File(source_file, "r+") as file:
        names = {*file["data"]}
        damage(file["data/demo_2"])
    demos, message = left_out(lambda: load(source_file), caplog)
    assert {demo.name for demo in demos} == names - {"demo_2"}
    assert str(source_file) in message
    assert "demo_2" in message
    for fragment in fragments:
        assert fragment in message


def test_dangling_link_is_left_out(source_file, caplog):
    with h5py.File(source_file, "r+") as file:
        file["data/demo_9"] = h5py.SoftLink("/nowhere")
    _, message = left_out(lambda: load(source_file), caplog)
    assert "demo_9 is left out: is a link to /nowhere, which is not in the file" in message


def test_fault_of_all_demos_is_one_error(source_file, caplog):
    with h5py.File(source_file, "r+") as file:
        num_demos = len(file["data"])
        for demo in file["data"].values():
            del demo["actions"]
    assert "demo_0: actions: not found; record the demo again" in refusal(source_file)
    assert f"(none of the {num_demos} demos can be used)" in refusal(source_file)
    assert not caplog.records


def test_only_the_first_faults_are_listed_and_all_are_counted(tmp_path, caplog):
    path = make_source_file(tmp_path / "many.hdf5", num_demos=9, length=10)
    with h5py.File(path, "r+") as file:
        for index in range(1, 9):
            del file[f"data/demo_{index}/actions"]
    assert [demo.name for demo in load(path)] == ["demo_0"]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 6
    assert messages[-1] == f"{path}: 8 demos are left out in all"


@pytest.mark.parametrize("part", ["eef_pose", "target_eef_pose", "object_pose", "subtask_term_signals"])
def test_demo_without_a_part_of_the_annotation_is_left_out(source_file, caplog, part):
    with h5py.File(source_file, "r+") as file:
        del file[f"data/demo_0/{INFO}/{part}"]
    _, message = left_out(lambda: load(source_file), caplog)
    assert "not fully annotated" in message


@pytest.mark.slow
def test_damaged_bytes_raise_only_source_data_errors(tmp_path, caplog):
    # Without action_spec: HDF5 itself can loop indefinitely on a damaged heap of variable-length strings.
    path = make_source_file(tmp_path / "source.hdf5", num_demos=2, length=10)
    original, refused = path.read_bytes(), 0
    for seed in range(300):
        path.write_bytes(_damaged(original, random.Random(seed)))
        caplog.clear()
        try:
            load(path, action_spec=None)
            refused += bool(caplog.records)
        except SourceDataError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 50


def _damaged(content: bytes, rng: random.Random) -> bytes:
    kind = rng.choice(("flip", "truncate", "zero", "overwrite"))
    if kind == "truncate":
        return content[: rng.randrange(len(content))]
    damaged = bytearray(content)
    if kind == "flip":
        for _ in range(rng.choice((1, 8, 64, 512))):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        return bytes(damaged)
    start, count = rng.randrange(len(damaged) - 512), rng.choice((8, 64, 512))
    damaged[start : start + count] = bytes(count) if kind == "zero" else rng.randbytes(count)
    return bytes(damaged)


def test_demos_that_are_left_out_do_not_count_in_the_digest_of_the_sources(source_file):
    names = [demo.name for demo in load(source_file)]
    before = provenance(source_file, names, "desktop_organizer")
    with h5py.File(source_file, "r+") as file:
        file["data/demo_9"] = h5py.ExternalLink("moved_away.hdf5", "/data/demo_0")
    assert provenance(source_file, names, "desktop_organizer") == before
    assert provenance(source_file, names[1:], "desktop_organizer") != before
