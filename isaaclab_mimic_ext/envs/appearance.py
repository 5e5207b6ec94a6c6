"""Random looks of a scene: light, colors and patterns, and small motions of the cameras. Physics does not change.

A look is a pure function of (seed, number, copy), with the number of a demo, trial or episode.
"""

# K random numbers of a look, H x W pixels of a texture

import colorsys
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext.errors import ConfigError, choices
from isaaclab_mimic_ext.rng import Domain, Draws, Stream
from isaaclab_mimic_ext.task.cameras import KINDS_OF_LOOKS as KINDS
from isaaclab_mimic_ext.task.definition import Task

ALL = "all"
"""Name that stands for all kinds."""
NUM_NUMBERS = 256
"""Random numbers K of a look."""
_ARRAYS = (
    "light_diffuse", "light_pos", "light_dir", "mat_rgba", "geom_rgba", "cam_pos", "cam_quat", "cam_fovy", "tex_data",
)  # fmt: skip
"""Arrays of MuJoCo's model that looks change."""
_HEADLIGHT = ("ambient", "diffuse")
_TEXTURE_SIDE = 64
_AIM = np.array([0.45, 0.0, 0.0])
"""Point on the table that a moved lamp shines at [m]."""
_LAMP_SHIFT = 0.8
"""Largest shift of a lamp along each axis [m]."""
_CAMERA_SHIFT, _HAND_CAMERA_SHIFT = 0.04, 0.01
"""Largest shift of a camera, and of one that moves with a hand or an object, along each axis [m]."""
_CAMERA_TURN = 0.035
"""Largest rotation of a camera about each axis [rad]."""

Numbers = NDArray[np.float64]
"""Uniform random numbers in (0, 1) of a look, (K,)."""


def check_kinds(kinds: Iterable[str], field: str) -> tuple[str, ...]:
    """Kinds of looks, with all of them in the place of `all`, in their fixed order.

    Args:
        field: configuration field of the kinds, for messages.

    Raises:
        ConfigError: a kind is not known.
    """
    given = [*kinds]
    for kind in given:
        if kind not in (*KINDS, ALL):
            raise ConfigError(f"{field}: '{kind}' is not a kind of appearance; {choices(kind, (*KINDS, ALL))}")
    return KINDS if ALL in given else tuple(kind for kind in KINDS if kind in given)


def look_numbers(seed: int, numbers: torch.Tensor, domain: Domain, copy: int = 0) -> NDArray[np.float64]:
    """Random numbers (n, K) of the looks of demos, trials or episodes with these numbers, (n,) int64."""
    draws = Draws(seed, numbers.cpu(), domain)
    return draws.uniform(Stream.APPEARANCE, (NUM_NUMBERS,), step=copy).double().numpy()


def demo_look(seed: int, demo: str, copy: int) -> Numbers:
    """Random numbers (K,) of the look of a copy of a demo. A checksum of its name stands for its number."""
    return look_numbers(seed, torch.tensor([zlib.crc32(demo.encode())]), Domain.GENERATION, copy)[0]


def add_textures(spec: Any) -> None:
    """Give the materials of table and floor that have no texture a white one, which looks replace by patterns."""
    import mujoco

    role = int(mujoco.mjtTextureRole.mjTEXROLE_RGB)
    names = {geom.material for geom in spec.worldbody.geoms if geom.material}
    for material in spec.materials:
        if material.name in names and not material.textures[role]:
            texture = f"look_{material.name}"
            spec.add_texture(
                name=texture, type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
                rgb1=(1.0, 1.0, 1.0), rgb2=(1.0, 1.0, 1.0), width=_TEXTURE_SIDE, height=_TEXTURE_SIDE,
            )  # fmt: skip
            material.textures[role] = texture


class Looks:
    """Changes the looks of a compiled scene in place.

    Args:
        model: `mujoco.MjModel` of the scene, compiled after `add_textures`.
        kinds: kinds of changes, a part of `KINDS`.
        upload: called with the index of each texture that has changed.
    """

    def __init__(self, model: Any, task: Task, kinds: Sequence[str], upload: Callable[[int], None] = lambda texture: None):
        self._model, self._task, self._kinds, self._upload = model, task, kinds, upload
        self._before = {name: getattr(model, name).copy() for name in _ARRAYS}
        self._headlight = {name: getattr(model.vis.headlight, name).copy() for name in _HEADLIGHT}
        self._changes: dict[str, Callable[[_Source], None]] = {
            "light": self._change_light, "color": self._change_color, "table": self._change_table,
            "arm": self._change_arm, "objects": self._change_objects, "camera": self._move_cameras,
        }  # fmt: skip

    def apply(self, numbers: Numbers) -> None:
        """Give the scene the look of random numbers (K,), which does not depend on its present look."""
        self._restore_arrays()
        # Each kind has its own numbers, so that it looks the same with and without the others.
        parts = np.array_split(numbers, len(KINDS))
        for kind, part in zip(KINDS, parts, strict=True):
            if kind in self._kinds:
                self._changes[kind](_Source(part))

    def restore(self) -> None:
        """Give the scene its own look."""
        self._restore_arrays()
        if "table" in self._kinds:
            for texture in self._table_textures():
                self._upload(texture)

    def _restore_arrays(self) -> None:
        for name, values in self._before.items():
            getattr(self._model, name)[:] = values
        for name, values in self._headlight.items():
            getattr(self._model.vis.headlight, name)[:] = values

    def _change_light(self, source: "_Source") -> None:
        """Level of each light from 40 to 140 %, of the ambient light from 50 to 120 %, and places of the lamps."""
        model = self._model
        model.vis.headlight.ambient[:] *= source.between(0.5, 1.2)
        for light in range(model.nlight):
            model.light_diffuse[light] *= source.between(0.4, 1.4)
            model.light_pos[light] += source.vector(_LAMP_SHIFT)
            toward = _AIM - model.light_pos[light]
            model.light_dir[light] = toward / np.linalg.norm(toward)

    def _change_color(self, source: "_Source") -> None:
        """Color of all lights: each channel from 70 to 120 %."""
        tint = np.array([source.between(0.7, 1.2) for _ in range(3)])
        self._model.light_diffuse[:] *= tint
        for name in _HEADLIGHT:
            getattr(self._model.vis.headlight, name)[:] *= tint

    def _change_table(self, source: "_Source") -> None:
        """Colors and patterns of all that does not move: table and floor."""
        model = self._model
        for geom in self._geoms(lambda body: body == 0):
            if int(model.geom_matid[geom]) < 0:
                model.geom_rgba[geom, :3] = source.color()
        for material in self._table_materials():
            model.mat_rgba[material, :3] = source.color()
        for texture in self._table_textures():
            self._draw_pattern(texture, source)
            self._upload(texture)

    def _draw_pattern(self, texture: int, source: "_Source") -> None:
        """Draw waves, checks or spots, with a contrast of up to 50 %."""
        model = self._model
        height, width, channels = (int(getattr(model, f"tex_{name}")[texture]) for name in ("height", "width", "nchannel"))
        y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
        angle, frequency = source.between(0, np.pi), source.between(2, 9)
        along = np.sin(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)) + source.between(0, 6))
        across = np.sin(2 * np.pi * frequency * (y * np.cos(angle) - x * np.sin(angle)) + source.between(0, 6))
        kind = source.between(0, 3)
        pattern = along if kind < 1 else np.sign(along * across) if kind < 2 else np.tanh(3 * (along + across))
        values = 1 - source.between(0.0, 0.5) * (0.5 + 0.5 * pattern)
        start = int(model.tex_adr[texture])
        size = height * width * channels
        model.tex_data[start : start + size] = np.repeat(np.round(255 * values), channels).astype(np.uint8)

    def _change_arm(self, source: "_Source") -> None:
        """Color of the arms: light and dark parts get one color each."""
        light, dark, model = source.color(), source.color(), self._model
        prefixes = tuple(f"{arm.name}/" for arm in self._task.arms)
        for geom in self._geoms(lambda body: model.body(body).name.startswith(prefixes)):
            self._paint(geom, light if self._rgb(geom).mean() > 0.5 else dark)

    def _change_objects(self, source: "_Source") -> None:
        """Colors of each object: hue by up to 18 degrees, saturation and value from 70 to 120 %."""
        for name in self._task.object_names:
            hue, saturation, value = source.between(-0.05, 0.05), source.between(0.7, 1.2), source.between(0.7, 1.2)
            body_id = self._model.body(name).id
            for geom in self._geoms({body_id}.__contains__):
                h, s, v = colorsys.rgb_to_hsv(*self._rgb(geom))
                changed = (h + hue) % 1.0, min(s * saturation, 1.0), min(v * value, 1.0)
                self._paint(geom, np.array(colorsys.hsv_to_rgb(*changed)))

    def _move_cameras(self, source: "_Source") -> None:
        """Places of the cameras by up to 4 cm (at a hand: 1 cm), rotations by up to 2 degrees, fields of view by 4 %."""
        import mujoco

        model = self._model
        for camera in range(model.ncam):
            limit = _CAMERA_SHIFT if int(model.cam_bodyid[camera]) == 0 else _HAND_CAMERA_SHIFT
            model.cam_pos[camera] += source.vector(limit)
            mujoco.mju_quatIntegrate(model.cam_quat[camera], source.vector(_CAMERA_TURN), 1.0)
            model.cam_fovy[camera] *= source.between(0.96, 1.04)

    def _geoms(self, is_chosen: Callable[[int], bool]) -> list[int]:
        """Visible geoms of the chosen bodies."""
        model = self._model
        return [
            geom for geom in range(model.ngeom) if model.geom_group[geom] < 3 and is_chosen(int(model.geom_bodyid[geom]))
        ]

    def _rgb(self, geom: int) -> NDArray[np.float64]:
        material = int(self._model.geom_matid[geom])
        before = self._before["geom_rgba"][geom] if material < 0 else self._before["mat_rgba"][material]
        return np.asarray(before[:3], dtype=np.float64)

    def _paint(self, geom: int, rgb: NDArray[np.float64]) -> None:
        material = int(self._model.geom_matid[geom])
        (self._model.geom_rgba[geom] if material < 0 else self._model.mat_rgba[material])[:3] = rgb

    def _table_materials(self) -> list[int]:
        found = {int(self._model.geom_matid[geom]) for geom in self._geoms(lambda body: body == 0)}
        return sorted(found - {-1})

    def _table_textures(self) -> list[int]:
        found = {int(self._model.mat_texid[material].max()) for material in self._table_materials()}
        return sorted(found - {-1})


class _Source:
    """Takes one random number after the other; begins again at their end."""

    def __init__(self, numbers: Numbers):
        self._numbers, self._index = numbers, 0

    def between(self, low: float, high: float) -> float:
        value = float(self._numbers[self._index % len(self._numbers)])
        self._index += 1
        return low + (high - low) * value

    def vector(self, limit: float) -> NDArray[np.float64]:
        """Vector (3,) with entries of at most `limit`."""
        return np.array([self.between(-limit, limit) for _ in range(3)])

    def color(self) -> NDArray[np.float64]:
        """Color (3,) of any hue."""
        return np.array(colorsys.hsv_to_rgb(self.between(0, 1), self.between(0, 0.7), self.between(0.2, 0.95)))
