"""The scripted operator of the desktop organizer; it looks for no obstacles, so give it a scene where none is in its way."""

from isaaclab_mimic_ext.tasks.desktop_organizer.operator import MAX_FRAMES, plan_demos

__all__ = ["MAX_FRAMES", "plan_demos"]
