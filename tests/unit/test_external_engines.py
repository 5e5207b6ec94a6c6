"""Engines outside of this package: how they are found, and faults that are reported before a run."""

import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch

from isaaclab_mimic_ext.checks.engine import KEPT, RULES, SKIPPED, VIOLATED, Bench, RuleResult, check_engine
from isaaclab_mimic_ext.command_lines import program
from isaaclab_mimic_ext.config.compose import load_task
from isaaclab_mimic_ext.datasets.replay import is_embedded
from isaaclab_mimic_ext.envs import external
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import make_env
from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.errors import ConfigError
from tests import requires

TASK = load_task("stack_cube")
HEAD = """
import torch
from isaaclab_mimic_ext.envs.kinematic import KinematicEnv
from isaaclab_mimic_ext.math import pose_from_pos_rot
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Function that writes the module `own_engine` to the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(program, "config_dirs", ())
    yield lambda code: (tmp_path / "own_engine.py").write_text(HEAD + code) and None
    sys.modules.pop("own_engine", None)


def make(name: str = "own_engine:Own") -> MimicEnv:
    return make_env(TASK, name, num_envs=2)


def test_engine_of_a_module_is_found_and_recorded_as_it_was_named(module: Callable[[str], None]) -> None:
    module("class Own(KinematicEnv): pass")
    env = make()
    assert env.env_args()["engine"] == "own_engine:Own" and is_embedded("own_engine:Own")


def test_engine_of_an_entry_point_is_found(module: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    module("class Own(KinematicEnv): pass")
    point = EntryPoint("own", "own_engine:Own", external.GROUP)
    monkeypatch.setattr(external, "installed_engines", lambda: {"own": point})
    assert external.load_engine("own").__name__ == "Own" and external.is_external("own")


def test_module_in_a_folder_of_config_dir_is_found(
    module: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module("class Own(KinematicEnv): pass")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(program, "config_dirs", (tmp_path,))
    assert make().num_envs == 2


FAULTS = {
    "module not found": (
        "",
        "nowhere:Own",
        r"sim.engine: module 'nowhere' not found in Python's path, in .*; check its name",
    ),
    "class not found": ("class Owned: pass", "own_engine:Own", r"class 'Own' is not in module 'own_engine'; .*'Owned'"),
    "no class": ("Own = 3", "own_engine:Own", r"'own_engine:Own' must be a class \(got 3\)"),
    "no name of a class": ("", "own_engine:", r"must be <module>:<class>, e.g. planar:PlanarEnv \(got 'own_engine:'\)"),
    "module with an error": (
        "1 / 0",
        "own_engine:Own",
        r"module 'own_engine' cannot be imported: ZeroDivisionError",
    ),
    "no engine": ("class Own: pass", "own_engine:Own", r"'own_engine:Own' is not an engine; it must have the methods"),
    "method missing": (
        "from isaaclab_mimic_ext.envs.embedded import EmbeddedEnv\n"
        "class Own(EmbeddedEnv):\n    def _write_state(self, *rows): pass",
        "own_engine:Own",
        r"'own_engine:Own' lacks _advance; define what is missing",
    ),
    "error when created": (
        "class Own(KinematicEnv):\n    def __init__(self, task): pass",
        "own_engine:Own",
        r"'own_engine:Own' raises TypeError: .*positional arguments.*\(external.py:",
    ),
    "wrong shape": (
        "class Own(KinematicEnv):\n    eef_pose = property(lambda self: self.scene.eef_pose[:, 0])",
        "own_engine:Own",
        r"'own_engine:Own': eef_pose must be \(2, 1, 4, 4\) float32 \(got \(2, 4, 4\) float32\); run `mimic check-engine",
    ),
    "wrong unit": (
        "class Own(KinematicEnv):\n    def _write_state(self, ids, joint_pos, joint_vel, root_pose, *rest):\n"
        "        root_pose[..., :3] *= 1000\n"
        "        super()._write_state(ids, joint_pos, joint_vel, root_pose, *rest)",
        "own_engine:Own",
        r"reset: 'cube_1' must be on the table at height 0.0234 m, in meters and in the frame of its env \(got [45]\d\d",
    ),
    "wrong frame": (
        "class Own(KinematicEnv):\n    def _write_state(self, ids, joint_pos, joint_vel, root_pose, *rest):\n"
        "        root_pose[..., 0] += 2.5 * ids[:, None]\n"
        "        super()._write_state(ids, joint_pos, joint_vel, root_pose, *rest)",
        "own_engine:Own",
        r"in meters and in the frame of its env \(got 2\.\d+|\(got 3\.\d+, .* in env 1\)",
    ),
    "wrong order of quaternions": (
        "class Own(KinematicEnv):\n    def get_state(self):\n        state = super().get_state()\n"
        "        for each in state['rigid_object'].values():\n"
        "            each['root_pose'] = each['root_pose'][:, [0, 1, 2, 6, 3, 4, 5]]\n        return state",
        "own_engine:Own",
        r"root_pose of 'cube_1' must contain the rotation of object_pose as quaternion xyzw; its order is wxyz",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_an_engine_is_reported_before_the_run(fault: str, module: Callable[[str], None]) -> None:
    code, name, message = FAULTS[fault]
    module(code)
    with pytest.raises(ConfigError, match=message):
        make(name)


def test_name_that_is_not_an_engine_lists_the_form_of_external_engines() -> None:
    with pytest.raises(ConfigError, match=r"'planar' is not a valid engine; choices: .*kinematic, .*<module>:<class>"):
        make("planar")


def results_of(engine_class: type[KinematicEnv]) -> dict[str, RuleResult]:
    events = TASK.config.events
    bench = Bench(lambda num_envs: engine_class(TASK, events, num_envs), TASK, events)
    return {result.rule: result for result in check_engine(bench)}


@pytest.mark.parametrize("engine", ["kinematic", "mujoco"])
def test_engines_of_this_package_keep_all_rules(engine: str) -> None:
    if engine == "mujoco":
        requires.module("mujoco.batch", "mujoco")
    bench = Bench(lambda num_envs: make_env(TASK, engine, num_envs=num_envs), TASK, TASK.config.events)
    assert [result for result in check_engine(bench) if result.outcome != KEPT] == []


class Forgetful(KinematicEnv):
    """Resets all envs, steps all envs, and stops halfway to a target."""

    def _write_state(self, env_ids: torch.Tensor, *rows: torch.Tensor) -> None:
        ids = torch.arange(self.num_envs)
        super()._write_state(ids, *(each[:1].expand(len(ids), *each.shape[1:]) for each in rows))

    def _advance(self, target: torch.Tensor, is_open: torch.Tensor, env_ids: Any) -> None:
        super()._advance(self.scene.eef_pose, is_open, None)


class Failing(KinematicEnv):
    def success(self) -> torch.Tensor:
        raise IndexError("no row 3")


class Numbered(KinematicEnv):
    """Its poses depend on the number of envs."""

    def _write_state(self, env_ids: torch.Tensor, joint_pos: torch.Tensor, *rows: torch.Tensor) -> None:
        super()._write_state(env_ids, joint_pos + 1e-6 * self.num_envs, *rows)


@pytest.mark.parametrize(
    ("engine_class", "faults"),
    [
        (
            Forgetful,
            {
                "trials by their numbers": r"reset: all trials begin with the same scene",
                "reset of some envs": r"differs in an env that was not reset",
                "steps of some envs": r"differs in an env that did not step|differs if other envs",
                "motion to a target": r"eef_pose is 86.6 mm away from a target at 50 mm per axis after 40 steps; units",
            },
        ),
        (Numbered, {"any number of envs": r"differs if more than one env runs"}),
    ],
)
def test_violated_rule_is_reported_with_its_quantity(engine_class: type[KinematicEnv], faults: dict[str, str]) -> None:
    results = results_of(engine_class)
    for rule, fault in faults.items():
        assert results[rule].outcome == VIOLATED
        assert re.search(fault, results[rule].fault or "")


def test_error_of_an_engine_is_a_violation_and_skips_the_rules_that_need_it() -> None:
    results = results_of(Failing)
    assert results["shapes and types"].fault is not None and "IndexError: no row 3 (" in results["shapes and types"].fault
    assert {results[rule].outcome for rule in [*RULES][5:]} == {SKIPPED}
