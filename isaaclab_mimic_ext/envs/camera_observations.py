"""Pictures among the observations of an environment, drawn by OpenGL or by the ray caster of the engine."""

# N envs, H x W pixels

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config.cameras import CamerasCfg
from isaaclab_mimic_ext.envs.appearance import Numbers, check_kinds, look_numbers
from isaaclab_mimic_ext.envs.base import MimicEnv, NestedTensors
from isaaclab_mimic_ext.envs.cameras import WRIST, choose_cameras, description
from isaaclab_mimic_ext.envs.modalities import picture_names
from isaaclab_mimic_ext.envs.ray_caster import RayCaster
from isaaclab_mimic_ext.envs.rendering import Renderer
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.cameras import DEPTH, RGB, CameraCfg
from isaaclab_mimic_ext.task.definition import Task

_FIELD = "cameras.names"
_OPENGL_DEFAULTS = CamerasCfg(names=["front", WRIST], size=[128, 128], rendering_mode="film")
_RAY_CASTER_DEFAULTS = CamerasCfg(names=["agentview", WRIST], size=[84, 84], rendering_mode="policy")


def add_cameras(
    env: MimicEnv, task: Task, cfg: CamerasCfg | None = None, cameras: Mapping[str, CameraCfg] = MappingProxyType({})
) -> MimicEnv:
    """Add camera observations to an env: colors (N, H, W, 3) uint8, depth (N, H, W, 1) float32 [m], segmentation
    (N, H, W, 1) uint8. MuJoCo Warp draws all envs together on its device.

    A picture shows only the state of its own env (`get_state`). It does not depend on N or on the other envs.

    Args:
        cameras: values that replace those of the cameras of the scene, and further cameras; not for MuJoCo Warp.
            Neither are random looks (`cfg.appearance`), which are drawn from the (seed, trial) of each reset.

    Raises:
        ConfigError: the scene does not have a camera, or the pictures are too large.
        SimulatorUnavailable: MuJoCo is not installed, no OpenGL backend works, or MuJoCo Warp cannot draw the scene.
    """
    looks = check_kinds((cfg or CamerasCfg()).appearance, "cameras.appearance")
    if hasattr(env, "ray_caster"):
        if looks:
            raise ConfigError("appearance: MuJoCo Warp's ray caster draws only the scene's own look; use sim=mujoco")
        if cameras:
            raise ConfigError(f"camera_cfgs.{min(cameras)}: MuJoCo Warp draws only the scene's own cameras; use sim=mujoco")
        pictures: _Pictures = _RayCastPictures(env, task, (cfg or CamerasCfg()).completed(_RAY_CASTER_DEFAULTS))
    else:
        pictures = _OpenGLPictures(env, task, (cfg or CamerasCfg()).completed(_OPENGL_DEFAULTS), cameras, looks)
    return cast(MimicEnv, CameraEnv(env, pictures))


def observe(env: MimicEnv, due: Tensor | None) -> NestedTensors:
    """Observations of all envs. Pictures of envs that are not in `due`, (N,) bool, may be old; None: all are due."""
    return env.observations_due(due) if isinstance(env, CameraEnv) else env.observations()


def without_cameras(env: MimicEnv) -> MimicEnv:
    """The env without the pictures of `add_cameras`, whose observations cost no drawing."""
    return env.inner if isinstance(env, CameraEnv) else env


class _Pictures(Protocol):
    """Pictures of the current state of an env."""

    description: dict[str, Any]
    """Entry `cameras` of `env_args`, see `description`."""

    def begin(self, env_ids: Tensor, draws: Draws) -> None:
        """Begin trials in the envs `env_ids`, (n,) int64; `draws` decide their looks."""

    def draw(self, due: Tensor | None = None) -> Mapping[str, Tensor]:
        """Draw pictures, name of the observation (`picture_names`) -> (N, H, W, ...).

        Those of envs that are not in `due`, (N,) bool, may be old.
        """

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

    def reset(self, env_ids: Tensor, draws: Draws) -> None:
        self.inner.reset(env_ids, draws)
        self.pictures.begin(env_ids, draws)

    def observations(self) -> NestedTensors:
        return self.observations_due(None)

    def observations_due(self, due: Tensor | None) -> NestedTensors:
        """Observations; pictures of envs that are not in `due`, (N,) bool, may be old. None: all are due."""
        return self.inner.observations() | dict(self.pictures.draw(due))

    def env_args(self) -> dict[str, Any]:
        return self.inner.env_args() | {"cameras": self.pictures.description}

    def close(self) -> None:
        self.pictures.close()
        self.inner.close()


class _RayCastPictures:
    """Pictures that the engine draws on its device."""

    def __init__(self, env: Any, task: Task, cfg: CamerasCfg):
        cameras, size, mode = choose_cameras(env.model, task, cfg.names or (), _FIELD), cfg.height_width, cfg.mode
        self.caster: RayCaster = env.ray_caster(cameras, size, mode, cfg.kinds)
        self.description = description(env.model, task, cameras, size, self.caster.name, mode, cfg.kinds)
        self.close = self.caster.close

    def begin(self, env_ids: Tensor, draws: Draws) -> None:
        """The scene has one look."""

    def draw(self, due: Tensor | None = None) -> dict[str, Tensor]:
        return self.caster.draw()  # Waiting for `due` would take longer than drawing all envs.


class _OpenGLPictures:
    """Pictures that OpenGL draws, one env after the other."""

    def __init__(self, env: MimicEnv, task: Task, cfg: CamerasCfg, cameras: Mapping[str, CameraCfg], looks: Sequence[str]):
        self._env, (height, width) = env, cfg.height_width
        # Without a GPU, shadows take four fifths of the rendering time.
        self._renderer = Renderer(
            task, width, height, shadows=False, mode=cfg.mode, cameras=cameras, size_field="cameras.size", looks=looks
        )
        model = self._renderer.model
        self._cameras = choose_cameras(model, task, cfg.names or (), _FIELD)
        self._kinds, name, size = cfg.kinds, self._renderer.name, cfg.height_width
        self.description = description(model, task, self._cameras, size, name, cfg.mode, cfg.kinds)
        self._pictures = {
            observation: np.zeros(
                (env.num_envs, height, width, 3 if kind == RGB else 1), np.float32 if kind == DEPTH else np.uint8
            )
            for (_, kind), observation in picture_names(self._cameras, cfg.kinds).items()
        }
        self._looks: list[Numbers | None] = [None] * env.num_envs
        if looks:
            self.description["appearance"] = list(looks)

    def begin(self, env_ids: Tensor, draws: Draws) -> None:
        if "appearance" not in self.description:
            return
        numbers = look_numbers(draws.seed, draws.on_host.trials, draws.domain)
        for index, row in zip(env_ids.tolist(), numbers, strict=True):
            self._looks[index] = row

    def draw_state(self, state: NestedTensors) -> dict[str, NDArray[np.uint8]]:
        """Pictures of any state, in the layout of `get_state` without the leading axis, in the scene's own look."""
        self._renderer.set_look(None)
        return dict(zip(self._cameras, self._renderer.frames(state, self._cameras.values()), strict=True))

    def draw(self, due: Tensor | None = None) -> dict[str, Tensor]:
        state = trees.map(Tensor.cpu, self._env.get_state())
        for index in range(self._env.num_envs) if due is None else due.nonzero()[:, 0].tolist():
            self._renderer.set_look(self._looks[index])
            for name, picture in self._renderer.pictures(trees.take(state, index), self._cameras, self._kinds).items():
                self._pictures[name][index] = picture
        # Copies: the next call draws into the same memory.
        return {name: torch.from_numpy(each.copy()).to(self._env.device) for name, each in self._pictures.items()}

    def close(self) -> None:
        self._renderer.close()
