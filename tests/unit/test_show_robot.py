"""`mimic show robot=`: the picture of a robot, with its joints and its gripper."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isaaclab_mimic_ext.config import ShowDemoCfg
from isaaclab_mimic_ext.envs.robots.picture import draw_robot
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SimulatorUnavailable
from isaaclab_mimic_ext.task.robot import RobotCfg
from tests import requires
from tests.jobs import command
from tests.own_robot import own_robot

requires.module("mujoco", "mujoco")


def test_picture_shows_the_closing_of_the_gripper(tmp_path: Path) -> None:
    from imageio.v3 import imread

    with requires.available("opengl", SimulatorUnavailable):
        robot = draw_robot(own_robot(tmp_path), tmp_path / "arm.png")
    pixels = imread(tmp_path / "arm.png")
    _, opened, closed = np.split(pixels[20:], 3, axis=1)
    assert robot.num_joints == 6
    assert np.mean(np.any(opened != closed, axis=-1)) > 0.01
    with pytest.raises(OutputError, match="already exists"):
        draw_robot(own_robot(tmp_path), tmp_path / "arm.png")


def test_command_prints_the_joints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = ShowDemoCfg(robot=own_robot(tmp_path), output_file=str(tmp_path / "arm.png"))
    with requires.available("opengl", SimulatorUnavailable):
        command("show", cfg)
    printed = capsys.readouterr().out
    assert "upper_roll" not in printed and "lower_roll" in printed and "-2.90 to  2.90" in printed
    assert "opens to 79 mm; commands: open 0.04, closed 0" in printed
    command("show", replace(cfg, json=True, overwrite=True))
    facts = json.loads(capsys.readouterr().out)
    assert facts["path"] == cfg.output_file and facts["gripper_open"] == [0.04] and len(facts["home"]) == 8


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (ShowDemoCfg(), "input_file: must be set, .* or draw a robot with robot=<name>"),
        (
            ShowDemoCfg(input_file=__file__, robot=RobotCfg()),
            "robot: draws a robot without a demo; omit input_file, or robot",
        ),
        (ShowDemoCfg(robot=RobotCfg(home=[0.0])), "robot.home: has no effect without robot.mjcf"),
        (
            ShowDemoCfg(input_file=__file__, output_file="page.png"),
            "output_file: must end with .html for the page of a demo",
        ),
    ],
)
def test_contradicting_fields_are_refused(cfg: ShowDemoCfg, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        command("show", cfg)
