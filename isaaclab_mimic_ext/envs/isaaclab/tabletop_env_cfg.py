"""Isaac Lab configuration of table-top tasks: scene, robot, managers. A task adds its name and the parts of its objects."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from typing import Any

import isaaclab.sim as sim_utils
import torch
from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg, AssetBaseCfg, RigidObjectCfg
from isaaclab.controllers.differential_ik_cfg import DifferentialIKControllerCfg
from isaaclab.envs import ManagerBasedRLEnvCfg
from isaaclab.envs import mdp as isaaclab_mdp
from isaaclab.managers import EventTermCfg, ObservationGroupCfg, ObservationTermCfg, TerminationTermCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.utils import configclass
from isaaclab_assets.robots.franka import FRANKA_PANDA_HIGH_PD_CFG

from isaaclab_mimic_ext.envs.isaaclab import tabletop_mdp as mdp
from isaaclab_mimic_ext.envs.isaaclab.compat import (
    joint_effort_limit,
    quat_is_xyzw,
    quat_to_isaaclab,
    rigid_body_properties,
    set_spawn_property,
)
from isaaclab_mimic_ext.envs.isaaclab.make import trial_events
from isaaclab_mimic_ext.envs.isaaclab.scene_objects import joint_name
from isaaclab_mimic_ext.envs.isaaclab.tabletop_scene import (
    ARM_JOINTS,
    FINGER_JOINTS,
    HAND,
    ArticulationPartsCfg,
    PartsCfg,
    cached_task,
    spawn_panda,
)
from isaaclab_mimic_ext.envs.panda.kinematics import EEF_OFFSET, FINGER_OPEN, HOME
from isaaclab_mimic_ext.envs.panda.shape import (
    ARMATURE,
    DAMPING_TIME,
    FINGER_DAMPING,
    FINGER_FORCE,
    FINGER_STIFFNESS,
    STIFFNESS,
    TABLE_CENTER,
    TABLE_HALF_SIZE,
    TABLE_HEIGHT,
    TABLE_THICKNESS,
    TORQUE_LIMIT,
    WOOD,
    Part,
    table_legs,
)
from isaaclab_mimic_ext.envs.tabletop import POS_SCALE, ROT_SCALE, STEP_DT
from isaaclab_mimic_ext.task.definition import Arm, SceneObject, Task
from isaaclab_mimic_ext.task.objects import articulations

PHYSICS_STEPS = 5
"""Default number of physics steps per control step of `STEP_DT`: 10 ms each."""

_TOP = Part(
    "box", (*TABLE_HALF_SIZE, TABLE_THICKNESS / 2), (*TABLE_CENTER, -TABLE_THICKNESS / 2), WOOD, mass=20.0, solid=True
)

_FLOOR = Part("box", (50.0, 50.0, 0.01), (0.0, 0.0, -TABLE_THICKNESS - TABLE_HEIGHT - 0.01), (0.60, 0.62, 0.64, 1.0))


@configclass
class TabletopSceneCfg(InteractiveSceneCfg):
    """Scene with a table, a floor and a light. `TabletopEnvCfg.set_task` adds arms and objects under their names."""

    table = AssetBaseCfg(prim_path="{ENV_REGEX_NS}/Table", spawn=PartsCfg(parts=(_TOP, *table_legs()), is_body=False))
    floor = AssetBaseCfg(prim_path="/World/Floor", spawn=PartsCfg(parts=(_FLOOR,), is_body=False))
    light = AssetBaseCfg(prim_path="/World/Light", spawn=sim_utils.DomeLightCfg(color=(0.75, 0.75, 0.75), intensity=3000.0))


@configclass
class ActionsCfg:
    """Action terms of each arm, added by `TabletopEnvCfg.set_task`."""


@configclass
class PolicyObservationsCfg(ObservationGroupCfg):
    """Observations of the task, each under its own key."""

    def __post_init__(self) -> None:
        self.enable_corruption = False
        self.concatenate_terms = False


@configclass
class ObservationsCfg:
    """Observation groups."""

    policy: PolicyObservationsCfg = PolicyObservationsCfg()


@configclass
class TerminationsCfg:
    """Termination terms; `TabletopEnvCfg.set_task` adds `success`."""

    time_out = TerminationTermCfg(func=isaaclab_mdp.time_out, time_out=True)
    success: Any = None


@configclass
class EventsCfg:
    """Event terms; `TabletopEnvCfg.set_task` adds `place`, the randomization at a reset."""

    place: Any = None


@configclass
class TabletopEnvCfg(ManagerBasedRLEnvCfg):
    """Configuration of a table-top task, completed by `set_task`."""

    scene: TabletopSceneCfg = TabletopSceneCfg(num_envs=4096, env_spacing=2.5, replicate_physics=True)
    observations: ObservationsCfg = ObservationsCfg()
    actions: ActionsCfg = ActionsCfg()
    terminations: TerminationsCfg = TerminationsCfg()
    events: EventsCfg = EventsCfg()
    commands: Any = None
    rewards: Any = None
    curriculum: Any = None
    mimic_task_name: str = ""
    """Name of the task, a folder of `tasks/`."""
    trial_events: dict[str, Any] = field(default_factory=dict)
    """Randomization, name -> `EventCfg`, as in `conf/task/`."""

    def set_task(self, name: str, parts: Mapping[str, Sequence[Part]], physics_steps: int = PHYSICS_STEPS) -> None:
        """Complete the configuration for the task `name`, with the randomization in the file of the task.

        Args:
            parts: primitives of each object, object -> parts.
            physics_steps: number of physics steps per control step.
        """
        task = cached_task(name)
        self.mimic_task_name, self.trial_events = name, trial_events(name)
        self.decimation = physics_steps
        self.episode_length_s = 30.0
        set_physics(self.sim, len(task.arms), physics_steps)
        for arm in task.arms:
            setattr(self.scene, arm.name, panda_cfg(arm))
            _add_actions(self.actions, arm, "" if len(task.arms) == 1 else f"{arm.name}_")
        jointed = articulations(task.objects)
        for obj in task.objects:
            if obj.name in jointed:
                on_joints = [task.objects[task.object_id(name)] for name in jointed[obj.name]]
                setattr(self.scene, obj.name, _articulation_cfg(obj, on_joints, parts))
            elif obj.name not in task.jointed_names:
                setattr(self.scene, obj.name, _object_cfg(obj, parts[obj.name], STEP_DT / physics_steps))
        self._add_terms(task)

    def _add_terms(self, task: Task) -> None:
        params = {"task_name": task.name}
        for term in mdp.observation_names(task):
            cfg = ObservationTermCfg(func=mdp.observation, params={**params, "name": term})
            setattr(self.observations.policy, term, cfg)
        self.terminations.success = TerminationTermCfg(func=mdp.success, params=dict(params))
        self.events.place = EventTermCfg(func=mdp.PlaceObjects, mode="reset", params=dict(params))


def panda_cfg(arm: Arm) -> Any:
    """Configuration of a Panda with the controller gains of the MuJoCo model, so that it follows targets equally."""
    robot = FRANKA_PANDA_HIGH_PD_CFG.replace(prim_path="{ENV_REGEX_NS}/" + arm.name.capitalize())
    robot.spawn.func = spawn_panda
    for name in ("enabled_self_collisions", "self_collision_enabled"):  # PhysX, Newton
        set_spawn_property(robot.spawn.articulation_props, name, False)
    joint_pos = dict(zip((*ARM_JOINTS, *FINGER_JOINTS), HOME, strict=True))
    half_yaw = arm.base_yaw / 2
    rot = quat_to_isaaclab(torch.tensor([0.0, 0.0, math.sin(half_yaw), math.cos(half_yaw)]))
    robot.init_state = ArticulationCfg.InitialStateCfg(pos=arm.base_pos, rot=tuple(rot.tolist()), joint_pos=joint_pos)
    robot.actuators = {
        "panda_arm": ImplicitActuatorCfg(
            joint_names_expr=list(ARM_JOINTS),
            stiffness=dict(zip(ARM_JOINTS, STIFFNESS, strict=True)),
            damping={name: DAMPING_TIME * stiffness for name, stiffness in zip(ARM_JOINTS, STIFFNESS, strict=True)},
            armature=ARMATURE,
            **joint_effort_limit(dict(zip(ARM_JOINTS, TORQUE_LIMIT, strict=True))),
        ),
        "panda_hand": ImplicitActuatorCfg(
            joint_names_expr=list(FINGER_JOINTS),
            stiffness=FINGER_STIFFNESS,
            damping=FINGER_DAMPING,
            armature=ARMATURE,
            **joint_effort_limit(FINGER_FORCE),
        ),
    }
    return robot


def _add_actions(actions: Any, arm: Arm, prefix: str) -> None:
    ik_action = mdp.ArmActionCfg(
        asset_name=arm.name,
        joint_names=list(ARM_JOINTS),
        body_name=HAND,
        controller=DifferentialIKControllerCfg(command_type="pose", use_relative_mode=True, ik_method="dls"),
        scale=(*[POS_SCALE] * 3, *[ROT_SCALE] * 3),
        body_offset=mdp.ArmActionCfg.OffsetCfg(pos=(0.0, 0.0, EEF_OFFSET)),
    )
    gripper_action = mdp.GripperActionCfg(
        asset_name=arm.name,
        joint_names=list(FINGER_JOINTS),
        open_command_expr=dict.fromkeys(FINGER_JOINTS, FINGER_OPEN),
        close_command_expr=dict.fromkeys(FINGER_JOINTS, 0.0),
    )
    setattr(actions, f"{prefix}arm_action", ik_action)
    setattr(actions, f"{prefix}gripper_action", gripper_action)


def _object_cfg(obj: SceneObject, parts: Sequence[Part], physics_dt: float) -> Any:
    rigid_props = rigid_body_properties(
        solver_position_iteration_count=_position_iterations(sum(part.mass for part in parts), physics_dt),
        solver_velocity_iteration_count=1,
        max_depenetration_velocity=5.0,
    )
    spawn = PartsCfg(parts=tuple(parts), is_fixed=obj.fixed, rigid_props=rigid_props)
    init_state = RigidObjectCfg.InitialStateCfg(pos=(*obj.default_pos, obj.rest_height))
    return RigidObjectCfg(prim_path=_prim_path(obj), init_state=init_state, spawn=spawn)


def _articulation_cfg(root: SceneObject, jointed: Sequence[Any], parts: Mapping[str, Sequence[Part]]) -> Any:
    """Configuration of an object that carries joints, with the objects on them; nothing moves the joints but contacts."""
    spawn = ArticulationPartsCfg(
        root=root.name,
        jointed=tuple({each.name: getattr(obj, each.name) for each in fields(obj) if each.init} for obj in jointed),
        parts={name: tuple(parts[name]) for name in (root.name, *(obj.name for obj in jointed))},
        is_fixed=root.fixed,
    )
    joints = {joint_name(obj.name): obj for obj in jointed}
    init_state = ArticulationCfg.InitialStateCfg(
        pos=(*root.default_pos, root.rest_height), joint_pos={name: obj.start_joint_pos for name, obj in joints.items()}
    )
    passive = {
        name: ImplicitActuatorCfg(joint_names_expr=[name], stiffness=0.0, damping=obj.damping, friction=obj.friction)
        for name, obj in joints.items()
    }
    return ArticulationCfg(prim_path=_prim_path(root), spawn=spawn, init_state=init_state, actuators=passive)


def _prim_path(obj: SceneObject) -> str:
    return "{ENV_REGEX_NS}/" + "".join(word.capitalize() for word in obj.name.split("_"))


_MIN_POSITION_ITERATIONS, _MAX_POSITION_ITERATIONS = 16, 255
_GRIP_SPEED = 0.16
"""Largest speed that a finger, in one iteration of PhysX's solver, gives to the object that it holds [m/s]."""


def _position_iterations(mass: float, physics_dt: float) -> int:
    """Number of position iterations of PhysX's solver for an object of `mass` [kg], in a physics step of `physics_dt` [s].

    PhysX divides a physics step by the iterations. In the last of them, fingers push a held object before the contact stops
    it, and the object keeps a part of this speed, although it does not move. When the hand opens, the object flies off with
    it: of cubes of 20 g, 2 in 10 stacks fell with 16 iterations.
    """
    iterations = math.ceil(FINGER_FORCE * physics_dt / (mass * _GRIP_SPEED))
    return min(max(iterations, _MIN_POSITION_ITERATIONS), _MAX_POSITION_ITERATIONS)


_NEWTON_DT, _NEWTON_CONTACT_DT = 0.005, 0.01
"""Longest substep of Newton, and longest time between two detections of contacts [s].

With substeps of 2 ms, the bottle is not held better, and a step takes twice as long.
"""


def set_physics(sim: Any, num_arms: int, physics_steps: int = PHYSICS_STEPS) -> None:
    """Set the physics of an Isaac Lab `SimulationCfg` for table-top tasks; in release 3 `physics=<preset>` selects it."""
    sim.dt = STEP_DT / physics_steps
    sim.render_interval = physics_steps
    if quat_is_xyzw():
        sim.physics = _presets(num_arms, sim.dt)
        return
    for name, value in _physx_settings().items():
        setattr(sim.physx, name, value)


def refine_newton(sim: Any, num_substeps: int) -> None:
    """Set Newton's substeps per physics step, and detect contacts in each of them, for objects that slip out of fingers."""
    if quat_is_xyzw():
        sim.physics.newton_mjwarp.num_substeps = num_substeps
        sim.physics.newton_mjwarp.collision_decimation = 1


def _physx_settings() -> dict[str, float]:
    return {"bounce_threshold_velocity": 0.01, "friction_correlation_distance": 0.00625}


def _presets(num_arms: int, physics_dt: float) -> Any:
    from isaaclab.physics.physics_manager_cfg import PhysxAutoCfg
    from isaaclab.utils import configclass
    from isaaclab_ov.physics import OvPhysxCfg
    from isaaclab_physx.physics import PhysxCfg
    from isaaclab_tasks.utils import PresetCfg

    automatic = PhysxAutoCfg(isaacsim_physx=PhysxCfg(**_physx_settings()), ovphysx=OvPhysxCfg())

    @configclass
    class TabletopPhysicsCfg(PresetCfg):
        default: Any = automatic
        physx: Any = automatic
        isaacsim_physx: Any = automatic.isaacsim_physx
        ovphysx: Any = automatic.ovphysx
        newton_mjwarp: Any = _newton(num_arms, physics_dt)

    return TabletopPhysicsCfg()


def _newton(num_arms: int, physics_dt: float) -> Any:
    from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg, NewtonCollisionPipelineCfg

    num_substeps = _divided(physics_dt, _NEWTON_DT)
    detections = _divided(physics_dt, _NEWTON_CONTACT_DT)
    return NewtonCfg(
        solver_cfg=MJWarpSolverCfg(
            solver="newton",
            integrator="implicitfast",
            cone="elliptic",  # With `pyramidal`, 4 of 5 bottles slipped out of the hand.
            impratio=10.0,
            iterations=100,
            ls_iterations=50,
            njmax=150 * num_arms,
            # Contacts per env, mean over all envs; 27 is the largest observed value with one arm. On a CPU, the time of a
            # step grows with it.
            nconmax=40 * num_arms,
            # With MuJoCo's contacts, only the first env has contacts with the table.
            use_mujoco_contacts=False,
        ),
        collision_cfg=NewtonCollisionPipelineCfg(),
        num_substeps=num_substeps,
        collision_decimation=0 if detections == 1 else num_substeps // detections,  # 0: once per physics step
    )


def _divided(duration: float, longest: float) -> int:
    """Number of equal parts of `duration` [s] that are at most `longest` [s]."""
    return math.ceil(duration / longest - 1e-9)
