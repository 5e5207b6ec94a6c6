"""Sizes of MuJoCo Warp's buffers: contacts and constraints of an env, which are allocated before the first step."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from isaaclab_mimic_ext.envs.mujoco_model import import_mujoco

_SETTLE_STEPS = 250
_MARGIN = 1.6
_CONTACTS_PER_ARM = 16
"""Contacts of a hand that holds an object and touches another one."""
_ROWS_PER_CONTACT = 3
"""Rows of a contact with an elliptic cone: normal and two tangents."""
_MULTIPLE = 8
_PROBED_ENVS = (1, 9)
_ROWS_LOST, _CONTACTS_LOST, _CONVEX_LOST = 0b11, 0b1100, 0b10000
"""Bits of MuJoCo Warp's `OverflowType`: lost rows of constraints; lost pairs and contacts; lost pairs of convex shapes."""


@dataclass(frozen=True)
class Sizes:
    """Buffer sizes per env.

    Attributes:
        contacts: contacts; envs share the buffer, so one may have more than this.
        constraints: rows of constraints; no env may have more than this.
        convex_contacts: pairs of shapes without a formula of their own, such as mesh and box; envs share the buffer.
    """

    contacts: int | None = None
    constraints: int | None = None
    convex_contacts: int | None = None

    def completed(self, model: Any, num_arms: int) -> "Sizes":
        """Sizes with every None replaced by a value for the scene of a `mujoco.MjModel`, with its objects at rest."""
        at_rest, limits = _at_rest(model)
        contacts = self.contacts or _rounded(_MARGIN * at_rest + _CONTACTS_PER_ARM * num_arms)
        # Not every contact of the shared buffer can be in one env's rows at once; joint limits take a row each.
        constraints = self.constraints or _rounded(_ROWS_PER_CONTACT * contacts + limits)
        convex = self.convex_contacts or _rounded(contacts / 2)
        return Sizes(contacts, constraints, min(convex, contacts))

    @property
    def arguments(self) -> dict[str, int | None]:
        """Arguments of `mujoco_warp.make_data`."""
        return {"nconmax": self.contacts, "njmax": self.constraints, "nccdmax": self.convex_contacts}


def _at_rest(model: Any) -> tuple[int, int]:
    """Largest number of contacts of a scene while its objects come to rest, and number of joints with limits."""
    mujoco = import_mujoco()
    data = mujoco.MjData(model)
    most = 0
    for _ in range(_SETTLE_STEPS):
        mujoco.mj_step(model, data)
        most = max(most, data.ncon)
    return most, int(model.jnt_limited.sum()) + int(model.neq)


def _rounded(value: float) -> int:
    return _MULTIPLE * -(-int(value + 0.5) // _MULTIPLE)


def bytes_per_env(mjw: Any, model: Any, sizes: Sizes) -> int:
    """Memory of an env's state and buffers [bytes], from the difference between two numbers of envs."""
    few, many = (_num_bytes(mjw.make_data(model, nworld=num, **sizes.arguments)) for num in _PROBED_ENVS)
    return (many - few) // (_PROBED_ENVS[1] - _PROBED_ENVS[0])


def _num_bytes(data: Any) -> int:
    return sum(array.capacity for array in _arrays(data))


def _arrays(data: Any) -> Iterator[Any]:
    for field in fields(data):
        value = getattr(data, field.name)
        if is_dataclass(value):
            yield from _arrays(value)
        elif hasattr(value, "capacity"):
            yield value


def overflow_message(bits: int, data: Any, sizes: Sizes) -> str | None:
    """Which setting must grow, and how far; None: the bits mean no lost contact or constraint."""
    if bits & _CONTACTS_LOST:
        need = max(int(data.ncollision.numpy()[0]), int(data.nacon.numpy()[0]))
        return _too_small("contacts", sizes.contacts, -(-need // data.nworld))
    if bits & _ROWS_LOST:
        return _too_small("constraints", sizes.constraints, int(data.nefc.numpy().max()))
    if bits & _CONVEX_LOST:
        return _too_small("convex_contacts", sizes.convex_contacts, 2 * (sizes.convex_contacts or 0))
    return None


def _too_small(name: str, size: int | None, need: int) -> str:
    proposal = _rounded(1.25 * max(need, (size or 0) + 1))
    return f"sim.{name}: {size} per env are too few, the step needed {need}; use sim.{name}={proposal}"
