"""Evaluation of Isaac Lab's success terms without their manager: functions, and classes with a state."""

# N envs

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.envs.isaaclab.compat import success_rule

NUM_ENVS = 3


class Entity:
    """Like Isaac Lab's `SceneEntityCfg`: its names are resolved in the scene once."""

    def __init__(self) -> None:
        self.scene: Any = None

    def resolve(self, scene: Any) -> None:
        self.scene = scene


class HeldFor:
    """Like Isaac Lab's `ManagerTermBase`: true if the env was solved in the last `steps` evaluations since its reset."""

    def __init__(self, cfg: Any, env: Any):
        self.count = torch.zeros(NUM_ENVS, dtype=torch.int64)

    def reset(self, env_ids: Tensor) -> None:
        self.count[env_ids] = 0

    def __call__(self, env: Any, steps: int) -> Tensor:
        self.count = torch.where(env.solved, self.count + 1, 0)
        return self.count >= steps


def test_function_is_evaluated_with_its_resolved_parameters() -> None:
    entity = Entity()
    env = SimpleNamespace(scene=object(), solved=torch.tensor([[True], [False], [True]]))

    def solved(env: Any, asset_cfg: Entity) -> Tensor:
        assert asset_cfg.scene is env.scene
        return env.solved

    evaluate, reset = success_rule(SimpleNamespace(func=solved, params={"asset_cfg": entity}), env)
    reset(torch.tensor([0]))
    assert evaluate().tolist() == [True, False, True]


def test_class_is_instantiated_once_and_reset_only_for_the_given_envs() -> None:
    env = SimpleNamespace(scene=object(), solved=torch.tensor([True, True, False]))
    evaluate, reset = success_rule(SimpleNamespace(func=HeldFor, params={"steps": 2}), env)
    assert evaluate().tolist() == [False, False, False]
    assert evaluate().tolist() == [True, True, False]
    reset(torch.tensor([0]))
    assert evaluate().tolist() == [False, True, False]
