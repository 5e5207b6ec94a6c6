"""A small arm of primitives with a parallel gripper, as a user's MJCF file: 5, 6 or 7 joints."""

from pathlib import Path
from typing import Any

from isaaclab_mimic_ext.task.robot import RobotCfg

_ARM = """
<mujoco model="own_arm">
  <compiler angle="radian" autolimits="true"/>
  <default>
    <joint range="-2.9 2.9" damping="1"/>
    <geom type="capsule" rgba="0.35 0.55 0.75 1" mass="1"/>
  </default>
  <worldbody>
    <body name="base">
      <geom type="cylinder" size="0.07 0.1" pos="0 0 0.1"/>
      <body name="turret" pos="0 0 0.3">
        <joint name="turn" axis="0 0 1"/>
        <geom fromto="0 0 -0.1 0 0 0" size="0.05"/>
        <body name="upper">
          <joint name="shoulder" axis="0 1 0"/>
          {upper_roll}
          <geom fromto="0 0 0.08 0 0 0.32" size="0.04"/>
          <body name="lower" pos="0 0 0.4">
            <joint name="elbow" axis="0 1 0"/>
            {lower_roll}
            <geom fromto="0 0 0.08 0 0 0.27" size="0.035"/>
            <body name="wrist" pos="0 0 0.35">
              <joint name="bend" axis="0 1 0"/>
              <geom fromto="0 0 0 0 0 0.06" size="0.03"/>
              <body name="hand" pos="0 0 0.09">
                <joint name="roll" axis="0 0 1"/>
                <geom type="box" size="0.02 0.08 0.02" pos="0 0 0.02"/>
                <site name="grip" pos="0 0 0.12"/>
                <body name="left" pos="0 0 0.04">
                  <joint name="left" type="slide" axis="0 1 0" range="0 0.04" damping="20"/>
                  <geom type="box" size="0.01 0.005 0.045" pos="0 0.005 0.045" mass="0.05"/>
                </body>
                <body name="right" pos="0 0 0.04">
                  <joint name="right" type="slide" axis="0 -1 0" range="0 0.04" damping="20"/>
                  <geom type="box" size="0.01 0.005 0.045" pos="0 -0.005 0.045" mass="0.05"/>
                </body>
              </body>
            </body>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <equality><joint joint1="left" joint2="right" solref="0.005 1"/></equality>
  <actuator>
    <motor name="turn" joint="turn" ctrlrange="-80 80"/>
    <position name="jaws" joint="left" kp="1000" kv="40" ctrlrange="0 0.04" forcerange="-30 30"/>
  </actuator>
</mujoco>
"""


def own_robot(folder: Path, num_joints: int = 6, replaced: dict[str, str] | None = None, **fields: Any) -> RobotCfg:
    """Write the MJCF file of the arm and return its description.

    Args:
        replaced: texts of the file -> other texts.
        **fields: fields of the description.
    """
    rolls = {
        "upper_roll": '<joint name="upper_roll" axis="0 0 1"/>' if num_joints > 6 else "",
        "lower_roll": '<joint name="lower_roll" axis="0 0 1"/>' if num_joints > 5 else "",
    }
    text = _ARM.format(**rolls)
    for old, new in (replaced or {}).items():
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "own_arm.xml"
    path.write_text(text, encoding="utf-8")
    return RobotCfg(**{"mjcf": str(path), "eef_frame": "grip", "gripper": "jaws", **fields})
