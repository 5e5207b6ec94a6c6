"""Real Isaac Lab for tests that step it, kit-less on Newton; where that cannot run they skip and say why."""

from importlib.util import find_spec

import pytest

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.isaaclab.installation import find_installation
from isaaclab_mimic_ext.envs.isaaclab.mimic_fields import trial_events
from isaaclab_mimic_ext.errors import SimulatorUnavailable
from isaaclab_mimic_ext.task import load_task

NEWTON = SimCfg(engine="isaaclab", physics="newton")


def skip_without_newton() -> None:
    """Skip the test where there is no Isaac Lab that runs on Newton."""
    try:
        installation = find_installation()
    except SimulatorUnavailable as error:
        pytest.skip(str(error))
    missing = [name for name in ("newton", "isaaclab_tasks", "isaaclab_assets", "gymnasium") if find_spec(name) is None]
    if not installation.has_newton or missing:
        pytest.skip(f"this Isaac Lab has no Newton physics; missing: {', '.join(missing) or 'isaaclab_newton'}")


def make_newton_env(task_name: str, num_envs: int) -> MimicEnv:
    """A task of ours on Isaac Lab with Newton physics, randomized as its task file says."""
    skip_without_newton()
    return make_env(load_task(task_name), NEWTON, trial_events(task_name), num_envs)
