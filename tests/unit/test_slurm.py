"""Job arrays of Slurm, with programs of this test in its place; tests/cluster has the real one."""

from pathlib import Path

import pytest

from isaaclab_mimic_ext.errors import ConfigError, MimicError
from isaaclab_mimic_ext.run import slurm


def install(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_blocks_beyond_the_largest_array_are_in_further_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm's indices end at 1000."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    install(tmp_path, "sbatch", f'echo "$FIRST_BLOCK $MIMIC $@" >> {tmp_path}/calls; echo "$((100 + FIRST_BLOCK));cluster"')
    blocks = [0, 1, 2, 7, *range(998, 1003)]
    arrays = slurm.submit(blocks, ["task=stack_cube"], ["--gpus=1"], tmp_path / "logs", Path("/opt/mimic"))
    assert [(array.job, array.first_block) for array in arrays] == [("100", 0), ("1100", 1000)]
    assert [block for array in arrays for block in array.blocks] == blocks
    first, second = (tmp_path / "calls").read_text().splitlines()
    assert first.startswith("0 /opt/mimic --parsable --array=0-2,7,998-999 ") and first.endswith(
        "generate.sbatch task=stack_cube"
    )
    assert second.startswith("1000 /opt/mimic --parsable --array=0-2 ") and "--gpus=1" in second
    assert arrays[1].log(tmp_path, 1002) == tmp_path / "1000_1100_2.out"


def test_refused_array_cancels_those_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    refuses = "echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1"
    install(tmp_path, "sbatch", f'if [ "$FIRST_BLOCK" = 0 ]; then echo 7; else {refuses}; fi')
    install(tmp_path, "scancel", f'echo "$@" > {tmp_path}/canceled')
    with pytest.raises(ConfigError, match=r"cluster.options: sbatch refuses the job array: QOSMaxSubmitJobPerUserLimit; "):
        slurm.submit([0, 2000], [], [], tmp_path, Path("/opt/mimic"))
    assert (tmp_path / "canceled").read_text() == "7\n"


def test_jobs_have_ended_when_slurm_has_forgotten_them_but_not_when_it_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    arrays = [slurm.JobArray("7", 0, [0, 1, 2])]
    install(tmp_path, "squeue", "printf 'RUNNING\\nPENDING\\nPENDING\\n'")
    assert slurm.states(arrays) == {"RUNNING": 1, "PENDING": 2}
    install(tmp_path, "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert slurm.states(arrays) == {}
    install(tmp_path, "squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    assert slurm.states(arrays) is None
    (tmp_path / "squeue").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"cluster.scheduler: squeue not found; start this command on a login node"):
        slurm.states(arrays)


def test_jobs_are_found_in_the_queue_by_the_folder_of_their_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    logs = tmp_path / "my run" / "slurm"
    assert slurm.find(logs) == []
    logs.mkdir(parents=True)
    rows = [("12", "1", f"{logs}/1000_%A_%a.out"), ("7", "2", f"{logs}/0_7_2.out"), ("7", "0", f"{logs}/0_%A_%a.out")]
    others = [
        ("8", "0", f"{tmp_path}/other/slurm/0_%A_%a.out"),
        ("9", "N/A", f"{logs}/0_9.out"),
        ("10", "1", f"{logs}/x.out"),
    ]
    lines = "\n".join(f"{job:20}{index:20}{path:4096}" for job, index, path in rows + others)
    (tmp_path / "answer").write_text(lines)
    install(tmp_path, "squeue", f"cat {tmp_path}/answer")
    expected = [slurm.JobArray("12", 1000, [1001]), slurm.JobArray("7", 0, [0, 2])]
    assert slurm.find(logs) == expected
    (tmp_path / "linked").symlink_to(logs.parent)
    assert slurm.find(tmp_path / "linked" / "slurm") == expected
    install(tmp_path, "squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(MimicError, match=r"squeue: Unable to contact slurm controller; whether jobs of .* try again later"):
        slurm.find(logs)
