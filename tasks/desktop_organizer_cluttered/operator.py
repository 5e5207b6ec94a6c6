"""Scripted operator of the desktop organizer. It does not avoid obstacles: record in scenes with a free path."""

from isaaclab_mimic_ext.tasks.desktop_organizer.operator import MAX_FRAMES, plan_demos

__all__ = ["MAX_FRAMES", "plan_demos"]
