"""Messages about values of the wrong type, from errors of OmegaConf."""

import re

from omegaconf.errors import OmegaConfBaseException

_TYPES = {
    "to Integer": "an integer",
    "to Float": "a number",
    "a valid bool": "true or false",
    "to string": "a text",
}
"""End of OmegaConf's message -> expected type."""


def type_fault(error: OmegaConfBaseException) -> str | None:
    """Return the fault of a value that cannot be converted to the type of its field, `must be an integer (got 'abc')`.

    None if the error has a different reason.
    """
    found = re.search(rf"(?:could not be converted|is not|Cannot convert .*?) ({'|'.join(_TYPES)})\b", error.msg or "")
    return f"must be {_TYPES[found[1]]} (got {error.value!r})" if found else None
