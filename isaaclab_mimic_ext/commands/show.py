"""`mimic show`: pages of demos, and pictures of robots."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.config import ShowDemoCfg
from isaaclab_mimic_ext.envs.robots import Robot
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.files.selection import LeftOut
from isaaclab_mimic_ext.files.stream import read_facts
from isaaclab_mimic_ext.files.writing import check_output
from isaaclab_mimic_ext.report.demo_page import ShownDemo, page_path, show_demo
from isaaclab_mimic_ext.task.robot import PANDA
from isaaclab_mimic_ext.texts import counted


def main(cfg: ShowDemoCfg) -> list[ShownDemo]:
    """Write the page of one demo, or one page for each of several demos, or the picture of a robot.

    Raises:
        ConfigError: the file does not contain a demo, the robot does not fit its file, or fields contradict each other;
            nothing is written.
        SourceDataError: the file is missing, or all demos are damaged.
        OutputError: a page exists or cannot be written.
        SimulatorUnavailable: the robot cannot be drawn here.
    """
    if cfg.robot != ShowDemoCfg().robot:
        _draw_robot(cfg)
        return []
    if not cfg.input_file:
        raise ConfigError(
            "input_file: must be set, e.g. input_file=datasets/run/demo.hdf5; or draw a robot with robot=<name>"
        )
    if cfg.output_file is not None and Path(cfg.output_file).suffix.lower() != ".html":
        raise ConfigError(f"output_file: must end with .html for the page of a demo (got '{cfg.output_file}')")
    shown = _write_pages(cfg, cfg.input_file)
    if cfg.json:
        pages = [{"input_file": cfg.input_file, **asdict(page)} for page in shown]
        print(json.dumps(pages[0] if cfg.demos is None else pages, indent=2, default=str))
    return shown


def _draw_robot(cfg: ShowDemoCfg) -> None:
    """Draw the robot and print its joints and its gripper."""
    from isaaclab_mimic_ext.envs.robots.picture import draw_robot

    if cfg.input_file is not None:
        raise ConfigError("robot: draws a robot without a demo; omit input_file, or robot")
    if cfg.robot.arms:
        raise ConfigError("robot.arms: one robot is drawn; use robot=<name>, or robot.mjcf=<file> with further fields")
    described = replace(cfg.robot, name=cfg.robot.name or PANDA)
    path = cfg.output_file or f"robot_{described.label}.png"
    robot = draw_robot(described, path, cfg.overwrite)
    if cfg.json:
        print(json.dumps({"path": path, **_facts(robot)}, indent=2))
        return
    joints = zip(robot.joint_names, robot.joint_limits, robot.home, strict=False)
    rows = [f"  {name:<28}{low:8.2f} to {high:5.2f}{start:8.2f}" for name, (low, high), start in joints]
    print("\n".join((f"  {'joint':<28}{'range [rad]':>17}{'start':>8}", *rows)))
    opening = f"  gripper opens to {2e3 * robot.finger_open:.0f} mm; "
    print(f"{opening}commands: open {_listed(robot.open_command)}, closed {_listed(robot.closed_command)}")
    print(
        f"Saved the picture of robot {robot.name} to {path}; axes: x red, y green (fingers close), z blue (out of the hand)"
    )


def _facts(robot: Robot) -> dict[str, Any]:
    return {
        "name": robot.name,
        "joint_names": robot.joint_names,
        "joint_limits": robot.joint_limits,
        "home": robot.home,
        "gripper_width": 2 * robot.finger_open,
        "gripper_open": robot.open_command,
        "gripper_closed": robot.closed_command,
    }


def _listed(commands: Sequence[float]) -> str:
    return ", ".join(f"{each:g}" for each in commands)


def _write_pages(cfg: ShowDemoCfg, input_file: str) -> list[ShownDemo]:
    if cfg.demos is None:
        return [_write_page(cfg, input_file, cfg.demo)]
    names = _demos_to_show(cfg, input_file)
    return [page for _, page in LeftOut(input_file).usable(names, lambda name: _write_page(cfg, input_file, name))]


def _write_page(cfg: ShowDemoCfg, input_file: str, name: str | None) -> ShownDemo:
    shown = show_demo(input_file, name, cfg.output_file, pictures=cfg.pictures, overwrite=cfg.overwrite)
    if not cfg.json:
        lines = [*shown.missing, f"Saved the page of {shown.demo} ({counted(shown.num_steps, 'step')}) to {shown.path}"]
        print("\n".join(lines))
    return shown


def _demos_to_show(cfg: ShowDemoCfg, input_file: str) -> list[str]:
    """Names of the demos of `demos`. All pages are checked before the first one is written.

    Raises:
        ConfigError: a name is not in the file, `demo` is set too, or `output_file` is set for several demos.
        OutputError: a page exists.
    """
    if cfg.demo is not None:
        raise ConfigError(f"demos: must not be set together with demo (got demo={cfg.demo}); use only one of them")
    names = read_facts(input_file, cfg.demos).demo_names
    if cfg.output_file is not None and len(names) > 1:
        raise ConfigError(
            f"output_file: is for one demo (got {len(names)}); the default is one page per demo next to the file"
        )
    for name in names:
        check_output(Path(cfg.output_file or page_path(input_file, name)), cfg.overwrite)
    return names
