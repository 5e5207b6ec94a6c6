"""Two-arm tray lift: signals, success and reasons of failure in hand-made scenes, and checks of its source demos."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.config.hydra import conf_dir
from isaaclab_mimic_ext.demos.boundaries import check_offsets, subtask_ends
from isaaclab_mimic_ext.demos.source import load_source_demos
from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.errors import SourceDataError, TaskSpecError
from isaaclab_mimic_ext.math import matrix_from_axis_angle, pose_from_pos_rot, yaw_matrix
from isaaclab_mimic_ext.run.failures import FailureObserver
from isaaclab_mimic_ext.task.definition import SceneState, load_task
from isaaclab_mimic_ext.tasks.two_arm_lift_tray.task import (
    BIN_FLOOR,
    HANDLE_HEIGHT,
    HANDLE_RADIUS,
    HANDLE_Y,
    LEVEL_ANGLE,
    LIFT_HEIGHT,
    PART_HEIGHT,
    PART_RADIUS,
    STAND_SIZE,
    TRAY_FLOOR,
)

TASK = load_task("two_arm_lift_tray")
SOURCE = conf_dir().parent / "tasks" / TASK.name / "data" / "source_demos.hdf5"
ONE_ARM_SOURCE = conf_dir().parent / "tasks" / "desktop_organizer" / "data" / "source_demos.hdf5"
LEFT, RIGHT = 0, 1
OPEN = 0.04
STAND_POS = torch.tensor([0.20, 0.0, 0.0])
PART_IN_BIN = (0.43, 0.21, BIN_FLOOR + PART_HEIGHT / 2)

Vec = tuple[float, float, float]


def scene(
    tray: Vec = (0.66, 0.0, 0.0),
    tilt: Vec = (0.0, 0.0, 0.0),
    part: Vec = (0.43, -0.20, PART_HEIGHT / 2),
    left: Vec = (0.43, -0.10, 0.35),
    right: Vec = (0.43, 0.10, 0.35),
    fingers: tuple[float, float] = (OPEN, OPEN),
) -> SceneState:
    """One scene, from the positions of objects and hands [m]. `tilt` is the rotation vector of the tray [rad]."""
    state = KinematicEnv(TASK, {}, 1).scene
    tray_pose = pose_from_pos_rot(torch.tensor(tray), matrix_from_axis_angle(torch.tensor(tilt)))
    state.object_pose[0, TASK.object_id("tray")] = tray_pose
    state.object_pose[0, TASK.object_id("part"), :3, 3] = torch.tensor(part)
    for index, pos in enumerate((left, right)):
        state.eef_pose[0, index, :3, 3] = torch.tensor(pos)
        state.joint_pos[0, index, -2:] = fingers[index]
    return state


def handles(tray: Vec) -> tuple[Vec, Vec]:
    x, y, z = tray
    return (x, y - HANDLE_Y, z + HANDLE_HEIGHT), (x, y + HANDLE_Y, z + HANDLE_HEIGHT)


def held(tray: Vec, tilt: Vec = (0.0, 0.0, 0.0)) -> SceneState:
    """Scene in which both hands hold the tray at its handles."""
    left, right = handles(tray)
    return scene(tray=tray, tilt=tilt, left=left, right=right, fingers=(HANDLE_RADIUS, HANDLE_RADIUS))


ON_STAND = (0.20, 0.0, STAND_SIZE[2])
PART_ON_TRAY = (0.20, 0.0, STAND_SIZE[2] + TRAY_FLOOR + PART_HEIGHT / 2)


def true_signals(state: SceneState) -> set[str]:
    return {name for name, signal in TASK.signals(state).items() if bool(signal)}


def test_each_hand_has_its_own_grasp_signal() -> None:
    left, right = handles((0.66, 0.0, 0.0))
    assert true_signals(scene()) == set()
    assert true_signals(scene(left=left, fingers=(HANDLE_RADIUS, OPEN))) == {"left_grasp"}
    assert true_signals(scene(right=right, fingers=(OPEN, HANDLE_RADIUS))) == {"right_grasp"}
    assert true_signals(scene(left=right, right=left, fingers=(HANDLE_RADIUS, HANDLE_RADIUS))) == set()


def test_lift_requires_height_both_hands_and_a_level_tray() -> None:
    up = (0.5, 0.0, LIFT_HEIGHT + 0.02)
    assert "lift" in true_signals(held(up))
    assert "lift" not in true_signals(held((0.5, 0.0, LIFT_HEIGHT - 0.02)))
    assert "lift" not in true_signals(held(up, tilt=(LEVEL_ANGLE + 0.02, 0.0, 0.0)))
    assert "lift" not in true_signals(scene(tray=up, left=handles(up)[0], fingers=(HANDLE_RADIUS, OPEN)))


def test_place_requires_a_tray_on_the_stand_and_both_hands_clear() -> None:
    left, right = handles(ON_STAND)
    assert "place" in true_signals(scene(tray=ON_STAND))
    assert "place" not in true_signals(scene(tray=ON_STAND, left=left))
    assert "place" not in true_signals(scene(tray=ON_STAND, right=right))
    assert "place" not in true_signals(scene(tray=(0.20, 0.0, 0.0)))
    assert "place" not in true_signals(scene(tray=(0.30, 0.0, STAND_SIZE[2])))


def test_part_is_picked_by_left_and_taken_by_right() -> None:
    up = (0.43, -0.20, STAND_SIZE[2] + PART_HEIGHT / 2 + LIFT_HEIGHT + 0.03)
    assert true_signals(scene(part=up, left=up, fingers=(PART_RADIUS, OPEN))) == {"pick"}
    assert true_signals(scene(part=up, right=up, fingers=(OPEN, PART_RADIUS))) == {"take"}
    low = (0.43, -0.20, PART_HEIGHT / 2)
    assert true_signals(scene(part=low, left=low, fingers=(PART_RADIUS, OPEN))) == set()


def test_hand_over_requires_the_part_on_the_placed_tray_and_left_clear() -> None:
    assert "hand_over" in true_signals(scene(tray=ON_STAND, part=PART_ON_TRAY))
    assert "hand_over" not in true_signals(scene(tray=ON_STAND, part=PART_ON_TRAY, left=PART_ON_TRAY))
    assert "hand_over" not in true_signals(scene(tray=ON_STAND))


def test_success_requires_tray_part_and_open_hands() -> None:
    solved = scene(tray=ON_STAND, part=PART_IN_BIN)
    assert bool(TASK.success(solved))
    assert not bool(TASK.success(scene(tray=ON_STAND, part=PART_ON_TRAY)))
    assert not bool(TASK.success(scene(part=PART_IN_BIN)))
    assert not bool(TASK.success(scene(tray=ON_STAND, part=PART_IN_BIN, fingers=(OPEN, PART_RADIUS))))
    assert not bool(TASK.success(scene(tray=ON_STAND, part=PART_IN_BIN, right=PART_IN_BIN)))


@given(angle=st.floats(0, 1.5), direction=st.floats(-math.pi, math.pi))
def test_tray_that_is_tilted_too_far_in_any_direction_is_a_violation(angle: float, direction: float) -> None:
    state = scene(tilt=(angle * math.cos(direction), angle * math.sin(direction), 0.0))
    if abs(angle - LEVEL_ANGLE) > 1e-3:
        assert bool(TASK.violates(state)) == (angle > LEVEL_ANGLE)


@settings(max_examples=50)
@given(
    yaw=st.floats(-math.pi, math.pi),
    shift=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    state=st.sampled_from(
        [scene(), held((0.5, 0.0, 0.2)), scene(tray=ON_STAND), scene(tray=ON_STAND, part=PART_ON_TRAY),
         scene(tray=ON_STAND, part=PART_IN_BIN)]
    ),
)  # fmt: skip
def test_signals_and_success_do_not_depend_on_where_the_scene_is_on_the_table(
    yaw: float, shift: tuple[float, float], state: SceneState
) -> None:
    motion = pose_from_pos_rot(torch.tensor([*shift, 0.0]), yaw_matrix(torch.tensor(yaw)))
    moved = replace(state, eef_pose=motion @ state.eef_pose, object_pose=motion @ state.object_pose)
    assert true_signals(moved) == true_signals(state)
    assert bool(TASK.success(moved)) == bool(TASK.success(state))


def reason(*states: SceneState) -> str:
    """Reason of failure of a trial that consists of the given states."""
    observer = FailureObserver(TASK.failure_reasons, TASK.conditions(states[0]), 1, torch.device("cpu"))
    observer.begin(torch.tensor([0]))
    for step, state in enumerate(states):
        observer.watch(torch.tensor([step]), TASK.conditions(state), TASK.success(state))
    code, _ = observer.reasons(torch.tensor([0]), torch.tensor([len(states)]))
    return observer.names[int(code)]


def test_each_reason_of_failure_is_reported() -> None:
    grasped, lifted, placed = held((0.66, 0.0, 0.0)), held((0.5, 0.0, 0.2)), scene(tray=ON_STAND)
    up = (0.43, -0.20, 0.25)
    picked = scene(tray=ON_STAND, part=up, left=up, fingers=(PART_RADIUS, OPEN))
    laid = scene(tray=ON_STAND, part=PART_ON_TRAY)
    taken = scene(tray=ON_STAND, part=up, right=up, fingers=(OPEN, PART_RADIUS))
    left_only = scene(left=handles((0.66, 0.0, 0.0))[0], fingers=(HANDLE_RADIUS, OPEN))
    in_order = [grasped, lifted, placed, picked, laid, taken]
    assert reason(scene()) == "left never grasped the tray"
    assert reason(left_only) == "right never grasped the tray"
    assert reason(grasped, held((0.5, 0.0, 0.2), tilt=(0.3, 0.0, 0.0))) == "the tray was tilted"
    expected = (
        "the tray was never lifted",
        "the tray was not placed on the stand",
        "left never picked up the part",
        "the part was not laid on the tray",
        "right never took the part",
        "the part did not get into the bin",
    )
    for count, name in enumerate(expected, start=1):
        assert reason(*in_order[:count]) == name
    assert reason(*in_order, scene(part=PART_IN_BIN)) == "the tray was pushed off its place"


def boundaries() -> Tensor:
    """Boundaries of the included source demos, (D, 12) [steps]: ends of the six subtasks of left, then of right."""
    cfg = load_config("generate", [f"task={TASK.name}", "output_dir=unused"])
    demos = load_source_demos(SOURCE, TASK.eef_names, TASK.object_names, TASK.signal_names, 14)
    rows = []
    for demo in demos:
        ends = {}
        for eef, configs in cfg.subtask_configs.items():
            ends[eef] = subtask_ends(demo, [config.subtask_term_signal for config in configs])
            check_offsets(eef, configs, {demo.name: ends[eef]})
        rows.append(ends["left"] + ends["right"])
    return torch.tensor(rows)


@pytest.mark.slow
def test_boundaries_of_included_demos_fit_the_configuration_and_differ() -> None:
    ends = boundaries()
    assert ends.shape == (10, 12)
    # Common subtasks of both hands end together: lift, place, hand_over.
    for left, right in ((1, 7), (2, 8), (4, 9)):
        assert torch.equal(ends[:, left], ends[:, right])
    assert (ends[:, 0] - ends[:, 6]).unique().numel() > 5, "both hands reach with the same pace in all demos"


def test_two_arm_source_for_a_one_arm_task_is_refused() -> None:
    task = load_task("desktop_organizer")
    with pytest.raises(SourceDataError, match=r"must have 7 entries per action.*\(got 14\)"):
        load_source_demos(SOURCE, task.eef_names, task.object_names, task.signal_names, 7)


def test_one_arm_source_for_the_two_arm_task_is_refused() -> None:
    with pytest.raises(SourceDataError, match=r"must have 14 entries per action.*\(got 7\)"):
        load_source_demos(ONE_ARM_SOURCE, TASK.eef_names, TASK.object_names, TASK.signal_names, 14)


def test_subtasks_of_an_unknown_end_effector_are_refused() -> None:
    with pytest.raises(TaskSpecError, match=r"end effector .franka. is not in the scene.*left, right"):
        load_config("generate", [f"task={TASK.name}", "output_dir=unused", "+subtask_configs.franka=[{}]"])


def test_constraint_with_an_invalid_subtask_index_is_refused() -> None:
    override = "task_constraint_configs.2.eef_subtask_constraint_tuple=[[left,4],[right,6]]"
    with pytest.raises(TaskSpecError, match="subtask 6 of 'right' not found"):
        load_config("generate", [f"task={TASK.name}", "output_dir=unused", override])
