"""The cabinet in MuJoCo."""

from isaaclab_mimic_ext.envs.panda.shape import Part
from isaaclab_mimic_ext.envs.tabletop_mjcf import build_tabletop, parts_builders

WOOD, RED, LIGHT = (0.55, 0.36, 0.22, 1.0), (0.70, 0.30, 0.22, 1.0), (0.85, 0.72, 0.5, 1.0)


def box(size, pos, rgba, mass=0.05):
    return Part("box", size, pos, rgba, mass=mass, solid=True, grips=True)


PARTS = {
    "cabinet": (
        box((0.005, 0.10, 0.059), (-0.195, 0.0, 0.06), WOOD),
        box((0.005, 0.10, 0.059), (0.0, 0.0, 0.06), WOOD),
        box((0.005, 0.10, 0.059), (0.195, 0.0, 0.06), WOOD),
        box((0.20, 0.005, 0.059), (0.0, 0.095, 0.06), WOOD),
        box((0.20, 0.10, 0.003), (0.0, 0.0, 0.117), WOOD),
    ),
    "cube": (box((0.02, 0.02, 0.02), (0.0, 0.0, 0.0), (0.2, 0.4, 0.8, 1.0)),),
    "drawer": (
        box((0.09, 0.08, 0.005), (0.0, 0.0, -0.035), RED),
        box((0.092, 0.006, 0.05), (0.0, -0.085, 0.0), RED),
        box((0.085, 0.005, 0.03), (0.0, 0.075, 0.0), RED),
        box((0.005, 0.075, 0.03), (-0.085, 0.0, 0.0), RED),
        box((0.005, 0.075, 0.03), (0.085, 0.0, 0.0), RED),
        box((0.005, 0.030, 0.004), (0.0, -0.12, 0.022), LIGHT),
    ),
    "knob": (box((0.03, 0.009, 0.013), (0.0, 0.0, -0.004), LIGHT),),
    "door": (
        box((0.098, 0.006, 0.05), (-0.10, -0.007, 0.0), RED),
        box((0.009, 0.020, 0.009), (-0.18, -0.033, 0.0), LIGHT),
    ),
}


def build_spec(task):
    return build_tabletop(task, parts_builders(PARTS))
