"""Stack cube in Isaac Lab. Importing this package registers its gym ids; Isaac Lab must be running."""

from isaaclab_mimic_ext.envs.isaaclab.tabletop_tasks import register_task

MIMIC_TASK_ID = "Isaac-Tabletop-Stack-Cube-Franka-Mimic-IK-Rel-v0"
"""Gym id that `task=stack_cube sim=isaaclab` runs."""

register_task("stack_cube", "Isaac-Tabletop-Stack-Cube-Franka-IK-Rel-v0", MIMIC_TASK_ID)
