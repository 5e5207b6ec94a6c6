"""SIGTERM outside of the trials of a run: as with Ctrl-C, no unfinished file remains."""

import signal
from pathlib import Path

import pytest

from tests.forked_scripts import run_script

WRITE = (
    "from pathlib import Path; from isaaclab_mimic_ext.files.writing import replacing, created_folder\n"
    "    with created_folder(Path('videos')), replacing(Path('videos/best.mp4'), keep_suffix=True) as part:\n"
    "        part.write_bytes(b'frames'); os.kill(os.getpid(), signal.{}); time.sleep(1000)"
)


@pytest.mark.parametrize(("name", "exit_code"), [("SIGTERM", -signal.SIGTERM), ("SIGINT", 130)])
def test_signal_while_a_file_is_written_leaves_no_part_and_is_reported(name: str, exit_code: int, tmp_path: Path) -> None:
    done = run_script("generate", "output_dir=run", cwd=tmp_path, body=WRITE.format(name))
    assert done.returncode == exit_code and done.stderr.splitlines()[-1] == "Interrupted."
    assert list(tmp_path.iterdir()) == []
