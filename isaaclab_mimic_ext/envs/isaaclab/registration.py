"""Importing this module registers the tasks of this package with Isaac Lab: the entry point `isaaclab.tasks`."""

from importlib import import_module

from isaaclab_mimic_ext.envs.isaaclab.installation import isaaclab_module
from isaaclab_mimic_ext.task.folders import available_tasks

for _module in filter(None, map(isaaclab_module, available_tasks())):
    import_module(_module)
