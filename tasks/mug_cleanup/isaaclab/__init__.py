"""Mug cleanup in Isaac Lab. Importing this package registers its gym ids; Isaac Lab must be running."""

from isaaclab_mimic_ext.envs.isaaclab.tabletop_tasks import register_task

MIMIC_TASK_ID = "Isaac-Mug-Cleanup-Franka-Mimic-IK-Rel-v0"
"""Gym id that `task=mug_cleanup sim=isaaclab` runs."""

register_task("mug_cleanup", "Isaac-Mug-Cleanup-Franka-IK-Rel-v0", MIMIC_TASK_ID)
