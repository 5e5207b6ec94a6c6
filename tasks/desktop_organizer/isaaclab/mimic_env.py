"""Desktop organizer in Isaac Lab, for Mimic: all of it is what table-top tasks share."""

from isaaclab_mimic_ext.envs.isaaclab.tabletop_mimic_env import TabletopMimicEnv


class FrankaDesktopOrganizerIKRelMimicEnv(TabletopMimicEnv):
    """Isaac Lab's Mimic API for the desktop organizer."""
