"""The cabinet in Isaac Lab."""

from isaaclab_mimic_ext.envs.isaaclab.tabletop_tasks import register_task

MIMIC_TASK_ID = "Test-Cabinet-Franka-Mimic-IK-Rel-v0"

register_task("cabinet", "Test-Cabinet-Franka-IK-Rel-v0", MIMIC_TASK_ID)
