"""What makes an evaluation harder than the training was: wider scenes, noisy observations, pushes."""

# N envs, n of them addressed, W numbers of the noisy observations of an env

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import MappingProxyType

import torch
from torch import Tensor

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.files.quaternions import WIDTH, Columns, first_columns
from isaaclab_mimic_ext.rng import Draws, Stream


def scaled_events(events: Mapping[str, EventCfg], scale: float) -> dict[str, EventCfg]:
    """The same randomization with every range `scale` times as wide about its middle; a yaw's at most a full turn."""
    return {name: _scaled(event, scale) for name, event in events.items()}


def _scaled(event: EventCfg, scale: float) -> EventCfg:
    ranges = {}
    for coordinate, (low, high) in event.pose_range.items():
        middle, half = 0.5 * (low + high), 0.5 * scale * (high - low)
        if coordinate == "yaw":
            half = min(half, max(math.pi, 0.5 * (high - low)))
        ranges[coordinate] = [middle - half, middle + half]
    return replace(event, pose_range=ranges, joint_std=scale * event.joint_std)


@dataclass(frozen=True)
class ObservationNoise:
    """Gaussian noise on what a policy sees, with the standard deviation `std` in each observation's own unit.

    Quaternions are turned by it: about each axis by `std` [rad]. Images stay as they are.

    Attributes:
        quaternions: term -> the first columns of its quaternions.
    """

    std: float
    terms: tuple[str, ...]
    quaternions: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(
        cls,
        std: float,
        patterns: Sequence[str],
        observations: Mapping[str, Tensor],
        declared: Columns = MappingProxyType({}),
    ) -> "ObservationNoise | None":
        """The noise on the observations whose names match a pattern; None where there is none.

        Args:
            declared: where a task says that quaternions are; others are known by their names.

        Raises:
            ConfigError: a pattern matches none of `observations`.
        """
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in observations):
                raise ConfigError(f"observation_noise_keys: no observation is '{pattern}'; {choices(pattern, observations)}")
        terms = tuple(
            name
            for name, value in observations.items()
            if value.dtype.is_floating_point and any(fnmatchcase(name, pattern) for pattern in patterns)
        )
        quaternions = {name: first_columns(name, observations[name].shape[1:], declared) for name in terms}
        return cls(std, terms, quaternions) if std > 0 and terms else None

    def apply(self, observations: Mapping[str, Tensor], draws: Draws, step: Tensor) -> dict[str, Tensor]:
        """Observations, term -> (N, ...), with the noise of `step` (N,) of each trial."""
        sizes = [math.prod(observations[name].shape[1:]) for name in self.terms]
        normal = draws.normal(Stream.OBSERVATION_NOISE, (sum(sizes),), step)
        noisy = dict(observations)
        for name, noise in zip(self.terms, normal.split(sizes, dim=1), strict=True):
            value = observations[name]
            change = self.std * noise.reshape(value.shape)
            noisy[name] = value + change
            for first in self.quaternions[name]:
                columns = slice(first, first + WIDTH)
                noisy[name][:, columns] = _turned(value[:, columns], change[:, columns])
        return noisy


def _turned(quat: Tensor, change: Tensor) -> Tensor:
    """Unit quaternions (N, 4) near `quat`; half the change, since a quaternion holds half the angle."""
    quat = quat + 0.5 * change
    return quat / (quat * quat).sum(-1, keepdim=True).sqrt()


@dataclass(frozen=True)
class ObjectPushes:
    """With `probability` in a step, one of `names` gets `velocity` [m/s] more, in a horizontal direction."""

    probability: float
    velocity: float
    names: tuple[str, ...]

    def apply(self, env: MimicEnv, draws: Draws, step: Tensor, active: Tensor) -> None:
        """Push in the envs `active` (N,) bool, as the draws of `step` (N,) say."""
        happens, which, direction = draws.uniform(Stream.PUSH, (3,), step).unbind(1)
        env_ids = (active & (happens < self.probability)).nonzero().squeeze(-1)  # sync: with pushes only
        if not len(env_ids):
            return
        chosen = (which[env_ids] * len(self.names)).long().clamp(max=len(self.names) - 1)
        angle = 2 * math.pi * direction[env_ids]
        impulse = torch.zeros(len(env_ids), 6, device=angle.device)
        impulse[:, 0], impulse[:, 1] = self.velocity * torch.cos(angle), self.velocity * torch.sin(angle)
        state = trees.take(env.get_state(), env_ids)
        for index, name in enumerate(self.names):
            body = state["rigid_object"][name]
            body["root_velocity"] = body["root_velocity"] + impulse * (chosen == index)[:, None]
        env.reset_to(state, env_ids)


@dataclass(frozen=True)
class ArmPushes:
    """With `probability` in a step, an arm's target is moved by `distance` [m] in any direction for that step."""

    probability: float
    distance: float

    def apply(self, env: MimicEnv, actions: Tensor, draws: Draws, step: Tensor) -> Tensor:
        """The actions (N, A) with the pushes of `step` (N,) in them."""
        # Numbers of this stream with a shape of their own would repeat those of the objects' pushes.
        uniform = draws.uniform(Stream.PUSH, (4 + 3 * len(env.eef_names),), step)[:, 4:].unflatten(1, (-1, 3))
        happens = uniform[..., 0] < self.probability
        height = 2 * uniform[..., 1] - 1
        radius, angle = (1 - height * height).clamp(min=0).sqrt(), 2 * math.pi * uniform[..., 2]
        offset = self.distance * torch.stack((radius * torch.cos(angle), radius * torch.sin(angle), height), dim=-1)
        target = env.action_to_target_eef_pose(actions).clone()
        target[..., :3, 3] += offset * happens[..., None]
        pushed = env.target_eef_pose_to_action(target, env.actions_to_gripper_actions(actions))
        # Only where there is a push: elsewhere the way through poses would round.
        return torch.where(happens.any(1, keepdim=True), pushed, actions)
