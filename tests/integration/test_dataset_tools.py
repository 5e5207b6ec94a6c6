"""Scripts for datasets, started as a user starts them: exit codes, messages, replays, memory."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.config import ReplayDemosCfg, SimCfg
from isaaclab_mimic_ext.datasets import replay_dataset as replaying
from isaaclab_mimic_ext.datasets.merge import merge_datasets
from isaaclab_mimic_ext.datasets.replay_dataset import replay_dataset
from isaaclab_mimic_ext.errors import ConfigError, OutputError, SourceDataError
from tests.builders import make_source_file
from tests.forked_scripts import message_of, run_script
from tests.jobs import command, run_generation
from tests.kinematic_sources import generate_cfg


@pytest.fixture(scope="module")
def generated(kinematic_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated dataset without digests of demos, so that tests can change its data."""
    folder = tmp_path_factory.mktemp("generated")
    run_generation(generate_cfg(kinematic_source, folder, "num_envs=7", "datagen_config.generation_num_trials=7"))
    with h5py.File(folder / "demo.hdf5", "r+") as file:
        for demo in file["data"].values():
            demo.attrs.pop("digest", None)
    return folder / "demo.hdf5"


# fmt: off
BAD_INPUT = [
    ("validate_dataset", ["input_file=nope.hdf5"], ["SourceDataError", "nope.hdf5", "not found"]),
    ("validate_dataset", ["input_file=text.hdf5"], ["SourceDataError", "text.hdf5", "not an HDF5 file"]),
    ("validate_dataset", ["input_file=newer.hdf5"], ["SourceDataError", "newer.hdf5", "format_version is 2"]),
    ("validate_dataset", ["input_file=good.hdf5", "num_replays=-1"], ["num_replays", "-1"]),
    ("validate_dataset", ["--stric"], ["--stric", "did you mean '--strict'?"]),
    ("merge_datasets", ["input_file=[good.hdf5]", "output_file=out.hdf5"], ["input_file", "two or more"]),
    ("merge_datasets", ["input_file=[good.hdf5,good.hdf5]", "output_file=out.hdf5"], ["listed twice"]),
    ("merge_datasets", ["input_file=[good.hdf5,newer.hdf5]", "output_file=out.hdf5"], ["newer.hdf5", "format_version is 2"]),
    ("merge_datasets", ["input_file=[good.hdf5,old.hdf5]", "output_file=out.hdf5"], ["old.hdf5", "format_version is 0"]),
    ("merge_datasets", ["input_file=[good.hdf5,old.hdf5]", "output_file=good.hdf5"], ["one of the inputs"]),
    ("merge_datasets", ["input_file=[good.hdf5,other.hdf5]"], ["output_file", "must be set"]),
    ("split_dataset", ["input_file=good.hdf5", "--by_source_demo"], ["good.hdf5", "demo_0", "source_demos"]),
    ("replay_demos", ["input_file=good.hdf5", "num_envs=0"], ["num_envs", "0"]),
    ("replay_demos", ["input_file=good.hdf5", "sim=isaaclab"], ["SimulatorUnavailable: sim.engine: Isaac Lab is not"]),
    ("replay_demos", ["input_file=good.hdf5", "output_file=a.gif"], ["a.gif", ".mp4"]),
    ("replay_demos", ["input_file=newer.hdf5", "output_file=out/new/a.mp4"], ["newer.hdf5", "format_version is 2"]),
    ("record_demos", ["teleop_device=spacemouse", "output_file=out/new/raw.hdf5"], ["teleop_device", "device of Isaac Lab"]),
    ("annotate_demos", ["input_file=newer.hdf5", "output_file=out/new/a.hdf5"], ["newer.hdf5", "format_version is 2"]),
    ("prepare_dataset", ["input_file=good.hdf5", "output_file=out/new/a.hdf5", "img_key=rgb"], ["img_key", "rgb"]),
    ("replay_demos", ["input_file=newer.hdf5"], ["newer.hdf5", "format_version is 2"]),
]
# fmt: on


@pytest.mark.parametrize(("script", "arguments", "words"), BAD_INPUT)
def test_bad_input_gets_one_clear_line_and_exit_code_2(
    script: str, arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    make_source_file(tmp_path / "good.hdf5")
    make_source_file(tmp_path / "old.hdf5", format_version=0)
    make_source_file(tmp_path / "newer.hdf5", format_version=2)
    (tmp_path / "text.hdf5").write_text("text")
    done = run_script(script, *arguments, cwd=tmp_path)
    assert [word for word in words if word not in message_of(done)] == []
    assert done.returncode == 2
    assert not list(tmp_path.glob("out*"))


def test_exit_code_is_1_for_faults(tmp_path: Path) -> None:
    path = make_source_file(tmp_path / "demo.hdf5")
    done = run_script("validate_dataset", f"input_file={path}", "--json", "--strict", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["valid"] and "synthetic" in report["replay_note"]
    with h5py.File(path, "r+") as file:
        file["data/demo_1"].attrs["success"] = False
    assert run_script("validate_dataset", f"input_file={path}", cwd=tmp_path).returncode == 0
    done = run_script("validate_dataset", f"input_file={path}", "--strict", cwd=tmp_path)
    assert done.returncode == 1
    assert "warning: demo_1: success: a failed demo" in done.stdout
    assert "InvalidDataset" in message_of(done)


def test_merged_dataset_can_be_validated_split_and_inspected(generated: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.hdf5"
    with h5py.File(generated) as source, h5py.File(other, "w") as file:
        file.attrs["format_version"] = 1
        source.copy("data", file)
        for demo in file["data"].values():
            demo["actions"][0, 6] = 0.5  # Open gripper: the demos must differ from those of the other file.
    run = [
        ("merge_datasets", [f"input_file=[{generated},{other}]", "output_file=merged.hdf5"]),
        ("validate_dataset", ["input_file=merged.hdf5", "--strict"]),
        ("split_dataset", ["input_file=merged.hdf5", "ratio=0.7", "by_source_demo=true"]),
        ("validate_dataset", ["input_file=merged.hdf5", "--strict", "--num_replays", "0"]),
        ("inspect_dataset", ["input_file=merged.hdf5", "--json"]),
    ]
    for script, arguments in run:
        done = run_script(script, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout)
    assert (summary["num_demos"], sum(summary["masks"].values())) == (14, 14)


@pytest.mark.parametrize(
    ("verb", "fields"),
    [("prepare", ["add_rtgs=true"]), ("export", ["format=robomimic"]), ("merge", [])],
)
def test_full_disk_ends_a_tool_with_one_line_and_without_a_crash(
    verb: str, fields: list[str], generated: Path, tmp_path: Path
) -> None:
    """HDF5 crashes the process when the objects of a file that cannot be written are freed."""
    other = shutil.copy(generated, tmp_path / "other.hdf5")
    source = f"[{generated},{other}]" if verb == "merge" else generated
    words = [verb, f"input_file={source}", f"output_file={tmp_path / 'output.hdf5'}", *fields]
    limit = generated.stat().st_size // 2
    code = f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
    code += f"from isaaclab_mimic_ext.commands.main import main; sys.argv[1:] = {words!r}; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    assert "output.hdf5 cannot be written: File too large; free some space" in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["other.hdf5"]


def replay_cfg(path: Path, **fields: object) -> ReplayDemosCfg:
    return ReplayDemosCfg(input_file=str(path), sim=SimCfg(), progress=False, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("num_envs", [1, 3, 7, 50])
def test_replayed_demos_succeed_with_any_number_of_envs(generated: Path, num_envs: int) -> None:
    results = replay_dataset(generated, num_envs=num_envs).demos
    assert [result.name for result in results] == [f"demo_{index}" for index in range(7)]
    assert all(result.success and result.recorded_success for result in results)
    assert max(result.object_error or 0.0 for result in results) < 1e-5


def test_object_error_is_the_distance_from_the_recorded_position(generated: Path, tmp_path: Path) -> None:
    path = tmp_path / "moved.hdf5"
    path.write_bytes(generated.read_bytes())
    with h5py.File(path, "r+") as file:
        file["data/demo_1/states/rigid_object/basket/root_pose"][9, :2] += np.array([0.03, 0.04])
        file["data/demo_2/actions"][:, 6] = 1.0
    results = replay_dataset(path, num_demos=3).demos
    assert results[0].object_error == pytest.approx(0.0, abs=1e-5)
    assert results[1].object_error == pytest.approx(0.05, abs=1e-5)
    assert not results[2].success and (results[2].object_error or 0.0) > 0.1


def test_replay_prints_text_or_json(generated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command("replay", replay_cfg(generated))
    assert "replayed on kinematic: 7 of 7 demos succeed (100.0%)" in capsys.readouterr().out
    command("replay", replay_cfg(generated, json=True, num_demos=2))
    report = json.loads(capsys.readouterr().out)
    assert (report["success_rate"], [demo["name"] for demo in report["demos"]]) == (1.0, ["demo_0", "demo_1"])


def test_video_shows_the_replayed_states(generated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(replaying, "write_states_video", lambda demos, *_, **__: shown.extend(demos))
    video = str(tmp_path / "a.mp4")
    replay_dataset(generated, num_envs=3, output_file=video, num_video_demos=2)
    with h5py.File(generated) as file:
        for index, demo in enumerate(shown):
            recorded = file[f"data/demo_{index}/states/rigid_object/ketchup/root_pose"][()]
            np.testing.assert_allclose(demo["rigid_object"]["ketchup"]["root_pose"], recorded, atol=1e-5)
    assert len(shown) == 2


def test_replay_refuses_existing_videos_other_actions_and_unknown_tasks(generated: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.hdf5"
    path.write_bytes(generated.read_bytes())
    (tmp_path / "there.mp4").touch()
    with pytest.raises(OutputError, match="exists"):
        command("replay", replay_cfg(path, output_file=str(tmp_path / "there.mp4")))
    with h5py.File(path, "r+") as file:
        env_args = json.loads(file["data"].attrs["env_args"])
        file["data"].attrs["env_args"] = json.dumps(env_args | {"action": {"type": "joint"}})
    with pytest.raises(SourceDataError, match="different action space"):
        command("replay", replay_cfg(path))
    with h5py.File(path, "r+") as file:
        file["data"].attrs["env_args"] = json.dumps(env_args | {"env_name": "kitchen"})
    with pytest.raises(ConfigError, match="'kitchen' not found"):
        command("replay", replay_cfg(path))


MEMORY = """
import resource, sys
from isaaclab_mimic_ext.datasets.merge import merge_datasets
from isaaclab_mimic_ext.datasets.validate import validate_dataset
merge_datasets(sys.argv[1:3], sys.argv[3])
validate_dataset(sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_demos(tmp_path: Path) -> None:
    make_source_file(tmp_path / "0.hdf5", num_demos=80)
    make_source_file(tmp_path / "1.hdf5", num_demos=80, seed=1)
    for size in range(2, 6):
        merge_datasets([tmp_path / f"{size - 2}.hdf5", tmp_path / f"{size - 1}.hdf5"], tmp_path / f"{size}.hdf5")
    peaks = []
    for first, second in ((0, 1), (4, 5)):
        files = [str(tmp_path / name) for name in (f"{first}.hdf5", f"{second}.hdf5", f"merged_{first}.hdf5")]
        done = subprocess.run([sys.executable, "-c", MEMORY, *files], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    # 160 demos and 1040, of 60 kB each.
    assert peaks[1] < 1.1 * peaks[0], peaks
