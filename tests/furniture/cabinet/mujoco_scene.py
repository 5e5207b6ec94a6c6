"""The cabinet in MuJoCo."""

from isaaclab_mimic_ext.envs.tabletop_mjcf import build_tabletop, parts_builders
from isaaclab_mimic_ext.tasks.cabinet.parts import PARTS


def build_spec(task):
    return build_tabletop(task, parts_builders(PARTS))
