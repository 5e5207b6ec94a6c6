"""Parts of messages: counts with their nouns."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 demo`, `2 demos`.

    Args:
        plural: plural of the noun; empty: the noun and an s.
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def duration(seconds: float) -> str:
    """Duration as text: "3 h 5 min", "2 min 5 s", "7 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else (f"{minutes} min {rest} s" if minutes else f"{rest} s")
