"""Desktop organizer in Isaac Lab. Importing this package registers its gym ids; Isaac Lab must be running."""

import gymnasium

MIMIC_TASK_ID = "Isaac-Desktop-Organizer-Franka-Mimic-IK-Rel-v0"
"""Gym id that `task=desktop_organizer sim=isaaclab` runs."""

_MODULE = "isaaclab_mimic_ext.tasks.desktop_organizer"
_ENTRY_POINTS = {
    "Isaac-Desktop-Organizer-Franka-IK-Rel-v0": (
        "isaaclab.envs:ManagerBasedRLEnv",
        "env_cfg:FrankaDesktopOrganizerIKRelEnvCfg",
    ),
    MIMIC_TASK_ID: (
        f"{_MODULE}.isaaclab.mimic_env:FrankaDesktopOrganizerIKRelMimicEnv",
        "mimic_env_cfg:FrankaDesktopOrganizerIKRelMimicEnvCfg",
    ),
}

for _id, (_env, _cfg) in _ENTRY_POINTS.items():
    gymnasium.register(
        id=_id,
        entry_point=_env,
        kwargs={
            "env_cfg_entry_point": f"{_MODULE}.isaaclab.{_cfg}",
            "robomimic_bc_cfg_entry_point": f"{_MODULE}:agents/robomimic/bc.json",
        },
        disable_env_checker=True,
    )
