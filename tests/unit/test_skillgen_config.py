"""Configurations that SkillGen and the navigation controller refuse."""

from pathlib import Path

import pytest

from isaaclab_mimic_ext.config import GenerateCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.errors import ConfigError, SourceDataError, TaskSpecError
from isaaclab_mimic_ext.run.build import check_navigation
from tests.jobs import run_generation
from tests.kinematic_sources import generate_cfg, make_kinematic_env, write_source_file

REACH, PLACE = "subtask_configs.franka.0", "subtask_configs.franka.3"


def config(*overrides: str) -> GenerateCfg:
    return load_config("generate", ["output_dir=unused", *overrides])


def test_task_of_the_desktop_can_be_run_with_skillgen():
    assert config("datagen_config.use_skillgen=true").datagen_config.use_skillgen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([f"{PLACE}.subtask_term_signal=null"], [PLACE, "also the last", "reach, grasp, lift, place"]),
        ([f"{REACH}.first_subtask_start_offset_range=[0,2]"], [REACH, "[0, 2]", "subtask_start_offset_range"]),
        (
            [f"{REACH}.subtask_start_offset_range=[2,0]"],
            [REACH, "subtask_start_offset_range must be [lowest, highest] (got [2, 0])"],
        ),
        ([f"{REACH}.subtask_start_offset_range=[1]"], [REACH, "[1]", "[lowest, highest]"]),
    ],
)
def test_subtasks_that_cannot_be_skills_are_refused(overrides, words):
    with pytest.raises(TaskSpecError) as caught:
        config("datagen_config.use_skillgen=true", *overrides)
    assert [word for word in words if word not in str(caught.value)] == []


def test_configuration_that_only_skillgen_refuses_is_accepted_without_it():
    config(f"{PLACE}.subtask_term_signal=null", f"{REACH}.first_subtask_start_offset_range=[0,2]")


def test_smoothing_window_of_0_steps_is_refused():
    with pytest.raises(ConfigError, match=r"transit_ramp_steps: must be >= 1 \(got 0\)"):
        config("datagen_config.transit_ramp_steps=0")


def test_source_file_without_start_signals_is_refused_with_the_remedy(tmp_path: Path):
    source = write_source_file(tmp_path / "source.hdf5", num_demos=2)
    cfg = generate_cfg(source, tmp_path / "run", "num_envs=2", "datagen_config.use_skillgen=true")
    with pytest.raises(SourceDataError) as caught:
        run_generation(cfg)
    for words in (str(source), "demo_0", "start signal 'reach' not found", "annotate_subtask_start_signals=true"):
        assert words in str(caught.value)
    assert not (tmp_path / "run" / "demo.hdf5").exists()


@pytest.mark.slow
def test_navigation_without_an_end_effector_body_is_refused():
    with pytest.raises(ConfigError, match=r"requires an end effector 'body' .got franka"):
        config("datagen_config.use_navigation_controller=true")
    with pytest.raises(ConfigError, match=r"max_navigation_wait_steps: must be >= 0 \(got -1\)"):
        config("datagen_config.max_navigation_wait_steps=-1")


def test_navigation_in_an_env_without_navigation_state_is_refused(tmp_path: Path):
    cfg = generate_cfg(tmp_path, tmp_path, "datagen_config.use_navigation_controller=true")
    with pytest.raises(ConfigError, match=r"no navigation state \(get_navigation_state\(\) is None; got true\)"):
        check_navigation(cfg.datagen_config, make_kinematic_env(1))
