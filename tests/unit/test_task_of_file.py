"""Commands take the task from the files that they read; a file of a different task is refused."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.commands.recorded import find_config_dirs, task_of_files, words_of_recording
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS
from isaaclab_mimic_ext.config.hydra import conf_dir
from isaaclab_mimic_ext.config.recorded_task import check_recorded_task
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.writing import store_path
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.session import opened_store
from tests.forked_scripts import message_of, run_mimic

STACK = {
    "env_name": "stack_cube",
    "engine": "mujoco",
    "object_names": ["cube_1", "cube_2", "cube_3"],
    "eef_names": ["franka"],
}
GYM = {"env_name": "Isaac-Stack-Cube-Franka-IK-Rel-Mimic-v0"}


def write_file(path: Path, env_args: Mapping[str, Any]) -> str:
    with h5py.File(path, "w") as file:
        file.attrs["format_version"] = 1
        file.create_group("data/demo_0")["actions"] = torch.zeros(3, 7)
        file["data"].attrs["env_args"] = json.dumps(env_args)
    return str(path)


def write_checkpoint(path: Path, env_args: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    shapes = {"all_shapes": {}, "ac_dim": 7}
    content = {"model": {}, "config": "{}", "algo_name": "bc", "shape_metadata": shapes, "env_metadata": dict(env_args)}
    torch.save({**content, "isaaclab_mimic_ext": dict(facts)}, path)
    return str(path)


@pytest.mark.parametrize(
    ("env_args", "task"),
    [
        (STACK, ["task=stack_cube"]),
        ({**STACK, "preset": "stack_cube_mimicgen_d0"}, ["task=stack_cube_mimicgen_d0"]),
        ({**GYM, "engine": "isaaclab", "task": "stack_cube"}, ["task=stack_cube"]),
        ({**GYM, "engine": "isaaclab"}, []),
        (GYM, []),
        ({"env_name": "square"}, []),
        ({}, []),
    ],
)
def test_task_is_taken_from_files_of_this_package(env_args: Mapping[str, Any], task: Sequence[str], tmp_path: Path) -> None:
    path = write_file(tmp_path / "raw.hdf5", env_args)
    for script in ("annotate_demos", "check_demos", "generate", "train"):
        words, source = task_of_files([f"input_file={path}"], SCRIPT_SCHEMAS[script])
        assert words == task and source == (path if task else "")
    assert task_of_files([f"input_file={path}"], SCRIPT_SCHEMAS["split_dataset"]) == ([], "")


@pytest.mark.parametrize("given", ["task=desktop_organizer", "task.name=mine", "++task.id=X-v0"])
def test_given_task_is_kept(given: str, tmp_path: Path) -> None:
    path = write_file(tmp_path / "raw.hdf5", STACK)
    assert task_of_files([given, f"input_file={path}"], SCRIPT_SCHEMAS["generate"]) == ([], "")


@pytest.mark.parametrize("value", ["none.hdf5", "a.hdf5,b.hdf5", "???", "null"])
def test_files_that_cannot_be_read_leave_the_report_to_the_command(value: str) -> None:
    assert task_of_files([f"input_file={value}", f"checkpoint={value}"], SCRIPT_SCHEMAS["evaluate"]) == ([], "")


def test_task_of_an_evaluation_is_that_of_the_checkpoint(tmp_path: Path) -> None:
    demos = write_file(tmp_path / "demo.hdf5", {**STACK, "env_name": "desktop_organizer"})
    of_preset = write_checkpoint(tmp_path / "a.pth", {**STACK, "preset": "stack_cube_mimicgen_d1"}, {"task": "stack_cube"})
    for checkpoint in (of_preset, f"[{of_preset},other.pth]", str(tmp_path)):
        words = [f"input_file={demos}", f"checkpoint={checkpoint}"]
        assert task_of_files(words, SCRIPT_SCHEMAS["evaluate"])[0] == ["task=stack_cube_mimicgen_d1"]
    of_robomimic = write_checkpoint(tmp_path / "b.pth", {"env_name": "Lift"}, {})
    assert task_of_files([f"checkpoint={of_robomimic}"], SCRIPT_SCHEMAS["evaluate"]) == ([], "")


def test_file_of_an_own_task_whose_folder_is_not_known_asks_for_the_folder(tmp_path: Path) -> None:
    path = write_file(tmp_path / "raw.hdf5", {**STACK, "env_name": "pick_cube"})
    with pytest.raises(SourceDataError, match=r"recorded for task 'pick_cube', which is not found; .*--config-dir <folder>"):
        find_config_dirs([f"input_file={path}", "task=pick_cube"], [conf_dir()])


def test_variant_of_the_same_task_fits_and_other_tasks_are_named() -> None:
    stack, organizer = mimic.load_task("stack_cube_mimicgen_d0"), mimic.load_task("desktop_organizer_wide")
    check_recorded_task("a.hdf5", STACK, stack)
    check_recorded_task("a.hdf5", {**STACK, "env_name": "desktop_organizer"}, organizer)
    for unknown in (GYM, {}):
        check_recorded_task("a.hdf5", unknown, organizer)
    recorded = {**STACK, "preset": "stack_cube_mimicgen_d1"}
    with pytest.raises(SourceDataError, match=r"was recorded for task 'stack_cube_mimicgen_d1', not 'desktop_orga"):
        check_recorded_task("a.hdf5", recorded, organizer)


def test_own_task_may_use_source_demos_of_a_task_with_all_of_its_objects() -> None:
    own = mimic.load_task("stack_cube")
    own.name = "stack_two"
    check_recorded_task("a.hdf5", STACK, own)
    with pytest.raises(SourceDataError, match="was recorded for task 'stack_cube', not 'stack_two'"):
        check_recorded_task("a.hdf5", {**STACK, "object_names": ["cube_1"]}, own)


def test_env_records_the_preset_only_if_it_differs_from_the_task() -> None:
    for preset, entry in (("stack_cube_mimicgen_d0", {"preset": "stack_cube_mimicgen_d0"}), ("stack_cube", {})):
        env_args = mimic.make_env(mimic.load_task(preset), "kinematic").env_args()
        assert {name: value for name, value in env_args.items() if name == "preset"} == entry


@pytest.fixture(scope="module")
def raw_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recording of a preset of a task that is not the default task."""
    path = tmp_path_factory.mktemp("raw") / "raw.hdf5"
    env = mimic.make_env(mimic.load_task("stack_cube_mimicgen_d0"), "kinematic", num_envs=1)
    env.reset(torch.arange(1), Draws(1, torch.arange(1)))
    mimic.record(env, path, num_demos=1)
    return path


@pytest.mark.slow
def test_command_annotates_a_recording_without_naming_its_task(raw_file: Path, tmp_path: Path) -> None:
    words = ("sim=kinematic", f"input_file={raw_file}", "output_file=annotated.hdf5")
    done = run_mimic("annotate", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"Using task 'stack_cube_mimicgen_d0', as recorded in {raw_file}" in done.stderr
    with h5py.File(tmp_path / "annotated.hdf5") as file:
        assert json.loads(file["data"].attrs["env_args"])["preset"] == "stack_cube_mimicgen_d0"
    done = run_mimic("generate", "sim=kinematic", "input_file=annotated.hdf5", "output_dir=run", *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "preset: stack_cube_mimicgen_d0" in (tmp_path / "run/config.yaml").read_text()


QUICK = ("num_envs=2", "generation_num_trials=2", "generation_guarantee=false", "max_num_failures=null", "video=false")


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["annotate", "generate", "check"])
def test_command_refuses_a_file_of_a_different_task_with_both_names(verb: str, raw_file: Path, tmp_path: Path) -> None:
    words = ["task=desktop_organizer", f"input_file={raw_file}"]
    words += {"annotate": ["output_file=a.hdf5"], "generate": ["output_dir=run"], "check": []}[verb]
    done = run_mimic(verb, *words, *(["sim=kinematic"] if verb != "check" else []), cwd=tmp_path)
    assert done.returncode == 2
    assert message_of(done) == (
        f"SourceDataError: {raw_file}: was recorded for task 'stack_cube_mimicgen_d0', not 'desktop_organizer'; "
        "use task=stack_cube_mimicgen_d0, or a file of 'desktop_organizer'"
    )
    assert not list(tmp_path.iterdir())


def test_continued_recording_takes_task_engine_operator_and_seed_from_its_file(tmp_path: Path) -> None:
    """`mimic record resume=true output_file=raw.hdf5` continues a recording of any task."""
    schema = SCRIPT_SCHEMAS["record_demos"]
    path = write_file(tmp_path / "raw.hdf5", {**STACK, "preset": "stack_cube_skillgen"})
    with h5py.File(path, "r+") as file:
        file["data"].attrs.update({"seed": 7, "teleop_device": "scripted_fluent"})
    words = ["resume=true", f"output_file={path}"]
    recorded = ["task=stack_cube_skillgen", "sim=mujoco", "datagen_config.seed=7", "teleop_device=scripted_fluent"]
    assert words_of_recording(words, schema) == recorded
    given = ["task=stack_cube", "sim=kinematic", "datagen_config.seed=1", "teleop_device=scripted"]
    assert words_of_recording([*words, *given], schema) == []
    assert words_of_recording(words[1:], schema) == []
    assert words_of_recording(["resume=true", "output_file=none.hdf5"], schema) == []


def test_unfinished_recording_is_continued_with_the_task_of_its_store(tmp_path: Path) -> None:
    path = tmp_path / "raw.hdf5"
    with opened_store(store_path(path), "output_file") as store:
        store.set_facts(identity={"env_args.env_name": "stack_cube", "env_args.engine": "kinematic", "seed": 3})
        store.commit()
    words = ["resume=true", f"output_file={path}"]
    expected = ["task=stack_cube", "sim=kinematic", "datagen_config.seed=3"]
    assert words_of_recording(words, SCRIPT_SCHEMAS["record_demos"]) == expected
