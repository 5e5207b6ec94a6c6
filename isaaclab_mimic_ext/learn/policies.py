"""Policies: the protocol, robomimic policies from checkpoints, and policies of the user by name."""

# N envs, n of them selected, A action entries, L layers, H hidden units of a recurrent network

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, device

from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError, choices
from isaaclab_mimic_ext.learn.checkpoint import Affine, Checkpoint, load_checkpoint
from isaaclab_mimic_ext.learn.policy_cameras import policy_cameras
from isaaclab_mimic_ext.learn.robomimic import Learner, read_config
from isaaclab_mimic_ext.task.robot import robot_name


@runtime_checkable
class Policy(Protocol):
    """Maps the observations of N envs to actions. Any state of the policy has a leading env axis."""

    def reset(self, env_ids: Tensor) -> None:
        """Clear the state of the envs `env_ids`, (n,) int64, in which new episodes begin."""

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        """Return actions (N, A) for observations, term -> (N, ...). Rows of idle envs are undefined and ignored."""


@dataclass(frozen=True)
class PolicyRequest:
    """Requirements for a policy: its checkpoint, and the task and environment that it acts in.

    Attributes:
        checkpoint: file with the weights of the policy; None: `checkpoint` is not set.
        task: name of the task.
        num_envs: number of envs N.
        action_dim: number of action entries A.
        observation_shapes: term -> shape of the observation of one env.
        step_dt: duration of one control step [s].
        device: device of observations and actions.
        seed: seed for random numbers of the policy.
        env_args: env_args of the env.
        n_action_steps: number of actions of a chunk that are executed; None: as in the checkpoint.
    """

    checkpoint: Path | None
    task: str
    num_envs: int
    action_dim: int
    observation_shapes: Mapping[str, tuple[int, ...]]
    step_dt: float
    device: device
    seed: int
    env_args: Mapping[str, Any] = field(default_factory=dict)
    n_action_steps: int | None = None


class TrainedPolicy:
    """A robomimic policy with its normalization. Envs may begin their episodes in different steps."""

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
        self._horizon = learner.rnn_horizon
        self._num_steps: Tensor | None = None
        learner.begin_acting()

    def reset(self, env_ids: Tensor) -> None:
        """Clear the state of the envs `env_ids`, (n,) int64, in which new episodes begin."""
        self._learner.begin_episodes(env_ids)
        if self._num_steps is not None:
            self._num_steps[env_ids.to(self._device)] = 0

    @torch.no_grad()
    def act(self, observations: dict[str, Tensor]) -> Tensor:
        """Return actions (N, A) for raw observations of the env, term -> (N, ...); terms not in `obs_keys` are ignored."""
        inputs = {key: _input(observations[key].to(self._device)) for key in self.obs_keys}
        inputs = {key: self._obs_scales[key].normalize(x) if key in self._obs_scales else x for key, x in inputs.items()}
        if self._horizon is not None:
            self._clear_hidden_state(len(inputs[self.obs_keys[0]]), self._horizon)
        actions = self._learner.act(inputs)
        if self._num_steps is not None:
            self._num_steps += 1
        return self._action_scale.unnormalize(actions) if self._action_scale is not None else actions

    def due_envs(self) -> Tensor | None:
        """Return whether the next action of each env uses its observations, (N,) bool; None: that of all envs."""
        return self._learner.due_envs()

    def _clear_hidden_state(self, num_envs: int, horizon: int) -> None:
        """Zero the hidden state of each env at the start of its episode, then every `horizon` steps (as in training)."""
        state = self._learner.hidden_state
        if self._num_steps is None or len(self._num_steps) != num_envs or state is None:
            self._learner.hidden_state = None
            self._num_steps = torch.zeros(num_envs, dtype=torch.int64, device=self._device)
            return
        kept = (self._num_steps % horizon != 0).to(torch.float32)[:, None]
        self._learner.hidden_state = tuple(each * kept for each in state) if isinstance(state, tuple) else state * kept


def _input(observation: Tensor) -> Tensor:
    """Convert an observation to float32; pictures stay uint8."""
    is_picture = observation.dtype == torch.uint8 and observation.dim() == 4
    return observation if is_picture else observation.float()


class CheckpointPolicy(TrainedPolicy):
    """A robomimic policy that was loaded from a checkpoint.

    Attributes:
        path: file of the checkpoint.
        task_name: name of the task that the policy was trained for.
        robot_name: name of the robot of the demos that it was trained on.
        cameras: cameras of the pictures that it observes; None: it observes no pictures.
        action_dim: number of action entries A.
        facts: metadata of the training (dataset, seed, epoch, ...).
        algo_name: name of the algorithm.
        config: complete configuration of robomimic, as nested dicts.
    """

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
                f"checkpoint: {checkpoint.path}: parameters do not match the configuration ({reason}); train again"
            ) from error
        super().__init__(learner, checkpoint.obs_shapes, checkpoint.obs_scales, checkpoint.action_scale, device)
        self.path = Path(checkpoint.path)
        self.task_name, self.action_dim, self.facts = checkpoint.task_name, checkpoint.action_dim, checkpoint.facts
        env_args = checkpoint.content["env_metadata"]
        self.robot_name = robot_name(env_args)
        self.cameras = policy_cameras(checkpoint.obs_shapes, env_args, f"checkpoint: {checkpoint.path}")
        self.algo_name, self.config = checkpoint.algo_name, json.loads(checkpoint.content["config"])

    def __repr__(self) -> str:
        return f"CheckpointPolicy(path='{self.path}', task_name='{self.task_name}', action_dim={self.action_dim})"


@renamed_arguments(path="checkpoint")
def load_policy(checkpoint: str | Path, device: str | torch.device = "cpu") -> CheckpointPolicy:
    """Load the policy of a checkpoint.

    Raises:
        SourceDataError: the file is missing, damaged, or not a checkpoint.
        DependencyMissing: robomimic is not installed.
    """
    return CheckpointPolicy(load_checkpoint(checkpoint), torch.device(device))


def make_robomimic_policy(request: PolicyRequest) -> Policy:
    """Load the policy of a checkpoint, and check that it matches the task and environment.

    Raises:
        ConfigError: `checkpoint` is None.
        SourceDataError: the checkpoint is missing, damaged, or for a different task, other actions or other observations.
        DependencyMissing: robomimic is not installed.
    """
    if request.checkpoint is None:
        raise ConfigError(
            "checkpoint: must be set for policy 'robomimic'; give the path of a .pth file, or of the folder of a training "
            "run"
        )
    policy = load_policy(str(request.checkpoint), device=str(request.device))
    check_fits(request, policy.task_name, policy.action_dim, policy.obs_shapes)
    return policy


def check_fits(
    request: PolicyRequest, task_name: str, action_dim: int, observation_shapes: dict[str, tuple[int, ...]]
) -> None:
    """Check that a checkpoint was trained for the task, actions and observations of a request.

    Args:
        task_name, action_dim, observation_shapes: of the checkpoint.

    Raises:
        SourceDataError: the task, the number of action entries, or an observation differs.
    """
    place = f"checkpoint: {request.checkpoint}"
    if task_name != request.task:
        raise SourceDataError(f"{place}: was trained for task '{task_name}', not '{request.task}'; use task={task_name}")
    if action_dim != request.action_dim:
        raise SourceDataError(
            f"{place}: actions must have {request.action_dim} entries for task '{request.task}' (got {action_dim}); train "
            "on a dataset of this task"
        )
    missing = sorted(set(observation_shapes) - set(request.observation_shapes))
    if unseen := [name for name in missing if len(observation_shapes[name]) == 3]:
        raise SourceDataError(
            f"{place}: the policy sees pictures that the env does not draw: {', '.join(unseen)}; with Isaac Lab, use "
            "enable_cameras=true and a scene with these cameras, otherwise sim=mujoco"
        )
    if missing:
        raise SourceDataError(
            f"{place}: the policy uses observations that the env does not have: {', '.join(missing)}; the env has: "
            f"{', '.join(sorted(request.observation_shapes))}; train without these observations"
        )
    for name, shape in observation_shapes.items():
        found = tuple(request.observation_shapes[name])
        if found != tuple(shape):
            raise SourceDataError(
                f"{place}: '{name}' must have shape {found} as in the env (got {tuple(shape)}); train on a dataset of this "
                "task"
            )


PolicyFactory = Callable[[PolicyRequest], Policy]


def _make_lerobot_policy(request: PolicyRequest) -> Policy:
    from isaaclab_mimic_ext.learn.lerobot import make_lerobot_policy  # Late import: the module needs this one.

    return make_lerobot_policy(request)


BUILT_IN: dict[str, PolicyFactory] = {"robomimic": make_robomimic_policy, "lerobot": _make_lerobot_policy}
"""Included policies: name -> function that builds the policy."""


def find_policy_factory(name: str) -> PolicyFactory:
    """Find the function that builds a policy.

    Args:
        name: one of `BUILT_IN`, or `<module>:<function>`; the module may be in the working directory.

    Raises:
        ConfigError: the policy or function is not found, or the module cannot be imported.
    """
    if ":" not in name:
        if name not in BUILT_IN:
            raise ConfigError(f"policy: '{name}' not found; {choices(name, BUILT_IN)}, or <module>:<function>")
        return BUILT_IN[name]
    module_name, _, function_name = name.partition(":")
    module = _import(name, module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(
            f"policy: '{name}': module {module_name} has no function '{function_name}'; {choices(function_name, functions)}"
        )
    return function


def make_policy(name: str, factory: PolicyFactory, request: PolicyRequest) -> Policy:
    """Build a policy, and check that the result has the methods of `Policy`.

    Raises:
        ConfigError: the result is not a policy.
        UsageError: the checkpoint is missing or does not match the request.
    """
    policy = factory(request)
    if not isinstance(policy, Policy):
        raise ConfigError(
            f"policy: '{name}' must return an object with methods act(observations) and reset(env_ids) (got a "
            f"{type(policy).__name__}); see isaaclab_mimic_ext.Policy"
        )
    return policy


def _import(name: str, module_name: str) -> object:
    # Only the folder of the script is on the path, not the working directory.
    folder = os.getcwd()
    is_added = folder not in sys.path
    if is_added:
        sys.path.insert(0, folder)
    try:
        return import_module(module_name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"policy: '{name}': module '{module_name}' cannot be imported: {reason}") from error
    finally:
        if is_added:
            sys.path.remove(folder)
