"""Worker processes on a real Ray: the dataset of one process, although a worker is killed."""

import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.files.digest import dataset_digest
from isaaclab_mimic_ext.run.generate import generate_run
from isaaclab_mimic_ext.run.result import Progress
from isaaclab_mimic_ext.run.session import RunFolder
from tests import requires
from tests.runs import run_cfg

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

_ACTOR = "ray::_Runner"
"""Begin of the name that Ray gives a worker process."""


@pytest.fixture(autouse=True)
def ray() -> Iterator[None]:
    """A new Ray on this machine."""
    module = requires.module("ray", "ray")
    module.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    module.shutdown()


def ray_workers() -> list[int]:
    """Worker processes of all Rays of this machine."""
    names = {int(path.parent.name): path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()}
    return sorted(pid for pid, name in names.items() if name.startswith(_ACTOR.encode()))


def test_workers_on_ray_generate_the_dataset_of_one_process_although_one_is_killed(
    kinematic_source: Path, tmp_path: Path
) -> None:
    single, folder = RunFolder(tmp_path / "single"), RunFolder(tmp_path / "ray")
    generate_run(run_cfg(kinematic_source, single))
    others, killed = set(ray_workers()), list[int]()

    def kill(progress: Progress) -> bool:
        if progress.num_ended >= 6 and not killed:
            killed.append(min(set(ray_workers()) - others))
            os.kill(killed[0], signal.SIGKILL)
        return False

    cfg = replace(run_cfg(kinematic_source, folder, "num_envs=4"), num_workers=2, ray_address="auto")
    assert generate_run(cfg, lambda: nullcontext(kill)).target_reached
    assert killed and dataset_digest(folder.demos) == dataset_digest(single.demos)


def test_more_workers_than_the_cluster_has_cores_are_refused(kinematic_source: Path, tmp_path: Path) -> None:
    cfg = replace(run_cfg(kinematic_source, RunFolder(tmp_path / "run")), num_workers=3, ray_address="auto")
    with pytest.raises(ConfigError, match=r"num_workers: must be <= 2, the number of CPUs of the Ray cluster \(got 3\)"):
        generate_run(cfg)
    assert not (tmp_path / "run").exists()
