"""Pictures of MuJoCo Warp's ray caster, compared with those of OpenGL; scenes that it refuses."""

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.config.cameras import CamerasCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.envs import memory
from isaaclab_mimic_ext.envs.camera_observations import CameraEnv, add_cameras
from isaaclab_mimic_ext.envs.cameras import WRIST
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.rendering import Renderer
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable
from isaaclab_mimic_ext.rng import Draws
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

    def ray_caster(self, cameras: Any, size: Any, mode: str) -> Any:
        from isaaclab_mimic_ext.envs.ray_caster import RayCaster

        module = SimpleNamespace(__version__="4.0.0")
        return RayCaster(module, self.model, None, self.data, torch.device("cpu"), cameras, size, mode)


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
