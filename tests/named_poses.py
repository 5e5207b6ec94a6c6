"""The poses of an env by name, for tests that speak of single objects."""

from torch import Tensor

from isaaclab_mimic_ext.envs.base import MimicEnv, by_name


def object_poses(env: MimicEnv) -> dict[str, Tensor]:
    """Object -> its present poses (N, 4, 4), env frame [m]."""
    return by_name(env.object_names, env.object_pose)
