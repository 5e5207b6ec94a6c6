"""Coffee in Isaac Lab. Importing this package registers its gym ids; Isaac Lab must be running."""

from isaaclab_mimic_ext.envs.isaaclab.tabletop_tasks import register_task

MIMIC_TASK_ID = "Isaac-Coffee-Franka-Mimic-IK-Rel-v0"
"""Gym id that `task=coffee sim=isaaclab` runs."""

register_task("coffee", "Isaac-Coffee-Franka-IK-Rel-v0", MIMIC_TASK_ID)
