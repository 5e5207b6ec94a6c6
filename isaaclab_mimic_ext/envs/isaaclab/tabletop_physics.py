"""Physics of table-top tasks in Isaac Lab: PhysX by default, Newton with the settings under which a grasp holds."""

from typing import Any

from isaaclab_mimic_ext.envs.isaaclab.compat import quat_is_xyzw

DECIMATION, PHYSICS_DT = 5, 0.01
"""20 Hz control, as on every engine [s]."""
NEWTON_SUBSTEPS = 2
"""Of `PHYSICS_DT`: 5 ms each. At 2 ms grasps hold no better, and a step takes twice as long."""


def set_physics(sim: Any) -> None:
    """Give an Isaac Lab `SimulationCfg` the physics of a table top; on 3.0 `physics=newton_mjwarp` selects Newton."""
    sim.dt = PHYSICS_DT
    sim.render_interval = DECIMATION
    if quat_is_xyzw():
        sim.physics = _presets()
        return
    for name, value in _physx_settings().items():
        setattr(sim.physx, name, value)


def _physx_settings() -> dict[str, float]:
    return {"bounce_threshold_velocity": 0.01, "friction_correlation_distance": 0.00625}


def _presets() -> Any:
    from isaaclab.utils import configclass
    from isaaclab_physx.physics import PhysxCfg
    from isaaclab_tasks.utils import PresetCfg

    physx_cfg = PhysxCfg(**_physx_settings())

    @configclass
    class TabletopPhysicsCfg(PresetCfg):
        default: Any = physx_cfg
        physx: Any = physx_cfg
        newton_mjwarp: Any = _newton()

    return TabletopPhysicsCfg()


def _newton() -> Any:
    from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg, NewtonCollisionPipelineCfg

    return NewtonCfg(
        solver_cfg=MJWarpSolverCfg(
            solver="newton",
            integrator="implicitfast",
            cone="elliptic",  # With the pyramidal one four bottles of five slipped out of the hand.
            impratio=10.0,
            iterations=100,
            ls_iterations=50,
            njmax=150,
            # Per env, on average over all of them; 27 were seen. On a CPU the time of a step grows with it.
            nconmax=40,
            # With MuJoCo's own the table is there for the first env only.
            use_mujoco_contacts=False,
        ),
        collision_cfg=NewtonCollisionPipelineCfg(),
        num_substeps=NEWTON_SUBSTEPS,
    )
