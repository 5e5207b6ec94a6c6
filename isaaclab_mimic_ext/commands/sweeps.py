"""Registration of this package's launchers and sweepers with Hydra."""

import sys
from importlib import import_module
from types import ModuleType

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

_NAMESPACE = "hydra_plugins"
_PLUGINS = f"{_NAMESPACE}.isaaclab_mimic_ext"
"""Hydra accepts plugins only from this namespace. All Hydra programs in the environment would load an installed package."""


def register_sweeps() -> None:
    """Register launchers and sweepers. `basic` replaces Hydra's default; `submitit_*` those of hydra-submitit-launcher."""
    plugins = Plugins.instance()
    # Plugins.instance() imports Hydra's plugins again, so the classes based on them must be defined after it.
    from isaaclab_mimic_ext.commands.sweep_plugins import LAUNCHERS, SWEEPERS

    for group, named in (("launcher", LAUNCHERS), ("sweeper", SWEEPERS)):
        for name, (plugin, settings) in named.items():
            plugin.__module__ = _PLUGINS  # Hydra locates a plugin by this name and the name of its class.
            setattr(_plugins_module(), plugin.__name__, plugin)
            plugins.register(plugin)
            node = {"_target_": f"{_PLUGINS}.{plugin.__name__}", **settings}
            ConfigStore.instance().store(group=f"hydra/{group}", name=name, node=node)


def _plugins_module() -> ModuleType:
    """Return the module in which Hydra searches for plugins of this package."""
    try:
        namespace = import_module(_NAMESPACE)
    except ModuleNotFoundError:
        namespace = sys.modules[_NAMESPACE] = ModuleType(_NAMESPACE)
        namespace.__path__ = []
    name = _PLUGINS.rpartition(".")[2]
    if not hasattr(namespace, name):
        setattr(namespace, name, ModuleType(_PLUGINS))
    module: ModuleType = getattr(namespace, name)
    return module
