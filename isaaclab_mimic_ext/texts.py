"""Parts of messages: counts with their nouns."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 demo`, `2 demos`.

    Args:
        plural: plural of the noun; empty: the noun and an s.
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
