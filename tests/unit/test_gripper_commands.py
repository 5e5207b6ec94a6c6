"""Gripper commands of other conventions, recordings, and wrong orders of quaternions: found, named, and converted."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.checks.examine import check_demos
from isaaclab_mimic_ext.checks.findings import DemoFinding
from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.config.compose import load_config, load_task
from isaaclab_mimic_ext.datasets.convert.prepare import PrepareOptions, prepare_dataset
from isaaclab_mimic_ext.demos.grippers import carries, check_convention
from isaaclab_mimic_ext.demos.source import SourceDemo
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.errors import ConfigError, MimicError, SourceDataError
from isaaclab_mimic_ext.task.definition import Graspable, SceneObject, SceneState, Task, graspable_radii
from tests.jobs import command

TASKS = Path(__file__).resolve().parents[2] / "tasks"
DEMOS = ["demo_0", "demo_1"]
INFO = "obs/datagen_info"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return two_demos(TASKS / "desktop_organizer/data/source_demos.hdf5", tmp_path / "demos.hdf5")


def two_demos(path: Path, output: Path) -> Path:
    """Copy the first two demos of a file, without digests."""
    shutil.copyfile(path, output)
    with h5py.File(output, "r+") as file:
        for name in [*file["data"]]:
            if name not in DEMOS:
                del file["data"][name]
            else:
                file["data"][name].attrs.pop("digest", None)
    return output


def change(path: Path, edit: Callable[[h5py.Group], object]) -> Path:
    with h5py.File(path, "r+") as file:
        for demo in file["data"].values():
            edit(demo)
    return path


def commands(change_of: Callable[[np.ndarray], np.ndarray], columns: tuple[int, ...] = (6,)) -> Callable[[h5py.Group], None]:
    """Edit that changes the gripper commands of a demo."""

    def edit(demo: h5py.Group) -> None:
        actions = demo["actions"][()]
        actions[:, columns] = change_of(actions[:, columns])
        demo["actions"][...] = actions

    return edit


def without_states(demo: h5py.Group) -> None:
    del demo["states"], demo["initial_state"]


def found(path: Path, task: str = "desktop_organizer", check: str = "gripper") -> list[DemoFinding]:
    report = check_demos(path, load_task(task), num_draws=1)
    return [finding for finding in report.findings if finding.check == check]


CONVENTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "flip": lambda values: -values,
    "zero_one": lambda values: (values > 0).astype(np.float32),
    "one_zero": lambda values: (values < 0).astype(np.float32),
    "zero_closes": lambda values: np.where(values < 0, 0.0, values) - 0.0 * values,
}


@pytest.mark.parametrize(
    ("convention", "has_states"), [("flip", True), ("flip", False), ("zero_one", False), ("one_zero", True)]
)
def test_convention_is_found_and_the_named_conversion_restores_the_demos(
    source: Path, tmp_path: Path, convention: str, has_states: bool
) -> None:
    with h5py.File(source) as file:
        expected = {name: demo["actions"][()] for name, demo in file["data"].items()}
    change(source, commands(CONVENTIONS[convention]))
    if not has_states:
        change(source, without_states)
    findings = found(source)
    assert [finding.demo for finding in findings] == DEMOS
    for finding in findings:
        assert finding.level == "error"
        assert f"gripper={convention}" in finding.remedy
    converted = tmp_path / "converted.hdf5"
    prepare_dataset(source, converted, PrepareOptions(gripper=convention))
    with h5py.File(converted) as file:
        for name, actions in expected.items():
            assert np.array_equal(file[f"data/{name}/actions"], actions)
    assert not found(converted)


def test_widths_are_converted_like_zero_and_one(source: Path, tmp_path: Path) -> None:
    with h5py.File(source) as file:
        expected = file["data/demo_0/actions"][()]
    change(source, commands(lambda values: 0.04 * (values > 0)))
    assert "gripper=zero_one" in found(source)[0].remedy
    prepare_dataset(source, tmp_path / "converted.hdf5", PrepareOptions(gripper="zero_one"))
    with h5py.File(tmp_path / "converted.hdf5") as file:
        assert np.array_equal(file["data/demo_0/actions"], expected)


def test_command_of_zero_that_closed_the_gripper_is_found(source: Path) -> None:
    def edit(values: np.ndarray) -> np.ndarray:
        closed = np.flatnonzero(values[:, 0] < 0)
        values[closed[5:], 0] = 0.0  # Begins to close with -1.
        return values

    findings = found(change(source, commands(edit)))
    assert "gripper=zero_closes" in findings[0].remedy
    assert "exactly 0" in findings[0].found


def test_command_of_zero_that_opens_is_only_noted(source: Path) -> None:
    findings = found(change(source, commands(lambda values: np.where(values > 0, 0.0, values))))
    assert {finding.level for finding in findings} == {"note"}


def test_each_arm_is_checked_and_converted(tmp_path: Path) -> None:
    path = two_demos(TASKS / "two_arm_lift_tray/data/source_demos.hdf5", tmp_path / "two.hdf5")
    change(path, commands(lambda values: -values, (6, 13)))
    findings = found(path, "two_arm_lift_tray")
    assert {(finding.demo, finding.eef) for finding in findings} == {(d, e) for d in DEMOS for e in ("left", "right")}
    prepare_dataset(path, tmp_path / "converted.hdf5", PrepareOptions(gripper="flip"))
    assert not found(tmp_path / "converted.hdf5", "two_arm_lift_tray")


def test_unknown_entries_and_conventions_are_refused(source: Path, tmp_path: Path) -> None:
    with h5py.File(source, "r+") as file:
        file["data"].attrs["env_args"] = '{"eef_names": ["left", "right"]}'
    with pytest.raises(ConfigError, match=r"gripper: the entries of the actions .* are not known"):
        prepare_dataset(source, tmp_path / "out.hdf5", PrepareOptions(gripper="flip"))
    with h5py.File(source, "r+") as file:
        env_args = json.loads(file["data"].attrs["env_args"])
        file["data"].attrs["env_args"] = json.dumps({**env_args, "gripper_columns": {"left": [99]}})
    with pytest.raises(SourceDataError, match=r"gripper_columns: must map .* to a list of columns from 0 to"):
        prepare_dataset(source, tmp_path / "out.hdf5", PrepareOptions(gripper="flip"))
    with pytest.raises(ConfigError, match=r"gripper: 'flipped' is not valid.*did you mean 'flip'"):
        prepare_dataset(source, tmp_path / "out.hdf5", PrepareOptions(gripper="flipped"))
    assert not (tmp_path / "out.hdf5").exists()


def test_command_of_zero_opens_the_gripper() -> None:
    env = make_env(load_task("desktop_organizer"), SimCfg(engine="kinematic"), {}, 3)
    actions = torch.zeros(3, 7)
    actions[0, 6] = -1.0
    for _ in range(20):
        env.step(actions)
    actions[:, 6] = torch.tensor([0.0, -1.0, 1.0])
    for _ in range(20):
        env.step(actions)
    fingers = env.get_state()["articulation"]["robot"]["joint_position"][:, -1]
    assert fingers[0] == fingers[2]
    assert fingers[1] < fingers[0]


def raw(path: Path) -> Path:
    def edit(demo: h5py.Group) -> None:
        del demo[INFO]

    return change(path, edit)


def test_recordings_are_checked_as_their_annotation_would_be(source: Path, tmp_path: Path) -> None:
    annotated = check_demos(source, load_task("desktop_organizer"), num_draws=1)
    recorded = check_demos(raw(source), load_task("desktop_organizer"), num_draws=1)
    assert recorded.demos == annotated.demos
    assert {finding.check for finding in recorded.findings} - {finding.check for finding in annotated.findings} == {
        "recorded"
    }
    assert recorded.is_healthy
    assert recorded.summary().endswith("ready to annotate")


def test_wrong_order_of_quaternions_is_found_and_corrected(source: Path, tmp_path: Path) -> None:
    def edit(demo: h5py.Group) -> None:
        for group in ("states", "initial_state"):
            for state in demo[f"{group}/rigid_object"].values():
                pose = state["root_pose"][()]
                state["root_pose"][...] = pose[:, [0, 1, 2, 6, 3, 4, 5]]

    findings = found(change(raw(source), edit), check="orientation")
    assert findings[0].level == "error"
    assert "quaternions=wxyz" in findings[0].remedy
    prepare_dataset(source, tmp_path / "corrected.hdf5", PrepareOptions(quaternions="wxyz"))
    assert not found(tmp_path / "corrected.hdf5", check="orientation")


@pytest.mark.slow
def test_rejection_of_an_annotation_quotes_the_check(source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with h5py.File(raw(source), "r+") as file:
        commands(lambda values: -values)(file["data/demo_0"])
        for path in ("actions", "dones", "rewards"):
            values = file["data/demo_1"][path][:150]
            del file["data/demo_1"][path]
            file["data/demo_1"][path] = values
        file["data/demo_1"].attrs["num_samples"] = 150
        cut: list[str] = []
        file["data/demo_1"].visititems(lambda name, item: cut.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in cut:
            if name.startswith(("obs/", "states/", "processed")):
                values = file["data/demo_1"][name][:150]
                del file["data/demo_1"][name]
                file["data/demo_1"][name] = values
    output = tmp_path / "annotated.hdf5"
    cfg = load_config("annotate_demos", [f"input_file={source}", f"output_file={output}", "sim=kinematic"])
    with pytest.raises(MimicError, match="2 demos were rejected"):
        command("annotate", cfg)
    messages = [record.getMessage() for record in caplog.records if "rejected: " in record.getMessage()]
    assert messages[0].startswith(f"{source}: demo_0: rejected: ")
    assert "gripper at step" in messages[0]
    assert "positive commands close the gripper" in messages[0]
    assert "cropped end at step 149" in messages[1]


def test_demo_of_one_step_carries_nothing() -> None:
    pose = np.eye(4)[None]
    assert not carries(pose, {"cube": pose}, {"cube": 0.02}, 0.05).any()


@pytest.mark.parametrize(
    ("convert", "text"),
    [
        (lambda values: -values, "positive commands close the gripper, as in robosuite"),
        (lambda values: (values > 0).astype(np.float32), "0 closes the gripper and larger commands open it"),
    ],
)
def test_generation_refuses_demos_with_another_convention(
    source: Path, caplog: pytest.LogCaptureFixture, convert: Callable[[np.ndarray], np.ndarray], text: str
) -> None:
    task = load_task("desktop_organizer")
    with closing(make_env(task, SimCfg(engine="kinematic"), task.config.events, 1)) as env:
        with h5py.File(source, "r+") as file:
            commands(convert)(file["data/demo_0"])
        assert [demo.name for demo in mimic.load_demos(source, env)] == ["demo_1"]
        assert f"demo_0 is left out: gripper of franka: {text}; expected: a command >= 0 opens" in caplog.text
        with h5py.File(source, "r+") as file:
            commands(convert)(file["data/demo_1"])
        with pytest.raises(SourceDataError, match=rf"demo_0: gripper of franka: {text}; .*mimic prepare .* gripper="):
            mimic.load_demos(source, env)


class Push(Task):
    """An open hand pushes a box, then the gripper closes around a cube."""

    name = "push"
    objects = (SceneObject("box", 0.05, 0.03, (0.5, 0.0)), SceneObject("cube", 0.03, 0.02, (0.5, 0.3)))
    signal_names = ()
    table_bounds = ((0.2, 0.8), (-0.5, 0.5))

    def signals(self, scene: SceneState) -> dict[str, torch.Tensor]:
        return {}

    def success(self, scene: SceneState) -> torch.Tensor:
        return torch.ones(len(scene.object_pose), dtype=torch.bool)

    def graspable(self) -> dict[str, tuple[Graspable, ...]]:
        return {"franka": tuple(Graspable(name, half_width=0.02) for name in ("box", "cube"))}


def moved_along(direction: int) -> tuple[SourceDemo, dict[str, np.ndarray]]:
    """Demo whose hand moves a box along an axis for 40 steps with a command of 1, then closes with -1 elsewhere."""
    poses = np.tile(np.eye(4, dtype=np.float32), (60, 1, 1))
    hand, box, cube = poses.copy(), poses.copy(), poses
    for pose in (hand, box):
        pose[:, direction, 3] = np.minimum(np.arange(60), 40) * 0.01
    commands = np.where(np.arange(60) < 45, 1.0, -1.0).astype(np.float32)[:, None]
    demo = SourceDemo("demo_0", commands, {"franka": hand}, {"franka": hand}, {"box": box, "cube": cube}, {}, "demos.hdf5")
    return demo, {"franka": commands}


def test_objects_that_an_open_hand_pushes_show_no_convention() -> None:
    demo, commands = moved_along(0)
    check_convention(demo, commands, graspable_radii(Push()), 0.05)


def test_objects_that_a_gripper_lifts_show_its_convention() -> None:
    demo, commands = moved_along(2)
    expected = r"gripper of franka: positive .* gripper=flip`, or, .* use datagen_config.check_gripper_convention=false"
    with pytest.raises(SourceDataError, match=expected):
        check_convention(demo, commands, graspable_radii(Push()), 0.05)


def test_objects_that_a_gripper_cannot_hold_show_no_convention() -> None:
    class Scoop(Push):
        def graspable(self) -> dict[str, tuple[Graspable, ...]]:
            return {"franka": (Graspable("cube", half_width=0.02),)}

    demo, commands = moved_along(2)
    check_convention(demo, commands, graspable_radii(Scoop()), 0.05)


def test_check_of_the_convention_can_be_disabled(source: Path) -> None:
    change(source, commands(CONVENTIONS["flip"]))
    task = load_task("desktop_organizer")
    task.config.datagen_config.check_gripper_convention = False
    with closing(make_env(task, SimCfg(engine="kinematic"), task.config.events, 1)) as env:
        assert len(mimic.load_demos(source, env)) == 2
    report = check_demos(source, task, num_draws=1)
    assert not [finding for finding in report.findings if finding.check == "gripper"]
