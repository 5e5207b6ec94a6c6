"""Configurations with the attributes of Isaac Lab's configurations."""

from types import SimpleNamespace


def _subtask(object_ref: str, signal: str | None) -> SimpleNamespace:
    return SimpleNamespace(
        object_ref=object_ref,
        subtask_term_signal=signal,
        selection_strategy="nearest_neighbor_object",
        selection_strategy_kwargs={"nn_k": 3},
        subtask_term_offset_range=(10, 20) if signal else (0, 0),
        action_noise=0.03,
        num_interpolation_steps=5,
        description="",
    )


class CartpoleEnvCfg:
    def __init__(self) -> None:
        self.sim = SimpleNamespace(dt=0.01)
        self.terminations = SimpleNamespace(success=None)


class StackMimicEnvCfg(CartpoleEnvCfg):
    def __init__(self) -> None:
        super().__init__()
        self.terminations.success = object()
        self.datagen_config = SimpleNamespace(name="stack", generation_num_trials=10, seed=42, max_num_failures=25)
        self.subtask_configs = {"gripper": [_subtask("cube_2", "grasp_1"), _subtask("cube_1", None)]}
        self.task_constraint_configs: list[SimpleNamespace] = []


class EndlessMimicEnvCfg(StackMimicEnvCfg):
    def __init__(self) -> None:
        super().__init__()
        self.terminations.success = None
