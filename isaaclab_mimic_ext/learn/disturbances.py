"""Disturbances of an evaluation: wider randomization of scenes, observation noise, pushes."""

# N envs, n of them selected, A action entries

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


def scale_events(events: Mapping[str, EventCfg], scale: float) -> dict[str, EventCfg]:
    """Scale the width of each randomization range around its middle, and joint noise, by `scale`; yaw ranges up to 2 pi."""
    return {name: _scale_event(event, scale) for name, event in events.items()}


def _scale_event(event: EventCfg, scale: float) -> EventCfg:
    ranges = {}
    for coordinate, (low, high) in event.pose_range.items():
        middle, half = 0.5 * (low + high), 0.5 * scale * (high - low)
        if coordinate == "yaw":
            half = min(half, max(math.pi, 0.5 * (high - low)))
        ranges[coordinate] = [middle - half, middle + half]
    return replace(event, pose_range=ranges, joint_std=scale * event.joint_std)  # Joints have limits: their ranges stay.


@dataclass(frozen=True)
class ObservationNoise:
    """Gaussian noise on the observations that a policy receives; images have no noise.

    Attributes:
        std: standard deviation, in the unit of each observation; for quaternions a rotation about each axis [rad].
        terms: observations with noise.
        quaternions: term -> first column of each quaternion in the term.
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
        """Build the noise for the observations whose names match a pattern; None if no observation gets noise.

        Args:
            patterns: names of observations, with `*` and `?` as in file names.
            observations: term -> (N, ...).
            declared: term -> first columns of its quaternions, as declared by the task; other terms are recognized by name.

        Raises:
            ConfigError: a pattern matches none of `observations`.
        """
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in observations):
                raise ConfigError(
                    f"observation_noise_keys: '{pattern}' is not an observation; {choices(pattern, observations)}"
                )
        terms = tuple(
            name
            for name, value in observations.items()
            if value.dtype.is_floating_point and any(fnmatchcase(name, pattern) for pattern in patterns)
        )
        quaternions = {name: first_columns(name, observations[name].shape[1:], declared) for name in terms}
        return cls(std, terms, quaternions) if std > 0 and terms else None

    def apply(self, observations: Mapping[str, Tensor], draws: Draws, step: Tensor) -> dict[str, Tensor]:
        """Return the observations, term -> (N, ...), with the noise of `step` (N,) of each episode."""
        sizes = [math.prod(observations[name].shape[1:]) for name in self.terms]
        normal = draws.normal(Stream.OBSERVATION_NOISE, (sum(sizes),), step)
        noisy = dict(observations)
        for name, noise in zip(self.terms, normal.split(sizes, dim=1), strict=True):
            value = observations[name]
            change = self.std * noise.reshape(value.shape)
            noisy[name] = value + change
            for first in self.quaternions[name]:
                columns = slice(first, first + WIDTH)
                noisy[name][:, columns] = _rotate(value[:, columns], change[:, columns])
        return noisy


def _rotate(quat: Tensor, change: Tensor) -> Tensor:
    """Rotate unit quaternions (N, 4) by small angles `change` [rad].

    The change is halved because a quaternion contains half of the angle.
    """
    quat = quat + 0.5 * change
    return quat / (quat * quat).sum(-1, keepdim=True).sqrt()


@dataclass(frozen=True)
class ObjectPushes:
    """Pushes of objects.

    Attributes:
        probability: per env and step.
        velocity: added to the velocity of the pushed object, in a random horizontal direction [m/s].
        names: objects, one of which is drawn for each push.
    """

    probability: float
    velocity: float
    names: tuple[str, ...]

    def apply(self, env: MimicEnv, draws: Draws, step: Tensor, active: Tensor) -> None:
        """Push objects in the envs that are `active`, (N,) bool, with the draws of `step` (N,)."""
        event, choice, direction = draws.uniform(Stream.PUSH, (3,), step).unbind(1)
        env_ids = (active & (event < self.probability)).nonzero().squeeze(-1)  # sync: with pushes only
        if not len(env_ids):
            return
        chosen = (choice[env_ids] * len(self.names)).long().clamp(max=len(self.names) - 1)
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
    """Pushes of arms: the target pose of an end effector is shifted for one step.

    Attributes:
        probability: per end effector and step.
        distance: length of the shift, in a random direction [m].
    """

    probability: float
    distance: float

    def apply(self, env: MimicEnv, actions: Tensor, draws: Draws, step: Tensor) -> Tensor:
        """Return the actions (N, A) with the pushes of `step` (N,)."""
        # The first 4 numbers of the stream belong to the pushes of objects.
        uniform = draws.uniform(Stream.PUSH, (4 + 3 * len(env.eef_names),), step)[:, 4:].unflatten(1, (-1, 3))
        is_pushed = uniform[..., 0] < self.probability
        height = 2 * uniform[..., 1] - 1
        radius, angle = (1 - height * height).clamp(min=0).sqrt(), 2 * math.pi * uniform[..., 2]
        offset = self.distance * torch.stack((radius * torch.cos(angle), radius * torch.sin(angle), height), dim=-1)
        target = env.action_to_target_eef_pose(actions).clone()
        target[..., :3, 3] += offset * is_pushed[..., None]
        pushed = env.target_eef_pose_to_action(target, env.actions_to_gripper_actions(actions))
        # Keep the other actions exactly: the conversion to poses and back rounds.
        return torch.where(is_pushed.any(1, keepdim=True), pushed, actions)
