"""Changes that generation makes in the configuration of an Isaac Lab env, and configurations that it refuses."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.isaaclab import assets
from isaaclab_mimic_ext.envs.isaaclab.compat import without_unset_fields
from isaaclab_mimic_ext.envs.isaaclab.make import prepare_env_cfg
from isaaclab_mimic_ext.errors import ConfigError

ID = "Isaac-Test-Mimic-v0"
SUCCESS = object()


def env_cfg(num_substeps: int = 2, interval: int = 2) -> Any:
    """Configuration with the fields that `prepare_env_cfg` reads and writes."""
    solver = SimpleNamespace(update_data_interval=interval)
    physics = SimpleNamespace(num_substeps=num_substeps, solver_cfg=solver)

    def from_dict(values: dict[str, Any]) -> None:
        for name in values:
            if name not in ("scene", "sim", "decimation"):
                raise KeyError(f"[Config]: Key not found under namespace: /{name}.")
        cfg.sim.dt = values.get("sim", {}).get("dt", cfg.sim.dt)
        cfg.decimation = values.get("decimation", cfg.decimation)

    cfg = SimpleNamespace(
        terminations=SimpleNamespace(success=SUCCESS),
        recorders=None,
        observations=SimpleNamespace(policy=SimpleNamespace(concatenate_terms=True)),
        scene=SimpleNamespace(
            num_envs=4096, replicate_physics=False, robot=SimpleNamespace(spawn=SimpleNamespace(usd_path="a"))
        ),
        sim=SimpleNamespace(device="cuda:0", physics=physics, dt=0.01),
        decimation=5,
        from_dict=from_dict,
    )
    return cfg


def test_success_term_is_removed_and_the_size_of_the_scene_is_set() -> None:
    cfg = env_cfg()
    sim = SimCfg(engine="isaaclab", physics="newton", robot_usd="arm.usd")
    assert prepare_env_cfg(cfg, ID, sim, 16, "cpu") is SUCCESS
    assert cfg.terminations is None
    assert not cfg.observations.policy.concatenate_terms
    assert (cfg.scene.num_envs, cfg.scene.replicate_physics, cfg.sim.device) == (16, True, "cpu")
    assert cfg.scene.robot.spawn.usd_path == "arm.usd"


def test_env_without_a_success_term_is_refused() -> None:
    cfg = env_cfg()
    cfg.terminations = SimpleNamespace(time_out=object())
    with pytest.raises(ConfigError, match=f"requires a task with a termination term 'success'.*{ID}"):
        prepare_env_cfg(cfg, ID, SimCfg(), 1, "cpu")


def test_unknown_field_of_the_env_is_named() -> None:
    with pytest.raises(ConfigError, match=r"env: .*Key not found under namespace: /scnee"):
        prepare_env_cfg(env_cfg(), ID, SimCfg(env={"scnee": {}}), 1, "cpu")


@pytest.mark.parametrize(("num_substeps", "interval", "is_valid"), [(2, 2, True), (5, 1, True), (4, 2, True), (5, 2, False)])
def test_substeps_that_are_not_a_multiple_of_the_update_interval_are_refused(
    num_substeps: int, interval: int, is_valid: bool
) -> None:
    cfg = env_cfg(num_substeps, interval)
    if is_valid:
        prepare_env_cfg(cfg, ID, SimCfg(), 1, "cpu")
        return
    with pytest.raises(ConfigError, match=r"a multiple of solver_cfg\.update_data_interval 2, .*\(got 5\); set env\.sim"):
        prepare_env_cfg(cfg, ID, SimCfg(), 1, "cpu")


@pytest.mark.parametrize(
    ("values", "found", "remedy"),
    [
        ({"sim": {"dt": 0.005}}, r"0\.005 s \* decimation 5", "env.sim.dt=0.005 env.decimation=10"),
        ({"decimation": 2}, r"0\.01 s \* decimation 2", "env.sim.dt=0.01 env.decimation=5"),
        ({"sim": {"dt": 0.03}}, r"0\.03 s \* decimation 5", "env.sim.dt=0.025 env.decimation=2"),
    ],
)
def test_a_different_control_step_is_refused_for_included_tasks_and_reported_for_others(
    values: dict[str, Any], found: str, remedy: str, caplog: pytest.LogCaptureFixture
) -> None:
    sim = SimCfg(env=values)
    prepare_env_cfg(env_cfg(), ID, sim, 1, "cpu")
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage().endswith(remedy)
    cfg = env_cfg()
    cfg.mimic_task_name = "stack_cube"
    with pytest.raises(
        ConfigError, match=rf"^env.sim.dt: the control step of '{ID}' must be 0\.05 s \(got {found}\); use {remedy}$"
    ):
        prepare_env_cfg(cfg, ID, sim, 1, "cpu")


def test_physics_step_is_changed_with_the_control_step_of_the_task() -> None:
    cfg = env_cfg()
    cfg.mimic_task_name = "stack_cube"
    prepare_env_cfg(cfg, ID, SimCfg(env={"sim": {"dt": 0.005}, "decimation": 10}), 1, "cpu")
    assert (cfg.sim.dt, cfg.decimation) == (0.005, 10)


def test_fields_that_are_none_are_set_and_others_are_checked_by_isaaclab() -> None:
    """Isaac Lab refuses all values for such a field, e.g. the stiffness of the Franka's hand in release 3."""
    hand = SimpleNamespace(stiffness=None, damping=4.0)
    cfg = SimpleNamespace(robot=SimpleNamespace(actuators={"hand": hand}), tag=None)
    values = {"robot": {"actuators": {"hand": {"stiffness": 1000.0, "damping": 5.0}}}, "tag": "a", "other": 1}
    assert without_unset_fields(cfg, values) == {"robot": {"actuators": {"hand": {"damping": 5.0}}}, "other": 1}
    assert (hand.stiffness, hand.damping, cfg.tag) == (1000.0, 4.0, "a")


@pytest.mark.parametrize(
    ("error", "is_reported"),
    [
        (RuntimeError("a system library is missing"), False),
        (FileNotFoundError("cannot open"), True),
        (RuntimeError("cannot open https://assets/robot.usd"), True),
    ],
)
def test_unreadable_asset_is_reported_only_for_an_error_about_files(
    error: Exception, is_reported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "is_readable", lambda path: False)
    monkeypatch.setattr(assets, "_asset_root", lambda: "https://assets")
    scene = SimpleNamespace(robot=SimpleNamespace(usd_path="https://assets/robot.usd"))
    fault = assets.missing_assets(scene, ID, error)
    assert (fault is not None) == is_reported
    assert fault is None or "cannot be read from https://assets: robot.usd; " in str(fault)
