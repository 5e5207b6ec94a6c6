"""Pictures of MuJoCo Warp's ray caster, compared with those of OpenGL; scenes that it refuses."""

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import warp as wp

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.config.cameras import CamerasCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.envs import memory
from isaaclab_mimic_ext.envs.camera_observations import CameraEnv, add_cameras
from isaaclab_mimic_ext.envs.cameras import WRIST
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.modalities import Segments
from isaaclab_mimic_ext.envs.rendering import Renderer
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable
from isaaclab_mimic_ext.kernels import launch
from isaaclab_mimic_ext.kernels.pictures import depth_kernel, segment_kernel
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.cameras import MODALITIES
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires
from tests.integration.test_host_reads import ReadCalls, ReadOperations

TASK = load_task("desktop_organizer")
CAMERAS = {"agentview": "agentview", WRIST: "robot/wrist"}
SIZE, NUM_ENVS = 84, 2
EVERY_ENV = torch.arange(NUM_ENVS)


@pytest.fixture(scope="module")
def env() -> Iterator[Any]:
    requires.module("mujoco_warp", "mujoco_warp")
    env = add_cameras(make_env(TASK, "mujoco_warp", num_envs=NUM_ENVS), TASK)
    env.reset(EVERY_ENV, Draws(3, EVERY_ENV))
    yield env
    env.close()


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with requires.available("opengl", SimulatorUnavailable):
        opened = Renderer(TASK, SIZE, SIZE, shadows=False)
    with opened:
        yield opened


@pytest.fixture(scope="module", params=["policy", pytest.param("film", marks=pytest.mark.slow)])
def measured(
    request: pytest.FixtureRequest,
) -> Iterator[tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]], dict[str, Any]]]:
    """Pictures of all modalities: of the ray caster, (N, ...), and of OpenGL for each env; description of the cameras."""
    requires.module("mujoco_warp", "mujoco_warp")
    cfg = CamerasCfg(rendering_mode=request.param, modalities=list(MODALITIES))
    env: Any = add_cameras(make_env(TASK, "mujoco_warp", num_envs=NUM_ENVS), TASK, cfg)
    env.reset(EVERY_ENV, Draws(3, EVERY_ENV))
    with requires.available("opengl", SimulatorUnavailable):
        opened = Renderer(TASK, SIZE, SIZE, shadows=False, mode=request.param)
    with opened:
        states = [trees.take(env.get_state(), index) for index in range(NUM_ENVS)]
        expected = [opened.pictures(state, CAMERAS, MODALITIES) for state in states]
        observed = {name: env.observations()[name].numpy().copy() for name in expected[0]}
        yield observed, expected, env.env_args()["cameras"]
    env.close()


def test_depth_is_that_of_opengl_in_meters(measured: Any) -> None:
    observed, expected, _ = measured
    for camera in CAMERAS:
        depth, of_opengl = observed[f"{camera}_depth"], np.stack([each[f"{camera}_depth"] for each in expected])
        assert depth.dtype == of_opengl.dtype == np.float32 and depth.shape == of_opengl.shape == (NUM_ENVS, SIZE, SIZE, 1)
        difference = np.abs(depth - of_opengl)
        # Edges may be one pixel apart.
        assert (difference < 1e-3).mean() > 0.95 and np.median(difference) < 1e-4
        assert 0.05 < depth.min() < depth.max() < 10.0


def test_segments_are_those_of_opengl(measured: Any) -> None:
    observed, expected, cameras = measured
    assert cameras["segments"] == ["background", *TASK.object_names, "robot"]
    for camera in CAMERAS:
        segments = observed[f"{camera}_segmentation"]
        of_opengl = np.stack([each[f"{camera}_segmentation"] for each in expected])
        assert segments.dtype == of_opengl.dtype == np.uint8 and segments.shape == of_opengl.shape
        visible = np.unique(of_opengl)
        assert len(visible) >= 4
        for number in visible:
            ours, theirs = segments == number, of_opengl == number
            assert (ours & theirs).sum() >= 0.9 * (ours | theirs).sum(), cameras["segments"][number]


def test_film_measures_at_the_centers_of_pixels_like_policy(measured: Any) -> None:
    """With several rays per pixel, MuJoCo Warp would measure a quarter of a pixel beside the center."""
    observed, expected, _ = measured
    for camera in CAMERAS:
        segments = np.stack([each[f"{camera}_segmentation"] for each in expected])
        assert (observed[f"{camera}_segmentation"] == segments).mean() > 0.999


def test_geom_kernels_agree_with_torch(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(2)
    hit = torch.randint(-1, 5, (3, 40, 2), generator=generator, dtype=torch.int32).to(device)
    of_geom = torch.tensor([0, 3, 3, 1, 2], dtype=torch.uint8, device=device)
    segments = torch.zeros(3, 40, dtype=torch.uint8, device=device)
    launch(
        segment_kernel,
        (3, 40),
        [wp.from_torch(hit, dtype=wp.vec2i), wp.from_torch(of_geom)],
        [wp.from_torch(segments)],
        device,
    )
    geom = hit[..., 0]
    assert torch.equal(segments, torch.where(geom < 0, 0, of_geom[geom.clamp(min=0).long()]))
    distance = (torch.rand(3, 40, generator=generator) - 0.3).clamp(min=0.0).to(device)
    depth = torch.zeros_like(distance)
    launch(depth_kernel, (3, 40), [wp.from_torch(distance), 50.0], [wp.from_torch(depth)], device)
    assert torch.equal(depth, torch.where(distance > 0, distance, 50.0))


def test_one_modality_without_colors_is_drawn(env: Any) -> None:
    caster = env.inner.ray_caster(CAMERAS, (6, 8), "film", ["depth"])
    drawn = caster.draw()
    assert {name: tuple(values.shape) for name, values in drawn.items()} == {
        "agentview_depth": (NUM_ENVS, 6, 8, 1), "wrist_depth": (NUM_ENVS, 6, 8, 1)
    }  # fmt: skip
    caster.close()


def both(env: Any, renderer: Renderer) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of the ray caster and of OpenGL in the current state, (N, cameras, H, W, 3)."""
    observations, state = env.observations(), trees.map(torch.Tensor.clone, env.get_state())
    drawn = np.stack([observations[name].numpy() for name in CAMERAS], axis=1)
    frames = [renderer.frames(trees.take(state, index), CAMERAS.values()) for index in range(NUM_ENVS)]
    return drawn, np.array(frames)


def test_pictures_agree_with_those_of_opengl_in_each_env(env: Any, renderer: Renderer) -> None:
    state = trees.map(torch.Tensor.clone, env.get_state())
    state["articulation"]["robot"]["joint_position"][1, :2] += 0.3  # The wrist camera of each env follows its own hand.
    env.reset_to(state, EVERY_ENV)
    drawn, expected = both(env, renderer)
    difference = np.abs(drawn.astype(float) - expected)
    assert difference.mean((2, 3, 4)).max() <= 4.0
    assert np.abs(drawn[0].astype(float) - drawn[1]).mean((1, 2, 3)).min() > 8.0


@pytest.mark.parametrize("name", TASK.object_names)
def test_center_of_an_objects_pixels_is_where_opengl_draws_the_object(env: Any, renderer: Renderer, name: str) -> None:
    env.reset(EVERY_ENV, Draws(3, EVERY_ENV))
    with_object = both(env, renderer)
    state = trees.map(torch.Tensor.clone, env.get_state())
    state["rigid_object"][name]["root_pose"][:, 2] -= 5.0
    env.reset_to(state, EVERY_ENV)
    without_object = both(env, renderer)
    masks = [np.abs(a.astype(float) - b).max(-1) > 12 for a, b in zip(with_object, without_object, strict=True)]
    for env_id in range(NUM_ENVS):
        for camera in range(len(CAMERAS)):
            ours, opengl = (np.argwhere(mask[env_id, camera]) for mask in masks)
            if camera == 0 or len(opengl) > 20:
                assert len(ours) and np.abs(ours.mean(0) - opengl.mean(0)).max() <= 1.5


def test_observations_name_the_renderer_and_the_calibration(env: Any) -> None:
    cameras = env.env_args()["cameras"]
    assert cameras["renderer"].startswith("MuJoCo Warp ") and cameras["rendering_mode"] == "policy"
    assert [cameras[name] for name in ("names", "height", "width")] == [list(CAMERAS), SIZE, SIZE]
    assert {each["frame"] for each in cameras["calibration"].values()} == {"env", "franka"}


def test_pictures_show_the_state_after_a_step_of_one_env(env: Any) -> None:
    env.reset(EVERY_ENV, Draws(3, EVERY_ENV))
    before = {name: env.observations()[name].clone() for name in CAMERAS}
    actions = torch.zeros(NUM_ENVS, env.action_dim)
    actions[:, 2] = -1.0
    for _ in range(2):
        env.step(actions, torch.tensor([1]))
    after = env.observations()
    assert all(torch.equal(before[name][0], after[name][0]) for name in CAMERAS)
    assert not any(torch.equal(before[name][1], after[name][1]) for name in CAMERAS)


def test_drawing_does_not_read_the_device(env: Any) -> None:
    reads: Counter[str] = Counter()
    with ReadCalls(reads), ReadOperations(reads):
        env.observations()
    assert not reads


class _Stub:
    """Env whose ray caster would be created next."""

    def __init__(self, model: Any):
        self.model = model
        self.data = SimpleNamespace(nworld=NUM_ENVS)

    def ray_caster(self, cameras: Any, size: Any, mode: str, modalities: Any) -> Any:
        from isaaclab_mimic_ext.envs.ray_caster import RayCaster, RayCastScene

        module, none = SimpleNamespace(__version__="4.0.0"), Segments((), np.zeros(0, np.uint8))
        scene = RayCastScene(module, self.model, None, self.data, none)
        return RayCaster(scene, torch.device("cpu"), cameras, size, mode, modalities)


UNSUPPORTED = {
    "a transparent geom of body 'box' \\(alpha 0.5\\)": '<geom type="box" size="1 1 1" rgba="1 0 0 0.5"/>',
    "material 'tiles', whose texture is not two-dimensional": '<geom type="box" size="1 1 1" material="tiles"/>',
}
SCENE = """<mujoco><asset><texture name="tiles" type="cube" builtin="flat" width="8" height="8"/>
<material name="tiles" texture="tiles"/></asset>
<worldbody><camera name="agentview"/><camera name="robot/wrist"/><body name="box">{}</body></worldbody></mujoco>"""


@pytest.mark.parametrize("fault", UNSUPPORTED)
def test_part_that_the_ray_caster_would_draw_wrong_is_refused(fault: str) -> None:
    mujoco: Any = requires.module("mujoco", "mujoco")
    geom = UNSUPPORTED[fault]
    scene = SCENE if "material=" in geom else SCENE.replace('<material name="tiles" texture="tiles"/>', "")
    stub = _Stub(mujoco.MjModel.from_xml_string(scene.format(geom)))
    with pytest.raises(SimulatorUnavailable, match=f"^enable_cameras: MuJoCo Warp's ray caster cannot draw {fault}; use "):
        add_cameras(stub, TASK)  # type: ignore[arg-type]


def test_pictures_that_do_not_fit_into_memory_are_refused(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device=None: 200_000)
    with pytest.raises(ConfigError, match=r"^num_envs: 2 envs need 0.0 GB for the pictures of a step, .*num_envs <= 1$"):
        env.inner.ray_caster(CAMERAS, (SIZE, SIZE), "policy")


def test_unknown_camera_is_refused_with_the_names(env: Any) -> None:
    with pytest.raises(ConfigError, match=r"^cameras.names: 'agentvew' is not in the scene .*did you mean 'agentview'"):
        add_cameras(env.inner, TASK, CamerasCfg(names=["agentvew"]))


def test_pictures_larger_than_the_frame_buffer_of_opengl_are_refused() -> None:
    requires.module("mujoco", "mujoco")
    env = make_env(TASK, "kinematic")
    with pytest.raises(ConfigError, match=r"^cameras.size: must be from 1 x 1 to 1920 x 1080 pixels.*got 60 x 6400"):
        add_cameras(env, TASK, CamerasCfg(size=[6400, 60]))


def settings(*overrides: str) -> GenerateCfg:
    return load_config("generate", ["output_dir=run", *overrides])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cameras.size=[64,64]", "cameras.size: requires enable_cameras=true; set it, or omit cameras.size"),
        ("cameras.size=[64]", "cameras.size: must be [height,width] in pixels (got [64])"),
        ("cameras.rendering_mode=fast", "cameras.rendering_mode: 'fast' is not valid; choices: policy, film"),
        (
            "cameras.modalities=[rgb,dept]",
            "cameras.modalities: 'dept' is not a modality; choices: rgb, depth, segmentation (did you mean",
        ),
        ("cameras.modalities=[rgb,rgb]", "cameras.modalities: must name each modality once (got ['rgb', 'rgb'])"),
        ("cameras.modalities=[]", "cameras.modalities: must name each modality once (got [])"),
    ],
)
def test_settings_of_pictures_are_checked_before_the_run(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(override)
    assert str(caught.value).startswith(message)


def test_settings_of_pictures_are_those_of_the_engine_unless_they_are_given(env: Any) -> None:
    assert isinstance(env, CameraEnv)
    drawn = env.observations()
    assert all(drawn[name].shape == (NUM_ENVS, SIZE, SIZE, 3) and drawn[name].dtype == torch.uint8 for name in CAMERAS)
    defaults = CamerasCfg(names=["front"], size=[128, 128], rendering_mode="film")
    assert CamerasCfg(size=[32, 48]).completed(defaults) == CamerasCfg(["front"], [32, 48], "film")
