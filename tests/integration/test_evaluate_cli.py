"""`scripts/evaluate.py` as a user starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import requires
from tests.integration.test_cli import ROOT, message_of
from tests.processes import HANG_S

POLICY = "policy=tests.small_policies:"
FAST = ("sim=kinematic", "num_envs=4", "num_episodes=6", "horizon=150", "video=false")
DEMOS = ROOT / "tasks/desktop_organizer/data/source_demos.hdf5"


def start(*arguments: str, cwd: Path, limit: int | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "scripts/evaluate.py"), *arguments]
    if limit is not None:
        # In the place of a disk that is full: no file may be longer.
        command = ["bash", "-c", f'ulimit -f {limit}; trap "" XFSZ; exec "$@"', "bash", *command]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, env=environment
    )  # fmt: skip


def run(*arguments: str, cwd: Path, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    process = start(*arguments, cwd=cwd, limit=limit)
    out, err = process.communicate(timeout=HANG_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "evaluation.json").read_text())


# fmt: off
BAD_INPUT = [
    ([], ["checkpoint", "policy 'robomimic' needs one"]),
    (["checkpoint=nope.pth"], ["checkpoint: nope.pth: there is no such file"]),
    (["checkpoint=."], ["no .pth file in this folder"]),
    (["policy=robomimc"], ["policy: there is no policy 'robomimc'", "did you mean 'robomimic'"]),
    (["policy=nope:make"], ["module 'nope' cannot be imported"]),
    ([POLICY + "expurt"], ["has no function 'expurt'", "did you mean 'expert'"]),
    ([POLICY + "no_policy", *FAST], ["without methods act(observations) and reset(env_ids)"]),
    ([POLICY + "expert", "num_episodes=0"], ["num_episodes: must be >= 1 (got 0)"]),
    ([POLICY + "expert", "num_envs=0"], ["num_envs: must be >= 1 (got 0)"]),
    ([POLICY + "expert", "horizon=3"], ["horizon: must be >= 5, which is num_success_steps (got 3)"]),
    ([POLICY + "expert", "randomization_scale=-1"], ["randomization_scale: must be >= 0 (got -1.0)"]),
    ([POLICY + "expert", "push_probability=2", "push_velocity=1"], ["push_probability: must be >= 0 and <= 1 (got 2.0)"]),
    ([POLICY + "expert", "push_probability=0.1"], ["push_velocity: must be > 0 if push_probability is set (got 0)"]),
    ([POLICY + "expert", "push_objects=[ketchop]"], ["push_objects: 'ketchop' is not", "did you mean 'ketchup'"]),
    ([POLICY + "expert", "observation_noise=0.1", "observation_noise_keys=[eef]", *FAST], ["no observation is 'eef'"]),
    ([POLICY + "expert", "video_of=bset"], ["video_of: 'bset' is not valid", "did you mean 'best'"]),
    ([POLICY + "expert", "input_file=nope.hdf5", "sim=kinematic"], ["nope.hdf5", "horizon=<steps>"]),
    ([POLICY + "expert", "output_dir=evaluate.py", *FAST], ["evaluate.py is a file"]),
    ([POLICY + "expert", "randomization_scale=40", *FAST], ["no placement without overlap"]),
    (["num_episode=3"], ["num_episode: evaluate has no such field", "did you mean 'num_episodes'"]),
]
# fmt: on


@pytest.mark.parametrize(("arguments", "words"), BAD_INPUT)
def test_bad_input_gets_one_clear_line_and_exit_code_2(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    (tmp_path / "evaluate.py").touch()
    done = run(*arguments, cwd=tmp_path)
    message = message_of(done)
    assert [word for word in words if word not in message] == [], message
    assert done.returncode == 2
    assert not list(tmp_path.rglob("evaluation.json"))


def test_actions_of_another_size_end_it_with_a_clear_line(tmp_path: Path) -> None:
    done = run(POLICY + "too_narrow", "output_dir=a", *FAST, cwd=tmp_path)
    assert "gave actions of shape (4, 6), this env takes (4, 7)" in message_of(done)
    assert done.returncode == 2


def test_evaluation_gives_a_report_a_table_and_a_plot_and_is_not_overwritten(tmp_path: Path) -> None:
    done = run(POLICY + "expert", "output_dir=a", "seed=3", *FAST, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "100.0 % (61.0 - 100.0)" in done.stdout
    found = report(tmp_path / "a")
    assert found["complete"] and found["seed"] == 3 and found["horizon"] == 150 and found["engine"] == "kinematic"
    (checkpoint,) = found["checkpoints"]
    assert checkpoint["success_rate"] == 1.0 and checkpoint["interval"] == pytest.approx([0.6097, 1.0], abs=1e-4)
    assert [episode["episode"] for episode in checkpoint["episodes"]] == list(range(6))
    assert set(checkpoint["episodes"][0]["scene"]) == {"ketchup", "basket", "orange_juice", "cream_cheese"}
    again = run(POLICY + "expert", "output_dir=a", *FAST, cwd=tmp_path)
    assert again.returncode == 2
    assert "holds an evaluation already" in message_of(again)
    assert report(tmp_path / "a") == found
    replaced = run(POLICY + "expert", "output_dir=a", "overwrite=true", *FAST, cwd=tmp_path)
    assert replaced.returncode == 0, replaced.stderr
    assert report(tmp_path / "a")["seed"] == 1


def test_success_is_drawn(tmp_path: Path) -> None:
    done = run(POLICY + "expert", "output_dir=a", *FAST, cwd=tmp_path)
    assert (tmp_path / "a/success_over_epochs.png").stat().st_size > 5000, done.stderr


def test_several_checkpoints_are_judged_on_the_same_scenes(tmp_path: Path) -> None:
    for epoch in (50, 100):
        (tmp_path / f"model_epoch_{epoch}.pth").write_bytes(DEMOS.read_bytes())
    done = run(POLICY + "nearest_neighbour", "checkpoint=.", "output_dir=a", "--json", *FAST, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line == "{"], "stdout holds nothing but JSON"
    found = json.loads(done.stdout)
    assert [checkpoint["epoch"] for checkpoint in found["checkpoints"]] == [50, 100]
    first, second = (checkpoint["episodes"] for checkpoint in found["checkpoints"])
    assert [episode["scene"] for episode in first] == [episode["scene"] for episode in second]


def test_full_disk_is_said_in_one_line_before_anything_is_evaluated(tmp_path: Path) -> None:
    done = run(POLICY + "expert", "output_dir=a", *FAST, cwd=tmp_path, limit=1)
    assert "evaluation.json cannot be written" in message_of(done)
    assert "free some space" in message_of(done)
    assert done.returncode == 1


def test_interrupted_evaluation_keeps_what_ended(tmp_path: Path) -> None:
    arguments = ("sim=kinematic", "num_envs=2", "num_episodes=100000", "horizon=150", "video=false", "output_dir=a")
    done = run(POLICY + "interrupting_expert", *arguments, cwd=tmp_path)
    assert done.returncode == 143, done.stderr
    assert "Interrupted: interrupted; what ended before is in a/evaluation.json" in done.stderr
    found = report(tmp_path / "a")
    assert not found["complete"]
    assert 0 < found["checkpoints"][0]["num_episodes"] < 100000


def test_videos_show_successes_and_failures(tmp_path: Path) -> None:
    requires.module("mujoco.batch", "mujoco")
    imageio = requires.module("imageio.v2", "mujoco")
    arguments = (POLICY + "expert", "sim=kinematic", "num_envs=4", "num_episodes=8", "horizon=84", "num_video_episodes=2")
    done = run(*arguments, "output_dir=a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if "cannot be drawn" in done.stderr or "pictures cannot be rendered" in done.stderr:
        requires.missing("opengl", "no video was drawn")
    found = report(tmp_path / "a")["checkpoints"][0]
    assert 0 < found["num_successes"] < 8, "the horizon no longer lies between the lengths of the episodes"
    for kind in ("successes", "failures"):
        with imageio.get_reader(tmp_path / f"a/videos/expert_{kind}.mp4") as video:
            assert video.get_data(0).std() > 20


def test_ready_sweep_generates_and_its_report_names_what_was_swept(tmp_path: Path) -> None:
    arguments = (
        "+sweep=settling",
        "sim=kinematic",
        "num_envs=4",
        "generation_num_trials=4",
        "video=false",
        "progress=false",
    )
    script = [sys.executable, str(ROOT / "scripts/generate.py"), *arguments]
    done = subprocess.run(script, capture_output=True, text=True, cwd=tmp_path, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "sweeps/settling").iterdir()
    script = [sys.executable, str(ROOT / "scripts/sweep_report.py"), f"sweep_dir={folder}"]
    done = subprocess.run(script, capture_output=True, text=True, cwd=tmp_path, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    assert "num_settle_steps_before_gripper" in done.stdout
    values = [outcome["values"] for outcome in json.loads((folder / "sweep.json").read_text())["outcomes"]]
    assert values == [{"num_settle_steps_before_gripper": steps} for steps in (0, 2, 4, 8)]
