"""Policies by name: those that come with the package, and any function `module:name` of a user's."""

import os
import sys
from collections.abc import Callable
from importlib import import_module

from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.policies.base import Policy, PolicyRequest

MakePolicy = Callable[[PolicyRequest], Policy]


def _make_robomimic(request: PolicyRequest) -> Policy:
    from isaaclab_mimic_ext.policies.robomimic import make_policy

    return make_policy(request)


BUILT_IN: dict[str, MakePolicy] = {"robomimic": _make_robomimic}
"""Name -> what makes the policy; each imports what it needs when it is called."""


def find_policy(name: str) -> MakePolicy:
    """What makes the policy `name`: one of `BUILT_IN`, or `module:function`, also of a module in the working directory.

    Raises:
        ConfigError: there is no such policy, module or function, or the module cannot be imported.
    """
    if ":" not in name:
        if name not in BUILT_IN:
            raise ConfigError(f"policy: there is no policy '{name}'; {choices(name, BUILT_IN)}, or <module>:<function>")
        return BUILT_IN[name]
    module_name, _, function_name = name.partition(":")
    module = _import(name, module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(
            f"policy: '{name}': {module_name} has no function '{function_name}'; {choices(function_name, functions)}"
        )
    return function


def make_policy(name: str, make: MakePolicy, request: PolicyRequest) -> Policy:
    """A policy, checked to be one.

    Raises:
        ConfigError: what was made is no policy.
        UsageError: the checkpoint is missing, or made for something else.
    """
    policy = make(request)
    if not isinstance(policy, Policy):
        raise ConfigError(
            f"policy: '{name}' gave a {type(policy).__name__} without methods act(observations) and reset(env_ids); "
            "see isaaclab_mimic_ext.policies.base.Policy"
        )
    return policy


def _import(name: str, module_name: str) -> object:
    # A script's own folder is on the path, the one that the user stands in is not.
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return import_module(module_name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"policy: '{name}': module '{module_name}' cannot be imported ({reason})") from error
    finally:
        if added:
            sys.path.remove(here)
