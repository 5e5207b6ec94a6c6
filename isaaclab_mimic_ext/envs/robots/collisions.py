"""Collisions of a robot in a posture, with itself and with the table. Requires MuJoCo at import."""

from collections.abc import Sequence
from typing import Any

import mujoco

from isaaclab_mimic_ext.errors import ConfigError

_DEPTH = 0.005
"""Depth from which two parts collide [m]: shapes of neighboring links overlap a bit."""
_NEIGHBORS = 2
"""Number of joints between two links up to which their shapes may overlap."""


def check_home(spec: Any, names: Sequence[str], home: Sequence[float]) -> None:
    """Check that a robot does not collide in its start posture.

    Raises:
        ConfigError: it does; the message names the parts.
    """
    found = _collision(spec, names, home)
    if found is not None:
        raise ConfigError(
            f"robot.home: {found[0]} collides with {found[1]}; change robot.home, or use robot.home=null to compute one"
        )


def is_free_of_collisions(spec: Any, names: Sequence[str], home: Sequence[float]) -> bool:
    """Return whether a robot collides neither with itself nor with the table in a posture."""
    return _collision(spec, names, home) is None


def _collision(spec: Any, names: Sequence[str], home: Sequence[float]) -> tuple[str, str] | None:
    copy = spec.copy()
    table = copy.worldbody.add_geom(name="table_of_check", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(1, 1, 0.1))
    table.contype = table.conaffinity = 0x7FFFFFFF
    model = copy.compile()
    data = mujoco.MjData(model)
    for name, angle in zip(names, home, strict=True):
        data.qpos[model.joint(name).qposadr[0]] = angle
    mujoco.mj_forward(model, data)
    hand = _below(model, int(model.site("eef").bodyid[0]))
    for contact in data.contact[: data.ncon]:
        bodies = [int(model.geom_bodyid[geom]) for geom in contact.geom]
        if contact.dist > -_DEPTH or set(bodies) <= hand or (0 not in bodies and _are_near(model, *bodies)):
            continue
        first, second = ("the table" if body == 0 else f"'{model.body(body).name}'" for body in sorted(bodies, reverse=True))
        return first, second
    return None


def _below(model: Any, body: int) -> set[int]:
    """Bodies that are fixed to a body or move with it."""
    found = {int(model.body_weldid[body])}
    return {index for index in range(1, model.nbody) if found & {*_ancestors(model, index)}}


def _ancestors(model: Any, body: int) -> list[int]:
    chain = [body]
    while chain[-1]:
        chain.append(int(model.body_parentid[chain[-1]]))
    return chain


def _are_near(model: Any, first: int, second: int) -> bool:
    """Return whether at most two joints are between two bodies."""
    only = {*_ancestors(model, first)} ^ {*_ancestors(model, second)}
    return sum(int(model.body_jntnum[body]) for body in only) <= _NEIGHBORS
