"""Report of a sweep: the swept fields, and the success rates for each value."""

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from isaaclab_mimic_ext.config import SweepReportCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.errors import OutputError, SourceDataError
from isaaclab_mimic_ext.learn.sweep import Job, Parameter, outcomes, read_jobs, sweep_title, swept_parameters
from tests.jobs import command


def config(noise: float, seed: int = 1, strategy: str = "random") -> dict[str, Any]:
    subtasks = [
        {"action_noise": noise, "selection_strategy": strategy},
        {"action_noise": noise, "selection_strategy": strategy},
    ]
    return {"datagen_config": {"seed": seed}, "subtask_configs": {"franka": subtasks}, "num_envs": 100}


def add_job(
    folder: Path, number: int, values: dict[str, Any], generation: tuple[int, int], evaluation: tuple[int, int] | None
) -> None:
    """Write the files of a job; `generation` and `evaluation` are numbers of successes and of trials or episodes."""
    job = folder / str(number)
    (job / "evaluation").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create({**values, "output_dir": f"job_{number}"}), job / "config.yaml")
    num_success, num_attempts = generation
    failures = {"dropped": num_attempts - num_success}
    stats = {"num_success": num_success, "num_attempts": num_attempts, "failures": failures}
    (job / "important_stats.json").write_text(json.dumps(stats))
    if evaluation is not None:
        num_successes, num_episodes = evaluation
        early = {"epoch": 50, "num_successes": 0, "num_episodes": num_episodes, "reasons": {}}
        late = {"epoch": 200, "num_successes": num_successes, "num_episodes": num_episodes, "reasons": {"never grasped": 1}}
        (job / "evaluation/evaluation.json").write_text(json.dumps({"checkpoints": [late, early]}))


def test_fields_that_change_together_are_one_parameter_and_seeds_are_summed(tmp_path: Path) -> None:
    for number, (noise, seed) in enumerate([(0.0, 1), (0.0, 2), (0.1, 1), (0.1, 2)]):
        add_job(tmp_path, number, config(noise, seed), (8 - number, 10), (5 + number, 10))
    jobs = read_jobs(tmp_path)
    (parameter,) = swept_parameters(jobs)
    assert parameter.name == "action_noise"
    assert len(parameter.fields) == 2
    quiet, noisy = outcomes(jobs, [parameter])
    assert (quiet.values, noisy.values) == ({"action_noise": 0.0}, {"action_noise": 0.1})
    assert quiet.generation is not None and quiet.generation.rate == pytest.approx(15 / 20)
    assert noisy.policy is not None and noisy.policy.rate == pytest.approx(15 / 20)
    assert noisy.reasons == {"generation": {"dropped": 9}, "policy": {"never grasped": 2}}


def test_parameter_with_the_most_values_is_first_and_jobs_keep_their_order(tmp_path: Path) -> None:
    combinations = [(noise, strategy) for strategy in ("random", "nearest") for noise in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)]
    for number, (noise, strategy) in enumerate(combinations):
        add_job(tmp_path, number, config(noise, strategy=strategy), (number, 20), None)
    jobs = read_jobs(tmp_path)
    parameters = swept_parameters(jobs)
    assert [parameter.name for parameter in parameters] == ["action_noise", "selection_strategy"]
    assert [outcome.jobs for outcome in outcomes(jobs, parameters)] == [[str(number)] for number in range(12)]


def test_paths_outside_the_folders_of_jobs_count_as_parameters(tmp_path: Path) -> None:
    for number, sources in enumerate((5, 10)):
        own = f"{tmp_path.name}/{number}/annotated.hdf5"
        values = {**config(0.0), "dataset": f"sweeps/{own}", "input_file": f"sources_{sources}.hdf5"}
        add_job(tmp_path, number, values, (8, 10), None)
    (parameter,) = swept_parameters(read_jobs(tmp_path))
    assert parameter.name == "input_file"


def test_report_is_replaced_only_with_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_job(tmp_path, 0, config(0.0), (8, 10), (5, 10))
    add_job(tmp_path, 1, config(0.1), (6, 10), None)
    command("sweep-report", SweepReportCfg(str(tmp_path)))
    assert "80.0 % (49.0 - 94.3)" in capsys.readouterr().out
    found = json.loads((tmp_path / "sweep.json").read_text())
    assert [outcome["generation"]["rate"] for outcome in found["outcomes"]] == pytest.approx([0.8, 0.6])
    assert found["outcomes"][1]["policy"] is None
    with pytest.raises(OutputError, match=r"sweep.json already exists; .*overwrite=true"):
        command("sweep-report", SweepReportCfg(str(tmp_path)))
    command("sweep-report", SweepReportCfg(str(tmp_path), overwrite=True))


def test_sweep_report_contains_a_plot(tmp_path: Path) -> None:
    for number, strategy in enumerate(("random", "nearest")):
        add_job(tmp_path, number, config(0.0, strategy=strategy), (8, 10), (5, 10))
    command("sweep-report", SweepReportCfg(str(tmp_path)))
    assert (tmp_path / "sweep.png").stat().st_size > 5000


def test_folders_without_a_valid_sweep_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceDataError, match="is not a folder"):
        read_jobs(tmp_path / "nope")
    with pytest.raises(SourceDataError, match=r"contains no job with config.yaml"):
        read_jobs(tmp_path)
    add_job(tmp_path, 0, config(0.0, 1), (8, 10), None)
    add_job(tmp_path, 1, config(0.0, 2), (8, 10), None)
    with pytest.raises(SourceDataError, match="differ in a parameter other than the seed"):
        command("sweep-report", SweepReportCfg(str(tmp_path)))
    (tmp_path / "1/important_stats.json").write_text("{")
    with pytest.raises(SourceDataError, match=r"important_stats.json: is not valid JSON"):
        read_jobs(tmp_path)


def test_all_subtasks_override_sets_the_field_of_every_subtask() -> None:
    cfg = load_config("generate", ["++all_subtasks.action_noise=0.2", "output_dir=unused"])
    assert {subtask.action_noise for subtask in cfg.subtask_configs["franka"]} == {0.2}


def test_title_of_a_sweep_names_task_and_parameters() -> None:
    """Not the folder: its name is a date."""
    jobs = [Job(str(number), {"task.name": "stack_cube"}, None, None) for number in range(2)]
    parameters = [Parameter("action_noise", ()), Parameter("seed", ())]
    assert sweep_title(jobs, parameters) == "stack_cube: success against action_noise, seed"
    assert sweep_title([Job("0", {}, None, None)], parameters[:1]) == "success against action_noise"
