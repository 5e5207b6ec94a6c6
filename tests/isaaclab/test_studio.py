"""The studio with Isaac Lab: the page shows the scene in its states, and a person moves the hand."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.isaaclab.conftest import ROOT
from tests.processes import HANG_S
from tests.studio_person import StudioPage

NUM_STEPS = 12


def test_person_at_the_page_moves_the_hand_on_ovphysx(tmp_path: Path) -> None:
    words = ("task=desktop_organizer", "num_demos=1", "output_dir=session", "port=0", "--headless")
    command = [str(Path(sys.executable).with_name("isaaclab")), "-p", str(ROOT / "scripts" / "studio.py"), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, cwd=tmp_path, text=True, start_new_session=True, **pipes) as process:
        try:
            assert process.stdout is not None
            output = ""
            for line in process.stdout:
                output += line
                if found := re.search(r"http://\S+", line):
                    break
            assert found, output
            assert "physics ovphysx" in output
            page = StudioPage(found[0])
            page.wait_for_phase("ready")
            page.wait_for(lambda: page.raw_frame)
            start, ketchup = page.hand_pos().copy(), page.object_pos("ketchup").copy()
            page.command()
            while page.frame.step < NUM_STEPS:
                page.command((0.0, 0.0, 1.0))
                time.sleep(0.02)
            moved = page.hand_pos() - start
            assert moved[2] > 0.03
            assert abs(moved[:2]).max() < 0.02
            assert abs(page.object_pos("ketchup") - ketchup).max() < 0.01
            assert page.order("end") is None
            page.wait_for_phase("done")
            page.close()
        finally:
            os.killpg(process.pid, signal.SIGTERM)  # The launcher would kill the studio 0.25 s after SIGINT.
            rest = process.communicate(timeout=HANG_S)[0]
    assert "The studio has ended with 0 demos" in rest
