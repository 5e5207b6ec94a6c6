"""All checks of all demos of a file of source demos."""

# T steps of a demo

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext.checks import action_space, gripper, imitation, marks, motion, orientation, scene, usage
from isaaclab_mimic_ext.checks.findings import NOTE, RECORDED, CheckReport, DemoFinding, DemoFindings
from isaaclab_mimic_ext.checks.generated import leave_out_noise
from isaaclab_mimic_ext.checks.motion import DemoView, EefView
from isaaclab_mimic_ext.checks.recorded import is_recording, recorded_signals, with_info
from isaaclab_mimic_ext.checks.robot import check_robot
from isaaclab_mimic_ext.command_lines import command_line
from isaaclab_mimic_ext.config import CheckedTaskCfg, MimicEnvCfg, SimCfg
from isaaclab_mimic_ext.config.deprecated import renamed_arguments
from isaaclab_mimic_ext.config.recorded_task import check_recorded_task
from isaaclab_mimic_ext.datasets.findings import ERROR
from isaaclab_mimic_ext.demos.source import RequiredData, check_action_spec, source_demo
from isaaclab_mimic_ext.envs.articulations import Articulations
from isaaclab_mimic_ext.envs.base import MimicEnv, by_name
from isaaclab_mimic_ext.envs.events import JointSampler, PlacementSampler
from isaaclab_mimic_ext.envs.factory import make_env, task_config
from isaaclab_mimic_ext.errors import SourceDataError
from isaaclab_mimic_ext.files.demo import Demo, open_demo, read_demo
from isaaclab_mimic_ext.files.faults import DAMAGE
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.files.selection import Chosen, choose_demos, read_masks
from isaaclab_mimic_ext.files.stream import read_env_args
from isaaclab_mimic_ext.files.writing import annotated_path
from isaaclab_mimic_ext.math import quat_xyzw_from_matrix
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.task.definition import Task
from isaaclab_mimic_ext.texts import counted, split_remedy

OnProgress = Callable[[int, int], None]
"""Called with the number of examined demos, and of all demos."""

_BATCH_SIZE = 1000
"""Number of steps whose targets are reconstructed together."""


@dataclass(frozen=True)
class Examination:
    """Report of a file, and its readable demos."""

    report: CheckReport
    views: tuple[DemoView, ...]


def examine(
    path: str | Path,
    task: Task,
    cfg: CheckedTaskCfg | MimicEnvCfg,
    num_draws: int,
    on_progress: OnProgress = lambda *_: None,
    demos: Chosen = None,
    task_of_robot: Task | None = None,
) -> Examination:
    """Find all faults of a file that would make generation fail, or lower its success rate.

    Args:
        path: annotated source demos.
        task: the task of the demos.
        cfg: configuration of the task, valid for `task`.
        num_draws: number of scenes drawn to find out which demos generation would select.
        on_progress: called after each demo.
        demos: demos to check, see `choose_demos`; None: all.
        task_of_robot: the task with another robot, whose gripper and reach are checked; None: no other robot.

    Raises:
        SourceDataError: the file is missing, is not an HDF5 file, has no demos, or was recorded for a different task.
        ConfigError: the randomization leaves no room for the objects.
    """
    check_recorded_task(path, read_env_args(path), task)
    placement = PlacementSampler(task, cfg.events, torch.device("cpu"))
    env = make_env(task, SimCfg(engine="kinematic"), cfg.events, 1)
    of_file, of_demo = DemoFindings(), {}
    num_steps, views = {}, []
    with open_hdf5(path) as file:
        names = choose_demos(str(path), demo_names(file), read_masks(file), demos)
        _check_file(of_file, file, env)
        reader = _Reader(file, env, task, cfg, is_recording(file, names))
        for index, name in enumerate(names):
            of_demo[name] = DemoFindings(name)
            view = reader.view(of_demo[name], name)
            num_steps[name] = 0 if view is None else view.num_steps
            if view is not None:
                views.append(view)
                _check_demo(of_demo[name], view, task, cfg, placement)
            on_progress(index + 1, len(names))
    leave_out_noise(of_file, of_demo, reader.generated)
    if reader.is_recording:
        number = counted(len(names), "demo is", "demos are")
        annotated = annotated_path(Path(path))
        command = command_line("annotate", input_file=Path(path), output_file=annotated)
        found = f"{number} recorded, not annotated: poses and signals are computed from the recorded states"
        of_file.add(NOTE, RECORDED, found, "annotated demos", f"annotate the file before generation: `{command}`")
    if task_of_robot is not None:
        check_robot(of_file, task_of_robot, views)
    imitation.find_pausing(of_file, views)
    selected = _check_all(of_file, of_demo, views, task, cfg, placement, num_draws)
    every = [finding for findings in of_demo.values() for finding in _by_step(findings.items)]
    report = CheckReport(str(path), num_steps, (*every, *of_file.items), selected, num_draws)
    return Examination(report, tuple(views))


def _by_step(findings: list[DemoFinding]) -> list[DemoFinding]:
    return sorted(findings, key=lambda finding: -1 if finding.frame is None else finding.frame)


def _check_file(findings: DemoFindings, file: h5py.File, env: MimicEnv) -> None:
    try:
        check_action_spec(file, env.env_args()["action"])
    except SourceDataError as error:
        found = str(error).removeprefix(f"{file.filename}: ").split("; ")[0]
        remedy = "record with this env's actions, or use the task with which the file was recorded"
        findings.add(ERROR, "action space", found, "the actions of this env", remedy)


class _Reader:
    """Reads demos and adds the faults that prevent reading to the findings.

    Attributes:
        is_recording: the demos are not annotated.
        generated: names of the demos read so far that were generated.
    """

    def __init__(self, file: h5py.File, env: MimicEnv, task: Task, cfg: CheckedTaskCfg | MimicEnvCfg, is_recording: bool):
        self.is_recording = is_recording
        self.generated: set[str] = set()
        self._file, self._env, self._task, self._cfg = file, env, task, cfg
        self._use_skillgen = cfg.datagen_config.use_skillgen
        term_signals = [config.subtask_term_signal for configs in cfg.subtask_configs.values() for config in configs[:-1]]
        all_signals = [config.subtask_term_signal for configs in cfg.subtask_configs.values() for config in configs]
        start_signals = all_signals if self._use_skillgen else []
        self._required = RequiredData(
            env.eef_names,
            env.object_names,
            _without_none(term_signals),
            env.action_dim,
            start_signal_names=_without_none(start_signals),
        )

    def view(self, findings: DemoFindings, name: str) -> DemoView | None:
        """Read a demo and add faults of its marks to the findings; None if it cannot be read."""
        expected = "a complete, annotated demo"
        try:
            recorded = complete = open_demo(self._file, name)
            if self.is_recording:
                in_order = read_demo(self._file, name, as_xyzw=True, verify=False)
                complete = with_info(in_order, self._task, self._cfg, self._use_skillgen)
            demo = source_demo(complete, self._required)
        except SourceDataError as error:
            found, remedy = split_remedy(str(error).removeprefix(f"{self._file.filename}: {name}: "))
            remedy = remedy or "copy or record the demo again"
            findings.add(ERROR, "unreadable", found, expected, remedy, frame=error.step)
            return None
        except DAMAGE as error:
            found = " ".join(str(error).split())[:160]
            findings.add(ERROR, "unreadable", found, expected, "copy or record the file again")
            return None
        if "source_demos" in recorded.attributes:
            self.generated.add(name)
        env = self._env
        commands = by_name(env.eef_names, env.actions_to_gripper_actions(torch.from_numpy(demo.actions)))
        gripper_dims = dict(zip(env.eef_names, env.gripper_dims, strict=True))
        eefs = {
            eef_name: EefView(
                eef_name,
                demo.eef_pose[eef_name].astype(np.float64),
                demo.target_eef_pose[eef_name].astype(np.float64),
                commands[eef_name][:, : gripper_dims[eef_name]].numpy().astype(np.float64),
                configs,
                marks.find_spans(findings, demo, eef_name, configs, self._use_skillgen),
                self._env.step_dt,
            )
            for eef_name, configs in self._cfg.subtask_configs.items()
        }
        if not self.is_recording:
            own = recorded_signals(self._file, name, self._task, self._cfg)
            for eef in eefs.values():
                marks.check_marks(findings, eef.name, eef.subtasks, eef.spans, own)
        view = DemoView(demo, eefs, self._joint_position(recorded), self._env.step_dt)
        orientation.check_upright(findings, view, recorded, self._task)
        return view

    def _joint_position(self, demo: Demo) -> dict[str, NDArray[np.float32]] | None:
        """Joint positions of each arm (T, J) and of each object that carries joints (T, K), before each step [rad, m].

        None if the file does not contain them.
        """
        joints = {}
        for name in (*(arm.name for arm in self._task.arms), *Articulations(self._task).widths):
            leaf = f"articulation/{name}/joint_position"
            initial, states = (demo.leaves.get(f"{tree}/{leaf}") for tree in ("initial_state", "states"))
            if initial is None or states is None:
                return None
            if len(initial.shape) != 2 or states.shape != (demo.num_steps, initial.shape[1]):
                return None
            joints[name] = np.concatenate((initial[:1], states[:-1])).astype(np.float32)
        return joints


def _without_none(names: list[str | None]) -> tuple[str, ...]:
    return tuple(name for name in names if name is not None)


def _check_demo(
    findings: DemoFindings, view: DemoView, task: Task, cfg: CheckedTaskCfg | MimicEnvCfg, placement: PlacementSampler
) -> None:
    commanded = _commanded_poses(view, task, cfg)
    num_entries = view.demo.actions.shape[1] // len(task.arms)
    for index, eef in enumerate(view.eefs.values()):
        action_space.check_tracking(findings, eef)
        action_space.check_actions(findings, eef, commanded[eef.name])
        motion.check_ends(findings, eef)
        motion.check_gripper(findings, eef)
        motion.check_jumps(findings, eef)
        pose_action = view.demo.actions[:, index * num_entries : (index + 1) * num_entries - eef.gripper_action.shape[1]]
        motion.check_saturation(findings, eef, pose_action)
    if cfg.datagen_config.check_gripper_convention:
        gripper.check_gripper_commands(findings, view, task)
    motion.check_idle(findings, view)
    referenced = _referenced(cfg)
    low, high = (bound.numpy().astype(np.float64) for bound in (placement.low, placement.high))
    scene.check_start(findings, view, task, low, high, referenced)
    scene.check_joint_start(findings, view, task, JointSampler(task, cfg.events).ranges)
    scene.check_moved(findings, view, task, referenced)
    scene.check_early_closing(findings, view)
    scene.check_success(findings, view, task, cfg.datagen_config.num_success_steps)


def _referenced(cfg: CheckedTaskCfg | MimicEnvCfg) -> set[str]:
    """Names of the objects that subtasks refer to."""
    refs = {config.object_ref for configs in cfg.subtask_configs.values() for config in configs}
    return {name for name in refs if name is not None}


def _commanded_poses(view: DemoView, task: Task, cfg: CheckedTaskCfg | MimicEnvCfg) -> dict[str, NDArray[np.float64]]:
    """Target pose of each action in this env, from the pose in the same step; end effector -> (T, 4, 4), env frame [m]."""
    rows: dict[str, list[NDArray[np.float64]]] = {name: [] for name in task.eef_names}
    for first in range(0, view.num_steps, _BATCH_SIZE):
        actions = torch.from_numpy(view.demo.actions[first : first + _BATCH_SIZE])
        env = make_env(task, SimCfg(engine="kinematic"), cfg.events, len(actions))
        state = env.get_state()
        for arm in task.arms:
            pose = torch.from_numpy(view.demo.eef_pose[arm.eef_name][first : first + _BATCH_SIZE])
            quat = quat_xyzw_from_matrix(pose[:, :3, :3])
            state["articulation"][arm.name]["eef_pose"] = torch.cat((pose[:, :3, 3], quat), dim=-1)
        env.reset_to(state, torch.arange(len(actions)))
        for name, pose in by_name(env.eef_names, env.action_to_target_eef_pose(actions)).items():
            rows[name].append(pose.numpy().astype(np.float64))
    return {name: np.concatenate(pieces) for name, pieces in rows.items()}


def _check_all(
    of_file: DemoFindings,
    of_demo: Mapping[str, DemoFindings],
    views: list[DemoView],
    task: Task,
    cfg: CheckedTaskCfg | MimicEnvCfg,
    placement: PlacementSampler,
    num_draws: int,
) -> dict[str, list[dict[str, float]]]:
    """Add the findings that concern all demos together.

    Returns:
        End effector -> for each subtask, demo -> fraction of the simulated trials that select it.
    """
    valid = [view for view in views if all(eef.spans is not None for eef in view.eefs.values())]
    if not valid:
        return {}
    usage.find_similar(of_demo, valid)
    draws = Draws(cfg.datagen_config.seed, torch.arange(num_draws))
    joint_pos = JointSampler(task, cfg.events).sample(draws)
    selection = usage.simulate(
        valid, cfg.subtask_configs, cfg.datagen_config, task, placement.sample(draws), joint_pos, draws
    )
    usage.find_unused(of_demo, valid, selection)
    usage.find_far_draws(of_file, selection, cfg.subtask_configs)
    return {
        eef_name: [{view.name: float(part) for view, part in zip(valid, parts, strict=True)} for parts in used]
        for eef_name, used in selection.used.items()
    }


@renamed_arguments(path="input_file")
def check_demos(
    input_file: str | Path,
    task: Task,
    config: MimicEnvCfg | None = None,
    num_draws: int = 1000,
    demos: Chosen = None,
) -> CheckReport:
    """Find all faults in source demos that would make generation fail, or lower its success rate.

    Args:
        input_file: annotated source demos.
        task: the task of the demos, from `load_task`.
        config: subtasks and randomization; None: those of the task.
        num_draws: number of scenes drawn to find out which demos generation would select.
        demos: demos to check: names of demos and masks, with `-` in front to exclude them; None: all.

    Returns:
        Report with findings (demo, step, remedy). Its `is_healthy` is true if no finding is an error.

    Raises:
        SourceDataError: the file is missing, not an HDF5 file, or has no demos.
        ConfigError: the randomization leaves no room for the objects, or the task has no configuration.
    """
    return examine(input_file, task, config or task_config(task), num_draws, demos=demos).report
