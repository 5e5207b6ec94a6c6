"""Engine whose process dies when a certain trial starts, for tests of runs with several workers."""

import os
import signal

from torch import Tensor

from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.rng import Draws

DEADLY_TRIAL = 5


class DeadlyEnv(KinematicEnv):
    """The kinematic engine without trial 5."""

    engine = "tests.deadly_engine:DeadlyEnv"

    def reset(self, env_ids: Tensor, draws: Draws) -> None:
        """Reset as the kinematic engine does."""
        if DEADLY_TRIAL in draws.trials.tolist():
            os.kill(os.getpid(), signal.SIGKILL)
        super().reset(env_ids, draws)
