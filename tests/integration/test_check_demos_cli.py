"""`scripts/check_demos.py` as a user runs it: exit codes and output."""

import json
import subprocess
from pathlib import Path

import pytest

from tests import planted
from tests.forked_scripts import ROOT, run_script

CLEAN = ROOT / "tasks/desktop_organizer/data/source_demos.hdf5"


def check_demos(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_script("check_demos", *arguments, cwd=folder)


def test_healthy_demos_exit_with_0_and_write_a_picture(tmp_path: Path) -> None:
    done = check_demos(tmp_path, "output_file=pictures/demos.html")
    *_, saved, hint = done.stderr.splitlines()
    assert done.returncode == 0 and saved.endswith("] Saved the picture to pictures/demos.html")
    assert "] Next, generate demos: " in hint
    assert done.stdout.splitlines()[-1] == "0 errors, 0 warnings, 1 note: ready to generate"
    assert (tmp_path / "pictures/demos.html").exists()


def test_faulty_demos_exit_with_1_and_print_valid_json(tmp_path: Path) -> None:
    planted.planted_file(CLEAN, tmp_path / "ill.hdf5", planted.keep_steps(0, -45), ["demo_2"])
    done = check_demos(tmp_path, "input_file=ill.hdf5", "--json")
    assert done.returncode == 1
    finding = next(finding for finding in json.loads(done.stdout)["findings"] if finding["level"] == "error")
    assert (finding["demo"], finding["check"]) == ("demo_2", "cropped end")
    assert done.stderr.splitlines()[-1].startswith("InvalidDataset: ill.hdf5: 1 error")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["input_file=none.hdf5"], "none.hdf5: not found"),
        (["output_file=demos.jpg"], "output_file: must end with .png or .html (got 'demos.jpg')"),
        (["num_draws=0"], "num_draws: must be >= 1 (got 0)"),
        (["num_draw=5"], "did you mean 'num_draws'?"),
        (["subtask_configs.franka.0.object_ref=ketchop"], "did you mean 'ketchup'?"),
    ],
)
def test_bad_input_exits_with_2_and_a_single_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = check_demos(tmp_path, *arguments)
    assert done.returncode == 2
    assert words in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
