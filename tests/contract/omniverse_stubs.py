"""Stubs for modules that Isaac Lab 2.3 imports and PyPI does not have. They allow tests to run the real Isaac Lab.

A stub is a class that has every attribute; each attribute is a stub again. A stub can be called, subclassed and used as a
type, and does nothing. Stubs are installed only in a separate process (`tests/contract/isaaclab_side`), so that tests that
need the real `pxr` or `scipy` are not affected.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

OMNIVERSE = ("carb", "isaacsim", "nvidia.srl", "omni", "pxr.PhysxSchema", "usdrt")
"""Modules of Isaac Sim, which is not on PyPI."""
OTHERS = (
    "cv2", "dex_retargeting", "flatdict", "hid", "IPython", "ipywidgets", "pink", "pinocchio", "scipy", "torchvision",
)  # fmt: skip
"""Modules of parts that no test runs (devices, terrains, IK of humanoids, notebooks); some cannot be installed."""


class _Namespace(type):
    """Metaclass of stubs: missing attributes are stubs."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stub(f"{cls.__qualname__}.{name}")

    def __or__(cls, other: Any) -> Any:
        return cls

    __ror__ = __or__


class _Stub(metaclass=_Namespace):
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        result = CALL_RESULTS.get(cls.__qualname__)
        return result(*args, **kwargs) if result else super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stub(f"{type(self).__qualname__}().{name}")


@cache
def _stub(name: str) -> Any:
    return _Namespace(name.rpartition(".")[2], (_Stub,), {"__qualname__": name})


class _Module(ModuleType):
    __path__: Sequence[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stub(f"{self.__name__}.{name}")


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        parents = (*OMNIVERSE, *OTHERS)
        if any(name == parent or name.startswith(f"{parent}.") or parent.startswith(f"{name}.") for parent in parents):
            return None if name == "pxr" else ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def _write_robot(urdf_output_path: str, **_: Any) -> None:
    Path(urdf_output_path).write_text("<robot name='stand_in'/>")


CALL_RESULTS: dict[str, Callable[..., Any]] = {
    # Configurations of humanoids copy a URDF from NVIDIA's server, or convert a USD file from there.
    "omni.client.stat": lambda url: (_stub("omni.client.Result.OK"),),
    "omni.client.break_url": lambda url: SimpleNamespace(path=url),
    "omni.client.copy": lambda *_: _stub("omni.client.Result.OK"),
    "nvidia.srl.from_usd.to_urdf.UsdToUrdf.init_from_file().save_to_file": _write_robot,
    "carb.settings.get_settings().get": lambda key: "omniverse://stand-in",
}
"""Results of calls of stubs, by qualified name, where returning a stub is not sufficient."""


def install() -> None:
    """Make imports of these modules return stubs from now on."""
    sys.meta_path.insert(0, _Finder())


def installed() -> Iterator[str]:
    """Names of the imported stub modules."""
    return (name for name, module in sys.modules.items() if isinstance(module, _Module))
