"""Isaac Lab envs for tests that step them, on Newton without Isaac Sim."""

from importlib.util import find_spec

from isaaclab_mimic_ext.config import SimCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.isaaclab.installation import find_installation
from isaaclab_mimic_ext.envs.isaaclab.make import trial_events
from isaaclab_mimic_ext.errors import SimulatorUnavailable
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires

NEWTON = SimCfg(engine="isaaclab", physics="newton")


def skip_without_newton() -> None:
    """Skip the test if Isaac Lab with Newton is not installed."""
    with requires.available("isaaclab", SimulatorUnavailable):
        installation = find_installation()
    missing = [name for name in ("newton", "isaaclab_tasks", "isaaclab_assets", "gymnasium") if find_spec(name) is None]
    if not installation.has_newton or missing:
        requires.missing("isaaclab", f"Newton physics is not installed; missing: {', '.join(missing) or 'isaaclab_newton'}")


def make_newton_env(task_name: str, num_envs: int) -> MimicEnv:
    """Make an included task in Isaac Lab with Newton physics and the randomization of its task file."""
    skip_without_newton()
    return make_env(load_task(task_name), NEWTON, trial_events(task_name), num_envs)
