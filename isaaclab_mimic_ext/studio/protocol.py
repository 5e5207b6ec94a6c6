"""Messages of the pages, checked before anything reads them."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from isaaclab_mimic_ext.errors import choices

MAX_MESSAGE_BYTES = 64 * 1024
MAX_MESSAGES_PER_SECOND = 200
"""Mean rate of messages of one page: 60 commands, 60 acknowledged frames, and room to catch up after a pause."""
_MAX_NUMBER = 1e6


class Refusal(Exception):
    """A message of a page that cannot be carried out; the text is shown on the page."""


def read_message(text: str | bytes) -> dict[str, Any]:
    """Read a message, a JSON object.

    Raises:
        Refusal: the message is not a JSON object, or has a number that is not finite.
    """
    if not isinstance(text, str):
        raise Refusal("message: must be text (got bytes)")
    try:
        message = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Refusal("message: is not JSON") from None
    if not isinstance(message, dict):
        raise Refusal(f"message: must be an object (got {_kind(message)})")
    return message


def check_fields(place: str, message: Mapping[str, Any], required: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Refuse a message with unknown or missing fields.

    Raises:
        Refusal: a field is unknown or missing.
    """
    for name in message:
        if name not in (*required, *optional):
            raise Refusal(f"{place}.{str(name)[:40]}: unknown field; {choices(str(name)[:40], (*required, *optional))}")
    for name in required:
        if name not in message:
            raise Refusal(f"{place}.{name}: missing")


def integer(place: str, value: Any, lowest: int, highest: int) -> int:
    """Return an integer in a range.

    Raises:
        Refusal: the value is not an integer from `lowest` to `highest`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise Refusal(f"{place}: must be an integer from {lowest} to {highest} (got {_short(value)})")
    return value


def vector(place: str, value: Any, length: int) -> list[float]:
    """Return `length` finite numbers.

    Raises:
        Refusal: the value is not a list of `length` finite numbers.
    """
    if not isinstance(value, list) or len(value) != length or not all(map(_is_finite, value)):
        raise Refusal(f"{place}: must be {length} finite numbers (got {_short(value)})")
    return [float(number) for number in value]


def choice(place: str, value: Any, valid: Sequence[str]) -> str:
    """Return a name that is valid.

    Raises:
        Refusal: the value is not in `valid`.
    """
    if not isinstance(value, str) or value not in valid:
        raise Refusal(f"{place}: {_short(value)} is not valid; {choices(str(value)[:40], valid)}")
    return value


class RateLimit:
    """Limits the messages of one page to a mean rate, with a reserve of two seconds.

    Args:
        now: clock [s].
    """

    def __init__(self, now: Callable[[], float]):
        self._now = now
        self._reserve, self._time = 2.0 * MAX_MESSAGES_PER_SECOND, now()

    def pause(self) -> float:
        """Count one message, and return how long to wait before the next one is read [s]."""
        time = self._now()
        earned = (time - self._time) * MAX_MESSAGES_PER_SECOND
        self._reserve, self._time = min(self._reserve + earned, 2.0 * MAX_MESSAGES_PER_SECOND), time
        self._reserve -= 1.0
        return max(0.0, -self._reserve / MAX_MESSAGES_PER_SECOND)


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= _MAX_NUMBER and math.isfinite(value)


def _refuse_constant(name: str) -> NoReturn:
    raise Refusal(f"message: numbers must be finite (got {name})")


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", bool: "a boolean", type(None): "null"}.get(type(value), "a number")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
