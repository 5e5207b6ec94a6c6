"""Included tasks, one package each; installed as `isaaclab_mimic_ext.tasks`."""
