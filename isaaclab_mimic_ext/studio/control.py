"""Control of the studio: one page has it, the others watch and may ask for it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from isaaclab_mimic_ext.studio.protocol import Refusal, check_fields, choice
from isaaclab_mimic_ext.studio.tabs import Client

ANSWER_TIME_S = 10.0
"""Time in which the page in control may refuse a request for control [s]."""


class Control:
    """Decides which page has control. Only the network thread uses it.

    Args:
        clients: the pages that are connected.
        changed: called when the control or a request for it has changed.
    """

    def __init__(self, clients: Sequence[Client], changed: Callable[[], None]):
        self._clients, self._changed = clients, changed
        self._asking: Client | None = None
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, client: Client) -> None:
        """Give control to a page that connects, if no page has it or if the page had it before."""
        holder = self._holder()
        if holder is None or (client.key and holder.key == client.key):
            self._give(client)

    def leave(self, client: Client) -> None:
        """Give the control of a page that has gone to the page that asks for it, if any."""
        if client is self._asking:
            self._forget()
        if client.has_control and self._asking is not None:
            self._give(self._asking)
        self._changed()

    def state(self, client: Client) -> dict[str, Any]:
        """State for display: whether the page has control, and whether another page asks for it."""
        is_asked = self._asking is not None and client.has_control
        is_held = self._holder() is not None
        state = {"control": client.has_control, "held": is_held, "asked": is_asked, "asks": client is self._asking}
        return {**state, "page": client.number}

    def receive(self, client: Client, message: Mapping[str, Any]) -> None:
        """Carry out a message about control: `take`, `give` or `refuse`.

        Raises:
            Refusal: the message is not valid.
        """
        check_fields("message", message, ["control"])
        wish = choice("control", message["control"], ("take", "give", "refuse"))
        if wish == "take":
            self._take(client)
        elif not client.has_control:
            raise Refusal("control: another page has control; take control first")
        elif self._asking is not None and wish == "give":
            self._give(self._asking)
        else:
            self._forget()
        self._changed()

    def _take(self, client: Client) -> None:
        if client.has_control:
            return
        if self._holder() is None:
            self._give(client)
        elif self._asking is not None and self._asking is not client:
            raise Refusal("control: another page already asks for it; wait a few seconds")
        elif self._asking is None:
            self._asking = client
            self._timer = asyncio.get_running_loop().call_later(ANSWER_TIME_S, self._grant)

    def _grant(self) -> None:
        if self._asking is not None:
            self._give(self._asking)
            self._changed()

    def _give(self, client: Client) -> None:
        for other in self._clients:
            other.has_control = False
        client.has_control = True
        self._forget()

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._asking, self._timer = None, None

    def _holder(self) -> Client | None:
        return next((client for client in self._clients if client.has_control), None)
