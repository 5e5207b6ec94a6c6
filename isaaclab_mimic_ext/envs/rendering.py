"""Pictures of states, rendered off screen by MuJoCo, also for states of other engines."""

# N envs, E arms, O objects, J = 9 joints of an arm, H x W pixels

import ctypes
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from types import TracebackType
from typing import Any

import numpy as np

from isaaclab_mimic_ext.envs.appearance import Looks, Numbers
from isaaclab_mimic_ext.envs.base import NestedTensors
from isaaclab_mimic_ext.envs.modalities import picture_names, segments
from isaaclab_mimic_ext.envs.mujoco_model import import_mujoco
from isaaclab_mimic_ext.envs.posed_scene import PosedScene
from isaaclab_mimic_ext.envs.views import View
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable, choices
from isaaclab_mimic_ext.task.cameras import DEPTH, RGB, CameraCfg
from isaaclab_mimic_ext.task.definition import Task

_REMEDY = "install libegl1 and its driver, or libosmesa6 (Debian: apt-get install libosmesa6), and unset MUJOCO_GL"

_MAX_GEOMS = 1000


class Renderer:
    """Renders pictures of single scenes. A context manager, because its OpenGL context must be released.

    Args:
        width, height: size of the picture [pixels].
        camera: name of one of the scene's cameras, or a free camera.
        shadows: draw shadows and reflections. Without them, and without a GPU, a picture takes one fifth of the time.
        mode: `film`, or `policy`: without smoothed edges, and with coarser round shapes. Without a GPU, a picture of 84x84
            takes less than a quarter of the time.
        cameras: values that replace those of the cameras of the scene and of the task, and further cameras.
        size_field: configuration field of the size, for messages.
        looks: kinds of random looks that `set_look` draws.

    Attributes:
        name: name and version of MuJoCo and of the OpenGL implementation. Others may draw slightly different pictures.

    Raises:
        ConfigError: the scene has no such camera, or the picture is larger than the frame buffer of the scene.
        SimulatorUnavailable: MuJoCo is not installed, or no OpenGL backend works.
    """

    def __init__(
        self,
        task: Task,
        width: int = 640,
        height: int = 480,
        camera: str | View = "front",
        shadows: bool = True,
        mode: str = "film",
        cameras: Mapping[str, CameraCfg] | None = None,
        size_field: str = "size",
        looks: Sequence[str] = (),
    ):
        self._mujoco = import_mujoco()
        self.task = task
        self.camera = camera
        self._scene = PosedScene(task, cameras, has_looks=bool(looks))
        self.model, self._data = self._scene.model, self._scene.data
        self._check(width, height, size_field)
        self._size = (height, width)
        if mode == "policy":
            quality = self.model.vis.quality
            quality.offsamples, quality.numslices, quality.numstacks = 0, 16, 8
        self._context = make_gl_context(width, height)
        self.name = f"MuJoCo {self._mujoco.__version__}, {_opengl_name()}"
        self._drawing = self._mujoco.MjrContext(self.model, self._mujoco.mjtFontScale.mjFONTSCALE_100)
        self._picture = self._mujoco.MjvScene(self.model, maxgeom=_MAX_GEOMS)
        for flag in (self._mujoco.mjtRndFlag.mjRND_SHADOW, self._mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._picture.flags[flag] = shadows
        self._drawing.readDepthMap = self._mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._segments = segments(self.model, task)
        self._view = self._mujoco.MjvCamera()
        self._looks = Looks(self.model, task, looks, self._upload_texture) if looks else None

    def _check(self, width: int, height: int, size_field: str) -> None:
        cameras = [self.model.camera(index).name for index in range(self.model.ncam)]
        if isinstance(self.camera, str) and self.camera not in cameras:
            raise ConfigError(f"camera: '{self.camera}' is not in the scene; {choices(self.camera, cameras)}")
        limit = self.model.vis.global_
        if not (0 < width <= limit.offwidth and 0 < height <= limit.offheight):
            raise ConfigError(
                f"{size_field}: must be from 1 x 1 to {limit.offwidth} x {limit.offheight} pixels, width x height "
                f"(got {width} x {height})"
            )

    def frame(self, state: NestedTensors) -> np.ndarray:
        """Picture of one scene, uint8 (H, W, 3), from a state in the layout of `get_state` without the leading axis."""
        return self.frames(state, [self.camera])[0]

    def frames(self, state: NestedTensors, cameras: Iterable[str | View]) -> list[np.ndarray]:
        """Pictures of one scene from several cameras, uint8 (H, W, 3) each; `state` as in `frame`."""
        self._scene.set_state(state)
        return [self._draw(camera) for camera in cameras]

    def set_look(self, numbers: Numbers | None) -> None:
        """Give the next pictures the look of random numbers (K,), see `look_numbers`; None: the scene's own look."""
        if self._looks is not None:
            self._context.make_current()
            self._looks.restore() if numbers is None else self._looks.apply(numbers)

    def _upload_texture(self, texture: int) -> None:
        self._mujoco.mjr_uploadTexture(self.model, self._drawing, texture)

    def pictures(
        self, state: NestedTensors, cameras: Mapping[str, str], modalities: Sequence[str] = (RGB,)
    ) -> dict[str, np.ndarray]:
        """Pictures of one scene by the name of their observation; `state` as in `frame`.

        Colors are uint8 (H, W, 3); depth is float32 (H, W, 1), the distance along the axis of the camera [m], `far` where
        nothing is hit; segmentation is uint8 (H, W, 1), a number of `segments`.

        Args:
            cameras: see `choose_cameras`.
        """
        self._scene.set_state(state)
        drawn = {}
        for (name, kind), observation in picture_names(cameras, modalities).items():
            drawn[observation] = self._draw(cameras[name]) if kind == RGB else self._measure(cameras[name], kind)
        return drawn

    def eef_position(self, arm_name: str) -> np.ndarray:
        """Position of an arm's end effector in the last picture, (3,), env frame [m]."""
        return self._data.site(f"{arm_name}/eef").xpos.copy()

    def object_colors(self) -> dict[str, tuple[int, int, int]]:
        """Color of each object, RGB from 0 to 255: that of its largest visible part, where vivid parts count more."""
        from isaaclab_mimic_ext.envs.panda.mjcf import COLLISION_GROUP

        model, colors = self.model, {}
        for name in self.task.object_names:
            body = model.body(name)
            geoms = range(body.geomadr[0], body.geomadr[0] + body.geomnum[0])
            visible = [geom for geom in geoms if model.geom_group[geom] != COLLISION_GROUP] or list(geoms)
            most = max((_color(model, geom) for geom in visible), key=lambda rgb_weight: rgb_weight[1])
            colors[name] = most[0]
        return colors

    def _draw(self, camera: str | View) -> np.ndarray:
        return self._read(camera, depth=False)

    def _read(self, camera: str | View, depth: bool) -> np.ndarray:
        """Draw a picture and read its colors, (H, W, 3) uint8, or its depth buffer, (H, W) float32: 1 near, 0 far."""
        self._aim(camera)
        mujoco, (height, width) = self._mujoco, self._size
        self._context.make_current()
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._drawing)
        options, everything = mujoco.MjvOption(), mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self.model, self._data, options, None, self._view, everything, self._picture)
        viewport = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(viewport, self._picture, self._drawing)
        pixels = np.empty((height, width), np.float32) if depth else np.empty((height, width, 3), np.uint8)
        mujoco.mjr_readPixels(*((None, pixels) if depth else (pixels, None)), viewport, self._drawing)
        return np.ascontiguousarray(pixels[::-1])

    def _measure(self, camera: str | View, kind: str) -> np.ndarray:
        """Depth or segmentation of a picture, (H, W, 1), see `pictures`."""
        flags = [int(self._mujoco.mjtRndFlag.mjRND_SEGMENT), int(self._mujoco.mjtRndFlag.mjRND_IDCOLOR)]
        self._picture.flags[flags] = True  # One color per geom, without lights and smoothed edges.
        try:
            return (self._depth(camera) if kind == DEPTH else self._segmentation(camera))[..., None]
        finally:
            self._picture.flags[flags] = False

    def _depth(self, camera: str | View) -> np.ndarray:
        near, far = (value * self.model.stat.extent for value in (self.model.vis.map.znear, self.model.vis.map.zfar))
        # The buffer is linear in the reciprocal of the depth.
        inverse = 1 / far + self._read(camera, depth=True).astype(np.float64) * (1 / near - 1 / far)
        return (1 / inverse).astype(np.float32)

    def _segmentation(self, camera: str | View) -> np.ndarray:
        numbers = self._read(camera, depth=False).astype(np.int64) @ (1, 2**8, 2**16)
        segment_of = np.zeros(self._picture.ngeom + 1, np.uint8)
        for geom in self._picture.geoms[: self._picture.ngeom]:
            if geom.segid >= 0 and geom.objtype == self._mujoco.mjtObj.mjOBJ_GEOM:
                segment_of[geom.segid + 1] = self._segments.of_geom[geom.objid]
        return segment_of[numbers]

    def _aim(self, camera: str | View) -> None:
        view, kinds = self._view, self._mujoco.mjtCamera
        if isinstance(camera, str):
            view.type, view.fixedcamid = kinds.mjCAMERA_FIXED, self.model.camera(camera).id
            return
        view.type, view.fixedcamid = kinds.mjCAMERA_FREE, -1
        view.lookat[:] = camera.center
        view.distance, view.azimuth, view.elevation = camera.distance, camera.azimuth, camera.elevation

    def close(self) -> None:
        """Release the OpenGL context. A second call has no effect."""
        if self._context is not None:
            self._context.make_current()
            self._drawing.free()
            self._context.free()
            self._context = None

    def __enter__(self) -> "Renderer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _color(model: Any, geom: int) -> tuple[tuple[int, int, int], float]:
    """Color of a geom, RGB from 0 to 255, and its weight: its size, times the distance of the color from gray."""
    material = int(model.geom_matid[geom])
    red, green, blue, _ = (float(value) for value in (model.geom_rgba[geom] if material < 0 else model.mat_rgba[material]))
    vividness = 0.15 + max(red, green, blue) - min(red, green, blue)
    return (round(255 * red), round(255 * green), round(255 * blue)), float(model.geom_rbound[geom]) * vividness


def make_gl_context(width: int, height: int) -> Any:
    """Create an off-screen OpenGL context, on the backend `MUJOCO_GL`, else EGL if it has a device, else OSMesa.

    MuJoCo selects its own backend at the first import, which can be long before the first picture.

    Args:
        width, height: size of the frame buffer [pixels].

    Raises:
        SimulatorUnavailable: no context can be created.
    """
    logging.getLogger("OpenGL").setLevel(logging.WARNING)  # PyOpenGL logs at INFO which optional packages are missing.
    backend = os.environ.get("MUJOCO_GL", "").lower() or _find_backend()
    try:
        context = import_module(f"mujoco.{backend}").GLContext(width, height)
        context.make_current()
        if backend == "glfw" and not context._context:  # GLFW only warns; rendering would crash the process.
            raise RuntimeError("display not found")
    except Exception as error:  # The bindings raise many types of errors.
        raise SimulatorUnavailable(f"MUJOCO_GL={backend}: pictures cannot be rendered: {error}; {_REMEDY}") from error
    return context


def _opengl_name() -> str:
    """Name and version of the OpenGL implementation of the current context."""
    try:
        GL = import_module("OpenGL.GL")
        return ", ".join(GL.glGetString(name).decode() for name in (GL.GL_RENDERER, GL.GL_VERSION))
    except Exception:  # PyOpenGL is not needed on all platforms, and raises many types of errors.
        return "OpenGL"


def _find_backend() -> str:
    if sys.platform != "linux":
        return "cgl" if sys.platform == "darwin" else "glfw"
    if _egl_has_device():
        return "egl"
    if _load("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so"):
        return "osmesa"
    raise SimulatorUnavailable(f"MUJOCO_GL: pictures cannot be rendered: EGL and OSMesa not found; {_REMEDY}")


def _egl_has_device() -> bool:
    library = _load("libEGL.so.1", "libEGL.so")
    if library is None:
        return False
    library.eglGetProcAddress.restype = ctypes.c_void_p
    address = library.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not address:
        return False
    query = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))(address)
    count = ctypes.c_int(0)
    return bool(query(0, None, ctypes.byref(count))) and count.value > 0


def _load(*names: str) -> ctypes.CDLL | None:
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None
