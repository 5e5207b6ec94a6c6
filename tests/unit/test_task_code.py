"""Mistakes in the Python code of a user's task: one message with file, line and the expected result."""

import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import isaaclab_mimic_ext as mimic
import isaaclab_mimic_ext.tasks as tasks
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.envs.mujoco_model import build_model
from isaaclab_mimic_ext.errors import ConfigError, TaskCodeError
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.operator_plan import plan_fault
from isaaclab_mimic_ext.run.record import load_operator
from isaaclab_mimic_ext.task.user_code import call_task_code
from tests import requires
from tests.forked_scripts import message_of, run_mimic
from tests.own_task import OPERATOR, SCENE, TASK, YAML, line_of, write_task

PACKAGE = "isaaclab_mimic_ext.tasks.pick_cube"
SOLVED = "return on_plate & (scene.finger_pos[:, 0] > 0.035).all(-1)"
BUILT = 'return build_tabletop(task, {"cube": add_cube, "plate": add_plate})'
EXTRA = "spec = " + BUILT.removeprefix("return ") + "\n    import mujoco\n    "


@pytest.fixture(autouse=True)
def no_modules_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test imports its own version of the task."""
    monkeypatch.setattr(tasks, "__path__", list(tasks.__path__))

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
            del sys.modules[name]

    forget()
    yield
    forget()


def load(folder: Path) -> Any:
    return mimic.load_task("pick_cube", folder)


def build(folder: Path) -> Any:
    return build_model(load(folder))


def step(folder: Path) -> None:
    """One step of two scenes, and everything that a task is queried for."""
    env = mimic.make_env(load(folder), "kinematic", num_envs=2)
    env.reset(torch.arange(2), Draws(1, torch.arange(2)))
    env.step(torch.zeros(2, env.action_dim))
    for query in (env.success, env.get_subtask_term_signals, env.observations, env.failure_conditions):
        query()


def plan(folder: Path) -> None:
    task = load(folder)
    env = mimic.make_env(task, "kinematic", num_envs=2)
    draws = Draws(1, torch.arange(2))
    env.reset(torch.arange(2), draws)
    poses = dict(zip(env.object_names, env.object_pose.unbind(1), strict=True))
    call_task_code(load_operator(task, "scripted"), poses, env.eef_pose[:, 0], draws)


def added(function: str) -> tuple[str, str]:
    return "    def graspable", f"{function}\n\n    def graspable"


MISTAKES: list[tuple[str, str, str, Callable[[Path], Any], str]] = [
    # Import
    (TASK, "import torch\n", "import torch\nimport torchh\n", load,
     "task.py:4: ModuleNotFoundError: No module named 'torchh'"),
    (TASK, "import Graspable,", "import Graspabel,", load, "task.py:4: ImportError: .*did you mean 'Graspable'"),
    (TASK, "-> PickCube:", "-> PickCube", load, r"task.py:32: SyntaxError: .*def make_task\(\) -> PickCube"),
    (TASK, "import torch\n", "raise SystemExit('no license')\n", load, "task.py:3: SystemExit: no license"),
    (TASK, "rest_height=CUBE / 2", "rest_hight=CUBE / 2", load, "task.py:12: TypeError: .*rest_hight"),
    (SCENE, "tasks.pick_cube.task", "tasks.pick_cub.task", build,
     "mujoco_scene.py:4: .*choices: .*did you mean 'pick_cube'"),
    (OPERATOR, "import Hand,", "import Hands,", plan, "operator.py:4: ImportError: .*did you mean 'Hand'"),
    # Definition
    (TASK, "def make_task", "def create_task", load, r"task.py: make_task\(\) not found .did you mean 'create_task'"),
    (TASK, "return PickCube()", "return PickCube", load,
     "task.py:32: make_task: must return an instance of a subclass of Task"),
    (TASK, 'name = "pick_cube"', 'name = "pick"', load,
     "make_task: the task must have the name of its folder, 'pick_cube' .got"),
    (TASK, "def graspable", "def graspables", load, "make_task raises TypeError: .*graspable"),
    (TASK, "objects = (", "things = (", load, "task.py:9: PickCube.objects: must be a tuple of SceneObject .not found"),
    (TASK, 'SceneObject("plate"', 'SceneObject("cube"', load, "objects: names must be different .* .got 'cube' twice"),
    (TASK, "default_pos=(0.48, 0.15)", "default_pos=0.48", load, r"'cube': default_pos must be \(x, y\) \[m\] .got 0.48"),
    (TASK, "default_pos=(0.48, 0.15)", "default_pos=(0.48, 0.15), half_size=(0.02, -0.02, 0.02)", load,
     "'cube': half_size must be > 0 along each axis"),
    (TASK, '("grasp", "place")', '"grasp"', load, "signal_names: must be a tuple of str"),
    (TASK, "table_bounds =", "table_bound =", load, "table_bounds: must be .*lowest x"),
    (TASK, '{"franka": (', '{"frank": (', load, "graspable: 'frank' is not an end effector; choices: franka"),
    (TASK, 'Graspable("cube"', 'Graspable("cub"', load, "graspable: object 'cub' is not in the scene"),
    (TASK, *added("    quaternion_columns = {'x': 3}"), load, "quaternion_columns: 'x' must be a tuple"),
    (TASK, *added("    failure_reasons = ('dropped',)"), load, "failure_reasons: must contain only FailureReason"),
    # Functions of the scene
    (TASK, "return on_plate", "return on_plat", step, "task.py:26: success raises NameError: name 'on_plat'"),
    (TASK, SOLVED, "return on_plate[:, None]", step,
     r"task.py:23: success: must be a tensor \(N,\) bool, N = 2 .got \(2, 1\) bool"),
    (TASK, SOLVED, "return on_plate.float()", step, r"success: must be .*got \(2,\) float32"),
    (TASK, "return on_plate", "on_plate", step, "success: must be .*got None"),
    (TASK, '{"grasp": held,', '{"grsp": held,', step, "signals: 'grasp' of signal_names not found; choices: grsp, place"),
    (TASK, '{"grasp": held,', '{"grasp": held[:, None],', step, r"signals: 'grasp' must be a tensor \(N,\) bool"),
    (TASK, *added("    def observations(self, scene):\n        return {'x': scene.poses}"), step,
     "task.py:29: observations raises Attr"),
    (TASK, *added("    def observations(self, scene):\n        return {'x': 3}"), step,
     "observations: 'x' must be a tensor .*got int"),
    (TASK, *added("    def observations(self, scene):\n        return {'eef_pos': scene.eef_pose[:, 0, :3, 3]}"), step,
     "task.py:28: observations: 'eef_pos' is the name of an observation that all tasks have"),
    (TASK, *added("    def observations(self, scene):\n        return {'a/b': scene.eef_pose[:, 0, :3, 3]}"), step,
     "task.py:28: observations: 'a/b' must be a name, a text without '/'"),
    (TASK, *added("    def violates(self, scene):\n        return scene.root_pose < 0"), step, "violates: must be .*bool"),
    (TASK, *added("    def conditions(self, scene):\n        return {'near': scene.eef_pose}"), step,
     "conditions: 'near' must be"),
    # Scene
    (SCENE, ', "plate": add_plate', "", build, "mujoco_scene.py:8: builders: no builder for object 'plate'"),
    (SCENE, "add_plate}", 'add_plate, "bowl": add_plate}', build, "builders: 'bowl' is not an object of the task"),
    (SCENE, "def build_spec", "def build_spe", build, r"build_spec\(task\) not found .did you mean 'build_spe'"),
    (SCENE, "return build_tabletop", "build_tabletop", build, "mujoco_scene.py:7: build_spec: must return a mujoco.MjSpec"),
    (SCENE, "size=(CUBE / 2,) * 3", "sise=(1, 1, 1)", build,
     "mujoco_scene.py:12: .*'sise' is not an argument .did you mean 'size'"),
    (SCENE, "size=(CUBE / 2,) * 3", "size=(-1, 0, 0)", build,
     "cannot be compiled: size 0 must be positive in geom .geom of body 'cube'"),
    (SCENE, BUILT, EXTRA + "spec.option.timestep = 0.003\n    return spec", build, "option.timestep: must divide .* 0.05 s"),
    (SCENE, BUILT, "import mujoco\n    return mujoco.MjSpec()", build,
     "arm 'robot': joint 'robot/joint1' not found; use build_tabletop"),
    # Operator
    (OPERATOR, '["cube"]', '["cub"]', plan, "operator.py:12: plan_demos raises KeyError: 'cub'"),
    (OPERATOR, "max_frames=400)", "max_frames=100)", plan, "operator.py:24: Hand: max_frames must be >= .*got 100"),
    (OPERATOR, "(release, hand.open)", "(release, hand.close)", plan, r"each close\(\) must be followed by an open\(\)"),
    (OPERATOR, "def plan_demos", "def plan_demo", plan, r"plan_demos\(object_poses, eef_pose, draws\) not found"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("file", "text", "mistake", "use", "message"), MISTAKES)
def test_mistake_is_reported_at_its_place_with_the_expected_result(
    file: str,
    text: str,
    mistake: str,
    use: Callable[[Path], Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if use is build:
        requires.module("mujoco", "mujoco")
    monkeypatch.chdir(tmp_path)
    folder = write_task(tmp_path, {file: (text, mistake)})
    with pytest.raises(TaskCodeError, match=message) as caught:
        use(folder)
    assert str(caught.value).startswith(f"{file}:") and "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


LID = '    lid = body.add_body(name="lid", pos=(0, 0, 0.05))\n'
LID += "    make_solid(lid.add_geom(type=BOX, size=(0.01,) * 3), mass=0.05)\n"
BALL = EXTRA + 'ball = spec.worldbody.add_body(name="ball")\n    add_cube(ball)\n    ball.add_freejoint()\n    return spec'
MOTOR = EXTRA + 'spec.add_actuator(name="motor", target="robot/joint1", trntype=mujoco.mjtTrn.mjTRN_JOINT)\n    return spec'
PLATE = "def add_plate(body):\n"


@pytest.mark.parametrize(
    ("text", "mistake", "message"),
    [
        (PLATE, PLATE + LID + '    lid.add_joint(name="hinge_1")\n',
         r"body 'lid' has joint 'hinge_1' .hinge., whose state would not be recorded; add a JointedObject 'lid'"),
        (PLATE, PLATE + LID + "    lid.add_joint()\n", "body 'lid' has joint '' .hinge., whose state would not be recorded"),
        (PLATE, PLATE + '    body.add_joint(name="slide_1")\n', "body 'plate' has joint 'slide_1' .*not be recorded"),
        (PLATE, PLATE + '    body.add_freejoint(name="other")\n', "object 'plate' has 2 free joints .'plate', 'other'"),
        (BUILT, BALL, "body 'ball' has free joint '', but is not one of the task's objects; add a SceneObject"),
        (BUILT, MOTOR, "actuator 'motor' is not supported"),
        (BUILT, EXTRA + 'spec.body("plate").name = "dish"\n    return spec', "body of object 'plate' not found; choices: "),
        (BUILT, EXTRA + 'spec.joint("plate").name = "dish"\n    return spec',
         "object 'plate' must have a free joint named 'plate' .got 'dish'"),
    ],
)  # fmt: skip
def test_scene_with_unsupported_parts_is_refused_with_their_names(
    text: str, mistake: str, message: str, tmp_path: Path
) -> None:
    requires.module("mujoco", "mujoco")
    with pytest.raises(TaskCodeError, match=f"mujoco_scene.py:7: build_spec: {message}"):
        build(write_task(tmp_path, {SCENE: (text, mistake)}))


def test_correct_task_of_the_page_is_loaded_built_stepped_and_planned(tmp_path: Path) -> None:
    folder = write_task(tmp_path)
    for use in (step, plan):
        use(folder)


PLAN = {
    "target_eef_pose": torch.eye(4).expand(2, 30, 4, 4),
    "gripper_action": torch.ones(2, 30, 1),
    "length": torch.full((2,), 30),
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"length": None}, "must return a plan with a tensor 'length'"),
        ({"target_eef_pose": torch.eye(4).expand(2, 4, 4)}, r"target_eef_pose must have the shape \(D, T, 4, 4\)"),
        ({"gripper_action": torch.ones(2, 30)}, r"gripper_action must have the shape \(D, T, 1\), D = 2 demos, T = 30"),
        ({"length": torch.full((2,), 30.0)}, "length must be int64 or int32, in frames .got float32"),
        ({"length": torch.full((2,), 31)}, "length must be from 1 to the number of frames, 30 .got 31 to 31"),
        ({"target_eef_pose": torch.full((2, 30, 4, 4), torch.nan)}, "target_eef_pose must be finite"),
        ({"gripper_action": torch.full((2, 30, 1), torch.inf)}, "gripper_action must be finite"),
    ],
)
def test_plan_that_cannot_be_executed_is_refused_with_its_fault(changed: dict[str, Any], message: str) -> None:
    env: Any = SimpleNamespace(eef_names=("franka",), gripper_dims=(1,))
    assert plan_fault(SimpleNamespace(**PLAN), 2, env) is None
    fault = plan_fault(SimpleNamespace(**PLAN | changed), 2, env)
    assert fault is not None and re.search(message, fault)


@pytest.mark.parametrize(
    ("text", "mistake", "message"),
    [
        ("# @package _global_\n", "", "pick_cube.yaml: the first line must be '# @package _global_'"),
        ("task: {name: pick_cube}\n", "", "pick_cube.yaml: task.name must be set; add the line 'task: {name: "),
    ],
)
def test_task_file_without_a_required_line_is_refused_with_the_line(
    text: str, mistake: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(write_task(tmp_path, {YAML: (text, mistake)}))


def record(folder: Path, *arguments: str) -> Any:
    words = ("task=pick_cube", "num_demos=1", "sim=kinematic", "output_file=raw.hdf5", "overwrite=true")
    return run_mimic("record", *words, *arguments, cwd=folder)


@pytest.mark.slow
def test_command_reports_a_mistake_in_one_line_and_its_traceback_with_debug(tmp_path: Path) -> None:
    write_task(tmp_path, {TASK: ("return on_plate", "return on_plat")})
    done = record(tmp_path, "--config-dir", "my_tasks")
    assert done.returncode == 2
    place = f"{TASK}:{line_of('return on_plate', TASK)}"
    assert message_of(done) == (
        f"TaskCodeError: {place}: success raises NameError: name 'on_plat' is not defined; --debug shows the traceback"
    )
    debugged = record(tmp_path, "--config-dir", "my_tasks", "--debug")
    assert debugged.returncode == 2
    assert "Traceback" in debugged.stderr and "return on_plat &" in debugged.stderr


def test_error_in_nested_functions_of_a_task_has_one_place_and_the_users_error_as_cause(tmp_path: Path) -> None:
    env = mimic.make_env(load(write_task(tmp_path, {TASK: ("return on_plate", "return on_plat")})), "kinematic")
    env.reset(torch.arange(1), Draws(1, torch.arange(1)))
    with pytest.raises(TaskCodeError, match=r"success raises NameError: name 'on_plat' is not defined$") as raised:
        call_task_code(lambda: call_task_code(env.success))
    cause = raised.value.__cause__
    assert isinstance(cause, NameError) and cause.__cause__ is None
    assert "return on_plat &" in "".join(traceback.format_exception(raised.value))  # As shown by --debug.


@pytest.mark.slow
def test_command_reports_the_line_of_broken_yaml(tmp_path: Path) -> None:
    write_task(tmp_path, {YAML: ("  franka:", "  franka")})
    done = record(tmp_path, "--config-dir", "my_tasks")
    assert done.returncode == 2
    assert message_of(done).startswith(f"ConfigError: {YAML}:5: is not valid YAML: mapping values are not allowed here")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ([], "for your own task, use --config-dir <folder>"),
        (["--config-dir", "nowhere"], "--config-dir: folder '{0}/nowhere' not found"),
        (["--config-dir", "my_tasks/pick_cube"], "has no folder 'task' .*; did you mean --config-dir {0}/my_tasks?"),
        (["--config-dir", "."], "has no folder 'task' .*; did you mean --config-dir {0}/my_tasks?"),
    ],
)
def test_task_that_is_not_found_is_reported_with_the_folder_to_use(given: list[str], hint: str, tmp_path: Path) -> None:
    write_task(tmp_path)
    done = record(tmp_path, *given)
    assert done.returncode == 2
    assert re.search(hint.format(tmp_path).replace("?", "[?]"), message_of(done))


@pytest.mark.parametrize("name", ["my tâches", "my (old), tasks=1"])
def test_folder_of_tasks_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = write_task(tmp_path).rename(tmp_path / name)
    assert load_config("record_demos", ["task=pick_cube", "output_file=x"], config_dirs=[folder]).task.name == "pick_cube"
    done = run_mimic("record", "--config-dir", str(folder), "task=pick_cube", "num_demos=0", cwd=tmp_path)
    assert message_of(done) == "ConfigError: num_demos: must be >= 1 (got 0)"
