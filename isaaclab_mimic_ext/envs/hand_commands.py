"""State of a device that commands one hand at a time; base class of the keyboards and of Isaac Lab's devices."""

# E end effectors

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

log = logging.getLogger(__name__)

_NEXT_HAND_HELP = """
  N               command the next hand (first: {})"""


class HandCommands:
    """Commands of each hand, and the requests of the person.

    Args:
        eef_names: names of the E end effectors.
        device: device of the commands.
    """

    def __init__(self, eef_names: Sequence[str], device: str | torch.device):
        self._eef_names = tuple(eef_names)
        self._commands = torch.zeros(len(self._eef_names), 7, device=device)
        self._hand, self._reset_requested = 0, False
        self.reset()

    def wants_reset(self) -> bool:
        """Return whether the person has discarded the attempt since the last call."""
        requested, self._reset_requested = self._reset_requested, False
        return requested

    def reset(self) -> None:
        """Select the first hand, and open the grippers."""
        self._reset_requested, self._hand = False, 0
        self._commands[:, 6] = 1.0

    def _move(self, motion: Tensor) -> None:
        """Command a motion (6,) of the selected hand: translation [m], rotation vector [rad]. The other hands rest."""
        self._commands[:, :6] = 0.0
        self._commands[self._hand, :6] = motion

    def _switch_gripper(self) -> None:
        self._commands[self._hand, 6] *= -1.0

    def _request_reset(self) -> None:
        self._reset_requested = True

    def _select_next_hand(self) -> None:
        self._hand = (self._hand + 1) % len(self._eef_names)

    def _log_help(self, text: str, has_next_hand: bool = True) -> None:
        """Log the keys of the device, with the key for the next hand if there are several hands."""
        several = has_next_hand and len(self._eef_names) > 1
        log.info("%s%s", text, _NEXT_HAND_HELP.format(self._eef_names[0]) if several else "")
