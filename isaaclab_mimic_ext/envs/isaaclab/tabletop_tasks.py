"""Registration of table-top tasks with Isaac Lab, without an import of Isaac Lab."""

from importlib.resources import files

_TASKS = "isaaclab_mimic_ext.tasks"
_AGENT = "agents/robomimic/bc.json"


def register_task(name: str, policy_id: str, mimic_id: str) -> None:
    """Register a task of `tasks/` with gymnasium, for policies and for Mimic.

    The configurations are classes in `tasks/<name>/isaaclab/env_cfg.py`, for `stack_cube` `FrankaStackCubeIKRelEnvCfg` and
    `FrankaStackCubeIKRelMimicEnvCfg`.
    """
    import gymnasium  # Isaac Lab installs it.

    prefix = "Franka" + "".join(word.capitalize() for word in name.split("_"))
    cfg_module = f"{_TASKS}.{name}.isaaclab.env_cfg"
    has_agent = files(f"{_TASKS}.{name}").joinpath(_AGENT).is_file()
    agent = {"robomimic_bc_cfg_entry_point": f"{_TASKS}.{name}:{_AGENT}"} if has_agent else {}
    for gym_id, entry_point, cfg_class in (
        (policy_id, "isaaclab.envs:ManagerBasedRLEnv", f"{prefix}IKRelEnvCfg"),
        (mimic_id, f"{__package__}.tabletop_mimic_env:TabletopMimicEnv", f"{prefix}IKRelMimicEnvCfg"),
    ):
        kwargs = {"env_cfg_entry_point": f"{cfg_module}:{cfg_class}", **agent}
        gymnasium.register(id=gym_id, entry_point=entry_point, kwargs=kwargs, disable_env_checker=True)
