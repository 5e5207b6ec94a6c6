"""Record, annotate and generate in robosuite."""

from pathlib import Path

import pytest

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.files.digest import dataset_digest
from tests.robosuite.conftest import MakeEnv

SOURCES = Path(mimic.__file__).parents[1] / "tasks" / "robosuite_stack" / "data" / "source_demos.hdf5"


@pytest.mark.parametrize("batch", [(1, 1), (3, 2)])
def test_dataset_does_not_depend_on_envs_and_workers(batch: tuple[int, int], make: MakeEnv, tmp_path: Path) -> None:
    digests = []
    for index, (num_envs, num_processes) in enumerate(((2, 2), batch)):
        env = make(num_envs, num_processes)
        rules = mimic.GenerationCfg(num_trials=2, seed=1)
        run = mimic.generate(env, mimic.load_demos(SOURCES, env), rules, output_dir=tmp_path / str(index))
        digests.append(dataset_digest(run.dataset))
        env.close()
    assert digests[0] == digests[1]
    assert run.success_rate > 0
