"""robomimic's environment class for datasets of this package, so that robomimic's own programs play and train on them."""

# T steps of a demo, S columns of its states, A action entries, H x W pixels

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from robomimic.envs.env_base import EnvBase, EnvType
from robomimic.utils import env_utils, file_utils, obs_utils

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.config.compose import load_task
from isaaclab_mimic_ext.config.recorded_task import find_recorded_task
from isaaclab_mimic_ext.datasets.convert.robomimic import flat_observation_name, robomimic_env
from isaaclab_mimic_ext.envs.camera_observations import add_cameras
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.rendering import Renderer
from isaaclab_mimic_ext.errors import ConfigError, SimulationError, SourceDataError
from isaaclab_mimic_ext.learn.checkpoint import FACTS_KEY
from isaaclab_mimic_ext.rng import Domain, Draws

_SEED = 1
"""Seed of the scenes, the default of `mimic evaluate`: reset number i gives the scene of episode i."""
_FIRST = torch.tensor([0])


class RobomimicEnv(EnvBase):
    """One env of a task, as robomimic uses it. It runs on the CPU.

    Observations have the names of the exported dataset. The reward is 1 where the task is solved at this instant, else 0.
    Episodes do not end by themselves. Each reset starts the next held-out scene.

    Args:
        env_name: name of the task.
        use_image_obs: add the pictures of the task's cameras to the observations.
        postprocess_visual_obs: pictures as robomimic's networks need them: (3, H, W) float from 0 to 1.
        preset: value of `task=` that composes the configuration of the task; None: the name of the task.
        engine: engine that recorded the dataset.
        task_dirs: folders of the user's tasks.

    Raises:
        ConfigError: the task or the engine is unknown.
        SimulatorUnavailable: the engine is not installed.
    """

    def __init__(
        self,
        env_name: str,
        render: bool = False,
        render_offscreen: bool = False,
        use_image_obs: bool = False,
        postprocess_visual_obs: bool = True,
        preset: str | None = None,
        engine: str = "auto",
        task_dirs: Sequence[str] = (),
    ):
        self._name = env_name
        self._kwargs = {"preset": preset or env_name, "engine": engine, "task_dirs": list(task_dirs)}
        self._postprocess = postprocess_visual_obs
        find_recorded_task(env_name, self._kwargs, "env_args")
        self._task = load_task(preset or env_name, _folder_of_preset(preset or env_name, task_dirs))
        self.env = make_env(self._task, engine)
        if use_image_obs:
            self.env = add_cameras(self.env, self._task)
        self._num_resets = 0
        self._renderers: dict[tuple[int, int, str], Renderer] = {}

    def reset(self) -> dict[str, np.ndarray]:
        """Start the next scene and return its observations."""
        self.env.reset(_FIRST, Draws(_SEED, torch.tensor([self._num_resets]), Domain.EVALUATION))
        self._num_resets += 1
        return self.get_observation()

    def reset_to(self, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Set the env to the row `state["states"]`, (S,), of the `states` of an exported dataset."""
        row, rest = torch.as_tensor(np.asarray(state["states"], dtype=np.float32)), {}
        for path, leaf in self._state_leaves().items():
            rest[path] = row[: leaf[0].numel()].reshape(leaf.shape)
            row = row[leaf[0].numel() :]
        if len(row):
            raise SourceDataError(f"states: has {len(row)} columns more than the scene of '{self._name}'; export it again")
        self.env.reset_to(trees.unflatten(rest), _FIRST)
        return self.get_observation()

    def _state_leaves(self) -> dict[str, torch.Tensor]:
        """Leaves (1, ...) of the state, by path, in the order of the columns of exported states."""
        return dict(sorted(trees.flatten(self.env.get_state()).items()))

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the state as `reset_to` accepts it."""
        return {"states": torch.cat([leaf[0].flatten() for leaf in self._state_leaves().values()]).numpy()}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, dict[str, Any]]:
        """Advance by one control step with an action (A,); return observations, reward, end of the episode, and no facts."""
        self.env.step(torch.as_tensor(np.asarray(action, dtype=np.float32))[None])
        return self.get_observation(), self.get_reward(), self.is_done(), {}

    def get_observation(self) -> dict[str, np.ndarray]:
        """Return the current observations, name -> (...)."""
        leaves = trees.flatten(self.env.observations())
        names = {path: flat_observation_name(path) for path in leaves}
        return {name: self._observation(name, leaves[path][0].numpy()) for path, name in names.items()}

    def _observation(self, name: str, value: np.ndarray) -> np.ndarray:
        is_picture = (obs_utils.OBS_KEYS_TO_MODALITIES or {}).get(name) == "rgb"
        return obs_utils.process_obs(obs=value, obs_key=name) if is_picture and self._postprocess else value.copy()

    def render(
        self,
        mode: str = "human",
        height: int | None = None,
        width: int | None = None,
        camera_name: str | None = None,
        **_: Any,
    ) -> np.ndarray:
        """Picture of the current state, uint8 (H, W, 3), from a camera of the scene; default: `front`.

        Raises:
            NotImplementedError: mode is not `rgb_array`: windows are not supported.
        """
        if mode != "rgb_array":
            raise NotImplementedError("a window is not supported; write a video instead (--video_path)")
        view = (width or 640, height or 480, camera_name or "front")
        if view not in self._renderers:
            self._renderers[view] = Renderer(self._task, *view)
        return self._renderers[view].frame(trees.take(self.env.get_state(), 0))

    def get_reward(self) -> float:
        """Return 1.0 where the task is solved at this instant, else 0.0."""
        return float(self.env.success()[0])

    def is_success(self) -> dict[str, bool]:
        """Return whether the task is solved at this instant, under the key `task`."""
        return {"task": bool(self.env.success()[0])}

    def is_done(self) -> bool:
        """Return False: the horizon, or robomimic's `terminate_on_success`, ends episodes."""
        return False

    def get_goal(self) -> Any:
        raise NotImplementedError("the tasks have no goal observations")

    def set_goal(self, **kwargs: Any) -> None:
        raise NotImplementedError("the tasks have no goal observations")

    @property
    def action_dimension(self) -> int:
        return self.env.action_dim

    @property
    def name(self) -> str:
        return self._name

    @property
    def type(self) -> int:
        return int(EnvType.GYM_TYPE)

    @property
    def version(self) -> str:
        return version("isaaclab-mimic-ext")

    def serialize(self) -> dict[str, Any]:
        """Return the arguments that create this env again, in the layout of `env_args`."""
        return {"env_name": self.name, "type": self.type, "env_version": self.version, "env_kwargs": dict(self._kwargs)}

    @classmethod
    def create_for_data_processing(
        cls,
        env_name: str,
        camera_names: list[str],
        camera_height: int,
        camera_width: int,
        reward_shaping: bool,
        **kwargs: Any,
    ) -> "RobomimicEnv":
        """Create an env that computes observations of recorded states; with `camera_names`, also the scene's pictures.

        Raises:
            ConfigError: the pictures of the scene have other names or another size.
        """
        obs_utils.initialize_obs_utils_with_obs_specs({"obs": {"low_dim": [], "rgb": list(camera_names)}})
        made = cls(env_name, use_image_obs=bool(camera_names), postprocess_visual_obs=False, **kwargs)
        if camera_names:
            cameras = made.env.env_args()["cameras"]
            if set(camera_names) != set(cameras["names"]):
                raise ConfigError(f"camera_names: must be {' '.join(cameras['names'])} (got {' '.join(camera_names)})")
            if (camera_height, camera_width) != (cameras["height"], cameras["width"]):
                size = f"{cameras['height']} and {cameras['width']} (got {camera_height} and {camera_width})"
                raise ConfigError(f"camera_height, camera_width: must be {size}")
        return made

    @property
    def rollout_exceptions(self) -> tuple[Any, ...]:
        return (SimulationError,)

    def __repr__(self) -> str:
        return f"{self.name}\n{json.dumps(self._kwargs, indent=4)}"


def _folder_of_preset(preset: str, folders: Sequence[str]) -> str | None:
    """The user's folder with the configuration of a preset; None if it is part of this package."""
    return next((folder for folder in folders if (Path(folder) / "task" / f"{preset}.yaml").is_file()), None)


def register() -> None:
    """Make robomimic create a `RobomimicEnv` for the `env_args` of datasets of this package (`type` 2)."""
    find_class, create_env = env_utils.get_env_class, env_utils.create_env_from_metadata
    load_policy = file_utils.policy_from_checkpoint

    def get_env_class(env_meta: Any = None, env_type: Any = None, env: Any = None) -> Any:
        kind = env_utils.get_env_type(env_meta=env_meta, env_type=env_type, env=env)
        return RobomimicEnv if kind == EnvType.GYM_TYPE else find_class(env_type=kind)

    def create_env_from_metadata(env_meta: Any, *args: Any, **kwargs: Any) -> Any:
        return create_env({**robomimic_env(env_meta), **env_meta}, *args, **kwargs)

    def policy_from_checkpoint(*args: Any, ckpt_path: str | None = None, ckpt_dict: Any = None, **kwargs: Any) -> Any:
        content = file_utils.maybe_dict_from_checkpoint(ckpt_path=ckpt_path, ckpt_dict=ckpt_dict)
        if FACTS_KEY in content:
            raise SourceDataError(
                f"{ckpt_path}: was trained by this package, and robomimic does not apply its normalization of actions; run "
                f"`{command_line('evaluate', checkpoint=ckpt_path)}`"
            )
        return load_policy(*args, ckpt_path=ckpt_path, ckpt_dict=content, **kwargs)

    env_utils.get_env_class = get_env_class
    env_utils.create_env_from_metadata = create_env_from_metadata
    file_utils.policy_from_checkpoint = policy_from_checkpoint
