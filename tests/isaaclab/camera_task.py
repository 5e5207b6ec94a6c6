"""Desktop organizer with a camera that Newton's renderer draws, as a user would register it in a module of their own."""

import gymnasium
import isaaclab.sim as sim_utils
from isaaclab.envs import mdp
from isaaclab.managers import ObservationTermCfg, SceneEntityCfg
from isaaclab.sensors import CameraCfg
from isaaclab.utils import configclass
from isaaclab_newton.renderers import NewtonWarpRendererCfg

from isaaclab_mimic_ext.tasks.desktop_organizer.isaaclab.env_cfg import FrankaDesktopOrganizerIKRelMimicEnvCfg


@configclass
class CameraMimicEnvCfg(FrankaDesktopOrganizerIKRelMimicEnvCfg):
    """Configuration of the organizer with the camera `front`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.scene.front = CameraCfg(
            prim_path="{ENV_REGEX_NS}/front",
            height=48,
            width=64,
            data_types=["rgb"],
            spawn=sim_utils.PinholeCameraCfg(),
            offset=CameraCfg.OffsetCfg(pos=(1.75, 0.0, 1.0), rot=(0.3616, 0.3616, 0.6077, 0.6077), convention="opengl"),
            renderer_cfg=NewtonWarpRendererCfg(),
        )
        params = {"sensor_cfg": SceneEntityCfg("front"), "data_type": "rgb", "normalize": False}
        self.observations.policy.front = ObservationTermCfg(func=mdp.image_rgb, params=params)


gymnasium.register(
    id="Test-Desktop-Organizer-Camera-Mimic-v0",
    entry_point="isaaclab_mimic_ext.envs.isaaclab.tabletop_mimic_env:TabletopMimicEnv",
    kwargs={"env_cfg_entry_point": f"{__name__}:CameraMimicEnvCfg"},
    disable_env_checker=True,
)
