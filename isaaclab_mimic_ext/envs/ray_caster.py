"""Pictures of all envs at once, drawn by MuJoCo Warp's ray caster on the device of the simulation."""

# N envs, C cameras, H x W pixels

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import warp as wp
from torch import Tensor

from isaaclab_mimic_ext.envs.graphs import launch_graph, record_graph
from isaaclab_mimic_ext.envs.memory import check_memory
from isaaclab_mimic_ext.envs.mujoco_model import import_mujoco
from isaaclab_mimic_ext.errors import SimulatorUnavailable
from isaaclab_mimic_ext.kernels.pictures import unpack_kernel
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

_VISIBLE_GROUPS = [0, 1, 2]
"""Groups of geoms that MuJoCo draws."""
_RAYS_PER_SIDE = {"policy": 1, "film": 2}
"""Rendering mode -> rays of a pixel in each direction."""
_BYTES_PER_GEOM = 160
"""Memory of a geom in the tree that rays search: its box, and nodes of the tree [bytes]."""
_REMEDY = "use sim=mujoco, or enable_cameras=false and `mimic render` afterwards"


class RayCaster:
    """Draws the pictures of all envs by kernels, in the state that the simulation last wrote to its arrays.

    Args:
        mjw: module `mujoco_warp`.
        model: `mujoco.MjModel` of the scene, with the cameras.
        mjw_model, data: its counterparts on the device, of N worlds.
        cameras: name among the observations -> name in the model.
        size: height and width of a picture [pixels].
        mode: one of `RENDERING_MODES`.

    Attributes:
        name: name and version of the renderer.

    Raises:
        ConfigError: the pictures do not fit into the memory of the device.
        SimulatorUnavailable: MuJoCo Warp cannot draw the scene.
    """

    def __init__(
        self,
        mjw: Any,
        model: Any,
        mjw_model: Any,
        data: Any,
        device: torch.device,
        cameras: Mapping[str, str],
        size: tuple[int, int],
        mode: str,
    ):
        check_can_draw(model)
        self._mjw, self._mjw_model, self._data, self._device = mjw, mjw_model, data, device
        self._cameras = tuple(cameras)
        self.name = f"MuJoCo Warp {mjw.__version__}, ray caster"
        height, width = size
        num_pixels, rays = len(cameras) * height * width, _RAYS_PER_SIDE[mode]
        num_bytes = _bytes_per_env(model, num_pixels, rays)
        check_memory(data.nworld, num_bytes, "the pictures of a step", device)
        log.info(
            "MuJoCo Warp's ray caster: %s of %dx%d pixels per env, %.1f MB for %s",
            counted(len(cameras), "picture"), width, height, data.nworld * num_bytes / 1e6,
            counted(data.nworld, "env", "envs"),
        )  # fmt: skip
        self._pictures = torch.zeros(data.nworld, num_pixels, 3, dtype=torch.uint8, device=device)
        self._views = self._pictures.view(data.nworld, len(cameras), height, width, 3).unbind(1)
        self._compile(model, list(cameras.values()), (width, height), rays)

    def _compile(self, model: Any, names: list[str], resolution: tuple[int, int], rays: int) -> None:
        """Compile the kernels by drawing once, then record them as a graph."""
        start = time.perf_counter()
        log.info("Loading the kernels of the ray caster; the first time on a machine, compiling them takes a minute")
        wp_device = wp.device_from_torch(self._device)
        wp.synchronize_device(wp_device)
        with wp.ScopedDevice(wp_device):
            try:
                self._context = self._mjw.create_render_context(
                    model, nworld=self._data.nworld, cam_res=resolution, render_rgb=True, render_depth=False,
                    render_seg=False, cam_active=names, render_skybox=True, enabled_geom_groups=_VISIBLE_GROUPS,
                    samples_per_pixel=rays,
                )  # fmt: skip
            except (NotImplementedError, ValueError) as error:
                raise SimulatorUnavailable(
                    f"enable_cameras: MuJoCo Warp's ray caster cannot draw the scene: {error}; {_REMEDY}"
                ) from error
        self._run()
        self._graph = record_graph(self._run, self._device)
        log.info("Ray caster ready after %.0f s", time.perf_counter() - start)

    def _run(self) -> None:
        """Launch the kernels: poses of cameras and lights, the tree that rays search, colors, and their bytes."""
        with wp.ScopedDevice(wp.device_from_torch(self._device)):
            self._mjw.camlight(self._mjw_model, self._data)
            self._mjw.refit_bvh(self._mjw_model, self._data, self._context)
            self._mjw.render(self._mjw_model, self._data, self._context)
            wp.launch(
                unpack_kernel,
                dim=self._pictures.shape[:2],
                inputs=[self._context.rgb_data],
                outputs=[wp.from_torch(self._pictures)],
            )

    def draw(self) -> dict[str, Tensor]:
        """Draw the current scenes, camera -> (N, H, W, 3) uint8. Valid until the next call; the host does not wait."""
        launch_graph(self._graph, self._device)
        return dict(zip(self._cameras, self._views, strict=True))

    def close(self) -> None:
        """Release the memory of the pictures. A second call has no effect."""
        wp.synchronize_device(wp.device_from_torch(self._device))
        self._graph = self._context = None


def _bytes_per_env(model: Any, num_pixels: int, rays: int) -> int:
    """Memory of an env's pictures: packed colors, sums of several rays, bytes, and the tree of geoms [bytes]."""
    num_geoms = sum(int(group) in _VISIBLE_GROUPS for group in model.geom_group)
    return num_pixels * (4 + 3 + (12 if rays > 1 else 0)) + num_geoms * _BYTES_PER_GEOM


def check_can_draw(model: Any) -> None:
    """Check that the ray caster can draw a scene.

    Raises:
        SimulatorUnavailable: the scene has elements that would be drawn wrong.
    """
    for fault in _faults(model):
        raise SimulatorUnavailable(f"enable_cameras: MuJoCo Warp's ray caster cannot draw {fault}; {_REMEDY}")


def _faults(model: Any) -> Iterator[str]:
    """Parts of a scene that the ray caster would draw wrong or leave out."""
    mujoco = import_mujoco()
    role = mujoco.mjtTextureRole.mjTEXROLE_RGB
    for material in range(model.nmat):
        texture = int(model.mat_texid[material, role])
        if texture >= 0 and model.tex_type[texture] != mujoco.mjtTexture.mjTEXTURE_2D:
            yield f"material '{model.material(material).name}', whose texture is not two-dimensional"
    for geom in range(model.ngeom):
        material = int(model.geom_matid[geom])
        alpha = float(model.geom_rgba[geom, 3] if material < 0 else model.mat_rgba[material, 3])
        if int(model.geom_group[geom]) in _VISIBLE_GROUPS and 0 < alpha < 1:
            body = model.body(int(model.geom_bodyid[geom])).name
            yield f"a transparent geom of body '{body}' (alpha {alpha:g})"
    if model.nskin:
        yield f"skin '{model.skin(0).name}'"
