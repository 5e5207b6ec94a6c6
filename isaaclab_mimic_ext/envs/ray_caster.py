"""Pictures of all envs at once, drawn by MuJoCo Warp's ray caster on the device of the simulation."""

# N envs, C cameras, H x W pixels

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import warp as wp
from torch import Tensor

from isaaclab_mimic_ext.envs.graphs import launch_graph, record_graph
from isaaclab_mimic_ext.envs.memory import check_memory
from isaaclab_mimic_ext.envs.modalities import Segments, picture_names
from isaaclab_mimic_ext.envs.mujoco_model import import_mujoco
from isaaclab_mimic_ext.errors import SimulatorUnavailable
from isaaclab_mimic_ext.kernels.pictures import depth_kernel, segment_kernel, unpack_kernel
from isaaclab_mimic_ext.task.cameras import DEPTH, RGB, SEGMENTATION
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

_VISIBLE_GROUPS = [0, 1, 2]
"""Groups of geoms that MuJoCo draws."""
_RAYS_PER_SIDE = {"policy": 1, "film": 2}
"""Rendering mode -> rays of a pixel in each direction."""
_CHANNELS: dict[str, tuple[int, ...]] = {RGB: (3,), DEPTH: (), SEGMENTATION: ()}
_DTYPES = {RGB: torch.uint8, DEPTH: torch.float32, SEGMENTATION: torch.uint8}
_BYTES_PER_PIXEL = {RGB: 4 + 3, DEPTH: 4 + 4, SEGMENTATION: 8 + 1}
"""Memory of a pixel: value of the ray caster, and of the picture [bytes]."""
_BYTES_PER_GEOM = 160
"""Memory of a geom in the tree that rays search: its box, and nodes of the tree [bytes]."""
_REMEDY = "use sim=mujoco, or enable_cameras=false and `mimic render` afterwards"


@dataclass(frozen=True)
class RayCastScene:
    """Scene of N worlds on a device, and its elements.

    Attributes:
        mjw: module `mujoco_warp`.
        model: `mujoco.MjModel` of the scene, with the cameras.
        mjw_model, data: its counterparts on the device, of N worlds.
        segments: segments of the geoms of the model.
    """

    mjw: Any
    model: Any
    mjw_model: Any
    data: Any
    segments: Segments


class RayCaster:
    """Draws the pictures of all envs by kernels, in the state that the simulation last wrote to its arrays.

    Args:
        cameras: name among the observations -> name in the model.
        size: height and width of a picture [pixels].
        mode: one of `RENDERING_MODES`.
        modalities: some of `MODALITIES`; see `Renderer.pictures`. Depth and segmentation are those at the pixels' centers.

    Attributes:
        name: name and version of the renderer.

    Raises:
        ConfigError: the pictures do not fit into the memory of the device.
        SimulatorUnavailable: MuJoCo Warp cannot draw the scene.
    """

    def __init__(
        self,
        scene: RayCastScene,
        device: torch.device,
        cameras: Mapping[str, str],
        size: tuple[int, int],
        mode: str,
        modalities: Sequence[str] = (RGB,),
    ):
        check_can_draw(scene.model)
        self._scene, self._device, self._modalities = scene, device, tuple(modalities)
        self.name = f"MuJoCo Warp {scene.mjw.__version__}, ray caster"
        num_envs, (height, width) = scene.data.nworld, size
        num_pixels, rays = len(cameras) * height * width, _RAYS_PER_SIDE[mode]
        num_bytes = _bytes_per_env(scene.model, num_pixels, rays, modalities)
        check_memory(num_envs, num_bytes, "the pictures of a step", device)
        names = picture_names(cameras, modalities)
        log.info(
            "MuJoCo Warp's ray caster: %s of %dx%d pixels per env, %.1f MB for %s",
            counted(len(names), "picture"), width, height, num_envs * num_bytes / 1e6, counted(num_envs, "env", "envs"),
        )  # fmt: skip
        self._pictures = {
            kind: torch.zeros(num_envs, num_pixels, *_CHANNELS[kind], dtype=_DTYPES[kind], device=device)
            for kind in modalities
        }
        views = {
            kind: pictures.view(num_envs, len(cameras), height, width, -1).unbind(1)
            for kind, pictures in self._pictures.items()
        }
        columns = {name: index for index, name in enumerate(cameras)}
        self._views = {observation: views[kind][columns[name]] for (name, kind), observation in names.items()}
        self._segment_of_geom = torch.from_numpy(scene.segments.of_geom).to(device)
        self._far = float(scene.model.vis.map.zfar * scene.model.stat.extent)
        self._compile(list(cameras.values()), (width, height), rays)

    def _compile(self, names: list[str], resolution: tuple[int, int], rays: int) -> None:
        """Compile the kernels by drawing once, then record them as a graph."""
        start = time.perf_counter()
        log.info("Loading the kernels of the ray caster; the first time on a machine, compiling them takes a minute")
        wp_device = wp.device_from_torch(self._device)
        wp.synchronize_device(wp_device)
        passes = [(self._modalities, 1)]
        if rays > 1:
            # Of several rays, MuJoCo Warp would measure depth with the first one, which misses the center of the pixel.
            colors, measured = ([kind for kind in self._modalities if (kind == RGB) is is_rgb] for is_rgb in (True, False))
            passes = [(tuple(colors), rays), (tuple(measured), 1)]
        with wp.ScopedDevice(wp_device):
            self._contexts = [(kinds, self._context(names, resolution, kinds, rays)) for kinds, rays in passes if kinds]
        self._run()
        self._graph = record_graph(self._run, self._device)
        log.info("Ray caster ready after %.0f s", time.perf_counter() - start)

    def _context(self, names: list[str], resolution: tuple[int, int], kinds: Sequence[str], rays: int) -> Any:
        try:
            return self._scene.mjw.create_render_context(
                self._scene.model, nworld=self._scene.data.nworld, cam_res=resolution, render_rgb=RGB in kinds,
                render_depth=DEPTH in kinds, render_seg=SEGMENTATION in kinds, cam_active=names, render_skybox=True,
                enabled_geom_groups=_VISIBLE_GROUPS, samples_per_pixel=rays,
            )  # fmt: skip
        except (NotImplementedError, ValueError) as error:
            raise SimulatorUnavailable(
                f"enable_cameras: MuJoCo Warp's ray caster cannot draw the scene: {error}; {_REMEDY}"
            ) from error

    def _run(self) -> None:
        """Launch the kernels: poses of cameras and lights, the tree that rays search, and the values of the pixels."""
        mjw, model, data = self._scene.mjw, self._scene.mjw_model, self._scene.data
        with wp.ScopedDevice(wp.device_from_torch(self._device)):
            mjw.camlight(model, data)
            for kinds, context in self._contexts:
                mjw.refit_bvh(model, data, context)
                mjw.render(model, data, context)
                self._copy(kinds, context)

    def _copy(self, kinds: Sequence[str], context: Any) -> None:
        """Launch the kernels that write the values of the ray caster to the pictures."""
        sources: dict[str, tuple[Any, list[Any]]] = {
            RGB: (unpack_kernel, [context.rgb_data]),
            DEPTH: (depth_kernel, [context.depth_data, self._far]),
            SEGMENTATION: (segment_kernel, [context.seg_data, wp.from_torch(self._segment_of_geom)]),
        }
        for kind in kinds:
            kernel, inputs = sources[kind]
            pictures = self._pictures[kind]
            wp.launch(kernel, dim=pictures.shape[:2], inputs=inputs, outputs=[wp.from_torch(pictures)])

    def draw(self) -> dict[str, Tensor]:
        """Draw the current scenes, name of the observation -> (N, H, W, ...). Valid until the next call; does not wait."""
        launch_graph(self._graph, self._device)
        return dict(self._views)

    def close(self) -> None:
        """Release the memory of the pictures. A second call has no effect."""
        wp.synchronize_device(wp.device_from_torch(self._device))
        self._graph, self._contexts = None, []


def _bytes_per_env(model: Any, num_pixels: int, rays: int, modalities: Sequence[str]) -> int:
    """Memory of an env's pictures: values of the ray caster, sums of several rays, pictures, trees of geoms [bytes]."""
    num_geoms = sum(int(group) in _VISIBLE_GROUPS for group in model.geom_group)
    num_trees = 1 if rays == 1 else (RGB in modalities) + ({*modalities} != {RGB})
    per_pixel = sum(_BYTES_PER_PIXEL[kind] for kind in modalities) + (12 if rays > 1 and RGB in modalities else 0)
    return num_pixels * per_pixel + num_trees * num_geoms * _BYTES_PER_GEOM


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
