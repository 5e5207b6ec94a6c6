"""Valid configurations, and the messages about invalid ones."""

from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import OmegaConf

from isaaclab_mimic_ext.commands.overrides import translate
from isaaclab_mimic_ext.config import (
    SCRIPT_SCHEMAS,
    EventCfg,
    GenerateCfg,
    InspectDatasetCfg,
    RecordDemosCfg,
    SplitDatasetCfg,
    SubTaskConfig,
    SubTaskConstraintConfig,
    TaskRef,
    validate,
)
from isaaclab_mimic_ext.config.compose import load_config, to_typed
from isaaclab_mimic_ext.errors import ConfigError, TaskSpecError

WRONG_CONSTRAINT = SubTaskConstraintConfig([["frank", 0], ["franka", 1]], "sequential")


def generate_cfg() -> GenerateCfg:
    """A valid configuration of two subtasks."""
    reach = SubTaskConfig(object_ref="ketchup", subtask_term_signal="reach", subtask_term_offset_range=(3, 8))
    place = SubTaskConfig(object_ref="basket", description="place")
    return GenerateCfg(
        task=TaskRef("desktop_organizer"),
        subtask_configs={"franka": [reach, place]},
        events={"randomize_ketchup": EventCfg(asset="ketchup", pose_range={"x": [-0.1, 0.1]})},
        input_file="source.hdf5",
        output_dir="run",
    )


def set_field(place: str, value: Any) -> Callable[[GenerateCfg], None]:
    """Sets a field by its dotted name, as an override would."""

    def change(cfg: Any) -> None:
        *path, last = place.split(".")
        for step in path:
            cfg = cfg[int(step)] if isinstance(cfg, list) else cfg[step] if isinstance(cfg, dict) else getattr(cfg, step)
        if isinstance(cfg, dict):
            cfg[last] = value
        else:
            setattr(cfg, last, value)

    return change


def test_valid_configuration_passes() -> None:
    validate(generate_cfg())


REACH, PLACE = "subtask_configs.franka.0", "subtask_configs.franka.1"


# fmt: off
WRONG_VALUES = [
    ("num_envs", 0, ["num_envs", "0", ">= 1"]),
    ("device", "cdu", ["device", "'cdu'", "cpu, cuda"]),
    ("device", "cuda:99", ["device", "'cuda:99'", "device=cpu"]),
    ("device", "meta", ["device", "'meta'", "cpu, cuda"]),
    ("output_dir", "", ["output_dir", "path of a folder, e.g."]),
    ("num_video_demos", 0, ["num_video_demos", ">= 1"]),
    ("task.name", "desktop_orgnizer", ["task", "did you mean 'desktop_organizer'?"]),
    ("sim.num_threads", -1, ["sim.num_threads", "-1", ">= 0"]),
    ("recorder.compression", "gzp", ["recorder.compression", "none, lzf, gzip", "did you mean 'gzip'?"]),
    ("recorder.format_version", 2, ["recorder.format_version: '2'", "choices: 0, 1", "Isaac Lab 2.3"]),
    ("recorder.queue_megabytes", 0, ["recorder.queue_megabytes", ">= 1"]),
    ("datagen_config.seed", -1, ["datagen_config.seed", "-1", ">= 0 and <= 2**64 - 1"]),
    ("datagen_config.generation_num_trials", 0, ["generation_num_trials", ">= 1"]),
    ("datagen_config.max_num_failures", 0, ["max_num_failures", "null"]),
    ("datagen_config.num_final_hold_steps", -1, ["num_final_hold_steps", ">= 0"]),
    ("datagen_config.success_rule", "hold", ["success_rule", "held, any_step", "did you mean 'held'?"]),
    ("datagen_config.compat_select", "mimicgen", ["compat_select", "mimic, isaaclab"]),
    ("task_constraint_configs", [WRONG_CONSTRAINT], ["task_constraint_configs.0", "'frank'", "franka"]),
    ("subtask_configs.frank", [], ["subtask_configs", "'frank'", "franka"]),
    ("subtask_configs.franka", [], ["subtask_configs.franka", "at least one"]),
    (f"{REACH}.object_ref", "ketchop", [f"{REACH} (reach)", "object_ref 'ketchop'", "did you mean 'ketchup'?"]),
    (f"{REACH}.subtask_term_signal", None, [REACH, "subtask_term_signal must be set", "reach, grasp, lift, place"]),
    (f"{REACH}.subtask_term_signal", "raech", [REACH, "'raech'", "did you mean 'reach'?"]),
    (f"{REACH}.subtask_term_offset_range", (8, 3), [REACH, "[8, 3]", "[lowest, highest]"]),
    (f"{REACH}.subtask_term_offset_range", (3,), [REACH, "[3]", "[lowest, highest]"]),
    (f"{REACH}.first_subtask_start_offset_range", (-2, 3), [REACH, "[-2, 3]", "before the demo"]),
    (f"{PLACE}.first_subtask_start_offset_range", (0, 3), [f"{PLACE} (place)", "first subtask"]),
    (f"{PLACE}.subtask_term_offset_range", (0, 3), [f"{PLACE} (place)", "[0, 3]", "must be [0, 0]"]),
    (f"{REACH}.selection_strategy", "nearest", [REACH, "selection_strategy 'nearest'", "random, nearest_neighbor_object"]),
    (f"{REACH}.selection_strategy_kwargs", {"k": 3}, [REACH, "selection_strategy_kwargs.k", "nn_k, pos_weight, rot_weight"]),
    (f"{REACH}.action_noise", -0.1, [f"{REACH} (reach): action_noise must be", "got -0.1", ">= 0"]),
    (f"{REACH}.action_noise", float("nan"), [REACH, "action_noise must be", "got nan"]),
    (f"{REACH}.num_interpolation_steps", -1, [f"{REACH} (reach): num_interpolation_steps must be >= 0 (got -1)"]),
    (f"{REACH}.num_fixed_steps", -1, [f"{REACH} (reach): num_fixed_steps must be >= 0 (got -1)"]),
    ("events.randomize_ketchup.asset", "ketchop", ["events.randomize_ketchup.asset", "did you mean 'ketchup'?"]),
    ("events.randomize_ketchup.pose_range", {"z": [0, 1]}, ["events.randomize_ketchup.pose_range: 'z'", "x, y, yaw"]),
    ("events.randomize_ketchup.pose_range", {"x": [1, 0]}, ["events.randomize_ketchup.pose_range.x", "[lowest, highest]"]),
    ("events.randomize_ketchup.pose_range", {"x": [1]}, ["events.randomize_ketchup.pose_range.x", "[lowest, highest]"]),
    ("events.randomize_ketchup.joint_std", 0.1, ["events.randomize_ketchup", "joint_std is for robots"]),
    ("events.randomize_ketchup.asset", "robot", ["events.randomize_ketchup", "joint_std"]),
    ("events.randomize_ketchup.min_separation", -1.0, ["events.randomize_ketchup.min_separation", ">= 0"]),
]
# fmt: on


@pytest.mark.parametrize(("place", "value", "words"), WRONG_VALUES)
def test_invalid_value_is_refused_with_place_value_and_remedy(place: str, value: Any, words: list[str]) -> None:
    cfg = generate_cfg()
    set_field(place, value)(cfg)
    with pytest.raises(ConfigError) as caught:
        validate(cfg)
    assert [word for word in words if word not in str(caught.value)] == []
    assert isinstance(caught.value, TaskSpecError) == place.startswith(("subtask_configs", "task_constraint_configs"))


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"nn_k": 0}, ["nn_k", "0", ">= 1"]),
        ({"nn_k": 2.5}, ["nn_k", "2.5", "whole number"]),
        ({"nn_k": True}, ["nn_k", "True"]),
        ({"pos_weight": -1.0}, ["pos_weight", "-1.0"]),
        ({"rot_weight": "a"}, ["rot_weight", "'a'"]),
        ({"nnk": 3}, ["nnk", "did you mean 'nn_k'?"]),
    ],
)
def test_invalid_argument_of_a_selection_strategy_is_refused(kwargs: dict[str, Any], words: list[str]) -> None:
    cfg = generate_cfg()
    cfg.subtask_configs["franka"][0].selection_strategy = "nearest_neighbor_object"
    cfg.subtask_configs["franka"][0].selection_strategy_kwargs = kwargs
    with pytest.raises(TaskSpecError) as caught:
        validate(cfg)
    assert [word for word in ["subtask_configs.franka.0 (reach)", *words] if word not in str(caught.value)] == []


def test_override_can_select_random_instead_of_the_nearest_neighbor_of_the_task() -> None:
    overrides = ["subtask_configs.franka.0.selection_strategy=random", "subtask_configs.franka.0.object_ref=null"]
    subtask = load_config("generate", [*overrides, "output_dir=unused"]).subtask_configs["franka"][0]
    assert (subtask.selection_strategy, subtask.object_ref) == ("random", None)


def test_nearest_neighbor_object_requires_an_object() -> None:
    cfg = generate_cfg()
    cfg.subtask_configs["franka"][1].object_ref = None
    cfg.subtask_configs["franka"][1].selection_strategy = "nearest_neighbor_object"
    with pytest.raises(TaskSpecError, match="object_ref"):
        validate(cfg)


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5, float("nan")])
def test_split_with_an_empty_part_is_refused(ratio: float) -> None:
    with pytest.raises(ConfigError, match="ratio"):
        validate(SplitDatasetCfg(input_file="a.hdf5", ratio=ratio))


@pytest.mark.parametrize("schema", SCRIPT_SCHEMAS.values())
def test_omegaconf_accepts_every_schema(schema: type) -> None:
    OmegaConf.structured(schema)


def test_typed_configuration_has_tuples_for_offset_ranges() -> None:
    composed = OmegaConf.structured(generate_cfg())
    cfg = to_typed(composed, "generate")
    assert isinstance(cfg, GenerateCfg)
    assert cfg.subtask_configs["franka"][0].subtask_term_offset_range == (3, 8)


def test_field_that_is_added_to_the_schema_is_refused() -> None:
    composed = OmegaConf.structured(generate_cfg())
    OmegaConf.update(composed, "datagen_config.generation_num_trails", 3, force_add=True)
    with pytest.raises(ConfigError, match="did you mean 'generation_num_trials'"):
        to_typed(composed, "generate")


# fmt: off
SPELLINGS = [
    (["--headless"], ["headless=true"]),
    (["--headless", "True", "--video", "false", "--progress"], ["headless=true", "video=false", "progress=true"]),
    (["--device", "cuda:0"], ["device=cuda:0"]),
    (["--device=cpu", "-m", "seed=1,2"], ["-m", "device=cpu", "datagen_config.seed=1,2"]),
    (["--task", "desktop_organizer", "--num_envs", "7"], ["task=desktop_organizer", "num_envs=7"]),
    (["--generation_num_trials", "50"], ["datagen_config.generation_num_trials=50"]),
    (["num_trials=50"], ["datagen_config.generation_num_trials=50"]),
    (["datagen_config.num_trials=50"], ["datagen_config.generation_num_trials=50"]),
    (["--num_trials", "50", "--guarantee=false"],
     ["datagen_config.generation_num_trials=50", "datagen_config.generation_guarantee=false"]),
    (["datagen_config.seed=3"], ["datagen_config.seed=3"]),
    (["--use_skillgen"], ["datagen_config.use_skillgen=true"]),
    (["--output_dir", "a b=(1)"], ["output_dir='a b=(1)'"]),
    (["--cfg", "job", "--config-dir=conf"], ["--cfg", "job", "--config-dir=conf"]),
    (["task.subtask_configs.franka.0.action_noise=0"], ["subtask_configs.franka.0.action_noise=0"]),
    (["task.name=x", "+a=1", "~b"], ["task.name=x", "+a=1", "~b"]),
    (["seed=3", "--seed", "3"], ["datagen_config.seed=3", "datagen_config.seed=3"]),
    (["env.sim.dt=0.005"], ["++sim.env.sim.dt=0.005"]),
]
# fmt: on


@pytest.mark.parametrize(("words", "overrides"), SPELLINGS)
def test_isaac_lab_flags_and_short_names_become_overrides(words: list[str], overrides: list[str]) -> None:
    assert translate(words, GenerateCfg) == overrides


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--headles"], "did you mean '--headless'"),
        (["--num_envs"], "requires a value"),
        (["seed=1", "datagen_config.seed=2"], "datagen_config.seed: is set twice, to 1 and to 2"),
        (["--num_envs", "1", "num_envs=2"], "num_envs: is set twice"),
        (["num_trials=1", "generation_num_trials=2"], "datagen_config.generation_num_trials: is set twice, to 1 and to 2"),
    ],
)
def test_invalid_flags_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        translate(words, GenerateCfg)


def test_script_accepts_only_flags_of_its_own_fields() -> None:
    words = ["--num_demos", "3", "--dataset_file", "a.hdf5"]
    assert translate(words, RecordDemosCfg) == ["num_demos=3", "output_file=a.hdf5"]
    with pytest.raises(
        ConfigError, match=r"^--num_envs: inspect has no such flag; .*generate, replay, evaluate and pipeline have it"
    ):
        translate(["--num_envs", "3"], InspectDatasetCfg)


def test_annotation_refuses_an_object_that_is_not_in_the_scene() -> None:
    words = ["input_file=a", "output_file=b", "subtask_configs.franka.0.object_ref=ketchop"]
    with pytest.raises(TaskSpecError, match=r"object_ref 'ketchop' is not in the scene; .*did you mean 'ketchup'"):
        load_config("annotate_demos", words)
