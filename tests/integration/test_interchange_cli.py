"""Import, export and preparation, started as a user starts them: both spellings of options, and errors of one line."""

from pathlib import Path

import h5py
import pytest

from tests.forked_scripts import message_of, run_script
from tests.interchange_files import make_image_dataset, make_mimicgen_file

# fmt: off
BAD_INPUT = [
    ("import_dataset", ["output_file=o.hdf5"], ["input_file", "must be set"]),
    ("import_dataset", ["input_file=nope.hdf5", "output_file=o.hdf5"], ["nope.hdf5", "not found"]),
    ("import_dataset", ["input_file=square.hdf5", "output_file=o.hdf5", "rename.objects={ketchop: x}"],
     ["rename.objects", "'ketchup'"]),
    ("import_dataset", ["input_file=square.hdf5", "output_file=o.hdf5", "rename.object={a: b}"],
     ["rename.object", "'objects'"]),
    ("import_dataset", ["input_file=demo.hdf5", "output_file=o.hdf5"], ["already in Isaac Lab's layout"]),
    ("import_dataset", ["input_file=square.hdf5", "output_file=demo.hdf5"], ["demo.hdf5 already exists", "overwrite=true"]),
    ("export_dataset", ["input_file=demo.hdf5"], ["format", "must be set"]),
    ("export_dataset", ["input_file=demo.hdf5", "--format", "lerobott"], ["format", "did you mean 'lerobot'?"]),
    ("export_dataset", ["input_file=demo.hdf5", "format=robomimic"], ["output_file", "no value"]),
    ("export_dataset", ["input_file=demo.hdf5", "format=robomimic", "output_dir=x"], ["output_dir", "use output_file"]),
    ("export_dataset", ["input_file=demo.hdf5", "format=robomimic", "output_file=o.hdf5", "eef_name=arm"],
     ["eef_name", "franka"]),
    ("prepare_dataset", ["input_file=demo.hdf5", "output_file=o.hdf5", "--add_rtg"], ["did you mean '--add_rtgs'?"]),
    ("prepare_dataset", ["input_file=demo.hdf5", "output_file=o.hdf5", "--img_key=agentview"],
     ["img_key", "'agentview_image'"]),
    ("prepare_dataset", ["input_file=demo.hdf5", "output_file=o.hdf5", "crop_dim=abc"], ["crop_dim", "'abc'"]),
    ("prepare_dataset", ["input_file=demo.hdf5", "output_file=."], ["is a folder"]),
]
# fmt: on


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_image_dataset(tmp_path / "demo.hdf5")
    make_mimicgen_file(tmp_path / "square.hdf5")
    return tmp_path


@pytest.mark.parametrize(("script", "arguments", "words"), BAD_INPUT)
def test_bad_input_gets_one_clear_line_and_exit_code_2(script, arguments, words, folder):
    done = run_script(script, *arguments, cwd=folder)
    message = message_of(done)
    assert [word for word in words if word not in message] == [], message
    assert done.returncode == 2
    assert {path.name for path in folder.iterdir()} == {"demo.hdf5", "square.hdf5"}


@pytest.mark.parametrize("script", ["import_dataset", "export_dataset", "prepare_dataset"])
def test_help_names_the_fields(script, tmp_path):
    done = run_script(script, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "\n  input_file = " in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [
            "--add_rtgs",
            "--low_dim_keys",
            "--compress",
            "--sparse_reward",
            "--input_file",
            "demo.hdf5",
            "--output_file=o.hdf5",
        ],
        [
            "add_rtgs=true",
            "low_dim_keys=true",
            "compress=true",
            "sparse_reward=true",
            "input_file=demo.hdf5",
            "output_file=o.hdf5",
        ],
    ],
)
def test_preparation_accepts_both_spellings_of_options(arguments, folder):
    done = run_script("prepare_dataset", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Prepared 3 demos" in done.stdout and "Observations: actions, eef_pos" in done.stdout
    with h5py.File(folder / "o.hdf5") as file:
        assert file["data/demo_0/returns_to_go"][0] == 1.0


def test_image_preparation_with_flags(folder):
    arguments = ["--add_rtgs", "--sparse_reward", "--compress", "--img_key=agentview_image", "--crop_dim=16"]
    done = run_script("prepare_dataset", *arguments, "input_file=demo.hdf5", "output_file=o.hdf5", cwd=folder)
    assert done.returncode == 0, done.stderr
    with h5py.File(folder / "o.hdf5") as file:
        assert file["data/demo_0/obs/agentview_image"].shape[1:] == (16, 16, 3)


def test_import_and_export_report_their_results(folder):
    done = run_script(
        "import_dataset", "input_file=square.hdf5", "output_file=i.hdf5", "rename.objects={ketchup: nut}", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert "Imported 2 demos, 123 steps" in done.stdout and "nut" in done.stdout and "gripper_sign=keep" in done.stdout
    done = run_script(
        "export_dataset", "format=robomimic", "input_file=i.hdf5", "output_file=o.hdf5", "--next_obs", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert "Exported 2 demos, 123 steps" in done.stdout and "With datagen_info" in done.stdout
    with h5py.File(folder / "o.hdf5") as file:
        assert "nut" in file["data/demo_0/datagen_info/object_poses"] and "next_obs" in file["data/demo_0"]
