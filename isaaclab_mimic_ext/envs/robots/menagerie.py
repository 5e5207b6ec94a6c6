"""Files of MuJoCo Menagerie, from a checkout or from the cache of the package `mujoco-menagerie`."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable, choices
from isaaclab_mimic_ext.task.robot import MENAGERIE

ROOT = "MENAGERIE_ROOT"
"""Environment variable with the path of a checkout."""


def menagerie_file(field: str, path: str) -> Path:
    """Local path of a file of MuJoCo Menagerie; the package downloads its model on first use.

    Args:
        field: field of the configuration, for messages.
        path: `menagerie:<folder>/<file>`.

    Raises:
        ConfigError: the model or the file is not in MuJoCo Menagerie.
        SimulatorUnavailable: neither checkout nor package is present, or the model cannot be downloaded.
    """
    folder, _, file = path.removeprefix(MENAGERIE).partition("/")
    if root := os.environ.get(ROOT):
        found = Path(root).expanduser() / folder / file
        if not found.is_file():
            raise SimulatorUnavailable(f"{field}: {found} not found; {ROOT} must be a checkout of MuJoCo Menagerie")
        return found
    try:
        menagerie: Any = import_module("mujoco_menagerie")
    except ImportError as error:
        raise SimulatorUnavailable(
            f"{field}: {path} requires MuJoCo Menagerie; install with `pip install isaaclab-mimic-ext[robots]`, or set "
            f"{ROOT} to a checkout"
        ) from error
    if folder not in menagerie.names():
        raise ConfigError(f"{field}: '{folder}' is not in MuJoCo Menagerie; {choices(folder, menagerie.names())}")
    try:
        return Path(menagerie.get(folder).path()) / file
    except (OSError, menagerie.MenagerieError) as error:
        raise SimulatorUnavailable(
            f"{field}: {path} cannot be downloaded: {error}; set {ROOT} to a checkout of MuJoCo Menagerie"
        ) from error
