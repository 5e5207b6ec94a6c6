"""Registered tasks: two Mimic tasks, one without a success term, one that is not a Mimic task."""

import gymnasium
from isaacsim import SimulationApp

assert SimulationApp.running, "the tasks were imported before Isaac Sim runs"

for gym_id, config in {
    "Isaac-Stack-Cube-Franka-IK-Rel-Mimic-v0": "StackMimicEnvCfg",
    "Isaac-Stack-Cube-Franka-IK-Abs-Mimic-v0": "StackMimicEnvCfg",
    "Isaac-Endless-Mimic-v0": "EndlessMimicEnvCfg",
    "Isaac-Cartpole-v0": "CartpoleEnvCfg",
}.items():
    gymnasium.register(gym_id, entry_point="", kwargs={"env_cfg_entry_point": f"isaaclab_tasks.configs:{config}"})
