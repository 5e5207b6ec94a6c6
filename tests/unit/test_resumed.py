"""A resumed run or training takes its settings from its folder."""

from pathlib import Path

import pytest

from isaaclab_mimic_ext import command_lines
from isaaclab_mimic_ext.commands.resumed import words_of_resumed
from isaaclab_mimic_ext.config import GenerateCfg, PipelineCfg, RegenerateCfg, SplitDatasetCfg, TrainCfg
from isaaclab_mimic_ext.errors import ConfigError, OutputError
from tests.forked_scripts import run_mimic

RUN = ("task=stack_cube", "+generation=policy", "datagen_config.seed=3", "input_file=my demos.hdf5")
SESSION = ("output_dir=run", "datagen_config.max_trials=2", "progress=false")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Folder of a run of a user's own task."""
    monkeypatch.setattr(command_lines.program, "arguments", (*RUN, *SESSION))
    monkeypatch.setattr(command_lines.program, "config_dirs", (tmp_path / "my tasks",))
    (tmp_path / "config.yaml").write_text(command_lines.as_comment("generate") + "num_envs: 4\n")
    return str(tmp_path)


def test_resumed_run_takes_the_words_of_its_command_line(run: str, tmp_path: Path) -> None:
    demos = str(Path("my demos.hdf5").absolute())
    words = words_of_resumed(["resume=true", f"output_dir={run}"], GenerateCfg)
    assert words == ["--config-dir", f"{tmp_path}/my tasks", *RUN[:3], f"input_file='{demos}'"]


def test_given_words_of_a_resumed_run_are_kept(run: str) -> None:
    given = ["resume=true", f"output_dir='{run}'", "input_file=other.hdf5", "--config-dir=moved", "datagen_config.seed=4"]
    assert words_of_resumed(given, GenerateCfg) == list(RUN[:2])


def test_new_block_of_a_collected_run_takes_the_words_of_the_other_blocks(run: str) -> None:
    """The configuration of a collected run does not contain the size of the blocks."""
    block = Path(run) / "blocks/00000"
    block.mkdir(parents=True)
    (block / "config.yaml").write_text("# mimic generate block=0 block_size=16 task=stack_cube\n")
    words = ["resume=true", f"output_dir={run}"]
    assert words_of_resumed([*words, "block=2"], GenerateCfg) == ["block_size=16", "task=stack_cube"]
    assert "block_size=16" not in words_of_resumed(words, GenerateCfg)


def test_other_commands_and_new_runs_take_no_words(run: str, tmp_path: Path) -> None:
    assert words_of_resumed([f"output_dir={run}"], GenerateCfg) == []
    assert words_of_resumed(["resume=true", "output_dir=run"], GenerateCfg) == []
    assert words_of_resumed(["resume=true", f"output_dir={run}"], SplitDatasetCfg) == []


def test_run_of_another_command_is_refused_with_both_names(run: str) -> None:
    with pytest.raises(OutputError, match=r"was started by `mimic generate`, not `mimic regenerate`; .*resume with"):
        words_of_resumed(["resume=true", f"output_dir={run}"], RegenerateCfg)


def test_file_names_the_command_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_lines.program, "verb", "regenerate")
    monkeypatch.setattr(command_lines.program, "arguments", ("resume=true",))
    assert command_lines.as_comment("generate") == "# mimic regenerate resume=true\n"


@pytest.mark.parametrize("schema", [GenerateCfg, RegenerateCfg, TrainCfg])
def test_run_to_resume_must_be_given_if_the_default_folder_is_new(schema: type) -> None:
    with pytest.raises(ConfigError, match="output_dir: must be set with resume=true, to the folder of the run"):
        words_of_resumed(["resume=true", "input_file=demos.hdf5"], schema)


def test_output_file_and_fixed_folders_determine_the_run_to_resume() -> None:
    assert words_of_resumed(["resume=true", "output_file=demos.hdf5"], GenerateCfg) == []
    assert words_of_resumed(["resume=true"], PipelineCfg) == []


def test_run_of_python_code_records_its_task_and_source_demos(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("task: {name: stack_cube, preset: stack_cube_skillgen}\ninput_file: a b.hdf5\n")
    words = words_of_resumed(["resume=true", f"output_dir={tmp_path}"], TrainCfg)
    assert words == ["task=stack_cube_skillgen", "input_file='a b.hdf5'"]


def test_different_task_of_a_resumed_run_is_refused_with_both_names(run: str) -> None:
    given = ["resume=true", f"output_dir={run}", "task=desktop_organizer"]
    with pytest.raises(OutputError, match="was started with task 'stack_cube', not 'desktop_organizer'; leave out task=,"):
        words_of_resumed(given, GenerateCfg)


def test_run_of_another_task_resumes_with_its_folder_only(tmp_path: Path) -> None:
    first = ("task=stack_cube", "sim=kinematic", "generation=policy", "num_trials=1", "num_envs=2", "video=false", "seed=5")
    done = run_mimic("generate", *first, "output_dir=run", "progress=false", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run_mimic("generate", "resume=true", "output_dir=run", "num_trials=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Resuming with " in done.stderr and "Saved 2 demos" in done.stderr
