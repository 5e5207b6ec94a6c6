"""Validation: each fault, planted into a generated file, must be reported with its place."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.config import ValidateDatasetCfg
from isaaclab_mimic_ext.datasets.findings import ValidationReport
from isaaclab_mimic_ext.datasets.replay_dataset import replay_dataset
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.errors import InvalidDataset, SourceDataError
from tests.builders import make_source_file
from tests.jobs import command, run_generation
from tests.kinematic_sources import generate_cfg
from tests.tiers import first_in_check

Plant = Callable[[h5py.File], object]
KETCHUP = "states/rigid_object/ketchup/root_pose"


@pytest.fixture(scope="module")
def generated(kinematic_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    run_generation(generate_cfg(kinematic_source, folder, "num_envs=4", "datagen_config.generation_num_trials=4"))
    return folder / "demo.hdf5"


@pytest.fixture
def dataset(generated: Path, tmp_path: Path) -> Path:
    """A generated file without digests of demos, which would detect all planted faults."""
    path = Path(shutil.copyfile(generated, tmp_path / "demo.hdf5"))
    with h5py.File(path, "r+") as file:
        for demo in file["data"].values():
            demo.attrs.pop("digest", None)
    return path


def validate_planted(path: Path, plant: Plant) -> ValidationReport:
    with h5py.File(path, "r+") as file:
        plant(file)
    return validate_dataset(path, time_limit=None)


def change(path: str, index: object, value: object) -> Plant:
    def plant(file: h5py.File) -> None:
        file[path][index] = value

    return plant


def store(path: str, values: object) -> Plant:
    def plant(file: h5py.File) -> None:
        if path in file:
            del file[path]
        file[path] = values

    return plant


def drop(path: str) -> Plant:
    def plant(file: h5py.File) -> None:
        del file[path]

    return plant


def attribute(place: str, name: str, value: object) -> Plant:
    def plant(file: h5py.File) -> None:
        file[place].attrs.pop(name, None)
        if value is not None:
            file[place].attrs[name] = value

    return plant


def copy_demo(name: str) -> Plant:
    return lambda file: file.copy(file["data/demo_1"], file["data"], name)


def add_huge(file: h5py.File) -> None:
    file["data/demo_1/obs"].create_dataset("huge", shape=(len(file["data/demo_1/actions"]), 2**28), dtype="f4")


def names(*demos: str) -> np.ndarray:
    return np.array(demos, dtype="S")


# fmt: off
ERRORS: list[tuple[str, Plant, list[str]]] = [
    ("actions", drop("data/demo_2/actions"), ["demo_2/actions", "missing"]),
    ("actions", store("data/demo_2/actions", np.zeros((0, 7), "f4")), ["demo_2/actions", "(0, 7)"]),
    ("actions", store("data/demo_2/actions", np.zeros((9, 7), "i4")), ["demo_2/actions", "int32"]),
    ("structure", drop("data/demo_1/states"), ["demo_1/states", "missing"]),
    ("structure", drop("data/demo_1/obs"), ["demo_1/obs", "missing"]),
    ("structure", drop("data/demo_1/initial_state"), ["demo_1/initial_state", "missing"]),
    ("schema", drop("data/demo_3/obs/eef_pos"), ["demo_3/obs/eef_pos", "missing", "as in demo_0"]),
    ("shape", store("data/demo_1/obs/eef_pos", np.zeros((3, 3), "f4")), ["demo_1/obs/eef_pos", "(3, 3)", "rows"]),
    ("shape", store("data/demo_1/initial_state/rigid_object/ketchup/root_pose", np.zeros((2, 7), "f4")),
     ["ketchup/root_pose", "(2, 7)", "1 rows"]),
    ("dtype", store("data/demo_1/obs/words", names("a", "b")), ["demo_1/obs/words", "numbers"]),
    ("size", add_huge, ["demo_1/obs/huge", "bytes"]),
    ("finite", change("data/demo_1/obs/joint_vel", (4, 2), np.nan), ["demo_1/obs/joint_vel", "step 4"]),
    ("finite", change("data/demo_1/actions", (7, 0), np.inf), ["demo_1/actions", "step 7"]),
    ("quaternion", change("data/demo_1/obs/eef_quat", 5, [0, 0, 0, 1.01]), ["demo_1/obs/eef_quat", "step 5", "0.01"]),
    ("quaternion", change(f"data/demo_1/{KETCHUP}", (6, slice(3, 7)), 0.0), [f"demo_1/{KETCHUP}", "step 6"]),
    ("action range", change("data/demo_1/actions", (8, 1), 1.5), ["demo_1/actions", "1.5 at step 8", "-1 to 1"]),
    ("dones", change("data/demo_1/dones", 3, True), ["demo_1/dones", "step 3"]),
    ("jump", change(f"data/demo_1/{KETCHUP}", (9, 0), 5.0), [f"demo_1/{KETCHUP}", "after step 8", "10 m/s"]),
    ("jump", change(f"data/demo_1/{KETCHUP}", (0, 0), 5.0), [f"demo_1/{KETCHUP}", "after the initial state"]),
    ("jump", change("data/demo_1/states/articulation/robot/joint_position", (9, 2), 3.0), ["joint_position", "rad"]),
    ("obs and states", change("data/demo_1/obs/ketchup_pos", (9, 0), 0.3), ["demo_1/obs/ketchup_pos", "step 9"]),
    ("obs and states", change("data/demo_1/obs/joint_pos", (9, 0), 0.3), ["demo_1/obs/joint_pos", "step 9"]),
    ("obs and states", change("data/demo_1/obs/ketchup_quat", 9, [1, 0, 0, 0]), ["demo_1/obs/ketchup_quat", "step 9"]),
    ("num_samples", attribute("data/demo_1", "num_samples", None), ["demo_1", "missing"]),
    ("num_samples", attribute("data/demo_1", "num_samples", 3), ["demo_1", "3", "the number of actions"]),
    ("success", attribute("data/demo_1", "success", None), ["demo_1", "no attribute"]),
    ("success", attribute("data/demo_1", "success", "x"), ["demo_1", "'x'", "true or false"]),
    ("total", attribute("data", "total", 3), ["total", "3", "the steps of all demos"]),
    ("total", attribute("data", "total", None), ["total", "missing"]),
    ("env_args", attribute("data", "env_args", None), ["env_args", "missing"]),
    ("env_args", attribute("data", "env_args", "{"), ["env_args", "'{'"]),
    ("env_args", attribute("data", "env_args", '{"type": 2}'), ["env_name", "None"]),
    ("numbering", lambda file: file.move("data/demo_2", "data/demo_9"), ["data", "no demo_2"]),
    ("numbering", lambda file: file.move("data/demo_3", "data/take_3"), ["data/take_3", "demo_<number>"]),
    ("duplicate", copy_demo("demo_4"), ["demo_4", "the actions of demo_1"]),
    ("mask", store("mask/train", names("demo_0", "demo_99")), ["mask/train", "'demo_99'"]),
    ("mask", store("mask/train", names("demo_0", "demo_0")), ["mask/train", "a demo twice"]),
    ("mask", store("mask", np.zeros(2)), ["mask", "a dataset"]),
]
WARNINGS: list[tuple[str, Plant, list[str]]] = [
    ("success", attribute("data/demo_1", "success", False), ["demo_1", "a failed demo"]),
    ("dones", lambda file: file["data/demo_1/dones"].write_direct(np.zeros(len(file["data/demo_1/dones"]), bool)),
     ["demo_1/dones", "false throughout"]),
]
# fmt: on


def test_generated_file_has_no_findings(dataset: Path) -> None:
    report = validate_dataset(dataset)
    assert report.findings == ()
    assert report.is_valid(strict=True)
    assert report.num_demos == 4


@pytest.mark.slow
@pytest.mark.parametrize("format_version", [0, 1])
def test_both_quaternion_orders_are_valid(tmp_path: Path, format_version: int) -> None:
    path = make_source_file(tmp_path / "source.hdf5", format_version=format_version)
    assert validate_dataset(path).is_valid(strict=True)


@pytest.mark.parametrize(("check", "plant", "words"), ERRORS)
def test_error_is_reported_with_its_place(dataset: Path, check: str, plant: Plant, words: list[str]) -> None:
    report = validate_planted(dataset, plant)
    found = [str(finding) for finding in report.findings if finding.check == check and finding.level == "error"]
    assert any(all(word in text for word in words) for text in found), report.as_text()
    assert not report.is_valid()


@pytest.mark.parametrize(("check", "plant", "words"), WARNINGS)
def test_warning_is_a_fault_only_if_strict(dataset: Path, check: str, plant: Plant, words: list[str]) -> None:
    report = validate_planted(dataset, plant)
    (finding,) = report.findings
    assert (finding.level, finding.check) == ("warning", check)
    assert all(word in str(finding) for word in words)
    assert report.is_valid() and not report.is_valid(strict=True)


def test_float64_is_a_warning(dataset: Path) -> None:
    def plant(file: h5py.File) -> None:
        for demo in file["data"].values():
            values = demo["obs/eef_pos"][()].astype(np.float64)
            del demo["obs/eef_pos"]
            demo["obs/eef_pos"] = values

    report = validate_planted(dataset, plant)
    assert report.counts == {"warning: dtype": 4}


def test_demo_in_both_train_and_valid_is_reported(dataset: Path) -> None:
    def plant(file: h5py.File) -> None:
        file["mask/train"], file["mask/valid"] = names("demo_0", "demo_1"), names("demo_1")

    assert "'demo_1' is in train and in valid" in validate_planted(dataset, plant).as_text()


def test_quaternions_of_opposite_sign_are_equal(dataset: Path) -> None:
    def plant(file: h5py.File) -> None:
        file["data/demo_1/obs/ketchup_quat"][...] *= -1

    assert validate_planted(dataset, plant).is_valid(strict=True)


def test_images_are_read_in_blocks_and_checked(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isaaclab_mimic_ext.datasets.demo_checks._BLOCK", 100)

    def plant(file: h5py.File) -> None:
        for demo in file["data"].values():
            demo["obs/depth"] = np.zeros((len(demo["actions"]), 4, 4, 1), np.float32)
        file["data/demo_2/obs/depth"][20] = np.nan

    text = validate_planted(dataset, plant).as_text()
    assert "demo_2/obs/depth: finite: NaN or infinity at step 20" in text


def test_damaged_chunk_is_reported_with_its_demo(dataset: Path) -> None:
    def plant(file: h5py.File) -> None:
        values = np.random.default_rng(0).random((len(file["data/demo_1/actions"]), 64), dtype=np.float32)
        for demo in file["data"].values():
            demo.create_dataset("obs/noise", data=np.resize(values, (len(demo["actions"]), 64)), fletcher32=True)

    with h5py.File(dataset, "r+") as file:
        plant(file)
        offset = file["data/demo_1/obs/noise"].id.get_chunk_info(0).byte_offset
    with open(dataset, "rb+") as raw:
        raw.seek(offset + 8)
        raw.write(b"\xff\xfe\xfd\xfc")
    report = validate_dataset(dataset)
    assert any(finding.check == "damage" and finding.place == "demo_1" for finding in report.findings), report.as_text()


def test_repeated_fault_is_listed_five_times_and_counted(dataset: Path) -> None:
    def plant(file: h5py.File) -> None:
        for number in range(4, 12):
            file.copy(file["data/demo_1"], file["data"], f"demo_{number}")

    report = validate_planted(dataset, plant)
    assert report.counts["error: duplicate"] == 8
    assert sum(finding.check == "duplicate" for finding in report.findings) == 5
    assert "error: duplicate: 3 more" in report.as_text()


@pytest.mark.parametrize("version", [2, -1, 1.5, "new", [1, 1]])
def test_unknown_format_version_is_refused(dataset: Path, version: object) -> None:
    with pytest.raises(SourceDataError, match=r"format_version is .* supported are 0, 1"):
        validate_planted(dataset, attribute("/", "format_version", version))


def damage_heap(path: Path, item: str, content: bytes) -> None:
    """Overwrite the header of the first object in the file's heap for values of variable length."""
    with h5py.File(path, "r+") as file:
        file[item].attrs["names"] = [f"name {index}" * index for index in range(300)]
    start = path.read_bytes().index(b"GCOL")
    with open(path, "r+b") as file:
        file.seek(start + 16)
        file.write(content)


@pytest.mark.slow
@pytest.mark.parametrize("item", first_in_check(["data/demo_1/obs", "/", "data", "data/demo_1", "data/demo_1/actions"]))
def test_file_that_hdf5_reads_indefinitely_is_reported_as_damaged(dataset: Path, item: str) -> None:
    damage_heap(dataset, item, bytes(16))  # Free space of size 0: HDF5 continues at the same place.
    reason = r"demo\.hdf5: the file is damaged: HDF5 does not finish reading it \(no progress for 2 s\); copy the file"
    with pytest.raises(SourceDataError, match=reason):
        validate_dataset(dataset, time_limit=2.0)


def test_crash_of_hdf5_is_reported_as_damage(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = "import h5py, os, signal; h5py.File = lambda *_: os.kill(os.getpid(), signal.SIGSEGV)"
    (tmp_path / "sitecustomize.py").write_text(crash)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SourceDataError, match=r"the file is damaged: HDF5 crashes when reading it \(SIGSEGV\)"):
        validate_dataset(dataset)


def test_progress_of_the_child_process_is_reported(dataset: Path) -> None:
    calls: list[tuple[int, int]] = []
    validate_dataset(dataset, on_progress=lambda done, total: calls.append((done, total)))
    assert calls == [(number, 4) for number in range(1, 5)]


def test_replays_report_success_and_state_error(dataset: Path) -> None:
    report = validate_dataset(dataset, num_replays=3)
    assert report.replays is not None
    assert (report.replays["num_demos"], report.replays["success_rate"]) == (3, 1.0)
    assert report.replays["largest_object_error"] < 1e-5
    assert "replayed 3 demos: 100% successful" in report.as_text()


def test_success_that_fails_when_replayed_is_a_warning(dataset: Path) -> None:
    def plant(file: h5py.File) -> None:
        for demo in file["data"].values():
            demo["actions"][:, 6] = 1.0  # The gripper never closes.

    with h5py.File(dataset, "r+") as file:
        plant(file)
    report = validate_dataset(dataset, num_replays=9)
    assert report.replays is not None and report.replays["num_successes"] == 0
    assert report.counts["warning: replay"] == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_args", "reason"),
    [
        ({"env_name": "desktop_organizer", "type": 2, "engine": "isaaclab"}, "isaaclab"),
        ({"env_name": "desktop_organizer", "type": 2}, "does not name"),
        ({"env_name": "nowhere", "type": 2, "engine": "kinematic"}, "'nowhere' not found"),
        ({"env_name": "desktop_organizer", "type": 2, "engine": "kinematic", "action": {"type": "joint"}}, "action space"),
    ],
)
def test_report_states_why_a_file_cannot_be_replayed(dataset: Path, env_args: dict[str, object], reason: str) -> None:
    with h5py.File(dataset, "r+") as file:
        file["data"].attrs["env_args"] = json.dumps(env_args)
    report = validate_dataset(dataset, num_replays=1)
    assert report.replays is None
    assert reason in str(report.replay_note)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [({"env_name": None}, "env_args.env_name: must be"), ({"action": {"type": "joint"}}, "env_args.action: the demos")],
)
def test_file_that_cannot_be_replayed_is_named(dataset: Path, changes: dict[str, object], fault: str) -> None:
    with h5py.File(dataset, "r+") as file:
        env_args = json.loads(file["data"].attrs["env_args"])
        file["data"].attrs["env_args"] = json.dumps(env_args | {"engine": "kinematic"} | changes)
    with pytest.raises(SourceDataError, match=f"^{re.escape(f'{dataset}: {fault}')}"):
        replay_dataset(dataset)


@pytest.mark.slow
def test_command_prints_the_report_and_fails_on_faults(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = ValidateDatasetCfg(input_file=str(dataset), num_replays=0, json=True)
    command("validate", cfg)
    assert json.loads(capsys.readouterr().out)["valid"] is True
    with h5py.File(dataset, "r+") as file:
        file["data/demo_1"].attrs["success"] = False
    command("validate", cfg)
    with pytest.raises(InvalidDataset, match="0 errors, 1 warning;"):
        command("validate", ValidateDatasetCfg(input_file=str(dataset), num_replays=0, strict=True))
