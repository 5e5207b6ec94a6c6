"""Public names of the package in complete jobs, and the time of its import."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.files.digest import dataset_digest
from tests import requires
from tests.processes import HANG_S

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
SMALL = {"num_envs=100": "num_envs=10", "num_trials=1000": "num_trials=12", "num_episodes=300": "num_episodes=10"}


def test_every_public_name_can_be_imported_and_has_a_docstring() -> None:
    for name in mimic.__all__:
        value = getattr(mimic, name)
        assert callable(value), name
        assert inspect.getdoc(value), name
    assert set(mimic.__all__) <= set(dir(mimic))


def test_public_names_stay_functions_when_a_module_of_the_same_name_is_imported() -> None:

    assert inspect.isfunction(mimic.generate)
    assert inspect.isfunction(mimic.train)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'genrate'"):
        mimic.genrate  # noqa: B018


def test_editors_find_the_definition_of_every_lazy_name() -> None:
    tree = ast.parse(Path(mimic.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    shown = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom) and node.module is not None
        module = node.module.removeprefix("isaaclab_mimic_ext.")
        shown |= {alias.asname or alias.name: f"{module}:{alias.name}" for alias in node.names}
    assert shown == mimic._PUBLIC
    assert sorted(mimic.__all__) == sorted(shown)


def test_importing_the_package_takes_less_than_300_ms() -> None:
    code = "import time; start = time.process_time(); import isaaclab_mimic_ext; print(time.process_time() - start)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.anchor)
    assert float(done.stdout) < 0.3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def env() -> mimic.MimicEnv:
    return mimic.make_env(mimic.load_task("desktop_organizer"), engine="kinematic", num_envs=4)


@pytest.fixture(scope="module")
def annotated(folder: Path, env: mimic.MimicEnv) -> Path:
    """Two recorded demos with their subtasks marked."""
    recorded = mimic.record(env, folder / "raw.hdf5", "scripted", num_demos=6, seed=11)
    assert recorded.target_reached and recorded.num_demos == 6
    annotations = mimic.annotate(recorded.dataset, folder / "annotated.hdf5", env)
    assert [annotation.rejection for annotation in annotations] == [None] * 6
    return folder / "annotated.hdf5"


@pytest.fixture(scope="module")
def run(folder: Path, env: mimic.MimicEnv, annotated: Path) -> mimic.RunResult:
    demos = mimic.load_demos(annotated, env)
    assert isinstance(demos, mimic.SourceDemos) and len(demos) == 6
    return mimic.generate(env, demos, mimic.GenerationCfg(num_trials=8, seed=3), output_dir=folder / "run")


def test_generated_dataset_holds_the_successful_trials(run: mimic.RunResult) -> None:
    assert run.target_reached and run.num_demos == 8
    assert 0 < run.success_rate <= 1
    assert sum(run.failures.values()) == run.num_attempts - run.num_successes
    with h5py.File(run.dataset) as file:
        assert len(file["data"]) == 8


def test_finished_run_is_returned_unchanged(run: mimic.RunResult, env: mimic.MimicEnv, annotated: Path) -> None:
    demos, before = mimic.load_demos(annotated, env), dataset_digest(run.dataset)
    cfg = mimic.GenerationCfg(generation_num_trials=8, seed=3)
    again = mimic.generate(env, demos, cfg, output_dir=run.output_dir, resume=True)
    assert (again.num_demos, again.success_rate, again.failures) == (8, run.success_rate, run.failures)
    assert dataset_digest(run.dataset) == before
    with pytest.raises(mimic.OutputError, match="seed"):
        mimic.generate(env, demos, mimic.GenerationCfg(num_trials=8, seed=4), output_dir=run.output_dir, resume=True)


def test_stopped_run_is_resumed_to_the_same_dataset(run: mimic.RunResult, env: mimic.MimicEnv, annotated: Path) -> None:
    demos, cfg = mimic.load_demos(annotated, env), mimic.GenerationCfg(num_trials=8, seed=3)
    folder = Path(run.output_dir).with_name("stopped")
    stopped = mimic.generate(env, demos, cfg, folder, should_stop=lambda progress: progress.num_ended >= 3)
    assert not stopped.target_reached and stopped.stop_reason == "interrupted"
    assert stopped.dataset == folder / "demo.hdf5.part"
    assert mimic.inspect(stopped.dataset).num_demos == stopped.num_demos >= 1
    resumed = mimic.generate(env, demos, cfg, folder, resume=True)
    assert dataset_digest(resumed.dataset) == dataset_digest(run.dataset)


def test_budget_ends_a_run_without_an_error(env: mimic.MimicEnv, annotated: Path, tmp_path: Path) -> None:
    demos = mimic.load_demos(annotated, env)
    run = mimic.generate(env, demos, mimic.GenerationCfg(num_trials=50, max_trials=4), tmp_path / "run")
    assert not run.target_reached and run.num_attempts == 4 and "max_trials" in run.stop_reason


def test_command_continues_a_run_of_the_library(env: mimic.MimicEnv, annotated: Path, tmp_path: Path) -> None:
    demos = mimic.load_demos(annotated, env)
    mimic.generate(env, demos, mimic.GenerationCfg(num_trials=4), tmp_path / "run")
    words = ("sim=kinematic", f"input_file={annotated}", "output_dir=run", "generation_num_trials=6", "num_envs=3")
    done = mimic_command("generate", *words, "resume=true", "video=false", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "run" / "demo.hdf5") as file:
        assert len(file["data"]) == 6


def test_generation_settings_are_checked_by_name_and_type() -> None:
    settings = mimic.GenerationCfg(num_trials=5, guarantee=False).applied_to(mimic.DataGenConfig(seed=7))
    assert (settings.generation_num_trials, settings.generation_guarantee, settings.seed) == (5, False, 7)
    with pytest.raises(mimic.ConfigError, match=r"'num_trial'.*did you mean 'num_trials'"):
        mimic.GenerationCfg(num_trial=5)
    with pytest.raises(mimic.ConfigError, match="generation_num_trials"):
        mimic.GenerationCfg(num_trials="many")
    with pytest.raises(mimic.ConfigError, match="are the same setting"):
        mimic.GenerationCfg(num_trials=5, generation_num_trials=5)


def test_task_has_its_configuration_and_unknown_tasks_are_refused() -> None:
    task = mimic.load_task("desktop_organizer_wide")
    assert isinstance(task, mimic.Task) and isinstance(task.config, mimic.MimicEnvCfg)
    assert task.config.events["randomize_ketchup"].pose_range["x"] == [-0.15, 0.15]
    assert all(isinstance(each, mimic.SubTaskConfig) for each in task.config.subtask_configs["franka"])
    with pytest.raises(mimic.ConfigError, match="did you mean 'stack_cube'"):
        mimic.load_task("stack_cubes")


def test_user_task_class_requires_a_configuration(annotated: Path, tmp_path: Path) -> None:
    base = mimic.load_task("desktop_organizer")

    class Mine(type(base)):  # type: ignore[misc]
        name = "my_organizer"

    with pytest.raises(mimic.ConfigError, match="'my_organizer' has no configuration"):
        mimic.load_demos(annotated, mimic.make_env(Mine(), engine="kinematic"))
    task = Mine()
    task.config = base.config
    env = mimic.make_env(task, engine="kinematic", num_envs=3)
    run = mimic.generate(env, mimic.load_demos(annotated, env), mimic.GenerationCfg(num_trials=3), tmp_path / "run")
    assert run.num_demos == 3


def test_events_passed_to_make_env_are_those_of_the_run(annotated: Path, tmp_path: Path) -> None:
    fixed = {"randomize_ketchup": mimic.EventCfg("ketchup", pose_range={"x": [0.0, 0.0]})}
    task = mimic.load_task("desktop_organizer")
    env = mimic.make_env(task, engine=mimic.SimCfg(engine="kinematic"), num_envs=2, events=fixed)
    run = mimic.generate(env, mimic.load_demos(annotated, env), mimic.GenerationCfg(num_trials=2), tmp_path / "run")
    assert run.target_reached
    assert "randomize_basket" not in (tmp_path / "run" / "config.yaml").read_text()
    assert "randomize_basket" in task.config.events


def test_source_demos_are_checked(annotated: Path) -> None:
    assert mimic.check(annotated, mimic.load_task("desktop_organizer"), num_draws=20).is_healthy


def test_dataset_tools(run: mimic.RunResult, env: mimic.MimicEnv, tmp_path: Path) -> None:
    merged = mimic.merge([run.dataset, other_run(run)], tmp_path / "merged.hdf5", allow_copies=True)
    assert merged.num_demos == 16
    assert mimic.inspect(tmp_path / "merged.hdf5").num_demos == 16
    split = mimic.split(tmp_path / "merged.hdf5", ratio=0.75)
    assert (len(split.train), len(split.valid)) == (12, 4)
    assert mimic.validate(run.dataset, num_replays=2).is_valid(strict=False)
    replayed = mimic.replay(run.dataset, num_envs=3)
    assert replayed.success_rate == 1.0 and (replayed.largest_object_error or 0.0) < 1e-5
    prepared = mimic.prepare(run.dataset, tmp_path / "sparse.hdf5", mimic.PrepareOptions(sparse_reward=True))
    assert prepared.num_demos == 8
    assert mimic.export_robomimic(run.dataset, tmp_path / "robomimic.hdf5").num_demos == 8


def other_run(run: mimic.RunResult) -> Path:
    """A copy of a dataset: merging a file with itself is refused."""
    path = run.dataset.with_name("copy.hdf5")
    path.write_bytes(run.dataset.read_bytes())
    return path


def test_page_of_a_run(run: mimic.RunResult) -> None:
    report = mimic.report_run(run.output_dir, pictures=False)
    assert report.num_trials == run.num_attempts and report.path.is_file()


class Still:
    """A policy that does nothing."""

    def reset(self, env_ids: torch.Tensor) -> None:
        pass

    def act(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.zeros(len(next(iter(observations.values()))), 7)


def test_user_policy_is_evaluated(env: mimic.MimicEnv) -> None:
    assert isinstance(Still(), mimic.Policy)
    result = mimic.evaluate(env, Still(), num_episodes=5, horizon=10, disturbances=mimic.Disturbances())
    assert isinstance(result, mimic.EvaluationResult)
    assert (result.num_episodes, result.success.rate) == (5, 0.0)
    assert "0.0 %" in str(result.success)


def mimic_command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "isaaclab_mimic_ext", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=HANG_S)


def readme_example() -> str:
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    return block


@pytest.mark.slow
@pytest.mark.train
def test_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requires.module("robomimic", "train")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "annotated.hdf5").symlink_to(ROOT / "tasks/desktop_organizer/data/source_demos.hdf5")
    code = readme_example().replace(
        'algo="bc_chunk"', 'algo="bc_chunk", epochs=1, agent={"experiment": {"epoch_every_n_steps": 5}}'
    )
    for text, small in SMALL.items():
        assert text in code
        code = code.replace(text, small)
    names: dict[str, object] = {}
    exec(code.replace("mimic.evaluate(", "result = mimic.evaluate("), names)
    assert names["run"].num_demos == 12  # type: ignore[attr-defined]
    assert 0 <= names["result"].rate <= 1  # type: ignore[attr-defined]
    assert (tmp_path / "logs" / "robomimic" / "desktop_organizer" / "bc_chunk").is_dir()
