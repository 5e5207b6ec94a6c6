"""What cameras see, as observations of an embedded engine: each scene in turn, drawn off screen."""

# N envs, H x W pixels

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors
from isaaclab_mimic_ext.envs.rendering import Renderer
from isaaclab_mimic_ext.task import Task

HEIGHT = WIDTH = 128
_FRONT = "front"


def with_cameras(env: MimicEnv, task: Task) -> MimicEnv:
    """An env whose observations hold pictures too: `front`, and `wrist` (of several arms `<arm>_wrist`), (N, H, W, 3) uint8.

    A picture shows the state that `get_state` tells, so that it depends neither on N nor on the other envs.

    Raises:
        SimulatorUnavailable: nothing can draw here.
    """
    return cast(MimicEnv, _CameraEnv(env, task))


class _CameraEnv:
    """All of another env, with pictures among its observations."""

    def __init__(self, env: MimicEnv, task: Task):
        self._env = env
        prefixes = [""] if len(task.arms) == 1 else [f"{arm.name}_" for arm in task.arms]
        wrists = {f"{prefix}wrist": f"{arm.name}/wrist" for prefix, arm in zip(prefixes, task.arms, strict=True)}
        self._cameras = {_FRONT: _FRONT} | wrists
        # Shadows take four fifths of the time where no GPU draws.
        self._renderer = Renderer(task, WIDTH, HEIGHT, shadows=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def observations(self) -> NestedTensors:
        state = trees.map(Tensor.cpu, self._env.get_state())
        pictures = np.stack(
            [self._renderer.frames(trees.take(state, index), self._cameras.values()) for index in range(self.num_envs)]
        )
        views = torch.from_numpy(pictures).to(self.device).unbind(1)
        return self._env.observations() | dict(zip(self._cameras, views, strict=True))

    def env_args(self) -> dict[str, Any]:
        cameras = {"names": list(self._cameras), "height": HEIGHT, "width": WIDTH}
        return self._env.env_args() | {"cameras": cameras}

    def close(self) -> None:
        self._renderer.close()
        self._env.close()
