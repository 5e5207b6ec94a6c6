"""Printed result of a command: lines of text, or one JSON object with `json=true`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any


def print_result(as_json: bool, paths: Mapping[str, Any], result: Any, lines: Sequence[str]) -> None:
    """Print the result of a command.

    Args:
        as_json: print a JSON object with `paths` and the attributes of `result`, instead of `lines`.
        paths: fields of the command that contain paths -> their values.
        result: dataclass object.
    """
    print(json.dumps({**paths, **asdict(result)}, indent=2, default=str) if as_json else "\n".join(lines))
