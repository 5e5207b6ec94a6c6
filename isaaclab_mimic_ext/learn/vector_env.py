"""Environments as a vector environment of Gymnasium, for trainers and evaluations outside of this package."""

# N envs, n of them selected, A action entries, W entries of a vector, H x W pixels

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config.task import MAX_SEED
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.camera_observations import without_cameras
from isaaclab_mimic_ext.envs.factory import config_of, env_task
from isaaclab_mimic_ext.errors import ConfigError, DependencyMissing, choices
from isaaclab_mimic_ext.files.demo import has_limits
from isaaclab_mimic_ext.learn.agents import is_picture
from isaaclab_mimic_ext.learn.evaluate import default_horizon
from isaaclab_mimic_ext.rng import Domain, Draws
from isaaclab_mimic_ext.task.robot import is_robot_observation

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv as _GymnasiumVectorEnv
else:
    try:
        from gymnasium.vector import VectorEnv as _GymnasiumVectorEnv
    except ImportError:
        _GymnasiumVectorEnv = object

Observations = dict[str, Any]
"""Name -> array (N, ...), or a group of arrays."""
_LAYOUTS = ("terms", "lerobot")
_MAX_NUMBER = 2**32 - 1
"""Largest number of an episode, see `Draws`."""


@dataclass(frozen=True)
class OneEnv:
    """Facts about one env that LeRobot's evaluation reads.

    Attributes:
        task, task_description: name of the task, and the instruction for policies that read one.
        _max_episode_steps: horizon.
    """

    task: str
    task_description: str
    _max_episode_steps: int


class VectorEnv(_GymnasiumVectorEnv):
    """N environments of this package behind Gymnasium's interface for vector environments, version 1.1 and later.

    Scenes are those of `evaluate`: a function of the seed and of the number of the episode. Episodes are numbered in the
    order of their starts. An episode is terminated at held success and truncated at the horizon. The reward is 1 in steps in
    which the task is solved, otherwise 0. `info["is_success"]`, (N,) bool, is the judgement of `evaluate`;
    `info["episode_number"]`, (N,) int64, is the number of the episode. Observations are copied to the host.

    Args:
        env: environment from `make_env`, which this object closes.
        horizon: largest number of steps of an episode; None: as in `evaluate`.
        seed: seed of the scenes until `reset(seed=...)`.
        autoreset_mode: one of Gymnasium's `AutoresetMode`: `NextStep`, `SameStep` or `Disabled`.
        layout: `terms`: each observation by its name; `lerobot`: `agent_pos` and `environment_state`, vectors (N, W) in the
            order of `mimic export format=lerobot`, and `pixels`, camera -> (N, H, W, 3).
        stop_at_success: terminate episodes at held success.

    Raises:
        ConfigError: an argument is not valid.
        DependencyMissing: gymnasium is not installed.
    """

    def __init__(
        self,
        env: MimicEnv,
        *,
        horizon: int | None = None,
        seed: int = 1,
        autoreset_mode: Any = "NextStep",
        layout: str = "terms",
        stop_at_success: bool = True,
    ):
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        if layout not in _LAYOUTS:
            raise ConfigError(f"layout: '{layout}' is not valid; {choices(layout, _LAYOUTS)}")
        self._env, self._task, self._config = env, env_task(env), config_of(env).datagen_config
        self.horizon = default_horizon(self._task) if horizon is None else horizon
        if self.horizon < 1:
            raise ConfigError(f"horizon: must be >= 1 (got {horizon})")
        self._stops, self._seed, self._next_number = stop_at_success, _checked_seed(seed), 0
        self.num_envs, device = env.num_envs, env.device
        self.metadata = {"autoreset_mode": self.autoreset_mode, "render_modes": [], "render_fps": round(1 / env.step_dt)}
        self._numbers = torch.zeros(env.num_envs, dtype=torch.int64, device=device)
        self._step, self._num_held = (torch.zeros_like(self._numbers) for _ in range(2))
        self._ever, self._is_over = (torch.zeros(env.num_envs, dtype=torch.bool, device=device) for _ in range(2))
        every = torch.arange(env.num_envs, device=device)
        env.reset(every, Draws(self._seed, every, Domain.EVALUATION))  # Shapes of observations are known after a reset.
        self._arrange = _arrangement(layout, env)
        self._define_spaces()
        description = str(self._task.name).replace("_", " ")
        self.envs = tuple(OneEnv(self._task.name, description, self.horizon) for _ in range(env.num_envs))

    def _define_spaces(self) -> None:
        from gymnasium.spaces import Box
        from gymnasium.vector.utils import batch_space

        self.single_observation_space = _space(trees.take(self._observe(), 0))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        limit = 1.0 if has_limits(self._env.env_args()) else np.inf
        self.single_action_space = Box(-limit, limit, (self._env.action_dim,), np.float32)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Begin new episodes.

        Args:
            seed: seed of the scenes, whose episodes begin with number 0; or the number of the episode of each env; None:
                the next episodes.
            options: `reset_mask`, (N,) bool: envs that begin a new episode; the others keep theirs.

        Returns:
            Observations and information.

        Raises:
            ConfigError: a seed or the mask is not valid.
        """
        mask = (options or {}).get("reset_mask")
        selected = np.ones(self.num_envs, dtype=bool) if mask is None else np.asarray(mask)
        if selected.shape != (self.num_envs,) or selected.dtype != bool or not selected.any():
            raise ConfigError(f"reset_mask: must be an array of {self.num_envs} booleans with a True (got {mask!r})")
        if isinstance(seed, int | np.integer):
            self._seed, self._next_number = _checked_seed(seed), 0
        given = [None] * self.num_envs if seed is None or isinstance(seed, int | np.integer) else list(seed)
        if len(given) != self.num_envs:
            raise ConfigError(f"seed: must be a number, or {self.num_envs} numbers (got {len(given)})")
        env_ids = np.flatnonzero(selected)
        numbers = [
            self._new_number() if given[index] is None else _checked_seed(given[index], _MAX_NUMBER) for index in env_ids
        ]
        self._next_number = max(self._next_number, *(number + 1 for number in numbers))
        self._begin(self._upload(env_ids), self._upload(np.array(numbers, dtype=np.int64)))
        return self._observe(), self._info()

    def step(
        self, actions: Any
    ) -> tuple[Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Advance all envs by one control step; in mode `NextStep`, envs whose episode has ended begin a new one instead.

        Args:
            actions: (N, A).

        Returns:
            Observations, reward (N,), terminated (N,), truncated (N,), and information. In mode `SameStep`, its `final_obs`
            and `final_info` are those of the episodes that have ended.

        Raises:
            ConfigError: the actions are not valid, or, in mode `Disabled`, the episode of an env has ended.
        """
        mode, over = self.autoreset_mode.name, self._is_over
        if mode == "DISABLED" and bool(over.any()):
            ended = over.nonzero()[:, 0].tolist()
            raise ConfigError(f"step: the episodes of envs {ended} have ended; call reset with options reset_mask")
        # A copy: the end of an episode changes the mask.
        begins = over.clone() if mode == "NEXT_STEP" else torch.zeros_like(over)
        success = self._advance(self._checked_actions(actions), ~begins)
        if bool(begins.any()):
            self._begin_next(begins)
        held = self._num_held >= self._config.num_success_steps
        terminated = ~begins & held & self._stops
        truncated = ~begins & ~terminated & (self._step >= self.horizon)
        self._is_over = terminated | truncated
        has_ended = bool(self._is_over.any())
        if has_ended:
            self._env.check()
        observations, info = self._observe(), self._info()
        if mode == "SAME_STEP" and has_ended:
            final = self._final(observations, info)
            self._begin_next(self._is_over)
            observations, info = self._observe(), {**self._info(), **final}
        return observations, _to_host(success.double()), _to_host(terminated), _to_host(truncated), info

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Values of an attribute of all envs, or results of their method."""
        found = [getattr(each, name) for each in self.envs]
        return tuple(each(*args, **kwargs) if callable(each) else each for each in found)

    def close_extras(self, **kwargs: Any) -> None:
        """Close the environment."""
        self._env.close()

    def _new_number(self) -> int:
        self._next_number += 1
        return self._next_number - 1

    def _upload(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self._env.device)

    def _begin_next(self, selected: Tensor) -> None:
        """Begin the next episodes in the selected envs, (N,) bool."""
        env_ids = selected.nonzero()[:, 0]
        numbers = torch.arange(self._next_number, self._next_number + len(env_ids), device=env_ids.device)
        self._next_number += len(env_ids)
        self._begin(env_ids, numbers)

    def _begin(self, env_ids: Tensor, numbers: Tensor) -> None:
        """Begin the episodes `numbers`, (n,) int64, in the envs `env_ids`, (n,) int64."""
        self._env.reset(env_ids, Draws(self._seed, numbers, Domain.EVALUATION))
        self._numbers[env_ids] = numbers
        for state in (self._step, self._num_held, self._ever, self._is_over):
            state[env_ids] = 0

    def _advance(self, actions: Tensor, moving: Tensor) -> Tensor:
        """Advance the envs `moving`, (N,) bool, and return whether their task is solved at this instant, (N,) bool."""
        env_ids = moving.nonzero()[:, 0]
        if not len(env_ids):
            return torch.zeros_like(moving)
        self._env.step(actions, env_ids)
        success = self._env.success() & moving
        self._step += moving
        self._num_held = torch.where(success, self._num_held + 1, 0)
        self._ever |= success
        return success

    def _checked_actions(self, actions: Any) -> Tensor:
        given = torch.as_tensor(np.asarray(actions) if not isinstance(actions, Tensor) else actions, dtype=torch.float32)
        expected = (self.num_envs, self._env.action_dim)
        if tuple(given.shape) != expected:
            raise ConfigError(f"actions: must have shape {expected}, envs and action entries (got {tuple(given.shape)})")
        if not bool(given.isfinite().all()):
            raise ConfigError("actions: must be finite numbers; an entry is not")
        return given.to(self._env.device)

    def _observe(self) -> Observations:
        return self._arrange(trees.flatten(self._env.observations()))

    def _info(self) -> dict[str, Any]:
        is_any = self._config.success_rule == "any_step"
        judged = self._ever if is_any else self._num_held >= self._config.num_success_steps
        values = trees.flatten(without_cameras(self._env).observations()).values()
        is_finite = [each.flatten(1).isfinite().all(1) for each in values if each.dtype.is_floating_point]
        judged = judged & torch.stack(is_finite, dim=1).all(1)
        return _with_masks({"is_success": _to_host(judged), "episode_number": _to_host(self._numbers)})

    def _final(self, observations: Observations, info: Mapping[str, Any]) -> dict[str, Any]:
        """Last observations and information of the episodes that have ended."""
        ended = _to_host(self._is_over)
        rows = np.full(self.num_envs, None, dtype=object)
        for index in np.flatnonzero(ended):
            rows[index] = trees.take(observations, int(index))
        values = {name: np.where(ended, each, np.zeros_like(each)) for name, each in info.items()}
        return {"final_obs": rows, "_final_obs": ended, "final_info": values, "_final_info": ended.copy()}


def _autoreset_mode(given: Any) -> Any:
    try:
        from gymnasium.vector import AutoresetMode
    except ImportError as error:
        raise DependencyMissing(
            'VectorEnv: requires gymnasium >= 1.1; install with `pip install "isaaclab-mimic-ext[gymnasium]"`'
        ) from error
    try:
        return AutoresetMode(given)
    except ValueError as error:
        known = [mode.value for mode in AutoresetMode]
        raise ConfigError(f"autoreset_mode: '{given}' is not valid; {choices(str(given), known)}") from error


def _checked_seed(seed: Any, largest: int = MAX_SEED) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed <= largest:
        raise ConfigError(f"seed: must be a whole number from 0 to {largest} (got {seed!r})")
    return int(seed)


def _arrangement(layout: str, env: MimicEnv) -> Callable[[Mapping[str, Tensor]], Observations]:
    """Function that arranges observations, term -> (N, ...), in a layout."""
    if layout == "terms":
        return lambda terms: {name: _observation(values) for name, values in terms.items()}
    terms = trees.flatten(env.observations())
    vectors = sorted(name for name, values in terms.items() if values.dim() < 4 and name != "actions")
    facts = env.env_args()
    state = [name for name in vectors if is_robot_observation(name, facts)]
    rest = [name for name in vectors if name not in state]
    cameras = [name for name, values in terms.items() if is_picture(values.shape[1:])]

    def arrange(terms: Mapping[str, Tensor]) -> Observations:
        groups = {"agent_pos": state, "environment_state": rest}
        found: Observations = {
            name: _to_host(torch.cat([terms[each].flatten(1).float() for each in names], 1))
            for name, names in groups.items()
            if names
        }
        return found | ({"pixels": {name: _to_host(terms[name]) for name in cameras}} if cameras else {})

    return arrange


def _space(values: Any) -> Any:
    """Space of the observations of one env, nested as they are."""
    from gymnasium.spaces import Box, Dict, MultiBinary

    if isinstance(values, Mapping):
        return Dict({name: _space(each) for name, each in values.items()})
    if values.dtype == np.int8:
        return MultiBinary(values.shape)
    is_float = np.issubdtype(values.dtype, np.floating)
    low, high = (-np.inf, np.inf) if is_float else (np.iinfo(values.dtype).min, np.iinfo(values.dtype).max)
    return Box(low, high, values.shape, values.dtype.type)


def _to_host(values: Tensor) -> NDArray[Any]:
    """Copy of a tensor; the env may write its tensors again in the next step."""
    return np.array(values.cpu().numpy())


def _observation(values: Tensor) -> NDArray[Any]:
    """Copy of an observation; booleans become int8, as in Gymnasium's `MultiBinary`."""
    return _to_host(values.to(torch.int8) if values.dtype == torch.bool else values)


def _with_masks(values: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Information of all envs in Gymnasium's layout: each entry has a mask of the envs that have it."""
    return values | {f"_{name}": np.ones(len(each), dtype=bool) for name, each in values.items()}
