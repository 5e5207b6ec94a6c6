"""The pipeline: its steps, which of them are up to date, errors and resuming."""

import dataclasses
import json
import signal
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from isaaclab_mimic_ext.commands import pipeline, pipeline_settings, pipeline_steps
from isaaclab_mimic_ext.commands.overrides import translate
from isaaclab_mimic_ext.commands.pipeline import _show_progress, check_steps, error_text, keep_changed
from isaaclab_mimic_ext.commands.pipeline_settings import Setting, changed_settings, settings_line
from isaaclab_mimic_ext.commands.pipeline_steps import Record, Step, build_steps, task_of, task_overrides, task_reasons
from isaaclab_mimic_ext.config import GenerateCfg, PipelineCfg, validate
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.errors import (
    BudgetExhausted,
    ConfigError,
    FolderInUse,
    Interrupted,
    MimicError,
    OutputError,
    UsageError,
)
from isaaclab_mimic_ext.report.pipeline_page import PipelineFolder, render_pipeline_page
from tests.builders import make_source_file
from tests.pages import check_page
from tests.train_files import make_train_file

SETTING = Setting(("record", "generate"), "events.cup.yaw", "[-1,1]", "[0,0]", "cups are round")


def make_cfg(**changes) -> PipelineCfg:
    cfg = PipelineCfg(num_sources=10, num_demos=50, epochs=50, output_dir="out", seeds=[1, 2])
    return dataclasses.replace(cfg, **changes)


def keys(**changes) -> dict[str, str]:
    return {step.name: step.key for step in build_steps(make_cfg(**changes), PipelineFolder(Path("out")))}


def changed_steps(**changes) -> set[str]:
    before, after = keys(), keys(**changes)
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("changes", "first_stale"),
    [
        ({"num_sources": 20}, "record"),
        ({"annotate": ["num_success_steps=3"]}, "annotate"),
        ({"num_demos": 100}, "generate"),
        ({"split": ["ratio=0.9"]}, "split"),
        ({"num_episodes": 100}, "evaluate"),
    ],
)
def test_changed_setting_makes_its_step_and_all_later_steps_stale(changes, first_stale):
    names = list(keys())
    assert changed_steps(**changes) == set(names[names.index(first_stale) :])


def test_changed_number_of_epochs_makes_only_trainings_and_evaluation_stale():
    assert changed_steps(epochs=60) == {"train seed 1", "train seed 2", "evaluate"}


def test_changed_seed_keeps_trainings_with_other_seeds_up_to_date():
    before, after = keys(), keys(seeds=[3, 1])
    assert before["train seed 1"] == after["train seed 1"]
    assert before["evaluate"] != after["evaluate"]


def make_step(folder: Path, *arguments: str) -> Step:
    return Step("generate", arguments, folder / "demo.hdf5", resumes_from=folder / "run.sqlite")


@pytest.fixture
def finished(tmp_path: Path) -> Step:
    """A step that is recorded as finished."""
    step, record = make_step(tmp_path), Record(tmp_path / "steps.json")
    step.output.write_text("demos")
    record.start(step)
    record.finish(step, 2.0)
    return step


def test_step_is_up_to_date_after_it_finished_with_the_same_arguments(finished, tmp_path):
    record = Record(tmp_path / "steps.json")
    assert record.is_up_to_date(finished) and record.seconds(finished) == 2.0
    assert not record.is_up_to_date(make_step(tmp_path, "seed=3"))


def test_only_the_step_with_the_key_that_was_started_last_is_interrupted(finished, tmp_path):
    changed = make_step(tmp_path, "seed=3")
    Record(tmp_path / "steps.json").start(changed)
    record = Record(tmp_path / "steps.json")
    assert record.is_interrupted(changed) and not record.is_up_to_date(changed)
    assert not record.is_interrupted(finished) and not record.is_up_to_date(finished)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("other demos")])
def test_finished_step_whose_output_was_removed_or_changed_is_run_again_from_the_start(finished, tmp_path, damage):
    damage(finished.output)
    record = Record(tmp_path / "steps.json")
    assert not record.is_up_to_date(finished) and not record.is_interrupted(finished)


@pytest.mark.parametrize("content", ["{", "[]", "[1]", "{}"])
def test_nothing_is_up_to_date_without_a_readable_record(finished, tmp_path, content):
    (tmp_path / "steps.json").write_text(content)
    assert not Record(tmp_path / "steps.json").is_up_to_date(finished)


def test_split_keeps_the_generation_up_to_date(finished, tmp_path):
    record, split = Record(tmp_path / "steps.json"), Step("split", (), finished.output, (finished,))
    record.start(split)
    finished.output.write_text("demos with masks")
    killed = Record(tmp_path / "steps.json")
    assert killed.is_up_to_date(finished) and not killed.is_up_to_date(split)
    record.finish(split, 1.0)
    assert record.is_up_to_date(finished) and record.is_up_to_date(split)


def test_changed_output_of_a_step_is_kept_under_another_name(finished, tmp_path, caplog):
    record, split = Record(tmp_path / "steps.json"), Step("split", (), finished.output, (finished,))
    record.start(split)
    finished.output.write_text("demos with masks")
    record.finish(split, 1.0)
    keep_changed([finished, split], record)
    assert finished.output.exists() and caplog.text == ""
    finished.output.write_text("demos without those that the user has removed")
    keep_changed([finished, split], record)
    kept = tmp_path / "demo.hdf5.changed"
    assert kept.read_text().endswith("removed") and not finished.output.exists()
    assert (
        f"generate: {finished.output} was changed after the step, which runs again; the changed file is {kept}"
        in caplog.text
    )


def test_second_change_of_an_output_does_not_replace_the_first(finished, tmp_path):
    record = Record(tmp_path / "steps.json")
    for text in ("first change of a user", "second change of a user"):
        finished.output.write_text(text)
        keep_changed([finished], record)
    assert (tmp_path / "demo.hdf5.changed").read_text() == "first change of a user"
    assert (tmp_path / "demo.hdf5.changed2").read_text() == "second change of a user"


def test_demos_that_are_generated_again_are_split_again(finished, tmp_path):
    record, split = Record(tmp_path / "steps.json"), Step("split", (), finished.output, (finished,))
    record.start(split)
    finished.output.write_text("demos with masks")
    record.finish(split, 1.0)
    finished.output.write_text("demos")
    assert not record.is_up_to_date(finished) and not record.is_up_to_date(split)
    record.start(finished)
    record.finish(finished, 1.0)
    assert record.is_up_to_date(finished) and not record.is_up_to_date(split)


def test_task_of_the_pipeline_is_set_on_the_command_line():
    overrides = translate(["task=stack_cube", "preset=full", "output_dir=out"], PipelineCfg)
    cfg = load_config("pipeline", overrides)
    assert (cfg.task_name, cfg.num_demos) == ("stack_cube", 200)
    record, *_, evaluate = build_steps(cfg, PipelineFolder(Path("out")))
    assert "task=stack_cube" in record.arguments and "task=stack_cube" in evaluate.arguments


def test_overrides_of_the_command_line_follow_those_of_the_task():
    step = build_steps(make_cfg(record=["teleop_device=scripted"]), PipelineFolder(Path("out")))[0]
    devices = [argument for argument in step.arguments if argument.startswith("teleop_device=")]
    assert devices[-1] == "teleop_device=scripted"


def test_override_of_the_user_replaces_the_override_of_the_task_for_the_same_field():
    cfg = make_cfg(generate=["all_subtasks.action_noise=0.1"])
    generate = next(step for step in build_steps(cfg, PipelineFolder(Path("out"))) if step.verb == "generate")
    noise = [argument for argument in generate.arguments if argument.startswith("all_subtasks.action_noise=")]
    assert noise == ["all_subtasks.action_noise=0.1"]
    load_config("generate", translate(list(generate.arguments), GenerateCfg))


def test_overrides_of_a_task_for_an_unknown_step_are_refused(tmp_path, monkeypatch):
    (tmp_path / "task_with_a_typo" / "agents").mkdir(parents=True)
    (tmp_path / "task_with_a_typo" / "agents" / "pipeline.json").write_text(json.dumps({"trane": []}))
    monkeypatch.setattr(pipeline_steps, "task_dir", lambda name: tmp_path / name)
    with pytest.raises(ConfigError, match=r"'trane' is not a step.*did you mean 'train'"):
        build_steps(make_cfg(task_name="task_with_a_typo"), PipelineFolder(Path("out")))


def settings_of(**changes) -> dict[str, Setting]:
    cfg = make_cfg(algo="bc", **changes)
    return {each.field: each for each in changed_settings(cfg, build_steps(cfg, PipelineFolder(Path("out"))))}


@pytest.mark.parametrize("task", ["desktop_organizer", "stack_cube"])
def test_every_setting_of_a_task_has_a_reason_and_every_reason_a_setting(task):
    fields = [override.partition("=")[0] for overrides in task_overrides(task).values() for override in overrides]
    reasons = task_reasons(task)
    assert [field for field in fields if not any(fnmatchcase(field, pattern) for pattern in reasons)] == []
    assert [pattern for pattern in reasons if not any(fnmatchcase(field, pattern) for field in fields)] == []


@pytest.mark.slow
def test_settings_that_differ_from_the_defaults_are_listed_once_with_default_and_reason():
    settings = settings_of(size_reason="small", evaluate=["stop_at_success=true", "horizon=300"])
    yaw = settings["events.randomize_ketchup.pose_range.yaw"]
    assert (yaw.steps, yaw.default, yaw.value) == (("record", "generate"), "[-3.14159265,3.14159265]", "[0,0]")
    assert yaw.reason.startswith("the bottle is round")
    demos = settings["datagen_config.generation_num_trials"]
    assert (demos.steps, demos.default, demos.value, demos.reason) == (("generate",), "100", "50", "small")
    assert (settings["all_subtasks.action_noise"].default, settings["algo"].default) == ("0.03", "bc_chunk")
    assert settings["horizon"].reason == "given on the command line"
    # These have their default values, or connect the steps.
    assert not {"num_demos", "num_envs", "stop_at_success", "seed", "task", "input_file"} & set(settings)
    assert all(setting.reason for setting in settings.values())


@pytest.mark.parametrize(
    ("verb", "field", "argument"),
    [
        ("record", "num_demos", "num_sources=5"),
        ("generate", "datagen_config.generation_num_trials", "num_demos=20"),
        ("train", "epochs", "epochs=7"),
        ("train", "algo", "algo=bc_rnn"),
        ("evaluate", "num_episodes", "num_episodes=10"),
    ],
)
def test_reason_of_a_preset_is_not_that_of_a_value_from_the_command_line(verb, field, argument, monkeypatch):
    cfg = make_cfg(size_reason="small")
    of_preset = pipeline_settings._reason(cfg, verb, field, {})
    monkeypatch.setattr(pipeline_settings.program, "arguments", ("preset=quick", argument))
    assert pipeline_settings._reason(cfg, verb, field, {}) == "given on the command line" != of_preset


@pytest.mark.slow
def test_settings_without_a_recorded_reason_are_listed(tmp_path, monkeypatch):
    (tmp_path / "desktop_organizer" / "agents").mkdir(parents=True)
    content = json.dumps({"record": ["teleop_device=scripted_fluent"]})
    (tmp_path / "desktop_organizer" / "agents" / "pipeline.json").write_text(content)
    monkeypatch.setattr(pipeline_steps, "task_dir", lambda name: tmp_path / name)
    setting = settings_of()["teleop_device"]
    assert (setting.default, setting.value, setting.reason) == ("scripted", "scripted_fluent", "")


def test_reasons_that_are_not_texts_are_refused(tmp_path, monkeypatch):
    (tmp_path / "task" / "agents").mkdir(parents=True)
    (tmp_path / "task" / "agents" / "pipeline.json").write_text(json.dumps({"why": ["fluent"]}))
    monkeypatch.setattr(pipeline_steps, "task_dir", lambda name: tmp_path / name)
    with pytest.raises(ConfigError, match=r"'why' must be an object of fields and reasons \(got \['fluent'\]\)"):
        task_reasons("task")


def test_terminal_line_counts_the_settings_and_names_the_page():
    assert settings_line([SETTING, SETTING], "cups", Path("out/report.html")) == (
        "2 settings of record, generate differ from the defaults of these commands for task=cups; out/report.html lists "
        "them with their reasons"
    )


def test_a_preset_uses_the_pipeline_overrides_of_its_task():
    assert task_of("desktop_organizer_wide") == "desktop_organizer" and task_of("stack_cube_skillgen") == "stack_cube"
    assert task_of("user_task") == "user_task"
    record = build_steps(make_cfg(task_name="desktop_organizer_wide"), PipelineFolder(Path("out")))[0]
    assert "task=desktop_organizer_wide" in record.arguments and "teleop_device=scripted_fluent" in record.arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": []}, "seeds: must not be empty"),
        ({"seeds": [1, 2, 1]}, "seeds: must be different from each other"),
        ({"num_sources": 0}, r"num_sources: must be >= 1 \(got 0\)"),
        ({"epochs": 0}, r"epochs: must be >= 1 \(got 0\)"),
        ({"output_dir": ""}, "output_dir: must be the path of a folder"),
    ],
)
def test_invalid_values_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        validate(make_cfg(**changes))


# fmt: off
INVALID_STEPS = [
    ({"task_name": "stack_cub"}, r"step 'record': task: 'stack_cub' not found.*did you mean 'stack_cube'"),
    ({"generate": ["sede=3"]}, r"step 'generate': sede: generate has no such field"),
    ({"generate": ["num_envs=x"]}, r"step 'generate': num_envs: is set twice"),
    ({"split": ["ratio=2"]}, r"step 'split': ratio: must be > 0 and < 1.*got 2"),
    ({"evaluate": ["checkpoint=x.pth"]}, r"step 'evaluate': checkpoint: is set twice"),
]
# fmt: on


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "message"), INVALID_STEPS)
def test_invalid_override_of_a_step_is_refused_before_any_step_runs(changes, message):
    steps = [step for step in build_steps(make_cfg(**changes), PipelineFolder(Path("out"))) if step.verb != "train"]
    with pytest.raises(ConfigError, match=message):
        check_steps(steps)


@pytest.mark.slow
def test_every_step_of_a_valid_pipeline_is_accepted():
    for task in ("desktop_organizer", "desktop_organizer_wide", "stack_cube"):
        steps = build_steps(make_cfg(task_name=task), PipelineFolder(Path("out")))
        check_steps([step for step in steps if step.verb != "train"])


def test_step_resumes_only_if_its_command_left_a_file_to_resume_from(tmp_path):
    steps = build_steps(make_cfg(), PipelineFolder(tmp_path))
    generate, train = (next(step for step in steps if step.verb == verb) for verb in ("generate", "train"))
    assert [step.command_line(resume=True)[-1] for step in (steps[0], generate, train)] == ["overwrite=true"] * 3
    for path in (tmp_path / "generation" / "run.sqlite", tmp_path / "training" / "seed_1" / "models" / "last.pth"):
        path.parent.mkdir(parents=True)
        path.touch()
    assert [step.command_line(resume=True)[-1] for step in (generate, train)] == ["resume=true"] * 2
    assert [step.command_line(resume=False)[-1] for step in (generate, train)] == ["overwrite=true"] * 2


def test_policy_that_sees_is_trained_on_pictures_of_the_split_demos():
    steps = build_steps(make_cfg(algo="bc_image", render=["copies=2"]), PipelineFolder(Path("out")))
    assert [step.verb for step in steps] == [
        "record", "annotate", "generate", "split", "render", "train", "train", "evaluate"
    ]  # fmt: skip
    render, train = steps[4], steps[5]
    assert {"input_file=out/generation/demo.hdf5", "output_file=out/pictures.hdf5", "copies=2"} <= {*render.arguments}
    assert "input_file=out/pictures.hdf5" in train.arguments and train.after == (render,)
    assert "render" not in [step.verb for step in build_steps(make_cfg(algo="bc_chunk"), PipelineFolder(Path("out")))]


def test_without_numbered_checkpoints_the_last_one_is_evaluated():
    *_, evaluate = build_steps(make_cfg(train=["save_every=0"]), PipelineFolder(Path("out")))
    assert "checkpoint=[out/training/seed_1/models/last.pth,out/training/seed_2/models/last.pth]" in evaluate.arguments


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", "the command printed nothing"),
        ("[18:00:00] Loaded\nConfigError: seed: wrong\n", "ConfigError: seed: wrong"),
        ("RecorderError: a.hdf5: errno = 28\n  , offset = 7\n\n", "RecorderError: a.hdf5: errno = 28 , offset = 7"),
        ("OutputError: a\n, b\nException ignored in: 'h5py'\nRuntimeError: c", "OutputError: a , b"),
        ("KeyError: 'x'\nDuring handling:\nValueError: y", "ValueError: y"),
        ("Killed", "Killed"),
    ],
)
def test_error_text_is_the_complete_error_message(output, expected):
    assert error_text(output) == expected


def test_second_pipeline_in_the_same_folder_is_refused(tmp_path):
    with (
        PipelineFolder(tmp_path).lock.hold(),
        pytest.raises(OutputError, match=r"in use by process \d+ on .* \(a pipeline, or one of its steps"),
        PipelineFolder(tmp_path).lock.hold(),
    ):
        pass
    with PipelineFolder(tmp_path).lock.hold():
        pass


def test_step_that_outlives_its_pipeline_keeps_the_folder_locked(tmp_path):
    with PipelineFolder(tmp_path).lock.hold() as lock:
        step = subprocess.Popen(["sleep", "60"], pass_fds=(lock,))
    try:
        with (
            pytest.raises(OutputError, match="one of its steps that is still running"),
            PipelineFolder(tmp_path).lock.hold(),
        ):
            pass
    finally:
        step.kill()
        step.wait()
    with PipelineFolder(tmp_path).lock.hold():
        pass


class FakeCommands:
    """Commands that only write their outputs.

    Attributes:
        exit_codes: verb -> exit code, for verbs that fail.
        signaled: verb during which Ctrl-C arrives.
        runs: verbs that were run; `generate` with its last argument.
    """

    def __init__(self, cfg: PipelineCfg):
        steps = build_steps(cfg, PipelineFolder(Path(cfg.output_dir)))
        self.outputs = {step.verb: step.output for step in steps}
        self.exit_codes: dict[str, int] = {}
        self.signaled = ""
        self.runs: list[str] = []

    def run(self, arguments, output, stop, lock, *_) -> int:
        verb = arguments[0]
        self.runs.append(f"{verb} {arguments[-1]}" if verb == "generate" else verb)
        path = self.outputs[verb]
        path.parent.mkdir(parents=True, exist_ok=True)
        if verb == "generate":
            (path.parent / "run.sqlite").touch()
        if verb == self.signaled:
            stop.signal_number = signal.SIGINT
            return 130
        output.write("OutputError: disk is full\n")
        output.flush()
        path.write_text(" ".join(arguments))
        return self.exit_codes.get(verb, 0)


@pytest.fixture
def pipeline_cfg(tmp_path) -> PipelineCfg:
    return make_cfg(output_dir=str(tmp_path / "out"), seeds=[1])


@pytest.fixture
def commands(pipeline_cfg, monkeypatch) -> FakeCommands:
    fake = FakeCommands(pipeline_cfg)
    monkeypatch.setattr(pipeline, "_run_command", fake.run)
    monkeypatch.setattr(pipeline, "check_steps", lambda steps: None)
    monkeypatch.setattr(pipeline, "changed_settings", lambda cfg, steps: [SETTING])
    return fake


STEPS_AFTER_GENERATE = ["split", "train", "evaluate"]


def test_finished_pipeline_runs_no_step_and_writes_the_page_again(pipeline_cfg, commands):
    pipeline.main(pipeline_cfg)
    assert commands.runs == ["record", "annotate", "generate overwrite=true", *STEPS_AFTER_GENERATE]
    commands.runs.clear()
    page = PipelineFolder(Path(pipeline_cfg.output_dir)).page
    page.unlink()
    pipeline.main(pipeline_cfg)
    assert commands.runs == [] and SETTING.reason in page.read_text()


def test_interrupted_pipeline_resumes_at_the_interrupted_step(pipeline_cfg, commands):
    commands.signaled = "generate"
    with pytest.raises(Interrupted, match="step 'generate' was running; run the same command again"):
        pipeline.main(pipeline_cfg)
    commands.signaled = ""
    commands.runs.clear()
    pipeline.main(pipeline_cfg)
    assert commands.runs == ["generate resume=true", *STEPS_AFTER_GENERATE]


@pytest.mark.parametrize(("exit_code", "kind"), [(1, MimicError), (2, UsageError), (3, BudgetExhausted), (75, FolderInUse)])
def test_failing_step_ends_the_pipeline_with_its_error_and_exit_code(pipeline_cfg, commands, exit_code, kind):
    commands.exit_codes = {"annotate": exit_code}
    with pytest.raises(kind, match=r"step 'annotate' failed: OutputError: disk is full \(.*logs/annotate.txt\)") as raised:
        pipeline.main(pipeline_cfg)
    assert raised.value.exit_code == exit_code and commands.runs == ["record", "annotate"]


def test_page_is_self_contained_even_without_outputs_of_steps(tmp_path):
    page = render_pipeline_page(make_cfg(), PipelineFolder(tmp_path), {"record": 3.0, "evaluate": None})
    check_page(page)
    assert "http" not in page and "desktop_organizer: 10 sources" in page
    assert "Settings that differ" not in page


def test_page_links_to_the_page_of_the_generation_if_there_is_one(tmp_path):
    folder = PipelineFolder(tmp_path)
    folder.generation.mkdir()
    link = 'href="generation/report.html"'
    assert link not in render_pipeline_page(make_cfg(), folder, {})
    assert f"mimic watch input_dir={folder.generation}" in render_pipeline_page(make_cfg(), folder, {})
    folder.generation_page.write_text("page")
    assert link in render_pipeline_page(make_cfg(), folder, {})


def checkpoint_result(name: str, num_successes: int, reasons: dict[str, int]) -> dict:
    rate = num_successes / 10
    return {
        "name": name, "num_episodes": 10, "num_successes": num_successes, "success_rate": rate, "reasons": reasons,
        "interval": [rate - 0.1, rate + 0.1], "mean_length_of_successes": 140.0,
    }  # fmt: skip


@pytest.mark.slow
def test_page_shows_the_figures_of_every_step(tmp_path):
    folder = PipelineFolder(tmp_path)
    make_source_file(folder.annotated, num_demos=3)
    folder.generation.mkdir()
    make_train_file(folder.demos, num_demos=5)
    results = [
        checkpoint_result("seed_1/model_epoch_9", 9, {"never <grasped>": 1}),
        checkpoint_result("seed_2/model_epoch_9", 8, {"dropped": 2}) | {"advice": ["Change first: <algo>"]},
    ]
    (folder.evaluation / "videos").mkdir(parents=True)
    look = {"checkpoint": "seed_1/model_epoch_9", "appearance": "light", "num_episodes": 50, "num_successes": 20}
    looks = [look | {"success_rate": 0.4, "interval": [0.28, 0.54]}]
    (folder.evaluation / "evaluation.json").write_text(json.dumps({"checkpoints": results, "appearance": looks}))
    (folder.evaluation / "videos" / "seed_1_model_epoch_9_seen.png").write_bytes(b"picture")
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
    assert "<td>light</td><td>50</td><td>20</td><td>40 % (28 to 54)</td>" in page
    assert "What seed_1/model_epoch_9 saw in its first failures" in page
    assert "Change first: &lt;algo&gt;" in page and "What to look at first" in page
    assert "2 min 5 s" in page and ">training runs<" in page
    assert ">training run<" in render_pipeline_page(make_cfg(seeds=[1]), folder, {})


def test_progress_of_a_step_is_read_from_its_log(tmp_path):
    path, seen = tmp_path / "generate.txt", []

    def update(done, total, figures, share):
        seen.append((done, total, figures(), share))

    for line in (
        "[08:03:18] Starting generation with 20 parallel environments...",
        "[08:03:28] generating: 0/20 demos, 21%, 120 steps/s, 38 s remaining",
        "[08:03:38] training: 3/6 epochs, loss 0.50000, valid 0.25000",
        "[08:03:48] model_epoch_20: 2/300 episodes, 1 min 3 s remaining",
    ):
        path.write_text((path.read_text() if path.exists() else "") + line + "\n")
        _show_progress(path, update)
    assert seen == [(0, 20, "120 steps/s", 0.21), (3, 6, "loss 0.50000, valid 0.25000", None), (2, 300, "", None)]
