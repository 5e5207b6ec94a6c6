"""Access to an Isaac Lab scene once per control step, for envs whose commands are constant within a control step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class SceneAccess:
    """Writes commands before the first physics step of a control step, and reads the state after the last one.

    Isaac Lab does both in each physics step. On OvPhysX with 100 envs on a CPU, this takes more time than the physics. Joint
    targets stay in force until they are written again, so the motion is the same. Accelerations, which Isaac Lab computes
    from the velocities of two reads, become those of a control step. While a permanent external force acts on an asset,
    each physics step accesses the scene: physics forgets forces after a step.

    Args:
        scene: scene of the env.
        step_dt: duration of a control step [s].
    """

    def __init__(self, scene: Any, step_dt: float):
        self._scene = scene
        self._write, self._update = scene.write_data_to_sim, scene.update
        self._step_dt = step_dt
        self._is_stepping = False
        self._is_written = False
        self._elapsed = 0.0
        scene.write_data_to_sim, scene.update = self._write_once, self._update_once

    @contextmanager
    def control_step(self) -> Iterator[None]:
        """Access the scene once in the block, in which the env runs one control step."""
        self._is_stepping, self._is_written, self._elapsed = not _has_permanent_force(self._scene), False, 0.0
        try:
            yield
        finally:
            self._is_stepping = False

    def _write_once(self) -> None:
        if not (self._is_stepping and self._is_written):
            self._write()
        self._is_written = True

    def _update_once(self, dt: float) -> None:
        self._elapsed += dt
        if self._is_stepping and self._elapsed < self._step_dt - 0.5 * dt:
            return
        self._update(self._elapsed if self._is_stepping else dt)
        self._elapsed = 0.0
        self._is_stepping = False  # A reset that ends the control step writes and reads what it needs.


def may_skip_physics_steps(env: Any) -> bool:
    """Return whether nothing acts on, or reads, the scene of an env between the physics steps of a control step.

    True if all action terms set their targets once per control step (`acts_once`), physics computes the torques of all
    actuators, no event acts during an episode, and the scene has no sensors or recorder terms of its own.
    """
    actions = env.action_manager
    actuators = [each for asset in env.scene.articulations.values() for each in asset.actuators.values()]
    return (
        all(getattr(actions.get_term(name), "acts_once", False) for name in actions.active_terms)
        and all(getattr(each, "is_implicit_model", False) for each in actuators)
        and {*env.event_manager.available_modes} <= {"reset"}
        and not env.scene.sensors
        and getattr(env.cfg, "mimic_recorder_config", None) is None
    )


def _has_permanent_force(scene: Any) -> bool:
    """Return whether a permanent external force or torque acts on an asset of a scene."""
    assets = (*scene.articulations.values(), *scene.rigid_objects.values())
    return any(getattr(getattr(asset, "permanent_wrench_composer", None), "active", False) for asset in assets)
