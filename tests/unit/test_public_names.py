"""Public names as a user writes them, `isaaclab_mimic_ext.<name>`; `tests/integration/test_public_api.py` has the jobs."""

import importlib.util
import pickle
import signal
from pathlib import Path

import h5py
import pytest
import torch

import isaaclab_mimic_ext as mimic
from tests.interchange_files import make_image_dataset, make_mimicgen_file

TESTS = Path(__file__).resolve().parents[1]


class Push(mimic.Task):
    """A cube that must be pushed beyond x = 0.6 m."""

    name = "push"
    arms = (mimic.Arm("robot", eef_name="hand", base_pos=(0.0, 0.1, 0.0), base_yaw=0.5),)
    objects = (mimic.SceneObject("cube", footprint_radius=0.03, rest_height=0.02, default_pos=(0.5, 0.0)),)
    signal_names = ("touched",)
    table_bounds = ((0.2, 0.8), (-0.4, 0.4))
    failure_reasons = (mimic.FailureReason("the cube fell", "fallen", when="ever"),)

    def signals(self, scene: mimic.SceneState) -> dict[str, torch.Tensor]:
        return {"touched": scene.eef_pose[:, 0, 0, 3] > 0.45}

    def success(self, scene: mimic.SceneState) -> torch.Tensor:
        return scene.object_pose[:, 0, 0, 3] > 0.6

    def graspable(self) -> dict[str, tuple[mimic.Graspable, ...]]:
        return {"hand": (mimic.Graspable("cube", half_width=0.02, grip_pos=(0.0, 0.0, 0.01)),)}


def scene_at(x: float, num_envs: int = 2) -> mimic.SceneState:
    """Scenes of one arm and one cube at (x, 0, 0), the hand at the same place."""
    pose = torch.eye(4).repeat(num_envs, 1, 1, 1)
    pose[..., 0, 3] = x
    joints = torch.zeros(num_envs, 1, 9)
    root_pose = torch.tensor([x, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]).expand(num_envs, 1, 7)
    return mimic.SceneState(joints, joints, pose, pose, root_pose, torch.zeros(num_envs, 1, 6))


def test_task_is_defined_by_arms_objects_graspables_and_reasons_of_failure() -> None:
    task = Push()
    assert task.eef_names == ("hand",) and task.object_names == ("cube",)
    assert task.objects[0].box_half_size == (0.03, 0.03, 0.02)
    assert task.graspable()["hand"][0].object_name == "cube"
    assert task.failure_reasons[0].when == "ever" and task.arms[0].base_yaw == 0.5


def test_task_reads_the_state_of_all_scenes_at_once() -> None:
    task = Push()
    assert task.success(scene_at(0.5)).tolist() == [False, False]
    assert task.success(scene_at(0.7)).tolist() == [True, True]
    assert task.signals(scene_at(0.5, num_envs=3))["touched"].shape == (3,)
    assert scene_at(0.5).finger_pos.shape == (2, 1, 2)
    assert task.attached_objects(scene_at(0.5)).tolist() == [[0], [0]]


def test_constraint_is_part_of_a_configuration() -> None:
    constraint = mimic.SubTaskConstraintConfig([["left", 0], ["right", 1]], "sequential", sequential_min_time_diff=3)
    config = mimic.MimicEnvCfg(task_constraint_configs=[constraint])
    assert config.task_constraint_configs[0].coordination_scheme == "replay"


@pytest.mark.slow
def test_recorder_settings_set_the_format_of_a_recording(tmp_path: Path) -> None:
    env = mimic.make_env(mimic.load_task("desktop_organizer"), engine="kinematic", num_envs=1)
    recorder = mimic.RecorderCfg(compression="gzip", format_version=0)
    recorded = mimic.record(env, tmp_path / "raw.hdf5", "scripted", num_demos=1, recorder=recorder)
    with h5py.File(recorded.dataset) as file:
        assert "format_version" not in file.attrs
        assert file["data/demo_0/actions"].compression == "gzip"


def test_mimicgen_demos_are_imported_with_new_names(tmp_path: Path) -> None:
    options = mimic.ImportOptions(eef_name="arm", objects={"ketchup": "nut"}, signals={"grasp": "grasped"})
    imported = mimic.import_mimicgen(make_mimicgen_file(tmp_path / "square.hdf5"), tmp_path / "out.hdf5", options)
    assert "nut" in imported.object_names and "grasped" in imported.signal_names


def test_lerobot_export_requires_lerobot_or_writes_its_folder(tmp_path: Path) -> None:
    dataset = make_image_dataset(tmp_path / "demo.hdf5", size=(64, 64))
    options = mimic.LeRobotOptions(instruction="put the ketchup away", videos=False)
    if importlib.util.find_spec("lerobot") is None:
        with pytest.raises(mimic.DependencyMissing, match="lerobot"):
            mimic.export_lerobot(dataset, tmp_path / "out", options)
    else:
        assert mimic.export_lerobot(dataset, tmp_path / "out", options).num_episodes == 3


def test_policy_of_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(mimic.SourceDataError, match=r"none\.pth"):
        mimic.load_policy(tmp_path / "none.pth")


ERRORS = {
    mimic.MimicError: 1,
    mimic.UsageError: 2,
    mimic.ConfigError: 2,
    mimic.TaskCodeError: 2,
    mimic.TaskSpecError: 2,
    mimic.SourceDataError: 2,
    mimic.OutputError: 2,
    mimic.SimulatorUnavailable: 2,
    mimic.DependencyMissing: 2,
    mimic.SimulationError: 1,
    mimic.RecorderError: 1,
    mimic.InvalidDataset: 1,
    mimic.BudgetExhausted: 3,
    mimic.MoreBlocksNeeded: 4,
    mimic.FolderInUse: 75,
}


@pytest.mark.parametrize(("error", "exit_code"), ERRORS.items())
def test_every_error_is_a_mimic_error_with_an_exit_code(error: type[mimic.MimicError], exit_code: int) -> None:
    assert issubclass(error, mimic.MimicError) and error("reason").exit_code == exit_code


def test_exit_code_of_an_interrupted_run_is_that_of_its_signal() -> None:
    error = mimic.Interrupted("interrupted", signal.SIGTERM)
    assert error.exit_code == 128 + signal.SIGTERM
    copied = pickle.loads(pickle.dumps(error))  # As a process pool does.
    assert (str(copied), copied.exit_code) == ("interrupted", error.exit_code)


def test_merge_refuses_a_single_path_in_place_of_a_list(tmp_path: Path) -> None:
    with pytest.raises(mimic.ConfigError, match=r"input_file: must be a list of files \(got 'a.hdf5'\)"):
        mimic.merge("a.hdf5", tmp_path / "out.hdf5")


def test_missing_tasks_and_files_raise_public_errors(tmp_path: Path) -> None:
    with pytest.raises(mimic.UsageError, match="nope"):
        mimic.load_task("nope")
    with pytest.raises(mimic.SourceDataError, match=r"none\.hdf5"):
        mimic.inspect(tmp_path / "none.hdf5")


def test_every_public_name_is_used_by_a_test() -> None:
    text = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py") if "mimic_ext as mimic" in path.read_text())
    assert [name for name in mimic.__all__ if f"mimic.{name}" not in text] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"demos": "source.hdf5"}, r"demos: must be SourceDemos \(got 'source.hdf5'\); use load_demos"),
        ({"config": {"seed": 3}}, r"config: must be a GenerationCfg \(got {'seed': 3}\)"),
        ({"output_dir": ""}, r"output_dir: must be the path of a folder, e.g. datasets/my_run \(got ''\)"),
    ],
)
def test_wrong_argument_of_generate_is_refused_with_its_name_and_value(
    arguments: dict, message: str, tmp_path: Path
) -> None:
    env = mimic.make_env(mimic.load_task("desktop_organizer"), engine="kinematic")
    demos = mimic.SourceDemos(tmp_path / "source.hdf5", ())
    with pytest.raises(mimic.ConfigError, match=message):
        mimic.generate(**{"env": env, "demos": demos, "output_dir": tmp_path / "run", **arguments})


@pytest.mark.slow
def test_generation_refuses_demos_that_were_read_for_a_different_task(tmp_path: Path) -> None:
    env = mimic.make_env(mimic.load_task("desktop_organizer"), engine="kinematic")
    source = TESTS.parent / "tasks/desktop_organizer/data/source_demos.hdf5"
    demos = mimic.load_demos(source, env)
    other = mimic.make_env(mimic.load_task("stack_cube"), engine="kinematic")
    with pytest.raises(
        mimic.SourceDataError, match=r"demo_0: object 'cube_1' not found; choices: .*; read them with load_demos"
    ):
        mimic.generate(other, demos, output_dir=tmp_path / "run")
    with pytest.raises(mimic.SourceDataError, match="demos: must not be empty"):
        mimic.generate(env, mimic.SourceDemos(source, ()), output_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_evaluation_refuses_an_object_that_is_not_a_policy() -> None:
    env = mimic.make_env(mimic.load_task("desktop_organizer"), engine="kinematic")
    with pytest.raises(mimic.ConfigError, match=r"policy: must have the methods reset and act.*\(got None\)"):
        mimic.evaluate(env, None)


def test_loading_a_policy_from_a_folder_asks_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(mimic.SourceDataError, match=r"checkpoint: .* is a folder; give the path of a .pth file in it"):
        mimic.load_policy(tmp_path)
