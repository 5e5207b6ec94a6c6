"""Cameras of a policy's pictures, as in its training data, and the env that draws them."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from isaaclab_mimic_ext.config.cameras import CamerasCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.camera_observations import CameraEnv, add_cameras, without_cameras
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.learn.agents import is_picture
from isaaclab_mimic_ext.task.cameras import CameraCfg
from isaaclab_mimic_ext.task.definition import Task

_TOLERANCE = 1e-5
"""Largest difference of two calibrations that count as equal [m, rad, pixels]."""


@dataclass(frozen=True)
class PolicyCameras:
    """Cameras that a policy observes.

    Attributes:
        cfg: names, size and rendering mode of the pictures.
        calibration: camera -> its calibration in the training data; empty if not recorded.
        place: file of the policy or of its training data, for messages.
    """

    cfg: CamerasCfg
    calibration: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    place: str = ""


def policy_cameras(
    observations: Mapping[str, tuple[int, ...]], env_args: Mapping[str, Any], place: str
) -> PolicyCameras | None:
    """Cameras that a policy with these observations sees; None: it observes no pictures.

    Args:
        observations: names of its observations -> shape of one step.
        env_args: metadata of the env that recorded its training data.
        place: file of the policy or of its training data, for messages.

    Raises:
        SourceDataError: the pictures differ in size.
    """
    shapes = {name: shape for name, shape in sorted(observations.items()) if is_picture(shape)}
    if not shapes:
        return None
    sizes = {shape[:2] for shape in shapes.values()}
    if len(sizes) > 1:
        text = ", ".join(f"{name} {height}x{width}" for name, (height, width, _) in shapes.items())
        raise SourceDataError(f"{place}: pictures must have one size (got {text}); train with one size")
    recorded = env_args.get("cameras", {})
    cfg = CamerasCfg(list(shapes), list(sizes.pop()), recorded.get("rendering_mode"))
    calibration = recorded.get("calibration", {})
    return PolicyCameras(cfg, {name: calibration[name] for name in shapes if name in calibration}, place)


def common_cameras(cameras: Sequence[PolicyCameras | None]) -> PolicyCameras | None:
    """Cameras of several policies that are evaluated in one env; None: no policy sees.

    Raises:
        ConfigError: two policies that see were trained with different cameras.
    """
    seeing = [each for each in cameras if each is not None]
    for each in seeing[1:]:
        if _are_different(seeing[0], each):
            first = seeing[0].place.removeprefix("checkpoint: ")
            raise ConfigError(
                f"{each.place}: was trained with other cameras than {first}; evaluate each in a separate command"
            )
    return seeing[0] if seeing else None


def _are_different(one: PolicyCameras, other: PolicyCameras) -> bool:
    if one.cfg != other.cfg or one.calibration.keys() != other.calibration.keys():
        return True
    return any(_differs(one.calibration[name], other.calibration[name]) for name in one.calibration)


def add_policy_cameras(env: MimicEnv, task: Task, cameras: PolicyCameras) -> MimicEnv:
    """Add the pictures of a policy to an env, drawn by cameras with the calibration of its training data.

    Raises:
        ConfigError: the scene does not have a camera, or the engine cannot move it to where it was.
        SimulatorUnavailable: no pictures can be drawn.
    """
    new = {} if hasattr(env, "ray_caster") else _new_cameras(task, cameras)
    seen = cast(CameraEnv, add_cameras(env, task, cameras.cfg, new))
    if not (moved := _moved(seen, cameras)):
        return cast(MimicEnv, seen)
    seen.pictures.close()
    if hasattr(env, "ray_caster"):
        raise ConfigError(
            f"{cameras.place}: camera '{min(moved)}' was elsewhere in the training data, and MuJoCo Warp draws only the "
            "scene's own cameras; use sim=mujoco"
        )
    return add_cameras(env, task, cameras.cfg, {**new, **moved})


def own_env_with_cameras(env: MimicEnv, task: Task, cameras: PolicyCameras) -> MimicEnv:
    """Return `add_policy_cameras` of an env that the caller has created; the env is closed if this fails."""
    with ExitStack() as on_error:
        on_error.callback(env.close)
        seen = add_policy_cameras(env, task, cameras)
        on_error.pop_all()
    return seen


def with_appearance(env: MimicEnv, task: Task, cameras: PolicyCameras, kind: str) -> MimicEnv:
    """An env of `add_policy_cameras` whose episodes have random looks. Closing its pictures leaves `env` open.

    Args:
        kind: a kind of looks, see `KINDS_OF_LOOKS`, or `all`.
    """
    varied = replace(cameras, cfg=replace(cameras.cfg, appearance=[kind]))
    return add_policy_cameras(without_cameras(env), task, varied)


def close_pictures(env: MimicEnv) -> None:
    """Release the pictures of an env of `add_policy_cameras`, but not the env below them."""
    cast(CameraEnv, env).pictures.close()


def _new_cameras(task: Task, cameras: PolicyCameras) -> dict[str, CameraCfg]:
    """Cameras of the training data that were added to the scene (`camera_cfgs`)."""
    known = {*task.cameras, "front", "side", "top", "wrist", *(f"{arm.name}_wrist" for arm in task.arms)}
    return {name: _placed(found) for name, found in cameras.calibration.items() if name not in known}


def _moved(env: Any, cameras: PolicyCameras) -> dict[str, CameraCfg]:
    """Cameras whose pose or field of view differs from that in the training data, with the values of the training data."""
    now = env.env_args()["cameras"]["calibration"]
    return {
        name: _placed(before)
        for name, before in cameras.calibration.items()
        # `check_fits` reports a policy of a different task, whose scene may not have the camera.
        if name in now and _differs(before, now[name])
    }


def _differs(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether two calibrations of a camera differ by more than rounding."""
    return before["frame"] != now["frame"] or any(
        np.abs(np.subtract(before[key], now[key])).max() > _TOLERANCE for key in ("K", "T_frame_camera")
    )


def _placed(calibration: Mapping[str, Any]) -> CameraCfg:
    """Configuration of a camera from its calibration: see docs/vision.md."""
    pose = np.array(calibration["T_frame_camera"], dtype=np.float64)
    focal = float(calibration["K"][1][1])
    fovy = np.degrees(2 * np.arctan(calibration["height"] / (2 * focal)))
    pos, forward, down = pose[:3, 3], pose[:3, 2], pose[:3, 1]
    return CameraCfg(calibration["frame"], pos.tolist(), (pos + forward).tolist(), (-down).tolist(), float(fovy))
