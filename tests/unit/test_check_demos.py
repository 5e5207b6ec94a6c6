"""Check of source demos: each fault, planted into one included demo, must be found with its demo and step."""

import json
import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.checks import marks
from isaaclab_mimic_ext.checks.action_space import check_tracking
from isaaclab_mimic_ext.checks.examine import Examination, examine
from isaaclab_mimic_ext.checks.findings import CheckReport, DemoFinding, DemoFindings
from isaaclab_mimic_ext.checks.motion import EefView
from isaaclab_mimic_ext.checks.usage import Selection, find_far_draws
from isaaclab_mimic_ext.config import CheckDemosCfg, SubTaskDemoCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.errors import InvalidDataset, OutputError, SourceDataError
from isaaclab_mimic_ext.report.timeline import _wrapped
from isaaclab_mimic_ext.task.definition import load_task
from tests import planted
from tests.jobs import command
from tests.pages import check_page
from tests.planted import ACHIEVED, EEF, INFO, OBJECTS, TARGET, PlantInDemo, planted_file, rewrite, rise_of
from tests.tiers import first_in_check

TASKS = Path(__file__).resolve().parents[2] / "tasks"
CLEAN = TASKS / "desktop_organizer/data/source_demos.hdf5"
CHECKED = sorted(
    path.parents[1].name for path in TASKS.glob("*/data/source_demos.hdf5") if "robosuite" not in path.parents[1].name
)
"""Included tasks with source demos, except those that only run on robosuite."""
ILL = "demo_3"
FrameOf = Callable[[h5py.Group], int]


def config(*overrides: str) -> CheckDemosCfg:
    return load_config("check_demos", [f"input_file={CLEAN}", "progress=false", *overrides])


def check(path: Path, *overrides: str) -> Examination:
    cfg = config(*overrides)
    return examine(path, load_task(cfg.task.name), cfg, cfg.num_draws)


def check_planted(tmp_path: Path, plant: PlantInDemo, *overrides: str, names: list[str] | None = None) -> Examination:
    return check(planted_file(CLEAN, tmp_path / "ill.hdf5", plant, [ILL] if names is None else names), *overrides)


def only(examination: Examination, level: str, name: str) -> DemoFinding:
    found = [finding for finding in examination.report.findings if (finding.level, finding.check) == (level, name)]
    assert len(found) == 1, examination.report.as_text()
    return found[0]


def faults(report: CheckReport) -> list[DemoFinding]:
    """Findings about generation. The included demos pause, which concerns training."""
    return [finding for finding in report.findings if finding.check != "pauses"]


def closing_step(demo: h5py.Group) -> int:
    return int(np.flatnonzero(np.diff(demo["actions"][:, -1]))[0]) + 1


def fastest_step(demo: h5py.Group) -> int:
    """Of the approach."""
    return int(np.linalg.norm(np.diff(demo[ACHIEVED][:60, :3, 3], axis=0), axis=1).argmax())


def start_in_motion(demo: h5py.Group) -> None:
    planted.keep_steps(fastest_step(demo), None)(demo)


def end_in_motion(demo: h5py.Group) -> None:
    speed = np.linalg.norm(np.diff(demo[ACHIEVED][:, :3, 3], axis=0), axis=1)
    planted.keep_steps(0, 225 + int(speed[225:].argmax()) + 1)(demo)


def break_value(path: str, step: int, value: float) -> PlantInDemo:
    def plant(demo: h5py.Group) -> None:
        values = demo[path][()]
        values[step, 0, 0] = value
        rewrite(demo, path, values)

    return plant


def saturate(demo: h5py.Group) -> None:
    actions = demo["actions"][()]
    actions[:, :6] = np.clip(5 * actions[:, :6], -1, 1)
    rewrite(demo, "actions", actions)


def set_signal(name: str, value: bool) -> PlantInDemo:
    return lambda demo: rewrite(demo, f"{planted.SIGNALS}/{name}", np.full(len(demo["actions"]), value))


def forget_marks(demo: h5py.Group) -> None:
    del demo[INFO]


def last_step(demo: h5py.Group) -> int:
    return len(demo["actions"]) - 1


def at(step: int) -> FrameOf:
    return lambda demo: step


# fmt: off
FAULTS: dict[str, tuple[PlantInDemo, str, str, FrameOf | None]] = {
    # fault: what plants it, level and check of the finding, and its step in the planted demo
    "metres taken for normalised": (planted.scale_targets(20), "error", "action space", None),
    "another frame": (planted.shift_targets((0.03, 0, 0)), "error", "action space", None),
    "relative taken for absolute": (planted.read_actions_as_positions, "error", "action space", None),
    "order of quaternions": (planted.misread_quaternions, "error", "action space", None),
    "axes turned": (planted.turn_targets(1.5), "warning", "action space", None),
    "targets too near": (planted.scale_targets(0.05), "warning", "action space", None),
    "targets of other actions": (planted.scale_targets(2), "warning", "actions", None),
    "subtasks in another order": (planted.shift_signal("lift", at(40)), "error", "subtask order", at(40)),
    "marks on the same frame": (planted.shift_signal("grasp", rise_of("reach")), "error", "same frame", rise_of("reach")),
    "signal true from the start": (set_signal("reach", True), "error", "cropped start", at(0)),
    "signal never true": (set_signal("grasp", False), "error", "no mark", None),
    "mark at the very end": (planted.shift_signal("lift", last_step), "error", "cropped end", last_step),
    "ended before the release": (planted.keep_steps(0, -45), "error", "cropped end", last_step),
    "began in motion": (start_in_motion, "warning", "cropped start", at(0)),
    "ended in motion": (end_in_motion, "warning", "cropped end", last_step),
    "gripper closes early": (planted.move_gripper(-20), "warning", "gripper moving", closing_step),
    "gripper closes far too early": (planted.move_gripper(-30), "error", "gripper early", closing_step),
    "short subtask": (planted.shift_signal("grasp", lambda demo: rise_of("reach")(demo) + 8), "warning", "short segment",
                      lambda demo: rise_of("reach")(demo) + 1),
    "mark far from its signal": (planted.shift_signal("lift", lambda demo: rise_of("lift")(demo) + 20), "warning", "mark",
                                 rise_of("lift")),
    "stands still": (planted.stand_still(20, 60), "note", "idle", at(20)),
    "hand jumps": (planted.move_from((ACHIEVED,), 150, (0.3, 0, 0)), "error", "jump", at(150)),
    "target jumps": (planted.move_from((TARGET,), 150, (0.3, 0, 0)), "error", "jump", at(150)),
    "object jumps": (planted.move_from((f"{OBJECTS}/basket",), 150, (0.3, 0, 0)), "error", "jump", at(150)),
    "clipped actions": (saturate, "warning", "saturated", None),
    "not a number": (break_value(TARGET, 50, np.nan), "error", "unreadable", at(50)),
    "no rotation": (break_value(ACHIEVED, 70, 3.0), "error", "unreadable", at(70)),
    "not annotated": (forget_marks, "error", "unreadable", None),
    "pushed object": (planted.move_from((f"{OBJECTS}/ketchup",), 40, (0.02, 0, 0)), "warning", "moved early", at(40)),
    "pushed distractor": (planted.move_from((f"{OBJECTS}/orange_juice",), 40, (0.02, 0, 0)), "note", "moved early", at(40)),
    "object out of range": (planted.move_from((f"{OBJECTS}/basket",), 0, (0.1, 0, 0)), "warning", "outside range", at(0)),
    "scene far away": (planted.move_everything((5.0, 0, 0)), "warning", "unused", None),
}
# fmt: on


@pytest.mark.parametrize("task", ["desktop_organizer", "stack_cube", "two_arm_lift_tray"])
def test_included_demos_have_no_faults_and_one_note_on_their_pauses(task: str) -> None:
    report = check(TASKS / task / "data/source_demos.hdf5", f"task={task}").report
    assert faults(report) == [], report.as_text()
    assert [finding.level for finding in report.findings] == ["note"]
    assert report.is_healthy
    assert len(report.demos) >= 10


@pytest.mark.slow
def test_initial_poses_outside_of_the_cluttered_ranges_are_a_note() -> None:
    task = "desktop_organizer_cluttered"
    report = check(TASKS / task / "data/source_demos.hdf5", f"task={task}").report
    assert {(finding.level, finding.check) for finding in faults(report)} == {("note", "outside range")}


@pytest.mark.slow
def test_fault_of_one_arm_names_that_arm(tmp_path: Path) -> None:
    def shift_right(demo: h5py.Group) -> None:
        path = f"{INFO}/target_eef_pose/right"
        poses = demo[path][()]
        poses[:, 2, 3] += 0.04
        rewrite(demo, path, poses)

    def close_right_early(demo: h5py.Group) -> None:
        actions = demo["actions"][()]
        actions[:-12, 13] = actions[12:, 13]
        rewrite(demo, "actions", actions)

    clean = TASKS / "two_arm_lift_tray/data/source_demos.hdf5"
    for plant, name in ((shift_right, "action space"), (close_right_early, "gripper moving")):
        report = check(planted_file(clean, tmp_path / "ill.hdf5", plant, [ILL]), "task=two_arm_lift_tray").report
        assert {(finding.demo, finding.eef) for finding in report.findings if finding.check == name} == {(ILL, "right")}
        assert not any(finding.eef == "left" for finding in report.findings), report.as_text()


@pytest.mark.slow
@pytest.mark.parametrize("fault", first_in_check(FAULTS, 3))
def test_planted_fault_is_found_only_in_its_demo_and_at_its_step(fault: str, tmp_path: Path) -> None:
    plant, level, name, frame_of = FAULTS[fault]
    examination = check_planted(tmp_path, plant)
    found = [finding for finding in examination.report.findings if finding.check == name and finding.level == level]
    assert found, examination.report.as_text()
    assert {finding.demo for finding in faults(examination.report)} == {ILL}, examination.report.as_text()
    assert all(finding.remedy and finding.found and finding.expected for finding in found)
    assert examination.report.is_healthy == ("error" not in {finding.level for finding in examination.report.findings})
    if frame_of is not None:
        with h5py.File(tmp_path / "ill.hdf5") as file:
            assert found[0].frame == frame_of(file["data"][ILL])


@pytest.mark.slow
def test_finding_of_a_wrong_target_names_a_step_with_a_wrong_target(tmp_path: Path) -> None:
    finding = only(check_planted(tmp_path, planted.shift_targets((0.03, 0, 0))), "error", "action space")
    with h5py.File(tmp_path / "ill.hdf5") as file:
        off = file["data"][ILL][TARGET][finding.frame, :3, 3] - file["data"][ILL][ACHIEVED][finding.frame, :3, 3]
    assert np.linalg.norm(off) > 0.02
    assert "(+0.030, " in finding.found


@pytest.mark.slow
def test_all_faults_of_a_file_are_found(tmp_path: Path) -> None:
    path = planted_file(CLEAN, tmp_path / "a.hdf5", break_value(TARGET, 50, np.nan), ["demo_1"])
    path = planted_file(path, tmp_path / "b.hdf5", planted.shift_signal("lift", at(40)), ["demo_4"])
    path = planted_file(path, tmp_path / "c.hdf5", planted.keep_steps(0, -45), ["demo_8"])
    found = [(finding.demo, finding.check) for finding in check(path).report.findings if finding.level == "error"]
    assert found == [("demo_1", "unreadable"), ("demo_4", "subtask order"), ("demo_8", "cropped end")]


@pytest.mark.slow
def test_every_colliding_pair_of_boundaries_is_found() -> None:
    wide = [f"subtask_configs.franka.{index}.subtask_term_offset_range=[-60,60]" for index in (0, 1, 2)]
    found = {(finding.demo, " ".join(finding.found.split()[:2])) for finding in check(CLEAN, *wide).report.findings}
    assert {(demo, f"subtask '{signal}'") for demo in ("demo_0", "demo_9") for signal in ("grasp", "lift")} <= found


@pytest.mark.slow
def test_remedies_name_the_subtask_its_setting_and_where_the_setting_goes(tmp_path: Path) -> None:
    short = planted.shift_signal("grasp", lambda demo: rise_of("reach")(demo) + 8)
    finding = only(check_planted(tmp_path, short), "warning", "short segment")
    assert re.match(
        r"subtask 'grasp' has 8 steps; the random offsets of its start and end can leave \d steps?$", finding.found
    )
    assert "=[0,0] to the command line of `mimic generate`" in finding.remedy
    (setting,) = re.findall(r"subtask_configs\S+=\[0,0\]", finding.remedy)
    assert not [each for each in check(tmp_path / "ill.hdf5", setting).report.findings if each.check == "short segment"]


@pytest.mark.slow
def test_mark_far_from_the_signal_names_both_steps(tmp_path: Path) -> None:
    with h5py.File(CLEAN) as file:
        rise = rise_of("lift")(file["data"][ILL])
    for distance, is_far in ((marks.MAX_MARK_DISTANCE, False), (marks.MAX_MARK_DISTANCE + 1, True)):
        report = check_planted(tmp_path, planted.shift_signal("lift", at(rise + distance))).report
        found = [finding.found for finding in report.findings if finding.check == "mark"]
        text = f"subtask 'lift' ends at step {rise + distance}, but its signal rises at step {rise}"
        assert found == [text] * is_far, report.as_text()


@pytest.mark.slow
@pytest.mark.parametrize("task", CHECKED)
def test_included_demos_are_marked_where_their_signals_rise(task: str) -> None:
    cfg = config(f"input_file={TASKS / task / 'data/source_demos.hdf5'}", f"task={task}")
    report = examine(cfg.input_file, load_task(cfg.task.name), cfg, 1).report
    assert not [finding for finding in report.findings if finding.check == "mark"], report.as_text()


@pytest.mark.slow
def test_gripper_that_settles_is_a_note(tmp_path: Path) -> None:
    settle = [f"subtask_configs.franka.{index}.num_settle_steps_before_gripper=6" for index in range(4)]
    findings = check_planted(tmp_path, planted.move_gripper(-20), *settle).report.findings
    assert {finding.level for finding in findings if finding.check == "gripper moving"} == {"note"}


def test_noise_of_a_generated_demo_is_no_warning(tmp_path: Path) -> None:
    def generate_early(demo: h5py.Group) -> None:
        planted.move_gripper(-20)(demo)
        demo.attrs["source_demos"] = "demo_1"

    findings = check_planted(tmp_path, generate_early).report.findings
    assert {finding.level for finding in findings} == {"note"}
    assert "1 demo is generated" in next(finding.found for finding in findings if finding.check == "generated")


@pytest.mark.slow
def test_file_with_a_different_action_space_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = planted_file(CLEAN, tmp_path / "other.hdf5", lambda demo: None)
    with h5py.File(path, "r+") as file:
        env_args = json.loads(file["data"].attrs["env_args"])
        env_args["action"]["pos_scale"] = 1.0
        file["data"].attrs["env_args"] = json.dumps(env_args)
    finding = only(check(path), "error", "action space")
    assert finding.demo is None
    assert "pos_scale" in finding.found


@pytest.mark.slow
def test_copied_demo_is_similar_to_the_one_before_it(tmp_path: Path) -> None:
    path = planted_file(CLEAN, tmp_path / "copied.hdf5", lambda demo: None)
    with h5py.File(path, "r+") as file:
        del file["data/demo_6"]
        file.copy("data/demo_2", "data/demo_6")
        planted.move_everything((0.001, 0.0, 0.0))(file["data/demo_6"])
    finding = only(check(path), "warning", "similar")
    assert (finding.demo, "demo_2" in finding.found) == ("demo_6", True)


@pytest.mark.slow
def test_objects_drawn_far_from_all_demos_are_a_note_of_the_file() -> None:
    finding = only(check(CLEAN, "task=desktop_organizer_wide"), "note", "far draws")
    assert finding.demo is None
    assert finding.found.startswith("ketchup")


@pytest.mark.parametrize(("num_far", "num_notes"), [(0, 0), (1, 0), (2, 1)])
def test_far_draws_in_hardly_any_scene_are_not_worth_a_note(num_far: int, num_notes: int) -> None:
    findings, distance = DemoFindings(), np.zeros(200)
    distance[:num_far] = 0.3
    find_far_draws(findings, Selection({}, {"franka": [distance]}), {"franka": [SubTaskDemoCfg(object_ref="ketchup")]})
    assert len(findings.items) == num_notes
    assert all("in 1% of the scenes" in finding.found for finding in findings.items)


def test_short_presses_of_keys_are_not_a_wrong_direction_of_the_actions() -> None:
    """The hand moves along one axis at a time, and its targets start and stop before it."""
    num_steps, dt = 120, 0.05
    step = np.arange(num_steps)
    pressed = (step % 12 < 4).astype(float)
    late = np.convolve(pressed, [0, 0, 0.2, 0.3, 0.3, 0.2])[:num_steps]
    pose, target = (np.tile(np.eye(4), (num_steps, 1, 1)) for _ in range(2))
    axis = step // 12 % 3
    for index in range(1, num_steps):
        pose[index, :3, 3] = pose[index - 1, :3, 3]
        pose[index, axis[index], 3] += 0.01 * late[index]
    target[:, :3, 3] = pose[:, :3, 3]
    target[step, axis, 3] += 0.01 * pressed
    view = EefView("hand", pose, target, np.ones((num_steps, 1)), [], None, dt)
    findings = DemoFindings("demo_0")
    check_tracking(findings, view)
    assert not findings.items
    turned = replace(view, target_eef_pose=target.copy())
    turned.target_eef_pose[:, :2, 3] = pose[:, :2, 3] + (target - pose)[:, 1::-1, 3] * np.array([-1, 1])
    check_tracking(findings, turned)
    (finding,) = findings.items
    assert "the hand moves in a direction" in finding.found


@pytest.mark.slow
def test_damaged_digest_is_found(tmp_path: Path) -> None:
    path = planted_file(CLEAN, tmp_path / "flipped.hdf5", lambda demo: demo.attrs.create("digest", "0" * 64), [ILL])
    assert "digest" in only(check(path), "error", "unreadable").found


@pytest.mark.slow
def test_fractions_of_selected_demos_sum_to_one() -> None:
    selected = check(CLEAN).report.selected[EEF]
    assert len(selected) == 4
    for parts in selected:
        assert sum(parts.values()) == pytest.approx(1.0)


@pytest.mark.slow
def test_command_reports_json_and_raises_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = planted_file(CLEAN, tmp_path / "ill.hdf5", planted.shift_targets((0.03, 0, 0)), [ILL])
    with pytest.raises(InvalidDataset, match="1 error, 1 warning, 1 note: not ready to generate, errors in 1 of 10 demos"):
        command("check", config(f"input_file={path}", "json=true"))
    report = json.loads(capsys.readouterr().out)
    assert (report["healthy"], report["num_errors"], report["num_warnings"]) == (False, 1, 1)
    assert report["findings"][1]["demo"] == ILL


@pytest.mark.slow
def test_text_contains_demo_step_fault_remedies_and_summary(tmp_path: Path) -> None:
    lines = check_planted(tmp_path, planted.shift_signal("lift", at(40))).report.as_text().splitlines()
    assert lines[1] == ILL
    assert "step 40" in lines[2] and "'lift' rises at step 40, before 'grasp' at step 92" in lines[2]
    assert "remedies" in lines
    assert lines[-1].startswith("1 error, 0 warnings, 1 note: not ready")


def test_demos_with_the_same_findings_share_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(shutil.copyfile(CLEAN, tmp_path / "raw.hdf5"))
    with h5py.File(path, "r+") as file:
        for demo in file["data"].values():
            del demo["obs/datagen_info"], demo["states"]
            demo.attrs.pop("digest", None)
    with pytest.raises(InvalidDataset, match=r"raw.hdf5: not ready to generate; the report contains remedies$"):
        command("check", config(f"input_file={path}"))
    text = capsys.readouterr().out
    assert text.startswith(f"{path}: 10 demos (10 unreadable), 0 steps\ndemo_0 to demo_9 (10 demos)\n  error")
    assert text.count("the demo is not annotated") == 1
    assert text.count("not ready to generate") == 1 and "unreadable (10 times): annotate the file" in text


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceDataError, match="not found"):
        check(tmp_path / "none.hdf5")


def test_note_about_all_demos_is_complete_in_the_picture() -> None:
    text = "the hand rests before its first motion (6 steps), " * 4 + "medians of 10 demos, at most 18 steps"
    assert " ".join(_wrapped(text)) == text


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_picture_shows_every_demo_and_is_not_overwritten(
    suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = planted_file(CLEAN, tmp_path / "ill.hdf5", planted.move_gripper(-20), [ILL])
    picture = tmp_path / f"demos{suffix}"
    with caplog.at_level(logging.INFO):
        command("check", config(f"input_file={path}", f"output_file={picture}"))
    assert f"Saved the picture to {picture}" in caplog.messages
    content = picture.read_bytes()
    if suffix == ".html":
        assert all(f">demo_{index}<".encode() in content for index in range(10))
        assert content.count(b"gripper moving at step") >= 2
        check_page(content.decode())
    else:
        assert content.startswith(b"\x89PNG")
    with pytest.raises(OutputError, match="already exists; use another output_file, or overwrite=true"):
        command("check", config(f"input_file={path}", f"output_file={picture}"))
