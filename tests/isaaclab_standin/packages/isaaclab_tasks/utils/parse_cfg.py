"""Loading of registered configurations."""

from importlib import import_module
from typing import Any

import gymnasium


def load_cfg_from_registry(task_name: str, entry_point_key: str) -> Any:
    place = gymnasium.spec(task_name).kwargs[entry_point_key]
    print(f"[INFO]: Parsing configuration from: {place}")
    module, name = place.split(":")
    return getattr(import_module(module), name)()
