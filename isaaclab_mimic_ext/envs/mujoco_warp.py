"""MuJoCo Warp engine: N scenes stepped together by GPU kernels. The same kernels run on a CPU, for tests."""

# N envs, n of them addressed, E arms (one end effector each), O objects, J = 9 joints of an arm (7 and two fingers)

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
import warp as wp
from torch import Tensor

from isaaclab_mimic_ext.config import EventCfg
from isaaclab_mimic_ext.envs.cameras import merged_cameras
from isaaclab_mimic_ext.envs.embedded import STEP_DT, EmbeddedEnv
from isaaclab_mimic_ext.envs.graphs import launch_graph, record_graph, reporting_memory
from isaaclab_mimic_ext.envs.memory import check_memory
from isaaclab_mimic_ext.envs.modalities import segments
from isaaclab_mimic_ext.envs.mujoco_layout import SceneLayout
from isaaclab_mimic_ext.envs.mujoco_model import build_model, import_mujoco
from isaaclab_mimic_ext.envs.mujoco_warp_arrays import Arrays
from isaaclab_mimic_ext.envs.mujoco_warp_sizes import Sizes, bytes_per_env, overflow_message
from isaaclab_mimic_ext.envs.ray_caster import RayCaster, RayCastScene, check_can_draw
from isaaclab_mimic_ext.envs.robots import arms_of
from isaaclab_mimic_ext.errors import SimulationError, SimulatorUnavailable
from isaaclab_mimic_ext.kernels import initialize
from isaaclab_mimic_ext.task.cameras import RGB
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.texts import counted

log = logging.getLogger(__name__)

_OLDEST_RELEASE = 4
_SLOW_START = 5.0
"""Seconds of loading after which the duration is logged."""


class MujocoWarpEnv(EmbeddedEnv):
    """`EmbeddedEnv` with the physics of MuJoCo Warp, in float32, on `device`.

    A control step is one graph: commands, substeps, and the transfer to `scene`. Only kernels run; nothing is copied to the
    host but the bits that report overflows, one step later. On a CPU device, scene `i` does not depend on the number of
    scenes. On a GPU it does, within rounding: threads find contacts in any order, and sums depend on the order.

    Args:
        sizes: buffers of contacts and constraints per env; None values: from the task's scene.
    """

    engine = "mujoco_warp"

    @property
    def steps_without_waiting(self) -> bool:
        """Return whether the host does not wait for the device in `reset` and `step`."""
        return self.device.type == "cuda"

    def __init__(
        self,
        task: Task,
        events: Mapping[str, EventCfg],
        num_envs: int,
        device: str | torch.device = "cpu",
        sizes: Sizes | None = None,
    ):
        super().__init__(task, events, num_envs, device)
        self._mjw = mjw = import_mujoco_warp()
        initialize()
        _check_device(self.device)
        self.model = _adapted_model(task)
        self._num_substeps = round(STEP_DT / self.model.opt.timestep)
        self._sizes = (sizes or Sizes()).completed(self.model, len(task.arms))
        self._wp_device = wp.device_from_torch(self.device)
        with wp.ScopedDevice(self._wp_device):
            self._mjw_model = _put_model(mjw, self.model, task.name)
            num_bytes = bytes_per_env(mjw, self.model, self._sizes)
            check_memory(num_envs, num_bytes, "the simulation's state", self.device)
            self._data = mjw.make_data(self.model, nworld=num_envs, **self._sizes.arguments)
        log.info(
            "MuJoCo Warp on %s: %d contacts and %d constraint rows per env, %.1f MB for %s",
            self._wp_device.name, self._sizes.contacts, self._sizes.constraints, num_envs * num_bytes / 1e6,
            counted(num_envs, "env", "envs"),
        )  # fmt: skip
        self._arrays = Arrays(self._data, SceneLayout.from_model(self.model, task), task, self.device)
        self._before = [torch.empty_like(tensor) for tensor in self._arrays.state]
        self._active = torch.ones(num_envs, dtype=torch.bool, device=self.device)
        with reporting_memory(num_envs):
            self._compile()
        self.scene = self._arrays.scene()

    def env_args(self) -> dict[str, Any]:
        args = super().env_args()
        args["sim_args"].update(
            dt=self.model.opt.timestep, decimation=self._num_substeps, render_interval=self._num_substeps
        )
        return args

    def processed_actions(self) -> Tensor:
        return self._arrays.commands()

    def check(self) -> None:
        """Raise the failure of a step that has ended on the device. Does not wait for the device.

        Raises:
            SimulationError: a buffer of contacts or constraints was too small.
        """
        bits = self._arrays.overflow_seen()
        if not bits:
            return
        wp.synchronize_device(self._wp_device)
        message = overflow_message(bits, self._data, self._sizes)
        if message is not None:
            raise SimulationError(message)

    def ray_caster(
        self, cameras: Mapping[str, str], size: tuple[int, int], mode: str, modalities: Sequence[str] = (RGB,)
    ) -> RayCaster:
        """Create the renderer of pictures of all envs. It must be closed before the env.

        Args:
            cameras: see `choose_cameras`.
            size: height and width of a picture [pixels].
            mode: one of `RENDERING_MODES`; `film` casts four rays per pixel for its colors.
            modalities: some of `MODALITIES`.

        Raises:
            ConfigError: the pictures do not fit into the memory of the device.
            SimulatorUnavailable: MuJoCo Warp cannot draw the scene.
        """
        with reporting_memory(self.num_envs):
            scene = RayCastScene(self._mjw, self.model, self._mjw_model, self._data, segments(self.model, self.task))
            return RayCaster(scene, self.device, cameras, size, mode, modalities)

    def close(self) -> None:
        """Release the memory of the simulation. The environment cannot be used afterwards."""
        wp.synchronize_device(self._wp_device)
        del self._step_graph, self._read_graph, self._arrays, self._data, self._mjw_model

    def _compile(self) -> None:
        """Compile the kernels by a step, then record the graphs. Ends in the state before the step."""
        start = time.perf_counter()
        log.info("Loading the kernels of MuJoCo Warp; the first time on a machine, compiling them takes a few minutes")
        self._save()
        wp.synchronize_device(self._wp_device)
        self._run_step(1)
        wp.synchronize_device(self._wp_device)
        for tensor, before in zip(self._arrays.state, self._before, strict=True):
            tensor.copy_(before)
        self._read_graph = record_graph(self._run_read, self.device)
        self._step_graph = record_graph(lambda: self._run_step(self._num_substeps), self.device)
        self._arrays.forget_overflow()
        self._launch(self._read_graph)
        if (seconds := time.perf_counter() - start) > _SLOW_START:
            log.info("Ready after %.0f s; the kernels are cached in %s", seconds, wp.config.kernel_cache_dir)

    def _launch(self, graph: Any) -> None:
        """Launch a graph on torch's current stream, so that it runs in order with torch operations."""
        launch_graph(graph, self.device)

    def _run_step(self, num_substeps: int) -> None:
        """Launch the kernels of a control step: commands, substeps, reading of the scene."""
        with wp.ScopedDevice(self._wp_device):
            self._arrays.command()
            for _ in range(num_substeps):
                self._mjw.step(self._mjw_model, self._data)
        self._run_read()

    def _run_read(self) -> None:
        with wp.ScopedDevice(self._wp_device):
            self._mjw.kinematics(self._mjw_model, self._data)
            self._arrays.read()

    def _write_state(
        self,
        env_ids: Tensor,
        joint_pos: Tensor,
        joint_vel: Tensor,
        root_pose: Tensor,
        root_velocity: Tensor,
        object_joint_pos: Tensor,
        object_joint_vel: Tensor,
    ) -> None:
        self._arrays.write(env_ids, joint_pos, joint_vel, root_pose, root_velocity, object_joint_pos, object_joint_vel)
        self._launch(self._read_graph)
        self.scene = self._arrays.scene()

    def _advance(self, target_eef_pose: Tensor, open_gripper: Tensor, env_ids: Tensor | None) -> None:
        self.check()
        self._arrays.set_targets(target_eef_pose, open_gripper)
        if env_ids is None:
            self._launch(self._step_graph)
        else:
            self._save()
            self._launch(self._step_graph)
            self._restore_all_but(env_ids)
        self._arrays.watch_overflow()
        self.scene = self._arrays.scene()

    def _save(self) -> None:
        for tensor, before in zip(self._arrays.state, self._before, strict=True):
            before.copy_(tensor)

    def _restore_all_but(self, env_ids: Tensor) -> None:
        """Undo the last step in all envs but `env_ids`: the physics steps all of them."""
        active = self._active.fill_(False).index_fill_(0, env_ids, True)
        for tensor, before in zip(self._arrays.state, self._before, strict=True):
            torch.where(active.view(-1, *[1] * (tensor.dim() - 1)), tensor, before, out=tensor)
        self._launch(self._read_graph)


def check_can_run(make_task: Callable[[], Task], device: torch.device, draws_pictures: bool) -> None:
    """Check that MuJoCo Warp can simulate a task on a CUDA device, and draw its pictures if `draws_pictures`.

    Raises:
        SimulatorUnavailable: MuJoCo Warp is not installed, or does not support the device or the scene.
    """
    mjw = import_mujoco_warp()
    _check_device(device)
    task = make_task()
    model = _adapted_model(task)
    with wp.ScopedDevice("cpu"):
        _put_model(mjw, model, task.name)
    if draws_pictures:
        check_can_draw(model)


def _put_model(mjw: ModuleType, model: Any, task_name: str) -> Any:
    """MuJoCo Warp's form of a model, on Warp's current device."""
    try:
        converted = mjw.put_model(model)
    except NotImplementedError as error:
        raise SimulatorUnavailable(
            f"sim.engine: MuJoCo Warp cannot simulate the scene of task '{task_name}': {error}; use sim=mujoco"
        ) from error
    converted.opt.warn_overflow = False  # `MujocoWarpEnv.check` reports overflows.
    return converted


def import_mujoco_warp() -> ModuleType:
    """Import MuJoCo Warp.

    Raises:
        SimulatorUnavailable: MuJoCo Warp is not installed, is too old, or does not fit the installed MuJoCo.
    """
    import_mujoco()
    try:
        import mujoco_warp
    except (ImportError, AttributeError) as error:  # An older MuJoCo lacks names that it uses.
        raise _unavailable(str(error)) from error
    if int(mujoco_warp.__version__.partition(".")[0]) < _OLDEST_RELEASE:
        raise _unavailable(f"found {mujoco_warp.__version__}")
    return mujoco_warp


def _unavailable(reason: str) -> SimulatorUnavailable:
    return SimulatorUnavailable(
        f"sim.engine: mujoco_warp requires MuJoCo Warp >= {_OLDEST_RELEASE}.0 ({reason}); install with "
        "`pip install isaaclab-mimic-ext[gpu]`, in an environment without Isaac Lab 3.0"
    )


def _check_device(device: torch.device) -> None:
    """Check that Warp supports a device.

    Raises:
        SimulatorUnavailable: the driver is too old for Warp, or for graphs with conditions.
    """
    if device.type != "cuda":
        log.warning("MuJoCo Warp runs on one core of the CPU, for tests; use sim=mujoco, or a CUDA device")
        return
    driver = ".".join(map(str, wp.get_cuda_driver_version() or ()))
    if wp.get_cuda_device_count() <= (device.index or 0) or not wp.is_conditional_graph_supported():
        raise SimulatorUnavailable(f"device: MuJoCo Warp requires a CUDA driver >= 12.4 (found {driver}); use sim=mujoco")
    if not wp.is_mempool_supported(wp.device_from_torch(device)):
        raise SimulatorUnavailable(
            "device: MuJoCo Warp requires memory pools, which this GPU does not support; use sim=mujoco"
        )


def _adapted_model(task: Task) -> Any:
    """Model of the task's scene with the options that MuJoCo Warp supports.

    With dense Jacobians a world's bits do not depend on the number of worlds.
    """
    mujoco = import_mujoco()
    if (arms := arms_of(task)).is_mixed:
        fault = f"MuJoCo Warp requires the same robot for all arms (got {arms.name})"
        raise SimulatorUnavailable(f"sim.engine: {fault}; use sim=mujoco")
    model = build_model(task, merged_cameras(task, {}))
    # MuJoCo Warp never resets a world by itself, and refuses the flag that asks for this.
    model.opt.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
    model.opt.enableflags &= ~int(mujoco.mjtEnableBit.mjENBL_SLEEP)  # Resets would have to wake the bodies.
    model.opt.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    return model
