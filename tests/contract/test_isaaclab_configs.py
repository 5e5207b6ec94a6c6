"""Mimic configurations of Isaac Lab 2.3, converted by `mimic_fields_of` and validated."""

from dataclasses import asdict, fields
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from isaaclab_mimic_ext.config import GenerateCfg, validate_task_cfg
from isaaclab_mimic_ext.config.isaaclab import UNUSED_FIELDS
from isaaclab_mimic_ext.config.task import DataGenConfig, SubTaskConfig
from isaaclab_mimic_ext.errors import TaskSpecError
from isaaclab_mimic_ext.plan.constraints import build_constraints
from isaaclab_mimic_ext.plan.subtasks import build_table
from tests import requires
from tests.contract.isaaclab_side.messages import Shipped
from tests.contract.isaaclab_side.process import IsaacLabProcess

pytestmark = pytest.mark.isaaclab

SHIPPED = (
    "ExhaustPipeGR1T2MimicEnvCfg",
    "FrankaBinStackIKRelMimicEnvCfg",
    "FrankaCubeStackIKAbsMimicEnvCfg",
    "FrankaCubeStackIKRelBlueprintMimicEnvCfg",
    "FrankaCubeStackIKRelMimicEnvCfg",
    "FrankaCubeStackIKRelSkillgenEnvCfg",
    "FrankaCubeStackIKRelVisuomotorCosmosMimicEnvCfg",
    "FrankaCubeStackIKRelVisuomotorMimicEnvCfg",
    "LocomanipulationG1MimicEnvCfg",
    "NutPourGR1T2MimicEnvCfg",
    "PickPlaceGR1T2MimicEnvCfg",
    "PickPlaceGR1T2WaistEnabledMimicEnvCfg",
    "RmpFlowAgibotPlaceToy2BoxMimicEnvCfg",
    "RmpFlowAgibotPlaceUprightMugMimicEnvCfg",
    "RmpFlowGalbotLeftArmGripperCubeStackAbsMimicEnvCfg",
    "RmpFlowGalbotLeftArmGripperCubeStackRelMimicEnvCfg",
    "RmpFlowGalbotRightArmSuctionCubeStackAbsMimicEnvCfg",
    "RmpFlowGalbotRightArmSuctionCubeStackRelMimicEnvCfg",
)
NUM_INSTANTIATED = 18
"""Smallest number of configurations that must be instantiated without Omniverse."""
NUM_TWO_ARMED = 5


@pytest.fixture(scope="module")
def shipped(isaaclab_process: IsaacLabProcess) -> dict[str, Shipped]:
    return isaaclab_process.call("configs", "shipped", None)


def instantiated(shipped: dict[str, Shipped], name: str) -> Shipped:
    found = shipped[name]
    if found.problem is not None:
        requires.missing("isaaclab", f"{name} cannot be instantiated without Omniverse: {found.problem}")
    return found


def merged(ours: dict[str, Any]) -> GenerateCfg:
    """Merge converted fields over the defaults of the schema, which checks their types."""
    schema = OmegaConf.structured(GenerateCfg(subtask_configs={eef: [] for eef in ours["subtask_configs"]}))
    given = {"task": {"name": "isaaclab"}, "input_file": "in.hdf5", "output_dir": "out"}
    return OmegaConf.to_object(OmegaConf.merge(schema, given, ours))


def scene_of(cfg: GenerateCfg) -> Any:
    """Make a scene with exactly the end effectors, objects and signals that the configuration names."""
    subtasks = [subtask for configs in cfg.subtask_configs.values() for subtask in configs]
    return SimpleNamespace(
        eef_names=tuple(cfg.subtask_configs),
        object_names=tuple({s.object_ref for s in subtasks if s.object_ref is not None}),
        signal_names=tuple({s.subtask_term_signal for s in subtasks if s.subtask_term_signal is not None}),
        arms=(),
    )


def test_all_configurations_are_listed_and_enough_can_be_instantiated(shipped):
    problems = {name: found.problem for name, found in shipped.items() if found.problem is not None}
    assert len(shipped) - len(problems) >= NUM_INSTANTIATED, problems
    assert set(shipped) - set(problems) <= set(SHIPPED)
    assert sum(len(found.original.get("subtask_configs", {})) == 2 for found in shipped.values()) >= NUM_TWO_ARMED


@pytest.mark.parametrize("name", SHIPPED)
def test_each_field_of_a_configuration_is_converted(shipped, name):
    found = instantiated(shipped, name)
    assert found.warnings == []
    cfg = merged(found.ours)
    original, ours, defaults = dict(found.original["datagen_config"]), asdict(cfg.datagen_config), asdict(DataGenConfig())
    # Isaac Lab's limit counts all failures of a run, and only with `generation_guarantee`.
    limit = original.pop("max_num_failures") if original["generation_guarantee"] else defaults["max_total_failures"]
    assert (ours["max_num_failures"], ours["max_total_failures"]) == (None, limit)
    original.pop("max_num_failures", None)
    compare(original, ours | {name: defaults[name] for name in ("max_num_failures", "max_total_failures")}, DataGenConfig)
    assert list(cfg.subtask_configs) == list(found.original["subtask_configs"])
    for eef_name, originals in found.original["subtask_configs"].items():
        assert len(cfg.subtask_configs[eef_name]) == len(originals)
        for original, ours in zip(originals, cfg.subtask_configs[eef_name], strict=True):
            compare(original, asdict(ours), SubTaskConfig)
    assert cfg.task_constraint_configs == found.original["task_constraint_configs"] == []


def compare(original: dict[str, Any], ours: dict[str, Any], schema: type) -> None:
    """Check that Isaac Lab's fields keep their values, except `UNUSED_FIELDS`, and that all other fields have defaults."""
    defaults = asdict(schema())
    for name, value in original.items():
        if name not in UNUSED_FIELDS:
            found = list(ours[name]) if isinstance(ours[name], tuple) else ours[name]
            assert found == value, name
            assert type(found) is type(value), name
    for field in fields(schema):
        if field.name not in original:
            assert ours[field.name] == defaults[field.name], field.name


@pytest.mark.parametrize("name", SHIPPED)
def test_configuration_is_valid_and_can_be_converted_to_tables(shipped, name):
    cfg = merged(instantiated(shipped, name).ours)
    scene = scene_of(cfg)
    validate_task_cfg(cfg, scene)
    device = torch.device("cpu")
    for num_noise_entries in (6, 7):
        table = build_table(cfg.subtask_configs, scene.object_names, [num_noise_entries] * len(cfg.subtask_configs), device)
        assert table.noise_std.shape[-1] == num_noise_entries
    constraints = build_constraints(cfg.task_constraint_configs, cfg.subtask_configs, device)
    assert constraints.first_eefs == tuple(range(len(scene.eef_names)))


@pytest.mark.parametrize("name", SHIPPED)
def test_configuration_is_refused_for_a_scene_without_its_objects(shipped, name):
    cfg = merged(instantiated(shipped, name).ours)
    scene = scene_of(cfg)
    scene.object_names = ("other_object",)
    with pytest.raises(TaskSpecError, match=r"object_ref .* is not in the scene; choices: other_object"):
        validate_task_cfg(cfg, scene)


def test_skillgen_configuration_is_valid_with_the_flag_that_isaac_labs_script_sets(shipped):
    cfg = merged(instantiated(shipped, "FrankaCubeStackIKRelSkillgenEnvCfg").ours)
    assert not cfg.datagen_config.use_skillgen
    cfg.datagen_config.use_skillgen = True
    validate_task_cfg(cfg, scene_of(cfg))


def test_constraints_of_isaac_labs_classes_are_converted(isaaclab_process):
    pair = [("left", 0), ("right", 0)]
    given = [
        {"constraint_type": "SEQUENTIAL", "coordination_scheme": "REPLAY", "sequential_min_time_diff": 3},
        *(
            {
                "constraint_type": "COORDINATION",
                "coordination_scheme": scheme,
                "coordination_scheme_pos_noise_scale": 0.25,
                "coordination_scheme_rot_noise_scale": 0.5,
                "coordination_synchronize_start": True,
            }
            for scheme in ("REPLAY", "TRANSFORM", "TRANSLATE")
        ),
    ]
    given = [{"eef_subtask_constraint_tuple": pair, **config} for config in given]
    cfg = merged(isaaclab_process.call("configs", "constraints", given))
    for ours, theirs in zip(cfg.task_constraint_configs, given, strict=True):
        found = asdict(ours)
        assert found.pop("eef_subtask_constraint_tuple") == [["left", 0], ["right", 0]]
        for name, value in found.items():
            expected = theirs.get(name, {"sequential_min_time_diff": -1}.get(name, 0))
            assert value == (expected.lower() if isinstance(expected, str) else expected), name
