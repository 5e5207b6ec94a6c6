"""Desktop organizer in Isaac Lab, for Mimic. It needs nothing beyond the base class of tabletop tasks."""

from isaaclab_mimic_ext.envs.isaaclab.tabletop_mimic_env import TabletopMimicEnv


class FrankaDesktopOrganizerIKRelMimicEnv(TabletopMimicEnv):
    """Isaac Lab's Mimic API for the desktop organizer."""
