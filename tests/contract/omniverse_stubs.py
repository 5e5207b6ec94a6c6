"""Stand-ins for what Isaac Lab 2.3 imports and PyPI does not have, so that Isaac Lab itself is the real thing.

A stand-in is a class with any attribute that is asked for, each a stand-in again; it can be called, subclassed and used as a
type, and does nothing. They are for a process of their own (`tests/contract/isaaclab_side`), so that no test that needs the
real `pxr` or `scipy` meets them.
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
"""Of Isaac Sim, which is not on PyPI."""
OTHERS = (
    "cv2", "dex_retargeting", "flatdict", "hid", "IPython", "ipywidgets", "pink", "pinocchio", "scipy", "torchvision",
)  # fmt: skip
"""Of parts that no test here runs (devices, terrains, humanoids' inverse kinematics, notebooks); some do not install."""


class _Namespace(type):
    """A class whose missing attributes are stand-ins."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(f"{cls.__qualname__}.{name}")

    def __or__(cls, other: Any) -> Any:
        return cls

    __ror__ = __or__


class _StandIn(metaclass=_Namespace):
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        answer = ANSWERS.get(cls.__qualname__)
        return answer(*args, **kwargs) if answer else super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(f"{type(self).__qualname__}().{name}")


@cache
def _stand_in(name: str) -> Any:
    return _Namespace(name.rpartition(".")[2], (_StandIn,), {"__qualname__": name})


class _Module(ModuleType):
    __path__: Sequence[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(f"{self.__name__}.{name}")


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


ANSWERS: dict[str, Callable[..., Any]] = {
    # Humanoids' configurations copy a URDF from NVIDIA's server, or have one made from a USD there.
    "omni.client.stat": lambda url: (_stand_in("omni.client.Result.OK"),),
    "omni.client.break_url": lambda url: SimpleNamespace(path=url),
    "omni.client.copy": lambda *_: _stand_in("omni.client.Result.OK"),
    "nvidia.srl.from_usd.to_urdf.UsdToUrdf.init_from_file().save_to_file": _write_robot,
    "carb.settings.get_settings().get": lambda key: "omniverse://stand-in",
}
"""What a stand-in answers when it is called, where nothing would not do."""


def install() -> None:
    """From now on imports of these modules give stand-ins."""
    sys.meta_path.insert(0, _Finder())


def installed() -> Iterator[str]:
    """The names of the stand-in modules that have been imported."""
    return (name for name, module in sys.modules.items() if isinstance(module, _Module))
