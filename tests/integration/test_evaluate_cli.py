"""`scripts/evaluate.py` as a separate process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import requires
from tests.forked_scripts import ROOT, message_of, run_script
from tests.processes import HANG_S

POLICY = "policy=tests.small_policies:"
FAST = ("sim=kinematic", "num_envs=4", "num_episodes=6", "horizon=150", "video=false")
DEMOS = ROOT / "tasks/desktop_organizer/data/source_demos.hdf5"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_script("evaluate", *arguments, cwd=cwd)


def run_limited(*arguments: str, cwd: Path, limit: int) -> subprocess.CompletedProcess[str]:
    """Run with files of at most `limit` KiB: the limit simulates a full disk."""
    command = ["bash", "-c", f'ulimit -f {limit}; trap "" XFSZ; exec "$@"', "bash"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    script = [sys.executable, str(ROOT / "scripts/evaluate.py"), *arguments]
    return subprocess.run([*command, *script], capture_output=True, text=True, cwd=cwd, env=environment, timeout=HANG_S)


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "evaluation.json").read_text())


# fmt: off
INVALID_INPUT = [
    ([], ["checkpoint: must be set for policy 'robomimic'"]),
    (["checkpoint=nope.pth"], ["checkpoint: nope.pth not found"]),
    (["checkpoint=."], ["contains no .pth file"]),
    (["policy=robomimc"], ["policy: 'robomimc' not found", "did you mean 'robomimic'"]),
    (["policy=nope:make"], ["module 'nope' cannot be imported"]),
    ([POLICY + "expurt"], ["has no function 'expurt'", "did you mean 'expert'"]),
    ([POLICY + "not_a_policy", *FAST], ["with methods act(observations) and reset(env_ids)"]),
    ([POLICY + "expert", "num_episodes=0"], ["num_episodes: must be >= 1 (got 0)"]),
    ([POLICY + "expert", "num_envs=0"], ["num_envs: must be >= 1 (got 0)"]),
    ([POLICY + "expert", "horizon=3"], ["horizon: must be >= 5, which is num_success_steps (got 3)"]),
    ([POLICY + "expert", "randomization_scale=-1"], ["randomization_scale: must be >= 0 (got -1.0)"]),
    ([POLICY + "expert", "push_probability=2", "push_velocity=1"], ["push_probability: must be >= 0 and <= 1 (got 2.0)"]),
    ([POLICY + "expert", "push_probability=0.1"], ["push_velocity: must be > 0 if push_probability is set (got 0)"]),
    ([POLICY + "expert", "push_objects=[ketchop]"], ["push_objects: 'ketchop' is not", "did you mean 'ketchup'"]),
    ([POLICY + "expert", "observation_noise=0.1", "observation_noise_keys=[eef]", *FAST], ["'eef' is not an observation"]),
    ([POLICY + "expert", "video_of=bset"], ["video_of: 'bset' is not valid", "did you mean 'best'"]),
    ([POLICY + "expert", "input_file=nope.hdf5", "sim=kinematic"], ["nope.hdf5", "horizon=<steps>"]),
    ([POLICY + "expert", "output_dir=evaluate.py", *FAST], ["evaluate.py is a file"]),
    ([POLICY + "expert", "randomization_scale=40", *FAST], ["no placement without overlap"]),
    (["num_episode=3"], ["num_episode: evaluate has no such field", "did you mean 'num_episodes'"]),
]
# fmt: on


@pytest.mark.parametrize(("arguments", "parts"), INVALID_INPUT)
def test_invalid_input_is_refused_in_one_line_with_exit_code_2(
    arguments: list[str], parts: list[str], tmp_path: Path
) -> None:
    (tmp_path / "evaluate.py").touch()
    done = run(*arguments, cwd=tmp_path)
    message = message_of(done)
    assert [part for part in parts if part not in message] == [], message
    assert done.returncode == 2
    assert not list(tmp_path.rglob("evaluation.json"))


def test_actions_of_a_different_size_are_refused_in_one_line(tmp_path: Path) -> None:
    done = run(POLICY + "too_few_entries", "output_dir=a", *FAST, cwd=tmp_path)
    assert "policy: actions must have shape (4, 7)" in message_of(done) and "(got (4, 6))" in message_of(done)
    assert done.returncode == 2


def test_evaluation_writes_a_report_and_prints_a_table_and_is_replaced_only_with_overwrite(tmp_path: Path) -> None:
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
    assert "already contains an evaluation" in message_of(again)
    assert report(tmp_path / "a") == found
    replaced = run(POLICY + "expert", "output_dir=a", "overwrite=true", *FAST, cwd=tmp_path)
    assert replaced.returncode == 0, replaced.stderr
    assert report(tmp_path / "a")["seed"] == 1


def test_success_rates_are_plotted(tmp_path: Path) -> None:
    done = run(POLICY + "expert", "output_dir=a", *FAST, cwd=tmp_path)
    assert (tmp_path / "a/success_over_epochs.png").stat().st_size > 5000, done.stderr


def test_several_checkpoints_are_evaluated_in_the_same_scenes(tmp_path: Path) -> None:
    for epoch in (50, 100):
        (tmp_path / f"model_epoch_{epoch}.pth").write_bytes(DEMOS.read_bytes())
    done = run(POLICY + "nearest_neighbor", "checkpoint=.", "output_dir=a", "--json", *FAST, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line == "{"], "stdout contains only JSON"
    found = json.loads(done.stdout)
    assert [checkpoint["epoch"] for checkpoint in found["checkpoints"]] == [50, 100]
    first, second = (checkpoint["episodes"] for checkpoint in found["checkpoints"])
    assert [episode["scene"] for episode in first] == [episode["scene"] for episode in second]


def test_full_disk_is_reported_in_one_line_before_the_first_episode(tmp_path: Path) -> None:
    done = run_limited(POLICY + "expert", "output_dir=a", *FAST, cwd=tmp_path, limit=1)
    assert "evaluation.json cannot be written" in message_of(done)
    assert "free some space" in message_of(done)
    assert done.returncode == 1


def test_interrupted_evaluation_keeps_the_episodes_that_ended(tmp_path: Path) -> None:
    arguments = ("sim=kinematic", "num_envs=2", "num_episodes=100000", "horizon=150", "video=false", "output_dir=a")
    done = run(POLICY + "interrupting_expert", *arguments, cwd=tmp_path)
    assert done.returncode == 143, done.stderr
    assert "Interrupted: the episodes that ended before are in a/evaluation.json" in done.stderr
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
    assert 0 < found["num_successes"] < 8, "the horizon must be between the lengths of the episodes"
    for kind in ("successes", "failures"):
        with imageio.get_reader(tmp_path / f"a/videos/expert_{kind}.mp4") as video:
            assert video.get_data(0).std() > 20


def test_report_of_an_included_sweep_names_the_swept_field(tmp_path: Path) -> None:
    arguments = (
        "+sweep=settling",
        "sim=kinematic",
        "num_envs=4",
        "generation_num_trials=4",
        "video=false",
        "progress=false",
    )
    done = run_script("generate", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "sweeps/settling").iterdir()
    done = run_script("sweep_report", f"input_dir={folder}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "num_settle_steps_before_gripper" in done.stdout
    values = [outcome["values"] for outcome in json.loads((folder / "sweep.json").read_text())["outcomes"]]
    assert values == [{"num_settle_steps_before_gripper": steps} for steps in (0, 2, 4, 8)]
