"""Outputs of the jobs of a sweep: shared outputs are refused before the first job, defaults differ."""

import shlex
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from isaaclab_mimic_ext.config import hydra as config_of_hydra
from tests.forked_scripts import message_of, run_script

SHOW = "print('OUTPUT', cfg.output_dir)"
SHARED = [
    ("record_demos", "seed=1,2 output_file=a.hdf5", "output_file"),
    ("annotate_demos", "auto=true,false input_file=x output_file=a.hdf5", "output_file"),
    ("check_demos", "num_draws=1,2 input_file=x output_file=a.png", "output_file"),
    ("generate", "seed=1,2 output_dir=a", "output_dir"),
    ("generate", "seed=1,2 output_dir=a hydra/launcher=process", "output_dir"),
    ("generate", "seed=1,2 output_dir=a sim=isaaclab", "output_dir"),
    ("generate", "seed=1,2,3 output_dir=a,./a", "output_dir"),
    ("generate", "seed=1,2 output_dir=a hydra.sweeper.max_batch_size=1", "output_dir"),
    ("generate", "seed=1,2 hydra.sweep.subdir=a", "output_dir"),
    ("report", "num_failures=1,2 input_dir=run", "input_dir"),
    ("report", "num_failures=1,2 input_dir=run output_file=a.html", "output_file"),
    ("split_dataset", "seed=1,2 input_file=a.hdf5", "input_file"),
    ("merge_datasets", "input_file=[a,b],[c,d] output_file=e.hdf5", "output_file"),
    ("replay_demos", "num_envs=1,2 input_file=a.hdf5 output_file=a.mp4", "output_file"),
    ("import_dataset", "compress=true,false input_file=a.hdf5 output_file=b.hdf5", "output_file"),
    ("import_config", "rename.objects.nut=a,b base_task=square_peg input_file=a.json output_file=b.yaml", "output_file"),
    ("export_dataset", "compress=true,false format=robomimic input_file=a.hdf5 output_file=b.hdf5", "output_file"),
    ("export_dataset", "videos=true,false format=lerobot input_file=a.hdf5 output_dir=b", "output_dir"),
    ("prepare_dataset", "compress=true,false input_file=a.hdf5 output_file=b.hdf5", "output_file"),
    ("train", "seed=1,2 input_file=a.hdf5 output_dir=b", "output_dir"),
    ("evaluate", "seed=1,2 checkpoint=a.pth output_dir=b", "output_dir"),
    ("pipeline", "epochs=1,2 output_dir=a", "output_dir"),
    ("sweep_report", "overwrite=true,false input_dir=a", "input_dir"),
]


@pytest.mark.parametrize(("script", "words", "field"), SHARED)
def test_shared_output_is_refused_before_the_first_job(script: str, words: str, field: str, tmp_path: Path) -> None:
    done = run_script(script, "-m", *words.split(), cwd=tmp_path)
    message = message_of(done)
    assert message.startswith(f"OutputError: {field}: ") and " jobs 0 and 1 of this sweep" in message
    assert "use a different" in message
    assert done.returncode == 2 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("field", ["seed=1,2", "++all_subtasks.action_noise=0,0.01", "task=stack_cube,desktop_organizer"])
def test_remedy_of_a_shared_output_can_be_pasted(field: str, tmp_path: Path) -> None:
    words = ["-m", field, "sim=mujoco"]
    refused = message_of(run_script("generate", *words, "output_dir=runs", cwd=tmp_path))
    (pasted,) = shlex.split(refused.rpartition("per job: ")[2])
    done = run_script("generate", *words, pasted, cwd=tmp_path, body=SHOW)
    assert done.returncode == 0, done.stderr
    assert len(outputs(done)) == 2 and all(output.startswith("runs/") for output in outputs(done))


def test_remedy_contains_the_swept_field_in_its_short_form(tmp_path: Path) -> None:
    done = run_script("generate", "-m", "seed=1,2", "output_dir=runs", cwd=tmp_path)
    assert message_of(done) == (
        "OutputError: output_dir: jobs 0 and 1 of this sweep would write to 'runs'; leave output_dir out, so that each job "
        "writes to its own folder, or use a different output_dir per job: output_dir='runs/seed_${seed}'"
    )


def test_jobs_of_pipelines_have_their_own_folders_by_default(tmp_path: Path) -> None:
    done = run_script("pipeline", "-m", "epochs=1,2", cwd=tmp_path, body=SHOW)
    assert sorted(Path(output).name for output in outputs(done)) == ["0", "1"], done.stderr
    assert outputs(run_script("pipeline", cwd=tmp_path, body=SHOW)) == {"datasets/pipeline/desktop_organizer_quick"}


def test_sweep_with_its_own_outputs_leaves_no_empty_folders(tmp_path: Path) -> None:
    words = ["-m", "seed=1,2", "sim=kinematic", "output_dir='run_${seed}'"]
    done = run_script("generate", *words, cwd=tmp_path, body="os.mkdir(cfg.output_dir)")
    assert done.returncode == 0, done.stderr
    folders = [path.name for path in tmp_path.rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert sorted(folders) == ["run_1", "run_2"]
    assert len(list(tmp_path.rglob("multirun.yaml"))) == 1


SWEEPER = """
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper


class AskingSweeper(Sweeper):
    def setup(self, *, hydra_context, task_function, config):
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments):
        for number in range(3):
            self.launcher.launch([[*arguments, f"datagen_config.seed={number}"]], initial_job_idx=number)


node = {"_target_": f"{__name__}.AskingSweeper"}
ConfigStore.instance().store(group="hydra/sweeper", name="asking", node=node, provider="asking")
"""
"""Sweeper of another package, which knows a job only after the result of the one before it."""


@pytest.mark.parametrize(("output", "seeds"), [("runs", ["0"]), ("'runs/seed_${seed}'", ["0", "1", "2"])])
def test_jobs_of_a_sweeper_of_another_package_are_checked_one_by_one(output: str, seeds: list[str], tmp_path: Path) -> None:
    plugin = tmp_path / "packages" / "hydra_plugins" / "asking.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(SWEEPER)
    words = ["-m", "hydra/sweeper=asking", "sim=kinematic", f"output_dir={output}"]
    body = "print('SEED', cfg.datagen_config.seed)"
    done = run_script("generate", *words, cwd=tmp_path, body=body, packages=str(tmp_path / "packages"))
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("SEED")] == seeds, done.stderr
    if len(seeds) < 3:
        expected = "OutputError: output_dir: jobs 0 and 1 of this sweep would write to 'runs'; "
        assert message_of(done).startswith(expected) and done.returncode == 2


def test_runs_started_in_the_same_second_have_different_default_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = iter([datetime(2026, 1, 31, 12, 0, 0, 41_000), datetime(2026, 1, 31, 12, 0, 0, 42_000)])
    monkeypatch.setattr(config_of_hydra, "datetime", type("Clock", (), {"now": staticmethod(lambda: next(starts))}))
    folders = [config_of_hydra.dated_dir(Path("datasets/stack_cube")) for _ in range(2)]
    assert folders == [f"datasets/stack_cube/2026-01-31_12-00-00-0{number}" for number in (41, 42)]


def outputs(done: subprocess.CompletedProcess[str]) -> set[str]:
    return {line.removeprefix("OUTPUT ") for line in done.stdout.splitlines() if line.startswith("OUTPUT ")}
