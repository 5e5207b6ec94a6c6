"""Worker process: steps robosuite environments in a Python with robosuite. Of this package it imports nothing.

Requests are lines on stdin, answers are lines of JSON on stdout. The first request describes the environment; its answer
is the layout of the arrays. The second one names the shared memory and the rows of this worker; each environment that is
created is an answer. Then each request is one letter: `r` reset, `w` write a state, `s` step the rows with a mask. Prints of
robosuite go to stderr. Runs on Python 3.8.
"""

# N rows of all workers, E end effectors, O objects, J joints of an arm with its gripper

from __future__ import annotations

import importlib.util
import inspect
import json
import mmap
import os
import random
import sys
import traceback
from typing import Any

import numpy as np


class Scene:
    """One robosuite environment."""

    def __init__(self, spec: dict[str, Any]) -> None:
        import robosuite

        for name in spec["imports"]:
            import_environments(name)
        self.version = robosuite.__version__
        # Sizes of objects that robosuite draws when it builds a model are the same in all environments.
        random.seed(0)
        np.random.seed(0)
        seeded = (
            {"seed": 0} if "seed" in inspect.signature(robosuite.environments.base.MujocoEnv.__init__).parameters else {}
        )
        names = [spec["robots"]] if isinstance(spec["robots"], str) else list(spec["robots"])
        self.env = robosuite.make(
            spec["environment"],
            robots=names if len(names) > 1 else names[0],
            controller_configs=controllers(names),
            control_freq=spec["control_freq"],
            has_renderer=False,
            has_offscreen_renderer=False,
            use_camera_obs=False,
            use_object_obs=True,
            ignore_done=True,
            hard_reset=False,
            horizon=10**9,
            **seeded,
            **spec["options"],
        )
        self.eefs = [(robot, arm) for robot in self.env.robots for arm in arms_of(robot)]
        self.compiled = None
        if spec["control"] == "compiled":
            from compiled_control import CompiledControl

            self.compiled = CompiledControl(self.env, self.version)
        self.objects, self.placed = spec["objects"], spec["placed"]
        self.find_indices()

    def find_indices(self) -> None:
        """Find the indices of objects and end effectors in the arrays of MuJoCo, which the model determines."""
        model = self.env.sim.model
        self.sites = [of_arm(robot.eef_site_id, arm) for robot, arm in self.eefs]
        self.bodies = [model.body_name2id(name) for name in self.objects.values()]
        self.placed_bodies = [model.body_name2id(name) for name in self.placed]
        self.free = [int(model.body_dofadr[body]) if int(model.body_dofnum[body]) == 6 else None for body in self.bodies]
        self.joints = [
            [*robot._ref_joint_pos_indexes, *of_arm(robot._ref_gripper_joint_pos_indexes, arm)] for robot, arm in self.eefs
        ]
        self.speeds = [
            [*robot._ref_joint_vel_indexes, *of_arm(robot._ref_gripper_joint_vel_indexes, arm)] for robot, arm in self.eefs
        ]

    def reset(self, seed: int) -> None:
        """Reset with all random numbers from a seed."""
        random.seed(seed)
        np.random.seed(seed % 2**32)
        if hasattr(self.env, "rng"):  # In place: the samplers of placements share this generator.
            self.env.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        for robot, arm in self.eefs:
            gripper = of_arm(robot.gripper, arm)
            gripper.current_action = np.zeros_like(gripper.current_action)
        self.env.reset()

    def positions(self) -> np.ndarray:
        """Positions of all joints, then position and quaternion (wxyz) of each body that robosuite places in the model."""
        model = self.env.sim.model
        placed = [np.concatenate([model.body_pos[body], model.body_quat[body]]) for body in self.placed_bodies]
        return np.concatenate([self.env.sim.data.qpos, *placed])

    def write(self, positions: np.ndarray, qvel: np.ndarray) -> None:
        """Set positions, see `positions`, and velocities of all joints. The rest is as after a reset."""
        self.reset(0)
        model, data = self.env.sim.model, self.env.sim.data
        qpos, placed = np.split(positions, [len(data.qpos)])
        for index, body in enumerate(self.placed_bodies):
            pose = placed[7 * index : 7 * index + 7]
            model.body_pos[body], model.body_quat[body] = pose[:3], pose[3:]
        data.qpos[:], data.qvel[:] = qpos, qvel
        self.env.sim.forward()
        for robot, arm in self.eefs:  # The posture that the controller prefers is that of the reset.
            part_of(robot, arm).update_initial_joints(qpos[robot._ref_joint_pos_indexes])

    def step(self, action: np.ndarray) -> None:
        """Make one control step."""
        import mujoco

        (self.env if self.compiled is None else self.compiled).step(action)
        # MuJoCo leaves the poses of the last substep's beginning, robosuite's next goal begins at the current ones.
        sim = self.env.sim
        mujoco.mj_kinematics(sim.model._model, sim.data._data)

    def read(self) -> dict[str, np.ndarray]:
        """Quantities of this instant, name -> array."""
        data = self.env.sim.data
        eef_pose = np.tile(np.eye(4), (len(self.sites), 1, 1))
        object_pose = np.tile(np.eye(4), (len(self.bodies), 1, 1))
        velocity = np.zeros((len(self.bodies), 6))
        for index, site in enumerate(self.sites):
            eef_pose[index, :3, :3], eef_pose[index, :3, 3] = data.site_xmat[site].reshape(3, 3), data.site_xpos[site]
        for index, body in enumerate(self.bodies):
            first = self.free[index]
            rot = data.body_xmat[body].reshape(3, 3)
            object_pose[index, :3, :3], object_pose[index, :3, 3] = rot, data.body_xpos[body]
            if first is not None:
                linear, angular = data.qvel[first : first + 3], data.qvel[first + 3 : first + 6]
                velocity[index] = np.concatenate([linear, rot.dot(angular)])
        return {
            "eef_pose": eef_pose.astype(np.float32),
            "object_pose": object_pose.astype(np.float32),
            "object_velocity": velocity.astype(np.float32),
            "joint_pos": np.array([data.qpos[ids] for ids in self.joints], dtype=np.float32),
            "joint_vel": np.array([data.qvel[ids] for ids in self.speeds], dtype=np.float32),
            "qpos": self.positions(),
            "qvel": np.array(data.qvel),
            "success": np.array([bool(self.env._check_success())], dtype=np.uint8),
            **{"obs/" + name: value for name, value in self.observations().items()},
        }

    def observations(self) -> dict[str, np.ndarray]:
        """Observations with the names of robomimic's EnvRobosuite."""
        shown = self.env._get_observations(force_update=True)
        prefixes = tuple(robot.robot_model.naming_prefix for robot in self.env.robots)
        chosen = {
            name: np.asarray(value, dtype=np.float32).reshape(-1)
            for name, value in shown.items()
            if name.startswith(prefixes) and not name.endswith("proprio-state")
        }
        return {"object": np.asarray(shown["object-state"], dtype=np.float32), **chosen}

    def facts(self) -> dict[str, Any]:
        """Facts for the owner: version, sizes of actions, arrays of one environment."""
        arrays = {name: [list(value.shape), value.dtype.str] for name, value in self.read().items()}
        arrays["mask"], arrays["seed"] = [[], "|u1"], [[], "<u8"]
        arrays["action"] = [[self.env.action_dim], "<f8"]
        arrays["write_qpos"], arrays["write_qvel"] = arrays["qpos"], arrays["qvel"]
        limits = [limits_of(robot, arm) for robot, arm in self.eefs]
        return {"robosuite": self.version, "arrays": arrays, "limits": limits, "step_dt": 1.0 / self.env.control_freq}


def arms_of(robot: Any) -> tuple[str, ...]:
    """Names of a robot's arms; robosuite 1.4 has no name for a single one."""
    return tuple(getattr(robot, "arms", ("right",)))


def of_arm(value: Any, arm: str) -> Any:
    """Value of an arm: robosuite 1.5 has a dict, 1.4 the value of a single arm."""
    return value[arm] if isinstance(value, dict) else value


def part_of(robot: Any, arm: str) -> Any:
    """Controller of an arm."""
    return robot.part_controllers[arm] if hasattr(robot, "part_controllers") else of_arm(robot.controller, arm)


def limits_of(robot: Any, arm: str) -> list[float]:
    """Motion of an action of 1: three of position [m], three of rotation [rad]."""
    return [float(value) for value in np.broadcast_to(part_of(robot, arm).output_max, (6,))]


def controllers(names: list[str]) -> Any:
    """Default controllers of robots: operational space, relative, in the axes of the world."""
    try:
        from robosuite.controllers import load_composite_controller_config
    except ImportError:
        from robosuite.controllers import load_controller_config

        return [load_controller_config(default_controller="OSC_POSE") for _ in names]
    found = [load_composite_controller_config(controller=None, robot=name) for name in names]
    for config in found:
        for part in config["body_parts"].values():
            if part["type"] == "OSC_POSE":
                part["input_ref_frame"] = "world"
    return found if len(found) > 1 else found[0]


class UnrelatedPackage(Exception):
    """A package has the name of the one that a task needs, but is a different one."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.unrelated = name


def import_environments(name: str) -> None:
    """Import a module that registers environments. The `mimicgen` of PyPI is not MimicGen, so it is not imported."""
    found = importlib.util.find_spec(name)
    folders = (found.submodule_search_locations if found is not None else None) or ()
    if name == "mimicgen" and found is not None and not any(os.path.isdir(os.path.join(each, "envs")) for each in folders):
        raise UnrelatedPackage(name)
    importlib.import_module(name)


class Worker:
    """Environments of some rows of the shared memory."""

    def __init__(self, scene: Scene, place: dict[str, Any]) -> None:
        first, count = place["rows"]
        self.rows = range(first, first + count)
        self.scenes = [scene]
        memory = np.frombuffer(mmap.mmap(place["memory"], 0), dtype=np.uint8)
        self.arrays = {}
        for name, (offset, shape, kind) in place["arrays"].items():
            size = int(np.prod(shape)) * np.dtype(kind).itemsize
            self.arrays[name] = memory[offset : offset + size].view(kind).reshape(shape)

    def run(self, letter: str) -> None:
        """Obey a request for the rows with a mask."""
        arrays = self.arrays
        for index, scene in enumerate(self.scenes):
            row = self.rows[index]
            if not arrays["mask"][row]:
                continue
            if letter == "r":
                scene.reset(int(arrays["seed"][row]))
            elif letter == "w":
                scene.write(arrays["write_qpos"][row], arrays["write_qvel"][row])
            else:
                scene.step(np.array(arrays["action"][row]))
            for name, value in scene.read().items():
                arrays[name][row] = value


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**facts: Any) -> None:
        answers.write(json.dumps(facts) + "\n")

    try:
        spec = json.loads(sys.stdin.readline())
        scene = Scene(spec)
        scene.reset(0)
        answer(**scene.facts())
        worker = Worker(scene, json.loads(sys.stdin.readline()))
        answer(ready=True)
        for _ in worker.rows[1:]:
            worker.scenes.append(Scene(spec))
            answer(ready=True)
        for line in sys.stdin:
            worker.run(line.strip())
            answer(ready=True)
    except BaseException as error:  # The owner reports it.
        traceback.print_exc()
        answer(
            error=type(error).__name__,
            reason=" ".join(str(error).split())[:500],
            missing=getattr(error, "name", None),
            unrelated=getattr(error, "unrelated", None),
            version=getattr(sys.modules.get("robosuite"), "__version__", None),
        )


if __name__ == "__main__":
    main()
