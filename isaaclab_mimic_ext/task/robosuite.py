"""Tasks whose scenes are environments of robosuite."""

from collections.abc import Mapping
from typing import Any

from isaaclab_mimic_ext.task.definition import Arm, Task

ENGINE = "robosuite"


class RobosuiteTask(Task):
    """Base class of tasks in an environment of robosuite, which places its objects itself.

    Poses are in robosuite's world frame, whose origin is on the floor below the middle of the table. End effectors are
    robosuite's grip sites. Signals are functions of poses and fingers, as in all tasks; trials are judged by robosuite's own
    `_check_success`. `success` approximates it from poses and fingers, for recorded states, which have no contacts.
    """

    engine = ENGINE
    arms: tuple[Arm, ...] = (Arm("robot0", "robot0"),)
    environment: str
    """Name of the environment in robosuite."""
    imports: tuple[str, ...] = ()
    """Modules that register environments with robosuite, such as `mimicgen`; each worker imports them first."""
    robots: tuple[str, ...] = ("Panda",)
    """Names of the robots in robosuite."""
    bodies: Mapping[str, str]
    """Object -> body of MuJoCo whose pose is the object's."""
    placed: tuple[str, ...] = ()
    """Bodies of MuJoCo that robosuite places in the model and not by a joint; their poses are recorded with the joints."""
    options: Mapping[str, Any] = {}
    """Further arguments of `robosuite.make`."""
