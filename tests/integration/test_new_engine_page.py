"""The engine of docs/new_engine.md, built from the page, checked and used with its commands."""

import json
import re
import shlex
from pathlib import Path

import h5py

from isaaclab_mimic_ext.checks.engine import RULES
from isaaclab_mimic_ext.envs.external import GROUP
from tests.forked_scripts import run_mimic
from tests.own_task import write_task

PAGE = Path(__file__).resolve().parents[2] / "docs/new_engine.md"
MOST_LINES = 150
SHORTER = {"generate": ["video=false", "progress=false"]}


def test_page_is_shorter_than_150_lines_and_names_all_rules() -> None:
    text = PAGE.read_text()
    assert len(text.splitlines()) < MOST_LINES
    assert re.findall(r"^\| ([^|]+?) \| ", text, re.MULTILINE)[1:] == [*RULES]
    assert f'[project.entry-points."{GROUP}"]' in text


def test_engine_of_the_page_keeps_all_rules_and_generates_demos(tmp_path: Path) -> None:
    text = PAGE.read_text()
    name, code = re.findall(r"^`(\w+\.py)`\n\n```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[0]
    (tmp_path / name).write_text(code)
    write_task(tmp_path)
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    commands = [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]
    assert [command[0] for command in commands] == ["check-engine", "record", "annotate", "generate"]
    for command in commands:
        done = run_mimic(*command, *SHORTER.get(command[0], []), cwd=tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if command[0] == "check-engine":
            assert done.stdout.endswith(f"{len(RULES)} of {len(RULES)} rules kept\n")
    with h5py.File(tmp_path / "run/demo.hdf5") as file:
        assert len(file["data"]) == 10
        assert json.loads(file["data"].attrs["env_args"])["engine"] == "planar:PlanarEnv"
    replayed = run_mimic("replay", "--config-dir", "my_tasks", "input_file=run/demo.hdf5", cwd=tmp_path)
    assert "replayed on planar:PlanarEnv: 10 of 10 demos succeed" in replayed.stdout, replayed.stderr
