"""Translation of command lines into Hydra overrides."""

import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from isaaclab_mimic_ext.commands.launch import prepare_sweep
from isaaclab_mimic_ext.commands.overrides import is_multirun, translate
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS
from isaaclab_mimic_ext.config.help import nearest_field
from isaaclab_mimic_ext.envs.isaaclab import launcher_flags as flags
from isaaclab_mimic_ext.envs.isaaclab.installation import Installation
from isaaclab_mimic_ext.envs.isaaclab.launch import launcher_words
from isaaclab_mimic_ext.errors import ConfigError, SimulatorUnavailable

GYM_ID = "Isaac-Stack-Cube-Franka-IK-Rel-Mimic-v0"
GENERATE = SCRIPT_SCHEMAS["generate"]
KIT_2, KIT_3 = Installation(False, True, False), Installation(True, True, True)


@pytest.mark.parametrize("words", [["--task", GYM_ID], [f"--task={GYM_ID}"], [f"task={GYM_ID}"]])
def test_gym_id_selects_a_task_registered_with_isaaclab(words: list[str]) -> None:
    assert translate(words, GENERATE) == ["task=isaaclab", f"task.id={GYM_ID}"]


def test_gym_id_may_begin_with_a_module() -> None:
    assert translate(["--task", "mine.tasks:My-Task-v2"], GENERATE) == ["task=isaaclab", "task.id=mine.tasks:My-Task-v2"]


@pytest.mark.parametrize("task", ["desktop_organizer", "stack_cube_mimicgen_d0", "mine-v2b"])
def test_other_names_select_included_tasks(task: str) -> None:
    assert translate(["--task", task], GENERATE) == [f"task={task}"]


def test_selectors_of_isaaclabs_commands_select_presets() -> None:
    words = ["physics=newton_mjwarp", "renderer=ovrtx", "presets=rgb,depth"]
    assert translate(words, GENERATE) == ["sim.physics=newton_mjwarp", "sim.renderer=ovrtx", "sim.presets=[rgb,depth]"]
    assert translate(["sim.presets=rgb"], GENERATE) == ["sim.presets=[rgb]"]
    assert translate(["presets=[rgb]"], GENERATE) == ["sim.presets=[rgb]"]


def test_script_without_a_scene_does_not_change_a_gym_id() -> None:
    assert translate(["--task", GYM_ID], SCRIPT_SCHEMAS["pipeline"]) == [f"task_name={GYM_ID}"]


def test_flags_of_hydra_are_passed_to_hydra() -> None:
    words = ["--info=config", "-m", "--cfg", "job", "-p", "sim", "--config-dir=x", "--multirun"]
    assert translate(words, GENERATE) == words
    assert translate(["--info", "seed=3"], GENERATE) == ["--info=all", "datagen_config.seed=3"]
    assert translate(["--info", "defaults", "num_envs=3"], GENERATE) == ["--info=defaults", "num_envs=3"]


def test_flags_of_hydra_may_be_between_overrides() -> None:
    words = ["num_envs=3", "--cfg", "job", "--headless", "sim=mujoco", "-p", "sim", "~events"]
    assert translate(words, GENERATE) == [
        "--cfg",
        "job",
        "-p",
        "sim",
        "num_envs=3",
        "headless=true",
        "sim=mujoco",
        "~events",
    ]


@pytest.fixture
def no_isaaclab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Python that finds only the standard library."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    flags._parser.cache_clear()


@pytest.mark.parametrize("flag", flags.KNOWN_FLAGS)
@pytest.mark.usefixtures("no_isaaclab")
def test_launcher_flag_without_isaaclab_is_refused_with_its_origin(flag: str) -> None:
    with pytest.raises(SimulatorUnavailable, match=rf"^{flag}: a flag of Isaac Lab's launcher, .* or leave the flag out$"):
        translate([f"{flag}=1"], GENERATE)


@pytest.mark.usefixtures("no_isaaclab")
def test_unknown_flag_without_isaaclab_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--headles: generate has no such flag \(did you mean '--headless'\?\)$"):
        translate(["--headles"], GENERATE)
    with pytest.raises(ConfigError, match=r"^--viz: split has no such flag"):
        translate(["--viz", "none"], SCRIPT_SCHEMAS["split_dataset"])


@pytest.mark.parametrize(
    ("installation", "launcher_args", "headless", "needs_window", "expected"),
    [
        (KIT_2, [], True, False, ["--headless"]),
        (KIT_2, ["--xr"], False, True, ["--xr"]),
        (KIT_3, [], True, False, ["--viz=none"]),
        (KIT_3, ["--viz=none"], True, False, ["--viz=none"]),
        (KIT_3, [], False, True, ["--viz=kit"]),
        (KIT_3, ["--viz=newton"], False, False, ["--viz=newton"]),
        (KIT_3, [], False, False, []),
    ],
)
def test_launcher_arguments_for_a_window_follow_the_release(
    installation: Installation, launcher_args: list[str], headless: bool, needs_window: bool, expected: list[str]
) -> None:
    words = launcher_words(installation, launcher_args, "cpu", headless, True, needs_window)
    assert words == ["--device=cpu", "--enable_cameras", *expected]


def test_contradicting_settings_of_the_window_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"^headless: must be false with --viz=kit, which opens a window \(got true\); remove one"
    ):
        launcher_words(KIT_3, ["--viz=kit"], "cpu", headless=True, enable_cameras=False)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-m", "seed=1,2"], True),
        (["--multirun"], True),
        (["+sweep=settling"], True),
        (["hydra.mode=MULTIRUN"], True),
        (["+sweep=settling", "hydra.mode=RUN"], False),
        (["seed=1"], False),
    ],
)
def test_sweeps_are_detected_before_hydra_runs(words: list[str], expected: bool) -> None:
    assert is_multirun(words) is expected


@pytest.mark.parametrize(
    "word", ["sim=isaaclab", "task.id=A-v0", "sim.presets=rgb", "++sim.env.sim.dt=0.005", "sim.robot_usd=a.usd"]
)
def test_jobs_of_a_sweep_run_separately_if_a_setting_selects_isaaclab(word: str) -> None:
    """A process can launch Isaac Lab once."""
    isaaclab, mujoco = ["generate", word, "seed=1,2"], ["generate", "sim=mujoco", "seed=1,2"]
    prepare_sweep(isaaclab)
    prepare_sweep(mujoco)
    assert ("hydra/launcher=process" in isaaclab, "hydra/launcher=process" in mujoco) == (True, False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sim=null"], r"sim: must be a name \(got null\); leave it out"),
        (["task=3"], r"task: must be a name \(got 3\); leave it out"),
        (["=3"], "'=3' is not an override; use field=value"),
        (["--experimental-rerun", "no.pickle"], "--experimental-rerun: 'no.pickle' not found; use the config.pickle"),
        (["--experimental-rerun"], "--experimental-rerun: '' not found; use the config.pickle"),
    ],
)
def test_word_without_a_field_or_file_is_refused_with_a_remedy(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        translate(words, GENERATE)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("input_file=dé mo/dé.hdf5", "input_file='dé mo/dé.hdf5'"),
        ("output_dir=läufe/seed_${seed}", "output_dir='läufe/seed_${datagen_config.seed}'"),
        ("output_dir=é,ü,c", "output_dir='é,ü,c'"),
        ("output_dir='é'", "output_dir='é'"),
        ("output_dir=plain/run", "output_dir=plain/run"),
    ],
)
def test_paths_with_letters_outside_ascii_are_put_in_quotes(word: str, expected: str) -> None:
    assert translate([word], GENERATE) == [expected]
    OverridesParser.create().parse_overrides([expected])


def test_items_of_lists_with_letters_outside_ascii_are_put_in_quotes() -> None:
    merge = SCRIPT_SCHEMAS["merge_datasets"]
    assert translate(["input_file=[dé.hdf5, b.hdf5]"], merge) == ["input_file=['dé.hdf5',b.hdf5]"]


def test_flag_of_hydra_without_its_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="--cfg: requires a value"):
        translate(["seed=3", "--cfg"], GENERATE)


def test_nearest_field_may_be_a_short_name() -> None:
    assert nearest_field("generate", "num_trails") == "num_trials"


def test_readers_of_one_input_accept_its_path_without_the_name_of_the_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/demo.hdf5").touch()
    for script in ("inspect_dataset", "validate_dataset", "replay_demos"):
        assert translate(["run/demo.hdf5", "json=true"], SCRIPT_SCHEMAS[script])[0] == "input_file=run/demo.hdf5"
    for script in ("report", "sweep_report"):
        assert translate(["run"], SCRIPT_SCHEMAS[script]) == ["input_dir=run"]
    assert translate(["run/demo.hdf5"], SCRIPT_SCHEMAS["split_dataset"]) == ["run/demo.hdf5"]  # Changes the file.
    with pytest.raises(ConfigError, match="input_file: is set twice"):
        translate(["run/demo.hdf5", "input_file=other.hdf5"], SCRIPT_SCHEMAS["inspect_dataset"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["robot.left=null"], r"robot\.left: must be a name \(got null\)"),
        (["robot.left=ur5e", "robot.left=xarm7"], r"robot\.left: is set twice, to ur5e and to xarm7"),
        (["robot.left.base_yaw=0.3", "robot.left.base_yaw=0.4"], r"robot\.left\.base_yaw: is set twice"),
    ],
)
def test_robot_of_an_arm_is_one_name(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        translate(words, SCRIPT_SCHEMAS["generate"])


@pytest.mark.parametrize(
    ("script", "words", "expected"),
    [
        ("split_dataset", ["--dataset", "d.hdf5", "--ratio", "0.9"], ["input_file=d.hdf5", "ratio=0.9"]),
        ("export_dataset", ["--dataset", "d.hdf5", "--output_name", "o.hdf5"], ["input_file=d.hdf5", "output_file=o.hdf5"]),
        ("validate_dataset", ["--dataset_file", "d.hdf5"], ["input_file=d.hdf5"]),
        ("merge_datasets", ["--input_files", "a.hdf5", "b.hdf5", "--output_file", "c.hdf5"],
         ["input_file=[a.hdf5,b.hdf5]", "output_file=c.hdf5"]),
        ("evaluate", ["--agent", "last.pth", "--n_rollouts", "9"], ["checkpoint=last.pth", "num_episodes=9"]),
        ("replay_demos", ["--validate_states", "--n", "3"], ["num_demos=3"]),
        ("import_dataset", ["--env_interface", "MG_Square", "--dataset", "d.hdf5"], ["input_file=d.hdf5"]),
        ("train", ["--normalize_training_actions", "--dataset", "d.hdf5"], ["input_file=d.hdf5"]),
    ],
)  # fmt: skip
def test_flags_of_other_programs_select_our_fields(script: str, words: list[str], expected: list[str]) -> None:
    assert translate(words, SCRIPT_SCHEMAS[script]) == expected


@pytest.mark.parametrize(
    ("script", "flag", "answer"),
    [
        ("generate", "--pause_subtask", "debug=true makes a small run"),
        ("generate", "--config", "`mimic import-config` converts MimicGen's JSON files"),
        ("train", "--log_dir", "the output folder is output_dir=<folder>"),
        ("evaluate", "--norm_factor_min", "checkpoints contain the normalization"),
        ("evaluate", "--seeds", "-m seed=1,2,3"),
        ("merge_datasets", "--folder", "list the files"),
    ],
)
def test_flags_of_other_programs_without_an_equivalent_are_answered(script: str, flag: str, answer: str) -> None:
    with pytest.raises(ConfigError, match=f"{flag}: .* has no such flag; .*{answer}"):
        translate([flag, "x"], SCRIPT_SCHEMAS[script])


def test_suggested_flags_are_those_of_the_command() -> None:
    with pytest.raises(ConfigError) as caught:
        translate(["--output", "x"], SCRIPT_SCHEMAS["split_dataset"])
    assert "'--input'" not in str(caught.value)


@pytest.mark.parametrize("words", [["demos=good"], ["demos=[good]"], ["--demos", "good"], ["--demos=good"]])
def test_a_single_demo_or_mask_needs_no_brackets(words):
    assert parsed(words, "inspect_dataset") == {"demos": ["good"]}


@pytest.mark.parametrize("words", [["demos=-demo_1"], ["--demos", "-demo_1"]])
def test_a_demo_is_excluded_on_the_command_line(words):
    assert parsed(words, "generate") == {"demos": ["-demo_1"]}


def test_each_job_of_a_sweep_has_one_input():
    assert parsed(["-m", "input_file=a.hdf5,b.hdf5"], "prepare_dataset") == {"input_file": [["a.hdf5"], ["b.hdf5"]]}


def parsed(words, script):
    """Fields and values of a command line, as Hydra reads them; of a sweep, all values of a field."""
    overrides = [word for word in translate(words, SCRIPT_SCHEMAS[script]) if not word.startswith("-")]
    found = {}
    for override in OverridesParser.create().parse_overrides(overrides):
        value = override.value()
        found[override.key_or_group] = [str(each) for each in value] if isinstance(value, list) else value
        if override.is_sweep_override():
            found[override.key_or_group] = list(override.sweep_iterator(transformer=lambda each: each))
    return found
