"""Registry of envs."""

from types import SimpleNamespace
from typing import Any

registry: dict[str, Any] = {}


def register(id: str, entry_point: str, kwargs: dict[str, Any], **_: Any) -> None:
    registry[id] = SimpleNamespace(id=id, entry_point=entry_point, kwargs=kwargs)


def spec(id: str) -> Any:
    return registry[id]
