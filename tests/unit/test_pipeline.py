"""The pipeline's steps, and which of them are up to date."""

import dataclasses
import json
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.cli.arguments import translate
from isaaclab_mimic_ext.commands.pipeline import check_steps, last_words
from isaaclab_mimic_ext.config import GenerateCfg, PipelineCfg, validate
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.errors import ConfigError, OutputError
from isaaclab_mimic_ext.pipeline import steps as steps_module
from isaaclab_mimic_ext.pipeline.stamps import Stamps, fingerprints, signatures
from isaaclab_mimic_ext.pipeline.steps import PipelineFolder, Step, build_steps, task_of
from isaaclab_mimic_ext.report.pipeline_page import render_pipeline_page
from tests.builders import make_source_file
from tests.pages import check_page
from tests.train_files import make_train_file


def make_cfg(**changes) -> PipelineCfg:
    cfg = PipelineCfg(num_sources=10, num_demos=50, epochs=50, output_dir="out", seeds=[1, 2])
    return dataclasses.replace(cfg, **changes)


def signed(**changes) -> dict[str, str]:
    return signatures(build_steps(make_cfg(**changes), PipelineFolder(Path("out"))))


def changed_steps(**changes) -> set[str]:
    before, after = signed(), signed(**changes)
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"num_sources": 20}, "record"),
        ({"annotate": ["num_success_steps=3"]}, "annotate"),
        ({"num_demos": 100}, "generate"),
        ({"split": ["ratio=0.9"]}, "split"),
        ({"num_episodes": 100}, "evaluate"),
    ],
)
def test_what_is_changed_makes_its_step_and_those_after_it_stale(changes, first):
    names = list(signed())
    assert changed_steps(**changes) == set(names[names.index(first) :])


def test_another_number_of_epochs_makes_trainings_and_evaluation_stale_only():
    assert changed_steps(epochs=60) == {"train seed 1", "train seed 2", "evaluate"}


def test_another_seed_leaves_the_other_trainings_up_to_date():
    before, after = signed(), signed(seeds=[3, 1])
    assert before["train seed 1"] == after["train seed 1"]
    assert before["evaluate"] != after["evaluate"]


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step("record", "record", "record_demos", ("num_demos=10",), (tmp_path / "raw.txt",))


def test_a_step_is_up_to_date_only_when_it_was_finished_as_asked_for(step, tmp_path):
    stamps = Stamps(tmp_path / "stamps.json")
    step.outputs[0].write_text("demos")
    assert not stamps.is_done(step, "a")
    stamps.begin(step, "a")
    assert not Stamps(tmp_path / "stamps.json").is_done(step, "a")
    assert stamps.was_begun(step, "a") and not stamps.was_begun(step, "b")
    stamps.finish(step, "a", 2.0)
    again = Stamps(tmp_path / "stamps.json")
    assert again.is_done(step, "a") and not again.is_done(step, "b")
    assert again.seconds(step) == 2.0


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("other demos")])
def test_an_output_that_was_removed_or_changed_is_made_again(step, tmp_path, damage):
    stamps = Stamps(tmp_path / "stamps.json")
    step.outputs[0].write_text("demos")
    stamps.finish(step, "a", 1.0)
    damage(step.outputs[0])
    assert not stamps.is_done(step, "a")


def test_broken_stamps_mean_that_nothing_is_up_to_date(step, tmp_path):
    (tmp_path / "stamps.json").write_text("{")
    assert not Stamps(tmp_path / "stamps.json").is_done(step, "a")


def test_masks_change_the_split_and_not_the_generation(tmp_path):
    path = tmp_path / "demo.hdf5"
    with h5py.File(path, "w") as file:
        file.create_group("data/demo_0").attrs["digest"] = np.bytes_("12ab")
        file["mask/train"] = np.array([b"demo_0"])
    generate = Step("generate", "generate", "generate", (), (path,))
    split = Step("split", "split", "split_dataset", (), (path,))
    before = fingerprints(generate), fingerprints(split)
    with h5py.File(path, "r+") as file:
        file["mask/valid"] = np.array([b"demo_0"])
    assert fingerprints(generate) == before[0]
    assert fingerprints(split) != before[1]


def test_the_command_line_says_which_tasks_pipeline_it_is():
    words = translate(["task=stack_cube", "preset=full", "output_dir=out"], PipelineCfg)
    cfg = load_config("pipeline", words)
    assert (cfg.task_name, cfg.num_demos) == ("stack_cube", 200)
    record, *_, evaluate = build_steps(cfg, PipelineFolder(Path("out")))
    assert "task=stack_cube" in record.arguments and "task=stack_cube" in evaluate.arguments


def test_a_tasks_own_overrides_come_before_those_of_the_command_line():
    step = build_steps(make_cfg(record=["teleop_device=scripted"]), PipelineFolder(Path("out")))[0]
    own = [word for word in step.arguments if word.startswith("teleop_device=")]
    assert own[-1] == "teleop_device=scripted"


def test_what_the_user_gives_replaces_a_tasks_own_value_of_the_same_field():
    cfg = make_cfg(generate=["all_subtasks.action_noise=0.1"])
    generate = next(step for step in build_steps(cfg, PipelineFolder(Path("out"))) if step.name == "generate")
    noise = [word for word in generate.arguments if word.startswith("all_subtasks.action_noise=")]
    assert noise == ["all_subtasks.action_noise=0.1"]
    load_config("generate", translate(list(generate.arguments), GenerateCfg))


def test_a_tasks_overrides_for_a_step_that_is_none_are_refused(tmp_path, monkeypatch):
    (tmp_path / "mine" / "agents").mkdir(parents=True)
    (tmp_path / "mine" / "agents" / "pipeline.json").write_text(json.dumps({"trane": []}))
    monkeypatch.setattr(steps_module, "task_dir", lambda name: tmp_path / name)
    with pytest.raises(ConfigError, match=r"no step 'trane'.*did you mean 'train'"):
        build_steps(make_cfg(task_name="mine"), PipelineFolder(Path("out")))


def test_a_preset_of_a_task_goes_by_that_tasks_pipeline():
    assert task_of("desktop_organizer_wide") == "desktop_organizer" and task_of("stack_cube_skillgen") == "stack_cube"
    assert task_of("somebodys_own") == "somebodys_own"
    record = build_steps(make_cfg(task_name="desktop_organizer_wide"), PipelineFolder(Path("out")))[0]
    assert "task=desktop_organizer_wide" in record.arguments and "teleop_device=scripted_fluent" in record.arguments


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": []}, "seeds: must not be empty"),
        ({"seeds": [1, 2, 1]}, "seeds: must differ"),
        ({"num_sources": 0}, r"num_sources: must be >= 1 \(got 0\)"),
        ({"epochs": 0}, r"epochs: must be >= 1 \(got 0\)"),
        ({"output_dir": ""}, "output_dir: must be the path of a folder"),
    ],
)
def test_values_that_make_no_pipeline_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        validate(make_cfg(**changes))


# fmt: off
BAD_STEPS = [
    ({"task_name": "stack_cub"}, r"step 'record': task: there is no 'stack_cub'.*did you mean 'stack_cube'"),
    ({"generate": ["sede=3"]}, r"step 'generate': sede: generate has no such field"),
    ({"generate": ["num_envs=x"]}, r"step 'generate': num_envs: given twice"),
    ({"split": ["ratio=2"]}, r"step 'split': ratio: must be > 0 and < 1.*got 2"),
    ({"evaluate": ["checkpoint=x.pth"]}, r"step 'evaluate': checkpoint: given twice"),
]
# fmt: on


@pytest.mark.parametrize(("changes", "words"), BAD_STEPS)
def test_what_a_step_does_not_take_is_said_before_any_runs(changes, words):
    steps = [step for step in build_steps(make_cfg(**changes), PipelineFolder(Path("out"))) if step.kind != "train"]
    with pytest.raises(ConfigError, match=words):
        check_steps(steps)


@pytest.mark.slow
def test_every_step_of_a_sound_pipeline_is_taken():
    for task in ("desktop_organizer", "desktop_organizer_wide", "stack_cube"):
        steps = build_steps(make_cfg(task_name=task), PipelineFolder(Path("out")))
        check_steps([step for step in steps if step.kind != "train"])


def test_a_step_goes_on_only_with_what_is_there(tmp_path):
    steps = build_steps(make_cfg(), PipelineFolder(tmp_path))
    generate, train = (next(step for step in steps if step.kind == kind) for kind in ("generate", "train"))
    assert not generate.can_go_on and not train.can_go_on and not steps[0].can_go_on
    for path in (tmp_path / "generation" / "run.sqlite", tmp_path / "training" / "seed_1" / "models" / "last.pth"):
        path.parent.mkdir(parents=True)
        path.touch()
    assert generate.can_go_on and train.can_go_on


def test_without_numbered_checkpoints_the_last_one_is_judged():
    *_, evaluate = build_steps(make_cfg(train=["save_every=0"]), PipelineFolder(Path("out")))
    assert "checkpoint=[out/training/seed_1/models/last.pth,out/training/seed_2/models/last.pth]" in evaluate.arguments


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("", "it said nothing"),
        ("[18:00:00] Loaded\nConfigError: seed: wrong\n", "ConfigError: seed: wrong"),
        ("RecorderError: a.hdf5: errno = 28\n  , offset = 7\n\n", "RecorderError: a.hdf5: errno = 28 , offset = 7"),
        ("OutputError: a\n, b\nException ignored in: 'h5py'\nRuntimeError: c", "OutputError: a , b"),
        ("KeyError: 'x'\nDuring handling:\nValueError: y", "ValueError: y"),
        ("Killed", "Killed"),
    ],
)
def test_the_last_words_of_a_step_are_its_whole_error(said, words):
    assert last_words(said) == words


def test_two_pipelines_do_not_work_in_one_folder(tmp_path):
    with (
        PipelineFolder(tmp_path).lock.hold(),
        pytest.raises(OutputError, match=r"worked on by process \d+ on .* \(a pipeline, or a step"),
        PipelineFolder(tmp_path).lock.hold(),
    ):
        pass
    with PipelineFolder(tmp_path).lock.hold():
        pass


def test_a_step_that_outlives_its_pipeline_keeps_its_folder(tmp_path):
    with PipelineFolder(tmp_path).lock.hold() as lock:
        step = subprocess.Popen(["sleep", "60"], pass_fds=(lock,))
    try:
        with pytest.raises(OutputError, match="a step that it left running"), PipelineFolder(tmp_path).lock.hold():
            pass
    finally:
        step.kill()
        step.wait()
    with PipelineFolder(tmp_path).lock.hold():
        pass


def test_the_page_needs_nothing_but_itself_even_where_steps_left_nothing(tmp_path):
    page = render_pipeline_page(make_cfg(), PipelineFolder(tmp_path), {"record": 3.0, "evaluate": None})
    check_page(page)
    assert "http" not in page and "desktop_organizer: 10 sources" in page


def judged(name: str, num_successes: int, reasons: dict[str, int]) -> dict:
    rate = num_successes / 10
    return {
        "name": name, "num_episodes": 10, "num_successes": num_successes, "success_rate": rate, "reasons": reasons,
        "interval": [rate - 0.1, rate + 0.1], "mean_length_of_successes": 140.0,
    }  # fmt: skip


def test_the_page_shows_every_steps_figures(tmp_path):
    folder = PipelineFolder(tmp_path)
    make_source_file(folder.annotated, num_demos=3)
    folder.generation.mkdir()
    make_train_file(folder.demos, num_demos=5)
    results = [judged("seed_1/model_epoch_9", 9, {"never <grasped>": 1}), judged("seed_2/model_epoch_9", 8, {"dropped": 2})]
    (folder.evaluation / "videos").mkdir(parents=True)
    (folder.evaluation / "evaluation.json").write_text(json.dumps({"checkpoints": results}))
    (folder.evaluation / "videos" / "seed_1_model_epoch_9_failures.mp4").write_bytes(b"film")
    metrics = folder.training(2) / "metrics.csv"
    metrics.parent.mkdir(parents=True)
    metrics.write_text("epoch,train_loss,valid_loss\n1,0.5,0.6\n2,0.04,0.05\n")
    page = render_pipeline_page(make_cfg(), folder, {"record": 125.0})
    check_page(page)
    assert "Losses over epochs" in page and "<td>0.04000</td><td>0.05000</td>" in page
    assert "<td>annotated</td><td>3</td>" in page and "<td>recorded</td>" not in page
    assert "training (3 demos)" in page and "validation (2 demos)" in page
    assert "90.0 % (80.0 to 100.0)" in page and "85.0 %</b><span>policy success" in page
    assert "never &lt;grasped&gt;" in page and "The first failures of seed_1/model_epoch_9" in page
    assert "2 min 5 s" in page and ">trainings<" in page
    assert ">training<" in render_pipeline_page(make_cfg(seeds=[1]), folder, {})
