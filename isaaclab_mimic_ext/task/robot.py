"""Description of the robot of a task, with the defaults of the Panda."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.errors import ConfigError, choices

PANDA = "panda"
"""Name of the robot that needs no file: a Panda of primitives."""
MENAGERIE = "menagerie:"
"""Beginning of the path of a file in MuJoCo Menagerie: `menagerie:<folder>/<file>`."""


@dataclass
class RobotCfg:
    """Arm with a gripper of two fingers. Null values are read from the MJCF file, or measured on its model."""

    name: str = PANDA
    """Name of the robot. With `mjcf` and this default: the name of the file."""
    mjcf: str | None = None
    """MJCF file of the arm, or `menagerie:<folder>/<file>` of MuJoCo Menagerie; null: the Panda of primitives."""
    joints: list[str] | None = None
    """Arm joints, from the base to the hand; null: all hinge joints between the base and `eef_frame`."""
    home: list[float] | None = None
    """Start posture, one angle per arm joint [rad]; null: the hand at the start pose of the Panda, by inverse kinematics."""
    eef_frame: str | None = None
    """Site or body of the hand. The end effector has its orientation."""
    eef_pos: list[float] | None = None
    """Position of the end effector in `eef_frame` [m]; null: between the fingers, 9 mm above their tips."""
    approach_axis: str = "z"
    """Axis of `eef_frame` that points out of the hand: `x`, `y`, `z`, `-x`, `-y` or `-z`."""
    closing_axis: str | None = None
    """Axis of `eef_frame` along which the fingers close: `x`, `y` or `z`; null: measured."""
    gripper: Any = None
    """Actuator of the gripper, or a list of actuators."""
    gripper_open: Any = None
    """Command of the open gripper, one number per actuator; null: the end of the control range with the wider gap."""
    gripper_closed: Any = None
    """Command of the closed gripper, one number per actuator; null: the other end of the control range."""
    grip_force: float | None = None
    """Largest force of each finger [N]; null: that of the file."""
    fingers: list[str] | None = None
    """Bodies of the two finger tips; null: the outermost bodies that the gripper moves."""
    hand: str | None = None
    """MJCF file of a gripper that is attached to the arm, or `menagerie:<folder>/<file>`; null: `mjcf` contains it."""
    hand_mount: str | None = None
    """Site or body of the arm that `hand` is attached to."""
    hand_yaw: float = 0.0
    """Rotation of `hand` about the z axis of `hand_mount` [rad]."""
    hand_prefix: str = ""
    """Text in front of the names of `hand`, if names of arm and hand are equal."""
    arms: dict[str, Any] = field(default_factory=dict)
    """Robots of single arms, if they differ: end effector -> fields of its robot. `robot.<end effector>=ur5e` or
    `robot.<end effector>.mjcf=...` sets one; the other fields are for arms without an entry, or without a robot in it."""
    base_pos: list[float] | None = None
    """Position of the base, env frame [m]; null: that of the task."""
    base_yaw: float | None = None
    """Rotation of the base about z [rad]; null: that of the task."""
    max_joint_speed: float | None = None
    """Largest speed of the arm joints [rad/s]; null: limited only by the torques."""
    stiffness: float = 4000.0
    """Stiffness of the position controllers of the arm joints [N m/rad]."""
    damping_time: float = 0.05
    """Ratio of damping to stiffness of the position controllers of the arm joints [s]."""
    ik_damping: float = 0.05
    """Damping of the inverse kinematics [m, rad]."""
    posture_gain: float | None = None
    """Fraction of the distance to `home` that redundant joints move per step; null: 0.05 with 7 joints or more, else 0."""
    rot_weight: float | None = None
    """Weight of the rotation in the inverse kinematics [m/rad]; null: 1 with 6 joints or more, else 0.1."""

    def of_arm(self, eef_name: str) -> "RobotCfg":
        """Robot of an arm. An entry without a robot, such as one with a base only, has the other fields.

        Raises:
            ConfigError: its entry in `arms` has unknown fields.
        """
        if eef_name not in self.arms:
            return replace(self, arms={})
        given = self.arms[eef_name]
        known = [each.name for each in fields(RobotCfg) if each.name != "arms"]
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"robot.arms.{eef_name}: must be the fields of a robot (got {given!r}); use robot.{eef_name}=<name>"
            )
        for name in given:
            if name not in known:
                raise ConfigError(f"robot.arms.{eef_name}: '{name}' is not a field of a robot; {choices(str(name), known)}")
        if "name" in given or "mjcf" in given:
            return RobotCfg(**given)
        return replace(self, arms={}, **given)

    @property
    def label(self) -> str:
        """Name of the robot in messages and files."""
        if self.arms:
            return "+".join(self.of_arm(name).label for name in self.arms)
        return Path(self.mjcf).stem if self.mjcf is not None and self.name == PANDA else self.name

    @property
    def changes(self) -> dict[str, Any]:
        """Fields that differ from those of the Panda."""
        default = asdict(RobotCfg())
        return {name: value for name, value in asdict(self).items() if value != default[name]}


_LEAST: dict[str, tuple[float, bool]] = {
    "stiffness": (0.0, False), "damping_time": (0.0, True), "ik_damping": (0.0, False), "max_joint_speed": (0.0, False),
    "posture_gain": (0.0, True), "rot_weight": (0.0, False), "grip_force": (0.0, False),
}  # fmt: skip
"""Field -> its lower bound, and whether the bound itself is valid."""


def check_description(robot: RobotCfg) -> None:
    """Check the numbers of a description, and the types of the fields that take one value or a list.

    Raises:
        ConfigError: a value is not valid.
    """
    for eef_name in robot.arms:
        own = robot.of_arm(eef_name)
        try:
            check_description(own)
        except ConfigError as error:
            raise ConfigError(f"robot.{eef_name}.{str(error).removeprefix('robot.')}") from error
    for name, (least, is_included) in _LEAST.items():
        value = getattr(robot, name)
        if value is not None and not (is_number(value) and (value > least or (is_included and value == least))):
            raise ConfigError(f"robot.{name}: must be {'>=' if is_included else '>'} {least:g} (got {value!r})")
    for name in ("eef_pos", "base_pos"):
        value = getattr(robot, name)
        if value is not None and not (len(value) == 3 and all(map(is_number, value))):
            raise ConfigError(f"robot.{name}: must be three numbers, x, y and z in m (got {value!r})")
    if robot.base_yaw is not None and not is_number(robot.base_yaw):
        raise ConfigError(f"robot.base_yaw: must be a number in rad (got {robot.base_yaw!r})")
    for name in ("gripper_open", "gripper_closed"):
        value = getattr(robot, name)
        if not all(map(is_number, _listed(value))):
            raise ConfigError(f"robot.{name}: must be a number, or a list with one per actuator (got {value!r})")
    if not all(isinstance(each, str) for each in _listed(robot.gripper)):
        raise ConfigError(f"robot.gripper: must be the name of an actuator, or a list of names (got {robot.gripper!r})")


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def is_number(value: Any) -> bool:
    """Return whether a value of a configuration is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_ENTRY = "robot"
"""Key of the robot in the env_args of a dataset and the identity of a run; it is left out for the Panda."""


def recorded_robot(facts: Mapping[str, Any]) -> RobotCfg | None:
    """Robot that a file records; None: the Panda.

    Args:
        facts: env_args of a dataset, or identity of a run.
    """
    entry = _entry(facts)
    return None if entry is None else robot_from(entry)


def robot_name(facts: Mapping[str, Any]) -> str:
    """Name of the robot that a file records. `facts` as in `recorded_robot`."""
    entry = _entry(facts)
    return PANDA if entry is None else str(entry.get("name", ""))


def robot_digest(facts: Mapping[str, Any]) -> str:
    """Digest of the model of the robot that a file records; empty for the Panda. `facts` as in `recorded_robot`."""
    return str((_entry(facts) or {}).get("digest", ""))


def _entry(facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = facts.get(_ENTRY)
    return found if isinstance(found, Mapping) else None


_OBSERVATIONS = "robot_observations"
"""Key in the env_args of a dataset: names of further observations that describe the robot itself; left out if empty."""
_OWN = ("joint_pos", "joint_vel", "eef_pos", "eef_quat", "gripper_pos")
"""Observations of a robot itself; with several arms, they have a prefix."""


def observations_entry(names: Sequence[str]) -> dict[str, Any]:
    """Entry with the names of a task's observations that describe the robot itself; empty if there are none."""
    return {_OBSERVATIONS: list(names)} if names else {}


def is_robot_observation(name: str, facts: Mapping[str, Any]) -> bool:
    """Return whether an observation describes the robot itself, not the objects. `facts`: env_args of the dataset.

    These are the terms that all tasks have, those that the task names, and robosuite's, which begin with `robot`.
    """
    named, objects = (found if isinstance(found := facts.get(key), list) else [] for key in (_OBSERVATIONS, "object_names"))
    if any(name.startswith(f"{each}_") for each in objects):  # `drawer_joint_pos` of an object on a joint.
        return name in named
    return name in named or name.startswith("robot") or any(name == own or name.endswith(f"_{own}") for own in _OWN)


def robot_entry(robot: RobotCfg, digest: str) -> dict[str, Any]:
    """Entry with a robot and the digest of its model; empty for the Panda.

    Paths become absolute, so that the entry does not depend on the working folder.
    """
    changes = _with_absolute_paths(robot.changes)
    if robot.arms:
        changes["arms"] = {name: _with_absolute_paths(given) for name, given in robot.arms.items()}
    return {_ENTRY: {"name": robot.label, **changes, "digest": digest}} if changes else {}


def _with_absolute_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    changed = dict(values)
    for name in ("mjcf", "hand"):
        if (path := changed.get(name)) is not None and not path.startswith(MENAGERIE):
            changed[name] = str(Path(path).expanduser().resolve())
    return changed


def robot_from(values: Mapping[str, Any]) -> RobotCfg:
    """Description with the values of a file; fields of newer versions are ignored."""
    known = {field.name for field in fields(RobotCfg)}
    robot = RobotCfg(**{name: value for name, value in values.items() if name in known})
    # The name of arms of different kinds is that of all of them.
    return replace(robot, name=PANDA) if robot.arms and robot.mjcf is None else robot
