"""Desktop organizer in Isaac Lab. Importing this package registers its gym ids; Isaac Lab must be running."""

from isaaclab_mimic_ext.envs.isaaclab.tabletop_tasks import register_task

MIMIC_TASK_ID = "Isaac-Desktop-Organizer-Franka-Mimic-IK-Rel-v0"
"""Gym id that `task=desktop_organizer sim=isaaclab` runs."""

register_task("desktop_organizer", "Isaac-Desktop-Organizer-Franka-IK-Rel-v0", MIMIC_TASK_ID)
