"""Conversion of target poses to actions for all envs of an Isaac Lab task in one call.

Isaac Lab's `target_eef_pose_to_action` takes one env. Three methods replace it, tried in this order:

1. `own`: the batched method of the env, if it has one.
2. `batched`: a known action form (`ActionForm`), computed for all envs.
3. `loop`: the one-env method, called for each env.

The first two are used only if they agree with the one-env method on random targets.
"""

# N envs, n of them addressed, E end effectors, A action entries, G gripper entries and P pose entries of an action
# (each end effector has its own G and P)

import inspect
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.isaaclab.compat import isaaclab_quat_from_matrix
from isaaclab_mimic_ext.math import axis_angle_from_matrix, matrix_from_axis_angle

log = logging.getLogger(__name__)

Poses = Mapping[str, Tensor]
BATCHED_METHOD = "target_eef_poses_to_actions"
"""Optional method of an env: (eef -> (N, 4, 4), eef -> (N, G), eef -> (N, P) or None) -> (N, A)."""

PAIR_METHOD = "target_eef_poses_to_noisy_and_clean_actions"
"""Optional method of an env that has the batched method: the same arguments with noise -> (N, A) with and without noise."""

_TOLERANCE = 1e-5
_NUM_CHECKS = 32
_MAX_CHECKED_ENVS = 4
"""Number of envs in which the one-env method is called for each check: the first, the last, and others between them."""
_SMALL, _LARGE = (0.05, 0.3), (3.0, 3.1)
"""Largest position and rotation offsets of check targets from the end effector [m, rad].

The small ones are those of a motion. The large ones reveal clamping and the signs of quaternions; they stay below a half
turn, whose rotation axis has an ambiguous sign."""


@dataclass(frozen=True)
class ActionForm:
    """Layout of an action that contains target poses.

    Attributes:
        is_relative: true: the pose is a position and a rotation vector relative to the current pose of the end effector (6
            entries); false: it is a position and a quaternion (7 entries).
        clamps: pose entries are clamped to [-1, 1].
        unique_quat: quaternions have w >= 0.
        grippers_last: true: all poses come before all grippers; false: pose and gripper of each end effector are adjacent.
        eef_names: end effectors in the order of the action.
    """

    is_relative: bool
    clamps: bool
    unique_quat: bool
    grippers_last: bool
    eef_names: tuple[str, ...]

    @property
    def pose_dim(self) -> int:
        return 6 if self.is_relative else 7

    def actions(self, targets: Poses, eef_poses: Poses, grippers: Poses, noise: Poses | None) -> Tensor:
        """Actions (n, A) for targets and current poses, eef -> (n, 4, 4), grippers (n, G) and noise (n, P) by eef."""
        poses = self._poses(targets, eef_poses)
        return self._assembled(poses if noise is None else _sums(poses, noise), grippers)

    def noisy_and_clean(self, targets: Poses, eef_poses: Poses, grippers: Poses, noise: Poses) -> tuple[Tensor, Tensor]:
        """Actions (n, A) with and without noise; arguments as in `actions`."""
        poses = self._poses(targets, eef_poses)
        return self._assembled(_sums(poses, noise), grippers), self._assembled(poses, grippers)

    def _poses(self, targets: Poses, eef_poses: Poses) -> dict[str, Tensor]:
        return {name: self._pose_entries(targets[name], eef_poses[name]) for name in self.eef_names}

    def _assembled(self, poses: Poses, grippers: Poses) -> Tensor:
        """Actions (n, A) of pose entries, eef -> (n, P), and grippers (n, G) by eef."""
        clamped = {name: pose.clamp(-1.0, 1.0) if self.clamps else pose for name, pose in poses.items()}
        parts = (clamped, grippers)
        if self.grippers_last:
            return torch.cat([part[name] for part in parts for name in self.eef_names], dim=-1)
        return torch.cat([part[name] for name in self.eef_names for part in parts], dim=-1)

    def _pose_entries(self, target: Tensor, eef_pose: Tensor) -> Tensor:
        if self.is_relative:
            rotation = axis_angle_from_matrix(target[..., :3, :3] @ eef_pose[..., :3, :3].transpose(-1, -2))
            return torch.cat((target[..., :3, 3] - eef_pose[..., :3, 3], rotation), dim=-1)
        return torch.cat((target[..., :3, 3], isaaclab_quat_from_matrix(target[..., :3, :3], self.unique_quat)), dim=-1)


def _sums(poses: Poses, noise: Poses) -> dict[str, Tensor]:
    return {name: pose + noise[name] for name, pose in poses.items()}


def action_forms(eef_names: tuple[str, ...]) -> Iterator[ActionForm]:
    """All known action forms for these end effectors."""
    for names in itertools.permutations(eef_names):
        for grippers_last in (False, True) if len(names) > 1 else (False,):
            for clamps in (True, False):
                yield ActionForm(True, clamps, False, grippers_last, names)
            for unique_quat in (True, False):
                yield ActionForm(False, False, unique_quat, grippers_last, names)


class OneEnvMethod:
    """The `target_eef_pose_to_action` of an env, without noise, in either of the two signatures that envs have."""

    def __init__(self, env: Any):
        self._method = env.target_eef_pose_to_action
        self._takes_noise_dict = "noise" not in inspect.signature(self._method).parameters

    def action(self, targets: Poses, grippers: Poses, env_id: int) -> Tensor:
        """Action (A,) of one env for targets, eef -> (4, 4), and grippers, eef -> (G,)."""
        # Zero noise instead of None: some envs clamp actions only with noise, and Isaac Lab's generator always passes noise.
        noise: dict[str, Any] = {"noise": 0.0}
        if self._takes_noise_dict:
            noise = {"action_noise_dict": dict.fromkeys(targets, 0.0)}
        return self._method(dict(targets), dict(grippers), env_id=env_id, **noise).reshape(-1)

    def actions(self, targets: Poses, grippers: Poses, env_ids: Sequence[int]) -> Tensor:
        """Actions (n, A) of the envs `env_ids`, computed one env after the other, for targets and grippers of all envs."""
        rows = (
            self.action({k: v[i] for k, v in targets.items()}, {k: v[i] for k, v in grippers.items()}, i) for i in env_ids
        )
        return torch.stack(list(rows))


class ActionConverter:
    """Converter of target poses to actions of all envs, by the fastest method that the env allows.

    Args:
        env: an Isaac Lab Mimic env that has been reset.
        eef_names: end effectors of the env.
        eef_poses: current poses of the end effectors, eef -> (N, 4, 4).
        gripper_dims: eef -> G.

    Attributes:
        form: the known action form of the env; None if no known form agrees with the env.
        method: `own`, `batched` or `loop`, see the docstring of the module.
        pose_dims: P of each end effector, in the order of `eef_names`.
    """

    def __init__(self, env: Any, eef_names: tuple[str, ...], eef_poses: Poses, gripper_dims: Mapping[str, int]):
        self._env, self._eef_names, self._num_envs = env, eef_names, env.num_envs
        self._one_env = OneEnvMethod(env)
        checks = list(_check_targets(eef_poses, gripper_dims))
        self._checked = checked_envs(self._num_envs)
        expected = [self._one_env.actions(*check, self._checked) for check in checks]
        self.form = self._find_form(checks, expected, eef_poses)
        columns = _pose_columns(self._one_env, eef_poses, checks[0][1])
        self.pose_dims = tuple(len(columns[name]) for name in eef_names)
        self._columns = {name: torch.tensor(ids, device=env.device) for name, ids in columns.items()}
        self.method = self._choose_method(checks, expected)
        self._pair_method = self._agreeing_pair_method(checks, expected) if self.method == "own" else None

    def _find_form(self, checks: list[tuple[Poses, Poses]], expected: list[Tensor], eef_poses: Poses) -> ActionForm | None:
        def agrees(form: ActionForm) -> bool:
            return self._agrees(lambda targets, grippers: form.actions(targets, eef_poses, grippers, None), checks, expected)

        return next(filter(agrees, action_forms(self._eef_names)), None)

    def _agrees(
        self,
        convert: Callable[[Poses, Poses], Tensor],
        checks: list[tuple[Poses, Poses]],
        expected: list[Tensor],
    ) -> bool:
        """Return whether a batched method returns the actions `expected` for the checked envs."""
        for check, wanted in zip(checks, expected, strict=True):
            actions = convert(*check)
            if actions.shape != (self._num_envs, wanted.shape[-1]):
                return False
            if not torch.allclose(actions[self._checked], wanted, atol=_TOLERANCE, rtol=0.0):
                return False
        return True

    def _choose_method(self, checks: list[tuple[Poses, Poses]], expected: list[Tensor]) -> str:
        own: Callable[..., Tensor] | None = getattr(self._env, BATCHED_METHOD, None)
        if own is not None:
            if self._agrees(lambda targets, grippers: own(targets, grippers, None), checks, expected):
                return "own"
            log.warning("The env's %s is not used: it does not agree with target_eef_pose_to_action", BATCHED_METHOD)
        if self.form is not None:
            return "batched"
        log.warning(
            "Actions have no known form and are computed one env at a time (%d calls of target_eef_pose_to_action per "
            "step); implement the batched method %s in the env to make generation faster",
            self._num_envs,
            BATCHED_METHOD,
        )
        return "loop"

    def _agreeing_pair_method(
        self, checks: list[tuple[Poses, Poses]], expected: list[Tensor]
    ) -> Callable[..., tuple[Tensor, Tensor]] | None:
        """The env's `PAIR_METHOD`, if its actions agree with `BATCHED_METHOD` (with noise) and the one-env method."""
        method = getattr(self._env, PAIR_METHOD, None)
        if method is None:
            return None
        dims = zip(self._eef_names, self.pose_dims, strict=True)
        noise = {name: torch.full((self._num_envs, dim), 0.1, device=self._env.device) for name, dim in dims}
        own = getattr(self._env, BATCHED_METHOD)
        noisy = [own(*check, noise)[self._checked] for check in checks]
        for index, (wanted, other) in enumerate(((noisy, BATCHED_METHOD), (expected, "target_eef_pose_to_action"))):
            if not self._agrees(lambda *check, index=index: method(*check, noise)[index], checks, wanted):
                log.warning("The env's %s is not used: it does not agree with %s", PAIR_METHOD, other)
                return None
        return method

    def noisy_and_clean(self, targets: Poses, eef_poses: Poses, grippers: Poses, noise: Poses) -> tuple[Tensor, Tensor]:
        """Actions (N, A) with and without noise; arguments as in `actions`."""
        if self._pair_method is not None:
            return self._pair_method(targets, grippers, noise)
        if self.method == "batched" and self.form is not None:
            return self.form.noisy_and_clean(targets, eef_poses, grippers, noise)
        clean = self.actions(targets, eef_poses, grippers, None)
        if self.method == "own":
            return self.actions(targets, eef_poses, grippers, noise), clean
        return self._with_noise(clean, noise), clean

    def actions(self, targets: Poses, eef_poses: Poses, grippers: Poses, noise: Poses | None) -> Tensor:
        """Actions (N, A) for targets and current poses, eef -> (N, 4, 4), grippers (N, G) and noise (N, P) by eef."""
        if self.method == "own":
            return getattr(self._env, BATCHED_METHOD)(targets, grippers, noise)
        if self.form is not None:
            return self.form.actions(targets, eef_poses, grippers, noise)
        actions = self._one_env.actions(targets, grippers, range(self._num_envs))
        return actions if noise is None else self._with_noise(actions, noise)

    def _with_noise(self, actions: Tensor, noise: Poses) -> Tensor:
        noisy = actions.clone()
        for name, columns in self._columns.items():
            noisy[:, columns] += noise[name]
        return noisy


def checked_envs(num_envs: int) -> list[int]:
    """Envs whose one-env method is called to check batched actions: at most `_MAX_CHECKED_ENVS`, evenly spread."""
    return torch.linspace(0, num_envs - 1, min(num_envs, _MAX_CHECKED_ENVS)).round().long().tolist()


def _check_targets(eef_poses: Poses, gripper_dims: Mapping[str, int]) -> Iterator[tuple[Poses, Poses]]:
    """Random targets, eef -> (N, 4, 4), near to and far from the end effectors, and gripper actions, eef -> (N, G)."""
    generator = torch.Generator().manual_seed(0)
    for index in range(_NUM_CHECKS):
        reach, turn = _LARGE if index % 2 else _SMALL
        targets, grippers = {}, {}
        for name, pose in eef_poses.items():
            delta = torch.rand(len(pose), 6, generator=generator).to(pose.device) * 2 - 1
            target = pose.clone()
            target[:, :3, 3] += reach * delta[:, :3]
            target[:, :3, :3] = matrix_from_axis_angle(turn * delta[:, 3:] / 3**0.5) @ pose[:, :3, :3]
            targets[name] = target
            signs = torch.randint(0, 2, (len(pose), gripper_dims[name]), generator=generator)
            grippers[name] = (2.0 * signs - 1.0).to(pose.device)
        yield targets, grippers


def _pose_columns(one_env: OneEnvMethod, eef_poses: Poses, grippers: Poses) -> dict[str, list[int]]:
    """Eef -> indices of the action entries that contain its pose: the entries that change with its target."""
    targets, grippers = ({name: value[0] for name, value in part.items()} for part in (eef_poses, grippers))
    before = one_env.action(targets, grippers, 0)
    columns = {}
    for name, pose in targets.items():
        target = pose.clone()
        target[:3, 3] += torch.tensor([0.011, -0.013, 0.017], device=pose.device)
        target[:3, :3] = matrix_from_axis_angle(torch.tensor([0.11, -0.13, 0.17], device=pose.device)) @ pose[:3, :3]
        after = one_env.action({**targets, name: target}, grippers, 0)
        columns[name] = (after != before).nonzero().flatten().tolist()
    return columns
