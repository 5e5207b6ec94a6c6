"""Policies small enough to understand, for tests of the evaluation: `policy=tests.small_policies:<name>`."""

# N envs, n of them addressed, A action entries, P phases, R rows of demonstrations

import os
import signal

import h5py
import torch
from torch import Tensor, nn

from isaaclab_mimic_ext.learn.policies import PolicyRequest

POS_SCALE = 0.05
"""An action of 1 moves the end effector by this much [m]."""
_GRIP = 0.018
"""Height of the end effector above the ketchup's middle in a grasp [m]."""
_OPEN, _CLOSE = 1.0, -1.0


class Expert:
    """Picks the ketchup up and puts it into the basket, from what it sees; it remembers how far it is."""

    # Target: which object it is above (0 ketchup, 1 basket), height above it [m], gripper, steps to wait once it is there.
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
        # Lifting goes straight up from where the bottle stood.
        goals = torch.stack((ketchup, observations["basket_pos"], self.start * torch.tensor([1.0, 1.0, 0.0])), dim=1)
        rows = torch.arange(len(eef))
        goal = goals[rows, self.object_id[self.phase]].clone()
        goal[:, 2] += self.height[self.phase]
        is_near = (goal - eef).norm(dim=-1) < self.NEAR
        self.waited += is_near
        done = is_near & (self.waited > self.wait[self.phase])
        actions = torch.zeros(len(eef), 7)
        actions[:, :3] = ((goal - eef) / POS_SCALE).clamp(-0.6, 0.6)
        actions[:, 6] = self.gripper[self.phase]
        self.phase = torch.where(done, self.phase + 1, self.phase).clamp(max=len(self.PHASES) - 1)
        self.waited = torch.where(done, 0, self.waited)
        return actions


def expert(request: PolicyRequest) -> Expert:
    return Expert(request.num_envs, request.device)


class InterruptingExpert(Expert):
    """The expert, which sends its process SIGTERM once the first episodes have ended."""

    num_steps = 0

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        self.num_steps += 1
        if self.num_steps == 200:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().act(observations)


def interrupting_expert(request: PolicyRequest) -> InterruptingExpert:
    return InterruptingExpert(request.num_envs, request.device)


class Network:
    """A multilayer perceptron with random weights: a policy that fails."""

    def __init__(self, request: PolicyRequest):
        torch.manual_seed(request.seed)
        self.keys = [name for name, shape in request.observation_shapes.items() if len(shape) == 1 and name != "actions"]
        width = sum(request.observation_shapes[name][0] for name in self.keys)
        self.layers = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, request.action_dim), nn.Tanh())

    def reset(self, env_ids: Tensor) -> None:
        """It remembers nothing."""

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        return self.layers(torch.cat([observations[name] for name in self.keys], dim=1))


def network(request: PolicyRequest) -> Network:
    return Network(request)


class NearestNeighbour:
    """Does what was done in the most similar moment of the demonstrations in the checkpoint, a dataset file."""

    KEYS = ("eef_pos", "ketchup_pos", "basket_pos", "gripper_pos")

    def __init__(self, path: str):
        with h5py.File(path) as file:
            demos = list(file["data"].values())
            seen = [[torch.from_numpy(demo[f"obs/{key}"][()]) for demo in demos] for key in self.KEYS]
            self.actions = torch.cat([torch.from_numpy(demo["actions"][()]) for demo in demos])
        # What matters is where the hand is with respect to things, and whether it holds them.
        eef, ketchup, basket, gripper = (torch.cat(rows) for rows in seen)
        self.moments = self._features(eef, ketchup, basket, gripper)

    @staticmethod
    def _features(eef: Tensor, ketchup: Tensor, basket: Tensor, gripper: Tensor) -> Tensor:
        return torch.cat((eef - ketchup, eef - basket, ketchup[:, 2:], 2 * gripper), dim=-1)

    def reset(self, env_ids: Tensor) -> None:
        """It remembers nothing."""

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        now = self._features(*(observations[key] for key in self.KEYS))
        return self.actions[torch.cdist(now, self.moments).argmin(1)]


def nearest_neighbour(request: PolicyRequest) -> NearestNeighbour:
    return NearestNeighbour(str(request.checkpoint))


class Replay:
    """Plays the actions of the first demonstration in the checkpoint, a dataset file, whatever it sees."""

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


class Blind:
    """Its actions are not numbers."""

    def __init__(self, num_envs: int, action_dim: int):
        self.shape = (num_envs, action_dim)

    def reset(self, env_ids: Tensor) -> None:
        """It remembers nothing."""

    def act(self, observations: dict[str, Tensor]) -> Tensor:
        return torch.full(self.shape, torch.nan)


def blind(request: PolicyRequest) -> Blind:
    return Blind(request.num_envs, request.action_dim)


def too_narrow(request: PolicyRequest) -> Blind:
    return Blind(request.num_envs, request.action_dim - 1)


def not_a_policy(request: PolicyRequest) -> list[str]:
    return []


not_callable = "a text"
