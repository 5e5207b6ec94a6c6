"""Conversion of Isaac Lab's Mimic configurations, tested with small objects instead of Isaac Lab."""

import enum
import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.config.isaaclab import UNUSED_FIELDS, mimic_fields_of
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.run.build import same_digest_with


class SubTaskConstraintType(enum.IntEnum):
    """The enum of Isaac Lab 2.3 and 3.0."""

    SEQUENTIAL = 0
    COORDINATION = 1
    _SEQUENTIAL_FORMER = 2
    _SEQUENTIAL_LATTER = 3


class CoordinationScheme(enum.IntEnum):
    REPLAY = 0
    TRANSFORM = 1
    TRANSLATE = 2


class Attributes:
    """Object with the given attributes, in place of a configuration."""

    def __init__(self, **attributes: Any):
        vars(self).update(attributes)


@dataclass
class StackMimicEnvCfg:
    datagen_config: Any = field(default_factory=lambda: Attributes(name="stack", generation_num_trials=7))
    subtask_configs: Any = field(default_factory=lambda: {"franka": [Attributes(object_ref="cube")]})
    task_constraint_configs: Any = field(default_factory=list)


def one_subtask(**attributes: Any) -> dict[str, Any]:
    env_cfg = StackMimicEnvCfg(subtask_configs={"franka": [Attributes(**attributes)]})
    return mimic_fields_of(env_cfg)["subtask_configs"]["franka"][0]


def one_constraint(**attributes: Any) -> dict[str, Any]:
    return mimic_fields_of(StackMimicEnvCfg(task_constraint_configs=[Attributes(**attributes)]))["task_constraint_configs"][
        0
    ]


def test_only_fields_of_the_configuration_are_converted_with_their_names():
    found = mimic_fields_of(StackMimicEnvCfg())
    assert found == {
        "datagen_config": {"generation_num_trials": 7},
        "subtask_configs": {"franka": [{"object_ref": "cube"}]},
        "task_constraint_configs": [],
    }


def test_converted_fields_merge_over_the_schema_and_below_overrides():
    pair = (("left", 0), ("right", np.int64(1)))
    subtasks = [
        Attributes(subtask_term_signal="grasp", subtask_term_offset_range=(3, 8)),
        Attributes(subtask_term_signal=None),
    ]
    env_cfg = StackMimicEnvCfg(
        subtask_configs={"left": subtasks, "right": subtasks},
        task_constraint_configs=[
            Attributes(eef_subtask_constraint_tuple=pair, constraint_type=SubTaskConstraintType.SEQUENTIAL)
        ],
    )
    schema = OmegaConf.structured(GenerateCfg(subtask_configs={"left": [], "right": []}))
    merged = OmegaConf.merge(schema, mimic_fields_of(env_cfg), OmegaConf.from_dotlist(["datagen_config.seed=5"]))
    merged.task.name, merged.input_file, merged.output_dir = "isaaclab", "in", "out"
    cfg = OmegaConf.to_object(merged)
    assert isinstance(cfg, GenerateCfg)
    assert (cfg.datagen_config.generation_num_trials, cfg.datagen_config.seed) == (7, 5)
    assert cfg.subtask_configs["left"][0].subtask_term_offset_range == (3, 8)
    assert cfg.subtask_configs["right"][1].subtask_term_signal is None
    assert cfg.subtask_configs["right"][1].num_interpolation_steps == 5
    assert cfg.task_constraint_configs[0].eef_subtask_constraint_tuple == [["left", 0], ["right", 1]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0.003, 0.003),
        (torch.tensor(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (torch.tensor([0.5]), 0.5),
        ([0.25] * 6, [0.25] * 6),
        ((0.25, 0.5), [0.25, 0.5]),
    ],
)
def test_action_noise_is_one_number_or_one_per_pose_entry(given, expected, caplog):
    assert one_subtask(action_noise=given)["action_noise"] == expected
    assert not caplog.records


def test_action_noise_array_logs_a_warning_about_the_different_meaning_in_isaac_lab(caplog):
    assert one_subtask(action_noise=torch.full((7,), 0.5))["action_noise"] == [0.5] * 7
    assert "subtask_configs.franka.0.action_noise: has 7 numbers, used as one per pose entry" in caplog.text


def test_none_becomes_the_default_in_fields_that_cannot_be_none():
    found = one_subtask(object_ref=None, subtask_term_signal=None, selection_strategy_kwargs=None, description=None)
    assert found == {"object_ref": None, "subtask_term_signal": None}


def test_missing_noise_is_kept_for_validation():
    assert one_subtask(action_noise=None) == {"action_noise": None}


@pytest.mark.parametrize("given", [SubTaskConstraintType.COORDINATION, 1, "coordination", "COORDINATION"])
@pytest.mark.parametrize("scheme", [CoordinationScheme.TRANSFORM, 1, "transform", "TRANSFORM"])
def test_enums_become_names(given, scheme):
    assert one_constraint(constraint_type=given, coordination_scheme=scheme) == {
        "constraint_type": "coordination",
        "coordination_scheme": "transform",
    }


def test_all_members_of_the_enums_are_converted():
    found = [
        one_constraint(constraint_type=0, coordination_scheme=scheme)["coordination_scheme"] for scheme in CoordinationScheme
    ]
    assert found == ["replay", "transform", "translate"]
    types = (SubTaskConstraintType.SEQUENTIAL, SubTaskConstraintType.COORDINATION)
    assert [one_constraint(constraint_type=kind)["constraint_type"] for kind in types] == ["sequential", "coordination"]


def test_missing_coordination_scheme_keeps_its_default():
    assert "coordination_scheme" not in one_constraint(constraint_type=0, coordination_scheme=None)


@pytest.mark.parametrize("given", [SubTaskConstraintType._SEQUENTIAL_FORMER, "_SEQUENTIAL_LATTER"])
def test_constraint_types_internal_to_isaac_lab_are_refused(given):
    with pytest.raises(
        ConfigError, match=r"task_constraint_configs\.0\.constraint_type: .* internal .* SEQUENTIAL, COORDINATION"
    ):
        one_constraint(constraint_type=given)


@pytest.mark.parametrize("given", [7, -1, True, "parallel", 0.5])
def test_unknown_constraint_types_are_refused(given):
    with pytest.raises(ConfigError, match=r"constraint_type: must be one of the choices \(got .*\); choices"):
        one_constraint(constraint_type=given)


def test_constraint_without_a_type_is_refused():
    with pytest.raises(
        ConfigError, match=r"constraint_type: must be set \(got no value\); choices: sequential, coordination"
    ):
        one_constraint(constraint_type=None)


def test_unknown_fields_log_a_warning_and_unused_fields_do_not(caplog):
    env_cfg = StackMimicEnvCfg(
        datagen_config=Attributes(**dict.fromkeys(UNUSED_FIELDS, "value")),
        subtask_configs={"franka": [Attributes(speed_limit=0.5, next_subtask_description="Stack it")]},
    )
    with caplog.at_level(logging.WARNING):
        found = mimic_fields_of(env_cfg)
    assert found["datagen_config"] == {}
    assert found["subtask_configs"] == {"franka": [{}]}
    assert [record.getMessage() for record in caplog.records] == [
        "subtask_configs.franka.0.speed_limit: ignored (0.5 in Isaac Lab's configuration); generation has no such field"
    ]


@pytest.mark.parametrize("missing", ["datagen_config", "subtask_configs"])
def test_configuration_without_a_part_of_mimic_is_refused(missing):
    class ReachEnvCfg(StackMimicEnvCfg):
        pass

    env_cfg = ReachEnvCfg(**{missing: None})
    with pytest.raises(ConfigError, match=rf"ReachEnvCfg, .* is not a Mimic .*: {missing} not found; use .*MimicEnvCfg"):
        mimic_fields_of(env_cfg)


def test_configuration_without_any_part_of_mimic_names_all_missing_parts():
    with pytest.raises(ConfigError, match=r"Attributes, .* datagen_config and subtask_configs not found"):
        mimic_fields_of(Attributes(scene=None))


@pytest.mark.parametrize(
    ("subtasks", "place"), [({}, "subtask_configs"), ({"a": [Attributes()], "b": []}, r"subtask_configs\.b")]
)
def test_end_effectors_without_subtasks_are_refused(subtasks, place):
    with pytest.raises(ConfigError, match=rf"^{place}: must not be empty \(in StackMimicEnvCfg\); .*SubTaskConfig"):
        mimic_fields_of(StackMimicEnvCfg(subtask_configs=subtasks))


def datagen_config(**attributes: Any) -> dict[str, Any]:
    return mimic_fields_of(StackMimicEnvCfg(datagen_config=Attributes(**attributes)))["datagen_config"]


def test_failures_of_a_registered_task_are_counted_in_total_and_only_with_guarantee(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    assert datagen_config(max_num_failures=9) == {"max_num_failures": None, "max_total_failures": 9}
    assert "max_num_failures: 9 of the task is used as max_total_failures" in caplog.text
    found = datagen_config(max_num_failures=9, generation_guarantee=False)
    assert found == {"max_num_failures": None, "generation_guarantee": False}
    assert "max_num_failures: 9 of the task has no effect" in caplog.text
    assert datagen_config(max_num_failures=None) == {"max_num_failures": None}


def test_datasets_state_which_runs_have_their_digest():
    assert same_digest_with("mujoco", "cpu") == "any num_envs, and after resume"
    assert same_digest_with("isaaclab", "cpu") == "the same command, without resume"
    assert same_digest_with("mujoco_warp", "cuda").startswith("nothing")
