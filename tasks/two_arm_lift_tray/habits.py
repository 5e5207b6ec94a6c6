"""Variation of the scripted operator of the two-arm tray lift between demos."""

# D demos

from collections.abc import Mapping

from torch import Tensor

from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.strokes import draw_habits

Habits = dict[str, Tensor]
"""Drawn values, name -> (D,)."""

# Lowest and highest value of each quantity. Lengths in m, angles in rad, times in frames of 1/20 s.
_PACE = (0.85, 1.25)
"""Factor on all durations `*_time` that are drawn together."""
HAND_HABITS = {
    "start_wait": (3, 8),
    "approach_time": (24, 30),
    "bow_x": (-0.02, 0.02),
    "bow_z": (0.00, 0.02),
    "hover_height": (0.085, 0.105),
    "descend_time": (18, 22),
    "grasp_along": (-0.006, 0.006),
    "grasp_across": (-0.002, 0.002),
    "grasp_height": (-0.002, 0.002),
    "grasp_yaw": (-0.04, 0.04),
    "grasp_pitch": (-0.06, 0.06),
    "settle_wait": (8, 11),
    "close_wait": (12, 15),
    "open_wait": (9, 11),
    "retreat_time": (14, 18),
    "retreat_height": (0.11, 0.14),
    "tremor": (0.2, 0.8),
}
TRAY_HABITS = {
    "lift_time": (20, 26),
    "lift_height": (0.15, 0.18),
    "carry_overlap": (3, 7),
    "carry_time": (36, 44),
    "place_x": (-0.006, 0.006),
    "place_y": (-0.006, 0.006),
    "place_yaw": (-0.03, 0.03),
    "lower_overlap": (2, 5),
    "lower_time": (22, 26),
    "release_gap": (0.001, 0.003),
    "release_wait": (8, 10),
    "tremor": (0.1, 0.5),
}
PART_HABITS = {
    "leave_time": (18, 24),
    "reach_wait": (3, 6),
    "reach_time": (22, 28),
    "hover_height": (0.085, 0.11),
    "descend_time": (16, 20),
    "grasp_height": (0.012, 0.016),
    "grasp_along": (-0.002, 0.002),
    "grasp_across": (-0.003, 0.003),
    "grasp_yaw": (-0.25, 0.25),
    "settle_wait": (8, 10),
    "close_wait": (12, 14),
    "lift_time": (17, 21),
    "lift_height": (0.15, 0.17),
    "carry_overlap": (3, 6),
    "carry_time": (30, 36),
    "place_x": (-0.012, 0.012),
    "place_y": (-0.012, 0.012),
    "lower_overlap": (2, 5),
    "lower_time": (18, 22),
    "release_gap": (0.004, 0.008),
    "release_wait": (7, 9),
    "open_wait": (9, 11),
    "retreat_time": (14, 18),
    "retreat_height": (0.12, 0.15),
    "end_wait": (6, 8),
}


def draw_paced(draws: Draws, habits: Mapping[str, tuple[float, float]], step: int) -> Habits:
    """Draw habits as `draw_habits` does, and scale all `*_time` by a common random pace."""
    drawn = draw_habits(draws, {"pace": _PACE, **habits}, step)
    pace = drawn.pop("pace")
    return {name: (value * pace).round() if name.endswith("_time") else value for name, value in drawn.items()}
