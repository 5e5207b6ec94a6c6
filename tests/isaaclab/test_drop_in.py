"""Isaac Lab's own users: commands of a guide, and tasks of packages, on OvPhysX."""

from pathlib import Path

import h5py

from isaaclab_mimic_ext.files.stream import read_facts
from tests import guide_commands as guide
from tests.isaaclab.scenes import make_scenes


def test_guides_commands_run_on_ovphysx(tmp_path: Path) -> None:
    """The guide starts some scripts with `./isaaclab.sh -p`, and some with `python`."""
    env = make_scenes("desktop_organizer", 1)
    keys = guide.typed_keys(env, tmp_path)
    env.close()
    logs = guide.run_until_split(guide.PYTHON, keys, tmp_path)
    assert all("Running on Isaac Lab" in log for log in logs.values()), logs
    dataset = tmp_path / "datasets" / "generated_dataset.hdf5"
    assert read_facts(dataset).env_args["engine"] == "isaaclab"
    with h5py.File(dataset) as file:
        assert file["data"].attrs["same_digest_with"] == "the same command, without resume"


def test_tasks_are_registered_by_the_entry_point_of_this_package() -> None:
    import gymnasium
    from isaaclab.cli import load_external_tasks

    load_external_tasks()
    assert {guide.MIMIC_TASK, guide.TASK} <= set(gymnasium.registry)
