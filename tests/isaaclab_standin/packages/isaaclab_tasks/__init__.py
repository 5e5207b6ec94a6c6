"""Tasks of a registry: one for Mimic, one without success, one of another kind."""

import gymnasium
from isaacsim import SimulationApp

assert SimulationApp.running, "imported before Isaac Sim runs"

for gym_id, config in {
    "Isaac-Stack-Cube-Franka-IK-Rel-Mimic-v0": "StackMimicEnvCfg",
    "Isaac-Stack-Cube-Franka-IK-Abs-Mimic-v0": "StackMimicEnvCfg",
    "Isaac-Endless-Mimic-v0": "EndlessMimicEnvCfg",
    "Isaac-Cartpole-v0": "CartpoleEnvCfg",
}.items():
    gymnasium.register(gym_id, entry_point="", kwargs={"env_cfg_entry_point": f"isaaclab_tasks.configs:{config}"})
