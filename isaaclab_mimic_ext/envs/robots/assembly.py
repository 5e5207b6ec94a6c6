"""MuJoCo specification of a described arm with its gripper, checked part by part. Requires MuJoCo at import."""

from itertools import count
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from isaaclab_mimic_ext.envs.robots.menagerie import menagerie_file
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task.robot import MENAGERIE, RobotCfg

HINGE, SLIDE, FREE, BALL = (
    mujoco.mjtJoint.mjJNT_HINGE,
    mujoco.mjtJoint.mjJNT_SLIDE,
    mujoco.mjtJoint.mjJNT_FREE,
    mujoco.mjtJoint.mjJNT_BALL,
)
_KINDS = {SLIDE: "slides", FREE: "is free", BALL: "is a ball joint"}


def read_arm(cfg: RobotCfg, options: mujoco.MjSpec) -> mujoco.MjSpec:
    """Read the arm and attach its gripper, if the gripper has a separate file.

    Args:
        options: specification whose physics options replace those of the files.

    Raises:
        ConfigError: a file is missing or damaged, the mount is not found, or names of arm and gripper are equal.
        SimulatorUnavailable: a model of MuJoCo Menagerie cannot be had.
    """
    arm = _read("robot.mjcf", str(cfg.mjcf), options)
    if cfg.hand is not None:
        _attach_hand(arm, cfg, options)
    _name_all(arm)
    return arm


def _attach_hand(arm: mujoco.MjSpec, cfg: RobotCfg, options: mujoco.MjSpec) -> None:
    assert cfg.hand is not None
    hand = _read("robot.hand", cfg.hand, options)
    _check_names(arm, hand, cfg)
    mount = _find_frame(arm, "robot.hand_mount", cfg.hand_mount)
    site = mount if isinstance(mount, mujoco.MjsSite) else mount.add_site(name=f"{cfg.hand_prefix}mount")
    if cfg.hand_yaw:
        site = _turned(site, cfg)
    arm.attach(hand, prefix=cfg.hand_prefix, site=site)


def _turned(site: Any, cfg: RobotCfg) -> Any:
    """Copy of a site, turned about its z axis by `hand_yaw`."""
    half = 0.5 * cfg.hand_yaw
    quat = np.zeros(4)
    mujoco.mju_mulQuat(quat, np.asarray(site.quat), np.array([np.cos(half), 0.0, 0.0, np.sin(half)]))
    return site.parent.add_site(name=f"{cfg.hand_prefix}turned_mount", pos=site.pos, quat=quat)


def _read(field: str, path: str, options: mujoco.MjSpec) -> mujoco.MjSpec:
    file = menagerie_file(field, path) if path.startswith(MENAGERIE) else Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(f"{field}: {file} not found; use the path of an MJCF file, or {MENAGERIE}<folder>/<file>")
    try:
        spec = mujoco.MjSpec.from_file(str(file))
        spec.compile()
    except ValueError as error:
        raise ConfigError(f"{field}: {file} cannot be read: {' '.join(str(error).split())}") from error
    for key in list(spec.keys):
        spec.delete(key)
    for name in dir(spec.option):
        if not name.startswith("_"):
            value = getattr(options.option, name)
            if not callable(value):
                setattr(spec.option, name, value)
    return spec


def _name_all(spec: mujoco.MjSpec) -> None:
    """Name the bodies and joints that have no name in their file: parts of a robot are found by their names."""
    for kind, items in {"body": spec.bodies, "joint": spec.joints}.items():
        taken = {item.name for item in items}
        free = (name for index in count() if (name := f"unnamed_{kind}_{index}") not in taken)
        for item in items:
            item.name = item.name or next(free)


def _check_names(arm: mujoco.MjSpec, hand: mujoco.MjSpec, cfg: RobotCfg) -> None:
    for kind in ("joints", "actuators", "bodies", "sites", "geoms"):
        taken = {item.name for item in getattr(arm, kind) if item.name and item.name != "world"}
        shared = sorted(taken & {f"{cfg.hand_prefix}{item.name}" for item in getattr(hand, kind) if item.name})
        if shared:
            raise ConfigError(
                f"robot.hand_prefix: arm and hand both have {kind} named {', '.join(shared)}; set a prefix for the names of "
                "the hand, e.g. robot.hand_prefix=gripper_"
            )


def _find_frame(spec: mujoco.MjSpec, field: str, name: str | None) -> Any:
    """Site or body with a name."""
    names = sorted({item.name for item in (*spec.sites, *spec.bodies) if item.name and item.name != "world"})
    if name is None:
        raise ConfigError(f"{field}: must be the name of a site or a body of the robot (got null); {choices('', names)}")
    found = spec.site(name) or (spec.body(name) if name != "world" else None)
    if found is None:
        raise ConfigError(f"{field}: site or body '{name}' not found; {choices(name, names)}")
    return found


def find_eef_frame(spec: mujoco.MjSpec, cfg: RobotCfg) -> Any:
    """Site or body of the end effector.

    Raises:
        ConfigError: it is not found.
    """
    return _find_frame(spec, "robot.eef_frame", cfg.eef_frame)


def find_gripper(spec: mujoco.MjSpec, cfg: RobotCfg) -> list[Any]:
    """Actuators of the gripper.

    Raises:
        ConfigError: an actuator is not given, or not found.
    """
    names = [actuator.name for actuator in spec.actuators]
    given = [cfg.gripper] if isinstance(cfg.gripper, str) else list(cfg.gripper or ())
    if not given:
        raise ConfigError(f"robot.gripper: must be the actuator of the gripper, or a list (got null); {choices('', names)}")
    for name in given:
        if name not in names:
            raise ConfigError(f"robot.gripper: actuator '{name}' not found; {choices(name, names)}")
    return [spec.actuator(name) for name in given]


def chain_of(body: Any) -> list[Any]:
    """Bodies from the base to `body`."""
    chain: list[Any] = []
    while body is not None and body.name != "world":
        chain.insert(0, body)
        body = body.parent
    return chain


def find_joints(chain: list[Any], cfg: RobotCfg) -> list[Any]:
    """Arm joints on the bodies of a chain, from the base to the hand.

    Raises:
        ConfigError: the base is free, a joint is not found, does not turn, has an empty range, or there are too few.
    """
    joints = [joint for body in chain for joint in body.joints]
    for joint in joints:
        if joint.type == FREE:
            raise ConfigError(
                f"robot.mjcf: base '{joint.parent.name}' has a free joint; remove it, which fixes the base to the table"
            )
    names = [joint.name for joint in joints]
    wanted = names if cfg.joints is None else cfg.joints
    for name in wanted:
        if name not in names:
            raise ConfigError(f"robot.joints: '{name}' does not move '{cfg.eef_frame}'; {choices(name, names)}")
    if len(set(wanted)) < len(wanted):
        raise ConfigError(f"robot.joints: must be different from each other (got {', '.join(wanted)})")
    chosen = [joint for joint in joints if joint.name in wanted]
    for joint in chosen:
        if joint.type != HINGE:
            raise ConfigError(
                f"robot.joints: '{joint.name}' {_KINDS[joint.type]}, but arm joints must be hinges; list the hinges"
            )
    if not 5 <= len(chosen) <= 7:
        raise ConfigError(f"robot.joints: must be 5, 6 or 7 joints (got {len(chosen)}: {', '.join(j.name for j in chosen)})")
    return chosen
