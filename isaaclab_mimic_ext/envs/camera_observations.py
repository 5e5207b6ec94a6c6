"""Pictures among the observations of an environment, drawn by OpenGL or by the ray caster of the engine."""

# N envs, H x W pixels

from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config.cameras import CamerasCfg
from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors
from isaaclab_mimic_ext.envs.cameras import WRIST, choose_cameras, description
from isaaclab_mimic_ext.envs.ray_caster import RayCaster
from isaaclab_mimic_ext.envs.rendering import Renderer
from isaaclab_mimic_ext.task.definition import Task

_FIELD = "cameras.names"
_OPENGL_DEFAULTS = CamerasCfg(names=["front", WRIST], size=[128, 128], rendering_mode="film")
_RAY_CASTER_DEFAULTS = CamerasCfg(names=["agentview", WRIST], size=[84, 84], rendering_mode="policy")


def add_cameras(env: MimicEnv, task: Task, cfg: CamerasCfg | None = None) -> MimicEnv:
    """Add camera observations to an env, (N, H, W, 3) uint8. MuJoCo Warp draws all envs together on its device.

    A picture shows only the state of its own env (`get_state`). It does not depend on N or on the other envs.

    Raises:
        ConfigError: the scene does not have a camera, or the pictures are too large.
        SimulatorUnavailable: MuJoCo is not installed, no OpenGL backend works, or MuJoCo Warp cannot draw the scene.
    """
    if hasattr(env, "ray_caster"):
        pictures: _Pictures = _RayCastPictures(env, task, (cfg or CamerasCfg()).completed(_RAY_CASTER_DEFAULTS))
    else:
        pictures = _OpenGLPictures(env, task, (cfg or CamerasCfg()).completed(_OPENGL_DEFAULTS))
    return cast(MimicEnv, CameraEnv(env, pictures))


class _Pictures(Protocol):
    """Pictures of the current state of an env."""

    description: dict[str, Any]
    """Entry `cameras` of `env_args`, see `description`."""

    def draw(self) -> Mapping[str, Tensor]:
        """Draw pictures, camera -> (N, H, W, 3) uint8."""

    def close(self) -> None: ...


class CameraEnv:
    """Wrapper of an env that adds pictures to its observations.

    Attributes:
        inner: the env without pictures.
        pictures: its pictures.
    """

    def __init__(self, env: MimicEnv, pictures: _Pictures):
        self.inner, self.pictures = env, pictures

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def observations(self) -> NestedTensors:
        return self.inner.observations() | dict(self.pictures.draw())

    def env_args(self) -> dict[str, Any]:
        return self.inner.env_args() | {"cameras": self.pictures.description}

    def close(self) -> None:
        self.pictures.close()
        self.inner.close()


class _RayCastPictures:
    """Pictures that the engine draws on its device."""

    def __init__(self, env: Any, task: Task, cfg: CamerasCfg):
        cameras, size, mode = choose_cameras(env.model, task, cfg.names or (), _FIELD), cfg.height_width, cfg.mode
        self.caster: RayCaster = env.ray_caster(cameras, size, mode)
        self.description = description(env.model, task, cameras, size, self.caster.name, mode)
        self.draw, self.close = self.caster.draw, self.caster.close


class _OpenGLPictures:
    """Pictures that OpenGL draws, one env after the other."""

    def __init__(self, env: MimicEnv, task: Task, cfg: CamerasCfg):
        self._env, (height, width) = env, cfg.height_width
        # Without a GPU, shadows take four fifths of the rendering time.
        self._renderer = Renderer(task, width, height, shadows=False, mode=cfg.mode, size_field="cameras.size")
        model = self._renderer.model
        self._cameras = choose_cameras(model, task, cfg.names or (), _FIELD)
        self.description = description(model, task, self._cameras, cfg.height_width, self._renderer.name, cfg.mode)

    def draw(self) -> dict[str, Tensor]:
        state = trees.map(Tensor.cpu, self._env.get_state())
        pictures = np.stack(
            [self._renderer.frames(trees.take(state, index), self._cameras.values()) for index in range(self._env.num_envs)]
        )
        views = torch.from_numpy(pictures).to(self._env.device).unbind(1)
        return dict(zip(self._cameras, views, strict=True))

    def close(self) -> None:
        self._renderer.close()
