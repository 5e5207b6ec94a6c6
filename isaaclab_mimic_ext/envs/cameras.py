"""Cameras of a task's scene in MuJoCo: their names, their poses from the configuration, and their calibration."""

# H x W pixels

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isaaclab_mimic_ext.envs.modalities import segments
from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.task.cameras import ENV_FRAME, RGB, SEGMENTATION, CameraCfg, intrinsics, look_at
from isaaclab_mimic_ext.task.definition import Task

WRIST = "wrist"
"""Name that stands for the cameras at the hands of all arms."""
_FLIP = np.diag((1.0, -1.0, -1.0))
"""Rotation between OpenCV's axes of a camera (x right, y down, z forward) and MuJoCo's (x right, y up, z backward)."""


def merged_cameras(task: Task, given: Mapping[str, CameraCfg]) -> dict[str, CameraCfg]:
    """Return the cameras of a task with the values of `given`, and the new cameras of `given`."""
    return {**task.cameras, **{name: task.cameras.get(name, CameraCfg()).merged(cfg) for name, cfg in given.items()}}


def add_cameras_to_spec(spec: Any, task: Task, cameras: Mapping[str, CameraCfg]) -> None:
    """Add the cameras that a scene does not have yet. `pose_cameras` sets their poses after the compilation.

    Raises:
        ConfigError: a new camera has no pose, or its name is not valid.
    """
    for name, cfg in cameras.items():
        if spec.camera(_model_name(task, name)) is None:
            if "/" in name:
                raise ConfigError(f"camera_cfgs.{name}: the name of a new camera must not contain '/'; use another name")
            if cfg.pos is None or cfg.target is None:
                raise ConfigError(f"camera_cfgs.{name}: is not a camera of the scene; set pos and target to add one")
            spec.worldbody.add_camera(name=name)


def pose_cameras(model: Any, task: Task, cameras: Mapping[str, CameraCfg]) -> None:
    """Set the poses and fields of view of cameras in a compiled model.

    Raises:
        ConfigError: a value is not valid, or the scene does not have a frame.
    """
    for name, cfg in cameras.items():
        place, index = f"camera_cfgs.{name}", model.camera(_model_name(task, name)).id
        if cfg.fovy is not None:
            model.cam_fovy[index] = cfg.fovy
        if cfg.pos is not None and cfg.target is not None:
            _set_pose(model, task, index, cfg, place)
        elif any(value is not None for value in (cfg.pos, cfg.target, cfg.up, cfg.frame)):
            raise ConfigError(f"{place}: a new pose requires pos and target; set both")


def _set_pose(model: Any, task: Task, index: int, cfg: CameraCfg, place: str) -> None:
    pos, target, up = (np.array(value, dtype=np.float64) for value in (cfg.pos, cfg.target, cfg.up or (0.0, 0.0, 1.0)))
    if np.linalg.norm(target - pos) < 1e-6:
        raise ConfigError(f"{place}.target: must differ from pos (got {cfg.target}); use the point in the picture's center")
    if np.linalg.norm(np.cross(target - pos, up)) < 1e-6:
        raise ConfigError(f"{place}.up: must not be parallel to the direction from pos to target; use another direction")
    body, T_body_frame = _frames(model, task)[_known_frame(model, task, cfg.frame, place)]
    T_frame_camera = _pose(look_at(pos, target, up) @ _FLIP, pos)
    model.cam_bodyid[index] = body
    model.cam_pos[index], model.cam_quat[index] = _pos_quat(T_body_frame @ T_frame_camera)


def _known_frame(model: Any, task: Task, frame: str | None, place: str) -> str:
    frames = _frames(model, task)
    if (name := frame or ENV_FRAME) not in frames:
        raise ConfigError(f"{place}.frame: '{name}' is not in the scene; {choices(name, frames)}")
    return name


def _frames(model: Any, task: Task) -> dict[str, tuple[int, NDArray[np.float64]]]:
    """Frames that a camera can move with: name -> id of the body, and pose (4, 4) of the frame in the body's frame [m]."""
    frames = {ENV_FRAME: (0, np.eye(4))}
    for arm in task.arms:
        site = model.site(f"{arm.name}/eef").id
        pose = _pose(_matrix(model.site_quat[site]), model.site_pos[site])
        frames[arm.eef_name] = (int(model.site_bodyid[site]), pose)
    return frames | {name: (model.body(name).id, np.eye(4)) for name in task.object_names}


def camera_names(model: Any, task: Task) -> dict[str, str]:
    """Cameras of a scene: name among the observations -> name in the model."""
    wrists = {model_name: name for name, model_name in _wrists(task).items()}
    found = [model.camera(index).name for index in range(model.ncam)]
    return {wrists.get(name, name): name for name in found}


def choose_cameras(model: Any, task: Task, names: Sequence[str], field: str = "cameras") -> dict[str, str]:
    """Return the chosen cameras, as `camera_names` does; `wrist` is the camera at the hand, with several arms all of them.

    Args:
        field: configuration field of the names, for messages.

    Raises:
        ConfigError: the scene does not have a camera, or none is chosen.
    """
    known, wrists = camera_names(model, task), _wrists(task)
    expanded = [each for name in names for each in (wrists if name == WRIST else (name,))]
    for name in expanded:
        if name not in known:
            raise ConfigError(f"{field}: '{name}' is not in the scene of task '{task.name}'; {choices(name, known)}")
    if not expanded:
        raise ConfigError(f"{field}: must name at least one camera; choices: {', '.join(known)}")
    return {name: known[name] for name in expanded}


def _wrists(task: Task) -> dict[str, str]:
    """Cameras at the hands: name among the observations -> name in the model."""
    is_single = len(task.arms) == 1
    return {WRIST if is_single else f"{arm.name}_{WRIST}": f"{arm.name}/{WRIST}" for arm in task.arms}


def _model_name(task: Task, name: str) -> str:
    return _wrists(task).get(name, name)


def description(
    model: Any,
    task: Task,
    cameras: Mapping[str, str],
    size: tuple[int, int],
    renderer: str,
    rendering_mode: str,
    modalities: Sequence[str] = (RGB,),
) -> dict[str, Any]:
    """Description of pictures, as written to datasets (entry `cameras` of `env_args`).

    Args:
        cameras: see `choose_cameras`.
        size: height and width of a picture [pixels].
        renderer: name and version of the renderer.
        modalities: see `MODALITIES`.
    """
    of_segments = {"segments": list(segments(model, task).names)} if SEGMENTATION in modalities else {}
    return {
        "names": list(cameras),
        "height": size[0],
        "width": size[1],
        "renderer": renderer,
        "rendering_mode": rendering_mode,
        "modalities": list(modalities),
        **of_segments,
        "calibration": {name: calibration(model, task, in_model, *size) for name, in_model in cameras.items()},
    }


def calibration(model: Any, task: Task, name_in_model: str, height: int, width: int) -> dict[str, Any]:
    """Calibration of a camera, as written to datasets: see docs/vision.md.

    Returns:
        `height`, `width` [pixels]; `K`, the intrinsics (3, 3) [pixels]; `frame`, the name of the frame that the camera
        moves with; `T_frame_camera`, the pose (4, 4) of the camera in this frame [m], x right, y down, z forward; `near`
        and `far`, the distances of the clipping planes [m].
    """
    index = model.camera(name_in_model).id
    body = int(model.cam_bodyid[index])
    T_body_camera = _pose(_matrix(model.cam_quat[index]) @ _FLIP, model.cam_pos[index])
    of_body = ((name, pose) for name, (frame_body, pose) in _frames(model, task).items() if frame_body == body)
    frame, T_body_frame = next(of_body, (model.body(body).name, np.eye(4)))
    depth_range = model.vis.map.znear * model.stat.extent, model.vis.map.zfar * model.stat.extent
    return {
        "height": height,
        "width": width,
        "K": intrinsics(float(model.cam_fovy[index]), height, width).tolist(),
        "frame": frame,
        "T_frame_camera": (np.linalg.inv(T_body_frame) @ T_body_camera).tolist(),
        "near": float(depth_range[0]),
        "far": float(depth_range[1]),
    }


def _pose(rotation: NDArray[np.float64], pos: NDArray[np.float64]) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, pos
    return pose


def _matrix(quat_wxyz: NDArray[np.float64]) -> NDArray[np.float64]:
    from isaaclab_mimic_ext.envs.mujoco_model import import_mujoco

    matrix = np.empty(9)
    import_mujoco().mju_quat2Mat(matrix, quat_wxyz)
    return matrix.reshape(3, 3)


def _pos_quat(pose: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from isaaclab_mimic_ext.envs.mujoco_model import import_mujoco

    quat_wxyz = np.empty(4)
    import_mujoco().mju_mat2Quat(quat_wxyz, pose[:3, :3].ravel())
    return pose[:3, 3], quat_wxyz
