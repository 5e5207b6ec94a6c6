"""Two-arm tray lift in Isaac Lab. Importing this package registers its gym ids; Isaac Lab must be running."""

from isaaclab_mimic_ext.envs.isaaclab.tabletop_tasks import register_task

MIMIC_TASK_ID = "Isaac-Two-Arm-Lift-Tray-Franka-Mimic-IK-Rel-v0"
"""Gym id that `task=two_arm_lift_tray sim=isaaclab` runs."""

register_task("two_arm_lift_tray", "Isaac-Two-Arm-Lift-Tray-Franka-IK-Rel-v0", MIMIC_TASK_ID)
