"""Parts of messages: counts with their nouns, lists of names, durations."""

from collections.abc import Sequence


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 demo`, `2 demos`.

    Args:
        plural: plural of the noun; empty: the noun and an s.
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def listed(names: Sequence[str], limit: int = 5) -> str:
    """Return at most `limit` names with commas, and the number of the others: `a, b and 3 more`."""
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def duration(seconds: float) -> str:
    """Duration as text: "3 h 5 min", "2 min 5 s", "7 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else (f"{minutes} min {rest} s" if minutes else f"{rest} s")


def split_remedy(message: str) -> tuple[str, str]:
    """Split a message at its first semicolon outside of brackets: the problem, and its remedy (empty without one)."""
    depth = 0
    for index, letter in enumerate(message):
        depth += (letter in "([{") - (letter in ")]}")
        if depth <= 0 and message.startswith("; ", index):
            return message[:index], message[index + 2 :]
    return message, ""
