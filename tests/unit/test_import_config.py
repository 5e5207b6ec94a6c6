"""Import of MimicGen's JSON configurations."""

import json
from pathlib import Path
from typing import Any

import pytest

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.datasets.convert.mimicgen_config import import_config
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError


def subtask(object_ref: str | None, signal: str | None, **values: Any) -> dict[str, Any]:
    """A subtask with all fields of MimicGen's `task_spec`."""
    common = {
        "subtask_term_offset_range": None if signal is None else [10, 20],
        "selection_strategy": "nearest_neighbor_object",
        "selection_strategy_kwargs": {"nn_k": 2},
        "action_noise": 0.04,
        "num_interpolation_steps": 7,
        "num_fixed_steps": 1,
        "apply_noise_during_interpolation": True,
    }
    return {"object_ref": object_ref, "subtask_term_signal": signal, **common, **values}


def content(**changes: Any) -> dict[str, Any]:
    generation = {"path": "/tmp/out", "guarantee": False, "num_trials": 12, "select_src_per_subtask": True}
    return {
        "name": "square",
        "type": "robosuite",
        "experiment": {"seed": 4, "generation": generation, "source": {"dataset_path": None}, "log_every_n_attempts": 50},
        "task": {"task_spec": {"subtask_1": subtask("square_nut", "grasp"), "subtask_2": subtask("square_peg", None)}},
        **changes,
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "square.json"
    path.write_text(json.dumps(content()))
    return path


def test_imported_task_has_the_subtasks_and_settings_of_the_file(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "my_tasks" / "task" / "square.yaml"
    done = import_config(source, output, mimic.load_task("robosuite_square"))
    task = mimic.load_task("square", config_dir=tmp_path / "my_tasks")
    grasp, place = task.config.subtask_configs["robot0"]
    assert task.name == "robosuite_square"
    assert (grasp.object_ref, grasp.subtask_term_signal, tuple(grasp.subtask_term_offset_range)) == (
        "square_nut", "grasp", (10, 20),
    )  # fmt: skip
    assert (place.object_ref, place.subtask_term_signal, tuple(place.subtask_term_offset_range)) == (
        "square_peg", None, (0, 0),
    )  # fmt: skip
    assert (grasp.num_interpolation_steps, grasp.num_fixed_steps, grasp.action_noise) == (7, 1, 0.04)
    assert grasp.apply_noise_during_interpolation and grasp.selection_strategy_kwargs == {"nn_k": 2}
    settings = task.config.datagen_config
    assert (settings.generation_guarantee, settings.generation_num_trials, settings.seed) == (False, 12, 4)
    assert settings.generation_select_src_per_subtask
    assert done.not_imported == {"experiment.generation.path": "output_dir", "experiment.log_every_n_attempts": ""}


def test_names_are_replaced_in_all_subtasks(tmp_path: Path) -> None:
    source, output = tmp_path / "a.json", tmp_path / "task" / "a.yaml"
    spec = {"subtask_1": subtask("nut", "grasped"), "subtask_2": subtask("nut", None)}
    source.write_text(json.dumps(content(task={"task_spec": spec})))
    import_config(source, output, mimic.load_task("square_peg"), {"nut": "square_nut"}, {"grasped": "grasp"})
    task = mimic.load_task("a", config_dir=tmp_path)
    assert [each.object_ref for each in task.config.subtask_configs["franka"]] == ["square_nut"] * 2


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"subtask_1": subtask("mug", None)}, r"1.object_ref: 'mug' is not in task 'robosuite_.*rename.objects.mug="),
        ({"subtask_1": subtask("square_nut", "lift")}, r"1.subtask_term_signal: 'lift' is not in .*rename.signals.lift="),
        ({"subtask_1": subtask("square_nut", None, speed=2)}, r"task_spec.subtask_1.speed: is not a field of a subtask"),
    ],
)  # fmt: skip
def test_unknown_names_are_refused(spec: dict[str, Any], message: str, tmp_path: Path) -> None:
    source, output = tmp_path / "a.json", tmp_path / "a.yaml"
    source.write_text(json.dumps(content(task={"task_spec": spec})))
    with pytest.raises(ConfigError, match=message):
        import_config(source, output, mimic.load_task("robosuite_square"))
    assert not output.exists()


def test_a_renamed_object_that_the_file_lacks_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rename.objects: 'mug' is not in .*square.json; choices: square_nut, square_peg"):
        import_config(source, tmp_path / "a.yaml", mimic.load_task("robosuite_square"), {"mug": "square_nut"})


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"task": 3}', '{"task": {"task_spec": {}}}', '{"task": {"task_spec": {"a": 1}}}']
)
def test_other_json_files_are_refused(text: str, tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    source.write_text(text)
    with pytest.raises(SourceDataError, match=r"must be a configuration of MimicGen, with subtasks in task.task_spec"):
        import_config(source, tmp_path / "a.yaml", mimic.load_task("robosuite_square"))


def test_missing_and_damaged_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\x89HDF")
    for name, message in (("b.json", "b.json: cannot be read: No such file"), ("a.json", "a.json: is not a JSON file")):
        with pytest.raises(SourceDataError, match=message):
            import_config(tmp_path / name, tmp_path / "a.yaml", mimic.load_task("robosuite_square"))


def test_tasks_with_two_arms_and_existing_files_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"base_task: must have one end effector, .* \(got robot0, robot1\)"):
        import_config(source, tmp_path / "a.yaml", mimic.load_task("robosuite_two_arm_lift"))
    (tmp_path / "a.yaml").touch()
    with pytest.raises(OutputError, match=r"a.yaml already exists"):
        import_config(source, tmp_path / "a.yaml", mimic.load_task("robosuite_square"))
