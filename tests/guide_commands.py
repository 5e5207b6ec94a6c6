"""The commands of a guide for Isaac Lab users, with only the paths of the scripts changed and smaller numbers."""

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.datasets.validate import validate_dataset
from isaaclab_mimic_ext.envs.base import MimicEnv
from tests.processes import HANG_S
from tests.typing_person import TypingPerson

ROOT = Path(__file__).parents[1]
MIMIC_TASK = "Isaac-Desktop-Organizer-Franka-Mimic-IK-Rel-v0"
TASK = "Isaac-Desktop-Organizer-Franka-IK-Rel-v0"

RECORD = f"--task {MIMIC_TASK} --teleop_device keyboard --dataset_file ./datasets/desktop_organizer_raw.hdf5 --num_demos 2"
ANNOTATE = "--dataset ./datasets/desktop_organizer_raw.hdf5 --output ./datasets/desktop_organizer_annotated.hdf5"
GENERATE = (
    f"--task {MIMIC_TASK} --input_file ./datasets/desktop_organizer_annotated.hdf5 --output_file "
    "./datasets/generated_dataset.hdf5 --generation_num_trials 2 --num_envs 2 --headless"
)
TRAIN = f"--task {TASK} --algo bc --dataset ./datasets/generated_dataset.hdf5 --epochs 1"
PLAY = f"--task {TASK} --num_rollouts 2 --horizon 20"


def run(start: Sequence[str], script: str, flags: str, cwd: Path, keys: str = "", *more: str) -> str:
    """Run a script like the guide does, with `keys` on standard input, and return what it logged."""
    command = [*start, str(ROOT / "scripts" / f"{script}.py"), *flags.split(), *more]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=HANG_S, input=keys)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stderr


def typed_keys(env: MimicEnv, folder: Path) -> str:
    """Keys of a person who records two demos in the scenes of `mimic record`."""
    person = TypingPerson(env)
    result = mimic.record(env, folder / "typed.hdf5", person, 2, step_hz=math.inf)
    assert result.num_attempts == result.num_demos == 2
    return person.typed


def run_until_split(start: Sequence[str], keys: str, folder: Path) -> dict[str, str]:
    """Record, annotate, generate, and add the masks of the guide; return the log of each script."""
    logs = {
        "record": run(start, "record_demos", RECORD, folder, keys),
        "annotate": run(start, "annotate_demos", ANNOTATE, folder),
        "generate": run(start, "generate", GENERATE, folder, "", "--video=false", "--progress=false"),
    }
    dataset = folder / "datasets" / "generated_dataset.hdf5"
    report = validate_dataset(dataset, num_replays=0)
    assert report.is_valid(strict=True), report.as_text()
    add_masks(dataset)
    return logs


def add_masks(path: Path) -> None:
    """Split a dataset as the guide's own code does, with a mask in each demo."""
    with h5py.File(path, "r+") as file:
        demos = list(file["data"].keys())
        train_count = int(len(demos) * 0.8)
        for index, name in enumerate(demos):
            file["data"][name].create_dataset("mask", data=np.array([1 if index < train_count else 0], dtype=np.int8))
        file.create_group("mask")
        for name, names in (("train", demos[:train_count]), ("valid", demos[train_count:])):
            file["mask"].create_dataset(name, data=np.array([demo.encode("utf-8") for demo in names], dtype="S"))


PYTHON = (sys.executable,)
