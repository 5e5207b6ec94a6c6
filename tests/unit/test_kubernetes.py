"""The script of the collector in docker/kubernetes, with a stand-in for `mimic` that ends with given exit codes."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

MANIFEST = Path(__file__).parents[2] / "docker/kubernetes/base/collect.yaml"


@pytest.mark.parametrize(("exit_codes", "expected", "num_waits"), [((4, 4, 75, 0), 0, 3), ((4, 2), 2, 1), ((3,), 3, 0)])
def test_collector_waits_until_the_blocks_are_complete(
    exit_codes: tuple[int, ...], expected: int, num_waits: int, tmp_path: Path
) -> None:
    (container,) = yaml.safe_load(MANIFEST.read_text())["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["tini", "--", "sh", "-c"]
    script, _ = container["args"]
    codes, waits = tmp_path / "codes", tmp_path / "waits"
    codes.write_text("".join(f"{code}\n" for code in exit_codes))
    programs = {
        "mimic": f'code=$(head -n 1 {codes}); sed -i 1d {codes}; exit "$code"',
        "sleep": f"echo >> {waits}; mkdir -p {tmp_path}/run/blocks",
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", script, str(tmp_path / "run")], env=environment, timeout=60)
    assert done.returncode == expected and not codes.read_text()
    assert len(waits.read_text().splitlines()) == num_waits + 1  # The first one is before any block has started.
