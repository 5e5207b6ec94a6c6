"""What an evaluation needs from a policy: batched observations in, actions out."""

# N envs, n of them addressed, A action entries
# N envs, n of them addressed, A action entries, L layers, H hidden units of a recurrent network

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, device

from isaaclab_mimic_ext.errors import ConfigError, SourceDataError, choices
from isaaclab_mimic_ext.learn.checkpoint import Affine, Checkpoint, load_checkpoint
from isaaclab_mimic_ext.learn.robomimic import Learner, read_config


@runtime_checkable
class Policy(Protocol):
    """Acts in N environments at once; whatever it remembers has a leading env axis."""

    def reset(self, env_ids: Tensor) -> None:
        """New episodes begin in the envs `env_ids`, (n,) int64: forget what happened there."""

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        """Actions (N, A) for observations, term -> (N, ...). Rows of envs that are idle mean nothing, in or out."""


@dataclass(frozen=True)
class PolicyRequest:
    """What a policy is made for.

    Attributes:
        checkpoint: the file to load it from; None where none was given.
        observation_shapes: term -> shape of one env's observation.
        step_dt: time of one control step [s].
        seed: for whatever the policy draws itself.
    """

    checkpoint: Path | None
    task: str
    num_envs: int
    action_dim: int
    observation_shapes: Mapping[str, tuple[int, ...]]
    step_dt: float
    device: device
    seed: int


Memory = Tensor | tuple[Tensor, ...]

"""Hidden state (L, N, H), or the pair of an LSTM."""


class TrainedPolicy:
    """A robomimic policy with its normalization. Envs may begin their episodes at different times."""

    def __init__(
        self,
        learner: Learner,
        obs_shapes: dict[str, tuple[int, ...]],
        obs_scales: dict[str, Affine],
        action_scale: Affine | None,
        device: torch.device,
    ):
        self.obs_shapes = obs_shapes
        self.obs_keys = tuple(obs_shapes)
        self._learner, self._device = learner, device
        self._obs_scales = {key: scale.to(device) for key, scale in obs_scales.items()}
        self._action_scale = action_scale.to(device) if action_scale is not None else None
        self._horizon = learner.memory_horizon
        self._age: Tensor | None = None
        learner.begin_acting()

    def reset(self, env_ids: Tensor) -> None:
        """Episodes begin in the envs `env_ids`, (n,): forget what happened there."""
        if self._age is not None:
            self._age[env_ids.to(self._device)] = 0

    @torch.no_grad()
    def act(self, observations: dict[str, Tensor]) -> Tensor:
        """Actions (N, A) for observations as the env gives them, key -> (N, ...); terms that are not wanted are ignored."""
        inputs = {key: observations[key].to(self._device, torch.float32) for key in self.obs_keys}
        inputs = {key: self._obs_scales[key].normalize(x) if key in self._obs_scales else x for key, x in inputs.items()}
        if self._horizon is not None:
            self._forget(len(inputs[self.obs_keys[0]]), self._horizon)
        actions = self._learner.act(inputs)
        if self._age is not None:
            self._age += 1
        return self._action_scale.unnormalize(actions) if self._action_scale is not None else actions

    def _forget(self, num_envs: int, horizon: int) -> None:
        """Zero the hidden state of envs whose episode begins, and of all after the horizon that they were trained with."""
        memory = self._learner.memory
        if self._age is None or len(self._age) != num_envs or memory is None:
            self._learner.memory = None
            self._age = torch.zeros(num_envs, dtype=torch.int64, device=self._device)
            return
        kept = (self._age % horizon != 0).to(torch.float32)[:, None]
        self._learner.memory = tuple(each * kept for each in memory) if isinstance(memory, tuple) else memory * kept


class CheckpointPolicy(TrainedPolicy):
    """A policy that came from a file."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device):
        try:
            config = read_config(checkpoint.algo_name, checkpoint.content["config"])
            learner = Learner(config, checkpoint.obs_shapes, checkpoint.action_dim, device)
        except ConfigError as error:
            raise SourceDataError(f"checkpoint: {checkpoint.path}: {error}; train again") from error
        try:
            learner.load_parameters(checkpoint.content["model"])
        except (RuntimeError, LookupError, TypeError, AttributeError) as error:
            reason = " ".join(line.strip() for line in str(error).strip().splitlines()[:2])
            raise SourceDataError(
                f"checkpoint: {checkpoint.path}: its parameters do not fit its configuration ({reason}); train again"
            ) from error
        super().__init__(learner, checkpoint.obs_shapes, checkpoint.obs_scales, checkpoint.action_scale, device)
        self.path = Path(checkpoint.path)
        self.task_name, self.action_dim, self.facts = checkpoint.task_name, checkpoint.action_dim, checkpoint.facts


def load_policy(path: str | Path, device: str | torch.device = "cpu") -> CheckpointPolicy:
    """The policy of a checkpoint.

    Raises:
        SourceDataError: the file is missing, damaged, or no checkpoint.
        DependencyMissing: robomimic is not installed.
    """
    return CheckpointPolicy(load_checkpoint(path), torch.device(device))


def make_robomimic_policy(request: PolicyRequest) -> Policy:
    """The policy of a checkpoint; the normalisation of observations and actions is in it.

    Raises:
        ConfigError: no checkpoint was given.
        SourceDataError: it is missing or damaged, or made for another task, other actions or other observations.
        DependencyMissing: robomimic is not installed.
    """
    if request.checkpoint is None:
        raise ConfigError("checkpoint: policy 'robomimic' needs one; give the path of a file or of a training run's folder")

    policy = load_policy(str(request.checkpoint), device=str(request.device))
    check_fits(request, policy.task_name, policy.action_dim, policy.obs_shapes)
    return policy


def check_fits(
    request: PolicyRequest, task_name: str, action_dim: int, observation_shapes: dict[str, tuple[int, ...]]
) -> None:
    """Make sure that what a checkpoint was trained for is what it is asked for.

    Raises:
        SourceDataError: it is not.
    """
    place = f"checkpoint: {request.checkpoint}"
    if task_name != request.task:
        raise SourceDataError(f"{place}: trained for task '{task_name}', asked for '{request.task}'; give task={task_name}")
    if action_dim != request.action_dim:
        raise SourceDataError(
            f"{place}: its actions have {action_dim} entries, those of task '{request.task}' {request.action_dim}; "
            "train on a dataset of this task"
        )
    missing = sorted(set(observation_shapes) - set(request.observation_shapes))
    if missing:
        raise SourceDataError(
            f"{place}: it wants observations that the env does not give: {', '.join(missing)}; the env gives: "
            f"{', '.join(sorted(request.observation_shapes))}; train without them"
        )
    for name, shape in observation_shapes.items():
        found = tuple(request.observation_shapes[name])
        if found != tuple(shape):
            raise SourceDataError(
                f"{place}: it wants '{name}' of shape {tuple(shape)}, the env gives {found}; train on a dataset of this task"
            )


MakePolicy = Callable[[PolicyRequest], Policy]


BUILT_IN: dict[str, MakePolicy] = {"robomimic": make_robomimic_policy}
"""Name -> what makes the policy; """


def find_policy(name: str) -> MakePolicy:
    """What makes the policy `name`: one of `BUILT_IN`, or `module:function`, also of a module in the working directory.

    Raises:
        ConfigError: there is no such policy, module or function, or the module cannot be imported.
    """
    if ":" not in name:
        if name not in BUILT_IN:
            raise ConfigError(f"policy: there is no policy '{name}'; {choices(name, BUILT_IN)}, or <module>:<function>")
        return BUILT_IN[name]
    module_name, _, function_name = name.partition(":")
    module = _import(name, module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(
            f"policy: '{name}': {module_name} has no function '{function_name}'; {choices(function_name, functions)}"
        )
    return function


def make_policy(name: str, make: MakePolicy, request: PolicyRequest) -> Policy:
    """A policy, checked to be one.

    Raises:
        ConfigError: what was made is no policy.
        UsageError: the checkpoint is missing, or made for something else.
    """
    policy = make(request)
    if not isinstance(policy, Policy):
        raise ConfigError(
            f"policy: '{name}' gave a {type(policy).__name__} without methods act(observations) and reset(env_ids); "
            "see isaaclab_mimic_ext.learn.policies.Policy"
        )
    return policy


def _import(name: str, module_name: str) -> object:
    # A script's own folder is on the path, the one that the user stands in is not.
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return import_module(module_name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"policy: '{name}': module '{module_name}' cannot be imported ({reason})") from error
    finally:
        if added:
            sys.path.remove(here)
