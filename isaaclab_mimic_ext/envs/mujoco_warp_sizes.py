"""Sizes of MuJoCo Warp's buffers: contacts and constraints of an env, which are allocated before the first step."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from isaaclab_mimic_ext.envs.mujoco_model import import_mujoco
from isaaclab_mimic_ext.errors import ConfigError

_SETTLE_STEPS = 250
_MARGIN = 1.6
_CONTACTS_PER_ARM = 16
"""Contacts of a hand that holds an object and touches another one."""
_MULTIPLE = 8
_PROBED_ENVS = (1, 9)
_ROWS_LOST, _CONTACTS_LOST, _CONVEX_LOST, _OTHER_LOST = 0b11, 0b1100, 0b10000, 0b10100000
"""Bits of MuJoCo Warp's `OverflowType`: lost rows of constraints; lost pairs and contacts; lost pairs of convex shapes; lost
contacts of height fields or degrees of freedom. Its other bits mean that an iteration ended before it converged."""


@dataclass(frozen=True)
class Sizes:
    """Buffer sizes per env.

    Attributes:
        contacts: contacts; envs share the buffer, so one may have more than this.
        constraints: rows of constraints; no env may have more than this.
        convex_contacts: pairs of shapes without a formula of their own, such as mesh and box; envs share the buffer. At most
            `contacts`.
    """

    contacts: int | None = None
    constraints: int | None = None
    convex_contacts: int | None = None

    def completed(self, model: Any, num_arms: int) -> "Sizes":
        """Sizes with every None replaced by a value for the scene of a `mujoco.MjModel`, with its objects at rest.

        Raises:
            ConfigError: `convex_contacts` is larger than `contacts`.
        """
        num_contacts, num_rows = _at_rest(model)
        contacts = self.contacts or _rounded(_MARGIN * num_contacts + _CONTACTS_PER_ARM * num_arms)
        constraints = self.constraints or _rounded(_rows_per_contact(model) * contacts + num_rows)
        convex = self.convex_contacts or min(_rounded(contacts / 2), contacts)
        if convex > contacts:
            raise ConfigError(f"sim.convex_contacts: must be <= sim.contacts, which is {contacts} (got {convex})")
        return Sizes(contacts, constraints, convex)

    @property
    def arguments(self) -> dict[str, int | None]:
        """Arguments of `mujoco_warp.make_data`."""
        return {"nconmax": self.contacts, "njmax": self.constraints, "nccdmax": self.convex_contacts}


def _at_rest(model: Any) -> tuple[int, int]:
    """Largest number of contacts of a scene while its objects come to rest, and of constraint rows that are no contacts."""
    mujoco = import_mujoco()
    data = mujoco.MjData(model)
    data.ctrl[:] = data.qpos[model.jnt_qposadr[model.actuator_trnid[:, 0]]]  # The arms hold their posture.
    num_contacts = num_rows = 0
    for _ in range(_SETTLE_STEPS):
        mujoco.mj_step(model, data)
        num_contacts, num_rows = max(num_contacts, data.ncon), max(num_rows, data.ne + data.nf)
    return num_contacts, num_rows + int(model.jnt_limited.sum()) + int(model.tendon_limited.sum())


def _rows_per_contact(model: Any) -> int:
    """Largest number of constraint rows of a contact."""
    num_dims = max(int(model.geom_condim.max(initial=1)), int(model.pair_dim.max(initial=1)))
    is_pyramid = model.opt.cone == import_mujoco().mjtCone.mjCONE_PYRAMIDAL
    return max(1, 2 * (num_dims - 1)) if is_pyramid else num_dims


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
    """Error for overflow bits of steps: the setting to increase, and a larger value; None: nothing was lost."""
    if bits & _CONTACTS_LOST:
        need = max(int(data.ncollision.numpy()[0]), int(data.nacon.numpy()[0]))
        return _too_small("contacts", sizes.contacts, -(-need // data.nworld))
    if bits & _ROWS_LOST:
        return _too_small("constraints", sizes.constraints, int(data.nefc.numpy().max()))
    if bits & _CONVEX_LOST:
        return _too_small("convex_contacts", sizes.convex_contacts, None, sizes.contacts)
    if bits & _OTHER_LOST:
        return f"sim: MuJoCo Warp lost contacts (overflow bits {bits:#x}) without a setting for their buffer; use sim=mujoco"
    return None


def _too_small(name: str, size: int | None, need: int | None, largest: int | None = None) -> str:
    """Error for a buffer. The counters are of the last substep, so a `need` below the size is not the one that failed."""
    known = need is not None and size is not None and need > size
    proposal = _rounded(1.25 * need) if known and need else 2 * (size or 1)
    if largest is not None and proposal > largest:
        proposal = largest
    needed = f", a step needed {need}" if known else ""
    return f"sim.{name}: {size} per env are too few{needed}; use sim.{name}={proposal}"
