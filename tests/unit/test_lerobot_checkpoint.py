"""Checkpoints of `lerobot-train` are found and read without lerobot."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.learn.lerobot import _terms
from isaaclab_mimic_ext.learn.lerobot_checkpoint import find_lerobot_checkpoints, read_lerobot_checkpoint
from isaaclab_mimic_ext.learn.policies import PolicyRequest

SHAPES = {
    "actions": (7,),
    "eef_pos": (3,),
    "gripper_pos": (2,),
    "joint_pos": (9,),
    "ketchup_pos": (3,),
    "agentview": (84, 84, 3),
}
INPUTS = {"observation.state": [14], "observation.environment_state": [3]}


def request(**replaced: Any) -> PolicyRequest:
    values = {"checkpoint": None, "task": "desktop_organizer", "num_envs": 2, "action_dim": 7, "step_dt": 0.05, "seed": 1}
    values |= {"observation_shapes": SHAPES, "device": torch.device("cpu"), "env_args": {"object_names": ["ketchup"]}}
    return PolicyRequest(**{**values, **replaced})


def write_checkpoint(folder: Path, inputs: dict[str, list[int]] = INPUTS, data: Path | None = None) -> Path:
    """Write the JSON files of a checkpoint; `data`: folder of its training data."""
    folder.mkdir(parents=True)
    features = {name: {"type": "STATE", "shape": shape} for name, shape in inputs.items()}
    config = {"type": "act", "input_features": features, "output_features": {"action": {"shape": [7]}}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "train_config.json").write_text(json.dumps({"dataset": {"root": None if data is None else str(data)}}))
    return folder


def write_training(folder: Path, steps: tuple[int, ...] = (100, 20)) -> Path:
    for step in steps:
        write_checkpoint(folder / "checkpoints" / f"{step:06d}" / "pretrained_model")
    (folder / "checkpoints" / "last").symlink_to(f"{max(steps):06d}")
    return folder


def test_all_checkpoints_of_a_training_are_found_in_the_order_of_their_steps(tmp_path: Path) -> None:
    training = write_training(tmp_path / "act")
    assert [each.name for each in find_lerobot_checkpoints(str(training))] == ["step_000020", "step_000100"]
    for place in ("checkpoints/last", "checkpoints/000100/pretrained_model"):
        assert [each.name for each in find_lerobot_checkpoints(str(training / place))] == ["step_000100"]


def test_checkpoints_of_two_trainings_have_different_names(tmp_path: Path) -> None:
    folders = [str(write_training(tmp_path / name, (20,))) for name in ("act", "diffusion")]
    assert [each.name for each in find_lerobot_checkpoints(folders)] == ["act/step_000020", "diffusion/step_000020"]


def test_folders_without_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceDataError, match=r"checkpoint: .*nowhere not found; give the folder that lerobot-train wrote"):
        find_lerobot_checkpoints(str(tmp_path / "nowhere"))
    with pytest.raises(SourceDataError, match="contains no checkpoint of LeRobot"):
        find_lerobot_checkpoints(str(tmp_path))
    with pytest.raises(ConfigError, match="checkpoint: must be the path of a folder"):
        find_lerobot_checkpoints(3)


def test_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "a")
    (folder / "config.json").write_text('{"input_features": {}}')
    with pytest.raises(SourceDataError, match=r"config.json: is damaged .*; train again"):
        read_lerobot_checkpoint(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(SourceDataError, match=r"config.json: cannot be read"):
        read_lerobot_checkpoint(folder)


def test_features_without_names_are_the_robot_and_the_objects(tmp_path: Path) -> None:
    terms = _terms(read_lerobot_checkpoint(write_checkpoint(tmp_path / "a")), request())
    assert terms == {
        "observation.state": ["eef_pos", "gripper_pos", "joint_pos"],
        "observation.environment_state": ["ketchup_pos"],
    }


def test_names_in_the_training_data_decide_the_observations(tmp_path: Path) -> None:
    meta = tmp_path / "data" / "meta"
    meta.mkdir(parents=True)
    names = ["gripper_pos.0", "gripper_pos.1", "eef_pos.x", "eef_pos.y", "eef_pos.z"]
    (meta / "info.json").write_text(json.dumps({"features": {"observation.state": {"names": names}}}))
    (meta / "source.json").write_text(json.dumps({"env_args": {"cameras": {"rendering_mode": "film"}}}))
    (meta / "provenance.jsonl").write_text('{"episode_index": 0, "instruction": "tidy up"}\n')
    inputs = {"observation.state": [5], "observation.images.agentview": [3, 84, 84]}
    checkpoint = read_lerobot_checkpoint(write_checkpoint(tmp_path / "a", inputs, tmp_path / "data"))
    assert checkpoint.instruction == "tidy up"
    assert _terms(checkpoint, request())["observation.state"] == ["gripper_pos", "eef_pos"]
    cameras = checkpoint.cameras().cfg
    assert (cameras.names, cameras.size, cameras.rendering_mode) == (["agentview"], [84, 84], "film")


@pytest.mark.parametrize(
    ("inputs", "replaced", "message"),
    [
        ({"observation.state": [15]}, {}, "has 15 entries, and eef_pos, gripper_pos, joint_pos of the env have 14"),
        ({"observation.images.side": [3, 84, 84]}, {}, "the policy sees pictures that the env does not draw: side"),
        ({"observation.images.agentview": [3, 96, 96]}, {}, r"'agentview' must have shape \(84, 84, 3\)"),
        (INPUTS, {"action_dim": 14}, r"must have 14 entries .*\(got 7\); export the dataset with actions=delta"),
    ],
)
def test_policies_for_other_observations_or_actions_are_refused(
    tmp_path: Path, inputs: dict[str, list[int]], replaced: dict[str, Any], message: str
) -> None:
    checkpoint = read_lerobot_checkpoint(write_checkpoint(tmp_path / "a", inputs))
    with pytest.raises(SourceDataError, match=message):
        _terms(checkpoint, request(**replaced))


def test_pictures_of_several_sizes_are_refused(tmp_path: Path) -> None:
    inputs = {"observation.images.agentview": [3, 84, 84], "observation.images.wrist": [3, 64, 84]}
    with pytest.raises(SourceDataError, match=r"must have one size \(got agentview 84x84, wrist 64x84\)"):
        read_lerobot_checkpoint(write_checkpoint(tmp_path / "a", inputs)).cameras()
