"""Names of demos."""

import re


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which numbers in a name count as numbers: `demo_2` comes before `demo_10`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    # Equal as numbers, `01` and `1` still differ as text, which keeps the order total.
    return tuple((0, int(part), part) if part.isdecimal() and part.isascii() else (1, 0, part) for part in parts)
