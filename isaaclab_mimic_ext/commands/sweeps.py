"""Registration of this package's launcher and sweepers with Hydra."""

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins

from isaaclab_mimic_ext.commands.process_launcher import ProcessLauncher
from isaaclab_mimic_ext.commands.sweep_outputs import check_outputs

_NAMESPACE = "hydra_plugins"
_PLUGINS = f"{_NAMESPACE}.isaaclab_mimic_ext"
"""Hydra accepts plugins only from this namespace. All Hydra programs in the environment would load an installed package."""


def register_sweeps() -> None:
    """Register `hydra/launcher=process` and the sweepers `basic` and `process`; `basic` replaces Hydra's, the default."""
    plugins = Plugins.instance()
    # Plugins.instance() imports Hydra's plugins again, so the base class must be imported after it.
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    class CheckingSweeper(BasicSweeper):
        """Hydra's sweeper, which also refuses jobs with the same output before it creates the folder of the sweep."""

        is_strict = True

        def setup(self, *, task_function: Any, **context: Any) -> None:
            super().setup(task_function=task_function, **context)
            self._script = task_function.__self__.script

        def sweep(self, arguments: list[str]) -> Any:
            assert self.config is not None and self.hydra_context is not None
            loader, config = self.hydra_context.config_loader, self.config
            words = OverridesParser.create(config_loader=loader).parse_overrides([*self._parse_config(), *arguments])
            (jobs,) = self.split_arguments(words, None)

            def compose(overrides: Sequence[str]) -> Any:
                return loader.load_sweep_config(config, list(overrides))

            check_outputs(self._script, config, jobs, compose, self.is_strict)
            return super().sweep(arguments)

        def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
            """Accept all overrides: `check_outputs` has composed the jobs."""

    class LenientSweeper(CheckingSweeper):
        """Sweeper that leaves wrong overrides to the process of each job, which knows registered tasks."""

        is_strict = False

    sweeper: dict[str, Any] = {"max_batch_size": None, "params": {}}
    for group, name, plugin, settings in (
        ("launcher", "process", ProcessLauncher, {}),
        ("sweeper", "process", LenientSweeper, sweeper),
        ("sweeper", "basic", CheckingSweeper, sweeper),
    ):
        # Hydra locates a plugin by these two names; the sweepers are defined in this function.
        plugin.__module__, plugin.__qualname__ = _PLUGINS, plugin.__name__
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
