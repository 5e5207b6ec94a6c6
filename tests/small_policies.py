"""Small policies for tests of the evaluation: `policy=tests.small_policies:<name>`."""

# N envs, n of them selected, A action entries, R rows (steps of all demos)

import os
import signal

import h5py
import torch
from torch import Tensor, nn

from isaaclab_mimic_ext.learn.policies import PolicyRequest

POS_SCALE = 0.05
"""Motion of the end effector for an action of 1 [m]."""
_GRIP = 0.018
"""Height of the end effector above the center of the ketchup in a grasp [m]."""
_OPEN, _CLOSE = 1.0, -1.0
"""Gripper actions."""


class Expert:
    """Scripted policy that picks up the ketchup and places it in the basket; its state is a phase per env."""

    # Per phase: object under the target (0 ketchup, 1 basket, 2 start position of the ketchup, on the table), height of the
    # target above it [m], gripper action, steps to wait at the target.
    PHASES = (
        (0, 0.12, _OPEN, 0),
        (0, _GRIP, _OPEN, 6),
        (0, _GRIP, _CLOSE, 14),
        (2, 0.30, _CLOSE, 0),
        (1, 0.30, _CLOSE, 0),
        (1, 0.008 + 0.05 + _GRIP + 0.012, _CLOSE, 6),
        (1, 0.008 + 0.05 + _GRIP + 0.012, _OPEN, 8),
        (1, 0.25, _OPEN, 0),
    )
    NEAR = 0.012
    """Distance at which the target counts as reached [m]."""

    def __init__(self, num_envs: int, device: torch.device):
        self.phase = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self.waited = torch.zeros_like(self.phase)
        self.start = torch.zeros(num_envs, 3, device=device)
        self.is_new = torch.ones(num_envs, dtype=torch.bool, device=device)
        columns = list(zip(*self.PHASES, strict=True))
        self.object_id = torch.tensor(columns[0], device=device)
        self.height, self.gripper = torch.tensor(columns[1], device=device), torch.tensor(columns[2], device=device)
        self.wait = torch.tensor(columns[3], device=device)

    def reset(self, env_ids: Tensor) -> None:
        self.phase[env_ids] = 0
        self.waited[env_ids] = 0
        self.is_new[env_ids] = True

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        eef, ketchup = observations["eef_pos"], observations["ketchup_pos"]
        self.start = torch.where(self.is_new[:, None], ketchup, self.start)
        self.is_new[:] = False
        # The ketchup is lifted vertically from its start position.
        goals = torch.stack((ketchup, observations["basket_pos"], self.start * torch.tensor([1.0, 1.0, 0.0])), dim=1)
        rows = torch.arange(len(eef))
        goal = goals[rows, self.object_id[self.phase]].clone()
        goal[:, 2] += self.height[self.phase]
        is_near = (goal - eef).norm(dim=-1) < self.NEAR
        self.waited += is_near
        is_finished = is_near & (self.waited > self.wait[self.phase])
        actions = torch.zeros(len(eef), 7)
        actions[:, :3] = ((goal - eef) / POS_SCALE).clamp(-0.6, 0.6)
        actions[:, 6] = self.gripper[self.phase]
        self.phase = torch.where(is_finished, self.phase + 1, self.phase).clamp(max=len(self.PHASES) - 1)
        self.waited = torch.where(is_finished, 0, self.waited)
        return actions


def expert(request: PolicyRequest) -> Expert:
    return Expert(request.num_envs, request.device)


class InterruptingExpert(Expert):
    """An expert that sends SIGTERM to its own process in step 200, after the first episodes have ended."""

    num_steps = 0

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        self.num_steps += 1
        if self.num_steps == 200:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().act(observations)


def interrupting_expert(request: PolicyRequest) -> InterruptingExpert:
    return InterruptingExpert(request.num_envs, request.device)


class Network:
    """A multilayer perceptron with random weights, which fails."""

    def __init__(self, request: PolicyRequest):
        torch.manual_seed(request.seed)
        self.keys = [name for name, shape in request.observation_shapes.items() if len(shape) == 1 and name != "actions"]
        width = sum(request.observation_shapes[name][0] for name in self.keys)
        self.layers = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, request.action_dim), nn.Tanh())

    def reset(self, env_ids: Tensor) -> None:
        """This policy has no state."""

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        return self.layers(torch.cat([observations[name] for name in self.keys], dim=1))


def network(request: PolicyRequest) -> Network:
    return Network(request)


class NearestNeighbor:
    """Returns the action of the most similar step among the demos in the checkpoint, a dataset."""

    KEYS = ("eef_pos", "ketchup_pos", "basket_pos", "gripper_pos")

    def __init__(self, path: str):
        with h5py.File(path) as file:
            demos = list(file["data"].values())
            columns = [[torch.from_numpy(demo[f"obs/{key}"][()]) for demo in demos] for key in self.KEYS]
            self.actions = torch.cat([torch.from_numpy(demo["actions"][()]) for demo in demos])
        # Similarity is measured by the position of the end effector relative to objects, and by the gripper.
        eef, ketchup, basket, gripper = (torch.cat(column) for column in columns)
        self.features = self._features(eef, ketchup, basket, gripper)

    @staticmethod
    def _features(eef: Tensor, ketchup: Tensor, basket: Tensor, gripper: Tensor) -> Tensor:
        return torch.cat((eef - ketchup, eef - basket, ketchup[:, 2:], 2 * gripper), dim=-1)

    def reset(self, env_ids: Tensor) -> None:
        """This policy has no state."""

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        features = self._features(*(observations[key] for key in self.KEYS))
        return self.actions[torch.cdist(features, self.features).argmin(1)]


def nearest_neighbor(request: PolicyRequest) -> NearestNeighbor:
    return NearestNeighbor(str(request.checkpoint))


class Replay:
    """Replays the actions of the first demo in the checkpoint, a dataset; ignores observations."""

    def __init__(self, path: str, num_envs: int):
        with h5py.File(path) as file:
            self.actions = torch.from_numpy(next(iter(file["data"].values()))["actions"][()])
        self.step = torch.zeros(num_envs, dtype=torch.int64)

    def reset(self, env_ids: Tensor) -> None:
        self.step[env_ids] = 0

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        actions = self.actions[self.step.clamp(max=len(self.actions) - 1)]
        self.step += 1
        return actions


def replay(request: PolicyRequest) -> Replay:
    return Replay(str(request.checkpoint), request.num_envs)


class NonFinite:
    """Returns actions that are NaN."""

    def __init__(self, num_envs: int, action_dim: int):
        self.shape = (num_envs, action_dim)

    def reset(self, env_ids: Tensor) -> None:
        """This policy has no state."""

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        return torch.full(self.shape, torch.nan)


def non_finite(request: PolicyRequest) -> NonFinite:
    return NonFinite(request.num_envs, request.action_dim)


def too_few_entries(request: PolicyRequest) -> NonFinite:
    return NonFinite(request.num_envs, request.action_dim - 1)


def not_a_policy(request: PolicyRequest) -> list[str]:
    return []


not_callable = "a text"
