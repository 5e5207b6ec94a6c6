"""What the process with Isaac Lab answers with: data, in a module that both sides can import."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Shipped:
    """One configuration class of `isaaclab_mimic.envs`.

    Attributes:
        problem: why it cannot be instantiated; None if it can.
        original: its three Mimic parts, enums by their names in lower case, everything else as it is.
        ours: what `mimic_fields_of` makes of them.
        warnings: that it gave.
    """

    problem: str | None
    original: dict[str, Any]
    ours: dict[str, Any]
    warnings: list[str]
