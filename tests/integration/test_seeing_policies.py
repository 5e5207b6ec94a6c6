"""Policies that see, by the commands: training with evaluations, random looks in an evaluation and in a generation."""

import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.datasets.render import RenderOptions, render_dataset
from isaaclab_mimic_ext.datasets.split import split_dataset
from isaaclab_mimic_ext.errors import DependencyMissing, SimulatorUnavailable
from isaaclab_mimic_ext.learn.robomimic import require_robomimic
from tests import requires
from tests.forked_scripts import ROOT, message_of, run_script
from tests.jobs import run_generation

pytestmark = [pytest.mark.train, pytest.mark.slow]
requires.module("mujoco", "mujoco")
with requires.available("train", DependencyMissing):
    require_robomimic()

SIZE = (24, 24)
SMALL = ("agent.algo.actor_layer_dims=[16]", "agent.experiment.epoch_every_n_steps=2", "agent.train.batch_size=4")
SCENES = ("sim=kinematic", "horizon=8", "num_envs=2", "num_episodes=2", "video=false")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    demos = folder / "demo.hdf5"
    shutil.copy(ROOT / "tasks/desktop_organizer/data/source_demos.hdf5", demos)
    split_dataset(demos, 0.5, seed=1, demos=["demo_0", "demo_1"])
    with requires.available("opengl", SimulatorUnavailable):
        render_dataset(demos, folder / "pictures.hdf5", RenderOptions(size=SIZE), num_workers=1, demos=["demo_0", "demo_1"])
    return folder / "pictures.hdf5"


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training with an evaluation after each of its two epochs."""
    output = tmp_path_factory.mktemp("training") / "policy"
    done = run_script(
        "train", "algo=bc_image", f"input_file={pictures}", f"output_dir={output}", "epochs=2", *SMALL, "sim=kinematic",
        "evaluate_every=1", "num_eval_episodes=2", "num_eval_envs=2", cwd=output.parent, needs_robomimic=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return output


def test_policy_that_sees_is_evaluated_during_its_training(trained: Path) -> None:
    rates = [line.split(",")[3] for line in (trained / "metrics.csv").read_text().splitlines()[1:]]
    assert len(rates) == 2 and all(0.0 <= float(rate) <= 1.0 for rate in rates)
    assert (trained / "models" / "best.pth").exists()


def test_evaluation_reports_each_appearance_in_a_table_and_in_its_file(trained: Path, tmp_path: Path) -> None:
    words = (f"checkpoint={trained}/models/last.pth", *SCENES, "appearance=[light,all]", "num_appearance_episodes=3")
    done = run_script("evaluate", *words, f"output_dir={tmp_path}/evaluation", cwd=tmp_path, needs_robomimic=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["appearance"]
    assert [(each["appearance"], each["num_episodes"]) for each in found] == [("light", 3), ("all", 3)]
    assert re.search(r"own look .* light .* all", done.stdout), done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["appearance=[lights]"], "appearance: 'lights' is not a kind of appearance"),
        (["appearance=[all]", "policy=tests.small_policies:expert"], "appearance: requires a policy whose pictures"),
    ],
)
def test_wrong_appearance_is_refused_in_one_line(trained: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    words = (f"checkpoint={trained}/models/last.pth", *SCENES, *arguments, f"output_dir={tmp_path}/evaluation")
    done = run_script("evaluate", *words, cwd=tmp_path, needs_robomimic=True)
    assert done.returncode == 2 and message in message_of(done) and not (tmp_path / "evaluation").exists()


def test_generation_records_a_random_look_per_trial_with_any_number_of_envs(tmp_path: Path) -> None:
    files = {}
    for name, num_envs, looks in (("plain", 1, "[]"), ("one", 1, "[table]"), ("two", 2, "[table]")):
        cfg = load_config("generate", [
            "sim=mujoco", "sim.num_threads=1", f"num_envs={num_envs}", "video=false", "progress=false",
            "enable_cameras=true", "cameras.size=[24,24]", "cameras.names=[front]", f"cameras.appearance={looks}",
            "datagen_config.generation_num_trials=2", f"output_dir={tmp_path / name}",
        ])  # fmt: skip
        run_generation(cfg)
        files[name] = h5py.File(tmp_path / name / "demo.hdf5")
    plain, one, two = ([files[name][f"data/demo_{demo}/obs/front"][()] for demo in (0, 1)] for name in files)
    assert all(np.array_equal(first, second) for first, second in zip(one, two, strict=True))
    changes = [np.abs(own.astype(int) - varied).mean() for own, varied in zip(plain, one, strict=True)]
    assert min(changes) > 5
    first_pixels = {tuple(pictures[0, -1, 0]) for pictures in one}
    assert len(first_pixels) == 2, "each trial has its own table"
    described = json.loads(files["one"]["data"].attrs["env_args"])["cameras"]
    assert described["appearance"] == ["table"]
    for file in files.values():
        file.close()
