"""A wheel of this repository, installed into a fresh virtual environment and used from a folder without the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import h5py
import pytest

from tests import requires
from tests.processes import HANG_S

ROOT = Path(__file__).resolve().parents[2]
PACKAGED = ("isaaclab_mimic_ext", "tasks", "conf", "pyproject.toml", "setup.py", "README.md", "LICENSE")
QUIET = ("video=false", "progress=false")

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """The standard output of a program that must succeed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, cwd=cwd, env=environment, timeout=HANG_S
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def bin_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel, which sees the packages of the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in PACKAGED:  # A copy: building leaves files beside the sources.
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    pip = ("-m", "pip", "--disable-pip-version-check")
    run(sys.executable, *pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv"), "platbase": str(folder / "venv")}))
    python = folder / "venv" / "bin" / "python"
    prefix = ("--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    run(sys.executable, *pip, *prefix, cwd=folder)
    # Paths only, not their .pth files: one of them leads to the checkout.
    (site / "zz_packages.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")) + "\n")
    return python.parent


def test_installed_package_is_the_one_that_runs(bin_dir: Path, tmp_path: Path) -> None:
    code = (
        "import isaaclab_mimic_ext, isaaclab_mimic_ext.tasks as tasks; print(isaaclab_mimic_ext.__file__, *tasks.__path__)"
    )
    places = run(bin_dir / "python", "-c", code, cwd=tmp_path).split()
    assert all(Path(place).is_relative_to(bin_dir.parent) for place in places)


def test_command_generates_with_the_files_in_the_wheel(bin_dir: Path, tmp_path: Path) -> None:
    installed = snapshot(bin_dir.parent)
    words = ("task=desktop_organizer", "generation_num_trials=5", "num_envs=5", "output_dir=run", *QUIET)
    run(bin_dir / "mimic", "generate", *words, cwd=tmp_path)
    with h5py.File(tmp_path / "run" / "demo.hdf5") as file:
        assert len(file["data"]) == 5
    assert snapshot(bin_dir.parent) == installed


def test_sweep_records_and_annotates_in_processes_of_the_wheel(bin_dir: Path, tmp_path: Path) -> None:
    scene = ("task=desktop_organizer", "sim=kinematic")
    run(bin_dir / "mimic", "record", *scene, "num_demos=2", "output_file=raw.hdf5", cwd=tmp_path)
    run(bin_dir / "mimic", "annotate", *scene, "input_file=raw.hdf5", "output_file=annotated.hdf5", cwd=tmp_path)
    words = (*scene, "input_file=annotated.hdf5", "generation_num_trials=2", "num_envs=2", *QUIET)
    sweep = ("-m", "hydra/launcher=process", "hydra.sweep.dir=sweep", "seed=1,2")
    run(bin_dir / "mimic", "generate", *sweep, *words, cwd=tmp_path)
    assert len(list((tmp_path / "sweep").rglob("demo.hdf5"))) == 2


def snapshot(folder: Path) -> set[Path]:
    """Every file of an environment but compiled modules."""
    return {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_pipeline_runs_its_steps_from_the_wheel(bin_dir: Path, tmp_path: Path) -> None:
    quick = ('generate=["video=false"]', 'train=["agent.experiment.epoch_every_n_steps=5"]', 'evaluate=["video=false"]')
    words = ("preset=quick", "num_sources=2", "num_demos=4", "epochs=1", "num_episodes=4", "num_envs=4", "output_dir=out")
    requires.module("robomimic", "train")
    run(bin_dir / "mimic", "pipeline", *words, *quick, cwd=tmp_path)
    assert (tmp_path / "out" / "report.html").is_file()
