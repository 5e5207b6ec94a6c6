"""Text fields on the command line: Hydra reads each text as the user has written it, as a flag and as an override."""

from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from isaaclab_mimic_ext import command_lines
from isaaclab_mimic_ext.command_lines import Program, quoted, same_command_line, unquoted
from isaaclab_mimic_ext.commands.overrides import translate
from isaaclab_mimic_ext.commands.pipeline import check_steps
from isaaclab_mimic_ext.commands.pipeline_steps import Step
from isaaclab_mimic_ext.commands.recorded import task_of_files
from isaaclab_mimic_ext.commands.resumed import words_of_resumed
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS, GenerateCfg, PipelineCfg, TrainCfg
from isaaclab_mimic_ext.config.compose import load_config

TEXTS = (
    "2024_10_30",
    "1e3",
    "007",
    "1.",
    "true",
    "p=1",
    "a b (1)",
    "a,b",
    "a, b",
    "[1]",
    "{x}",
    "it's",
    'say "x"',
    "nan",
    "数据",
    "a:b",
)


def read(words: list[str], script: str) -> dict[str, Any]:
    """Values of the overrides of a command line, as Hydra reads them."""
    parsed = OverridesParser.create().parse_overrides(
        [word for word in translate(words, SCRIPT_SCHEMAS[script]) if word[0] != "-"]
    )
    return {each.key_or_group: each.value() for each in parsed}


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_read_as_it_is_written(text: str) -> None:
    for words in ([f"output_dir={text}"], ["--output_dir", text], [f"--output_dir={text}"]):
        assert str(read(words, "train")["output_dir"]) == text


def test_auto_is_the_null_of_a_number_and_the_value_of_a_text() -> None:
    assert read(["num_envs=auto", "device=auto"], "generate") == {"num_envs": None, "device": "auto"}
    assert read(["--num_envs", "auto"], "generate") == {"num_envs": None}


def test_command_gets_the_text_of_a_number() -> None:
    words = translate(["output_dir=2024_10_30", "input_file=x"], TrainCfg)
    assert load_config("train", words).output_dir == "2024_10_30"


@pytest.mark.parametrize("text", [text for text in TEXTS if "," not in text])
def test_items_of_a_list_are_read_as_they_are_written(text: str) -> None:
    for words in ([f"input_file=[{text},b.hdf5]"], ["--input_file", text, "b.hdf5"], ["--input_file", f"[{text}, b.hdf5]"]):
        if words[1:2] != [text] or "=" not in text:  # A word with '=' after the first item is an override.
            assert [str(item) for item in read(words, "merge_datasets")["input_file"]] == [text, "b.hdf5"]


def test_lists_need_no_brackets() -> None:
    words = ["eef_names=left,right", "demos=demo_1", "input_file=a.hdf5"]
    assert read(words, "import_dataset") == {"eef_names": ["left", "right"], "demos": ["demo_1"], "input_file": "a.hdf5"}
    assert read(["state_keys=eef_pos,eef_quat", "camera_keys=[]"], "export_dataset") == {
        "state_keys": ["eef_pos", "eef_quat"],
        "camera_keys": [],
    }
    assert read(["select_episodes=1,2"], "replay_demos") == {"select_episodes": [1, 2]}
    assert translate(["-m", "seeds=choice([1],[2])"], PipelineCfg) == ["-m", "seeds=choice([1],[2])"]
    assert translate(["seeds=${fields}"], PipelineCfg) == ["seeds=${fields}"]


def test_texts_of_subtasks_and_mappings_are_texts() -> None:
    words = ["subtask_configs.franka.0.object_ref=1_0", "all_subtasks.description=a, b", "all_subtasks.action_noise=0.5"]
    assert read(words, "generate") == {
        "subtask_configs.franka.0.object_ref": "1_0",
        "all_subtasks.description": "a, b",
        "all_subtasks.action_noise": 0.5,
    }
    assert read(["rename.objects.nut=1_0"], "import_dataset") == {"rename.objects.nut": "1_0"}
    assert read(["checkpoint=[a.pth,b=1.pth]"], "evaluate") == {"checkpoint": ["a.pth", "b=1.pth"]}


def test_null_quotes_and_values_of_other_fields_keep_their_meaning() -> None:
    assert read(["output_file=null"], "generate") == {"output_file": None}
    assert str(read(["output_dir='a b'"], "generate")["output_dir"]) == "a b"
    assert translate(["output_dir=runs/${seed}_${num_envs}"], GenerateCfg) == [
        "output_dir=runs/${datagen_config.seed}_${num_envs}"
    ]


def test_commas_separate_the_values_of_a_sweep() -> None:
    assert translate(["-m", "algo=bc,bc_chunk", "output_dir='a,b'"], TrainCfg) == [
        "-m",
        "algo=bc,bc_chunk",
        "output_dir='a,b'",
    ]
    assert translate(["-m", "algo=choice(bc,bc_chunk)"], TrainCfg) == ["-m", "algo=choice(bc,bc_chunk)"]
    assert translate(["-m", "algo=1_0,b=1"], TrainCfg) == ["-m", "algo='1_0','b=1'"]


def test_home_folder_is_found_in_an_override_as_in_a_flag() -> None:
    assert translate(["output_dir=~/runs"], GenerateCfg) == [f"output_dir={quoted(str(Path.home() / 'runs'))}"]


def test_lists_of_overrides_of_a_pipeline_need_no_quotes() -> None:
    words = ["generate=[seed=3,all_subtasks.action_noise=[0.1,0.2]]"]
    assert read(words, "pipeline") == {"generate": ["seed=3", "all_subtasks.action_noise=[0.1,0.2]"]}


def test_steps_of_a_pipeline_accept_any_folder(tmp_path: Path) -> None:
    output = tmp_path / "p=1, (b)" / "raw.hdf5"
    check_steps([Step("record", (f"output_file={output}",), output)])


@pytest.mark.parametrize("name", ["2024_10", "a=1", "a b"])
def test_existing_path_without_a_field_may_have_any_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert read([name], "report") == {"input_dir": name}


@pytest.mark.parametrize("text", [*TEXTS, "a\\", "\\'", "a\\\\'b\\", ""])
def test_quotes_are_removed_as_they_were_added(text: str) -> None:
    assert unquoted(quoted(text)) == text


@pytest.mark.parametrize("name", ["2024_10_30", "a b", "p=1"])
def test_printed_command_has_the_complete_path_of_any_name(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = tuple(translate([f"output_dir={name}"], GenerateCfg))
    monkeypatch.setattr(command_lines, "program", Program(arguments=words))
    assert f"{tmp_path}/{name}" in same_command_line("generate", resume=True)


def test_settings_of_a_run_in_a_folder_of_any_name_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "it's 1").mkdir()
    (tmp_path / "it's 1" / "config.yaml").write_text("# mimic generate task=stack_cube seed=3\n")
    words = translate(["output_dir=it's 1", "resume=true"], GenerateCfg)
    assert words_of_resumed(words, GenerateCfg) == ["task=stack_cube", "seed=3"]
    assert task_of_files(["input_file='no such'"], GenerateCfg) == ([], "")
